//! Statements.

use super::function::{Emitter, Exit, OpenTarget};
use super::{Held, Repr};
use crate::abi::Status;
use crate::tree::{Arm, Loop, Node, Statement, Switch};
use crate::types::lattice::Type;
use cranelift_codegen::ir::types::I32;
use cranelift_codegen::ir::{Block, BlockArg, InstBuilder, MemFlagsData};
use cranelift_frontend::Switch as Table;
use std::collections::HashSet;

/// A test of up to so many expressions is compiled twice, before the loop and at its end, so that a turn has one jump less.
const SMALL_TEST: usize = 24;

/// From so many cases on, a jump by a table is worth it.
const TABLE: usize = 4;

impl<'p> Emitter<'_, '_, 'p> {
    pub(super) fn statements(&mut self, statements: &'p [Statement]) {
        for statement in statements {
            if self.dead {
                return;
            }
            self.statement(statement);
        }
    }

    fn statement(&mut self, statement: &'p Statement) {
        match statement {
            Statement::Expression(expression) => self.effect(expression),
            Statement::If(parts) => {
                let (arms, otherwise) = &**parts;
                self.choice(arms, otherwise);
            }
            Statement::Loop(turns) => self.turns(turns),
            Statement::Switch(switch) => self.switch(switch),
            Statement::Block(statements, None) => self.statements(statements),
            Statement::Block(statements, Some(target)) => {
                let after = self.b.create_block();
                self.open(*target, after, None);
                self.statements(statements);
                self.jump_on(*target);
                self.close(*target);
            }
            Statement::Break(target) => self.jump_on(*target),
            Statement::Continue(target) => {
                let slot = &mut self.frame().targets[*target as usize];
                if let Some(open) = slot
                    && let Some(next) = open.next
                {
                    open.next_reached = true;
                    self.jump(next);
                }
            }
            Statement::Return(_, value) => {
                let value = value.as_ref().map(|value| self.value(value));
                self.give_back(value);
            }
        }
    }

    fn jump(&mut self, to: Block) {
        if !self.dead {
            self.b.ins().jump(to, &[]);
            self.dead = true;
        }
    }

    pub(super) fn begin(&mut self, block: Block) {
        self.b.switch_to_block(block);
        self.dead = false;
    }

    fn open(&mut self, target: u32, after: Block, next: Option<Block>) {
        self.frame().targets[target as usize] = Some(OpenTarget {
            after,
            after_reached: false,
            next,
            next_reached: false,
        });
    }

    /// To what comes after the statement of this target.
    fn jump_on(&mut self, target: u32) {
        if self.dead {
            return;
        }
        if let Some(open) = &mut self.frame().targets[target as usize] {
            open.after_reached = true;
            let after = open.after;
            self.jump(after);
        }
    }

    fn reach(&mut self, target: u32) {
        if let Some(open) = &mut self.frame().targets[target as usize] {
            open.after_reached = true;
        }
    }

    fn close(&mut self, target: u32) {
        let open = self.frame().targets[target as usize].take();
        if let Some(open) = open
            && open.after_reached
        {
            self.b.seal_block(open.after);
            self.begin(open.after);
        }
    }

    fn choice(&mut self, arms: &'p [Arm], otherwise: &'p [Statement]) {
        let after = self.b.create_block();
        let mut reached = false;
        for (test, then) in arms {
            let (yes, no) = (self.b.create_block(), self.b.create_block());
            self.branch(test, yes, no);
            self.b.seal_block(yes);
            self.b.seal_block(no);
            self.begin(yes);
            self.statements(then);
            reached |= !self.dead;
            self.jump(after);
            self.begin(no);
        }
        self.statements(otherwise);
        reached |= !self.dead;
        self.jump(after);
        if reached {
            self.b.seal_block(after);
            self.begin(after);
        }
    }

    fn turns(&mut self, turns: &'p Loop) {
        self.loops += 1;
        let (body, next, after) = (
            self.b.create_block(),
            self.b.create_block(),
            self.b.create_block(),
        );
        self.open(turns.target, after, Some(next));
        let test = turns.test.as_ref();
        let twice = test.is_none_or(|test| test.size() <= SMALL_TEST);
        let head = match (twice, turns.turn_first) {
            (true, false) => {
                self.test_turn(turns, body, after);
                None
            }
            // One test, where `next` comes to as well.
            (false, false) => {
                let head = self.b.create_block();
                self.jump(head);
                self.begin(head);
                self.test_turn(turns, body, after);
                Some(head)
            }
            (_, true) => {
                self.jump(body);
                None
            }
        };
        self.begin(body);
        self.check_interrupt();
        self.statements(&turns.body);
        let ends = !self.dead;
        self.jump(next);
        let open = self.frame().targets[turns.target as usize];
        if ends || open.is_some_and(|open| open.next_reached) {
            self.b.seal_block(next);
            self.begin(next);
            if let Some(update) = &turns.update {
                self.effect(update);
            }
            match head {
                Some(head) => self.jump(head),
                None => self.test_turn(turns, body, after),
            }
        }
        if let Some(head) = head {
            self.b.seal_block(head);
        }
        self.b.seal_block(body);
        self.dead = true;
        self.close(turns.target);
    }

