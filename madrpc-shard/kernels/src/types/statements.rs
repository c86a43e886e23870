//! Statements, in the order in which they run: bounds begin to hold after a test, and end where something is assigned.

use super::Inference;
use super::lattice::Type;
use crate::tree::{Loop, Statement};

impl Inference<'_> {
    pub(super) fn statements(&mut self, statements: &[Statement]) {
        for statement in statements {
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &Statement) {
        if !self.count(1) {
            return;
        }
        match statement {
            Statement::Expression(expression) => self.effect(expression),
            Statement::If(parts) => {
                let (arms, otherwise) = &**parts;
                for (test, then) in arms {
                    let mark = self.refinements.mark();
                    self.condition(test, false);
                    self.statements(then);
                    self.refinements.restore(mark);
                }
                self.statements(otherwise);
            }
            Statement::Loop(turns) => self.turns(turns),
            Statement::Switch(switch) => {
                let value = self.value(&switch.value);
                for (test, _) in &switch.cases {
                    if let Some(test) = test {
                        let with = self.value(test);
                        self.compared(test.at, value, with);
                    }
                }
                for (_, body) in &switch.cases {
                    self.statements(body);
                }
            }
            Statement::Block(statements, _) => self.statements(statements),
            Statement::Return(at, Some(value)) => {
                let value = self.value(value);
                self.give_back(value);
                if self.this().result == Type::Mixed {
                    let what = "a boolean is returned in one place, and a number in another";
                    self.refuse(*at, what, BOOLEAN);
                }
            }
            Statement::Return(_, None) | Statement::Break(_) | Statement::Continue(_) => {}
        }
    }

    fn turns(&mut self, turns: &Loop) {
        // What it assigns to has, in a later turn, another value than before.
        if !self.count(turns.assigns.len()) {
            return;
        }
        for variable in &turns.assigns {
            self.refinements.forget(*variable);
        }
        let mark = self.refinements.mark();
        if let Some(test) = &turns.test {
            match turns.turn_first {
                true => self.test(test),
                false => drop(self.condition(test, false)),
            }
        }
        self.statements(&turns.body);
        // A bound from the test that has not been forgotten by now holds for the update too.
        if let Some(update) = &turns.update {
            self.effect(update);
        }
        self.refinements.restore(mark);
    }
}

pub(super) const BOOLEAN: &str = "make a number of the boolean: x ? 1 : 0";
