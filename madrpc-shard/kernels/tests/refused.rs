//! What is no kernel, in one line each: where it is, what it is, what to write instead.

mod common;

use common::{capturing, kernel};
use madrpc_kernels::{ArgumentKind, Captured, ElementKind, MAX_PARAMETERS, Reason};
use std::sync::Arc;

/// The text of the function's body, and how the line begins.
const BODIES: &[(&str, &str)] = &[
    (
        "return Math.random();",
        "1:24: Math.random is not for kernels: pass a seed",
    ),
    ("return\n  Math.random();", "2:3: Math.random"),
    (
        "return x;",
        "1:24: x is not known here: capture it: madrpc.kernel(f, { x })",
    ),
    (
        "return g(a);",
        "1:24: g is no kernel that is known here: make it one, and capture it",
    ),
    (
        "var x = 1;",
        "1:17: var is not for kernels: use let or const",
    ),
    (
        "let x; x = 1;",
        "1:21: x has no value: give it one: let x = 0",
    ),
    (
        "x = 1; let x = 2;",
        "1:17: x is used before its declaration",
    ),
    (
        "{ let y = x; } let x = 2;",
        "1:27: x is used before its declaration",
    ),
    ("let x = x;", "1:25: x is used before its declaration"),
    (
        "const x = 1; x = 2;",
        "1:30: x is a constant: declare it: let x",
    ),
    ("const x = 1; x++;", "1:30: x is a constant"),
    ("let x = 1; let x = 2;", "1:32: x is declared twice"),
    (
        "y = 1;",
        "1:17: y is no variable of the kernel: declare it: let y = 0",
    ),
    (
        "return 'text';",
        "1:24: strings are not for kernels: pass numbers",
    ),
    ("return `text`;", "1:24: strings are not for kernels"),
    ("return null;", "1:24: null is not for kernels"),
    ("return undefined;", "1:24: undefined is not for kernels"),
    ("return 1n;", "1:24: BigInt is not for kernels"),
    (
        "return /x/;",
        "1:24: regular expressions are not for kernels",
    ),
    (
        "return [1];",
        "1:24: a kernel makes no arrays and no objects: pass it a typed array",
    ),
    (
        "return new Float64Array(4);",
        "1:24: a kernel makes no arrays",
    ),
    ("return ({ a });", "1:25: objects are not for kernels"),
    (
        "return () => 1;",
        "1:27: a function in a kernel: make it a kernel of its own",
    ),
    ("function g() {}", "1:17: a function in a kernel"),
    ("return this.x;", "1:24: .x is not for kernels"),
    ("return this;", "1:24: this is not for kernels"),
    ("return arguments[0];", "1:24: arguments is no parameter"),
    ("return a?.length;", "1:24: ?. is not for kernels"),
    ("return a ?? 1;", "1:24: ?? is not for kernels"),
    ("return typeof a;", "1:24: typeof is not for kernels"),
    ("return a in a;", "1:24: in is not for kernels"),
    ("a.x = 1;", "1:17: this cannot be assigned to in a kernel"),
    (
        "return a.x;",
        "1:24: .x is not for kernels: use elements and length",
    ),
    ("return Math.foo(a);", "1:24: Math.foo is not for kernels"),
    ("return Math.sin();", "1:24: Math.sin takes 1, not 0"),
    ("return Math.imul(1);", "1:24: Math.imul takes 2, not 1"),
    ("return Math.max(...a);", "1:33: ... is not for kernels"),
    (
        "return Math.TAU;",
        "1:24: Math.TAU is not for kernels: write the number",
    ),
    (
        "return Math['abs'](a);",
        "1:24: Math[…] is not for kernels: write Math.abs",
    ),
    (
        "return Math['PI'];",
        "1:24: Math[…] is not for kernels: write Math.abs",
    ),
    (
        "return Number.isInteger(a);",
        "1:24: Number.isInteger is not for kernels: write x % 1 === 0",
    ),
    (
        "return Number.EPSILON;",
        "1:24: Number.EPSILON is not for kernels: write 2 ** -52",
    ),
    (
        "return isNaN(a);",
        "1:24: isNaN is not for kernels: write x !== x",
    ),
    (
        "return isFinite(a);",
        "1:24: isFinite is not for kernels: write x - x === 0",
    ),
    ("return void a;", "1:24: void is not for kernels"),
    (
        "return a instanceof b;",
        "1:24: instanceof is not for kernels",
    ),
    (
        "return a.at(-1);",
        "1:24: .at is not for kernels: write a[i]",
    ),
    (
        "a.fill(0);",
        "1:17: .fill is not for kernels: write the loop",
    ),
    (
        "console.log(a);",
        "1:17: .log is not for kernels: write to an array",
    ),
    (
        "return (a)(b);",
        "1:24: only kernels and Math can be called",
    ),
    ("let x = 1; x();", "1:28: x is no kernel: capture"),
    ("for (;;) { break x; }", "1:28: break goes to nothing: put"),
    ("continue;", "1:17: continue goes to no loop: put"),
    ("a.x++;", "1:17: this cannot be assigned to"),
    ("return new.target;", "1:24: this expression is not"),
    ("for (var x = 1;;) {}", "1:22: var is not for kernels"),
    ("class A {}", "1:17: a function in a kernel"),
    ("return a |> b;", "1:"),
    ("return #x in a;", "1:"),
    ("return a == 1 ? b : c;", "1:37: c is not known here"),
    ("import('x');", "1:17: a kernel waits for nothing"),
    ("return `a${b}`;", "1:24: strings are not for kernels"),
    ("with (a) b;", "1:"),
    ("if (a) let x = 1;", "1:"),
    (
        "return parseInt(a);",
        "1:24: parseInt is not for kernels: pass a number",
    ),
    (
        "return a[0] + a;",
        "1:31: a is a typed array, and here a number is needed: use a[i]",
    ),
    (
        "a[0] = 1; a = 2;",
        "1:27: a is a typed array, and cannot be assigned to",
    ),
    (
        "let x = 1; return x[0];",
        "1:35: x is no parameter, and only those can be arrays",
    ),
    ("return a[0][1];", "1:24: only a parameter can be an array"),
    ("const [x] = a;", "1:23: destructuring is not for kernels"),
    ("[a, b] = [b, a];", "1:17: destructuring is not for kernels"),
    (
        "for (const x of a) {}",
        "1:17: for … of and for … in are not for kernels: count",
    ),
    (
        "throw 1;",
        "1:17: throw is not for kernels: return a number",
    ),
    ("try { a = 1; } finally {}", "1:17: try is not for kernels"),
    ("debugger;", "1:17: debugger is not for kernels"),
    (
        "switch (a) { case 1: let x = 1; }",
        "1:38: a declaration directly in a case: put",
    ),
    (
        "if (a) return 1;",
        "1:33: no value is returned here, but one in line 1 is",
    ),
    (
        "if (a) return 1; return;",
        "1:34: no value is returned here",
    ),
    (
        "while (a) { if (b) return 1; }",
        "1:47: no value is returned here",
    ),
    ("break;", "1:17: "),
    ("return f;", "1:24: f is a kernel: call it"),
    ("return f(1);", "1:24: f takes 2 arguments, not 1"),
    ("a ||= 1; b ??= 2;", "1:26: ?? is not for kernels"),
    ("x: x: for (;;) {}", "1:20: "),
    ("return a[0] &&= 1;", "1:24: &&= on an element: use if"),
    ("return (a, b", "1:"),
    ("return \\u0061;", "1:24: an escape in a name"),
    ("delete a[0];", "1:17: delete is not for kernels"),
];

