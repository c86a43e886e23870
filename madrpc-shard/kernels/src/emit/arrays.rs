//! Elements of arrays. Each access is checked against the length that the array has at that moment.

use super::Site;
use super::function::{Emitter, LocalArray};
use super::{Held, Repr};
use crate::abi::ElementKind;
use crate::tree::{Binary, Expression, Node, Variable};
use crate::types::lattice::{Type, product};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32, F64, I8, I16, I32, I64};
use cranelift_codegen::ir::{BlockArg, InstBuilder, MemFlagsData, Value};

impl<'p> Emitter<'_, '_, 'p> {
    pub(super) fn array(&mut self, variable: Variable) -> LocalArray {
        let number = self.frame().arrays[variable as usize];
        // A parameter that is used as an array is one: the reader and the inference have seen to it.
        self.arrays[number.unwrap_or_default()]
    }

    pub(super) fn length(&mut self, array: Variable) -> Held {
        let length = self.array(array).length;
        let length = self.b.use_var(length);
        Held {
            value: self.b.ins().ireduce(I32, length),
            repr: Repr::Int32,
        }
    }

    pub(super) fn element(&mut self, at: u32, array: Variable, index: &'p Expression) -> Held {
        let index = self.index(at, array, index);
        let address = self.address(at, array, index);
        self.load(array, address)
    }

    pub(super) fn store(
        &mut self,
        at: u32,
        array: Variable,
        index: &'p Expression,
        value: &'p Expression,
    ) -> Held {
        let index = self.index(at, array, index);
        let held = self.value(value);
        let address = self.address(at, array, index);
        self.put(array, address, held);
        held
    }

    pub(super) fn modify(
        &mut self,
        at: u32,
        array: Variable,
        (index, value): (&'p Expression, &'p Expression),
        after: bool,
    ) -> Held {
        let index = self.index(at, array, index);
        let address = self.address(at, array, index);
        let old = self.load(array, address);
        self.old.push(old);
        let new = self.value(value);
        self.old.pop();
        // Where a kernel was called, the array may have become another.
        let address = match calls(value) {
            true => self.address(at, array, index),
            false => address,
        };
        self.put(array, address, new);
        if after { old } else { new }
    }

    /// The place of an element as an integer; what is none leaves the kernel.
    fn index(&mut self, at: u32, array: Variable, index: &'p Expression) -> Value {
        if self.is_wide(index) {
            return self.wide(index);
        }
        match self.type_of(index) {
            Type::Integer(_) | Type::Boolean => self.int64(index),
            _ => {
                let value = self.double(index);
                let whole = self.b.ins().fcvt_to_sint_sat(I64, value);
                let back = self.b.ins().fcvt_from_sint(F64, whole);
                let same = self.b.ins().fcmp(FloatCC::Equal, back, value);
                self.check(same, |e| e.jump_to_fault(at, array, value));
                whole
            }
        }
    }

    /// Whether it can be computed in 64 bits though it may go beyond 2^53, where doubles would be rounded: a product, and small
    /// numbers added to it. Either way such an index is far beyond what arrays have.
    fn is_wide(&self, expression: &Expression) -> bool {
        if self.type_of(expression) != Type::Double {
            return false;
        }
        let Node::Binary(operator, parts) = &expression.node else {
            return false;
        };
        let (left, right) = (&parts.0, &parts.1);
        let types = (self.type_of(left), self.type_of(right));
        const SMALL: i64 = 1 << 40;
        let small = |known: Type| match known {
            Type::Integer(range) => range.low > -SMALL && range.high < SMALL,
            _ => false,
        };
        match (operator, types) {
            (Binary::Multiply, (Type::Integer(a), Type::Integer(b))) => {
                let (low, high) = product(a, b);
                low >= -(1 << 62) && high <= 1 << 62
            }
            (Binary::Add, (a, b)) => {
                self.is_wide(left) && small(b) || small(a) && self.is_wide(right)
            }
            (Binary::Subtract, (_, b)) => self.is_wide(left) && small(b),
            _ => false,
        }
    }

    fn wide(&mut self, expression: &'p Expression) -> Value {
        let Node::Binary(operator, parts) = &expression.node else {
            return self.int64(expression);
        };
        if !self.is_wide(expression) {
            return self.int64(expression);
        }
        let left = self.wide(&parts.0);
        let right = self.wide(&parts.1);
        match operator {
            Binary::Multiply => self.b.ins().imul(left, right),
            Binary::Subtract => self.b.ins().isub(left, right),
            _ => self.b.ins().iadd(left, right),
        }
    }

    /// Where the element is. From here on, nothing may be called before it is used.
    fn address(&mut self, at: u32, array: Variable, index: Value) -> Value {
        let local = self.array(array);
        let length = self.b.use_var(local.length);
        let compare = IntCC::UnsignedLessThan;
        let inside = self.b.ins().icmp(compare, index, length);
        self.check(inside, |e| {
            let number = e.b.ins().fcvt_from_sint(F64, index);
            e.jump_to_fault(at, array, number);
        });
        let data = self.b.use_var(local.data);
        let shift = self.constant64(local.kind.bytes().trailing_zeros().into());
        let offset = self.b.ins().ishl(index, shift);
        self.b.ins().iadd(data, offset)
    }

