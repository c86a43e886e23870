//! Whether a text is nested so deep that the parser, which calls itself for each level, would take long: some forms it reads
//! again and again, for each level around them. (Its stack is enough for whatever is in the text, see
//! [`parser`](super::parser).)

use super::SPLIT;
use super::forms::REGEXP;
use crate::limits::MAX_DEPTH;
use crate::refused::{Reason, Refused};
use crate::text::Text;

/// # Errors
/// It is nested too deep, or has what only a parser could tell apart.
pub(super) fn check(text: &Text) -> Result<(), Refused> {
    Nesting::default().check(text)
}

/// What a scan knows at a place in the text. It takes the text for as much nested as the parser does, within a small factor. What
/// it could not tell apart without parsing is refused here already: regular expressions, templates, functions within functions.
#[derive(Default)]
struct Nesting {
    /// How deep the parser is at the most, and directly within the innermost bracket.
    depth: usize,
    base: usize,
    /// How deep an operator is that takes all on its left for its own: no deeper than the one before it.
    floor: usize,
    open: Vec<Bracket>,
    /// What the present statement is the end of; those from the mark on are within the innermost bracket.
    heads: Vec<Head>,
    mark: usize,
    /// A statement has ended, and the next token says whether those around it have too.
    ended: bool,
    /// How many `?` wait for their `:`, and whether a `case` does.
    questions: usize,
    in_case: bool,
    /// A line has ended since the last token.
    line_end: bool,
    last: Last,
    /// The body of the function has begun.
    in_body: bool,
}

/// A bracket that is open, and what was outside of it.
#[derive(Default)]
struct Bracket {
    kind: BracketKind,
    depth: usize,
    base: usize,
    floor: usize,
    mark: usize,
    questions: usize,
}

#[derive(Default, Clone, Copy, PartialEq)]
enum BracketKind {
    /// The braces of a block: a statement ends with them.
    Block,
    /// The parentheses of `if`, `for`, `while`, `switch`: a statement follows.
    Head,
    /// Those of `while` after `do`: a statement ends with them.
    Tail,
    #[default]
    Other,
}

