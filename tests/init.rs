//! `madrpc init`: what it writes, and whether the types in it are those of the engine.
//!
//! Setup: `madrpc` as a process, in a directory of its own; TypeScript's own compiler, where npm can install it
//! (`packages/install`).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};
use support::process::{Home, free_port, stderr};

const TYPES: &str = include_str!("../madrpc-bin/src/commands/init/madrpc.d.ts");

/// What a function can say of all that it has: by the name of each object or class the names of its members.
const NAMES: &str = r#"
const names = (object) => Object.getOwnPropertyNames(object).filter((name) => name !== "constructor");
madrpc.register("names", () => ({
  globals: names(globalThis),
  Madrpc: names(madrpc),
  console: names(console),
  crypto: names(crypto),
  performance: [...names(performance), ...names(Object.getPrototypeOf(performance))],
  TextEncoder: names(TextEncoder.prototype),
  TextDecoder: names(TextDecoder.prototype),
  URL: names(URL.prototype),
  URLSearchParams: names(URLSearchParams.prototype),
}));
madrpc.register("options", () => { throw new Error("none"); });
"#;

/// What ES2024 has in its global object, and what the engine has of later drafts; no declaration of ours.
const LANGUAGE: &str = "AggregateError Array ArrayBuffer AsyncDisposableStack Atomics BigInt BigInt64Array BigUint64Array Boolean \
    DataView Date DisposableStack Error EvalError FinalizationRegistry Float16Array Float32Array Float64Array Function Infinity \
    Int16Array Int32Array Int8Array InternalError Iterator JSON Map Math NaN Number Object Promise Proxy RangeError ReferenceError \
    Reflect RegExp Set SharedArrayBuffer String SuppressedError Symbol SyntaxError TypeError URIError Uint16Array Uint32Array \
    Uint8Array Uint8ClampedArray WeakMap WeakRef WeakSet decodeURI decodeURIComponent encodeURI encodeURIComponent escape eval \
    globalThis isFinite isNaN parseFloat parseInt undefined unescape";

