//! Expressions. Each is computed in the way in which its consumer needs it: as it is held best, as 32 bits, as a double.

use super::function::Emitter;
use super::{Held, Repr};
use crate::tree::{Binary, Expression, Node, Unary};
use crate::types::lattice::Type;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F64, I8, I64};
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, Value};

impl<'p> Emitter<'_, '_, 'p> {
    pub(super) fn type_of(&self, expression: &Expression) -> Type {
        let frame = &self.frames[self.frames.len() - 1];
        let known = &self.unit.program.instances[frame.instance];
        known.expressions[expression.number as usize]
    }

    /// An expression whose value nobody wants.
    pub(super) fn effect(&mut self, expression: &'p Expression) {
        match &expression.node {
            Node::And(parts) | Node::Or(parts) => {
                let (more, after) = (self.b.create_block(), self.b.create_block());
                match &expression.node {
                    Node::And(_) => self.branch(&parts.0, more, after),
                    _ => self.branch(&parts.0, after, more),
                }
                self.b.seal_block(more);
                self.b.switch_to_block(more);
                self.effect(&parts.1);
                self.b.ins().jump(after, &[]);
                self.b.seal_block(after);
                self.b.switch_to_block(after);
            }
            Node::Conditional(parts) => {
                let (yes, no) = (self.b.create_block(), self.b.create_block());
                let after = self.b.create_block();
                self.branch(&parts.0, yes, no);
                for (block, part) in [(yes, &parts.1), (no, &parts.2)] {
                    self.b.seal_block(block);
                    self.b.switch_to_block(block);
                    self.effect(part);
                    self.b.ins().jump(after, &[]);
                }
                self.b.seal_block(after);
                self.b.switch_to_block(after);
            }
            Node::Sequence(parts) => parts.iter().for_each(|part| self.effect(part)),
            // What a variable was before is not wanted.
            Node::AssignAfter(variable, value) => {
                let held = self.value(value);
                self.assign(*variable, held);
            }
            Node::Call(_, arguments) => {
                self.call(expression, arguments);
            }
            _ => {
                self.value(expression);
            }
        }
    }

    /// Goes to one of two blocks.
    pub(super) fn branch(&mut self, test: &'p Expression, yes: Block, no: Block) {
        match &test.node {
            Node::Unary(Unary::Not, part) => self.branch(part, no, yes),
            Node::And(parts) | Node::Or(parts) => {
                let more = self.b.create_block();
                match &test.node {
                    Node::And(_) => self.branch(&parts.0, more, no),
                    _ => self.branch(&parts.0, yes, more),
                }
                self.b.seal_block(more);
                self.b.switch_to_block(more);
                self.branch(&parts.1, yes, no);
            }
            _ => {
                let held = self.value(test);
                let truth = self.truth(held);
                self.b.ins().brif(truth, yes, &[], no, &[]);
            }
        }
    }

    /// The value, held as its type is held.
    pub(super) fn value(&mut self, expression: &'p Expression) -> Held {
        let known = self.type_of(expression);
        let repr = Repr::of(known);
        let held = self.any(expression, known, repr);
        // Where bounds are narrower than those of a variable, or a number came from a boolean.
        let value = self.convert(held, repr);
        Held { value, repr }
    }

