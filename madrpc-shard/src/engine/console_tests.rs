//! What `console` writes, as Node.js writes it, and that it ends with its call.

use super::tests::{Log, call, lane, logged, shown};
use std::sync::mpsc::{Receiver, channel};

/// What the first argument of `console.log` is a format for, as Node.js shows it.
#[test]
fn formats_are_those_of_node() {
    for (arguments, text) in [
        (
            "'%s %s %s %s %s', null, undefined, 5n, Symbol('a'), { a: { b: 1 } }, 'x'",
            "null undefined 5n Symbol(a) { a: {…} } x",
        ),
        (
            "'%d %i %f %d %i', '5.5', '5.5', '5.5x', {}, 5n",
            "5.5 5 5.5 NaN 5n",
        ),
        ("'%f %d %d %s', 5n, '', Symbol('q'), -0", "5 0 NaN -0"),
        ("'%i', '0x10', '%d'", "16 %d"),
        ("'%j %j', { a: 1 }, 'x'", r#"{"a":1} "x""#),
        (
            "'%j', (() => { const o = {}; o.o = o; return o; })()",
            "[Circular]",
        ),
        (
            "'%o|%O', { a: [1] }, { a: [1] }",
            "{ a: [ 1 ] }|{ a: [ 1 ] }",
        ),
        ("'%c red', 'color: red'", " red"),
        ("'%%s', 1", "%s 1"),
        ("'%%'", "%%"),
        ("'%x %s', 'q'", "%x q"),
        ("'%s', 'a', 'b', { c: 1 }", "a b { c: 1 }"),
        ("5, '%s', 'x'", "5 %s x"),
        ("'%s', { toString() { return 'own'; } }", "own"),
        ("'%s', [1, [2, [3]]]", "[ 1, […] ]"),
        ("'%s', new Date(0)", "1970-01-01T00:00:00.000Z"),
        (
            "{ a: 1 }, { a: 2 }, { a: { b: 3 } }",
            "{ a: 1 } { a: 2 } { a: { b: 3 } }",
        ),
    ] {
        assert_eq!(shown(arguments), text, "{arguments}");
    }
}

#[test]
fn labels_and_groups_end_with_their_call() {
    let (log, lines): (_, Receiver<String>) = channel();
    tracing::subscriber::with_default(Log(log), || {
        let mut lane = lane(
            "console.group('loading'); console.count('l');
             madrpc.register('f', () => { console.log('in'); console.count('l'); console.time('t'); console.group(); console.log('two\\nlines'); });
             madrpc.register('many', () => { for (let i = 0; i < 1e5; i++) { console.count(i); console.time('x'.repeat(1000) + i); console.group(); } console.count('l'); });",
        );
        for number in 1..=2 {
            lane.set_call(number, None);
            call(&mut lane, 0).unwrap();
        }
        lane.set_call(3, None);
        call(&mut lane, 1).unwrap();
        assert!(
            lane.heap_peak_bytes() < 2 << 20,
            "{}",
            lane.heap_peak_bytes()
        );
    });
    let lines: Vec<String> = lines.try_iter().take(8).collect();
    let said = |number| {
        ["in", "l: 1", "  two\n  lines"]
            .map(|text| format!("INFO message={text} call={number} function=\"f\""))
    };
    let loading =
        ["loading", "  l: 1"].map(|text| format!("INFO message={text} script=\"test.js\""));
    let expected: Vec<String> = [&loading[..], &said(1)[..], &said(2)[..]].concat();
    assert_eq!(lines, expected);
}

#[test]
fn tables_are_drawn() {
    let drawn = |arguments: &str| {
        let source = format!("madrpc.register('f', () => {{ console.table({arguments}); }})");
        let lines = logged(&source);
        let rows = lines.iter().map(|line| {
            let row = line.strip_prefix("INFO message=").unwrap();
            row.strip_suffix(" call=7 function=\"f\"")
                .unwrap()
                .to_owned()
        });
        rows.collect::<Vec<_>>()
    };
    assert_eq!(
        drawn("[{ a: 1, b: 'x' }, { a: 2, c: true }, 5]"),
        [
            "┌─────────┬───┬─────┬──────┬────────┐",
            "│ (index) │ a │ b   │ c    │ Values │",
            "├─────────┼───┼─────┼──────┼────────┤",
            "│ 0       │ 1 │ \"x\" │      │        │",
            "│ 1       │ 2 │     │ true │        │",
            "│ 2       │   │     │      │ 5      │",
            "└─────────┴───┴─────┴──────┴────────┘",
        ]
    );
    assert_eq!(drawn("{ x: { a: 1, b: 2 } }, ['b']")[3], "│ x       │ 2 │");
    assert_eq!(
        drawn("new Map([['k', { v: 1 }]])")[3],
        "│ 0                 │ \"k\" │ { v: 1 } │"
    );
    assert_eq!(drawn("5"), ["5"]);
    assert_eq!(
        drawn("new Proxy({}, { ownKeys() { throw 1; } })"),
        ["[cannot be shown]"]
    );
    let large = drawn(
        "((text) => Array.from({ length: 1000 }, () => Object.fromEntries(Array.from({ length: 100 }, (_, at) => [at, text]))))('y'.repeat(1e4))",
    );
    assert_eq!(large.len(), 54);
    assert!(large.iter().all(|line| line.chars().count() < 1500));
}

#[test]
fn the_lanes_of_a_shard_together_say_a_bounded_number_of_lines() {
    let (log, lines): (_, Receiver<String>) = channel();
    tracing::subscriber::with_default(Log(log), || {
        let source =
            "madrpc.register('f', () => { for (let i = 0; i < 190; i++) console.log(i); });";
        let mut lanes: Vec<_> = (0..10).map(|_| lane(source)).collect();
        for lane in &mut lanes {
            call(lane, 0).unwrap();
        }
    });
    // They may have taken longer than one window of a second, or two.
    let lines = lines.try_iter().count();
    assert!((500..=1100).contains(&lines), "{lines}");
}
