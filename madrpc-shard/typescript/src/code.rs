//! What of a text is code, as far as that is certain without parsing it: comments, strings, templates and regular expressions are none.
//!
//! Whatever is taken for none of it here is so for the parser, or else brackets could be hidden from us. Whether a `/` begins a
//! regular expression only the parser knows for certain. So after most of what stands before it all counts as code, to the end of the
//! line, which no regular expression and no plain string outlives; and to the end of the text, where something in that line may go on. So it
//! does where the text is wrong: the parser gives up there, or reads it in its own way.

/// What a `/` after it begins a regular expression, as it wants an operand; so does the beginning of a text.
const BEFORE_OPERANDS: &[u8] = b"(,=:[&|?{;*%^~";

/// The bytes of a text that are code, and their places.
pub(crate) struct Code<'t> {
    bytes: &'t [u8],
    at: usize,
    /// The last that was code and no space; 0 where there was none.
    before: u8,
    /// Up to here all counts.
    unknown: usize,
    /// What is open in the templates around: `${`, and brackets in it.
    open: Vec<u8>,
    /// Where the last `{` of a `${` is.
    substitution: usize,
    /// The next byte is in the text of a template.
    is_in_template: bool,
}

impl<'t> Code<'t> {
    pub(crate) fn new(text: &'t str) -> Self {
        let mut code = Self {
            bytes: text.as_bytes(),
            at: 0,
            before: 0,
            unknown: 0,
            open: Vec::new(),
            substitution: usize::MAX,
            is_in_template: false,
        };
        if text.starts_with("#!") {
            code.lose();
        }
        code
    }

    /// Nothing is certain any more.
    fn lose(&mut self) {
        self.unknown = self.bytes.len();
    }

    fn rest(&self) -> &'t [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Goes on where code does.
    fn skip(&mut self) {
        while self.at >= self.unknown && self.at < self.bytes.len() {
            if self.is_in_template {
                self.skip_template();
                continue;
            }
            let rest = self.rest();
            match rest {
                [b'/', b'/', ..] => self.at += end_of_line(rest),
                [b'/', b'*', ..] => match find(rest, b"*/", 2) {
                    Some(end) => self.at += end,
                    None => self.lose(),
                },
                [quote @ (b'"' | b'\''), ..] => self.skip_to(end_of_string(rest), *quote),
                [b'/', ..] if self.before == 0 || BEFORE_OPERANDS.contains(&self.before) => {
                    self.skip_to(end_of_regular_expression(rest), b'/');
                }
                [b'/', ..] => return self.doubt(),
                [b'`', ..] => {
                    self.at += 1;
                    self.is_in_template = true;
                }
                // Comments, in some scripts.
                [b'<', b'!', b'-', b'-', ..] | [b'-', b'-', b'>', ..] => self.lose(),
                _ => return,
            }
        }
    }

    /// Goes on after what has so many bytes, where it is whole.
    fn skip_to(&mut self, length: Option<usize>, last: u8) {
        match length {
            Some(length) => {
                self.at += length;
                self.before = last;
            }
            None => self.lose(),
        }
    }

