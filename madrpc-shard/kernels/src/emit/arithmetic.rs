//! Operators between two values.
//!
//! # What could trap
//!
//! A trap ends the process, so that none may hang on a type that was found: with wrong types a kernel gives wrong values, and no
//! more. Of the instructions that are emitted
//!
//! - `urem` and `srem` trap where the divisor is 0: [`Emitter::divisor`] makes another of it, for all of them. (Of the least
//!   number and -1, `srem` is 0 in Cranelift, and no trap.)
//! - `fcvt_to_sint` would trap on NaN and what is too large: everywhere it is `fcvt_to_sint_sat`.
//! - `load` and `store` go to places that the host gave, and to elements that were compared with the length just before;
//!   `atomic_load` to the flag, which is aligned.
//! - `call_indirect` goes to functions of this program, and to the host's.
//! - `br_table` goes to its default where the value is none of its own.
//! - `sdiv`, `udiv`, `trap…`, and sums that look for an overflow there are none.

use super::function::Emitter;
use super::{Held, Repr};
use crate::math;
use crate::tree::{Binary, Expression};
use crate::types::lattice::{Range, SAFE, Type, saturates};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Value};

impl Binary {
    pub(super) fn is_arithmetic(self) -> bool {
        matches!(
            self,
            Self::Add | Self::Subtract | Self::Multiply | Self::Remainder
        )
    }
}

impl<'p> Emitter<'_, '_, 'p> {
    pub(super) fn binary(
        &mut self,
        operator: Binary,
        left: &'p Expression,
        right: &'p Expression,
        known: Type,
    ) -> Held {
        if let Some(compare) = comparison(operator) {
            let value = self.compared(compare, left, right);
            return Held {
                value,
                repr: Repr::Boolean,
            };
        }
        if let Some(value) = self.bits(operator, left, right) {
            // An unsigned number of 32 bits is held in 64, if it may have the highest of them.
            if operator == Binary::ShiftRightUnsigned && Repr::of(known) == Repr::Int64 {
                return Held {
                    value: self.extend(value),
                    repr: Repr::Int64,
                };
            }
            return Held {
                value,
                repr: Repr::Int32,
            };
        }
        match known {
            Type::Integer(range) if !range.negative_zero => {
                self.whole_binary(operator, left, right, range)
            }
            _ => Held {
                value: self.floating(operator, left, right),
                repr: Repr::Double,
            },
        }
    }

    /// The operators on 32 bits.
    fn bits(
        &mut self,
        operator: Binary,
        left: &'p Expression,
        right: &'p Expression,
    ) -> Option<Value> {
        if !matches!(
            operator,
            Binary::BitAnd
                | Binary::BitOr
                | Binary::BitXor
                | Binary::ShiftLeft
                | Binary::ShiftRight
                | Binary::ShiftRightUnsigned
        ) {
            return None;
        }
        let (a, b) = (self.int32(left), self.int32(right));
        let ins = self.b.ins();
        Some(match operator {
            Binary::BitAnd => ins.band(a, b),
            Binary::BitOr => ins.bor(a, b),
            Binary::BitXor => ins.bxor(a, b),
            // A shift goes as far as the low 5 bits say, there as here.
            Binary::ShiftLeft => ins.ishl(a, b),
            Binary::ShiftRight => ins.sshr(a, b),
            _ => ins.ushr(a, b),
        })
    }

    /// Whether a sum has to stay at -2^53, and whether at 2^53.
    fn saturation(&self, operator: Binary, left: &Expression, right: &Expression) -> (bool, bool) {
        let types = (self.type_of(left).number(), self.type_of(right).number());
        let (Type::Integer(a), Type::Integer(b)) = types else {
            return (false, false);
        };
        let (low, high) = match operator {
            Binary::Add => (a.low + b.low, a.high + b.high),
            Binary::Subtract => (a.low - b.high, a.high - b.low),
            _ => return (false, false),
        };
        (
            saturates(a, b) && low < -SAFE,
            saturates(a, b) && high > SAFE,
        )
    }

    pub(super) fn may_saturate(
        &self,
        operator: Binary,
        left: &Expression,
        right: &Expression,
    ) -> bool {
        self.saturation(operator, left, right) != (false, false)
    }

    /// Arithmetic between whole numbers whose result is one, within the range.
    pub(super) fn whole_binary(
        &mut self,
        operator: Binary,
        left: &'p Expression,
        right: &'p Expression,
        range: Range,
    ) -> Held {
        if operator == Binary::Remainder {
            return self.whole_remainder(left, right);
        }
        if range.is_int32() {
            let (a, b) = (self.int32(left), self.int32(right));
            let value = self.sum_or_product(operator, a, b);
            return Held {
                value,
                repr: Repr::Int32,
            };
        }
        let (low, high) = self.saturation(operator, left, right);
        let (a, b) = (self.int64(left), self.int64(right));
        let mut value = self.sum_or_product(operator, a, b);
        if low {
            let least = self.constant64(-SAFE);
            value = self.b.ins().smax(value, least);
        }
        if high {
            let most = self.constant64(SAFE);
            value = self.b.ins().smin(value, most);
        }
        Held {
            value,
            repr: Repr::Int64,
        }
    }

    fn sum_or_product(&mut self, operator: Binary, a: Value, b: Value) -> Value {
        match operator {
            Binary::Add => self.b.ins().iadd(a, b),
            Binary::Subtract => self.b.ins().isub(a, b),
            _ => self.b.ins().imul(a, b),
        }
    }

