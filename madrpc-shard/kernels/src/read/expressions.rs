//! Expressions. What is constant is computed here, by the same functions that would compute it later.

use super::forms::{MATH_BY_INDEX, OTHER, UNASSIGNABLE, expression_form, global, instead};
use super::{Read, Reader, SPLIT};
use crate::limits::{MAX_DEPTH, MAX_EXPRESSIONS};
use crate::refused::Reason;
use crate::tree::{Argument, Binary, Callee, Expression, Node, Unary};
use crate::tree::{Captured, Usage};
use crate::{math, tree};
use oxc_ast::ast;
use oxc_span::GetSpan;
use std::sync::Arc;

impl Reader<'_> {
    pub(super) fn make(&mut self, at: u32, node: Node) -> Read<Expression> {
        let number = self.expressions;
        if number == MAX_EXPRESSIONS {
            let what = format!("more than {MAX_EXPRESSIONS} operations in one kernel");
            return Err(self.text.refuse(Reason::TooLarge, at, what, SPLIT));
        }
        self.expressions += 1;
        Ok(Expression { number, at, node })
    }

    pub(super) fn expression(&mut self, expression: &ast::Expression) -> Read<Expression> {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        if self.depth > MAX_DEPTH {
            let at = expression.span().start;
            return self.too_deep(at);
        }
        let read = self.any(expression)?;
        self.depth -= 1;
        Ok(read)
    }

    fn any(&mut self, expression: &ast::Expression) -> Read<Expression> {
        let at = expression.span().start;
        match expression {
            ast::Expression::ParenthesizedExpression(inner) => self.expression(&inner.expression),
            ast::Expression::NumericLiteral(number) => self.make(at, Node::Number(number.value)),
            ast::Expression::BooleanLiteral(truth) => self.make(at, Node::Boolean(truth.value)),
            ast::Expression::Identifier(id) => self.name(at, id.name.as_str()),
            ast::Expression::UnaryExpression(unary) => self.unary(unary),
            ast::Expression::BinaryExpression(binary) => self.binary_chain(binary),
            ast::Expression::LogicalExpression(logical) => self.logical_chain(logical),
            ast::Expression::ConditionalExpression(choice) => {
                let test = self.expression(&choice.test)?;
                let then = self.expression(&choice.consequent)?;
                let otherwise = self.expression(&choice.alternate)?;
                self.make(at, Node::Conditional(Box::new((test, then, otherwise))))
            }
            ast::Expression::SequenceExpression(sequence) => {
                let mut parts = Vec::new();
                for part in &sequence.expressions {
                    parts.push(self.expression(part)?);
                }
                self.make(at, Node::Sequence(parts))
            }
            ast::Expression::AssignmentExpression(assignment) => self.assignment(assignment),
            ast::Expression::UpdateExpression(update) => self.update(update),
            ast::Expression::ComputedMemberExpression(member) => self.element(member),
            ast::Expression::StaticMemberExpression(member) if !member.optional => {
                self.property(member)
            }
            ast::Expression::CallExpression(call) if !call.optional => self.call(call),
            other => {
                let (what, remedy) = expression_form(other);
                self.no(at, what, remedy)
            }
        }
    }

    /// A name whose value is wanted.
    fn name(&mut self, at: u32, name: &str) -> Read<Expression> {
        if let Some(binding) = self.scopes.look_up(name) {
            if self.is_array(binding.variable) {
                let what = format!("{name} is a typed array, and here a number is needed");
                let remedy = format!("use {name}[i] or {name}.length");
                return self.no(at, what, remedy);
            }
            if !binding.initialised {
                return self.too_early(at, name);
            }
            return self.make(at, Node::Variable(binding.variable));
        }
        match self.captured(name) {
            Some(Captured::Number(value)) => return self.make(at, Node::Number(value)),
            Some(Captured::Boolean(value)) => return self.make(at, Node::Boolean(value)),
            Some(Captured::Kernel(_)) => {
                return self.no(at, format!("{name} is a kernel"), "call it");
            }
            None => {}
        }
        match name {
            "NaN" => self.make(at, Node::Number(f64::NAN)),
            "Infinity" => self.make(at, Node::Number(f64::INFINITY)),
            "undefined" => self.no(at, "undefined is not for kernels", "use a number"),
            "arguments" => self.no(at, "arguments is not for kernels", "name each parameter"),
            _ if *name == *self.name => self.no(at, format!("{name} is a kernel"), "call it"),
            _ => {
                if let Some(remedy) = instead("", name) {
                    return self.no(at, format!("{name} is not for kernels"), remedy);
                }
                let what = format!("{name} is not known here");
                let remedy = format!("capture it: madrpc.kernel({}, {{ {name} }})", self.called());
                self.no(at, what, remedy)
            }
        }
    }

    fn called(&self) -> &str {
        match &*self.name {
            "" => "function (…) {…}",
            name => name,
        }
    }

    fn captured(&self, name: &str) -> Option<Captured> {
        let found = self.captured.iter().find(|(known, _)| **known == *name);
        found.map(|(_, captured)| captured.clone())
    }

    fn unary(&mut self, unary: &ast::UnaryExpression) -> Read<Expression> {
        let at = unary.span.start;
        let operator = match unary.operator {
            ast::UnaryOperator::UnaryPlus => Unary::Plus,
            ast::UnaryOperator::UnaryNegation => Unary::Negate,
            ast::UnaryOperator::LogicalNot => Unary::Not,
            ast::UnaryOperator::BitwiseNot => Unary::BitNot,
            other => return self.no_operator(at, other.as_str()),
        };
        let part = self.expression(&unary.argument)?;
        match (operator, &part.node) {
            (Unary::Negate, Node::Number(value)) => {
                let value = -value;
                self.make(at, Node::Number(value))
            }
            _ => self.make(at, Node::Unary(operator, Box::new(part))),
        }
    }

    pub(super) fn binary(
        &mut self,
        at: u32,
        operator: Binary,
        left: Expression,
        right: Expression,
    ) -> Read<Expression> {
        if let (Node::Number(a), Node::Number(b)) = (&left.node, &right.node)
            && let Some(value) = folded(operator, *a, *b)
        {
            return self.make(at, Node::Number(value));
        }
        self.make(at, Node::Binary(operator, Box::new((left, right))))
    }

    pub(super) fn logical(
        &mut self,
        at: u32,
        operator: ast::LogicalOperator,
        left: Expression,
        right: Expression,
    ) -> Read<Expression> {
        let parts = Box::new((left, right));
        match operator {
            ast::LogicalOperator::And => self.make(at, Node::And(parts)),
            ast::LogicalOperator::Or => self.make(at, Node::Or(parts)),
            ast::LogicalOperator::Coalesce => {
                self.no(at, "?? is not for kernels", "nothing is null here")
            }
        }
    }

    /// The variable that is assigned to.
    fn target(&self, at: u32, name: &str) -> Read<tree::Variable> {
        let Some(binding) = self.scopes.look_up(name) else {
            let what = format!("{name} is no variable of the kernel");
            return self.no(at, what, format!("declare it: let {name} = 0"));
        };
        if self.is_array(binding.variable) {
            let what = format!("{name} is a typed array, and cannot be assigned to");
            return self.no(at, what, format!("assign to {name}[i]"));
        }
        if !binding.initialised {
            return self.too_early(at, name);
        }
        if binding.constant {
            let what = format!("{name} is a constant");
            return self.no(at, what, format!("declare it: let {name}"));
        }
        Ok(binding.variable)
    }

    fn assignment(&mut self, assignment: &ast::AssignmentExpression) -> Read<Expression> {
        let at = assignment.span.start;
        let binary = match assignment.operator {
            ast::AssignmentOperator::Assign => None,
            other => other.to_binary_operator().and_then(operator),
        };
        let logical = assignment.operator.to_logical_operator();
        match &assignment.left {
            ast::AssignmentTarget::AssignmentTargetIdentifier(id) => {
                let variable = self.target(at, id.name.as_str())?;
                if let Some(operator) = logical {
                    let left = self.make(at, Node::Variable(variable))?;
                    let value = self.expression(&assignment.right)?;
                    let right = self.assign(at, variable, value)?;
                    return self.logical(at, operator, left, right);
                }
                let value = match binary {
                    None => self.expression(&assignment.right)?,
                    Some(operator) => {
                        let left = self.make(at, Node::Variable(variable))?;
                        let right = self.expression(&assignment.right)?;
                        self.binary(at, operator, left, right)?
                    }
                };
                self.assign(at, variable, value)
            }
            ast::AssignmentTarget::ComputedMemberExpression(member) => match binary {
                _ if logical.is_some() => {
                    let what = format!("{} on an element", assignment.operator.as_str());
                    self.no(at, what, "use if")
                }
                None => self.store(at, member, &assignment.right),
                Some(operator) => self.modify(at, member, operator, &assignment.right),
            },
            ast::AssignmentTarget::ArrayAssignmentTarget(_)
            | ast::AssignmentTarget::ObjectAssignmentTarget(_) => {
                let what = "destructuring is not for kernels";
                self.no(at, what, "assign each value by itself")
            }
            _ => self.no(at, UNASSIGNABLE.0, UNASSIGNABLE.1),
        }
    }

    fn update(&mut self, update: &ast::UpdateExpression) -> Read<Expression> {
        let at = update.span.start;
        let operator = match update.operator {
            ast::UpdateOperator::Increment => Binary::Add,
            ast::UpdateOperator::Decrement => Binary::Subtract,
        };
        match &update.argument {
            ast::SimpleAssignmentTarget::AssignmentTargetIdentifier(id) => {
                let variable = self.target(at, id.name.as_str())?;
                let old = self.make(at, Node::Variable(variable))?;
                let one = self.make(at, Node::Number(1.0))?;
                let value = self.binary(at, operator, old, one)?;
                if update.prefix {
                    return self.assign(at, variable, value);
                }
                self.assigned.push(variable);
                self.make(at, Node::AssignAfter(variable, Box::new(value)))
            }
            ast::SimpleAssignmentTarget::ComputedMemberExpression(member) => {
                self.step(at, member, operator, !update.prefix)
            }
            _ => self.no(at, UNASSIGNABLE.0, UNASSIGNABLE.1),
        }
    }

    /// `a.length`, and the constants of `Math`.
    fn property(&mut self, member: &ast::StaticMemberExpression) -> Read<Expression> {
        let at = member.span.start;
        let name = member.property.name.as_str();
        if self.is_math(&member.object) {
            return match math::constant(name) {
                Some(value) => self.make(at, Node::Number(value)),
                None => self.no_member(at, "Math", name),
            };
        }
        if name != "length" {
            let object = global(&member.object);
            return self.no_member(at, object, name);
        }
        let array = self.array(&member.object)?;
        self.make(at, Node::Length(array))
    }

    /// An operator that kernels do not have.
    pub(super) fn no_operator<T>(&self, at: u32, operator: &str) -> Read<T> {
        let remedy = instead("", operator).unwrap_or(OTHER);
        self.no(at, format!("{operator} is not for kernels"), remedy)
    }

    /// `object.name`, where that is neither a length nor of what `Math` has for kernels.
    fn no_member<T>(&self, at: u32, object: &str, name: &str) -> Read<T> {
        let what = match object {
            "Math" | "Number" => format!("{object}.{name} is not for kernels"),
            _ => format!(".{name} is not for kernels"),
        };
        let known = instead(object, name).or_else(|| instead(".", name));
        let of_any = match object {
            "Math" => "write the number, or a kernel that computes it",
            _ => "use elements and length of typed arrays",
        };
        self.no(at, what, known.unwrap_or(of_any))
    }

    fn no_kernel<T>(&self, at: u32, name: &str) -> Read<T> {
        let remedy = "capture a kernel under a name that is nothing else";
        self.no(at, format!("{name} is no kernel"), remedy)
    }

    fn too_early<T>(&self, at: u32, name: &str) -> Read<T> {
        let what = format!("{name} is used before its declaration");
        self.no(at, what, "declare it further up")
    }

    pub(super) fn is_math(&self, object: &ast::Expression) -> bool {
        let ast::Expression::Identifier(id) = object else {
            return false;
        };
        id.name == "Math"
            && self.scopes.look_up("Math").is_none()
            && self.captured("Math").is_none()
    }

    fn call(&mut self, call: &ast::CallExpression) -> Read<Expression> {
        let at = call.span.start;
        match &call.callee {
            ast::Expression::StaticMemberExpression(member) if self.is_math(&member.object) => {
                self.math(at, member.property.name.as_str(), &call.arguments)
            }
            ast::Expression::Identifier(id) => self.kernel(at, id.name.as_str(), &call.arguments),
            ast::Expression::StaticMemberExpression(member) => {
                let object = global(&member.object);
                self.no_member(at, object, member.property.name.as_str())
            }
            ast::Expression::ComputedMemberExpression(member) if self.is_math(&member.object) => {
                self.no(at, MATH_BY_INDEX.0, MATH_BY_INDEX.1)
            }
            _ => {
                let what = "only kernels and Math can be called in a kernel";
                self.no(at, what, "give the kernel a name, and capture it")
            }
        }
    }

    fn argument<'b>(&self, argument: &'b ast::Argument<'b>) -> Read<&'b ast::Expression<'b>> {
        match argument.as_expression() {
            Some(expression) => Ok(expression),
            None => self.no(
                argument.span().start,
                "... is not for kernels",
                "pass each value",
            ),
        }
    }

    fn math(&mut self, at: u32, name: &str, arguments: &[ast::Argument]) -> Read<Expression> {
        let Some((function, least, most)) = math::function(name) else {
            return self.no_member(at, "Math", name);
        };
        if arguments.len() < least || arguments.len() > most {
            let what = format!("Math.{name} takes {least}, not {}", arguments.len());
            return self.no(at, what, "pass as many");
        }
        let mut values = Vec::new();
        for argument in arguments {
            values.push(self.expression(self.argument(argument)?)?);
        }
        self.make(at, Node::Math(function, values))
    }

    fn kernel(&mut self, at: u32, name: &str, arguments: &[ast::Argument]) -> Read<Expression> {
        let captured = match self.scopes.look_up(name) {
            Some(_) => return self.no_kernel(at, name),
            None => self.captured(name),
        };
        let (callee, usages): (_, Vec<Usage>) = match captured {
            Some(Captured::Kernel(kernel)) => {
                let usages = kernel.parameters().iter().map(|known| known.usage);
                let usages = usages.collect();
                let known = self
                    .kernels
                    .iter()
                    .position(|known| Arc::ptr_eq(known, &kernel));
                let index = known.unwrap_or_else(|| {
                    self.kernels.push(kernel);
                    self.kernels.len() - 1
                });
                (Callee::Kernel(index as u32), usages)
            }
            Some(_) => return self.no_kernel(at, name),
            None if *name == *self.name => {
                self.calls_itself = true;
                let usage = |array: &bool| match array {
                    true => Usage::Array,
                    false => Usage::Scalar,
                };
                (Callee::Itself, self.arrays.iter().map(usage).collect())
            }
            None => {
                if let Some(remedy) = instead("", name) {
                    return self.no(at, format!("{name} is not for kernels"), remedy);
                }
                let what = format!("{name} is no kernel that is known here");
                let remedy = format!(
                    "make it one, and capture it: madrpc.kernel({}, {{ {name} }})",
                    self.called()
                );
                return self.no(at, what, remedy);
            }
        };
        if arguments.len() != usages.len() {
            let what = format!(
                "{name} takes {} arguments, not {}",
                usages.len(),
                arguments.len()
            );
            return self.no(at, what, "pass them all");
        }
        let mut values = Vec::new();
        for (position, (argument, usage)) in arguments.iter().zip(usages).enumerate() {
            let argument = self.argument(argument)?;
            // One of ours that is an array makes an array of what it becomes in a call of itself.
            let handed_on = match argument {
                ast::Expression::Identifier(id) => self.scopes.look_up(id.name.as_str()),
                _ => None,
            };
            let is_array = handed_on.is_some_and(|binding| self.is_array(binding.variable));
            if usage == Usage::Array {
                values.push(Argument::Array(self.array(argument)?));
            } else if is_array && callee == Callee::Itself {
                if let Some(array) = self.more_arrays.get_mut(position) {
                    *array = true;
                }
                values.push(Argument::Array(self.array(argument)?));
            } else {
                values.push(Argument::Value(self.expression(argument)?));
            }
        }
        self.make(at, Node::Call(callee, values))
    }
}