    fn any(&mut self, expression: &'p Expression, known: Type, repr: Repr) -> Held {
        let at = expression.at;
        match &expression.node {
            Node::Number(value) => {
                let whole = *value as i64;
                let value = match repr {
                    Repr::Int32 => self.constant32(whole as i32),
                    Repr::Int64 => self.constant64(whole),
                    _ => self.b.ins().f64const(*value),
                };
                Held { value, repr }
            }
            Node::Boolean(truth) => Held {
                value: self.b.ins().iconst(I8, i64::from(*truth)),
                repr: Repr::Boolean,
            },
            Node::Variable(variable) => self.variable(*variable),
            Node::Unary(operator, part) => self.unary(*operator, part, known),
            Node::Binary(operator, parts) => self.binary(*operator, &parts.0, &parts.1, known),
            Node::And(parts) => self.either(&parts.0, &parts.1, repr, true),
            Node::Or(parts) => self.either(&parts.0, &parts.1, repr, false),
            Node::Conditional(parts) => self.conditional(&parts.0, (&parts.1, &parts.2), repr),
            Node::Sequence(parts) => match parts.split_last() {
                Some((last, before)) => {
                    before.iter().for_each(|part| self.effect(part));
                    self.value(last)
                }
                None => self.nowhere(repr),
            },
            Node::Assign(variable, value) => {
                let held = self.value(value);
                self.assign(*variable, held);
                held
            }
            Node::AssignAfter(variable, value) => {
                let before = self.variable(*variable);
                let held = self.value(value);
                self.assign(*variable, held);
                before
            }
            Node::Length(array) => self.length(*array),
            Node::Element(array, index) => self.element(at, *array, index),
            Node::Store(array, parts) => self.store(at, *array, &parts.0, &parts.1),
            Node::Modify {
                array,
                parts,
                after,
            } => self.modify(at, *array, (&parts.0, &parts.1), *after),
            Node::Old(_) => match self.old.last() {
                Some(old) => *old,
                None => self.nowhere(repr),
            },
            Node::Math(function, arguments) => self.math(*function, arguments, known),
            Node::Call(_, arguments) => match self.call(expression, arguments) {
                Some(held) => held,
                None => self.nowhere(repr),
            },
        }
    }

    /// What the reader and the inference leave no way to.
    fn nowhere(&mut self, repr: Repr) -> Held {
        Held {
            value: self.nothing(repr),
            repr,
        }
    }

    fn variable(&mut self, variable: u32) -> Held {
        let local = self.local(variable);
        Held {
            value: self.b.use_var(local),
            repr: self.repr_of(variable),
        }
    }

    fn assign(&mut self, variable: u32, held: Held) {
        let repr = self.repr_of(variable);
        let value = self.convert(held, repr);
        let local = self.local(variable);
        self.b.def_var(local, value);
    }

    fn unary(&mut self, operator: Unary, part: &'p Expression, known: Type) -> Held {
        let (value, repr) = match operator {
            Unary::Plus => return self.value(part),
            Unary::Not => {
                let held = self.value(part);
                let truth = self.truth(held);
                let one = self.b.ins().iconst(I8, 1);
                (self.b.ins().bxor(truth, one), Repr::Boolean)
            }
            Unary::BitNot => {
                let value = self.int32(part);
                (self.b.ins().bnot(value), Repr::Int32)
            }
            Unary::Negate => match known {
                Type::Integer(range) if !range.negative_zero => return self.negated(part),
                _ => {
                    let value = self.double(part);
                    (self.b.ins().fneg(value), Repr::Double)
                }
            },
        };
        Held { value, repr }
    }

    fn negated(&mut self, part: &'p Expression) -> Held {
        let value = self.int64(part);
        Held {
            value: self.b.ins().ineg(value),
            repr: Repr::Int64,
        }
    }

    /// `a && b` and `a || b` as values.
    fn either(
        &mut self,
        left: &'p Expression,
        right: &'p Expression,
        repr: Repr,
        and: bool,
    ) -> Held {
        let (more, after) = (self.b.create_block(), self.b.create_block());
        self.b.append_block_param(after, repr.ir());
        let value = self.held_as(left, repr);
        let truth = self.truth(Held { value, repr });
        let done = [BlockArg::Value(value)];
        match and {
            true => self.b.ins().brif(truth, more, &[], after, &done),
            false => self.b.ins().brif(truth, after, &done, more, &[]),
        };
        self.b.seal_block(more);
        self.b.switch_to_block(more);
        let value = self.held_as(right, repr);
        self.b.ins().jump(after, &[BlockArg::Value(value)]);
        self.b.seal_block(after);
        self.b.switch_to_block(after);
        Held {
            value: self.b.block_params(after)[0],
            repr,
        }
    }

