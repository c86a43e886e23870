//! Writes random kernels: every text is one that is taken, and every index a place in its array.

use fastrand::Rng;
use std::fmt::Write;

/// Numbers at which something changes, as they are written.
const NUMBERS: &str = "0 1 2 3 7 13 31 32 33 100 255 256 0.5 1.5 2.75 (-0.25) (-1) (-7) (-0) 65535 65537 0x85ebca6b 2147483647 \
    2147483648 (-2147483648) 4294967295 4294967296 9007199254740991 9007199254740992 9007199254740994 \
    (-2147483649) (-4294967296) (-9007199254740991) (-9007199254740992) (-9007199254740994) 1e10 1e20 1e300 \
    NaN Infinity";

/// Where a counter ends: ranges of types are cut off there, or become wider.
const ENDS: [&str; 10] = [
    "9007199254740990",
    "9007199254740991",
    "9007199254740992",
    "(-9007199254740991)",
    "(-9007199254740992)",
    "2147483647",
    "(-2147483648)",
    "4294967295",
    "4294967296",
    "0",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Functions {
    All,
    /// Those whose every bit the specification says: of others, runtimes differ in the last.
    Exact,
}

pub struct Writer {
    random: Rng,
    functions: Functions,
    /// What can be read, and which of it can be assigned to.
    names: Vec<(String, bool)>,
    arrays: usize,
    /// The kernels that can be called, each with an array and three numbers.
    kernels: Vec<String>,
    loops: usize,
    depth: usize,
    count: usize,
    /// Whether a loop, or a block with this label, is around.
    labels: Vec<String>,
}

impl Writer {
    pub fn new(random: Rng, arrays: usize, kernels: &[String], functions: Functions) -> Self {
        Self {
            random,
            functions,
            names: Vec::new(),
            arrays,
            kernels: kernels.to_vec(),
            loops: 0,
            depth: 0,
            count: 0,
            labels: Vec::new(),
        }
    }

    fn one_of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.random.usize(..list.len())]
    }

    fn one_of_both<'a>(&mut self, exact: &[&'a str], others: &[&'a str]) -> &'a str {
        let all = match self.functions {
            Functions::All => exact.len() + others.len(),
            Functions::Exact => exact.len(),
        };
        let number = self.random.usize(..all);
        exact
            .get(number)
            .unwrap_or_else(|| &others[number - exact.len()])
    }

    fn name(&mut self) -> String {
        let number = self.random.usize(..self.names.len());
        self.names[number].0.clone()
    }

    fn target(&mut self) -> Option<String> {
        let free: Vec<&String> = self
            .names
            .iter()
            .filter(|known| known.1)
            .map(|known| &known.0)
            .collect();
        match free.is_empty() {
            true => None,
            false => Some(free[self.random.usize(..free.len())].clone()),
        }
    }

    fn leaf(&mut self) -> String {
        match self.random.u8(..4) {
            0 => {
                let numbers: Vec<&str> = NUMBERS.split(' ').collect();
                self.one_of(&numbers).to_owned()
            }
            _ => self.name(),
        }
    }

    /// An index that is a place in an array of at least 16 elements.
    fn index(&mut self, depth: usize) -> String {
        match self.random.u8(..8) {
            0 => self.random.u8(..16).to_string(),
            1 => format!("({}) >>> 28", self.number(depth)),
            2 => format!("(({}) & 7) + 8", self.number(depth)),
            3 => format!(
                "(({}) & 3) * 4 + (({}) & 3)",
                self.number(depth),
                self.number(depth)
            ),
            4 => format!("Math.abs(({}) % 16 | 0)", self.number(depth)),
            5 => format!("(({}) & 15) / 2 * 2", self.number(depth)),
            _ => format!("({}) & 15", self.number(depth)),
        }
    }

    fn array(&mut self) -> String {
        format!("a{}", self.random.usize(..self.arrays))
    }

    fn truth(&mut self, depth: usize) -> String {
        if depth == 0 {
            return format!("({} < {})", self.leaf(), self.leaf());
        }
        let depth = depth - 1;
        match self.random.u8(..14) {
            12 | 13 => self.neighbours(),
            0 => format!("!({})", self.truth(depth)),
            1 => format!("({} && {})", self.truth(depth), self.truth(depth)),
            2 => format!("({} || {})", self.truth(depth), self.truth(depth)),
            3 => format!("({} === {})", self.truth(depth), self.truth(depth)),
            4 => format!("!({})", self.number(depth)),
            _ => {
                let operator = self.one_of(&["<", "<=", ">", ">=", "==", "!=", "===", "!=="]);
                format!("({} {operator} {})", self.number(depth), self.number(depth))
            }
        }
    }

    /// Two variables, or one and itself, that may be one apart: at the ends, that is no step more.
    fn neighbours(&mut self) -> String {
        let compare = self.one_of(&["<", "<=", ">", ">=", "===", "!=="]);
        let step = self.one_of(&["+", "-"]);
        format!("({} {compare} {} {step} 1)", self.name(), self.leaf())
    }

    fn number(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.leaf();
        }
        let depth = depth - 1;
        match self.random.u8(..40) {
            0..=9 => {
                let operator = self.one_of(&["+", "-", "*", "/", "%", "+", "-", "*"]);
                format!("({} {operator} {})", self.number(depth), self.number(depth))
            }
            10..=17 => {
                let operator = self.one_of(&["&", "|", "^", "<<", ">>", ">>>"]);
                format!("({} {operator} {})", self.number(depth), self.number(depth))
            }
            18 => format!("({} | 0)", self.number(depth)),
            19 => format!("({} >>> 0)", self.number(depth)),
            20 => format!("(({} + {}) | 0)", self.number(depth), self.number(depth)),
            21 => format!("(({} * {}) | 0)", self.number(depth), self.number(depth)),
            22 => format!("(-{})", self.leaf()),
            23 => format!("(~{})", self.number(depth)),
            24 => format!("(+{})", self.truth(depth)),
            25 => format!(
                "({} ? {} : {})",
                self.truth(depth),
                self.number(depth),
                self.number(depth)
            ),
            26 => format!("({} && {})", self.number(depth), self.number(depth)),
            27 => format!("({} || {})", self.number(depth), self.number(depth)),
            28..=30 => {
                let exact = [
                    "abs", "floor", "ceil", "trunc", "round", "sqrt", "sign", "fround", "clz32",
                ];
                let function =
                    self.one_of_both(&exact, &["f16round", "sin", "log1p", "cbrt", "exp"]);
                format!("Math.{function}({})", self.number(depth))
            }
            31 => {
                let others = ["atan2", "hypot", "pow"];
                let function = self.one_of_both(&["min", "max", "imul"], &others);
                format!(
                    "Math.{function}({}, {})",
                    self.number(depth),
                    self.number(depth)
                )
            }
            32 => {
                let operator = self.one_of(&["+=", "-=", "*=", "^=", "|=", ">>>=", "%="]);
                match self.target() {
                    Some(target) => format!("({target} {operator} {})", self.number(depth)),
                    None => self.leaf(),
                }
            }
            33 => match self.target() {
                Some(target) => {
                    let step = self.one_of(&["++", "--"]);
                    match self.random.bool() {
                        true => format!("({step}{target})"),
                        false => format!("({target}{step})"),
                    }
                }
                None => self.leaf(),
            },
            34 if !self.kernels.is_empty() => {
                let kernel = self.kernels[self.random.usize(..self.kernels.len())].clone();
                let array = self.array();
                let (x, y, z) = (self.number(depth), self.number(depth), self.leaf());
                format!("{kernel}({array}, {x}, {y}, {z})")
            }
            34 => format!("{}.length", self.array()),
            35 => format!("({}, {})", self.number(depth), self.number(depth)),
            36 if self.functions == Functions::All => {
                format!("({} ** {})", self.leaf(), self.leaf()).replace("(-", "(0-")
            }
            _ => format!("{}[{}]", self.array(), self.index(depth)),
        }
    }

    fn line(&mut self, out: &mut String, text: &str) {
        let _ = writeln!(out, "{text}");
        self.count += 1;
    }

    fn block(&mut self, out: &mut String, statements: usize) {
        out.push_str("{\n");
        let names = self.names.len();
        self.depth += 1;
        for _ in 0..statements {
            self.statement(out);
        }
        self.depth -= 1;
        self.names.truncate(names);
        out.push_str("}\n");
    }

    fn statement(&mut self, out: &mut String) {
        if self.depth > 4 || self.count > 30 {
            return;
        }
        let array = self.array();
        match self.random.u8(..33) {
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
                        "=", "=", "=", "+=", "-=", "*=", "%=", "^=", "<<=", ">>=", "&=",
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

    pub fn text(&mut self, name: &str) -> String {
        let mut text = format!("function {name}(");
        for number in 0..self.arrays {
            let _ = write!(text, "a{number}, ");
        }
        // Each array is used as one.
        let lengths: Vec<String> = (0..self.arrays)
            .map(|number| format!("a{number}.length"))
            .collect();
        let _ = write!(
            text,
            "x, y, z) {{\nlet turns = 0 * ({});\n",
            lengths.join(" + ")
        );
        self.names = ["x", "y", "z"].map(|name| (name.to_owned(), true)).to_vec();
        for _ in 0..self.random.usize(2..9) {
            self.statement(&mut text);
        }
        let result = self.number(3);
        let _ = write!(text, "return {result};\n}}");
        text
    }
}