pub(super) fn operator(operator: ast::BinaryOperator) -> Option<Binary> {
    Some(match operator {
        ast::BinaryOperator::Equality | ast::BinaryOperator::StrictEquality => Binary::Equal,
        ast::BinaryOperator::Inequality | ast::BinaryOperator::StrictInequality => Binary::NotEqual,
        ast::BinaryOperator::LessThan => Binary::Less,
        ast::BinaryOperator::LessEqualThan => Binary::LessEqual,
        ast::BinaryOperator::GreaterThan => Binary::Greater,
        ast::BinaryOperator::GreaterEqualThan => Binary::GreaterEqual,
        ast::BinaryOperator::Addition => Binary::Add,
        ast::BinaryOperator::Subtraction => Binary::Subtract,
        ast::BinaryOperator::Multiplication => Binary::Multiply,
        ast::BinaryOperator::Division => Binary::Divide,
        ast::BinaryOperator::Remainder => Binary::Remainder,
        ast::BinaryOperator::Exponential => Binary::Power,
        ast::BinaryOperator::ShiftLeft => Binary::ShiftLeft,
        ast::BinaryOperator::ShiftRight => Binary::ShiftRight,
        ast::BinaryOperator::ShiftRightZeroFill => Binary::ShiftRightUnsigned,
        ast::BinaryOperator::BitwiseOR => Binary::BitOr,
        ast::BinaryOperator::BitwiseXOR => Binary::BitXor,
        ast::BinaryOperator::BitwiseAnd => Binary::BitAnd,
        ast::BinaryOperator::In | ast::BinaryOperator::Instanceof => return None,
    })
}

/// The value of an operator between constants.
fn folded(operator: Binary, a: f64, b: f64) -> Option<f64> {
    Some(match operator {
        Binary::Add => a + b,
        Binary::Subtract => a - b,
        Binary::Multiply => a * b,
        Binary::Divide => a / b,
        // SAFETY: it takes any numbers.
        Binary::Power => unsafe { math::power(a, b) },
        _ => return None,
    })
}