    fn conditional(
        &mut self,
        test: &'p Expression,
        (then, otherwise): (&'p Expression, &'p Expression),
        repr: Repr,
    ) -> Held {
        let plain = |part: &Expression| {
            matches!(
                part.node,
                Node::Variable(_) | Node::Number(_) | Node::Boolean(_)
            )
        };
        // Nothing to be computed: no jump either.
        if plain(then) && plain(otherwise) {
            let held = self.value(test);
            let truth = self.truth(held);
            let then = self.held_as(then, repr);
            let otherwise = self.held_as(otherwise, repr);
            let value = self.b.ins().select(truth, then, otherwise);
            return Held { value, repr };
        }
        let (yes, no) = (self.b.create_block(), self.b.create_block());
        let after = self.b.create_block();
        self.b.append_block_param(after, repr.ir());
        self.branch(test, yes, no);
        for (block, part) in [(yes, then), (no, otherwise)] {
            self.b.seal_block(block);
            self.b.switch_to_block(block);
            let value = self.held_as(part, repr);
            self.b.ins().jump(after, &[BlockArg::Value(value)]);
        }
        self.b.seal_block(after);
        self.b.switch_to_block(after);
        Held {
            value: self.b.block_params(after)[0],
            repr,
        }
    }

    /// The value as a double.
    pub(super) fn double(&mut self, expression: &'p Expression) -> Value {
        if let Node::Number(value) = expression.node {
            return self.b.ins().f64const(value);
        }
        let held = self.value(expression);
        self.convert(held, Repr::Double)
    }

    /// A whole number, of which -0 is 0: as 32 bits where it fits.
    pub(super) fn whole(&mut self, expression: &'p Expression) -> Held {
        match (self.type_of(expression), &expression.node) {
            (Type::Integer(range), Node::Binary(operator, parts))
                if range.negative_zero && operator.is_arithmetic() =>
            {
                self.whole_binary(*operator, &parts.0, &parts.1, range)
            }
            (Type::Integer(range), Node::Unary(Unary::Negate, part)) if range.negative_zero => {
                self.negated(part)
            }
            (Type::Integer(range), _) if !range.negative_zero => self.value(expression),
            (Type::Boolean, _) => {
                let held = self.value(expression);
                Held {
                    value: self.convert(held, Repr::Int32),
                    repr: Repr::Int32,
                }
            }
            _ => {
                let held = self.value(expression);
                Held {
                    value: self.convert(held, Repr::Int64),
                    repr: Repr::Int64,
                }
            }
        }
    }

    /// A whole number in 64 bits.
    pub(super) fn int64(&mut self, expression: &'p Expression) -> Value {
        if let Node::Number(value) = expression.node {
            return self.constant64(value as i64);
        }
        let held = self.whole(expression);
        match (held.repr, self.type_of(expression)) {
            (Repr::Int32, Type::Integer(range)) if range.low >= 0 => {
                self.b.ins().uextend(I64, held.value)
            }
            _ => self.convert(held, Repr::Int64),
        }
    }

    /// The low 32 bits of the value, without its fraction.
    pub(super) fn int32(&mut self, expression: &'p Expression) -> Value {
        if let (Type::Integer(_), Node::Binary(operator, parts)) =
            (self.type_of(expression), &expression.node)
            && !self.may_saturate(*operator, &parts.0, &parts.1)
        {
            // The low bits of these need but the low bits of their parts.
            let wrapping = match operator {
                Binary::Add | Binary::Subtract | Binary::Multiply => true,
                Binary::ShiftRightUnsigned => {
                    return self.shifted_right(&parts.0, &parts.1);
                }
                _ => false,
            };
            if wrapping {
                let (a, b) = (self.int32(&parts.0), self.int32(&parts.1));
                return match operator {
                    Binary::Add => self.b.ins().iadd(a, b),
                    Binary::Subtract => self.b.ins().isub(a, b),
                    _ => self.b.ins().imul(a, b),
                };
            }
        }
        let held = match self.type_of(expression) {
            Type::Integer(_) => self.whole(expression),
            _ => self.value(expression),
        };
        self.convert(held, Repr::Int32)
    }

    pub(super) fn shifted_right(&mut self, left: &'p Expression, right: &'p Expression) -> Value {
        let (a, b) = (self.int32(left), self.int32(right));
        self.b.ins().ushr(a, b)
    }

    /// Whether two values are the same in the sense of `===`.
    pub(super) fn same(&mut self, a: Held, b: Held) -> Value {
        self.compare(IntCC::Equal, a, b)
    }

    pub(super) fn extend(&mut self, value: Value) -> Value {
        self.b.ins().uextend(I64, value)
    }

    pub(super) fn as_double(&mut self, value: Value) -> Value {
        self.b.ins().fcvt_from_sint(F64, value)
    }
}
