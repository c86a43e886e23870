//! Integers of any size up to [`BigInteger::MAX_BYTES`].
//!
//! Owns their one canonical form and the ways to and from text. Does no arithmetic.
//! JavaScript reads and writes hexadecimal in linear time, decimal in quadratic: the engine side uses hexadecimal.

use std::fmt;

/// A JavaScript `BigInt`: a sign and a magnitude.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct BigInteger {
    negative: bool,
    /// Big endian, no leading zero byte; zero is empty and never negative.
    magnitude: Box<[u8]>,
}

/// A text is no big integer, or something is one of more than [`BigInteger::MAX_BYTES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BigIntegerError {
    /// More bytes than allowed.
    #[error("a big integer has more than {} bytes", BigInteger::MAX_BYTES)]
    TooBig,
    /// Something else than hexadecimal digits.
    #[error("not a hexadecimal integer")]
    NotHexadecimal,
}

impl BigInteger {
    /// The largest magnitude, in bytes (32,768 bits, 9,865 decimal digits): as decimal text it takes about 1 ms.
    pub const MAX_BYTES: usize = 4096;

    /// From a sign and a big-endian magnitude; leading zeros are dropped, and so is the sign of zero.
    ///
    /// # Errors
    /// A magnitude of more than [`Self::MAX_BYTES`].
    pub fn from_be_bytes(negative: bool, magnitude: &[u8]) -> Result<Self, BigIntegerError> {
        let zeros = magnitude.iter().take_while(|byte| **byte == 0).count();
        let magnitude = &magnitude[zeros..];
        if magnitude.len() > Self::MAX_BYTES {
            return Err(BigIntegerError::TooBig);
        }
        Ok(Self {
            negative: negative && !magnitude.is_empty(),
            magnitude: magnitude.into(),
        })
    }

    /// From what JavaScript's `toString(16)` gives: digits after an optional `-`.
    ///
    /// # Errors
    /// Other characters, no digit at all, or a magnitude of more than [`Self::MAX_BYTES`].
    pub fn from_hex(text: &str) -> Result<Self, BigIntegerError> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        let significant = digits.trim_start_matches('0');
        if digits.is_empty() {
            return Err(BigIntegerError::NotHexadecimal);
        }
        if significant.len() > 2 * Self::MAX_BYTES {
            return Err(BigIntegerError::TooBig);
        }
        let digit = |byte: u8| {
            let digit = char::from(byte)
                .to_digit(16)
                .ok_or(BigIntegerError::NotHexadecimal)?;
            u8::try_from(digit).map_err(|_| BigIntegerError::NotHexadecimal)
        };
        let mut magnitude = Vec::with_capacity(significant.len().div_ceil(2));
        let (odd, pairs) = significant.as_bytes().split_at(significant.len() % 2);
        for &byte in odd {
            magnitude.push(digit(byte)?);
        }
        for pair in pairs.chunks_exact(2) {
            magnitude.push(digit(pair[0])? << 4 | digit(pair[1])?);
        }
        Self::from_be_bytes(negative, &magnitude)
    }

    /// Whether it is below zero.
    #[must_use]
    pub const fn is_negative(&self) -> bool {
        self.negative
    }

    /// The magnitude, big endian and without leading zeros; empty for zero.
    #[must_use]
    pub const fn magnitude(&self) -> &[u8] {
        &self.magnitude
    }

    /// The magnitude as `0x…`, which JavaScript's `BigInt()` takes. It takes no sign there: negate afterwards.
    #[must_use]
    pub fn magnitude_hex(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = String::with_capacity(3 + 2 * self.magnitude.len());
        text.push_str("0x");
        if self.magnitude.is_empty() {
            text.push('0');
        }
        for byte in &self.magnitude {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        text
    }

    /// The number, where a `u128` holds it.
    #[must_use]
    pub fn to_u128(&self) -> Option<u128> {
        (!self.negative).then(|| self.small()).flatten()
    }

    /// The number, where an `i128` holds it.
    #[must_use]
    pub fn to_i128(&self) -> Option<i128> {
        let magnitude = self.small()?;
        if self.negative {
            0_i128.checked_sub_unsigned(magnitude)
        } else {
            magnitude.try_into().ok()
        }
    }

    fn small(&self) -> Option<u128> {
        let mut bytes = [0; 16];
        let start = bytes.len().checked_sub(self.magnitude.len())?;
        bytes[start..].copy_from_slice(&self.magnitude);
        Some(u128::from_be_bytes(bytes))
    }

    fn from_u128(negative: bool, magnitude: u128) -> Self {
        let bytes = magnitude.to_be_bytes();
        let zeros = magnitude.leading_zeros() as usize / 8;
        Self {
            negative,
            magnitude: bytes[zeros..].into(),
        }
    }
}

