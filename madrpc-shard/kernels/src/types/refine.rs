//! What a condition says about the variables in it, where it holds: in `i < n`, `i` is below the most that `n` can be.

use super::Inference;
use super::lattice::{Range, SAFE, Type};
use crate::tree::{Binary, Expression, Node, Variable};

/// No variable has this number.
const NONE: Variable = Variable::MAX;

/// The bounds that hold where the inference is at.
#[derive(Default)]
pub(super) struct Refinements {
    /// None: of what it is compared with, nothing is known yet, so the condition has not held yet.
    bounds: Vec<(Variable, Option<Range>)>,
}

impl Refinements {
    /// None: this place cannot be reached, as far as is known.
    pub(super) fn within(&self, variable: Variable, range: Range) -> Option<Range> {
        let bounds = self.bounds.iter().filter(|(bound, _)| *bound == variable);
        bounds
            .map(|(_, bound)| *bound)
            .try_fold(range, |range, bound| {
                let bound = bound?;
                let narrower = Range::new(range.low.max(bound.low), range.high.min(bound.high));
                (narrower.low <= narrower.high).then_some(narrower)
            })
    }

    pub(super) fn mark(&self) -> usize {
        self.bounds.len()
    }

    pub(super) fn restore(&mut self, mark: usize) {
        self.bounds.truncate(mark);
    }

    /// Bounds of this variable hold no longer. They stay in their places, which marks count.
    pub(super) fn forget(&mut self, assigned: Variable) {
        for (variable, _) in &mut self.bounds {
            if *variable == assigned {
                *variable = NONE;
            }
        }
    }
}

impl Refinements {
    /// Since the mark, only what the expression does not assign to is still bound.
    fn forget_from(&mut self, mark: usize, expression: &Expression) {
        for (variable, _) in self.bounds.iter_mut().skip(mark) {
            if expression.assigns(*variable) {
                *variable = NONE;
            }
        }
    }
}

impl Inference<'_> {
    /// Takes up what holds where the condition does. The types of its parts are known.
    pub(super) fn assume(&mut self, condition: &Expression) {
        match &condition.node {
            Node::And(parts) => {
                let mark = self.refinements.mark();
                self.assume(&parts.0);
                self.refinements.forget_from(mark, &parts.1);
                self.assume(&parts.1);
            }
            Node::Binary(operator, parts) => {
                let (left, right) = (&parts.0, &parts.1);
                self.bound(*operator, left, right);
                let mirrored = match operator {
                    Binary::Less => Binary::Greater,
                    Binary::LessEqual => Binary::GreaterEqual,
                    Binary::Greater => Binary::Less,
                    Binary::GreaterEqual => Binary::LessEqual,
                    other => *other,
                };
                self.bound(mirrored, right, left);
            }
            _ => {}
        }
    }

    fn bound(&mut self, operator: Binary, left: &Expression, right: &Expression) {
        let Node::Variable(variable) = left.node else {
            return;
        };
        let limit = self.this().expressions[right.number as usize].number();
        // In `i < (i = 5)` it is no longer what was compared.
        if right.assigns(variable) {
            return;
        }
        let limit = match limit {
            Type::Integer(limit) => limit,
            Type::Never => return self.refinements.bounds.push((variable, None)),
            _ => return,
        };
        let bound = match operator {
            Binary::Less => Range::new(-SAFE, limit.high - 1),
            Binary::LessEqual => Range::new(-SAFE, limit.high),
            Binary::Greater => Range::new(limit.low + 1, SAFE),
            Binary::GreaterEqual => Range::new(limit.low, SAFE),
            Binary::Equal => limit,
            _ => return,
        };
        self.refinements.bounds.push((variable, Some(bound)));
    }
}
