//! Random kernels, and arguments for calls of them.

use super::writer::{CONSTANTS, Functions, Writer};
use super::{Argument, capturing, number};
use fastrand::Rng;
use madrpc_kernels::{Captured, ElementKind, Kernel, Refused};
use std::fmt::Write;
use std::sync::Arc;

pub struct Case {
    /// Names and texts: each captures those before it, and the last is called.
    texts: Vec<(String, String)>,
    arrays: usize,
    kinds: Vec<ElementKind>,
    /// What each of them has captured: one of the constants, and a truth value.
    constant: usize,
    truth: bool,
    /// The second array is in the buffer of the first.
    overlaps: bool,
    pub random: Rng,
}

impl Case {
    /// The same for the same seed.
    pub fn new(seed: u64, functions: Functions) -> Self {
        let mut random = Rng::with_seed(seed);
        let arrays = random.usize(1..4);
        let mut texts = Vec::new();
        let mut names: Vec<String> = Vec::new();
        for number in 0..random.usize(..3) {
            let name = format!("k{number}");
            let mut writer = Writer::new(random.fork(), &name, 1, &names, functions);
            texts.push((name.clone(), writer.text()));
            names.push(name);
        }
        let mut writer = Writer::new(random.fork(), "f", arrays, &names, functions);
        texts.push(("f".to_owned(), writer.text()));
        // Node.js has halves from version 24 on.
        let kinds = ElementKind::ALL
            .into_iter()
            .filter(|kind| functions == Functions::All || *kind != ElementKind::Float16);
        Self {
            texts,
            arrays,
            kinds: kinds.collect(),
            constant: random.usize(..CONSTANTS.len()),
            truth: random.bool(),
            overlaps: arrays > 1 && random.u8(..3) == 0,
            random,
        }
    }

    pub fn kernel(&self) -> Result<Arc<Kernel>, Refused> {
        let constant = Captured::Number(CONSTANTS[self.constant].1);
        let mut captured = vec![("C", constant), ("T", Captured::Boolean(self.truth))];
        let mut last = None;
        for (name, text) in &self.texts {
            captured.extend(last.take());
            let made = Arc::new(capturing(text, &captured)?);
            last = Some((name.as_str(), Captured::Kernel(made)));
        }
        match last {
            Some((_, Captured::Kernel(made))) => Ok(made),
            _ => unreachable!("there is at least one text"),
        }
    }

    /// An expression that is the function.
    pub fn script(&self) -> String {
        let (constant, truth) = (CONSTANTS[self.constant].0, self.truth);
        let mut script = format!("(() => {{\nconst C = {constant}, T = {truth};\n");
        for (name, text) in &self.texts {
            let _ = writeln!(script, "const {name} = {text};");
        }
        script + "return f;\n})()"
    }

    pub fn arguments(&mut self) -> Vec<Argument> {
        let mut arguments: Vec<Argument> = (0..self.arrays).map(|_| self.array()).collect();
        if self.overlaps {
            self.overlap(&mut arguments);
        }
        arguments.extend((0..3).map(|_| self.number()));
        arguments.push(Argument::Boolean(self.random.bool()));
        // How deep it may call itself.
        arguments.push(Argument::Int32(self.random.i32(..3)));
        arguments
    }

    /// Others, of the kinds that these have.
    pub fn arguments_like(&mut self, first: &[Argument]) -> Vec<Argument> {
        let mut arguments = self.arguments();
        for (argument, first) in arguments.iter_mut().zip(first) {
            self.fit(argument, first);
        }
        arguments
    }

    /// Makes the second a view of the first, at any offset. The bits of NaN are nobody's business, and would show there: so both
    /// have whole numbers, or are of one kind.
    fn overlap(&mut self, arguments: &mut [Argument]) {
        let is_float = |kind: ElementKind| {
            let floats = [
                ElementKind::Float16,
                ElementKind::Float32,
                ElementKind::Float64,
            ];
            floats.contains(&kind)
        };
        let [Argument::Array(kind, bytes), second, ..] = arguments else {
            return;
        };
        let other = match second {
            Argument::Array(other, _) if !is_float(*kind) && !is_float(*other) => *other,
            _ => *kind,
        };
        // There are 16 elements from wherever it begins.
        bytes.extend_from_within(..);
        while bytes.len() < 40 * other.bytes() {
            bytes.extend_from_within(..);
        }
        let offset = self.random.usize(..24) * other.bytes();
        *second = Argument::View(other, 0, offset, self.random.usize(16..17));
    }

