//! The statements of random kernels.

use super::writer::{ENDS, Writer};
use std::fmt::Write;

impl Writer {
    fn line(&mut self, out: &mut String, text: &str) {
        let _ = writeln!(out, "{text}");
        self.count += 1;
    }

    fn block(&mut self, out: &mut String, statements: usize) {
        out.push_str("{\n");
        let (names, truths) = (self.names.len(), self.truths.len());
        self.depth += 1;
        for _ in 0..statements {
            self.statement(out);
        }
        self.depth -= 1;
        self.names.truncate(names);
        self.truths.truncate(truths);
        out.push_str("}\n");
    }

    fn statement(&mut self, out: &mut String) {
        if self.depth > 4 || self.count > 30 {
            return;
        }
        let array = self.array();
        match self.random.u8(..36) {
            33 => {
                let name = format!("b{}", self.truths.len() + self.count * 100);
                let constant = self.random.u8(..4) == 0;
                let value = self.truth(3);
                let keyword = if constant { "const" } else { "let" };
                self.line(out, &format!("{keyword} {name} = {value};"));
                self.truths.push((name, !constant));
            }
            34 => {
                if let Some(target) = self.truth_target() {
                    let operator = self.one_of(&["=", "=", "||=", "&&="]);
                    let value = self.truth(3);
                    self.line(out, &format!("{target} {operator} {value};"));
                }
            }
            30 => {
                // A variable at an end, one more that is it, and what holds only where a step leads nowhere.
                let (end, name) = (self.one_of(&ENDS), format!("e{}", self.count));
                let other = format!("{name}x");
                let (keyword, free) = match self.random.u8(..3) {
                    0 => ("let", true),
                    _ => ("const", false),
                };
                self.line(out, &format!("{keyword} {name} = {end};"));
                self.line(out, &format!("const {other} = {name};"));
                let compare = self.one_of(&["<=", ">=", "===", "!==", "<"]);
                let step = self.one_of(&["+", "-"]);
                let _ = writeln!(out, "if ({other} {compare} {name} {step} 1) {{");
                if let Some(target) = self.target() {
                    let operator = self.one_of(&["=", "=", "-=", "%="]);
                    self.line(out, &format!("{target} {operator} {other};"));
                }
                self.names.extend([(name, free), (other, false)]);
                self.block(out, 2);
                out.push_str("}\n");
            }
            31 => {
                let test = self.neighbours();
                let value = self.name();
                if let Some(target) = self.target() {
                    self.line(out, &format!("if ({test}) {target} = {value};"));
                }
            }
            0..=3 => {
                let name = format!("v{}", self.names.len() + self.count * 100);
                let constant = self.random.u8(..4) == 0;
                let value = self.number(3);
                let keyword = if constant { "const" } else { "let" };
                self.line(out, &format!("{keyword} {name} = {value};"));
                self.names.push((name, !constant));
            }
            4..=8 => {
                if let Some(target) = self.target() {
                    let exact = [
                        "=", "=", "=", "+=", "-=", "*=", "%=", "^=", "<<=", ">>=", "&=", "||=",
                        "&&=",
                    ];
                    let operator = self.one_of_both(&exact, &["**="]);
                    let value = self.number(3);
                    self.line(out, &format!("{target} {operator} {value};"));
                }
            }
            9..=12 => {
                let (index, value) = (self.index(2), self.number(3));
                let operator = self.one_of(&["=", "=", "+=", "*=", "^=", "-="]);
                self.line(out, &format!("{array}[{index}] {operator} {value};"));
            }
            13 => {
                let index = self.index(2);
                let step = self.one_of(&["++", "--"]);
                self.line(out, &format!("{array}[{index}]{step};"));
            }
            14..=17 => {
                let test = if self.random.bool() {
                    self.truth(2)
                } else {
                    self.number(2)
                };
                let _ = write!(out, "if ({test}) ");
                self.block(out, 2);
                if self.random.bool() {
                    out.push_str("else ");
                    self.block(out, 2);
                }
            }
            18..=22 if self.loops < 3 => self.turns(out),
            23 if self.loops < 3 => {
                let test = self.truth(2);
                self.loops += 1;
                let (before, after) = match self.random.bool() {
                    true => (format!("while (turns++ < 60 && {test})"), String::new()),
                    false => ("do".to_owned(), format!(" while (turns++ < 60 && {test});")),
                };
                let _ = write!(out, "{before} ");
                self.labels.push(String::new());
                self.block(out, 3);
                self.labels.pop();
                out.push_str(&after);
                self.loops -= 1;
            }
            24 => {
                let value = match self.random.bool() {
                    true => format!("({}) & 7", self.number(2)),
                    false => self.number(2),
                };
                let _ = writeln!(out, "switch ({value}) {{");
                let cases = self.random.usize(1..7);
                let default = self.random.usize(..8);
                for number in 0..cases {
                    match number == default {
                        true => out.push_str("default: "),
                        false => {
                            let value = match self.random.u8(..4) {
                                0 => self.number(1),
                                _ => self.random.u8(..8).to_string(),
                            };
                            let _ = write!(out, "case {value}: ");
                        }
                    }
                    self.block(out, 1);
                    if self.random.bool() {
                        out.push_str("break;\n");
                    }
                }
                out.push_str("}\n");
            }
            25 | 26 if !self.labels.is_empty() => {
                let number = self.random.usize(..self.labels.len());
                let label = self.labels[number].clone();
                let jump = self.one_of(&["break", "continue"]);
                let test = self.truth(1);
                self.line(out, &format!("if ({test}) {jump} {label};"));
            }
            27 => {
                let (test, value) = (self.truth(1), self.number(2));
                self.line(out, &format!("if ({test}) return +({value});"));
            }
            _ => {
                if let Some(target) = self.target() {
                    let step = self.one_of(&["++", "--"]);
                    self.line(out, &format!("{target}{step};"));
                }
            }
        }
    }

