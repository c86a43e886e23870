//! What a value can be: a whole number between two bounds, any number, a boolean.

/// Whole numbers up to this size are exact as doubles.
pub(crate) const SAFE: i64 = 1 << 53;
pub(crate) const INT32: Range = Range {
    low: i32::MIN as i64,
    high: i32::MAX as i64,
    negative_zero: false,
};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Type {
    /// Nothing is known to come here yet.
    Never,
    Integer(Range),
    Double,
    Boolean,
    /// A boolean or a number: refused.
    Mixed,
}

/// Whole numbers from `low` to `high`, both within ±[`SAFE`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Range {
    pub(crate) low: i64,
    pub(crate) high: i64,
    /// Where it is 0, it may be -0: it is computed as an integer only where that makes no difference. No variable holds such.
    pub(crate) negative_zero: bool,
}

impl Range {
    /// `low` is not above `high`: a range without numbers would say that code is never reached.
    pub(crate) const fn new(low: i64, high: i64) -> Self {
        debug_assert!(low <= high, "a range that is inside out");
        Self {
            low,
            high,
            negative_zero: false,
        }
    }

    /// From the one to the other, as far as they are within ±[`SAFE`].
    fn clamped(low: i64, high: i64) -> Self {
        Self::new(low.clamp(-SAFE, SAFE), high.clamp(-SAFE, SAFE))
    }

    /// What is in both.
    pub(crate) fn common(self, other: Self) -> Option<Self> {
        let (low, high) = (self.low.max(other.low), self.high.min(other.high));
        (low <= high).then(|| Self::new(low, high))
    }

    pub(crate) fn fits(self, other: Self) -> bool {
        self.low >= other.low && self.high <= other.high
    }

    pub(crate) fn has_zero(self) -> bool {
        self.low <= 0 && self.high >= 0
    }

    pub(crate) fn is_int32(self) -> bool {
        self.fits(INT32)
    }

    /// What it is as 32 bits with a sign.
    pub(crate) fn int32(self) -> Self {
        match self.is_int32() {
            true => Self::new(self.low, self.high),
            false => INT32,
        }
    }

    fn hull(self, other: Self) -> Self {
        Self {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
            negative_zero: self.negative_zero || other.negative_zero,
        }
    }
}

impl Type {
    pub(crate) const INT32: Self = Self::Integer(INT32);

    pub(crate) fn of_number(value: f64) -> Self {
        let whole = value as i64;
        let exact = whole as f64 == value && !(value == 0.0 && value.is_sign_negative());
        match exact && (-SAFE..=SAFE).contains(&whole) {
            true => Self::Integer(Range::new(whole, whole)),
            false => Self::Double,
        }
    }

    /// What it is as a number.
    pub(crate) fn number(self) -> Self {
        match self {
            Self::Boolean => Self::Integer(Range::new(0, 1)),
            Self::Mixed => Self::Double,
            other => other,
        }
    }

    pub(crate) fn range(self) -> Option<Range> {
        match self {
            Self::Integer(range) => Some(range),
            _ => None,
        }
    }

    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Integer(_) | Self::Double)
    }

    /// Either of two.
    pub(crate) fn join(self, other: Self) -> Self {
        match (self, other) {
            (Self::Never, known) | (known, Self::Never) => known,
            (Self::Integer(a), Self::Integer(b)) => Self::Integer(a.hull(b)),
            (Self::Boolean, Self::Boolean) => Self::Boolean,
            (a, b) if a.is_number() && b.is_number() => Self::Double,
            _ => Self::Mixed,
        }
    }

    /// What a variable of this type becomes when it is assigned a value of another. Bounds that move move far, so that they
    /// do it a few times only.
    pub(crate) fn widened(self, value: Self) -> Self {
        let value = match value {
            Self::Integer(range) if range.negative_zero => Self::Double,
            other => other,
        };
        match (self, self.join(value)) {
            (Self::Integer(before), Self::Integer(after)) if after != before => {
                let lows = [0, INT32.low, -SAFE];
                let highs = [INT32.high, i64::from(u32::MAX), SAFE];
                let low = match after.low < before.low {
                    true => lows.into_iter().find(|low| *low <= after.low),
                    false => Some(before.low),
                };
                let high = match after.high > before.high {
                    true => highs.into_iter().find(|high| *high >= after.high),
                    false => Some(before.high),
                };
                Self::Integer(Range::new(low.unwrap_or(-SAFE), high.unwrap_or(SAFE)))
            }
            (_, joined) => joined,
        }
    }
}

