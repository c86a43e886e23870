//! What a kernel computes is what the engine computes, bit for bit. Each text runs compiled and interpreted.

mod common;

use common::{
    Argument, Both, Returned, bytes, call, capturing, compile, doubles, engine, kernel, number,
    run, same, words,
};
use madrpc_kernels::{Captured, ElementKind, Status};
use std::sync::Arc;

/// Numbers at which something changes.
const NUMBERS: [f64; 40] = [
    0.0,
    -0.0,
    0.5,
    -0.5,
    0.49999999999999994,
    1.0,
    -1.0,
    1.5,
    -1.5,
    2.0,
    2.5,
    -2.5,
    3.0,
    7.0,
    -7.25,
    31.0,
    32.0,
    33.0,
    255.5,
    65535.0,
    2147483647.0,
    2147483648.0,
    -2147483648.0,
    -2147483649.0,
    4294967295.0,
    4294967296.5,
    4503599627370495.5,
    9007199254740991.0,
    9007199254740992.0,
    -9007199254740993.0,
    9.223372036854775e18,
    9.223372036854776e18,
    -9.223372036854776e18,
    1e20,
    -1.8446744073709552e19,
    1e300,
    5e-324,
    f64::INFINITY,
    f64::NEG_INFINITY,
    f64::NAN,
];

/// Of one expression over `a` and `b`, all pairs.
fn for_all_pairs(expressions: &[&str]) {
    engine(|ctx| {
        for expression in expressions {
            let text = format!("function f(a, b) {{ return {expression}; }}");
            let mut both = Both::new(&ctx, &text);
            for a in NUMBERS {
                for b in NUMBERS {
                    both.same(&[number(a), number(b)]);
                }
            }
        }
    });
}

#[test]
fn operators_give_the_engines_bits() {
    let mut expressions = Vec::new();
    for operator in [
        "+", "-", "*", "/", "%", "**", "&", "|", "^", "<<", ">>", ">>>", "<", "<=", ">", ">=",
        "==", "!=", "===", "!==", "&&", "||",
    ] {
        expressions.push(format!("a {operator} b"));
    }
    let expressions: Vec<&str> = expressions.iter().map(String::as_str).collect();
    for_all_pairs(&expressions);
}

#[test]
fn arithmetic_in_32_bits_gives_the_engines_bits() {
    for_all_pairs(&[
        "(a + b) | 0",
        "(a - b) >>> 0",
        "(a * b) | 0",
        "((a | 0) + (b | 0)) | 0",
        "((a | 0) * (b | 0)) | 0",
        "((a & 65535) * (b & 65535)) | 0",
        "(a | 0) * (b | 0)",
        "(a | 0) % (b | 0)",
        "(a >>> 0) % (b >>> 0)",
        "(a >>> 0) * 1664525 + 1013904223 >>> 0",
        "-(a | 0)",
        "-(a | 0) % (b | 0)",
        "((a >> 20) * (b >> 20)) % (b >>> 0)",
        "-(a | 0) % 7",
        "-(a | 0) + (b | 0)",
        "-(a | 0) * (b | 0) + -(b | 0)",
        "(a | 0) + 1",
        "(a >>> 0) - (b >>> 0)",
        "~a + ~b",
        "(a < b) + (a > b)",
        "-(a == b)",
        "+(a < b) | b",
        "(a >> 3) + (b >>> 29)",
        "(a >>> b) >> 1",
        "(a << 1) - (b << 31)",
    ]);
}

