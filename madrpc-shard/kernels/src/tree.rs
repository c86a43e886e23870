//! A kernel as a tree: names are resolved, and only what the compiler knows is left. Types are not known yet.

use crate::math::Function as MathFunction;
use crate::text::Text;
use std::sync::Arc;

/// What a kernel uses besides its parameters.
#[derive(Debug, Clone)]
pub enum Captured {
    /// A constant.
    Number(f64),
    /// A constant.
    Boolean(bool),
    /// A kernel that it may call.
    Kernel(Arc<Kernel>),
}

/// What a parameter is used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// A number or a truth value.
    Scalar,
    /// A typed array.
    Array,
}

/// A parameter of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: Arc<str>,
    /// What it is used as. A parameter that is not used is a scalar.
    pub usage: Usage,
}

/// A function of the numeric subset, read and checked.
#[derive(Debug)]
pub struct Kernel {
    pub(crate) function: Function,
    pub(crate) text: Arc<Text>,
}

impl Kernel {
    /// What to call it in a sentence.
    pub(crate) fn called(&self) -> &str {
        match &*self.function.name {
            "" => "the kernel",
            name => name,
        }
    }
}

/// A parameter or a variable, by its number. The parameters come first.
pub(crate) type Variable = u32;
/// What `break` and `continue` go to, by its number.
pub(crate) type Target = u32;

#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: Arc<str>,
    pub(crate) parameters: Vec<Parameter>,
    /// Their names.
    pub(crate) variables: Vec<Arc<str>>,
    pub(crate) body: Vec<Statement>,
    pub(crate) targets: u32,
    /// How many expressions there are; each has a number below.
    pub(crate) expressions: u32,
    /// Whether it returns a value, and not none.
    pub(crate) returns: bool,
    pub(crate) calls_itself: bool,
    /// How deep its statements and expressions are nested.
    pub(crate) depth: usize,
    /// How deep it calls the kernels below; 1 if it calls none.
    pub(crate) call_depth: usize,
    pub(crate) kernels: Vec<Arc<Kernel>>,
}

#[derive(Debug)]
pub(crate) enum Statement {
    Expression(Expression),
    /// `if` and every `else if`, and the `else`.
    If(Box<(Vec<Arm>, Vec<Statement>)>),
    Loop(Box<Loop>),
    Switch(Box<Switch>),
    /// A block, and what a `break` with its label goes to.
    Block(Vec<Statement>, Option<Target>),
    Break(Target),
    Continue(Target),
    Return(u32, Option<Expression>),
}

/// What is tested, and what is done where it is true.
pub(crate) type Arm = (Expression, Vec<Statement>);

#[derive(Debug)]
pub(crate) struct Loop {
    pub(crate) target: Target,
    /// Before each turn; none: there is always one more.
    pub(crate) test: Option<Expression>,
    /// `do`: the first turn comes without the test.
    pub(crate) turn_first: bool,
    pub(crate) body: Vec<Statement>,
    pub(crate) update: Option<Expression>,
    /// The variables that it assigns to.
    pub(crate) assigns: Vec<Variable>,
}

#[derive(Debug)]
pub(crate) struct Switch {
    pub(crate) target: Target,
    pub(crate) value: Expression,
    /// Without a value: `default`.
    pub(crate) cases: Vec<(Option<Expression>, Vec<Statement>)>,
}

#[derive(Debug)]
pub(crate) struct Expression {
    pub(crate) number: u32,
    /// Where it is in the text.
    pub(crate) at: u32,
    pub(crate) node: Node,
}

