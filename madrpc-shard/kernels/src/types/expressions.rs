//! Expressions.

use super::lattice::{self, INT32, Range, Type};
use super::statements::BOOLEAN;
use super::{Inference, element};
use crate::math::Function;
use crate::tree::Kernel;
use crate::tree::{Argument, Binary, Callee, Expression, Node, Unary, Variable};

impl<'a> Inference<'a> {
    /// An expression whose value nobody wants.
    pub(super) fn effect(&mut self, expression: &Expression) {
        let mark = self.refinements.mark();
        match &expression.node {
            // `ready && (x = 1)`: they need not be of one type, nor have a value.
            Node::And(parts) => {
                self.condition(&parts.0, false);
                self.effect(&parts.1);
            }
            Node::Or(parts) => {
                self.test(&parts.0);
                self.effect(&parts.1);
            }
            Node::Conditional(parts) => {
                self.condition(&parts.0, false);
                self.effect(&parts.1);
                self.refinements.restore(mark);
                self.effect(&parts.2);
            }
            Node::Sequence(parts) => parts.iter().for_each(|part| self.effect(part)),
            _ => {
                self.expression(expression);
            }
        }
        self.refinements.restore(mark);
    }

    /// An expression of which counts whether it is true.
    pub(super) fn test(&mut self, expression: &Expression) {
        match &expression.node {
            Node::And(_) => {
                let mark = self.refinements.mark();
                self.condition(expression, false);
                self.refinements.restore(mark);
            }
            Node::Or(parts) => {
                self.test(&parts.0);
                self.test(&parts.1);
            }
            Node::Unary(Unary::Not, part) => self.test(part),
            _ => {
                self.value(expression);
            }
        }
    }

    /// An expression that has a value.
    pub(super) fn value(&mut self, expression: &Expression) -> Type {
        let found = self.expression(expression);
        if let Node::Call(callee, _) = expression.node {
            let called = self.callee(callee);
            if !called.function.returns {
                let name = called.called();
                let what = format!("the value of {name} is used here, and {name} returns nothing");
                let remedy = format!("return a number or a boolean in {name}");
                self.refuse(expression.at, what, &remedy);
            }
        }
        found
    }

    /// The range that the value has as 32 bits with a sign.
    fn int32(&mut self, expression: &Expression) -> Range {
        match self.value(expression).number() {
            Type::Integer(range) => range.int32(),
            _ => INT32,
        }
    }

    fn expression(&mut self, expression: &Expression) -> Type {
        if !self.count(1) {
            return Type::Never;
        }
        let found = self.found(expression);
        self.know(expression, found)
    }

    /// Keeps what an expression is.
    pub(super) fn know(&mut self, expression: &Expression, found: Type) -> Type {
        let at = self.at;
        self.instances[at].expressions[expression.number as usize] = found;
        found
    }