#[test]
fn mathematics_gives_the_engines_bits() {
    let one = [
        "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "cbrt", "ceil", "clz32", "cos",
        "cosh", "exp", "expm1", "f16round", "floor", "fround", "log", "log10", "log1p", "log2",
        "round", "sign", "sin", "sinh", "sqrt", "tan", "tanh", "trunc",
    ];
    engine(|ctx| {
        for function in one {
            for argument in ["a", "a | 0", "-(a | 0)", "a < 1"] {
                let text = format!("function f(a) {{ return Math.{function}({argument}); }}");
                let mut both = Both::new(&ctx, &text);
                for a in NUMBERS {
                    both.same(&[number(a)]);
                }
            }
        }
    });
    for_all_pairs(&[
        "Math.min(a, b)",
        "Math.max(a, b)",
        "Math.min(a | 0, b | 0)",
        "Math.max(a >>> 0, b | 0)",
        "Math.max(a, 1, b)",
        "Math.hypot(a, b)",
        "Math.hypot(a, b, 1)",
        "Math.hypot(a)",
        "Math.atan2(a, b)",
        "Math.pow(a, b)",
        "Math.imul(a, b)",
        "Math.min() + Math.max() + Math.hypot()",
        "Math.PI * a + Math.E * Math.LN2 - Math.LN10 / Math.LOG2E * Math.LOG10E + Math.SQRT2 - Math.SQRT1_2",
    ]);
}

#[test]
fn conditions_have_the_engines_values() {
    for_all_pairs(&[
        "a ? b : 1",
        "!a",
        "!(a && b) || a < b",
        "a < b ? a : b",
        "a && b || 3",
        "(a && (b || 2)) + 1",
        "a > 0 && b > 0 ? a % 7 : b * 2",
        "(a < b) === (b > a)",
        "(a, b)",
    ]);
}

#[test]
fn statements_run_in_the_engines_order() {
    let texts = [
        "function f(n) { let s = 0; for (let i = 0; i < n; i++) s += i; return s; }",
        "function f(n) { let s = 0; for (let i = n; i >= 0; i--) { if (i % 3 === 0) continue; s = s * 2 + i; } return s; }",
        "function f(n) { let i = 0; while (true) { if (i++ > n) break; } return i; }",
        "function f(n) { let i = 0; do { i += 2; } while (i < n); return i; }",
        "function f(n) { let s = 0; outer: for (let i = 0; i < n; i++) { for (let j = 0; j < n; j++) { if (j > i) continue outer; if (i * j > 20) break outer; s += i * j; } } return s; }",
        "function f(n) { let s = 0; for (let i = 0; i < 10; i++) { switch (i) { case 0: s += 1; case 1: s += 2; break; default: s += 4; case n: s += 8; break; case 7: { const t = s; s = t * 2; } } } return s; }",
        "function f(n) { switch (n) { case 0: return 1; case 1: return 2; case 2: return 3; case 5: return 4; case -1: return 5; } return 6; }",
        "function f(n) { switch (n > 2) { case true: return 1; case false: return 2; } return 3; }",
        "function f(n) { let x = 1, y = 2; x = y = n; x += y++ + ++y; return x * 100 + y; }",
        "function f(n) { block: { if (n > 3) break block; return 1; } return 2; }",
        "function f(n) { let a = n; a ||= 5; a &&= a + 1; return a; }",
        "function f(n) { for (;;) { if (n-- < 0) return n; } }",
        "function f(n) { let i = 0; for (; i < n; ) i++; return i; }",
        "function f(n) { let s = 0; for (let i = 0, j = n; i < j; i++, j--) s += i * j; return s; }",
        "function f(n) { let x = 0; if (n > 1) x = 1; else if (n < 0) x = 2; else x = 3; return x; }",
        "function f(n) { let t = n > 2; t = !t; return t; }",
        "function f(n) { let x = n; x -= 1; x *= 3; x /= 2; x %= 5; x **= 2; x <<= 1; x >>= 1; x >>>= 0; x |= 8; x &= 15; x ^= 3; return x; }",
        "function f(n) { n > 2 && (n = 7); n < 0 || (n += 0.5); return n; }",
        "function f(n) { n++; }",
        "function f(n) { if (n > 2) return; n = 1; }",
        "function f(n) { let a = 0, b = 1; while (n-- > 0) { const t = a + b; a = b; b = t; } return a; }",
        "function f(n) { let i = 0; { let i = 5; i++; } return i + n; }",
        "function (n) { return n; }",
        "function f(n) { 'use strict'; return n; }",
        "function f(n) { let c = 0; let x = 9007199254740990; for (let i = 0; i < 5; i++) { x++; c += x - 9007199254740990; } return c + n; }",
        "function f(n) { let x = n; for (let i = 0; i < 40; i++) x = x * 3 + 1; return x; }",
        "function f(n) { return n < 2 ? n : f(n - 1) + f(n - 2); }",
        "function f(n) { const big = 4000000000; let s = 0; for (let i = big; i < big + n; i++) s += i; return s; }",
    ];
    engine(|ctx| {
        for text in texts {
            for n in [-3.0, -1.0, 0.0, 1.0, 2.0, 3.0, 5.0, 7.0, 10.0, 2.5] {
                same(&ctx, text, &[number(n)]);
            }
        }
    });
}