#[test]
fn what_is_outside_of_the_subset_is_refused_with_its_place() {
    for (body, wanted) in BODIES {
        let text = format!("function f(a,b){{{body}}}");
        let refused = kernel(&text).err();
        let refused = refused.unwrap_or_else(|| panic!("taken: {body}"));
        let line = refused.to_string();
        assert!(
            line.starts_with(&format!("test.js:{wanted}")),
            "{body}: {line}"
        );
        assert!(!line.contains('\n'), "{line}");
        let is_parsed = !PARSER.contains(body);
        assert!(!is_parsed || !refused.remedy.is_empty(), "{line}");
    }
}

/// What the parser refuses, which says what it wants.
const PARSER: &[&str] = &[
    "return (a, b",
    "return a |> b;",
    "return #x in a;",
    "with (a) b;",
    "if (a) let x = 1;",
    "x: x: for (;;) {}",
];

/// Whoever refuses says what to write instead, but for the parser.
#[test]
fn each_refusal_has_a_remedy() {
    let sources = [
        include_str!("../src/read/arrays.rs"),
        include_str!("../src/read/chains.rs"),
        include_str!("../src/read/expressions.rs"),
        include_str!("../src/read/forms.rs"),
        include_str!("../src/read/mod.rs"),
        include_str!("../src/read/nesting.rs"),
        include_str!("../src/read/statements.rs"),
        include_str!("../src/text.rs"),
        include_str!("../src/types/expressions.rs"),
        include_str!("../src/types/mod.rs"),
        include_str!("../src/types/refine.rs"),
        include_str!("../src/types/statements.rs"),
    ];
    let of_none = |source: &str| source.matches(", \"\")").count();
    let all: usize = sources.into_iter().map(of_none).sum();
    assert_eq!(all, 1, "refusals without a remedy");
}