    fn found(&mut self, expression: &Expression) -> Type {
        let at = expression.at;
        match &expression.node {
            Node::Number(value) => Type::of_number(*value),
            Node::Boolean(_) => Type::Boolean,
            Node::Variable(variable) => self.variable(*variable),
            Node::Unary(operator, part) => self.unary(*operator, part),
            Node::Binary(operator, parts) => self.binary(at, *operator, &parts.0, &parts.1),
            Node::And(_) => {
                let mark = self.refinements.mark();
                let found = self.condition(expression, true);
                self.refinements.restore(mark);
                found
            }
            Node::Or(parts) => {
                let left = self.value(&parts.0);
                let right = self.value(&parts.1);
                self.either(at, left, right)
            }
            Node::Conditional(parts) => {
                let mark = self.refinements.mark();
                self.condition(&parts.0, false);
                let then = self.value(&parts.1);
                self.refinements.restore(mark);
                let otherwise = self.value(&parts.2);
                self.either(at, then, otherwise)
            }
            Node::Sequence(parts) => {
                let mut last = Type::Never;
                for (number, part) in parts.iter().enumerate() {
                    match number + 1 == parts.len() {
                        true => last = self.value(part),
                        false => self.effect(part),
                    }
                }
                last
            }
            Node::Assign(variable, value) => {
                let found = self.value(value);
                self.assigned(at, *variable, found);
                found
            }
            Node::AssignAfter(variable, value) => {
                let before = self.variable(*variable).number();
                let found = self.value(value);
                self.assigned(at, *variable, found);
                before
            }
            // The length of an array is at the most the greatest int32.
            Node::Length(_) => Type::Integer(Range::new(0, INT32.high)),
            Node::Old(array) => self.element_of(*array),
            Node::Element(array, index) => {
                self.index(index);
                self.element_of(*array)
            }
            Node::Store(_, parts) => {
                self.index(&parts.0);
                self.value(&parts.1)
            }
            Node::Modify {
                array,
                parts,
                after,
            } => {
                self.index(&parts.0);
                let value = self.value(&parts.1);
                match after {
                    true => self.element_of(*array),
                    false => value,
                }
            }
            Node::Math(function, arguments) => self.math(*function, arguments),
            Node::Call(callee, arguments) => self.call(expression.number, *callee, arguments),
        }
    }

    fn index(&mut self, index: &Expression) {
        if self.value(index) == Type::Boolean {
            self.refuse(index.at, "a boolean as an index", BOOLEAN);
        }
    }

    fn element_of(&self, array: Variable) -> Type {
        let kind = self.this().arrays.get(array as usize);
        kind.copied().flatten().map_or(Type::Double, element)
    }

    fn assigned(&mut self, at: u32, variable: Variable, value: Type) {
        self.assign(self.at, variable, value);
        self.refinements.forget(variable);
        if self.this().variables[variable as usize] == Type::Mixed {
            let name = &self.this().kernel.function.variables[variable as usize];
            let what = format!("{name} is a boolean in one place, and a number in another");
            self.refuse(at, what, BOOLEAN);
        }
    }

    pub(super) fn either(&mut self, at: u32, left: Type, right: Type) -> Type {
        let joined = left.join(right);
        if joined == Type::Mixed {
            let what = "this is a boolean or a number";
            self.refuse(at, what, BOOLEAN);
        }
        joined
    }

    pub(super) fn compared(&mut self, at: u32, left: Type, right: Type) {
        let (boolean, other) = (Type::Boolean, Type::is_number);
        if left == boolean && other(right) || right == boolean && other(left) {
            self.refuse(at, "a boolean is compared with a number", BOOLEAN);
        }
    }

    fn unary(&mut self, operator: Unary, part: &Expression) -> Type {
        match operator {
            Unary::Not => {
                self.test(part);
                Type::Boolean
            }
            Unary::Plus => self.value(part).number(),
            Unary::Negate => match self.value(part).number() {
                Type::Integer(range) => lattice::negate(range),
                other => other,
            },
            Unary::BitNot => {
                let range = self.int32(part);
                Type::Integer(Range::new(-range.high - 1, -range.low - 1))
            }
        }
    }

    fn binary(&mut self, at: u32, operator: Binary, left: &Expression, right: &Expression) -> Type {
        match operator {
            Binary::Equal | Binary::NotEqual => {
                let (left, right) = (self.value(left), self.value(right));
                self.compared(at, left, right);
                Type::Boolean
            }
            Binary::Less | Binary::LessEqual | Binary::Greater | Binary::GreaterEqual => {
                self.value(left);
                self.value(right);
                Type::Boolean
            }
            Binary::BitAnd
            | Binary::BitOr
            | Binary::BitXor
            | Binary::ShiftLeft
            | Binary::ShiftRight
            | Binary::ShiftRightUnsigned => {
                let (a, b) = (self.int32(left), self.int32(right));
                Type::Integer(match operator {
                    Binary::BitAnd => lattice::bit_and(a, b),
                    Binary::ShiftLeft => lattice::shift_left(a, b),
                    Binary::ShiftRight => lattice::shift_right(a, b),
                    Binary::ShiftRightUnsigned => lattice::shift_right_unsigned(a, b),
                    _ => lattice::bit_or(a, b),
                })
            }
            _ => {
                let (left, right) = (self.value(left).number(), self.value(right).number());
                match (left, right) {
                    (Type::Never, _) | (_, Type::Never) => Type::Never,
                    (Type::Integer(a), Type::Integer(b)) => match operator {
                        Binary::Add => lattice::add(a, b),
                        Binary::Subtract => lattice::subtract(a, b),
                        Binary::Multiply => lattice::multiply(a, b),
                        Binary::Remainder => lattice::remainder(a, b),
                        _ => Type::Double,
                    },
                    _ => Type::Double,
                }
            }
        }
    }

