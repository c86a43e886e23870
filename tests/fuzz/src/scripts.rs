//! A script's text, as `madrpc check` loads it, and as TypeScript.

use crate::script_log;
use arbitrary::Unstructured;
use madrpc_core::limits::FUNCTION_NAME_MAX_BYTES;
use madrpc_shard::engine::{LaneConfig, Script};
use madrpc_shard::internals::load_for;
use madrpc_typescript::{erase, stack_bytes};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// Some of what a module is made of.
const PARTS: [&str; 96] = [
    "madrpc",
    ".register",
    "(",
    ")",
    "'f'",
    "'g'",
    ",",
    "=>",
    "1",
    ";",
    "{",
    "}",
    "[",
    "]",
    "x",
    "y",
    "let x",
    "const y =",
    "var z =",
    "function f()",
    "async function g()",
    "function* h()",
    "async",
    "await",
    "yield",
    "return",
    "throw",
    "try",
    "catch",
    "finally",
    "if",
    "else",
    "for",
    "while",
    "do",
    "of",
    "in",
    "switch",
    "case 1:",
    "default",
    "break",
    "continue",
    "label:",
    "class A",
    "extends",
    "super",
    "static",
    "#p",
    "get",
    "set",
    "new",
    "this",
    "null",
    "undefined",
    "import",
    "export",
    "from './a.js'",
    "import('./a.js')",
    "with",
    "{ type: 'json' }",
    "`${x}`",
    "`a",
    "'",
    "\"",
    "/(a+)+/u",
    "/",
    "//",
    "/*",
    "*/",
    "\n",
    "...",
    "?.",
    "??",
    "=",
    "+=",
    "===",
    "+",
    "-",
    "*",
    "**",
    "++",
    "!",
    "~",
    "typeof",
    "delete",
    "void",
    "0x7fffffff",
    "1e309",
    "1n",
    "Promise.reject(1)",
    "setTimeout",
    "globalThis",
    "Proxy",
    "toString",
    "\u{2028}",
    "\0",
];

/// Some of what TypeScript adds.
const TYPE_PARTS: [&str; 40] = [
    ": T",
    "?: T",
    "!: T",
    " as T",
    " satisfies T",
    "<T>",
    "<T extends U = V>",
    "<",
    ">",
    "!",
    "?",
    ":",
    "|",
    "&",
    "type A =",
    "interface A",
    "enum A { B }",
    "namespace A",
    "declare",
    "abstract",
    "readonly",
    "private",
    "override",
    "implements B",
    "keyof",
    "infer U",
    "is",
    "asserts a",
    "unique symbol",
    "import type",
    "export type",
    "type",
    "(a: T): U =>",
    "(this: T, a?: U)",
    "[k: string]: T;",
    "@d",
    "accessor",
    "<T>(a) =>",
    "漢",
    "😀",
];

/// What a script has that ends, mostly; all others are given up.
const PATIENCE: Duration = Duration::from_millis(100);
const ENDING: Duration = Duration::from_secs(10);

/// A script is loaded, refused, or given up in time; what it registers has names that can be called.
pub fn run(input: &[u8]) {
    script_log::listen();
    let config = LaneConfig {
        memory_bytes: 8 << 20,
        ..LaneConfig::default()
    };
    let text = text(input);
    as_typescript(&text);
    let script = Script::new("check.js", &text);
    let begun = Instant::now();
    let loaded = load_for(&script, &config, PATIENCE);
    assert!(begun.elapsed() < ENDING, "{:?}", begun.elapsed());
    match loaded {
        Some(Ok(functions)) => {
            let names: HashSet<_> = functions.iter().map(|function| &function.name).collect();
            assert!(!names.is_empty() && names.len() == functions.len());
            assert!(
                names
                    .iter()
                    .all(|name| name.len() <= FUNCTION_NAME_MAX_BYTES)
            );
        }
        Some(Err(error)) => {
            assert!(error.message.starts_with("script check.js"), "{error}");
            assert!(!error.message.contains("panicked"), "{error}");
        }
        None => {}
    }
}

/// What is erased leaves all else where it was.
fn as_typescript(text: &str) {
    let thread = std::thread::Builder::new().stack_size(stack_bytes(text.len()));
    let erased = std::thread::scope(|scope| {
        let erasing = thread.spawn_scoped(scope, || erase(text));
        erasing.unwrap().join().unwrap()
    });
    let Ok(erased) = erased else {
        return;
    };
    let ends = |text: &str| -> Vec<(usize, char)> {
        let is_end = |char| matches!(char, '\n' | '\r' | '\u{2028}' | '\u{2029}');
        text.char_indices()
            .filter(|(_, char)| is_end(*char))
            .collect()
    };
    assert_eq!(text.len(), erased.len());
    assert_eq!(ends(text), ends(&erased));
}

/// The bytes as they are, or the parts that they name, after a function that there is or is not.
fn text(input: &[u8]) -> String {
    let Some((kind, rest)) = input.split_first() else {
        return String::new();
    };
    if kind % 2 == 0 {
        return String::from_utf8_lossy(rest).into_owned();
    }
    let mut text = match kind & 2 {
        0 => String::new(),
        _ => "madrpc.register('known', () => 1);".to_owned(),
    };
    let mut input = Unstructured::new(rest);
    let types: &[&str] = match kind & 4 {
        0 => &[],
        _ => &TYPE_PARTS,
    };
    let parts = [&PARTS[..], types].concat();
    while let Ok(part) = input.choose(&parts) {
        text += part;
        text.push(' ');
        if input.is_empty() {
            break;
        }
    }
    text
}
