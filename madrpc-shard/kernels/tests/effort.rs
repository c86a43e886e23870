//! What would take long, or much memory, is refused before it does.
//!
//! Nothing here looks at a clock: what is refused would otherwise take minutes, or all of the memory.

#![allow(clippy::unwrap_used, reason = "of tests only")]

mod common;

use common::{capturing, kernel};
use madrpc_kernels::{
    ArgumentKind, Budget, Captured, ElementKind, Kernel, MAX_STEPS, MAX_TOGETHER, Reason,
};
use std::sync::Arc;
use std::time::Instant;

fn names(prefix: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{prefix}{number}"))
        .collect()
}

fn refused(kernel: &Kernel, kinds: &[ArgumentKind], wanted: &str) {
    let refused = kernel.specialise(kinds).unwrap_err();
    assert_eq!(refused.reason, Reason::TooLarge, "{refused}");
    assert!(refused.what.contains(wanted), "{refused}");
}

/// A swap and a rotation make all orders of them.
#[test]
fn the_orders_of_kinds_of_arrays_are_counted_as_they_are_made() {
    for count in [7, 9, 10] {
        let arrays = names("a", count);
        let mut swapped = arrays.clone();
        swapped.swap(0, 1);
        let mut rotated = arrays.clone();
        rotated.rotate_left(1);
        let uses: String = arrays
            .iter()
            .map(|array| format!("{array}[0]=0;"))
            .collect();
        let text = format!(
            "function f({}) {{ if (a0.length > 9) {{ {uses} f({}); f({}); }} }}",
            arrays.join(","),
            swapped.join(","),
            rotated.join(",")
        );
        let kinds = ElementKind::ALL[..count].iter().copied();
        let kinds: Vec<_> = kinds.map(ArgumentKind::Array).collect();
        let wanted = format!("more than {MAX_TOGETHER} operations");
        refused(&kernel(&text).unwrap(), &kinds, &wanted);
    }
}

/// As many conditions as there may be, over as many variables, of which each takes its type from the next.
#[test]
fn types_are_found_in_so_many_steps() {
    let variables = names("w", 480);
    let declared: String = variables
        .iter()
        .map(|name| format!("let {name}=0;"))
        .collect();
    let chain: String = variables
        .windows(2)
        .map(|pair| format!("{}={};", pair[0], pair[1]))
        .collect();
    let conditions: Vec<String> = (0..180)
        .map(|number| format!("w{number}<Math.max({})", ["1"; 90].join(",")))
        .collect();
    let text = format!(
        "function f(a) {{ {declared}{chain}w479=0.5;if({})a++;return a; }}",
        conditions.join("&&")
    );
    let made = kernel(&text).unwrap();
    let kinds = [ArgumentKind::Double];
    let mut budget = Budget::default();
    let found = made.specialise_within(&kinds, &mut budget).map(|_| ());
    // It needs more than there are: nothing is left for another try.
    let wanted = format!("more than {MAX_STEPS} steps");
    assert!(found.is_err_and(|refused| refused.what.contains(&wanted)));
    let small = kernel("function f(a) { return a; }").unwrap();
    let refused = small.specialise_within(&kinds, &mut budget).unwrap_err();
    assert_eq!(refused.reason, Reason::TooLarge);
    small.specialise(&kinds).unwrap();
}

/// Each condition costs what it is long, however many hold already.
#[test]
fn conditions_are_gone_through_once_in_a_round() {
    let conditions: Vec<String> = (0..190)
        .map(|number| format!("a<Math.max({number},{})", ["1"; 90].join(",")))
        .collect();
    let text = format!(
        "function f(a) {{ if({})a=0.5;return a; }}",
        conditions.join("&&")
    );
    let made = kernel(&text).unwrap();
    let mut budget = Budget::default();
    made.specialise_within(&[ArgumentKind::Int32], &mut budget)
        .unwrap();
    let spent = MAX_STEPS - budget.steps();
    assert!(
        spent < 20 * text.len(),
        "{spent} steps for {} bytes",
        text.len()
    );
}

