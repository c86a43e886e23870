//! Which parameters are truth values, before anybody says with what the kernel is called: those that meet one, and no number.
//! What meets is of one kind, else [`infer`](super::infer) refuses it.

use crate::limits::MAX_TOGETHER;
use crate::tree::{Argument, Binary, Callee, Expression, Kernel, Loop, Node, Statement, Unary};
use std::collections::HashMap;

/// For each parameter.
pub(crate) fn truths(kernel: &Kernel) -> Vec<bool> {
    let mut meetings = Meetings::default();
    meetings.places_of(kernel);
    let mut at = 0;
    while let Some((kernel, first)) = meetings.kernels.get(at).copied() {
        meetings.first = first;
        meetings.kernel = Some(kernel);
        meetings.statements(&kernel.function.body);
        at += 1;
    }
    let parameters = 0..kernel.function.parameters.len();
    let is_truth = |place| {
        let place = meetings.root(place);
        meetings.places[place].is_truth && !meetings.places[place].is_number
    };
    parameters.map(is_truth).collect()
}

/// What is known of a value.
#[derive(Clone, Copy)]
enum Kind {
    Unknown,
    Number,
    Truth,
    /// It is of the kind of what has this place.
    Of(usize),
}

/// A variable, or what a kernel returns.
#[derive(Default)]
struct Place {
    /// Another that it meets, whose kind is its own.
    like: Option<usize>,
    is_number: bool,
    is_truth: bool,
}

#[derive(Default)]
struct Meetings<'a> {
    places: Vec<Place>,
    /// Each kernel once, with its first place: those of its variables, and one of its result.
    kernels: Vec<(&'a Kernel, usize)>,
    known: HashMap<*const Kernel, usize>,
    /// All expressions of them.
    together: usize,
    /// The kernel that is gone through.
    kernel: Option<&'a Kernel>,
    first: usize,
}

impl<'a> Meetings<'a> {
    /// The first place of a kernel; none where there are more than are compiled together.
    fn places_of(&mut self, kernel: &'a Kernel) -> Option<usize> {
        if let Some(known) = self.known.get(&std::ptr::from_ref(kernel)) {
            return Some(*known);
        }
        self.together += (kernel.function.expressions as usize).max(1);
        if self.together > MAX_TOGETHER {
            return None;
        }
        let first = self.places.len();
        let count = kernel.function.variables.len() + 1;
        self.places.resize_with(first + count, Place::default);
        self.known.insert(kernel, first);
        self.kernels.push((kernel, first));
        Some(first)
    }

    fn root(&mut self, mut place: usize) -> usize {
        while let Some(like) = self.places[place].like {
            // The way is shorter for the next.
            if let Some(above) = self.places[like].like {
                self.places[place].like = Some(above);
            }
            place = like;
        }
        place
    }

    fn meet(&mut self, one: Kind, other: Kind) -> Kind {
        match (one, other) {
            (Kind::Of(one), Kind::Of(other)) => {
                let (one, other) = (self.root(one), self.root(other));
                if one != other {
                    let Place {
                        is_number,
                        is_truth,
                        ..
                    } = self.places[other];
                    self.places[one].is_number |= is_number;
                    self.places[one].is_truth |= is_truth;
                    self.places[other].like = Some(one);
                }
            }
            (Kind::Of(place), Kind::Number) | (Kind::Number, Kind::Of(place)) => {
                let place = self.root(place);
                self.places[place].is_number = true;
            }
            (Kind::Of(place), Kind::Truth) | (Kind::Truth, Kind::Of(place)) => {
                let place = self.root(place);
                self.places[place].is_truth = true;
            }
            (Kind::Unknown, known) | (known, _) => return known,
        }
        one
    }

    fn variable(&self, variable: u32) -> Kind {
        Kind::Of(self.first + variable as usize)
    }

    fn statements(&mut self, statements: &'a [Statement]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &'a Statement) {
        match statement {
            Statement::Expression(expression) => self.effect(expression),
            Statement::If(parts) => {
                let (arms, otherwise) = &**parts;
                for (test, then) in arms {
                    self.test(test);
                    self.statements(then);
                }
                self.statements(otherwise);
            }
            Statement::Loop(turns) => self.turns(turns),
            Statement::Switch(switch) => {
                let value = self.value(&switch.value);
                for (test, body) in &switch.cases {
                    if let Some(test) = test {
                        let test = self.value(test);
                        self.meet(value, test);
                    }
                    self.statements(body);
                }
            }
            Statement::Block(statements, _) => self.statements(statements),
            Statement::Return(_, Some(value)) => {
                let value = self.value(value);
                let variables = self
                    .kernel
                    .map_or(0, |kernel| kernel.function.variables.len());
                self.meet(Kind::Of(self.first + variables), value);
            }
            Statement::Return(_, None) | Statement::Break(_) | Statement::Continue(_) => {}
        }
    }