/// A range if the bounds are exact as doubles.
fn integer(low: i128, high: i128, negative_zero: bool) -> Type {
    debug_assert!(low <= high, "a range that is inside out");
    let safe = i128::from(SAFE);
    if low < -safe || high > safe {
        return Type::Double;
    }
    Type::Integer(Range {
        low: low as i64,
        high: high as i64,
        negative_zero,
    })
}

/// Whether the sum or difference of these ends at ±2^53 where it would go beyond: with a step of one, a double stays there.
pub(crate) fn saturates(a: Range, step: Range) -> bool {
    !step.negative_zero && step.low == step.high && step.low.abs() == 1 && !a.negative_zero
}

pub(crate) fn add(a: Range, b: Range) -> Type {
    let (low, high) = (a.low + b.low, a.high + b.high);
    if saturates(a, b) {
        return Type::Integer(Range::clamped(low, high));
    }
    let negative_zero = a.negative_zero && b.negative_zero;
    integer(low.into(), high.into(), negative_zero)
}

pub(crate) fn subtract(a: Range, b: Range) -> Type {
    let (low, high) = (a.low - b.high, a.high - b.low);
    if saturates(a, b) {
        return Type::Integer(Range::clamped(low, high));
    }
    integer(low.into(), high.into(), a.negative_zero && b.has_zero())
}

pub(crate) fn multiply(a: Range, b: Range) -> Type {
    let (low, high) = product(a, b);
    let zero = |a: Range, b: Range| {
        a.has_zero() && (b.low < 0 || b.negative_zero) || a.negative_zero && b.high >= 0
    };
    integer(low, high, zero(a, b) || zero(b, a))
}

/// The bounds of a product, however large.
pub(crate) fn product(a: Range, b: Range) -> (i128, i128) {
    let of = |a: i64, b: i64| i128::from(a) * i128::from(b);
    let corners = [
        of(a.low, b.low),
        of(a.low, b.high),
        of(a.high, b.low),
        of(a.high, b.high),
    ];
    let first = corners[0];
    corners
        .into_iter()
        .fold((first, first), |(low, high), corner| {
            (low.min(corner), high.max(corner))
        })
}

pub(crate) fn remainder(a: Range, b: Range) -> Type {
    if b.has_zero() {
        return Type::Double;
    }
    let size = (b.low.abs().max(b.high.abs()) - 1).min(a.low.abs().max(a.high.abs()));
    Type::Integer(Range {
        low: if a.low < 0 { -size } else { 0 },
        high: if a.high > 0 { size } else { 0 },
        negative_zero: a.low < 0 || a.negative_zero,
    })
}

pub(crate) fn negate(a: Range) -> Type {
    Type::Integer(Range {
        low: -a.high,
        high: -a.low,
        negative_zero: a.has_zero(),
    })
}

/// All numbers that need no more bits than this one.
fn same_bits(value: i64) -> i64 {
    match value {
        0 => 0,
        value => i64::MAX >> value.leading_zeros().saturating_sub(1),
    }
}

pub(crate) fn bit_and(a: Range, b: Range) -> Range {
    match (a.low >= 0, b.low >= 0) {
        (true, true) => Range::new(0, a.high.min(b.high)),
        (true, false) => Range::new(0, a.high),
        (false, true) => Range::new(0, b.high),
        (false, false) => INT32,
    }
}

pub(crate) fn bit_or(a: Range, b: Range) -> Range {
    match a.low >= 0 && b.low >= 0 {
        true => Range::new(0, same_bits(a.high.max(b.high))),
        false => INT32,
    }
}

/// How far a shift by a constant goes.
pub(crate) fn shift(b: Range) -> Option<u32> {
    (b.low == b.high).then_some((b.low & 31) as u32)
}

pub(crate) fn shift_left(a: Range, b: Range) -> Range {
    match shift(b) {
        Some(bits) if a.low << bits >= INT32.low && a.high << bits <= INT32.high => {
            Range::new(a.low << bits, a.high << bits)
        }
        _ => INT32,
    }
}

pub(crate) fn shift_right(a: Range, b: Range) -> Range {
    match shift(b) {
        Some(bits) => Range::new(a.low >> bits, a.high >> bits),
        None => Range::new(a.low.min(0), a.high.max(0)),
    }
}

