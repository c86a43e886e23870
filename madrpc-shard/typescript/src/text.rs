//! The text of a module in which types are blanked out, and places in it.
//!
//! What is blanked leaves white space of as many bytes, and every line end, so that all else stays at its line and column.

use oxc_span::Span;

/// A text, as it is and as it becomes.
pub(crate) struct Text<'t> {
    source: &'t str,
    erased: Vec<u8>,
}

impl<'t> Text<'t> {
    pub(crate) fn new(source: &'t str) -> Self {
        Self {
            source,
            erased: source.as_bytes().to_vec(),
        }
    }

    /// What it has become.
    pub(crate) fn into_erased(self) -> String {
        // Only whole characters are written over, by whole ones.
        String::from_utf8_lossy(&self.erased).into_owned()
    }

    pub(crate) fn slice(&self, from: u32, to: u32) -> &'t str {
        self.source
            .get(from as usize..to as usize)
            .unwrap_or_default()
    }

    /// Puts white space in the place of a part.
    pub(crate) fn blank(&mut self, from: u32, to: u32) {
        let mut at = from as usize;
        for char in self.slice(from, to).chars() {
            let bytes = char.len_utf8();
            let blank = match char {
                '\n' | '\r' | '\u{2028}' | '\u{2029}' => "",
                // As long in UTF-16 too, in which editors count.
                _ => ["", " ", "\u{a0}", "\u{3000}", "\u{a0}\u{a0}"]
                    .get(bytes)
                    .copied()
                    .unwrap_or_default(),
            };
            self.write(at, blank);
            at += bytes;
        }
    }

    pub(crate) fn blank_span(&mut self, span: Span) {
        self.blank(span.start, span.end);
    }

    /// Puts a character of one byte where one has been blanked, of however many.
    pub(crate) fn put(&mut self, at: u32, char: char) {
        let mut bytes = [0; 4];
        let place = self.slice(at, self.source.len() as u32).chars().next();
        self.write(at as usize, char.encode_utf8(&mut bytes));
        // The rest of what was there, which is no character any more.
        for rest in 1..place.map_or(1, char::len_utf8) {
            self.write(at as usize + rest, " ");
        }
    }

    fn write(&mut self, at: usize, text: &str) {
        let place = self.erased.get_mut(at..at + text.len());
        if let Some(place) = place {
            place.copy_from_slice(text.as_bytes());
        }
    }

    /// Where the next token begins, and whether a line ends before it.
    pub(crate) fn next_token(&self, from: u32) -> (u32, bool) {
        let mut rest = self.slice(from, self.source.len() as u32);
        let mut ends_line = false;
        loop {
            let trimmed = rest.trim_start_matches(|char: char| {
                ends_line |= is_line_end(char);
                char.is_whitespace() || char == '\u{feff}'
            });
            let comment = if trimmed.starts_with("//") {
                trimmed.find(is_line_end).unwrap_or(trimmed.len())
            } else if trimmed.starts_with("/*") {
                trimmed.find("*/").map_or(trimmed.len(), |at| at + 2)
            } else {
                let at = self.source.len() - trimmed.len();
                return (at as u32, ends_line);
            };
            let (comment, after) = trimmed.split_at(comment);
            ends_line |= comment.contains(is_line_end);
            rest = after;
        }
    }

    /// Where the next token begins, where it begins so.
    pub(crate) fn next_is(&self, from: u32, token: &str) -> Option<u32> {
        let (at, _) = self.next_token(from);
        let rest = self.slice(at, self.source.len() as u32);
        rest.starts_with(token).then_some(at)
    }

    /// The word that the next token is, and where it begins; empty where it is none.
    pub(crate) fn next_word(&self, from: u32) -> (u32, &'t str) {
        let (at, _) = self.next_token(from);
        let rest = self.slice(at, self.source.len() as u32);
        let end = rest.find(|char: char| !char.is_ascii_alphabetic());
        (
            at,
            rest.get(..end.unwrap_or(rest.len())).unwrap_or_default(),
        )
    }

    pub(crate) fn has_line_end(&self, from: u32, to: u32) -> bool {
        self.slice(from, to).contains(is_line_end)
    }
}

pub(crate) fn is_line_end(char: char) -> bool {
    matches!(char, '\n' | '\r' | '\u{2028}' | '\u{2029}')
}

/// The line and the column of a place, each from 1.
pub(crate) fn place_of(source: &str, at: usize) -> (usize, usize) {
    let before = source.get(..at.min(source.len())).unwrap_or(source);
    let before_line = before.rfind('\n').map_or(0, |end| end + 1);
    let line = before.matches('\n').count() + 1;
    let column = before
        .get(before_line..)
        .unwrap_or_default()
        .chars()
        .count()
        + 1;
    (line, column)
}