    fn test_turn(&mut self, turns: &'p Loop, body: Block, after: Block) {
        match &turns.test {
            Some(test) => {
                self.branch(test, body, after);
                self.reach(turns.target);
                self.dead = true;
            }
            None => self.jump(body),
        }
    }

    fn switch(&mut self, switch: &'p Switch) {
        let after = self.b.create_block();
        self.open(switch.target, after, None);
        let bodies = switch.cases.iter().map(|_| self.b.create_block());
        let bodies: Vec<Block> = bodies.collect();
        let default = switch.cases.iter().position(|(test, _)| test.is_none());
        let default = default.map(|number| bodies[number]);
        let otherwise = default.unwrap_or(after);
        if default.is_none() {
            self.reach(switch.target);
        }
        if !self.jump_by_table(switch, &bodies, otherwise) {
            let value = self.value(&switch.value);
            for ((test, _), body) in switch.cases.iter().zip(&bodies) {
                let Some(test) = test else { continue };
                let next = self.b.create_block();
                let with = self.value(test);
                let same = self.same(value, with);
                self.b.ins().brif(same, *body, &[], next, &[]);
                self.b.seal_block(next);
                self.begin(next);
            }
            self.jump(otherwise);
        }
        self.dead = true;
        for ((_, statements), body) in switch.cases.iter().zip(&bodies) {
            self.jump(*body);
            self.b.seal_block(*body);
            self.begin(*body);
            self.statements(statements);
        }
        self.jump_on(switch.target);
        self.close(switch.target);
    }

    /// False: the cases are not whole numbers, or too few.
    fn jump_by_table(&mut self, switch: &'p Switch, bodies: &[Block], otherwise: Block) -> bool {
        let of_integers = matches!(self.type_of(&switch.value), Type::Integer(_));
        if !of_integers || switch.cases.len() < TABLE {
            return false;
        }
        let mut table = Table::new();
        let mut known = HashSet::new();
        for ((test, _), body) in switch.cases.iter().zip(bodies) {
            let Some(test) = test else { continue };
            let Node::Number(value) = test.node else {
                return false;
            };
            let whole = value as i64;
            if whole as f64 != value {
                return false;
            }
            // Of two that are equal, the first counts.
            if known.insert(whole) {
                table.set_entry(u128::from(whole.cast_unsigned()), *body);
            }
        }
        let value = self.int64(&switch.value);
        table.emit(&mut self.b, value, otherwise);
        true
    }

    /// Returns, with or without a value.
    pub(super) fn give_back(&mut self, value: Option<Held>) {
        if self.dead {
            return;
        }
        let instance = self.frame().instance;
        let known = &self.unit.program.instances[instance];
        let returns = known.kernel.function.returns;
        let repr = Repr::of(known.result);
        let value = returns.then(|| match value {
            Some(value) => self.convert(value, repr),
            None => self.nothing(repr),
        });
        match self.frame().exit {
            Exit::Host(slot) => {
                if let Some(value) = value {
                    let held = Held { value, repr };
                    // The host knows no wider integers.
                    let value = match repr {
                        Repr::Int64 => self.convert(held, Repr::Double),
                        _ => value,
                    };
                    self.b.ins().store(MemFlagsData::trusted(), value, slot, 0);
                }
                let done = self.b.ins().iconst(I32, Status::Done as i64);
                self.b.ins().return_(&[done]);
            }
            Exit::Caller => {
                let done = self.b.ins().iconst(I32, Status::Done as i64);
                let returned: Vec<_> = [done].into_iter().chain(value).collect();
                self.b.ins().return_(&returned);
            }
            Exit::Within(block, _) => {
                self.frame().exit = Exit::Within(block, true);
                let given: Vec<_> = value.into_iter().map(BlockArg::Value).collect();
                self.b.ins().jump(block, &given);
            }
        }
        self.dead = true;
    }
}
