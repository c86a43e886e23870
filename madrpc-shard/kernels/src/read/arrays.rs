//! Typed arrays: which parameters are some, and what is done with them.

use super::forms::MATH_BY_INDEX;
use super::{Read, Reader};
use crate::tree::{Binary, Expression, Node, Variable};
use oxc_ast::ast;
use oxc_span::GetSpan;

impl Reader<'_> {
    /// The array that has elements or a length here.
    pub(super) fn array(&mut self, expression: &ast::Expression) -> Read<Variable> {
        let at = expression.span().start;
        let ast::Expression::Identifier(id) = expression.without_parentheses() else {
            let what = "only a parameter can be an array";
            return self.no(at, what, "pass the typed array");
        };
        let name = id.name.as_str();
        match self.scopes.look_up(name) {
            Some(binding) if (binding.variable as usize) < self.arrays.len() => {
                if let Some(array) = self.more_arrays.get_mut(binding.variable as usize) {
                    *array = true;
                }
                Ok(binding.variable)
            }
            _ => {
                let what = format!("{name} is no parameter, and only those can be arrays");
                self.no(at, what, "pass the typed array")
            }
        }
    }

    pub(super) fn element(&mut self, member: &ast::ComputedMemberExpression) -> Read<Expression> {
        if member.optional {
            return self.no(member.span.start, "?. is not for kernels", "write [ ]");
        }
        if self.is_math(&member.object) {
            return self.no(member.span.start, MATH_BY_INDEX.0, MATH_BY_INDEX.1);
        }
        let array = self.array(&member.object)?;
        let index = self.expression(&member.expression)?;
        self.make(member.span.start, Node::Element(array, Box::new(index)))
    }

    pub(super) fn store(
        &mut self,
        at: u32,
        member: &ast::ComputedMemberExpression,
        value: &ast::Expression,
    ) -> Read<Expression> {
        let array = self.array(&member.object)?;
        let index = self.expression(&member.expression)?;
        let value = self.expression(value)?;
        self.make(at, Node::Store(array, Box::new((index, value))))
    }

    /// `a[i] += value`, and the like.
    pub(super) fn modify(
        &mut self,
        at: u32,
        member: &ast::ComputedMemberExpression,
        operator: Binary,
        value: &ast::Expression,
    ) -> Read<Expression> {
        let array = self.array(&member.object)?;
        let index = self.expression(&member.expression)?;
        let old = self.make(at, Node::Old(array))?;
        let value = self.expression(value)?;
        let value = self.binary(at, operator, old, value)?;
        self.finish_modify(at, array, index, value, false)
    }

    /// `a[i]++`, and the like.
    pub(super) fn step(
        &mut self,
        at: u32,
        member: &ast::ComputedMemberExpression,
        operator: Binary,
        after: bool,
    ) -> Read<Expression> {
        let array = self.array(&member.object)?;
        let index = self.expression(&member.expression)?;
        let old = self.make(at, Node::Old(array))?;
        let one = self.make(at, Node::Number(1.0))?;
        let value = self.binary(at, operator, old, one)?;
        self.finish_modify(at, array, index, value, after)
    }

    fn finish_modify(
        &mut self,
        at: u32,
        array: Variable,
        index: Expression,
        value: Expression,
        after: bool,
    ) -> Read<Expression> {
        let parts = Box::new((index, value));
        self.make(
            at,
            Node::Modify {
                array,
                parts,
                after,
            },
        )
    }
}