#[test]
fn bounds_end_where_a_variable_is_assigned() {
    let texts = [
        "function f(n) { let s = 0; for (let i = 0; i < n; i++) { if (i < 5) { i = i * 1000000007; s += i * 3; } s += i; } return s; }",
        "function f(n) { let s = 0; for (let i = 0; i < 10; i++) { let j = i; while (j < 10) { s += j; j = j * 7 + 2147483640; } } return s + n; }",
        "function f(n) { let i = 0; return i < n && (i = 4294967295.5, i) ? i * 2 : i - 1; }",
        "function f(n) { let i = 2147483647; if (i < (i = n)) return i * 2; return i * 3; }",
        "function f(n) { let k = 0; for (let i = 0; i < 3; i++) { k += i < 2 ? (i = i + 0.5) : i; } return k + n; }",
    ];
    engine(|ctx| {
        for text in texts {
            for n in [0.0, 1.0, 3.0, 9.0] {
                same(&ctx, text, &[number(n)]);
            }
        }
    });
}

#[test]
fn booleans_are_arguments_and_results() {
    engine(|ctx| {
        let texts = [
            "function f(a, b) { return a && !b; }",
            "function f(a, b) { return a === b; }",
            "function f(a, b) { return a + b * 2; }",
            "function f(a, b) { return a < b ? 1 : 2; }",
            "function f(a, b) { let c = a; c = b; return c ? a : b; }",
            "function f(a, b) { return (a || b) ^ 5; }",
        ];
        for text in texts {
            for a in [false, true] {
                for b in [false, true] {
                    same(&ctx, text, &[Argument::Boolean(a), Argument::Boolean(b)]);
                }
            }
        }
    });
}

#[test]
fn elements_are_converted_as_the_engine_does() {
    let values = "for (let i = 0; i < v.length; i++) { a[i] = v[i]; s = s * 1.25 + a[i]; a[i] += 0.75; a[i]++; s += a[i]--; --a[i]; }";
    let text = format!("function f(a, v) {{ let s = 0; {values} return s; }}");
    let whole = "function f(a, n) { let s = 0; for (let i = 0; i < a.length; i++) { a[i] = n + i * 37; s += a[i]; a[i] *= 3; a[i] ^= i; s -= a[i]; } return s; }";
    engine(|ctx| {
        for kind in ElementKind::ALL {
            let room = |length: usize| Argument::Array(kind, vec![0; length * kind.bytes()]);
            same(&ctx, &text, &[room(NUMBERS.len()), doubles(&NUMBERS)]);
            for n in NUMBERS {
                same(&ctx, whole, &[room(9), number(n)]);
            }
            // All bytes that an element can have.
            let mut memory = Vec::new();
            for value in 0..=65535_u32 {
                memory.extend_from_slice(&(value * 65537).to_ne_bytes());
            }
            let sum = "function f(a) { let s = 0; for (let i = 0; i < a.length; i++) { const x = a[i]; if (x === x) s = s / 2 + x; } return s; }";
            same(&ctx, sum, &[Argument::Array(kind, memory)]);
        }
    });
}

