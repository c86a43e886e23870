//! Scripts as people have them: TypeScript, packages in `node_modules`, functions that are only exported.
//!
//! Setup: `madrpc` as a process, in a directory of its own with such a script.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use support::process::{Home, Served, free_port, stderr};

const APP: &str = "\
import type { Person } from './lib/person.ts';
import { hello } from './lib/person.ts';
import { shout } from '@tiny/shout';

export function greet(
  { name }: Person,
): string {
  return shout(hello(name as string));
}
export const fail = <T,>(value: T): never => { throw new RangeError(`no ${value}`); };
export const options: Record<string, MadrpcOptions> = { greet: { idempotent: true } };
";

const PERSON: &str = "\
export interface Person { name: string }
export const hello = (name: string): string => {
  if (name === '') throw new TypeError('nobody');
  return `hello, ${name}`;
};
";

fn home() -> Home {
    let home = Home::new();
    std::fs::create_dir_all(home.path("lib")).unwrap();
    std::fs::create_dir_all(home.path("node_modules/@tiny/shout/src")).unwrap();
    home.write("app.ts", APP);
    home.write("lib/person.ts", PERSON);
    let manifest =
        r#"{ "type": "module", "exports": { "node": "./node.js", "import": "./src/shout.js" } }"#;
    home.write("node_modules/@tiny/shout/package.json", manifest);
    let shout = "export const shout = (text) => text.toUpperCase();";
    home.write("node_modules/@tiny/shout/src/shout.js", shout);
    home
}

/// A node that runs `app.ts`, and its address.
fn node(home: &Home, more: &[&str]) -> (Served, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let args = ["node", "-s", "app.ts", "-b", &address, "--shards", "1"];
    (home.serve(&[&args, more].concat()), address)
}