    /// Skips the text of a template, up to the code in it or its end.
    fn skip_template(&mut self) {
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'\\' => self.at += 1,
                b'`' => {
                    self.is_in_template = false;
                    self.before = b'`';
                    self.at += 1;
                    return;
                }
                b'$' if self.bytes.get(self.at + 1) == Some(&b'{') => {
                    self.is_in_template = false;
                    self.open.push(b'$');
                    // The bracket is code.
                    self.at += 1;
                    self.substitution = self.at;
                    return;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// What follows in this line may be a regular expression, or anything else.
    fn doubt(&mut self) {
        let rest = self.rest();
        let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        let line = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        let may_go_on = line.contains(&b'`') || find(line, b"/*", 0).is_some();
        match may_go_on || line.ends_with(b"\\") || !self.open.is_empty() {
            true => self.lose(),
            false => self.unknown = self.at + line.len(),
        }
    }

    /// Notes which of the brackets in a template one at this place is.
    fn note(&mut self, at: usize, byte: u8) {
        if !byte.is_ascii_whitespace() {
            self.before = byte;
        }
        if self.open.is_empty() {
            return;
        }
        let opens = match byte {
            b'{' if at == self.substitution => return,
            b'(' | b'[' | b'{' => return self.open.push(byte),
            b')' => b'(',
            b']' => b'[',
            b'}' => b'{',
            _ => return,
        };
        match self.open.pop() {
            Some(b'$') if byte == b'}' => self.is_in_template = true,
            Some(open) if open == opens => {}
            _ => self.lose(),
        }
    }
}

impl Iterator for Code<'_> {
    type Item = (usize, u8);

    fn next(&mut self) -> Option<Self::Item> {
        self.skip();
        let at = self.at;
        let byte = *self.bytes.get(at)?;
        self.at += 1;
        match at < self.unknown {
            // After it as well nobody knows what a `/` is.
            true => self.before = b')',
            false => self.note(at, byte),
        }
        Some((at, byte))
    }
}

/// Where the place after these bytes is, from there on.
fn find(bytes: &[u8], what: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let at = rest.windows(what.len()).position(|window| window == what)?;
    Some(from + at + what.len())
}

fn is_line_end(rest: &[u8]) -> bool {
    matches!(rest, [b'\n' | b'\r', ..] | [0xe2, 0x80, 0xa8 | 0xa9, ..])
}

fn end_of_line(rest: &[u8]) -> usize {
    let mut places = 0..rest.len();
    let end = places.find(|at| rest.get(*at..).is_some_and(is_line_end));
    end.unwrap_or(rest.len())
}

/// How long a string is, where it ends in its line or goes on after a `\`.
fn end_of_string(rest: &[u8]) -> Option<usize> {
    let quote = rest.first()?;
    let mut at = 1;
    loop {
        match rest.get(at..)? {
            [b'\\', b'\r', b'\n', ..] => at += 3,
            [b'\\', ..] => at += 2,
            [b'\n' | b'\r', ..] | [] => return None,
            [byte, ..] if byte == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// How long a regular expression is, without its flags, where it ends in its line.
fn end_of_regular_expression(rest: &[u8]) -> Option<usize> {
    let mut is_in_class = false;
    let mut at = 1;
    loop {
        let rest = rest.get(at..)?;
        if is_line_end(rest) {
            return None;
        }
        match rest {
            [] => return None,
            [b'\\', after @ ..] if is_line_end(after) => return None,
            [b'\\', ..] => at += 1,
            [b'/', ..] if !is_in_class => return Some(at + 1),
            [b'[', ..] => is_in_class = true,
            [b']', ..] => is_in_class = false,
            _ => {}
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is taken for code.
    fn code(text: &str) -> String {
        let bytes: Vec<u8> = Code::new(text).map(|(_, byte)| byte).collect();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn what_is_certainly_no_code_is_left_out() {
        for (text, expected) in [
            ("a // :(\nb", "a \nb"),
            ("a // :(\u{2028}b", "a \u{2028}b"),
            ("a /* ( \n ' */ b", "a  b"),
            ("f('(', \"[\\\"\", '\\\r\n(');", "f(, , );"),
            ("a = `(${b(`[${c}`)}{`;", "a = {b({c})};"),
            ("a = `\\`${{b: '}'}}\\${`;", "a = {{b: }};"),
            ("a = /[/(]\\/(/.test(b);", "a = .test(b);"),
            ("/(/", ""),
            ("`${class A${}((}(", "{class A${}((}("),
            ("x = y / 2; // it's\nz // :(", "x = y / 2; // it's\nz "),
        ] {
            assert_eq!(code(text), expected, "{text}");
        }
    }

    #[test]
    fn where_it_is_not_certain_all_is_code() {
        for text in [
            "#! '(\n'('",
            "a <!-- `(\n'('",
            "a --> `(\n'('",
            // What is a string there depends on what the first `/` is.
            "if (a) /'/; (('",
            "a / b / `(`;\n'('",
            "a / b /* (\n*/ '('",
            "a / b + '\\\n(' + '('",
            "`${a / b}(`",
            // Those are wrong.
            "'(\n'('",
            "/(\n'('",
            "/\\\n/; '('",
            "/* ( ",
            "}` ${ (",
        ] {
            let found = code(text);
            let all = found.matches(['(', '\'']).count() == text.matches(['(', '\'']).count();
            assert!(all || text.starts_with('}'), "{text}: {found}");
        }
        // The parser may see the end of the template elsewhere.
        assert_eq!(code("`${(}'('`"), "{(}'('`");
    }
}