fn failed(output: &Output, words: &str) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(words), "no `{words}` in {said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn a_first_script_loads_and_nothing_is_written_over() {
    let home = Home::new();
    let output = home.run(&["init", "new/project"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("madrpc dev new/project/script.js"), "{said}");
    assert_eq!(
        std::fs::read_to_string(home.path("new/project/madrpc.d.ts")).unwrap(),
        TYPES
    );
    let output = home.run(&["check", "new/project/script.js"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "FUNCTION  OPTIONS\ncount     -\ngreet     idempotent, timeout 1s\n",
        "{}",
        stderr(&output)
    );

    home.write("new/project/script.js", "// mine");
    failed(
        &home.run(&["init", "new/project"]),
        "new/project/script.js is there already: nothing was written",
    );
    std::fs::remove_file(home.path("new/project/script.js")).unwrap();
    failed(
        &home.run(&["init", "new/project"]),
        "jsconfig.json is there already",
    );
    assert!(!home.path("new/project/script.js").exists());
    std::os::unix::fs::symlink("nowhere", home.path("madrpc.d.ts")).unwrap();
    std::fs::remove_file(home.path("script.js")).unwrap();
    failed(&home.run(&["init"]), "madrpc.d.ts is there already");
    failed(&home.run(&["init", "madrpc.d.ts/x"]), "cannot be made");
}

/// The names that a declaration has in its braces.
fn members(declaration: &str) -> BTreeSet<String> {
    let (_, rest) = TYPES
        .split_once(declaration)
        .unwrap_or_else(|| panic!("no {declaration}"));
    // In one line, or in a line each, where what is further in belongs to a member.
    let (end, between, indent) = match rest.starts_with("{ ") {
        true => (" }", ';', 1),
        false => ("\n}", '\n', 2),
    };
    let (body, _) = rest.split_once(end).unwrap();
    let parts = body.split(between).filter_map(|line| {
        let line = line.trim_start_matches('{');
        let part = line.trim_start();
        (line.len() - part.len() == indent).then(|| part.trim_start_matches("readonly "))
    });
    let names = parts.filter_map(|part| {
        let end = part.find(|char: char| !char.is_alphanumeric())?;
        let follows = part[end..].starts_with(['(', '<', ':', '?']);
        (end > 0 && follows && !part.starts_with("constructor")).then(|| part[..end].to_owned())
    });
    names.collect()
}

fn set(names: &Value) -> BTreeSet<String> {
    let names = names.as_array().unwrap().iter();
    names
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn the_types_declare_what_the_engine_has_and_nothing_else() {
    let home = Home::new();
    home.write("script.js", NAMES);
    let port = free_port();
    let _node = home.node(port);
    let address = format!("127.0.0.1:{port}");
    let output = home.call(&[&address, "names"]);
    let names: Value = serde_json::from_slice(&output.stdout).unwrap();

    assert_eq!(members("interface Madrpc "), set(&names["Madrpc"]));
    for (declaration, of) in [
        ("declare const console: ", "console"),
        ("declare const crypto: ", "crypto"),
        ("declare class TextEncoder ", "TextEncoder"),
        ("declare class TextDecoder ", "TextDecoder"),
        ("declare class URL ", "URL"),
        (
            "declare class URLSearchParams implements Iterable<[string, string]> ",
            "URLSearchParams",
        ),
    ] {
        assert_eq!(members(declaration), set(&names[of]), "{of}");
    }
    // Of the browser's clock, the engine has two of these on the object and its prototype.
    let clock = set(&names["performance"]);
    assert!(
        members("declare const performance: ").is_subset(&clock),
        "{clock:?}"
    );

    let language: BTreeSet<String> = LANGUAGE.split_whitespace().map(str::to_owned).collect();
    let declared: BTreeSet<String> = TYPES
        .lines()
        .filter_map(|line| line.strip_prefix("declare "))
        .filter(|line| !line.starts_with("module "))
        .map(|line| {
            let name = line.split(' ').nth(1).unwrap();
            name.split(|char: char| !char.is_alphanumeric())
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    let globals: BTreeSet<String> = set(&names["globals"])
        .difference(&language)
        .cloned()
        .collect();
    let without: BTreeSet<String> = match cfg!(feature = "wasm") {
        true => declared,
        false => declared
            .into_iter()
            .filter(|name| name != "WebAssembly")
            .collect(),
    };
    assert_eq!(without, globals);
}

#[test]
fn the_types_declare_the_options_that_are_checked() {
    let home = Home::new();
    home.write(
        "script.js",
        "madrpc.register('f', () => 1, { completelyUnknown: 1 });",
    );
    let said = stderr(&home.run(&["check", "script.js"]));
    let (_, known) = said.split_once("there are: ").unwrap();
    let known = known.lines().next().unwrap().split(", ");
    let known: BTreeSet<String> = known.map(str::to_owned).collect();
    assert_eq!(members("interface MadrpcOptions "), known);
}

/// Has TypeScript check what is in a directory; `None` where it cannot be had.
fn tsc(dir: &Path) -> Option<Output> {
    let install = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/packages/install");
    let output = Command::new(install).output().unwrap();
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        // Past the harness, which shows only what failing tests print.
        let _ = writeln!(std::io::stderr(), "skipping what needs TypeScript: {why}");
        return None;
    }
    let folder = String::from_utf8(output.stdout).unwrap();
    let compiler = Path::new(folder.trim_end()).join("node_modules/typescript/bin/tsc");
    let checked = Command::new("node")
        .arg(compiler)
        .args(["-p", "jsconfig.json"])
        .current_dir(dir)
        .output();
    Some(checked.unwrap())
}

const USES: &str = "\
import type { Pair } from './pair.ts';

const PARTS = 2;
const dot = madrpc.kernel(function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
});
const square = madrpc.kernel(function square(x: number) { return x * x; });
const area = madrpc.kernel(function area(r: number, isHalf: boolean): number {
  return square(r) * (isHalf ? Math.PI / PARTS : Math.PI);
}, { square, PARTS });
madrpc.register('area', (r: number): number => area(r, false) + dot(Float64Array.of(r), Float64Array.of(2)));

madrpc.register<Pair>('sum', async ({ a, b }) => {
  const doubled: number = await madrpc.call<number>('double', a, { timeoutMs: 100 });
  const squares = await madrpc.map<number>('square', [a, b], { concurrency: 2 });
  for await (const item of madrpc.stream<number>('count', 3)) console.log('%d', item);
  const timer = setTimeout((n: number) => console.table([n]), 10, doubled);
  clearTimeout(timer);
  const url = new URL('/x', 'https://example.com');
  url.searchParams.append('a', new TextDecoder().decode(new TextEncoder().encode(btoa('x'))));
  try {
    return madrpc.callSync<number>('double', squares[0]) + performance.now() + madrpc.deadline;
  } catch (error) {
    if ((error as MadrpcError).kind === 'DeadlineExceeded') throw error;
    return structuredClone({ id: crypto.randomUUID(), left: madrpc.cancelled, at: madrpc.traceparent ?? madrpc.node });
  }
}, { idempotent: true, maxConcurrent: 4, rate: 10, burst: 20 });
";

#[test]
fn a_project_checks_with_typescript() {
    let home = Home::new();
    home.run(&["init", "project"]);
    let project = home.path("project");
    std::fs::write(
        project.join("pair.ts"),
        "export interface Pair { a: number; b: number }\n",
    )
    .unwrap();
    std::fs::write(project.join("uses.ts"), USES).unwrap();
    let examples = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/monte-carlo-pi/scripts/pi.js"
    );
    std::fs::copy(examples, project.join("pi.js")).unwrap();
    let Some(checked) = tsc(&project) else {
        return;
    };
    let said = String::from_utf8_lossy(&checked.stdout);
    // What an example does without types is no matter of ours.
    let of_ours: Vec<&str> = said
        .lines()
        .filter(|line| line.contains("error TS") && !line.contains("implicitly has an 'any' type"))
        .collect();
    assert_eq!(of_ours, [""; 0]);

    std::fs::remove_file(project.join("pi.js")).unwrap();
    assert!(tsc(&project).unwrap().status.success());
    for (wrong, error) in [
        (
            "madrpc.register('f', () => 1, { timeout: 5 });",
            "'timeout' does not exist",
        ),
        (
            "madrpc.call(1);",
            "not assignable to parameter of type 'string'",
        ),
        (
            "madrpc.kernel(function f(a: string) { return 1; });",
            "is not assignable",
        ),
        ("enum A { B }", "erasableSyntaxOnly"),
        ("fetch('x');", "Cannot find name 'fetch'"),
        (
            "import { Pair } from './pair.ts'; export type { Pair };",
            "verbatimModuleSyntax",
        ),
    ] {
        std::fs::write(project.join("wrong.ts"), format!("{wrong}\nexport {{}};\n")).unwrap();
        let checked = tsc(&project).unwrap();
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(
            !checked.status.success() && said.contains(error),
            "{wrong}: {said}"
        );
    }
}