impl fmt::Display for BigInteger {
    /// Decimal digits after an optional `-`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const CHUNK: u64 = 1_000_000_000; // the largest power of ten that a limb holds
        let mut limbs: Vec<u32> = self
            .magnitude
            .rchunks(4)
            .rev()
            .map(|chunk| {
                chunk
                    .iter()
                    .fold(0, |limb, byte| limb << 8 | u32::from(*byte))
            })
            .collect();
        let mut chunks = Vec::new();
        let mut first = 0;
        while first < limbs.len() {
            let mut rest = 0;
            for limb in &mut limbs[first..] {
                let dividend = rest << 32 | u64::from(*limb);
                // The quotient is below 2^32, for the rest is below the divisor.
                *limb = (dividend / CHUNK) as u32;
                rest = dividend % CHUNK;
            }
            chunks.push(rest);
            while limbs.get(first) == Some(&0) {
                first += 1;
            }
        }
        let mut text = chunks.pop().unwrap_or(0).to_string();
        for chunk in chunks.iter().rev() {
            text.push_str(&format!("{chunk:09}"));
        }
        f.pad_integral(!self.negative, "", &text)
    }
}

impl fmt::Debug for BigInteger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}n")
    }
}

macro_rules! from {
    ($($type:ty),+) => { $(
        impl From<$type> for BigInteger {
            #[allow(unused_comparisons, reason = "one macro for signed and unsigned")]
            fn from(from: $type) -> Self {
                Self::from_u128(from < 0, if from < 0 { (from as i128).unsigned_abs() } else { from as u128 })
            }
        }
    )+ };
}

from!(i64, u64, i128, u128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_ones_convert_both_ways() {
        for number in [
            0,
            1,
            -1,
            255,
            256,
            i128::from(i64::MIN),
            i128::MAX,
            i128::MIN,
        ] {
            let big = BigInteger::from(number);
            assert_eq!(big.to_i128(), Some(number));
            assert_eq!(big.to_u128(), u128::try_from(number).ok());
            assert_eq!(big.to_string(), number.to_string());
        }
        assert_eq!(BigInteger::from(u128::MAX).to_i128(), None);
        assert_eq!(BigInteger::from(u128::MAX).to_u128(), Some(u128::MAX));
    }

    #[test]
    fn hexadecimal_reads_and_writes_as_in_javascript() {
        for (text, magnitude, decimal) in [
            ("0", "0x0", "0"),
            ("-0", "0x0", "0"),
            ("-000f", "0x0f", "-15"),
            ("fFf", "0x0fff", "4095"),
            ("-1000000000", "0x1000000000", "-68719476736"),
            (
                "10000000000000000000000000000000000",
                "0x010000000000000000000000000000000000",
                "87112285931760246646623899502532662132736",
            ),
        ] {
            let big = BigInteger::from_hex(text).unwrap();
            assert_eq!(big.magnitude_hex(), magnitude, "{text}");
            assert_eq!(big.to_string(), decimal, "{text}");
        }
        for text in ["", "-", "0x1", "+1", "g", "1 ", "é"] {
            assert_eq!(
                BigInteger::from_hex(text),
                Err(BigIntegerError::NotHexadecimal),
                "{text:?}"
            );
        }
    }

    #[test]
    fn the_form_is_canonical() {
        let zero = BigInteger::from_be_bytes(true, &[0, 0]).unwrap();
        assert_eq!(zero, BigInteger::default());
        assert!(!zero.is_negative());
        assert_eq!(BigInteger::from_be_bytes(false, &[0, 7]), Ok(7_i64.into()));
    }

    #[test]
    #[cfg_attr(miri, ignore = "ten thousand digits are minutes")]
    fn the_size_is_bounded() {
        let digits = "f".repeat(2 * BigInteger::MAX_BYTES);
        let largest = BigInteger::from_hex(&digits).unwrap();
        // 2^32768 - 1 has 9,865 digits and starts with 1415…: log10 is 32768 * 0.30103.
        let decimal = largest.to_string();
        assert_eq!((decimal.len(), &decimal[..4]), (9865, "1415"));
        assert_eq!(
            BigInteger::from_hex(&format!("{digits}0")),
            Err(BigIntegerError::TooBig)
        );
        assert_eq!(
            BigInteger::from_be_bytes(false, &[1; BigInteger::MAX_BYTES + 1]),
            Err(BigIntegerError::TooBig)
        );
    }
}
