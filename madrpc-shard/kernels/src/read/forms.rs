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
        Statement::DebuggerStatement(_) => ("debugger is not for kernels", "leave it out"),
        Statement::WithStatement(_) => ("with is not for kernels", "leave it out"),
        _ => ("this statement is not for kernels", OTHER),
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
        Expression::RegExpLiteral(_) => REGEXP,
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
        Expression::PrivateInExpression(_) => ("in is not for kernels", OTHER),
        Expression::ChainExpression(_) => ("?. is not for kernels", "write . or [ ]"),
        Expression::StaticMemberExpression(_) | Expression::PrivateFieldExpression(_) => (
            "of properties a kernel knows length and those of Math only",
            "pass the value",
        ),
        _ => ("this expression is not for kernels", OTHER),
    }
}

pub(super) const OTHER: &str = "write it with numbers, booleans and typed arrays";
pub(super) const REGEXP: Words = (
    "regular expressions are not for kernels",
    "match where the kernel is called, and pass numbers",
);
pub(super) const MATH_BY_INDEX: Words = ("Math[…] is not for kernels", "write Math.abs");
pub(super) const UNASSIGNABLE: Words = (
    "this cannot be assigned to in a kernel",
    "assign to a variable, or to an element: a[i]",
);

/// The name of what is called, or of whose property is asked for, if it has one.
pub(super) fn global<'a>(object: &Expression<'a>) -> &'a str {
    match object {
        Expression::Identifier(id) => id.name.as_str(),
        _ => "",
    }
}

/// What to write instead of `object.name`; the object is empty for a name or an operator by itself, and `.` for any object.
pub(super) fn instead(object: &str, name: &str) -> Option<&'static str> {
    Some(match (object, name) {
        ("Math", "random") => "pass a seed, and compute from it",
        ("Math", "sumPrecise") => "add them in a loop",
        ("Number", "isInteger") => "write x % 1 === 0",
        ("Number", "isSafeInteger") => "write x % 1 === 0 && Math.abs(x) <= 9007199254740991",
        ("Number" | "", "isNaN") => "write x !== x",
        ("Number" | "", "isFinite") => "write x - x === 0",
        ("Number" | "", "parseInt") => "pass a number; Math.trunc(x) cuts it",
        ("Number" | "", "parseFloat") => "pass a number",
        ("Number", "EPSILON") => "write 2 ** -52",
        ("Number", "MAX_SAFE_INTEGER") => "write 9007199254740991",
        ("Number", "MIN_SAFE_INTEGER") => "write -9007199254740991",
        ("Number", "MAX_VALUE") => "write 1.7976931348623157e308",
        ("Number", "MIN_VALUE") => "write 5e-324",
        ("Number", "POSITIVE_INFINITY") => "write Infinity",
        ("Number", "NEGATIVE_INFINITY") => "write -Infinity",
        ("Number", "NaN") => "write NaN",
        ("", "Number") => "write +x",
        ("", "Boolean") => "write !!x",
        ("", "BigInt") => "use numbers, or words of 32 bits",
        ("", "typeof") => "what a variable is, is known: a number or a boolean",
        ("", "void") => "leave it out",
        ("", "delete") => "set the element to 0",
        ("", "in") => "compare the index: i < a.length",
        ("", "instanceof") => "ask where the kernel is called, and pass a boolean",
        ("console", _) => "write to an array, and log that where the kernel is called",
        ("Date" | "performance", _) => "pass the time",
        (".", "at") => "write a[i], and a[a.length - i] from the end",
        (".", "subarray" | "slice") => "pass that part, or where it begins and ends",
        (
            ".",
            "copyWithin" | "every" | "fill" | "filter" | "find" | "findIndex" | "findLast"
            | "findLastIndex" | "forEach" | "includes" | "indexOf" | "lastIndexOf" | "map"
            | "reduce" | "reduceRight" | "reverse" | "set" | "some" | "sort" | "toReversed"
            | "toSorted" | "with",
        ) => "write the loop: for (let i = 0; i < a.length; i++)",
        _ => return None,
    })
}