    fn turns(&mut self, out: &mut String) {
        let name = format!("i{}", self.loops + self.count * 100);
        let first = self.one_of(&[
            "0",
            "0",
            "1",
            "-3",
            "2147483640",
            "4294967290",
            "9007199254740985",
            "9007199254740992",
            "(-2147483643)",
            "(-9007199254740988)",
        ]);
        let array = self.array();
        let last = match self.random.u8(..6) {
            0 => format!("{array}.length"),
            1 => format!("{first} + 9"),
            2 if first.starts_with('(') => self.one_of(&ENDS).to_owned(),
            2 => format!("(({}) & 15)", self.number(1)),
            3 => self.number(1),
            _ => format!("{first} + (({}) & 7)", self.name()),
        };
        let (compare, step) = match self.random.u8(..8) {
            6 => (">", format!("{name}--")),
            7 => (">=", format!("{name} -= 1")),
            0 => ("<=", format!("{name}++")),
            1 => ("<", format!("{name} += {}", self.random.u8(1..4))),
            2 => ("!==", format!("++{name}")),
            _ => ("<", format!("{name}++")),
        };
        self.count += 1;
        let label = format!("l{}", self.count);
        let labelled = self.random.u8(..3) == 0;
        if labelled {
            let _ = write!(out, "{label}: ");
        }
        let _ = write!(
            out,
            "for (let {name} = {first}; turns++ < 60 && {name} {compare} {last}; {step}) "
        );
        self.labels
            .push(if labelled { label } else { String::new() });
        self.loops += 1;
        // Sometimes the counter is changed in the loop as well.
        let free = self.random.u8(..5) == 0;
        self.names.push((name.clone(), free));
        out.push_str("{\n");
        if self.random.bool() {
            let index = match (last == format!("{array}.length") && first == "0")
                && !free
                && compare == "<"
            {
                true => name,
                false => format!("{name} & 15"),
            };
            let value = self.number(2);
            self.line(out, &format!("{array}[{index}] += {value};"));
        }
        self.block(out, 3);
        out.push_str("}\n");
        self.names.pop();
        self.loops -= 1;
        self.labels.pop();
    }

    pub fn text(&mut self) -> String {
        let mut text = format!("function {}(", self.name);
        for number in 0..self.arrays {
            let _ = write!(text, "a{number}, ");
        }
        // Each array is used as one.
        let lengths: Vec<String> = (0..self.arrays)
            .map(|number| format!("a{number}.length"))
            .collect();
        let _ = write!(
            text,
            "x, y, z, p, d) {{\nlet turns = 0 * ({});\n",
            lengths.join(" + ")
        );
        for _ in 0..self.random.usize(2..9) {
            self.statement(&mut text);
        }
        let result = self.number(3);
        let _ = write!(text, "return {result};\n}}");
        text
    }
}
