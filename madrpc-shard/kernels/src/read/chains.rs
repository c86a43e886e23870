//! What is long, and nested in a parser's tree only: `a + b + c` to the left, as deep as it is long. It is read in a loop, and is
//! in our tree no deeper than [`LINKS`].

use super::expressions::operator;
use super::{Read, Reader};
use crate::tree::{Expression, Node};
use oxc_ast::ast;

/// After so many operators, what they have come to is kept in a variable of no name.
const LINKS: usize = 100;

impl Reader<'_> {
    pub(super) fn binary_chain(&mut self, last: &ast::BinaryExpression) -> Read<Expression> {
        let mut links = vec![last];
        let mut first = &last.left;
        while let ast::Expression::BinaryExpression(link) = first {
            links.push(link);
            first = &link.left;
        }
        links.reverse();
        let (at, depth) = (last.span.start, self.depth);
        // A sequence of assignments, where there are several.
        let around = depth + if links.len() > LINKS { 2 } else { 0 };
        let mut kept = Vec::new();
        let mut value = None;
        for links in links.chunks(LINKS) {
            let mut left = match value.take() {
                None => {
                    self.depth = around + links.len() - 1;
                    self.expression(first)?
                }
                Some(value) => {
                    let variable = self.variable("", at)?;
                    kept.push(self.assign(at, variable, value)?);
                    self.make(at, Node::Variable(variable))?
                }
            };
            for (number, link) in links.iter().enumerate() {
                let Some(operator) = operator(link.operator) else {
                    return self.no_operator(at, link.operator.as_str());
                };
                self.depth = around + links.len() - 1 - number;
                let right = self.expression(&link.right)?;
                left = self.binary(at, operator, left, right)?;
            }
            value = Some(left);
        }
        self.depth = depth;
        match value {
            Some(value) if kept.is_empty() => Ok(value),
            value => {
                kept.extend(value);
                self.make(at, Node::Sequence(kept))
            }
        }
    }

    /// `a && (b && c)` is `(a && b) && c`: in our tree they are halved, and halved again.
    pub(super) fn logical_chain(&mut self, last: &ast::LogicalExpression) -> Read<Expression> {
        let (at, depth) = (last.span.start, self.depth);
        let mut parts = vec![&last.right];
        let mut first = &last.left;
        while let ast::Expression::LogicalExpression(link) = first
            && link.operator == last.operator
        {
            parts.push(&link.right);
            first = &link.left;
        }
        parts.push(first);
        self.depth += parts.len().ilog2() as usize; // The expression itself is one more.
        let mut values = Vec::with_capacity(parts.len());
        for part in parts.into_iter().rev() {
            values.push(self.expression(part)?);
        }
        self.depth = depth;
        loop {
            let mut pairs = Vec::with_capacity(values.len().div_ceil(2));
            let mut rest = values.into_iter();
            while let Some(left) = rest.next() {
                pairs.push(match rest.next() {
                    Some(right) => self.logical(at, last.operator, left, right)?,
                    None => left,
                });
            }
            match pairs.pop() {
                Some(whole) if pairs.is_empty() => return Ok(whole),
                more => pairs.extend(more),
            }
            values = pairs;
        }
    }
}