    fn math(&mut self, function: Function, arguments: &[Expression]) -> Type {
        let mut found = Vec::with_capacity(arguments.len());
        for argument in arguments {
            found.push(self.value(argument).number());
        }
        let first = found.first().copied().unwrap_or(Type::Double);
        match function {
            Function::Imul => Type::INT32,
            Function::Clz32 => Type::Integer(Range::new(0, 32)),
            Function::Ceil | Function::Floor | Function::Trunc | Function::Round => first,
            Function::Abs => match first {
                Type::Integer(range) => {
                    let high = range.low.abs().max(range.high.abs());
                    Type::Integer(Range::new(0, high))
                }
                other => other,
            },
            Function::Sign => match first {
                Type::Integer(range) => Type::Integer(Range {
                    low: range.low.signum(),
                    high: range.high.signum(),
                    ..range
                }),
                other => other,
            },
            Function::Min | Function::Max => {
                let ranges = found.iter().map(|found| match found.range() {
                    Some(range) if !range.negative_zero => Some(range),
                    _ => None,
                });
                let extreme = |a: Range, b: Range| match function {
                    Function::Min => Range::new(a.low.min(b.low), a.high.min(b.high)),
                    _ => Range::new(a.low.max(b.low), a.high.max(b.high)),
                };
                match ranges.collect::<Option<Vec<_>>>() {
                    _ if found.contains(&Type::Never) => Type::Never,
                    Some(ranges) => ranges
                        .into_iter()
                        .reduce(extreme)
                        .map_or(Type::Double, Type::Integer),
                    None => Type::Double,
                }
            }
            _ => Type::Double,
        }
    }

    fn callee(&self, callee: Callee) -> &'a Kernel {
        let kernel = self.this().kernel;
        match callee {
            Callee::Itself => kernel,
            Callee::Kernel(number) => &kernel.function.kernels[number as usize],
        }
    }

    fn call(&mut self, number: u32, callee: Callee, arguments: &[Argument]) -> Type {
        if !self.count(arguments.len()) {
            return Type::Never;
        }
        let called = self.callee(callee);
        let mut arrays = Vec::with_capacity(arguments.len());
        let mut values = Vec::with_capacity(arguments.len());
        for argument in arguments {
            match argument {
                Argument::Array(array) => {
                    arrays.push(self.this().arrays.get(*array as usize).copied().flatten());
                    values.push(Type::Never);
                }
                Argument::Value(value) => {
                    arrays.push(None);
                    let found = self.value(value);
                    values.push(found);
                }
            }
        }
        let Some(instance) = self.instance(called, arrays) else {
            return Type::Never;
        };
        for (variable, value) in values.into_iter().enumerate() {
            let variable = variable as Variable;
            self.assign(instance, variable, value);
            if self.instances[instance].variables[variable as usize] == Type::Mixed
                && let Some(Argument::Value(argument)) = arguments.get(variable as usize)
            {
                let name = &called.function.variables[variable as usize];
                let what = format!(
                    "{name} of {} is a boolean in one call, and a number in another",
                    called.called()
                );
                self.refuse(argument.at, what, BOOLEAN);
            }
        }
        let at = self.at;
        self.instances[at].calls.insert(number, instance);
        self.instances[instance].result
    }
}