pub(crate) fn shift_right_unsigned(a: Range, b: Range) -> Range {
    let high = match a.low >= 0 {
        true => a.high,
        false => i64::from(u32::MAX),
    };
    match shift(b) {
        Some(bits) if a.low >= 0 => Range::new(a.low >> bits, high >> bits),
        Some(bits) => Range::new(0, high >> bits),
        None => Range::new(0, high),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an operation may give for numbers in these ranges, against what it gives.
    fn holds(found: Type, value: f64, what: &str, a: Range, b: Range) {
        let Type::Integer(range) = found else { return };
        let whole = value as i64;
        assert!(whole as f64 == value, "{what} {a:?} {b:?}: {value}");
        assert!(range.low <= range.high, "{what} {a:?} {b:?}: {range:?}");
        assert!(
            -SAFE <= range.low && range.high <= SAFE,
            "{what} {a:?} {b:?}: {range:?}"
        );
        assert!(
            range.low <= whole && whole <= range.high,
            "{what} {a:?} {b:?}: {value}"
        );
        let negative_zero = value == 0.0 && value.is_sign_negative();
        assert!(
            !negative_zero || range.negative_zero,
            "{what} {a:?} {b:?}: -0"
        );
    }

    /// Every operation on two numbers of two ranges.
    fn all_hold((a, x): (Range, i64), (b, y): (Range, i64)) {
        let (f, g) = (x as f64, y as f64);
        holds(add(a, b), f + g, "+", a, b);
        holds(subtract(a, b), f - g, "-", a, b);
        holds(multiply(a, b), f * g, "*", a, b);
        holds(remainder(a, b), f % g, "%", a, b);
        holds(negate(a), -f, "negate", a, b);
        // The low 32 bits of what is exact in 64.
        let (i, j) = (x as i32, y as i32);
        let (p, q) = (a.int32(), b.int32());
        let int = |range, value: i32, what| {
            holds(Type::Integer(range), value.into(), what, a, b);
        };
        int(bit_and(p, q), i & j, "&");
        int(bit_or(p, q), i | j, "|");
        int(bit_or(p, q), i ^ j, "^");
        int(shift_left(p, q), i.wrapping_shl(j as u32), "<<");
        int(shift_right(p, q), i.wrapping_shr(j as u32), ">>");
        let unsigned = f64::from((i as u32).wrapping_shr(j as u32));
        let range = Type::Integer(shift_right_unsigned(p, q));
        holds(range, unsigned, ">>>", a, b);
        for known in [a, b] {
            let widened = Type::Integer(a).widened(Type::Integer(b));
            assert!(widened.range().is_some_and(|range| known.fits(range)));
        }
        match a.common(b) {
            Some(both) => assert!(both.fits(a) && both.fits(b)),
            None => assert!(a.high < b.low || b.high < a.low),
        }
    }

    /// On small ranges, for all numbers in them.
    #[test]
    fn bounds_hold_for_all_that_is_between() {
        let mut ranges = Vec::new();
        for low in -4..=4 {
            for high in low..=4 {
                ranges.push(Range::new(low, high));
            }
        }
        for &a in &ranges {
            for &b in &ranges {
                for x in a.low..=a.high {
                    for y in b.low..=b.high {
                        all_hold((a, x), (b, y));
                    }
                }
            }
        }
    }

    /// On ranges that begin and end where something changes, for the numbers at their ends and around zero.
    #[test]
    fn bounds_hold_where_numbers_end() {
        let ends = [0, 1 << 31, 1 << 32, SAFE].map(|end| [end - 1, end, end + 1]);
        let ends = ends.as_flattened().iter().flat_map(|end| [-end, *end]);
        let mut ends: Vec<i64> = ends.filter(|end| end.abs() <= SAFE).collect();
        ends.sort_unstable();
        ends.dedup();
        let ranges = ends.iter().flat_map(|low| {
            let highs = ends.iter().filter(move |high| low <= high);
            highs.map(|high| Range::new(*low, *high))
        });
        let ranges: Vec<Range> = ranges.collect();
        let within = |range: Range| {
            let known = [range.low, -1, 0, 1, range.high];
            known
                .into_iter()
                .filter(move |value| (range.low..=range.high).contains(value))
        };
        for &a in &ranges {
            for &b in &ranges {
                for x in within(a) {
                    for y in within(b) {
                        all_hold((a, x), (b, y));
                    }
                }
            }
        }
    }

    #[test]
    fn a_range_that_grows_does_so_a_few_times() {
        let mut known = Type::Integer(Range::new(0, 0));
        let mut steps = 0;
        for value in 0..1000 {
            let next = known.widened(Type::Integer(Range::new(-value, value)));
            steps += usize::from(next != known);
            known = next;
        }
        assert!(steps <= 2, "{steps}");
        let beyond = Range::new(0, SAFE);
        assert_eq!(
            known.widened(Type::Integer(beyond)),
            Type::Integer(Range::new(INT32.low, SAFE))
        );
        assert_eq!(known.widened(Type::Double), Type::Double);
        assert_eq!(known.widened(Type::Boolean), Type::Mixed);
    }
}
