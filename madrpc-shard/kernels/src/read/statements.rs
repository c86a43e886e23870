//! Statements. Each says whether what follows it can be reached.

use super::forms::statement_form;
use super::{OpenTarget, Read, Reader, SPLIT, TargetKind};
use crate::limits::{MAX_DEPTH, MAX_LOOPS};
use crate::refused::Reason;
use crate::tree;
use crate::tree::{Expression, Loop, Statement, Switch, Target};
use oxc_ast::ast;
use oxc_span::GetSpan;
use std::sync::Arc;

impl Reader<'_> {
    /// The statements of a block, in a scope of their own.
    pub(super) fn list(&mut self, statements: &[ast::Statement]) -> Read<(Vec<Statement>, bool)> {
        self.scopes.enter();
        for statement in statements {
            if let ast::Statement::VariableDeclaration(declaration) = statement {
                self.declare_all(declaration)?;
            }
        }
        let mut list = Vec::new();
        let mut ends = true;
        for statement in statements {
            ends &= self.statement(statement, &mut list)?;
        }
        self.scopes.leave();
        Ok((list, ends))
    }

    /// A statement where a block could be.
    fn branch(&mut self, statement: &ast::Statement) -> Read<(Vec<Statement>, bool)> {
        self.list(std::slice::from_ref(statement))
    }

    fn declare_all(&mut self, declaration: &ast::VariableDeclaration) -> Read<()> {
        let at = declaration.span.start;
        let constant = match declaration.kind {
            ast::VariableDeclarationKind::Let => false,
            ast::VariableDeclarationKind::Const => true,
            ast::VariableDeclarationKind::Var => {
                return self.no(at, "var is not for kernels", "use let or const");
            }
            _ => return self.no(at, "using is not for kernels", "use let or const"),
        };
        for declarator in &declaration.declarations {
            let (name, at) = self.binding(&declarator.id)?;
            self.declare(name, at, constant)?;
        }
        Ok(())
    }

    /// The values of what [`Reader::declare_all`] has made known.
    fn initialise_all(
        &mut self,
        declaration: &ast::VariableDeclaration,
        list: &mut Vec<Statement>,
    ) -> Read<()> {
        for declarator in &declaration.declarations {
            let (name, at) = self.binding(&declarator.id)?;
            let Some(value) = &declarator.init else {
                let what = format!("{name} has no value");
                return self.no(at, what, format!("give it one: let {name} = 0"));
            };
            let value = self.expression(value)?;
            let Some(binding) = self.scopes.innermost(name) else {
                let what = format!("{name} cannot be declared here");
                return self.no(at, what, "put it in braces");
            };
            self.scopes.initialise(binding.variable);
            let assignment = self.assign(at, binding.variable, value)?;
            list.push(Statement::Expression(assignment));
        }
        Ok(())
    }

    fn statement(&mut self, statement: &ast::Statement, list: &mut Vec<Statement>) -> Read<bool> {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        if self.depth > MAX_DEPTH {
            return self.too_deep(statement.span().start);
        }
        let ends = self.labelled(statement, Vec::new(), list)?;
        self.depth -= 1;
        Ok(ends)
    }

    fn labelled(
        &mut self,
        statement: &ast::Statement,
        labels: Vec<Arc<str>>,
        list: &mut Vec<Statement>,
    ) -> Read<bool> {
        let mark = self.assigned.len();
        let (form, ends) = match statement {
            ast::Statement::EmptyStatement(_) => return Ok(true),
            ast::Statement::LabeledStatement(labelled) => {
                let label: Arc<str> = labelled.label.name.as_str().into();
                let known = self.targets.iter().flat_map(|open| &open.labels);
                if labels.contains(&label) || known.into_iter().any(|known| *known == label) {
                    let what = format!("the label {label} is there twice");
                    return self.no(labelled.span.start, what, "use another name");
                }
                let mut labels = labels;
                labels.push(label);
                return self.labelled(&labelled.body, labels, list);
            }
            ast::Statement::BlockStatement(block) => {
                let target = self.open(labels, TargetKind::Block);
                let (body, ends) = self.list(&block.body)?;
                let broken = self.close();
                (
                    Statement::Block(body, broken.then_some(target)),
                    ends || broken,
                )
            }
            _ if !labels.is_empty() && !is_loop_or_switch(statement) => {
                let target = self.open(labels, TargetKind::Block);
                let (body, ends) = self.branch(statement)?;
                let broken = self.close();
                (
                    Statement::Block(body, broken.then_some(target)),
                    ends || broken,
                )
            }
            ast::Statement::ExpressionStatement(expression) => (
                Statement::Expression(self.expression(&expression.expression)?),
                true,
            ),
            ast::Statement::VariableDeclaration(declaration) => {
                self.initialise_all(declaration, list)?;
                return Ok(true);
            }
            ast::Statement::IfStatement(choice) => self.choice(choice)?,
            ast::Statement::WhileStatement(turns) => {
                let target = self.open_loop(turns.span.start, labels)?;
                let test = self.expression(&turns.test)?;
                let (body, _) = self.branch(&turns.body)?;
                self.turns(mark, target, (Some(test), None), body, false)
            }
            ast::Statement::DoWhileStatement(turns) => {
                let target = self.open_loop(turns.span.start, labels)?;
                let (body, _) = self.branch(&turns.body)?;
                let test = self.expression(&turns.test)?;
                self.turns(mark, target, (Some(test), None), body, true)
            }
            ast::Statement::ForStatement(turns) => self.for_statement(turns, labels)?,
            ast::Statement::SwitchStatement(choice) => self.switch(choice, labels)?,
            ast::Statement::ReturnStatement(back) => {
                let at = back.span.start;
                let value = match &back.argument {
                    Some(value) => {
                        self.returns_value.get_or_insert(at);
                        Some(self.expression(value)?)
                    }
                    None => {
                        self.returns_nothing.get_or_insert(at);
                        None
                    }
                };
                (Statement::Return(at, value), false)
            }
            ast::Statement::BreakStatement(jump) => {
                let label = jump.label.as_ref().map(|label| label.name.as_str());
                let open = self.targets.iter_mut().rev().find(|open| match label {
                    Some(label) => open.labels.iter().any(|known| **known == *label),
                    None => open.kind != TargetKind::Block,
                });
                let Some(open) = open else {
                    let remedy = "put it in a loop, a switch or what has its label";
                    return self.no(jump.span.start, "break goes to nothing", remedy);
                };
                open.broken = true;
                (Statement::Break(open.target), false)
            }
            ast::Statement::ContinueStatement(jump) => {
                let label = jump.label.as_ref().map(|label| label.name.as_str());
                let open = self.targets.iter().rev().find(|open| match label {
                    Some(label) => open.labels.iter().any(|known| **known == *label),
                    None => open.kind == TargetKind::Loop,
                });
                match open {
                    Some(open) if open.kind == TargetKind::Loop => {
                        (Statement::Continue(open.target), false)
                    }
                    _ => {
                        let remedy = "put it in a loop, or name a loop's label";
                        return self.no(jump.span.start, "continue goes to no loop", remedy);
                    }
                }
            }
            other => {
                let (what, remedy) = statement_form(other);
                return self.no(other.span().start, what, remedy);
            }
        };
        list.push(form);
        Ok(ends)
    }

    /// With every `else if` that follows, each of which is nested in the last one in the parser's tree only.
    fn choice(&mut self, choice: &ast::IfStatement) -> Read<(Statement, bool)> {
        let mut choice = choice;
        let mut arms = Vec::new();
        let mut one_ends = false;
        let otherwise = loop {
            let test = self.expression(&choice.test)?;
            let (then, ends) = self.branch(&choice.consequent)?;
            arms.push((test, then));
            one_ends |= ends;
            match &choice.alternate {
                Some(ast::Statement::IfStatement(next)) => choice = next,
                Some(statement) => {
                    let (otherwise, ends) = self.branch(statement)?;
                    one_ends |= ends;
                    break otherwise;
                }
                None => {
                    one_ends = true;
                    break Vec::new();
                }
            }
        };
        let form = Statement::If(Box::new((arms, otherwise)));
        Ok((form, one_ends))
    }

    fn open(&mut self, labels: Vec<Arc<str>>, kind: TargetKind) -> Target {
        let target = self.target_count;
        self.target_count += 1;
        self.targets.push(OpenTarget {
            target,
            labels,
            kind,
            broken: false,
        });
        target
    }

    fn open_loop(&mut self, at: u32, labels: Vec<Arc<str>>) -> Read<Target> {
        self.loops += 1;
        if self.loops > MAX_LOOPS {
            let what = format!("more than {MAX_LOOPS} loops in one kernel");
            return Err(self.text.refuse(Reason::TooLarge, at, what, SPLIT));
        }
        Ok(self.open(labels, TargetKind::Loop))
    }

    /// Whether a `break` goes there.
    fn close(&mut self) -> bool {
        self.targets.pop().is_some_and(|open| open.broken)
    }

    fn turns(
        &mut self,
        mark: usize,
        target: Target,
        (test, update): (Option<Expression>, Option<Expression>),
        body: Vec<Statement>,
        turn_first: bool,
    ) -> (Statement, bool) {
        let test = test.filter(|test| !test.is_true());
        let ends = self.close() || test.is_some();
        let mut assigns = self.assigned[mark..].to_vec();
        assigns.sort_unstable();
        assigns.dedup();
        let turns = Loop {
            target,
            test,
            turn_first,
            body,
            update,
            assigns,
        };
        (Statement::Loop(Box::new(turns)), ends)
    }

    fn for_statement(
        &mut self,
        turns: &ast::ForStatement,
        labels: Vec<Arc<str>>,
    ) -> Read<(Statement, bool)> {
        let mut list = Vec::new();
        self.scopes.enter();
        match &turns.init {
            None => {}
            Some(ast::ForStatementInit::VariableDeclaration(declaration)) => {
                self.declare_all(declaration)?;
                self.initialise_all(declaration, &mut list)?;
            }
            Some(init) => {
                if let Some(expression) = init.as_expression() {
                    list.push(Statement::Expression(self.expression(expression)?));
                }
            }
        }
        let mark = self.assigned.len();
        let target = self.open_loop(turns.span.start, labels)?;
        let test = match &turns.test {
            Some(test) => Some(self.expression(test)?),
            None => None,
        };
        let (body, _) = self.branch(&turns.body)?;
        let update = match &turns.update {
            Some(update) => Some(self.expression(update)?),
            None => None,
        };
        self.scopes.leave();
        let (form, ends) = self.turns(mark, target, (test, update), body, false);
        list.push(form);
        Ok((Statement::Block(list, None), ends))
    }

    fn switch(
        &mut self,
        choice: &ast::SwitchStatement,
        labels: Vec<Arc<str>>,
    ) -> Read<(Statement, bool)> {
        let value = self.expression(&choice.discriminant)?;
        let target = self.open(labels, TargetKind::Switch);
        let mut cases = Vec::new();
        let mut has_default = false;
        let mut last_ends = true;
        for case in &choice.cases {
            let test = match &case.test {
                Some(test) => Some(self.expression(test)?),
                None => None,
            };
            has_default |= test.is_none();
            for statement in &case.consequent {
                if let ast::Statement::VariableDeclaration(declaration) = statement {
                    let what = "a declaration directly in a case";
                    let remedy = "put what the case does in braces";
                    return self.no(declaration.span.start, what, remedy);
                }
            }
            let (body, ends) = self.list(&case.consequent)?;
            last_ends = ends;
            cases.push((test, body));
        }
        let broken = self.close();
        let form = Statement::Switch(Box::new(Switch {
            target,
            value,
            cases,
        }));
        Ok((form, broken || last_ends || !has_default))
    }

    pub(super) fn assign(
        &mut self,
        at: u32,
        variable: tree::Variable,
        value: Expression,
    ) -> Read<Expression> {
        self.assigned.push(variable);
        self.make(at, tree::Node::Assign(variable, Box::new(value)))
    }
}

fn is_loop_or_switch(statement: &ast::Statement) -> bool {
    matches!(
        statement,
        ast::Statement::ForStatement(_)
            | ast::Statement::WhileStatement(_)
            | ast::Statement::DoWhileStatement(_)
            | ast::Statement::SwitchStatement(_)
    )
}
