//! How large kernels may be: what is beyond is refused, and what is within is compiled on the stack that a host is told to have.

mod common;

use common::{capturing, kernel};
use madrpc_kernels::{
    ArgumentKind, Captured, MAX_CALL_DEPTH, MAX_LOOPS, MAX_TEXT_BYTES, MAX_VARIABLES, Reason, STACK,
};
use std::sync::Arc;

#[test]
fn what_is_too_large_is_refused() {
    let long = format!("function f() {{ {} }}", " ".repeat(MAX_TEXT_BYTES));
    let deep = format!("function f(a) {{ return {}a; }}", "a**".repeat(300));
    let nested = format!(
        "function f(a) {{ {} a++; {} }}",
        "if (a) {".repeat(180),
        "}".repeat(180)
    );
    let many = format!("function f(a) {{ {} }}", "a=a+1;".repeat(10_000));
    let variables = format!(
        "function f(a) {{ {} }}",
        (0..=MAX_VARIABLES)
            .map(|number| format!("let v{number}=a;"))
            .collect::<String>()
    );
    let loops = format!(
        "function f(a) {{ {} }}",
        "for(;a>0;)a--;".repeat(MAX_LOOPS as usize + 1)
    );
    for text in [long, deep, nested, many, variables, loops] {
        let refused = kernel(&text).unwrap_err();
        assert_eq!(refused.reason, Reason::TooLarge, "{refused}");
    }
}

/// Many lines are not many levels, with semicolons or without.
#[test]
fn what_is_long_is_not_nested() {
    for (line, count) in [
        ("  x = x * 3 + 1\n", 2000),
        ("if (x > 1) { x += 1; } else { x -= 1; } ", 500),
        ("if (x > 1) x += 1\nelse x -= 1\n", 500),
        ("if (x > 9) return x\n", 500),
        ("x ? x++ : x--\n", 1000),
        ("x = of / 2 - x / of;", 1000),
        ("if (x > 1) x = 1; else ", 1000),
        ("if (x > 1) { x = 1 }\nelse ", 1000),
    ] {
        let text = format!(
            "function f(x, of) {{\n{};\nreturn x\n}}",
            line.repeat(count)
        );
        kernel(&text).unwrap_or_else(|refused| panic!("{line}: {refused}"));
    }
}

/// Whatever is taken is compiled in the stack that the host is told to have ready, and in bounded time.
#[test]
fn the_largest_that_is_taken_is_compiled_on_the_stack_that_is_asked_for() {
    let deep = "(".repeat(190) + "a" + &")".repeat(190);
    let sums = |count: usize| "+a*a".repeat(count);
    let texts = [
        format!("function f(a) {{ return {deep}; }}"),
        format!("function f(a) {{ return a{}; }}", sums(90)),
        format!("function f(a) {{ return a{}; }}", sums(4_800)),
        format!("function f(a) {{ return a{}; }}", "&&a".repeat(9_000)),
        format!(
            "function f(a) {{ let s = 0; {} s++; return s; }}",
            "if(a>s)s+=a;else ".repeat(2_400)
        ),
        format!(
            "function f(a) {{ let s = 0; {} return s; }}",
            "s=s*a+1;".repeat(2_800)
        ),
        format!(
            "function f(a) {{ let s = 0; {} return s; }}",
            "if(a>s){s+=a}else{s-=a}".repeat(190)
        ),
        format!(
            "function f(a) {{ let s = 0; {} s++; return s; }}",
            "for(let i=0;i<a;i++)".repeat(60)
        ),
        format!(
            "function f(a) {{ let s = 0; {} {} return s; }}",
            "while(a>s){".repeat(60),
            "s++;}".repeat(60)
        ),
        format!(
            "function f(a) {{ let s = a; {} return s; }}",
            "s=s*s|0;s=Math.sin(s);".repeat(500)
        ),
        format!(
            "function f(a) {{ {} return a; }}",
            (0..490)
                .map(|n| format!("let v{n}=a*{n};"))
                .collect::<String>()
                + &(0..490).map(|n| format!("a+=v{n};")).collect::<String>()
        ),
    ];
    let thread = std::thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || {
            for text in texts {
                let made = kernel(&text).unwrap_or_else(|refused| panic!("{refused}"));
                for kind in [ArgumentKind::Double, ArgumentKind::Int32] {
                    let start = std::time::Instant::now();
                    let compiled = made.specialise(&[kind]);
                    println!(
                        "{} bytes: {:?} in {:?}",
                        text.len(),
                        compiled.map(|c| c.code_bytes()),
                        start.elapsed()
                    );
                }
            }
        });
    thread.unwrap().join().unwrap();
}

/// Small kernels are compiled where they are called: within an expression that is nested deep, several deep.
#[test]
fn kernels_within_kernels_are_compiled_on_that_stack_too() {
    let nested = |depth: usize, inner: &str| "1+(".repeat(depth) + inner + &")".repeat(depth);
    let make = move || {
        let first = format!("function k(a) {{ return {}; }}", nested(15, "a"));
        let mut last = Arc::new(kernel(&first).unwrap());
        for number in 2.. {
            // The last of these is too deep to be compiled within others.
            let text = format!("function k{number}(a) {{ return {}; }}", nested(15, "k(a)"));
            let captured = [("k", Captured::Kernel(last.clone()))];
            last = match capturing(&text, &captured) {
                Ok(made) => Arc::new(made),
                Err(refused) => {
                    assert_eq!(refused.reason, Reason::TooLarge);
                    assert_eq!(number, MAX_CALL_DEPTH + 1, "{refused}");
                    break;
                }
            };
        }
        last.specialise(&[ArgumentKind::Double]).unwrap();
        let first = Arc::new(kernel(&first).unwrap());
        let outer = format!("function f(a) {{ return {}; }}", nested(90, "k(a)"));
        let outer = capturing(&outer, &[("k", Captured::Kernel(first))]).unwrap();
        outer.specialise(&[ArgumentKind::Double]).unwrap();
    };
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(make);
    thread.unwrap().join().unwrap();
}