#[test]
fn other_forms_of_functions_are_refused() {
    let names: Vec<String> = (0..=MAX_PARAMETERS)
        .map(|number| format!("p{number}"))
        .collect();
    let wide = format!("function f({}) {{}}", names.join(","));
    for text in [
        &*wide,
        "() => 1",
        "a => a",
        "async function f() {}",
        "function* f() {}",
        "class A {}",
        "method(a) { return a; }",
        "get a() { return 1; }",
        "function f() {\n    [native code]\n}",
        "function f(a = 1) {}",
        "function f(...a) {}",
        "function f({ a }) {}",
        "function f(a, a) {}",
        "function f() {} + 1",
        "function f() {",
        "function",
        "",
    ] {
        let refused = kernel(text).unwrap_err();
        assert_eq!(refused.reason, Reason::Syntax, "{text}");
    }
}

/// Whichever parameters are truth values, in how many places, and however far from where that shows.
#[test]
fn parameters_that_meet_truth_values_are_some() {
    let number = Captured::Kernel(Arc::new(kernel("function not(b) { return !b; }").unwrap()));
    let both = kernel("function both(a, b) { return a && b; }").unwrap();
    let captured = [("not", number), ("both", Captured::Kernel(Arc::new(both)))];
    let many: Vec<String> = (0..MAX_PARAMETERS).map(|at| format!("p{at}")).collect();
    let all: String = many.iter().map(|p| format!("t = !t; t = {p};")).collect();
    for (parameters, body, truths) in [
        (
            "p0,p1,p2,p3,p4,p5,p6",
            "let t = p0 < 1; t = p6; return t;",
            vec![6],
        ),
        (
            &*many.join(","),
            &*format!("let t = false; {all} return t;"),
            (0..MAX_PARAMETERS).collect(),
        ),
        (
            "a, b, c",
            "let t = a; t = b; let u = c > 1; u = t; return u;",
            vec![0, 1],
        ),
        (
            "a, b, c",
            "if (a && b) return c === !a; return false;",
            vec![2],
        ),
        ("a, b", "return not(a) ? b : not(a);", vec![1]),
        ("a, b, c", "return both(a > 1, b) === c;", vec![1, 2]),
        ("a, b", "return a > 1 ? f(a - 1, a > 2) : b;", vec![1]),
        ("a, b", "if (a > 1) return b; return f(a + 1, !b);", vec![1]),
        (
            "a, b",
            "switch (b) { case a > 1: return 1; } return 2;",
            vec![1],
        ),
        ("a, b", "a++; return b + !a;", vec![]),
        ("a, b", "b && (a = 1); return +b;", vec![]),
    ] {
        let text = format!("function f({parameters}) {{ {body} }}");
        let made = capturing(&text, &captured).unwrap();
        let kinds = made.default_kinds();
        let found = (0..kinds.len()).filter(|at| kinds[*at] == ArgumentKind::Boolean);
        assert_eq!(found.collect::<Vec<_>>(), truths, "{body}");
        made.specialise(&kinds)
            .unwrap_or_else(|refused| panic!("{body}: {refused}"));
    }
}

