//! What is not in the subset, in words, and what to write instead.

use oxc_ast::ast::{Expression, Statement};

type Words = (&'static str, &'static str);

pub(super) fn statement_form(statement: &Statement) -> Words {
    match statement {
        Statement::ForInStatement(_) | Statement::ForOfStatement(_) => (
            "for … of and for … in are not for kernels",
            "count: for (let i = 0; i < a.length; i++)",
        ),
        Statement::ThrowStatement(_) => (
            "throw is not for kernels",
            "return a number that says so, and throw where the kernel is called",
        ),
        Statement::TryStatement(_) => (
            "try is not for kernels",
            "put it around the call of the kernel",
        ),
        Statement::FunctionDeclaration(_) | Statement::ClassDeclaration(_) => (
            "a function in a kernel",
            "make it a kernel of its own, and capture that",
        ),
        Statement::DebuggerStatement(_) => ("debugger is not for kernels", ""),
        Statement::WithStatement(_) => ("with is not for kernels", ""),
        _ => ("this statement is not for kernels", ""),
    }
}

pub(super) fn expression_form(expression: &Expression) -> Words {
    match expression {
        Expression::StringLiteral(_)
        | Expression::TemplateLiteral(_)
        | Expression::TaggedTemplateExpression(_) => {
            ("strings are not for kernels", "pass numbers")
        }
        Expression::NullLiteral(_) => ("null is not for kernels", "use a number"),
        Expression::BigIntLiteral(_) => (
            "BigInt is not for kernels",
            "use numbers, or words of 32 bits",
        ),
        Expression::RegExpLiteral(_) => ("regular expressions are not for kernels", ""),
        Expression::ArrayExpression(_) | Expression::NewExpression(_) => (
            "a kernel makes no arrays and no objects",
            "pass it a typed array to write to",
        ),
        Expression::ObjectExpression(_) => (
            "objects are not for kernels",
            "pass numbers and typed arrays",
        ),
        Expression::ArrowFunctionExpression(_)
        | Expression::FunctionExpression(_)
        | Expression::ClassExpression(_) => (
            "a function in a kernel",
            "make it a kernel of its own, and capture that",
        ),
        Expression::ThisExpression(_) | Expression::Super(_) => {
            ("this is not for kernels", "pass what it needs")
        }
        Expression::AwaitExpression(_)
        | Expression::YieldExpression(_)
        | Expression::ImportExpression(_) => (
            "a kernel waits for nothing",
            "await where the kernel is called",
        ),
        Expression::ChainExpression(_) => ("?. is not for kernels", "write . or [ ]"),
        Expression::StaticMemberExpression(_) | Expression::PrivateFieldExpression(_) => (
            "of properties a kernel knows length and those of Math only",
            "pass the value",
        ),
        _ => ("this expression is not for kernels", ""),
    }
}