    /// A remainder whose divisor is not 0.
    fn whole_remainder(&mut self, left: &'p Expression, right: &'p Expression) -> Held {
        let (a, b) = (self.whole(left), self.whole(right));
        let positive = self.is_positive(left) && self.is_positive(right);
        let repr = match (a.repr, b.repr) {
            (Repr::Int32, Repr::Int32) => Repr::Int32,
            _ => Repr::Int64,
        };
        let (a, b) = (self.convert(a, repr), self.convert(b, repr));
        let (b, _) = self.divisor(Held { value: b, repr });
        let value = match positive {
            true => self.b.ins().urem(a, b),
            false => self.b.ins().srem(a, b),
        };
        Held { value, repr }
    }

    /// What may be divided by: 1 instead of 0, and whether it was 0. Of a constant nothing is left of that.
    fn divisor(&mut self, by: Held) -> (Value, Value) {
        let held = by.repr.ir();
        let (zero, one) = (self.b.ins().iconst(held, 0), self.b.ins().iconst(held, 1));
        let is_zero = self.b.ins().icmp(IntCC::Equal, by.value, zero);
        (self.b.ins().select(is_zero, one, by.value), is_zero)
    }

    fn is_positive(&self, expression: &Expression) -> bool {
        let known = self.type_of(expression).number();
        known.range().is_some_and(|range| range.low >= 0)
    }

    /// Arithmetic between doubles.
    fn floating(&mut self, operator: Binary, left: &'p Expression, right: &'p Expression) -> Value {
        // The remainder of -0 is -0: an integer would not know.
        if operator == Binary::Remainder
            && let (Type::Integer(dividend), Type::Integer(_)) =
                (self.type_of(left).number(), self.type_of(right).number())
            && !dividend.negative_zero
        {
            return self.remainder_of_whole(left, right);
        }
        let (a, b) = (self.double(left), self.double(right));
        match operator {
            Binary::Add => self.b.ins().fadd(a, b),
            Binary::Subtract => self.b.ins().fsub(a, b),
            Binary::Multiply => self.b.ins().fmul(a, b),
            Binary::Divide => self.b.ins().fdiv(a, b),
            Binary::Remainder => {
                let address = math::remainder as *const () as usize;
                self.call_library(address, &[a, b])
            }
            _ => {
                let address = math::power as *const () as usize;
                self.call_library(address, &[a, b])
            }
        }
    }

    /// A remainder that may be NaN, as the divisor may be 0, or -0, as the dividend may be negative.
    fn remainder_of_whole(&mut self, left: &'p Expression, right: &'p Expression) -> Value {
        let positive = self.is_positive(left);
        let (held, by) = (self.whole(left), self.int64(right));
        let a = self.convert(held, Repr::Int64);
        let (by, by_zero) = self.divisor(Held {
            value: by,
            repr: Repr::Int64,
        });
        let rest = self.b.ins().srem(a, by);
        let mut rest = self.as_double(rest);
        if !positive {
            let sign = self.as_double(a);
            rest = self.b.ins().fcopysign(rest, sign);
        }
        let nan = self.b.ins().f64const(f64::NAN);
        self.b.ins().select(by_zero, nan, rest)
    }

    fn compared(&mut self, compare: IntCC, left: &'p Expression, right: &'p Expression) -> Value {
        let equality = matches!(compare, IntCC::Equal | IntCC::NotEqual);
        let types = (self.type_of(left), self.type_of(right));
        let (a, b) = match types {
            (Type::Boolean, Type::Boolean) if equality => (self.value(left), self.value(right)),
            (Type::Integer(_) | Type::Boolean, Type::Integer(_) | Type::Boolean) => {
                (self.whole(left), self.whole(right))
            }
            _ => {
                let a = self.double(left);
                let b = self.double(right);
                let held = |value| Held {
                    value,
                    repr: Repr::Double,
                };
                (held(a), held(b))
            }
        };
        self.compare(compare, a, b)
    }

    pub(super) fn compare(&mut self, compare: IntCC, a: Held, b: Held) -> Value {
        let whole = |held: Held| matches!(held.repr, Repr::Int32 | Repr::Int64);
        if a.repr == b.repr && a.repr != Repr::Double {
            return self.b.ins().icmp(compare, a.value, b.value);
        }
        if whole(a) && whole(b) {
            let (a, b) = (self.convert(a, Repr::Int64), self.convert(b, Repr::Int64));
            return self.b.ins().icmp(compare, a, b);
        }
        let (a, b) = (self.convert(a, Repr::Double), self.convert(b, Repr::Double));
        // Of NaN none holds but `!=`.
        let compare = match compare {
            IntCC::Equal => FloatCC::Equal,
            IntCC::NotEqual => FloatCC::NotEqual,
            IntCC::SignedLessThan => FloatCC::LessThan,
            IntCC::SignedLessThanOrEqual => FloatCC::LessThanOrEqual,
            IntCC::SignedGreaterThan => FloatCC::GreaterThan,
            _ => FloatCC::GreaterThanOrEqual,
        };
        self.b.ins().fcmp(compare, a, b)
    }
}

fn comparison(operator: Binary) -> Option<IntCC> {
    Some(match operator {
        Binary::Equal => IntCC::Equal,
        Binary::NotEqual => IntCC::NotEqual,
        Binary::Less => IntCC::SignedLessThan,
        Binary::LessEqual => IntCC::SignedLessThanOrEqual,
        Binary::Greater => IntCC::SignedGreaterThan,
        Binary::GreaterEqual => IntCC::SignedGreaterThanOrEqual,
        _ => return None,
    })
}