    fn turns(&mut self, turns: &'a Loop) {
        if let Some(test) = &turns.test {
            self.test(test);
        }
        self.statements(&turns.body);
        if let Some(update) = &turns.update {
            self.effect(update);
        }
    }

    /// One whose value nobody wants.
    fn effect(&mut self, expression: &'a Expression) {
        match &expression.node {
            Node::And(parts) | Node::Or(parts) => {
                self.test(&parts.0);
                self.effect(&parts.1);
            }
            Node::Conditional(parts) => {
                self.test(&parts.0);
                self.effect(&parts.1);
                self.effect(&parts.2);
            }
            Node::Sequence(parts) => parts.iter().for_each(|part| self.effect(part)),
            _ => {
                self.value(expression);
            }
        }
    }

    /// One of which counts whether it is true: what meets in it may be of two kinds.
    fn test(&mut self, expression: &'a Expression) {
        match &expression.node {
            Node::And(parts) | Node::Or(parts) => {
                self.test(&parts.0);
                self.test(&parts.1);
            }
            Node::Unary(Unary::Not, part) => self.test(part),
            _ => {
                self.value(expression);
            }
        }
    }

    fn value(&mut self, expression: &'a Expression) -> Kind {
        match &expression.node {
            Node::Number(_) | Node::Length(_) | Node::Old(_) => Kind::Number,
            Node::Boolean(_) => Kind::Truth,
            Node::Variable(variable) => self.variable(*variable),
            Node::Unary(Unary::Not, part) => {
                self.test(part);
                Kind::Truth
            }
            Node::Unary(_, part) => {
                self.value(part);
                Kind::Number
            }
            Node::Binary(operator, parts) => {
                let (left, right) = (self.value(&parts.0), self.value(&parts.1));
                match operator {
                    Binary::Equal | Binary::NotEqual => {
                        self.meet(left, right);
                        Kind::Truth
                    }
                    Binary::Less | Binary::LessEqual | Binary::Greater | Binary::GreaterEqual => {
                        Kind::Truth
                    }
                    _ => Kind::Number,
                }
            }
            Node::And(parts) | Node::Or(parts) => {
                let (left, right) = (self.value(&parts.0), self.value(&parts.1));
                self.meet(left, right)
            }
            Node::Conditional(parts) => {
                self.test(&parts.0);
                let (then, otherwise) = (self.value(&parts.1), self.value(&parts.2));
                self.meet(then, otherwise)
            }
            Node::Sequence(parts) => match parts.split_last() {
                Some((last, before)) => {
                    before.iter().for_each(|part| self.effect(part));
                    self.value(last)
                }
                None => Kind::Unknown,
            },
            Node::Assign(variable, value) => {
                let value = self.value(value);
                self.meet(self.variable(*variable), value);
                value
            }
            Node::AssignAfter(variable, value) => {
                let value = self.value(value);
                self.meet(self.variable(*variable), value);
                Kind::Number
            }
            Node::Element(_, index) => {
                self.index(index);
                Kind::Number
            }
            Node::Store(_, parts) => {
                self.index(&parts.0);
                self.value(&parts.1)
            }
            Node::Modify { parts, after, .. } => {
                self.index(&parts.0);
                let value = self.value(&parts.1);
                match after {
                    true => Kind::Number,
                    false => value,
                }
            }
            Node::Math(_, arguments) => {
                for argument in arguments {
                    self.value(argument);
                }
                Kind::Number
            }
            Node::Call(callee, arguments) => self.call(*callee, arguments),
        }
    }

    fn index(&mut self, index: &'a Expression) {
        let index = self.value(index);
        self.meet(index, Kind::Number);
    }

    fn call(&mut self, callee: Callee, arguments: &'a [Argument]) -> Kind {
        let called = self.kernel.and_then(|kernel| match callee {
            Callee::Itself => Some(kernel),
            Callee::Kernel(number) => kernel.function.kernels.get(number as usize).map(|k| &**k),
        });
        let first = called.and_then(|called| self.places_of(called));
        for (at, argument) in arguments.iter().enumerate() {
            if let Argument::Value(value) = argument {
                let value = self.value(value);
                if let Some(first) = first {
                    self.meet(Kind::Of(first + at), value);
                }
            }
        }
        match (first, called) {
            (Some(first), Some(called)) => Kind::Of(first + called.function.variables.len()),
            _ => Kind::Unknown,
        }
    }
}
