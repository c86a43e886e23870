//! Writes random kernels: every text is one that is taken, and every index a place in its array.

use fastrand::Rng;

/// Numbers at which something changes, as they are written.
const NUMBERS: &str = "0 1 2 3 7 13 31 32 33 100 255 256 0.5 1.5 2.75 (-0.25) (-1) (-7) (-0) 65535 65537 0x85ebca6b 2147483647 \
    2147483648 (-2147483648) 4294967295 4294967296 9007199254740991 9007199254740992 9007199254740994 \
    (-2147483649) (-4294967296) (-9007199254740991) (-9007199254740992) (-9007199254740994) 1e10 1e20 1e300 \
    NaN Infinity";

/// Where a counter ends: ranges of types are cut off there, or become wider.
pub(super) const ENDS: [&str; 10] = [
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

/// Constants that are captured, as they are written, and what they are.
pub const CONSTANTS: [(&str, f64); 8] = [
    ("0.1", 0.1),
    ("7", 7.0),
    ("-0", -0.0),
    ("-1", -1.0),
    ("2147483648", 2147483648.0),
    ("1e300", 1e300),
    ("NaN", f64::NAN),
    ("-Infinity", f64::NEG_INFINITY),
];

pub struct Writer {
    pub(super) random: Rng,
    functions: Functions,
    /// The kernel's own.
    pub(super) name: String,
    /// What can be read, and which of it can be assigned to.
    pub(super) names: Vec<(String, bool)>,
    /// Of the names of truth values, the same.
    pub(super) truths: Vec<(String, bool)>,
    pub(super) arrays: usize,
    /// The kernels that can be called, each with an array, three numbers, a truth value and a bound.
    kernels: Vec<String>,
    pub(super) loops: usize,
    pub(super) depth: usize,
    pub(super) count: usize,
    /// How often it calls itself.
    self_calls: usize,
    /// Whether a loop, or a block with this label, is around.
    pub(super) labels: Vec<String>,
}

impl Writer {
    /// Each has a constant `C` captured, and a truth value `T`.
    pub fn new(
        random: Rng,
        name: &str,
        arrays: usize,
        kernels: &[String],
        functions: Functions,
    ) -> Self {
        let fixed = |name: &str| (name.to_owned(), false);
        let free = |name: &str| (name.to_owned(), true);
        Self {
            random,
            functions,
            name: name.to_owned(),
            names: vec![free("x"), free("y"), free("z"), fixed("C"), fixed("d")],
            truths: vec![free("p"), fixed("T")],
            arrays,
            kernels: kernels.to_vec(),
            loops: 0,
            depth: 0,
            count: 0,
            self_calls: 0,
            labels: Vec::new(),
        }
    }

    pub(super) fn one_of<'a>(&mut self, list: &[&'a str]) -> &'a str {
        list[self.random.usize(..list.len())]
    }

    pub(super) fn one_of_both<'a>(&mut self, exact: &[&'a str], others: &[&'a str]) -> &'a str {
        let all = match self.functions {
            Functions::All => exact.len() + others.len(),
            Functions::Exact => exact.len(),
        };
        let number = self.random.usize(..all);
        exact
            .get(number)
            .unwrap_or_else(|| &others[number - exact.len()])
    }

    pub(super) fn name(&mut self) -> String {
        let number = self.random.usize(..self.names.len());
        self.names[number].0.clone()
    }

    pub(super) fn target(&mut self) -> Option<String> {
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

    pub(super) fn leaf(&mut self) -> String {
        match self.random.u8(..4) {
            0 => {
                let numbers: Vec<&str> = NUMBERS.split(' ').collect();
                self.one_of(&numbers).to_owned()
            }
            _ => self.name(),
        }
    }

    /// An index that is a place in an array of at least 16 elements.
    pub(super) fn index(&mut self, depth: usize) -> String {
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

    pub(super) fn array(&mut self) -> String {
        format!("a{}", self.random.usize(..self.arrays))
    }

    /// A truth value that can be assigned to.
    pub(super) fn truth_target(&mut self) -> Option<String> {
        let free: Vec<_> = self.truths.iter().filter(|known| known.1).collect();
        match free.is_empty() {
            true => None,
            false => Some(free[self.random.usize(..free.len())].0.clone()),
        }
    }

    fn truth_leaf(&mut self) -> String {
        match self.random.u8(..6) {
            0 => self.one_of(&["true", "false"]).to_owned(),
            1..=3 => {
                let at = self.random.usize(..self.truths.len());
                self.truths[at].0.clone()
            }
            _ => format!("({} < {})", self.leaf(), self.leaf()),
        }
    }

    pub(super) fn truth(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.truth_leaf();
        }
        let depth = depth - 1;
        match self.random.u8(..18) {
            14 | 15 => self.truth_leaf(),
            16 => match self.truth_target() {
                Some(target) => {
                    let operator = self.one_of(&["=", "||=", "&&="]);
                    format!("({target} {operator} {})", self.truth(depth))
                }
                None => self.truth_leaf(),
            },
            17 => format!(
                "({} ? {} : {})",
                self.truth(depth),
                self.truth(depth),
                self.truth(depth)
            ),
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
    pub(super) fn neighbours(&mut self) -> String {
        let compare = self.one_of(&["<", "<=", ">", ">=", "===", "!=="]);
        let step = self.one_of(&["+", "-"]);
        format!("({} {compare} {} {step} 1)", self.name(), self.leaf())
    }

    pub(super) fn number(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.leaf();
        }
        let depth = depth - 1;
        match self.random.u8(..44) {
            40 => format!("({} + {})", self.truth(depth), self.number(depth)),
            41 | 42 if self.self_calls < 3 => self.self_call(depth),
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
                let operator =
                    self.one_of(&["+=", "-=", "*=", "^=", "|=", ">>>=", "%=", "||=", "&&="]);
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
                let (truth, bound) = (self.truth(depth), self.random.u8(..2));
                format!("{kernel}({array}, {x}, {y}, {z}, {truth}, {bound})")
            }
            34 => format!("{}.length", self.array()),
            35 => format!("({}, {})", self.number(depth), self.number(depth)),
            36 if self.functions == Functions::All => {
                format!("({} ** {})", self.leaf(), self.leaf()).replace("(-", "(0-")
            }
            _ => format!("{}[{}]", self.array(), self.index(depth)),
        }
    }

    /// As deep as `d` says; from a loop not deeper than once.
    fn self_call(&mut self, depth: usize) -> String {
        self.self_calls += 1;
        let arrays: Vec<String> = (0..self.arrays).map(|_| self.array()).collect();
        let (x, y, z) = (self.number(depth), self.leaf(), self.leaf());
        let (truth, otherwise) = (self.truth(depth), self.leaf());
        let bound = match self.labels.is_empty() {
            true => "d - 1",
            false => "0",
        };
        let (name, arrays) = (&self.name, arrays.join(", "));
        format!("(d > 0 ? {name}({arrays}, {x}, {y}, {z}, {truth}, {bound}) : {otherwise})")
    }
}
