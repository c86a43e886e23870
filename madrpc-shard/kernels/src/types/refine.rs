//! What a condition says about the variables in it, where it holds: in `i < n`, `i` is below the most that `n` can be.

use super::Inference;
use super::lattice::{Range, SAFE, Type};
use crate::tree::{Binary, Expression, Node, Variable};

/// The bounds that hold where the inference is at. Each step takes the same time, however many there are.
#[derive(Default)]
pub(super) struct Refinements {
    /// By the variable.
    known: Vec<Known>,
    /// What was known before each bound that was taken up, and when.
    before: Vec<(Variable, Bound, u32)>,
    /// Goes on with every assignment.
    now: u32,
}

#[derive(Clone, Copy, Default)]
struct Known {
    bound: Bound,
    /// When it was assigned to last.
    assigned: u32,
}

#[derive(Clone, Copy, Default)]
enum Bound {
    #[default]
    None,
    Within(Range),
    /// As far as is known, this place is not reached: no number is within the bounds, or nothing is known yet of what the
    /// variable is compared with.
    Nowhere,
}

impl Refinements {
    pub(super) fn new(variables: usize) -> Self {
        Self {
            known: vec![Known::default(); variables],
            ..Self::default()
        }
    }

    /// None: this place cannot be reached, as far as is known.
    pub(super) fn within(&self, variable: Variable, range: Range) -> Option<Range> {
        match self.known[variable as usize].bound {
            Bound::None => Some(range),
            Bound::Within(bound) => range.common(bound),
            Bound::Nowhere => None,
        }
    }

    pub(super) fn mark(&self) -> usize {
        self.before.len()
    }

    /// What was taken up since the mark holds no longer. What was forgotten since stays so.
    pub(super) fn restore(&mut self, mark: usize) {
        for (variable, bound, at) in self.before.drain(mark..).rev() {
            let known = &mut self.known[variable as usize];
            if known.assigned <= at {
                known.bound = bound;
            }
        }
    }

    /// Bounds of this variable hold no longer.
    pub(super) fn forget(&mut self, assigned: Variable) {
        self.now += 1;
        self.known[assigned as usize] = Known {
            bound: Bound::None,
            assigned: self.now,
        };
    }

    fn take_up(&mut self, variable: Variable, bound: Bound) {
        let known = &mut self.known[variable as usize];
        self.before.push((variable, known.bound, self.now));
        known.bound = match (known.bound, bound) {
            (Bound::None, bound) => bound,
            (Bound::Within(a), Bound::Within(b)) => {
                a.common(b).map_or(Bound::Nowhere, Bound::Within)
            }
            _ => Bound::Nowhere,
        };
    }
}

impl Inference<'_> {
    /// An expression of which counts whether it is true, or, if its value is wanted, that too. From here on holds what holds
    /// where it is true.
    pub(super) fn condition(&mut self, expression: &Expression, wanted: bool) -> Type {
        match &expression.node {
            Node::And(parts) => {
                let left = self.condition(&parts.0, wanted);
                let right = self.condition(&parts.1, wanted);
                match wanted {
                    true => {
                        let found = self.either(expression.at, left, right);
                        self.know(expression, found)
                    }
                    false => Type::Boolean,
                }
            }
            Node::Binary(operator, parts) => {
                let start = self.refinements.now;
                let found = self.value(expression);
                let (left, right) = (&parts.0, &parts.1);
                self.bound(*operator, left, right, start);
                let mirrored = match operator {
                    Binary::Less => Binary::Greater,
                    Binary::LessEqual => Binary::GreaterEqual,
                    Binary::Greater => Binary::Less,
                    Binary::GreaterEqual => Binary::LessEqual,
                    other => *other,
                };
                self.bound(mirrored, right, left, start);
                found
            }
            _ if wanted => self.value(expression),
            _ => {
                self.test(expression);
                Type::Boolean
            }
        }
    }

    /// The comparison with the variable on its left, that was begun at this time.
    fn bound(&mut self, operator: Binary, left: &Expression, right: &Expression, start: u32) {
        let Node::Variable(variable) = left.node else {
            return;
        };
        // In `i < (i = 5)` it is no longer what was compared.
        if self.refinements.known[variable as usize].assigned > start {
            return;
        }
        let limit = self.this().expressions[right.number as usize].number();
        let between = |low, high| match low <= high {
            true => Bound::Within(Range::new(low, high)),
            false => Bound::Nowhere,
        };
        let bound = match (limit, operator) {
            (Type::Never, _) => Bound::Nowhere,
            (Type::Integer(limit), Binary::Less) => between(-SAFE, limit.high - 1),
            (Type::Integer(limit), Binary::LessEqual) => between(-SAFE, limit.high),
            (Type::Integer(limit), Binary::Greater) => between(limit.low + 1, SAFE),
            (Type::Integer(limit), Binary::GreaterEqual) => between(limit.low, SAFE),
            (Type::Integer(limit), Binary::Equal) => between(limit.low, limit.high),
            _ => return,
        };
        self.refinements.take_up(variable, bound);
    }
}
