//! The functions of `Math`.

use super::function::Emitter;
use super::{Held, Repr};
use crate::math::{Function, hypotenuse};
use crate::tree::Expression;
use crate::types::lattice::Type;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32, F64, I32};
use cranelift_codegen::ir::{InstBuilder, Value};

impl<'p> Emitter<'_, '_, 'p> {
    pub(super) fn math(
        &mut self,
        function: Function,
        arguments: &'p [Expression],
        known: Type,
    ) -> Held {
        let held = |value, repr| Held { value, repr };
        let Some(first) = arguments.first() else {
            let value = match function {
                Function::Min => f64::INFINITY,
                Function::Max => f64::NEG_INFINITY,
                _ => 0.0,
            };
            return held(self.b.ins().f64const(value), Repr::Double);
        };
        let whole = match known {
            Type::Integer(range) => !range.negative_zero,
            _ => false,
        };
        match function {
            Function::Imul => {
                let (a, b) = (self.int32(first), self.int32(&arguments[1]));
                held(self.b.ins().imul(a, b), Repr::Int32)
            }
            Function::Clz32 => {
                let value = self.int32(first);
                held(self.b.ins().clz(value), Repr::Int32)
            }
            Function::Ceil | Function::Floor | Function::Trunc | Function::Round
                if matches!(known, Type::Integer(_)) =>
            {
                self.value(first)
            }
            Function::Abs if whole => {
                let value = self.int64(first);
                held(self.b.ins().iabs(value), Repr::Int64)
            }
            Function::Sign if whole => {
                let value = self.int64(first);
                let zero = self.constant64(0);
                let above = self.b.ins().icmp(IntCC::SignedGreaterThan, value, zero);
                let below = self.b.ins().icmp(IntCC::SignedLessThan, value, zero);
                let above = self.b.ins().uextend(I32, above);
                let below = self.b.ins().uextend(I32, below);
                held(self.b.ins().isub(above, below), Repr::Int32)
            }
            Function::Min | Function::Max if whole => self.extreme(function, arguments),
            _ => {
                let value = self.of_doubles(function, first, &arguments[1..]);
                held(value, Repr::Double)
            }
        }
    }

    fn extreme(&mut self, function: Function, arguments: &'p [Expression]) -> Held {
        let mut found: Option<Held> = None;
        for argument in arguments {
            let next = self.whole(argument);
            found = Some(match found {
                None => next,
                Some(found) => {
                    let repr = match (found.repr, next.repr) {
                        (Repr::Int32, Repr::Int32) => Repr::Int32,
                        _ => Repr::Int64,
                    };
                    let (a, b) = (self.convert(found, repr), self.convert(next, repr));
                    let value = match function {
                        Function::Min => self.b.ins().smin(a, b),
                        _ => self.b.ins().smax(a, b),
                    };
                    Held { value, repr }
                }
            });
        }
        match found {
            Some(found) => found,
            None => Held {
                value: self.nothing(Repr::Int32),
                repr: Repr::Int32,
            },
        }
    }

    fn of_doubles(
        &mut self,
        function: Function,
        first: &'p Expression,
        more: &'p [Expression],
    ) -> Value {
        let x = self.double(first);
        match function {
            Function::Abs => self.b.ins().fabs(x),
            Function::Ceil => self.b.ins().ceil(x),
            Function::Floor => self.b.ins().floor(x),
            Function::Trunc => self.b.ins().trunc(x),
            Function::Sqrt => self.b.ins().sqrt(x),
            Function::Round => {
                // Up, unless that is more than a half. From -0.5 on that is -0.
                let up = self.b.ins().ceil(x);
                let half = self.b.ins().f64const(0.5);
                let one = self.b.ins().f64const(1.0);
                let middle = self.b.ins().fsub(up, half);
                let down = self.b.ins().fsub(up, one);
                let below = self.b.ins().fcmp(FloatCC::GreaterThan, middle, x);
                self.b.ins().select(below, down, up)
            }
            Function::Sign => {
                let zero = self.b.ins().f64const(0.0);
                let one = self.b.ins().f64const(1.0);
                let minus_one = self.b.ins().f64const(-1.0);
                let below = self.b.ins().fcmp(FloatCC::LessThan, x, zero);
                let above = self.b.ins().fcmp(FloatCC::GreaterThan, x, zero);
                let rest = self.b.ins().select(below, minus_one, x);
                self.b.ins().select(above, one, rest)
            }
            Function::Min | Function::Max => more.iter().fold(x, |x, next| {
                let y = self.double(next);
                match function {
                    Function::Min => self.b.ins().fmin(x, y),
                    _ => self.b.ins().fmax(x, y),
                }
            }),
            Function::Hypot if more.is_empty() => self.b.ins().fabs(x),
            Function::Hypot => more.iter().fold(x, |x, next| {
                let y = self.double(next);
                self.call_library(hypotenuse as *const () as usize, &[x, y])
            }),
            Function::Fround => {
                let short = self.b.ins().fdemote(F32, x);
                self.b.ins().fpromote(F64, short)
            }
            Function::F16round => {
                let bits = self.double_to_half(x);
                self.half_to_double(bits)
            }
            Function::Library1(address) => self.call_library(address as *const () as usize, &[x]),
            Function::Library2(address) => {
                let y = match more.first() {
                    Some(second) => self.double(second),
                    None => self.b.ins().f64const(f64::NAN),
                };
                self.call_library(address as *const () as usize, &[x, y])
            }
            // Of whole numbers: they have been dealt with.
            Function::Imul | Function::Clz32 => x,
        }
    }
}
