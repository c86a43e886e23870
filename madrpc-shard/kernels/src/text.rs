//! The text of a kernel before it is parsed: where its lines are, and whether it is nested so deep that the parser, which calls
//! itself for each level, would use its stack up.

use crate::abi::Place;
use crate::limits::{MAX_DEPTH, MAX_TEXT_BYTES};
use crate::refused::{Reason, Refused};
use std::sync::Arc;

/// The text, and where it starts in its script.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) text: Arc<str>,
    pub(crate) start: Place,
}

impl Text {
    /// # Errors
    /// A text that is too long.
    pub(crate) fn new(text: &str, start: Place) -> Result<Self, Refused> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Refused {
                reason: Reason::TooLarge,
                place: start,
                what: format!(
                    "a kernel of {} bytes of text; the most is {MAX_TEXT_BYTES}",
                    text.len()
                ),
                remedy: "split it into several, and capture those".to_owned(),
            });
        }
        let text = Self {
            text: text.into(),
            start,
        };
        Ok(text)
    }

    /// # Errors
    /// It is nested deeper than the parser can go.
    pub(crate) fn check_nesting(&self) -> Result<(), Refused> {
        Nesting::default().check(self)
    }

    /// Where an offset is in the script.
    pub(crate) fn place(&self, offset: u32) -> Place {
        let before = self.text.get(..offset as usize).unwrap_or(&self.text);
        let (lines, last) = match before.rfind('\n') {
            None => (0, before),
            Some(end) => (before.matches('\n').count(), &before[end + 1..]),
        };
        let columns = u32::try_from(last.chars().count()).unwrap_or(u32::MAX);
        let lines = u32::try_from(lines).unwrap_or(u32::MAX);
        let first = if lines == 0 { self.start.column } else { 1 };
        Place {
            file: Arc::clone(&self.start.file),
            line: self.start.line.saturating_add(lines),
            column: first.saturating_add(columns),
        }
    }

    pub(crate) fn refuse(
        &self,
        reason: Reason,
        offset: u32,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Refused {
        Refused {
            reason,
            place: self.place(offset),
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

/// What a scan knows at a place in the text. It never takes the text for less nested than the parser does. What it could not
/// tell apart without parsing is refused here already: regular expressions, templates, functions within functions.
#[derive(Default)]
struct Nesting {
    /// How deep the parser is at the most, and at the begin of the present statement or element.
    depth: usize,
    base: usize,
    open: Vec<Bracket>,
    last: Last,
    /// The body of the function has begun.
    in_body: bool,
}

/// A bracket that is open, and what was outside of it.
#[derive(Default)]
struct Bracket {
    depth: usize,
    base: usize,
    kind: BracketKind,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum BracketKind {
    /// The braces of a block: a statement ends with them.
    Block,
    /// The parentheses of `if`, `for`, `while`, `switch`: a statement follows.
    Head,
    #[default]
    Other,
}

/// What the last token was.
#[derive(Default, Clone, Copy, PartialEq)]
enum Last {
    /// The end of a statement, or what a statement follows.
    #[default]
    Statement,
    /// An operator or a bracket: an expression follows.
    Operator,
    /// A name, a number, a bracket that closes: an operator follows.
    Operand,
    /// `if`, `for`, `while`, `switch`: a bracket follows.
    Head,
}

impl Nesting {
    fn check(mut self, text: &Text) -> Result<(), Refused> {
        let mut at = 0;
        while let Some(rest) = text.text.get(at..)
            && let Some(first) = rest.chars().next()
        {
            let offset = at as u32; // A text is short.
            let no =
                |what: &str, remedy: &str| Err(text.refuse(Reason::Syntax, offset, what, remedy));
            at += match first {
                '/' if rest.starts_with("//") => rest.find(LINE_ENDS).unwrap_or(rest.len()),
                '/' if rest.starts_with("/*") => {
                    rest[2..].find("*/").map_or(rest.len(), |end| end + 4)
                }
                '/' if matches!(self.last, Last::Operator | Last::Statement) => {
                    return no("regular expressions are not for kernels", "");
                }
                '`' => return no("strings are not for kernels", "pass numbers"),
                '\\' => return no("an escape in a name", "write the character itself"),
                '=' if rest.starts_with("=>") => return no(FUNCTION.0, FUNCTION.1),
                '"' | '\'' => {
                    self.last = Last::Operand;
                    string(rest, first)
                }
                '(' | '[' | '{' => {
                    self.open(first);
                    1
                }
                ')' | ']' | '}' => {
                    self.close();
                    1
                }
                // What is within a statement ends with it, and what is within an element of a list too.
                ';' | ',' => {
                    self.depth = self.base;
                    self.last = match first {
                        ';' => Last::Statement,
                        _ => Last::Operator,
                    };
                    1
                }
                '+' | '-' if rest[1..].starts_with(first) => {
                    self.deeper();
                    // In `a++ / b` that is a division, and `++/b/` is nothing.
                    self.last = Last::Operand;
                    2
                }
                _ if BINARY.contains(&first) => {
                    self.deeper();
                    let more = |c: char| !BINARY.contains(&c);
                    rest.find(more).unwrap_or(rest.len())
                }
                _ if in_word(first) => {
                    let length = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
                    let word = &rest[..length];
                    if matches!(word, "function" | "class") && at > 0 {
                        return no(FUNCTION.0, FUNCTION.1);
                    }
                    self.word(word);
                    length
                }
                _ if first.is_whitespace() => first.len_utf8(),
                _ if first.is_ascii() => {
                    self.deeper();
                    1
                }
                _ => return no("a character that is part of no name", ""),
            };
            if self.depth > 2 * MAX_DEPTH {
                return Err(text.refuse(Reason::TooLarge, offset, "nested too deep", "split it"));
            }
        }
        Ok(())
    }

    /// An operator or a bracket: there may be one more level to its right.
    fn deeper(&mut self) {
        self.depth += 1;
        self.last = Last::Operator;
    }

    fn open(&mut self, bracket: char) {
        let kind = match (bracket, self.last) {
            ('{', Last::Statement) => BracketKind::Block,
            ('{', _) if self.open.is_empty() && !self.in_body => {
                self.in_body = true;
                BracketKind::Block
            }
            ('(', Last::Head) => BracketKind::Head,
            _ => BracketKind::Other,
        };
        self.open.push(Bracket {
            depth: self.depth,
            base: self.base,
            kind,
        });
        self.deeper();
        self.base = self.depth;
        if kind == BracketKind::Block {
            self.last = Last::Statement;
        }
    }

    fn close(&mut self) {
        let bracket = self.open.pop().unwrap_or_default();
        self.base = bracket.base;
        (self.depth, self.last) = match bracket.kind {
            BracketKind::Block => (bracket.base, Last::Statement),
            BracketKind::Head => (bracket.depth, Last::Statement),
            BracketKind::Other => (bracket.depth, Last::Operand),
        };
    }

    fn word(&mut self, word: &str) {
        match word {
            "if" | "for" | "while" | "with" | "switch" | "catch" => {
                self.depth += 1;
                self.last = Last::Head;
            }
            // What follows is nested in what came before, whatever statements ended in between.
            "else" | "do" => {
                self.base += 1;
                self.depth += 1;
                self.last = Last::Statement;
            }
            "case" | "default" => {
                self.depth = self.base + 1;
                self.last = Last::Operator;
            }
            "try" | "finally" => self.last = Last::Statement,
            "await" | "break" | "continue" | "debugger" | "delete" | "export" | "extends"
            | "import" | "in" | "instanceof" | "new" | "of" | "return" | "throw" | "typeof"
            | "void" | "yield" => self.deeper(),
            _ => self.last = Last::Operand,
        }
    }
}

const FUNCTION: (&str, &str) = (
    "a function in a kernel",
    "make it a kernel of its own, and capture that",
);

const LINE_ENDS: [char; 4] = ['\n', '\r', '\u{2028}', '\u{2029}'];

/// Of these, several in a row are one operator.
const BINARY: [char; 9] = ['=', '<', '>', '&', '|', '*', '?', '%', '^'];

fn in_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '.')
}

/// How long the string is that begins the text.
fn string(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '\n' | '\r' => return at,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Text, Refused> {
        let start = Place {
            file: "a.js".into(),
            line: 10,
            column: 5,
        };
        let text = Text::new(text, start)?;
        text.check_nesting()?;
        Ok(text)
    }

    #[test]
    fn an_offset_has_its_place_in_the_script() {
        let text = read("one\nä two").unwrap();
        assert_eq!(text.place(1).to_string(), "a.js:10:6");
        assert_eq!(text.place(7).to_string(), "a.js:11:3");
        assert_eq!(text.place(9999).to_string(), "a.js:11:6");
    }

    #[test]
    fn what_nests_without_end_is_refused() {
        for level in [
            "(",
            "[",
            "{",
            "!",
            "-",
            "- ",
            "~",
            "a=",
            "a?",
            "a**",
            "if(a)",
            "for(;;)",
            "do ",
            "typeof ",
            "a:",
            "if(a);else ",
            "if(a){}else ",
            "new ",
            "a?b:",
            "if(a)a;else ",
            "do do ",
            "++",
            "a={}?",
            "a?{}:",
            "{a:",
            "[a,",
            "a[",
            "switch(a){case b:",
            "({})?",
            "try{}finally{",
            "a: {",
            "while(a){",
        ] {
            let refused = read(&level.repeat(5000)).unwrap_err();
            assert_eq!(refused.reason, Reason::TooLarge, "{level}");
        }
    }

    #[test]
    fn what_is_long_but_not_deep_is_read() {
        for part in [
            "a = b + c * (d - e[1]);",
            "f(a, b, -c),",
            "if (a) { b(); }",
            "for (;;) { while (a) { b(); } }",
            "a / b; // ((((\n",
            "'((((';",
            "case 1: a++; break;",
            "case 1: { a++; break; }",
            "a = -b;\n",
            "switch (a) { default: b(); }",
        ] {
            read(&part.repeat(1000)).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_refused() {
        for (text, what) in [
            ("a = /(/;", "regular"),
            ("if (a) /(/;", "regular"),
            ("return /(/", "regular"),
            ("{} /(/", "regular"),
            ("`${(", "strings"),
            ("\\u0061", "escape"),
            ("return\u{2028}/(/", "regular"),
            ("a = () => 1", "function"),
            ("a = function () {}", "function"),
            ("\u{1f600}", "character"),
        ] {
            let refused = read(text).unwrap_err();
            assert!(refused.what.contains(what), "{text}: {refused}");
        }
        read("// a\u{2028}((").unwrap();
    }
}