#[test]
fn values_of_different_kinds_are_refused_when_they_meet() {
    let kinds = [ArgumentKind::Double, ArgumentKind::Boolean];
    for (body, wanted) in [
        (
            "let x = 1; x = b; return x;",
            "x is a boolean in one place, and a number in another",
        ),
        (
            "let x = b; x = a; return x;",
            "x is a boolean in one place, and a number in another",
        ),
        ("return a === b;", "a boolean is compared with a number"),
        ("return a ? b : a;", "this is a boolean or a number"),
        ("return a && b;", "this is a boolean or a number"),
        (
            "if (a) return b; return a;",
            "a boolean is returned in one place",
        ),
        (
            "switch (a) { case b: return 1; } return 2;",
            "a boolean is compared with a number",
        ),
        (
            "return f(b, a);",
            "is a boolean in one call, and a number in another",
        ),
        (
            "b++; return b;",
            "b is a boolean in one place, and a number in another",
        ),
    ] {
        let made = kernel(&format!("function f(a, b) {{ {body} }}")).unwrap();
        let refused = made
            .specialise(&kinds)
            .err()
            .unwrap_or_else(|| panic!("taken: {body}"));
        assert_eq!(refused.reason, Reason::Type);
        assert!(refused.what.contains(wanted), "{body}: {refused}");
    }
    let array = kernel("function f(a, b) { return a[b]; }").unwrap();
    let refused = array.specialise(&[
        ArgumentKind::Array(ElementKind::Int8),
        ArgumentKind::Boolean,
    ]);
    assert!(refused.unwrap_err().what.contains("a boolean as an index"));
}

#[test]
fn kinds_that_do_not_fit_are_refused() {
    let made = kernel("function dot(a, n) { return a[0] * n; }").unwrap();
    let array = ArgumentKind::Array(ElementKind::Float64);
    for (kinds, wanted) in [
        (vec![array], "dot takes 2 arguments, not 1"),
        (
            vec![ArgumentKind::Double; 2],
            "argument 1 of dot (a) is a typed array there, not a number",
        ),
        (
            vec![array; 2],
            "argument 2 of dot (n) is a number there, not a Float64Array",
        ),
    ] {
        let refused = made.specialise(&kinds).unwrap_err();
        assert_eq!(refused.reason, Reason::Type);
        assert_eq!(refused.what, wanted);
    }
    assert_eq!(made.default_kinds(), [array, ArgumentKind::Double]);
}

#[test]
fn what_is_captured_is_used_as_what_it_is() {
    let g = Arc::new(kernel("function g(a) { return a[0]; }").unwrap());
    let nothing = Arc::new(kernel("function h(a) { a = 1; }").unwrap());
    let captured = [
        ("g", Captured::Kernel(g)),
        ("h", Captured::Kernel(nothing)),
        ("N", Captured::Number(1.0)),
    ];
    for (body, wanted) in [
        ("return N(1);", "N is no kernel"),
        ("return g;", "g is a kernel: call it"),
        ("return g(1);", "only a parameter can be an array"),
        ("return g(a) + a;", "a is a typed array"),
        ("N = 1;", "N is no variable of the kernel"),
        ("let g = 1; return g(a);", "g is no kernel"),
    ] {
        let refused = capturing(&format!("function f(a) {{ {body} }}"), &captured).unwrap_err();
        assert!(refused.to_string().contains(wanted), "{body}: {refused}");
    }
    let own = capturing("function g(a) { return a; }", &captured).unwrap_err();
    assert!(own.what.contains("own name"), "{own}");
    let empty = capturing("function f(a) { return h(a); }", &captured).unwrap();
    let refused = empty.specialise(&[ArgumentKind::Double]).unwrap_err();
    assert!(refused.what.contains("h returns nothing"), "{refused}");
}