/// Calls until the result is this one.
fn wait_for_result(home: &Home, call: &[&str], expected: &str) {
    for _ in 0..200 {
        let output = home.call(call);
        if String::from_utf8_lossy(&output.stdout).trim() == expected {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("it never was {expected}");
}

#[test]
fn a_node_runs_typescript_with_packages() {
    let home = home();
    let (_node, address) = node(&home, &[]);
    let output = home.call(&[&address, "greet", r#"{"name": "world"}"#]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "\"HELLO, WORLD\"\n",
        "{}",
        stderr(&output)
    );
    // Where it was written, to the column.
    let output = home.call(&[&address, "greet", r#"{"name": ""}"#]);
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(said.contains("lib/person.ts:3:30"), "{said}");
    assert!(said.contains("app.ts:8:"), "{said}");
    let output = home.call(&[&address, "fail", "7"]);
    let said = stderr(&output);
    assert!(said.contains("RangeError: no 7"), "{said}");
    assert!(said.contains("app.ts:10:"), "{said}");
}

#[test]
fn check_says_what_is_exported_and_where_typescript_is_wrong() {
    let home = home();
    let output = home.run(&["check", "app.ts"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "FUNCTION  OPTIONS\nfail      -\ngreet     idempotent\n"
    );
    let said = stderr(&output);
    assert!(
        said.contains("app.ts calls madrpc.register nowhere"),
        "{said}"
    );
    let output = home.run(&["check", "app.ts", "--json"]);
    let document = String::from_utf8_lossy(&output.stdout);
    assert!(document.contains(r#""exported":true"#), "{document}");

    for (source, words) in [
        (
            "let a: number = 1;\n  enum Colour { Red }\n",
            &[
                "script app.ts:2:3: SyntaxError: an enum is code",
                "> 2 |   enum Colour { Red }",
            ][..],
        ),
        (
            "\u{feff}let a: = 1;\r\n",
            &["script app.ts:1:8: SyntaxError: Unexpected token"],
        ),
        (
            "\n\nfunction f(a: number {}",
            &["script app.ts:3:", "SyntaxError"],
        ),
        (
            "import './lib/wrong.ts';",
            &["at lib/wrong.ts:3:7: SyntaxError: a parameter that makes a property"],
        ),
        (
            "import 'asks';",
            &["process is not defined (nothing of Node.js is here: bundle"],
        ),
        (
            "import 'left-pad';",
            &["npx esbuild app.ts --bundle --format=esm --outfile=bundle.js"],
        ),
        (
            "import { Person } from './lib/person.ts'; export const f = (p: Person) => p;",
            &["Person", "import type"],
        ),
    ] {
        home.write("app.ts", source);
        home.write(
            "lib/wrong.ts",
            "class A {\n  constructor(\n      private a: string,\n  ) {}\n}\n",
        );
        for package in ["left-pad", "asks"] {
            std::fs::create_dir_all(home.path("node_modules").join(package)).unwrap();
        }
        let asks = "export const mode = process.env.NODE_ENV;";
        home.write("node_modules/asks/index.js", asks);
        home.write(
            "node_modules/left-pad/index.js",
            "module.exports = (text) => text;",
        );
        let output = home.run(&["check", "app.ts"]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        for words in words {
            assert!(said.contains(words), "no `{words}` in {said}");
        }
    }
    home.write("app.tsx", "export const f = () => <p/>;");
    let said = stderr(&home.run(&["check", "app.tsx"]));
    assert!(said.contains("JSX is not run here"), "{said}");
}

#[test]
fn a_megabyte_of_nested_types_is_refused_with_a_line() {
    let home = home();
    for text in ["A<", "(", "{a:", "keyof ", "a</*>*/", "!"]
        .map(|part| part.repeat((1 << 20) / part.len() - 8))
    {
        home.write("app.ts", &format!("let a: {text}"));
        let output = home.run(&["check", "app.ts"]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said:.200}");
        assert!(said.contains("script app.ts:1:"), "{said:.200}");
        assert!(
            !said.contains("panicked") && !said.contains("overflow"),
            "{said:.200}"
        );
    }
}

#[test]
fn a_watch_sees_modules_and_packages() {
    let home = home();
    let (mut node, address) = node(&home, &["--watch"]);
    let call = [&*address, "greet", r#"{"name": "a"}"#];
    wait_for_result(&home, &call, "\"HELLO, A\"");
    home.write(
        "lib/person.ts",
        &PERSON
            .replace("hello", "bye")
            .replace("const bye", "const hello"),
    );
    wait_for_result(&home, &call, "\"BYE, A\"");
    home.write(
        "node_modules/@tiny/shout/src/loud.js",
        "export const shout = (text) => `${text}!`;",
    );
    home.write(
        "node_modules/@tiny/shout/package.json",
        r#"{ "exports": "./src/loud.js" }"#,
    );
    wait_for_result(&home, &call, "\"bye, a!\"");
    // What cannot be used changes nothing.
    home.write("lib/person.ts", "export enum E { A }");
    node.wait_for("an enum is code");
    wait_for_result(&home, &call, "\"bye, a!\"");
}

/// The text that the compiler reads is what TypeScript leaves of it, and every place is the same.
#[test]
fn a_kernel_in_typescript_is_compiled_and_refused_where_it_is() {
    let home = Home::new();
    let source = "\
const dot = madrpc.kernel(function dot(a: Float64Array, by: number, isTwice: boolean): number {
  let sum: number = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * (by as number);
  let result: number = isTwice ? sum * 2 : sum;
  return result satisfies number;
});
madrpc.register('dot', (by: number): number => dot(Float64Array.of(1, 2, 4), by, by > 1));
";
    home.write("app.ts", source);
    let output = home.run(&["check", "app.ts"]);
    let said = String::from_utf8_lossy(&output.stdout);
    let row = said.lines().last().unwrap();
    assert!(
        row.starts_with("dot") && row.contains(" app.ts:1:"),
        "{said}"
    );
    let (_node, address) = node(&home, &[]);
    for (by, result) in [("0.5", "3.5"), ("2", "28")] {
        let output = home.call(&[&address, "dot", by]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.trim(), result, "{}", stderr(&output));
    }
    home.write("app.ts", &source.replace("a[i]!", "Math.random()"));
    let output = home.run(&["check", "app.ts"]);
    let said = stderr(&output);
    assert!(
        said.contains("app.ts:3:45: Math.random is not for kernels"),
        "{said}"
    );
}