    fn number(&mut self) -> Argument {
        let special = [
            0.0,
            -0.0,
            1.0,
            -1.0,
            2.0,
            3.0,
            15.0,
            0.5,
            -7.25,
            255.0,
            65536.0,
            2147483647.0,
            -2147483648.0,
            4294967295.0,
            4294967296.5,
            9007199254740991.0,
            -9007199254740992.0,
            1e20,
            -1e300,
            f64::INFINITY,
            f64::NAN,
        ];
        let random = &mut self.random;
        match random.u8(..4) {
            0 => Argument::Int32(random.i32(..)),
            1 => Argument::Double((random.f64() - 0.5) * 2f64.powi(random.i32(-10..70))),
            _ => number(special[random.usize(..special.len())]),
        }
    }

    fn array(&mut self) -> Argument {
        let random = &mut self.random;
        let kind = self.kinds[random.usize(..self.kinds.len())];
        let length = random.usize(16..20);
        let mut bytes = Vec::new();
        for _ in 0..length {
            // Small numbers say more than random bytes, which are mostly vast or NaN.
            let value = match random.u8(..3) {
                0 => random.i32(-300..300).into(),
                1 => (random.f64() - 0.5) * 1000.0,
                _ => f64::from(random.i32(..)),
            };
            match kind {
                ElementKind::Float64 => bytes.extend_from_slice(&value.to_ne_bytes()),
                ElementKind::Float32 => bytes.extend_from_slice(&(value as f32).to_ne_bytes()),
                ElementKind::Float16 => {
                    bytes.extend_from_slice(&(random.u16(..) & 0xbfff).to_ne_bytes());
                }
                _ => bytes.extend_from_slice(&(value as i64).to_ne_bytes()[..kind.bytes()]),
            }
        }
        Argument::Array(kind, bytes)
    }

    /// Makes the argument one of the kind of the first.
    fn fit(&mut self, argument: &mut Argument, first: &Argument) {
        let is_long = |argument: &Argument| match (argument, first) {
            (Argument::Array(_, bytes), Argument::Array(_, first)) => bytes.len() >= first.len(),
            _ => true,
        };
        let is_view = matches!(first, Argument::View(..));
        if argument.kind() == first.kind() && is_long(argument) && !is_view {
            return;
        }
        let random = &mut self.random;
        *argument = match (&argument, first) {
            (Argument::Int32(value), Argument::Double(_)) => Argument::Double((*value).into()),
            (Argument::Double(_), Argument::Int32(_)) => Argument::Int32(random.i32(-20..300)),
            (_, Argument::View(kind, of, offset, length)) => {
                Argument::View(*kind, *of, *offset, *length)
            }
            (_, Argument::Array(kind, bytes)) => {
                let mut bytes = bytes.clone();
                let element = random.usize(..bytes.len() / kind.bytes()) * kind.bytes();
                bytes.rotate_left(element);
                Argument::Array(*kind, bytes)
            }
            (_, first) => first.clone(),
        };
    }
}

/// The bits of NaN are nobody's business, but they are in arrays too.
pub fn canonical(argument: &Argument) -> Argument {
    let Argument::Array(kind, bytes) = argument else {
        return argument.clone();
    };
    let mut bytes = bytes.clone();
    for element in bytes.chunks_exact_mut(kind.bytes()) {
        // Little-endian: the last bytes have sign and exponent. All bits of the exponent, and one below: NaN.
        let (exponent, top) = match kind {
            ElementKind::Float64 => (0x7ff0_u32, element.len() - 2),
            ElementKind::Float32 => (0x7f80, element.len() - 2),
            ElementKind::Float16 => (0x7c00, 0),
            _ => continue,
        };
        let high = u32::from(element[top]) | u32::from(element[top + 1]) << 8;
        let is_nan = high & exponent == exponent
            && (high & (0x7fff ^ exponent) != 0 || element[..top].iter().any(|byte| *byte != 0));
        if is_nan {
            element.fill(0xff);
        }
    }
    Argument::Array(*kind, bytes)
}

/// Whether both have left the same in the arrays.
pub fn same_arrays(found: &[Argument], wanted: &[Argument]) -> bool {
    let mut both = found.iter().zip(wanted);
    both.all(|(found, wanted)| match found {
        Argument::Array(..) => canonical(found) == canonical(wanted),
        _ => true,
    })
}