#[test]
fn halves_are_rounded_as_the_engine_does() {
    let text = "function f(a, v) { for (let i = 0; i < v.length; i++) a[i] = v[i]; }";
    let mut values = Vec::new();
    for exponent in -30..20 {
        for step in [
            0.0,
            0.25,
            0.5,
            0.75,
            1.0 / 1024.0,
            1.5 / 1024.0,
            2.5 / 1024.0,
            1023.5 / 1024.0,
            1023.75 / 1024.0,
        ] {
            for off in [-1e-9, 0.0, 1e-9] {
                values.push((1.0 + step + off) * 2f64.powi(exponent));
                values.push(-(1.0 + step + off) * 2f64.powi(exponent));
            }
        }
    }
    engine(|ctx| {
        let room = Argument::Array(ElementKind::Float16, vec![0; values.len() * 2]);
        same(&ctx, text, &[room, doubles(&values)]);
    });
}

#[test]
fn indices_may_be_any_whole_number() {
    let texts = [
        "function f(a, n) { let s = 0; for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) s += a[i * n + j] * a[j * n + i]; return s; }",
        "function f(a, n) { return a[-0 * n] + a[n / 3 * 0 + 1] + a[Math.floor(2.9)] + a[+true]; }",
        "function f(a, n) { let i = 5; a[i++] = i; a[i] = a[i - 1] + n; return i; }",
        "function f(a, n) { return a[a[0] = 2] + a[(n, 1)]; }",
        "function f(a, n) { for (let i = a.length - 1; i > 0; i--) a[i] = a[i - 1] + a[i >>> 1]; return a[n >>> 0]; }",
        "function f(a, n) { let x = n + 0.5; return a[x - 0.5] + a[x * 2 - 1 - n]; }",
    ];
    let texts: Vec<String> = texts
        .iter()
        .map(|text| text.replace("+true", "1"))
        .collect();
    engine(|ctx| {
        let values: Vec<f64> = (0..16).map(|value| f64::from(value) * 1.5).collect();
        let whole: Vec<i32> = (0..16).collect();
        for text in &texts {
            same(&ctx, text, &[doubles(&values), number(3.0)]);
            same(&ctx, text, &[words(&whole), number(3.0)]);
            same(&ctx, text, &[bytes(&[7; 16]), number(3.0)]);
        }
    });
}

#[test]
fn the_value_that_is_returned_is_the_one_expected() {
    engine(|ctx| {
        let add = "function add(a, b) { return a + b; }";
        let args = [number(2.0), number(3.0)];
        assert_eq!(same(&ctx, add, &args), Returned::Number(5.0));
        let less = "function less(a, b) { return a < b; }";
        assert_eq!(same(&ctx, less, &args), Returned::Boolean(true));
        let nothing = "function nothing(a, b) { a = b; }";
        assert_eq!(same(&ctx, nothing, &args), Returned::Undefined);
    });
}

/// At ±2^53 a step of one leads nowhere: what holds only there is reached all the same.
#[test]
fn a_step_at_the_end_of_exact_numbers_is_none() {
    let end = 2f64.powi(53);
    engine(|ctx| {
        for body in [
            "let i = END; const x = i; let y = 0; if (x >= i + 1) y = x; return y + a;",
            "let i = -END; const x = i; let y = 0; if (x <= i - 1) y = x; return y + a;",
            "let i = END; const x = i; let y = 0; if (x === i - -1) y = x; return y + a;",
            "let i = END; const x = i; let y = 1; if (x >= i + 1) y = x - x; return (a & 7) % y;",
            "let i = END; const x = i; let y = 1; if (x >= i + 1) y = x - x; return (a | 0) % y;",
            "let y = 0; for (let i = END - 2, j = 0; j < a; j++) { if (i >= END) { \
             let z = 0; if (i >= i + 1) { z = i; y = z; } } i++; } return y;",
        ] {
            for end in [end, end - 1.0] {
                let body = body.replace("END", &end.to_string());
                let text = format!("function f(a) {{ {body} }}");
                same(&ctx, &text, &[Argument::Int32(7)]);
            }
        }
    });
}