/// What a statement follows, and is nested in.
#[derive(Clone, Copy, PartialEq)]
enum Head {
    If,
    Else,
    Do,
    /// A loop, a label.
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
    /// `return`, `break`, `continue`, `debugger`: the line's end ends them.
    Jump,
    /// `if`, `for`, `while`, `switch`: a bracket follows.
    Head,
    /// `while` after `do`.
    Tail,
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
            if let Some(length) = blank(rest, first) {
                self.line_end |= rest[..length].contains(LINE_ENDS);
                at += length;
                continue;
            }
            let length = match in_word(first) {
                true => rest.find(|c| !in_word(c)).unwrap_or(rest.len()),
                false => first.len_utf8(),
            };
            let token = &rest[..length];
            self.begin(token);
            at += match first {
                '/' if !matches!(self.last, Last::Operand) => {
                    return no(REGEXP.0, REGEXP.1);
                }
                '`' => return no("strings are not for kernels", "pass numbers"),
                '\\' => return no("an escape in a name", "write the character itself"),
                '=' if rest.starts_with("=>") => return no(FUNCTION.0, FUNCTION.1),
                '"' | '\'' => {
                    self.last = Last::Operand;
                    string(rest, first)
                }
                // The body of a method is one of these. A line that ends does not end a statement before a brace.
                '{' if self.last == Last::Operand && !self.is_body() => {
                    return no("{ after a value", "if it is a block, put ; before it");
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
                ';' => {
                    self.end();
                    1
                }
                ',' => {
                    self.questions = 0;
                    self.settle(self.around());
                    self.last = Last::Operator;
                    1
                }
                ':' => {
                    self.colon();
                    1
                }
                '+' | '-' if rest[1..].starts_with(first) => {
                    // In `a++ / b` that is a division.
                    let is_after = self.last == Last::Operand && !self.line_end;
                    self.deeper();
                    if is_after {
                        self.last = Last::Operand;
                    }
                    2
                }
                '+' | '-' | '/' if self.last == Last::Operand => {
                    self.infix();
                    1
                }
                '!' if rest[1..].starts_with('=') => {
                    self.infix();
                    let more = rest[1..].find(|c| c != '=');
                    more.map_or(rest.len(), |more| more + 1)
                }
                _ if BINARY.contains(&first) => {
                    let more = |c: char| !BINARY.contains(&c);
                    let length = rest.find(more).unwrap_or(rest.len());
                    let is_chain = rest[1..].starts_with('.')
                        && !rest[2..].starts_with(|c: char| c.is_ascii_digit());
                    match &rest[..length] {
                        "?" if is_chain => self.deeper(),
                        "?" => {
                            self.questions += 1;
                            self.rightmost();
                        }
                        "**" => self.deeper(),
                        "==" | "===" | "<=" | ">=" => self.infix(),
                        operator if operator.ends_with('=') => self.rightmost(),
                        _ => self.infix(),
                    }
                    length
                }
                _ if in_word(first) => {
                    if matches!(token.trim_start_matches('.'), "function" | "class") && at > 0 {
                        return no(FUNCTION.0, FUNCTION.1);
                    }
                    self.word(token.strip_prefix("...").unwrap_or(token));
                    length
                }
                _ if first.is_ascii() => {
                    self.deeper();
                    1
                }
                _ => return no("a character that is part of no name", "leave it out"),
            };
            self.line_end = false;
            if self.depth > 2 * MAX_DEPTH {
                return Err(text.refuse(Reason::TooLarge, offset, "nested too deep", SPLIT));
            }
        }
        Ok(())
    }

    /// Before a token: whether statements have ended before it.
    fn begin(&mut self, token: &str) {
        let ends_line = match self.last {
            Last::Jump => true,
            // Words that are no operators begin a statement there. So they do without a line's end nowhere.
            Last::Operand => {
                token.starts_with(in_word)
                    && !matches!(token, "in" | "instanceof")
                    && !token.starts_with('.')
            }
            _ => false,
        };
        if self.line_end && ends_line && self.has_statements() {
            self.end();
        }
        if !std::mem::take(&mut self.ended) {
            return;
        }
        let rest = match token {
            "else" => self.find(Head::If),
            "while" => self.find(Head::Do),
            "catch" | "finally" => Some(self.heads.len()),
            _ => None,
        };
        if token == "while" && rest.is_some() {
            self.last = Last::Tail;
        }
        self.heads.truncate(rest.unwrap_or(self.mark));
        self.settle(self.around());
    }

    /// The innermost of these heads within the innermost bracket.
    fn find(&self, head: Head) -> Option<usize> {
        let within = &self.heads[self.mark..];
        let found = within.iter().rposition(|known| *known == head);
        found.map(|number| self.mark + number)
    }

    /// How deep the present statement or element is.
    fn around(&self) -> usize {
        self.base + self.heads.len() - self.mark
    }

    /// Whether what is directly within the innermost bracket are statements.
    fn has_statements(&self) -> bool {
        self.open
            .last()
            .is_none_or(|bracket| bracket.kind == BracketKind::Block)
    }

    fn is_body(&self) -> bool {
        self.open.is_empty() && !self.in_body
    }

    /// A statement ends.
    fn end(&mut self) {
        self.questions = 0;
        self.settle(self.around());
        self.last = Last::Statement;
        self.ended = true;
    }

    /// An operator or a bracket: there may be one more level to its right.
    fn deeper(&mut self) {
        self.depth += 1;
        self.last = Last::Operator;
    }

    /// What is to its right is one operand: it is as deep as that, and so are the operators in it.
    fn rightmost(&mut self) {
        self.deeper();
        self.floor = self.depth;
    }

    /// An operator between two operands, the left of which is all before it: many of them are no deeper than one.
    fn infix(&mut self) {
        if self.last == Last::Operand {
            self.depth = self.floor;
        }
        self.deeper();
    }

    fn settle(&mut self, depth: usize) {
        self.depth = depth;
        self.floor = depth;
    }

    /// What a statement follows.
    fn head(&mut self, head: Head, last: Last) {
        self.heads.push(head);
        self.settle(self.depth + 1);
        self.last = last;
    }

    fn colon(&mut self) {
        if self.questions > 0 || !self.has_statements() {
            self.questions = self.questions.saturating_sub(1);
            self.rightmost();
        } else if std::mem::take(&mut self.in_case) {
            self.settle(self.around());
            self.last = Last::Statement;
        } else {
            self.head(Head::Other, Last::Statement);
        }
    }

    fn open(&mut self, bracket: char) {
        let kind = match (bracket, self.last) {
            ('{', Last::Statement | Last::Head) => BracketKind::Block,
            ('{', _) if self.is_body() => {
                self.in_body = true;
                BracketKind::Block
            }
            ('(', Last::Head) => BracketKind::Head,
            ('(', Last::Tail) => BracketKind::Tail,
            _ => BracketKind::Other,
        };
        self.open.push(Bracket {
            kind,
            depth: self.depth,
            base: self.base,
            floor: self.floor,
            mark: self.mark,
            questions: std::mem::take(&mut self.questions),
        });
        self.rightmost();
        self.base = self.depth;
        self.mark = self.heads.len();
        if kind == BracketKind::Block {
            self.last = Last::Statement;
        }
    }

    fn close(&mut self) {
        let bracket = self.open.pop().unwrap_or_default();
        self.heads.truncate(self.mark);
        self.ended = false;
        self.base = bracket.base;
        self.mark = bracket.mark;
        self.depth = bracket.depth;
        self.floor = bracket.floor;
        self.questions = bracket.questions;
        match bracket.kind {
            BracketKind::Block | BracketKind::Tail => self.end(),
            BracketKind::Head => self.last = Last::Statement,
            BracketKind::Other => self.last = Last::Operand,
        }
    }

    fn word(&mut self, word: &str) {
        match word {
            "while" if self.last == Last::Tail => {}
            "if" => {
                // One that follows an `else` is read after it, and not within.
                let is_next = self.last == Last::Statement;
                if is_next && self.heads[self.mark..].last() == Some(&Head::Else) {
                    self.heads.pop();
                    self.settle(self.depth.saturating_sub(1));
                }
                self.head(Head::If, Last::Head);
            }
            "for" | "while" | "with" | "switch" | "catch" => self.head(Head::Other, Last::Head),
            "else" => self.head(Head::Else, Last::Statement),
            "do" => self.head(Head::Do, Last::Statement),
            "case" | "default" => {
                self.settle(self.around() + 1);
                self.in_case = true;
                self.last = Last::Operator;
            }
            "try" | "finally" => self.last = Last::Statement,
            "return" | "break" | "continue" | "debugger" => {
                self.deeper();
                self.last = Last::Jump;
            }
            // Else it is a name.
            "of" if self.last == Last::Operand && !self.has_statements() => self.deeper(),
            "export" | "extends" | "throw" | "yield" => self.rightmost(),
            "await" | "delete" | "import" | "in" | "instanceof" | "new" | "typeof" | "void" => {
                self.deeper();
            }
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

/// How long the blank or the comment is that begins the text.
fn blank(rest: &str, first: char) -> Option<usize> {
    match first {
        '/' if rest.starts_with("//") => Some(rest.find(LINE_ENDS).unwrap_or(rest.len())),
        '/' if rest.starts_with("/*") => {
            Some(rest[2..].find("*/").map_or(rest.len(), |end| end + 4))
        }
        _ if first.is_whitespace() => Some(first.len_utf8()),
        _ => None,
    }
}
