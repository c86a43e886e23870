//! From one way to hold a value to another.

use super::function::Emitter;
use super::{Held, Repr};
use crate::tree::Expression;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F64, I32, I64};
use cranelift_codegen::ir::{BlockArg, InstBuilder, Value};

impl<'p> Emitter<'_, '_, 'p> {
    pub(super) fn constant32(&mut self, value: i32) -> Value {
        let bits = i64::from(value.cast_unsigned());
        self.b.ins().iconst(I32, bits)
    }

    pub(super) fn constant64(&mut self, value: i64) -> Value {
        self.b.ins().iconst(I64, value)
    }

    /// Any value, where none can be.
    pub(super) fn nothing(&mut self, repr: Repr) -> Value {
        match repr {
            Repr::Double => self.b.ins().f64const(0.0),
            other => self.b.ins().iconst(other.ir(), 0),
        }
    }

    /// The value of an expression, held so. It has to fit, as the types say.
    pub(super) fn held_as(&mut self, expression: &'p Expression, repr: Repr) -> Value {
        match repr {
            Repr::Int32 => self.int32(expression),
            Repr::Int64 => self.int64(expression),
            Repr::Double => self.double(expression),
            Repr::Boolean => {
                let held = self.value(expression);
                self.convert(held, repr)
            }
        }
    }

    pub(super) fn convert(&mut self, held: Held, repr: Repr) -> Value {
        let value = held.value;
        match (held.repr, repr) {
            (from, to) if from == to => value,
            (_, Repr::Boolean) => self.truth(held),
            (Repr::Boolean, Repr::Int32) => self.b.ins().uextend(I32, value),
            (Repr::Boolean, Repr::Int64) => self.b.ins().uextend(I64, value),
            (Repr::Boolean, Repr::Double) => {
                let whole = self.b.ins().uextend(I32, value);
                self.b.ins().fcvt_from_sint(F64, whole)
            }
            (Repr::Int32, Repr::Int64) => self.b.ins().sextend(I64, value),
            (Repr::Int64, Repr::Int32) => self.b.ins().ireduce(I32, value),
            (Repr::Int32 | Repr::Int64, _) => self.b.ins().fcvt_from_sint(F64, value),
            (Repr::Double, Repr::Int32) => self.truncated(value),
            (Repr::Double, _) => self.b.ins().fcvt_to_sint_sat(I64, value),
        }
    }

    /// Whether it is true: not 0, and not NaN.
    pub(super) fn truth(&mut self, held: Held) -> Value {
        match held.repr {
            Repr::Boolean => held.value,
            Repr::Int32 | Repr::Int64 => {
                let zero = self.nothing(held.repr);
                self.b.ins().icmp(IntCC::NotEqual, held.value, zero)
            }
            Repr::Double => {
                let zero = self.nothing(Repr::Double);
                let compare = FloatCC::OrderedNotEqual;
                self.b.ins().fcmp(compare, held.value, zero)
            }
        }
    }

    /// The low 32 bits of a number, without its fraction.
    pub(super) fn truncated(&mut self, value: Value) -> Value {
        let quick = self.b.ins().fcvt_to_sint_sat(I64, value);
        let low = self.b.ins().ireduce(I32, quick);
        // Beyond 2^63 it is the greatest or the least of 64 bits.
        let shift = self.constant64(i64::MIN + 1);
        let shifted = self.b.ins().iadd(quick, shift);
        let two = self.constant64(2);
        let beyond = self.b.ins().icmp(IntCC::UnsignedLessThan, shifted, two);
        let (far, done) = (self.b.create_block(), self.b.create_block());
        self.b.append_block_param(done, I32);
        self.b.set_cold_block(far);
        self.b
            .ins()
            .brif(beyond, far, &[], done, &[BlockArg::Value(low)]);
        self.b.seal_block(far);
        self.b.switch_to_block(far);
        // Each step is exact: powers of two, and a difference of multiples of 2^11.
        let down = self.b.ins().f64const(1.0 / 4_294_967_296.0);
        let up = self.b.ins().f64const(4_294_967_296.0);
        let scaled = self.b.ins().fmul(value, down);
        let scaled = self.b.ins().floor(scaled);
        let high = self.b.ins().fmul(scaled, up);
        let rest = self.b.ins().fsub(value, high);
        let rest = self.b.ins().fcvt_to_sint_sat(I64, rest);
        let rest = self.b.ins().ireduce(I32, rest);
        self.b.ins().jump(done, &[BlockArg::Value(rest)]);
        self.b.seal_block(done);
        self.b.switch_to_block(done);
        self.b.block_params(done)[0]
    }
}