#[derive(Debug)]
pub(crate) enum Node {
    Number(f64),
    Boolean(bool),
    Variable(Variable),
    Unary(Unary, Box<Expression>),
    Binary(Binary, Box<(Expression, Expression)>),
    And(Box<(Expression, Expression)>),
    Or(Box<(Expression, Expression)>),
    Conditional(Box<(Expression, Expression, Expression)>),
    Sequence(Vec<Expression>),
    Assign(Variable, Box<Expression>),
    /// `x++`: as [`Node::Assign`], but its value is what the variable was before, as a number.
    AssignAfter(Variable, Box<Expression>),
    Length(Variable),
    Element(Variable, Box<Expression>),
    Store(Variable, Box<(Expression, Expression)>),
    /// `a[i] += x`: the array, the index, and the new value, in which [`Node::Old`] is the present one. `after`: its value is
    /// the present one, and not the new.
    Modify {
        array: Variable,
        parts: Box<(Expression, Expression)>,
        after: bool,
    },
    /// The element that the innermost [`Node::Modify`] around it changes.
    Old(Variable),
    Math(MathFunction, Vec<Expression>),
    Call(Callee, Vec<Argument>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unary {
    Plus,
    Negate,
    Not,
    BitNot,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Binary {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
    Power,
    BitAnd,
    BitOr,
    BitXor,
    ShiftLeft,
    ShiftRight,
    ShiftRightUnsigned,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Callee {
    Itself,
    /// One of [`Function::kernels`].
    Kernel(u32),
}

#[derive(Debug)]
pub(crate) enum Argument {
    Value(Expression),
    Array(Variable),
}

impl Expression {
    /// What is directly within it.
    pub(crate) fn parts(&self) -> Vec<&Self> {
        match &self.node {
            Node::Number(_)
            | Node::Boolean(_)
            | Node::Variable(_)
            | Node::Length(_)
            | Node::Old(_) => Vec::new(),
            Node::Unary(_, part)
            | Node::Assign(_, part)
            | Node::AssignAfter(_, part)
            | Node::Element(_, part) => vec![part],
            Node::Binary(_, parts)
            | Node::And(parts)
            | Node::Or(parts)
            | Node::Store(_, parts)
            | Node::Modify { parts, .. } => vec![&parts.0, &parts.1],
            Node::Conditional(parts) => vec![&parts.0, &parts.1, &parts.2],
            Node::Sequence(parts) | Node::Math(_, parts) => parts.iter().collect(),
            Node::Call(_, arguments) => arguments
                .iter()
                .filter_map(|argument| match argument {
                    Argument::Value(value) => Some(value),
                    Argument::Array(_) => None,
                })
                .collect(),
        }
    }

    /// How many expressions it is made of.
    pub(crate) fn size(&self) -> usize {
        1 + self.parts().iter().map(|part| part.size()).sum::<usize>()
    }

    pub(crate) fn is_true(&self) -> bool {
        matches!(self.node, Node::Boolean(true))
            || matches!(self.node, Node::Number(value) if value != 0.0 && !value.is_nan())
    }
}

/// What is kept of memory, in bytes, about.
impl Function {
    pub(crate) fn memory_bytes(&self) -> usize {
        let names = self.variables.iter().chain([&self.name]);
        // A name is behind two counts; the parameters share theirs.
        let names = names.map(|name| size_of::<Arc<str>>() + 2 * size_of::<usize>() + name.len());
        names.sum::<usize>()
            + self.parameters.len() * size_of::<Parameter>()
            + self.kernels.len() * size_of::<Arc<Kernel>>()
            + list_bytes(&self.body)
    }
}

fn list_bytes(statements: &Vec<Statement>) -> usize {
    let inner = statements.iter().map(Statement::inner_bytes);
    statements.capacity() * size_of::<Statement>() + inner.sum::<usize>()
}

impl Statement {
    /// What it keeps elsewhere.
    fn inner_bytes(&self) -> usize {
        let of = |part: &Option<Expression>| part.as_ref().map_or(0, Expression::inner_bytes);
        match self {
            Self::Expression(expression) => expression.inner_bytes(),
            Self::If(parts) => {
                let (arms, otherwise) = &**parts;
                let inner = arms.iter();
                let inner = inner.map(|(test, then)| test.inner_bytes() + list_bytes(then));
                size_of_val(&**parts)
                    + arms.capacity() * size_of::<Arm>()
                    + inner.sum::<usize>()
                    + list_bytes(otherwise)
            }
            Self::Loop(turns) => {
                size_of::<Loop>()
                    + of(&turns.test)
                    + of(&turns.update)
                    + list_bytes(&turns.body)
                    + turns.assigns.capacity() * size_of::<Variable>()
            }
            Self::Switch(switch) => {
                let cases = switch.cases.iter();
                let cases = cases.map(|(test, body)| of(test) + list_bytes(body));
                size_of::<Switch>()
                    + switch.value.inner_bytes()
                    + switch.cases.capacity() * size_of::<(Option<Expression>, Vec<Self>)>()
                    + cases.sum::<usize>()
            }
            Self::Block(statements, _) => list_bytes(statements),
            Self::Return(_, value) => of(value),
            Self::Break(_) | Self::Continue(_) => 0,
        }
    }
}

impl Expression {
    /// What it keeps elsewhere.
    fn inner_bytes(&self) -> usize {
        let list = match &self.node {
            Node::Call(_, arguments) => arguments.capacity() * size_of::<Argument>(),
            Node::Sequence(parts) | Node::Math(_, parts) => parts.capacity() * size_of::<Self>(),
            _ => self.parts().len() * size_of::<Self>(),
        };
        let parts = self.parts().into_iter();
        list + parts.map(Self::inner_bytes).sum::<usize>()
    }
}
