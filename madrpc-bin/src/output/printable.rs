//! Text that others may have written, made safe for a line and for a terminal.
//!
//! Peers, scripts and certificates bring text: names of functions, reasons of ends, lines of the console. As it came it
//! could end the line and begin one of its own, move the cursor, or turn the direction of writing around. It is shown
//! escaped, as Rust and JavaScript would write it: `\n`, `\u{1b}`, `\u{202e}`. A backslash is left as it is.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// The text with what must not reach a line or a terminal escaped.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_escaped) {
        return text.into();
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    // Writing to a String cannot fail.
    let _ = Printable(&mut escaped).write_str(text);
    escaped.into()
}

/// Passes on what is written to it, escaped.
pub(crate) struct Printable<W>(pub(crate) W);

impl<W: Write> Write for Printable<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_escaped) {
            let (plain, found) = rest.split_at(at);
            self.0.write_str(plain)?;
            let mut found = found.chars();
            if let Some(character) = found.next() {
                write!(self.0, "{}", character.escape_default())?;
            }
            rest = found.as_str();
        }
        self.0.write_str(rest)
    }
}

/// Whether a character is shown escaped: what ends a line or drives a terminal (C0, DEL, C1, the separators of lines and
/// paragraphs), what changes the direction of writing (UAX #9), and what is invisible and makes two names look like one.
/// The joiners U+200C and U+200D are invisible too, but scripts of several languages, and emoji, are written with them.
fn is_escaped(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200b}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_line_or_drives_a_terminal_is_shown_and_not_obeyed() {
        assert_eq!(printable("grüße, 🦀 👩‍🚀 \\n"), "grüße, 🦀 👩‍🚀 \\n");
        assert_eq!(
            printable("a\nb\r\tc\u{1b}[2J\u{9b}\u{7f}\0"),
            r"a\nb\r\tc\u{1b}[2J\u{9b}\u{7f}\u{0}"
        );
        let turned = "\u{61c}\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        for character in turned.chars().chain(['\u{2028}', '\u{2029}', '\u{feff}']) {
            let shown = printable(&character.to_string()).into_owned();
            assert_eq!(shown, format!("\\u{{{:x}}}", u32::from(character)));
        }
    }

    #[test]
    fn it_can_be_written_in_pieces() {
        let mut text = String::new();
        for piece in ["a\n", "", "\u{1b}", "b"] {
            Printable(&mut text).write_str(piece).unwrap();
        }
        assert_eq!(text, r"a\n\u{1b}b");
    }
}