    /// Goes on where the condition holds, and otherwise leaves the kernel.
    fn check(&mut self, condition: Value, leave: impl FnOnce(&mut Self)) {
        let (go_on, outside) = (self.b.create_block(), self.b.create_block());
        self.b.set_cold_block(outside);
        self.b.ins().brif(condition, go_on, &[], outside, &[]);
        self.b.seal_block(outside);
        self.b.switch_to_block(outside);
        leave(self);
        self.b.seal_block(go_on);
        self.b.switch_to_block(go_on);
    }

    fn jump_to_fault(&mut self, at: u32, array: Variable, index: Value) {
        let fault = match self.fault {
            Some(fault) => fault,
            None => {
                let fault = self.b.create_block();
                self.b.set_cold_block(fault);
                for held in [F64, I64, I64] {
                    self.b.append_block_param(fault, held);
                }
                self.fault = Some(fault);
                fault
            }
        };
        let site = self.unit.sites.len();
        let instance = self.frame().instance;
        self.unit.sites.push(Site {
            instance,
            at,
            array,
        });
        let length = self.array(array).length;
        let length = self.b.use_var(length);
        let site = self.constant64(site as i64);
        let given = [index, length, site].map(BlockArg::Value);
        self.b.ins().jump(fault, &given);
    }

    fn load(&mut self, array: Variable, address: Value) -> Held {
        let kind = self.array(array).kind;
        let flags = MemFlagsData::trusted();
        let mut load = |held| self.b.ins().load(held, flags, address, 0);
        let held = |value, repr| Held { value, repr };
        match kind {
            ElementKind::Int8 => {
                let value = load(I8);
                held(self.b.ins().sextend(I32, value), Repr::Int32)
            }
            ElementKind::Uint8 | ElementKind::Uint8Clamped => {
                let value = load(I8);
                held(self.b.ins().uextend(I32, value), Repr::Int32)
            }
            ElementKind::Int16 => {
                let value = load(I16);
                held(self.b.ins().sextend(I32, value), Repr::Int32)
            }
            ElementKind::Uint16 => {
                let value = load(I16);
                held(self.b.ins().uextend(I32, value), Repr::Int32)
            }
            ElementKind::Int32 => held(load(I32), Repr::Int32),
            ElementKind::Uint32 => {
                let value = load(I32);
                held(self.b.ins().uextend(I64, value), Repr::Int64)
            }
            ElementKind::Float16 => {
                let value = load(I16);
                let bits = self.b.ins().uextend(I32, value);
                held(self.half_to_double(bits), Repr::Double)
            }
            ElementKind::Float32 => {
                let value = load(F32);
                held(self.b.ins().fpromote(F64, value), Repr::Double)
            }
            ElementKind::Float64 => held(load(F64), Repr::Double),
        }
    }

    fn put(&mut self, array: Variable, address: Value, held: Held) {
        let kind = self.array(array).kind;
        let value = match kind {
            ElementKind::Float64 => self.convert(held, Repr::Double),
            ElementKind::Float32 => {
                let value = self.convert(held, Repr::Double);
                self.b.ins().fdemote(F32, value)
            }
            ElementKind::Float16 => {
                let value = self.convert(held, Repr::Double);
                let bits = self.double_to_half(value);
                self.b.ins().ireduce(I16, bits)
            }
            ElementKind::Uint8Clamped => {
                let value = self.clamped(held);
                self.b.ins().ireduce(I8, value)
            }
            ElementKind::Int32 | ElementKind::Uint32 => self.convert(held, Repr::Int32),
            ElementKind::Int16 | ElementKind::Uint16 => {
                let value = self.convert(held, Repr::Int32);
                self.b.ins().ireduce(I16, value)
            }
            ElementKind::Int8 | ElementKind::Uint8 => {
                let value = self.convert(held, Repr::Int32);
                self.b.ins().ireduce(I8, value)
            }
        };
        self.b
            .ins()
            .store(MemFlagsData::trusted(), value, address, 0);
    }

    /// The nearest of 0 to 255, of two as near the even one; 0 for NaN.
    fn clamped(&mut self, held: Held) -> Value {
        match held.repr {
            Repr::Double => {
                let (least, most) = (self.b.ins().f64const(0.0), self.b.ins().f64const(255.0));
                let value = self.b.ins().fmax(held.value, least);
                let value = self.b.ins().fmin(value, most);
                let value = self.b.ins().nearest(value);
                self.b.ins().fcvt_to_sint_sat(I32, value)
            }
            _ => {
                let value = self.convert(held, Repr::Int64);
                let (least, most) = (self.constant64(0), self.constant64(255));
                let value = self.b.ins().smax(value, least);
                let value = self.b.ins().smin(value, most);
                self.b.ins().ireduce(I32, value)
            }
        }
    }
}

/// Whether a kernel is called in it.
fn calls(expression: &Expression) -> bool {
    matches!(expression.node, Node::Call(..)) || expression.parts().into_iter().any(calls)
}