/// Where nobody wants the value, there need be none.
#[test]
fn what_returns_nothing_is_called_where_no_value_is_wanted() {
    let set = "function set(r, x) { r[0] += x; }";
    let made = Arc::new(kernel(set).unwrap());
    engine(|ctx| {
        for body in [
            "a > 1 && set(r, a);",
            "a > 1 || set(r, a);",
            "a > 1 ? set(r, a) : set(r, 10);",
            "a > 1 ? r[0] = 7 : a > 0 && set(r, 5);",
            "a > 1 ? a < 3 ? set(r, 1) : (set(r, 2), a = 3) : 0; r[0] += a;",
            "for (; a > 0; a > 1 && set(r, a), a--) r[0]++;",
        ] {
            let text = format!("function f(r, a) {{ {body} }}");
            let captured = [("set", Captured::Kernel(made.clone()))];
            let known = capturing(&text, &captured).unwrap();
            let function = format!("(() => {{ {set} return {text}; }})()");
            let function: rquickjs::Function = ctx.eval(function).unwrap();
            for a in [0, 1, 2, 3] {
                let arguments = [doubles(&[0.5]), Argument::Int32(a)];
                let compiled = compile(&known, &arguments).unwrap();
                let found = run(&compiled, &arguments, 2);
                let (_, left) = call(&ctx, &function, &arguments);
                assert_eq!(found.status, Status::Done);
                assert_eq!(found.arguments, left, "{text} {a}");
            }
        }
    });
}

/// What is long is read in a loop, and what it comes to is kept on the way: in the same order.
#[test]
fn long_chains_give_the_engines_bits() {
    let cycle = |parts: &[&str], count: usize| -> String {
        let parts = parts.iter().cycle().take(count).copied();
        parts.collect()
    };
    let sums = ["+a", "*b", "-a/3", "+0.1", "-b", "%7"];
    let bits = ["^a", "<<3", "|b", "&0x7fffffff", ">>>1"];
    let tests = ["<a", ">=1", "<=b", ">0.5"];
    let truths = ["&&a", "||b", "&&3", "||0", "&&b"];
    let ladder: String = (0..600)
        .map(|at| format!("if(a==={at}*0.5)return b+{at};else "))
        .collect();
    let nested: String = (0..150)
        .map(|at| format!("if(a>{at}){{if(b>{at})s+={at};else s-=1}}else "))
        .collect();
    engine(|ctx| {
        for body in [
            format!("return a{};", cycle(&sums, 1000)),
            format!(
                "let s=b;for(let i=0;i<3;i++){{s=s*0.5{};}}return s;",
                cycle(&sums, 301)
            ),
            format!(
                "return 1+(2+(a{}))*(b{});",
                cycle(&bits, 555),
                cycle(&bits, 101)
            ),
            format!("return +(a{});", cycle(&tests, 250)),
            format!("return a{};", cycle(&truths, 700)),
            format!("return a{};", "||b".repeat(900)),
            format!("return a{};", "&&b".repeat(100)),
            format!(
                "let t=a{}+1;t+=b{};return t;",
                "+b".repeat(100),
                "+a".repeat(101)
            ),
            format!("{ladder} return a;"),
            format!("let s=0;{nested} s=7;return s;"),
        ] {
            let text = format!("function f(a, b) {{ {body} }}");
            let mut both = Both::new(&ctx, &text);
            for a in [0.0, 0.5, -0.0, 3.0, 149.5, 1e300, f64::NAN] {
                for b in [1.0, -7.25, 2147483648.0, 0.0] {
                    both.same(&[number(a), number(b)]);
                }
            }
        }
    });
}
