//! Random values for tests, the same ones for the same seed.

use super::{BigInteger, TypedArray, TypedArrayKind, Value};

/// How often a test repeats what it does; seldom under Miri, which takes a thousand times as long.
pub(super) const fn rounds(many: usize) -> usize {
    if cfg!(miri) { many.div_ceil(250) } else { many }
}

/// The splitmix64 generator.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn bytes(&mut self, end: usize) -> Vec<u8> {
        (0..self.below(end)).map(|_| self.next() as u8).collect()
    }

    fn float(&mut self) -> f64 {
        match self.below(8) {
            0 => f64::NAN,
            1 => -0.0,
            2 => f64::NEG_INFINITY,
            3 => self.next() as i32 as f64,
            _ => f64::from_bits(self.next()),
        }
    }

    fn text(&mut self) -> String {
        const CHARACTERS: [char; 8] = ['a', 'Z', '"', '\\', '\0', 'é', '€', '😀'];
        // Some pass the 127 bytes whose length is one byte.
        let end = if self.below(10) == 0 { 150 } else { 6 };
        let length = self.below(end);
        (0..length).map(|_| CHARACTERS[self.below(8)]).collect()
    }
}

/// A value of any kind, with arrays and objects at most `depth` deep.
pub(super) fn random_value(random: &mut Random, depth: usize) -> Value {
    match random.below(if depth == 0 { 10 } else { 14 }) {
        0 => Value::Undefined,
        1 => Value::Null,
        2 => Value::Bool(random.below(2) == 0),
        3 => {
            let magnitude = random.next() >> random.below(64);
            Value::Integer((magnitude as i64).wrapping_mul(if random.below(2) == 0 {
                1
            } else {
                -1
            }))
        }
        4 => Value::Float(random.float()),
        5 => {
            let negative = random.below(2) == 0;
            Value::BigInteger(BigInteger::from_be_bytes(negative, &random.bytes(20)).unwrap())
        }
        6 => Value::String(random.text()),
        7 => Value::Bytes(random.bytes(20)),
        8 => {
            let kind = TypedArrayKind::ALL[random.below(TypedArrayKind::ALL.len())];
            let mut bytes = random.bytes(40);
            bytes.truncate(bytes.len() / 8 * 8);
            Value::TypedArray(TypedArray::new(kind, bytes).unwrap())
        }
        9 => Value::Date(random.float()),
        10 | 11 => (0..random.below(5))
            .map(|_| random_value(random, depth - 1))
            .collect(),
        _ => Value::object(
            (0..random.below(5)).map(|_| (random.text(), random_value(random, depth - 1))),
        ),
    }
}

/// A text that differs wherever the values differ, unlike `==` with NaN and -0.
///
/// NaNs with other bits count as equal; JavaScript sees only one of them.
pub(super) fn exact(value: &Value) -> String {
    format!("{value:?}")
}