fn with_arrays(body: &str, captured: &str) -> Result<Vec<ArgumentKind>, madrpc_kernels::Refused> {
    let arrays = names("a", 32);
    let uses: String = arrays
        .iter()
        .map(|array| format!("{array}[0]=1;"))
        .collect();
    let text = format!("function f({}) {{ {body}{uses} }}", arrays.join(","));
    let called = Arc::new(kernel(captured)?);
    let made = capturing(&text, &[("g", Captured::Kernel(called))])?;
    let kinds = made.default_kinds();
    made.specialise(&kinds).map(|_| kinds)
}

/// Each loop and each call has all arrays to keep, or to read again.
#[test]
fn what_is_kept_and_read_again_is_counted() {
    let loops = "do{}while(0);".repeat(100);
    let within = format!("function g() {{ {loops} }}");
    let over = |found: Result<_, madrpc_kernels::Refused>| {
        let refused = found.unwrap_err();
        assert_eq!(refused.reason, Reason::TooLarge, "{refused}");
    };
    // Of these, the first are compiled within, and the rest called.
    with_arrays(&"g();".repeat(20), &within).unwrap();
    with_arrays(&"g();".repeat(1000), "function g() { g(); }").unwrap();
    over(with_arrays(&"g();".repeat(8000), "function g() { g(); }"));
    // Many variables through many branches.
    let variables = names("v", 120);
    let declared: String = variables
        .iter()
        .map(|name| format!("let {name}=a*2;"))
        .collect();
    let sum = variables.join("+");
    let branches = |count: usize| -> String {
        (0..count)
            .map(|number| format!("if(a)v{}=1.5;", number % 120))
            .collect()
    };
    let text = |count| {
        let branches = branches(count);
        format!("function f(a) {{ {declared}{branches}return {sum}; }}")
    };
    let double = [ArgumentKind::Double];
    kernel(&text(300)).unwrap().specialise(&double).unwrap();
    refused(&kernel(&text(4800)).unwrap(), &double, "too large");
    // In a loop they are kept to its end, wherever in it they are used.
    let branches = "if(a)a=1.5;".repeat(5500);
    let text =
        format!("function f(a) {{ {declared}while(a>0) {{ a-={sum};{branches} }} return a; }}");
    refused(&kernel(&text).unwrap(), &double, "too large");
}

/// The largest of each that is still compiled, and how long it took.
#[test]
#[ignore = "it measures"]
fn how_long_the_dearest_take() {
    let declare = |names: &[String]| -> String {
        names
            .iter()
            .map(|name| format!("let {name}=a*2;"))
            .collect()
    };
    let with = |count: usize, parts: &dyn Fn(usize) -> String, number: usize| {
        let variables = names("v", count);
        let body: String = (0..number).map(parts).collect();
        format!(
            "function f(a) {{ {}{body}return {}; }}",
            declare(&variables),
            variables.join("+")
        )
    };
    type Shape<'a> = (&'a str, Box<dyn Fn(usize) -> String + 'a>);
    let mut shapes: Vec<Shape> = Vec::new();
    for count in [16, 120, 185] {
        shapes.push((
            "branches",
            Box::new(move |number| with(count, &|at| format!("if(a)v{}=1.5;", at % count), number)),
        ));
        shapes.push((
            "cases",
            Box::new(move |number| {
                let cases: String = (0..number)
                    .map(|at| format!("case {at}:v{}=1.5;", at % count))
                    .collect();
                with(count, &|_| format!("switch(a){{{cases}}}"), 1)
            }),
        ));
        shapes.push((
            "loops",
            Box::new(move |number| {
                with(
                    count,
                    &|at| {
                        format!(
                            "while(a<{at}){{v{}+=a;v{}-=a;a+=v3}}",
                            at % count,
                            (7 * at) % count
                        )
                    },
                    number,
                )
            }),
        ));
    }
    for (name, shape) in &shapes {
        let mut last = String::new();
        for step in 1..40 {
            let number = 10 * (1.2_f64.powi(step)) as usize;
            let Ok(made) = kernel(&shape(number)) else {
                break;
            };
            let start = Instant::now();
            let made = made.specialise(&[ArgumentKind::Double]);
            let took = start.elapsed();
            last = format!(
                "{number} {name}: {:?} in {took:?}",
                made.map(|made| made.code_bytes()).map_err(|no| no.what)
            );
            if last.contains("Err") {
                println!("{last}");
                break;
            }
            if took.as_millis() > 200 {
                println!("{last}");
            }
        }
        println!("{last}");
    }
}
