use super::{Manifests, ReadModules};
use crate::engine::{LaneConfig, Script};
use std::path::Path;
use tempfile::TempDir;

/// A directory `inside` with these files, and `outside.js` beside it.
fn place(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("outside.js"), "export default 1;").unwrap();
    for (name, text) in files {
        let path = dir.path().join("inside").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

fn read(dir: &TempDir) -> Script {
    Script::read(&dir.path().join("inside/main.js")).unwrap()
}

/// Why a script with this text and this module `other.js` does not load.
fn refusal(main: &str, other: &str) -> String {
    let dir = place(&[
        ("main.js", main),
        ("lib/other.js", other),
        ("data.json", "{\"a\": 1}"),
        ("bad.json", "{\n a"),
    ]);
    let error = read(&dir).functions().unwrap_err();
    error
        .message
        .replace(&dir.path().to_string_lossy().into_owned(), "DIR")
}

#[test]
fn a_script_imports_from_its_directory() {
    let dir = place(&[
        (
            "main.js",
            "import { two } from './lib/two.js'; import data from './data.json' with { type: 'json' };
             const late = await import('./late.js');
             madrpc.register(`${two()} ${data.a['é\\u2028\"']} ${late.default}`, () => 1);",
        ),
        ("lib/two.js", "import { one } from '../one.js'; export const two = () => one + 1;"),
        ("one.js", "export const one = 1;"),
        ("late.js", "export default 'late';"),
        ("data.json", "{\"a\": {\"é\\u2028\\\"\": \"x\\n'\"}, \"__proto__\": 1}"),
    ]);
    assert_eq!(read(&dir).functions().unwrap(), ["2 x\n' late"]);
}

#[test]
fn what_is_kept_of_names_is_bounded() {
    let main = |dots: usize| format!("await import('{}x.js');", "./".repeat(dots));
    let dir = place(&[("main.js", &main(2_046)), ("x.js", "")]);
    assert!(
        !read(&dir)
            .functions()
            .is_err_and(|error| error.message.contains("bytes"))
    );
    let message = refusal(&main(2_047), "");
    assert!(message.contains("…\" in DIR"), "{message}");
    assert!(message.contains("it has 4098 bytes"), "{message}");
    assert!(message.len() < 500, "{message}");

    let mut read = ReadModules::default();
    let mut keep = |number: usize| {
        let key = ("main.js".to_owned(), format!("{number:04000}"));
        read.keep_name(key, "x.js")
    };
    let kept = (0..).take_while(|number| keep(*number).is_ok()).count();
    assert!((3_000..=4_194).contains(&kept), "{kept}");
    // What is known is no more.
    assert_eq!(keep(0), Ok(()));
}

#[test]
fn modules_can_import_each_other_and_the_script() {
    let dir = place(&[
        (
            "main.js",
            "import { name } from './a.js'; export const prefix = () => 'f'; madrpc.register(name(), () => 1);",
        ),
        (
            "a.js",
            "import { letter } from './b.js'; export const here = 'a'; export const name = () => letter();",
        ),
        (
            "b.js",
            "import { here } from './a.js'; import { prefix } from './main.js'; export const letter = () => prefix() + here;",
        ),
    ]);
    assert_eq!(read(&dir).functions().unwrap(), ["fa"]);
}

#[test]
fn what_lies_outside_cannot_be_imported() {
    for (specifier, words) in [
        ("../outside.js", "leads out of the script's directory"),
        (
            "./lib/../../outside.js",
            "leads out of the script's directory",
        ),
        ("/etc/hostname", "absolute path"),
        ("file:///etc/hostname", "URL"),
        ("https://example.com/x.js", "URL"),
        ("data:text/javascript,1", "URL"),
        ("node:fs", "modules of Node.js"),
        ("fs", "no package fs"),
        ("", "no name of a package"),
        ("lib/other.js", "no package lib"),
        ("./nothing.js", "cannot be found"),
        ("./lib", "no file"),
        ("./data.json", "with { type"),
    ] {
        let message = refusal(
            &format!("import '{specifier}'; madrpc.register('a', () => 1)"),
            "",
        );
        assert!(message.contains(words), "{specifier}: {message}");
        assert!(
            message.contains("main.js") || message.contains("import of"),
            "{message}"
        );
        assert!(
            specifier.starts_with("./") || message.contains(&format!("\"{specifier}\"")),
            "{message}"
        );
    }
    let message = refusal("import './lib/other.js';", "import '../../outside.js';");
    assert!(
        message.contains("in DIR/inside/lib/other.js: it leads out"),
        "{message}"
    );
    let message = refusal("import x from './data.json' with { type: 'css' };", "");
    assert!(message.contains("attribute"), "{message}");
    let message = refusal("import x from './bad.json' with { type: 'json' };", "");
    assert!(message.contains("bad.json: it is no JSON"), "{message}");
}

#[test]
fn a_link_is_followed_before_it_is_judged() {
    let dir = place(&[
        (
            "main.js",
            "import { x } from './link.js'; madrpc.register(x, () => 1);",
        ),
        ("real.js", "export const x = 'x';"),
    ]);
    let inside = dir.path().join("inside");
    std::os::unix::fs::symlink("real.js", inside.join("link.js")).unwrap();
    assert_eq!(read(&dir).functions().unwrap(), ["x"]);
    std::fs::remove_file(inside.join("link.js")).unwrap();
    std::os::unix::fs::symlink("../outside.js", inside.join("link.js")).unwrap();
    let error = read(&dir).functions().unwrap_err();
    assert!(error.message.contains("leads out"), "{error}");
}

#[test]
fn a_script_behind_a_link_imports_from_where_it_is() {
    let dir = place(&[
        (
            "main.js",
            "import { x } from './x.js'; madrpc.register(x, () => 1);",
        ),
        ("x.js", "export const x = 'x';"),
    ]);
    let link = dir.path().join("current.js");
    std::os::unix::fs::symlink("inside/main.js", &link).unwrap();
    assert_eq!(Script::read(&link).unwrap().functions().unwrap(), ["x"]);
}

#[test]
fn an_error_in_a_module_says_where() {
    let message = refusal("import './lib/other.js';", "\nconst x = ;");
    assert!(
        message.contains(": at DIR/inside/lib/other.js:2:"),
        "{message}"
    );
    let message = refusal(
        "import './lib/other.js';",
        "\n\n  throw new RangeError('today');",
    );
    assert!(
        message.contains(": at DIR/inside/lib/other.js:3:"),
        "{message}"
    );
    assert!(message.ends_with("RangeError: today"), "{message}");
    let message = refusal(
        "import { missing } from './lib/other.js';",
        "export const there = 1;",
    );
    assert!(message.contains("missing"), "{message}");
}

#[test]
fn every_lane_has_its_own_copy_of_what_the_first_has_read() {
    let dir = place(&[
        (
            "main.js",
            "import { n } from './n.js'; globalThis.seen = (globalThis.seen ?? 0) + n; madrpc.register(`n${seen}`, () => 1);",
        ),
        ("n.js", "export const n = 1;"),
    ]);
    let script = read(&dir);
    assert_eq!(script.functions().unwrap(), ["n1"]);
    std::fs::write(dir.path().join("inside/n.js"), "export const n = 2;").unwrap();
    assert_eq!(script.functions().unwrap(), ["n1"]);
    assert_eq!(read(&dir).functions().unwrap(), ["n2"]);
}

#[test]
fn a_script_from_text_imports_nothing() {
    let error = Script::new("text.js", "import './x.js';")
        .functions()
        .unwrap_err();
    assert!(
        error
            .message
            .contains("\"./x.js\" in text.js: a script that is no file"),
        "{error}"
    );
}

#[test]
fn a_name_without_a_directory_is_in_this_one() {
    let modules = super::Modules::beside(Path::new("Cargo.toml")).unwrap();
    let place = modules.place.unwrap();
    assert_eq!(place.prefix, "");
    assert_eq!(
        place
            .resolve(
                "Cargo.toml",
                "Cargo.toml",
                "./src/lib.rs",
                &mut Manifests::default()
            )
            .unwrap(),
        "src/lib.rs"
    );
}

#[test]
fn typescript_is_a_script_and_a_module() {
    let dir = place(&[
        (
            "main.js",
            "import { two } from './lib/two.ts'; import { x } from './x.mts'; madrpc.register(`${two(x)}`, () => 1);",
        ),
        (
            "lib/two.ts",
            "\u{feff}import type { N } from './n.ts';\nexport const two = (n: N): N => n * 2;\nexport type { N };",
        ),
        ("x.mts", "export const x: number = 21 as number;"),
    ]);
    assert_eq!(read(&dir).functions().unwrap(), ["42"]);

    let script = dir.path().join("inside/app.ts");
    std::fs::write(&script, "madrpc.register('f', (a?: T): U => a!);").unwrap();
    assert_eq!(Script::read(&script).unwrap().functions().unwrap(), ["f"]);
    std::fs::write(&script, "let a: T;\n  enum E { A }").unwrap();
    let error = Script::read(&script).unwrap_err();
    let name = script.to_string_lossy();
    assert!(
        error
            .message
            .starts_with(&format!("script {name}:2:3: SyntaxError: an enum")),
        "{error}"
    );
    assert!(error.stack.contains(&format!("at {name}:2:3")));
    for (name, words) in [("a.tsx", "JSX"), ("a.jsx", "JSX"), ("a.cts", "CommonJS")] {
        let script = dir.path().join(name);
        std::fs::write(&script, "1").unwrap();
        let error = Script::read(&script).unwrap_err();
        assert!(error.message.contains(words), "{error}");
    }
}

#[test]
fn what_a_typescript_module_throws_has_its_line_and_column() {
    let dir = place(&[
        ("main.js", "import './a.ts'; madrpc.register('f', () => 1);"),
        (
            "a.ts",
            "type A = {\n  a: string;\n};\nconst f = (a: A): never => { throw new RangeError(a.a as string) };\nf({ a: 'today' });",
        ),
    ]);
    let error = read(&dir).functions().unwrap_err();
    assert!(error.message.contains("a.ts:4:"), "{error}");
    assert!(error.stack.contains("a.ts:5:"), "{}", error.stack);
    std::fs::write(dir.path().join("inside/a.ts"), "\n\nlet a: = 1;").unwrap();
    let error = read(&dir).functions().unwrap_err();
    assert!(
        error
            .message
            .ends_with("a.ts:3:8: SyntaxError: Unexpected token"),
        "{error}"
    );
}

#[test]
fn names_are_whole_and_a_near_one_is_told() {
    for (specifier, near) in [
        ("./lib/two", "two.ts"),
        ("./lib/two.js", "two.ts"),
        ("./lib/three", "three.mjs"),
        ("./lib", "is no file"),
    ] {
        let dir = place(&[
            ("main.js", &format!("import '{specifier}';")),
            ("lib/two.ts", ""),
            ("lib/three.mjs", ""),
        ]);
        let message = read(&dir).functions().unwrap_err().message;
        assert!(message.contains(near), "{specifier}: {message}");
    }
}

#[test]
fn what_is_exported_is_registered_where_nothing_else_is() {
    let functions = |main: &str| {
        let dir = place(&[
            ("main.js", main),
            ("other.js", "export const other = () => 1;"),
        ]);
        read(&dir).registrations(&LaneConfig::default())
    };
    let exported = functions(
        "export { other as 'an other' } from './other.js'; export const one = 1; export class C {};
         export async function f() {} export const g = (n) => n; export function* h() {}
         export const options = { f: { timeoutMs: 7 } };",
    )
    .unwrap();
    let names: Vec<_> = exported
        .iter()
        .map(|function| function.name.as_str())
        .collect();
    assert_eq!(names, ["an other", "f", "g", "h"]);
    assert!(exported.iter().all(|function| function.is_exported));
    let of_f = exported[1].options.timeout;
    assert_eq!(of_f, Some(std::time::Duration::from_millis(7)));

    let registered =
        functions("export const f = () => 1; export const options = 7; madrpc.register('g', f);")
            .unwrap();
    assert_eq!(registered.len(), 1);
    assert!(!registered[0].is_exported && registered[0].name == "g");

    let options = functions("export function options() {} export const name = () => 1;").unwrap();
    assert_eq!(options.len(), 2);

    for (main, words) in [
        ("export default function f() {}", "export function name()"),
        (
            "export default () => 1; export const f = () => 1;",
            "export default",
        ),
        (
            "export const f = () => 1; export const options = { g: {} };",
            "no exported function \"g\"",
        ),
        (
            "export const f = () => 1; export const options = 7;",
            "must be an object",
        ),
        (
            "export const f = () => 1; export const options = { f: { timeout: 1 } };",
            "did you mean timeoutMs?",
        ),
        (
            "export const f = 1; export default { a: 1 };",
            "or export functions",
        ),
        ("export class C {}", "or export functions"),
    ] {
        let error = functions(main).unwrap_err();
        assert!(error.message.contains(words), "{main}: {error}");
    }
}

#[test]
fn webassembly_is_imported_where_the_build_has_it_and_else_it_says_so() {
    // An empty module, and one that exports a global: (module (global (export "a-b") i32 (i32.const 7))).
    let empty = b"\0asm\x01\0\0\0".to_vec();
    let global = b"\0asm\x01\0\0\0\x06\x06\x01\x7f\0\x41\x07\x0b\x07\x07\x01\x03a-b\x03\0".to_vec();
    for (main, words) in [
        ("import './x.wasm'; madrpc.register('f', () => 1);", "f"),
        (
            "import { 'a-b' as seven } from './y.wasm'; madrpc.register(`f${seven}`, () => 1);",
            "f7",
        ),
        (
            "import './bad.wasm'; madrpc.register('f', () => 1);",
            "DIR/inside/bad.wasm: it is no module of WebAssembly: ",
        ),
        (
            "madrpc.register(`f${typeof new WebAssembly.Memory({ initial: 1 })}`, () => 1);",
            "fobject",
        ),
    ] {
        let dir = place(&[("main.js", main)]);
        for (name, bytes) in [
            ("x.wasm", &empty),
            ("y.wasm", &global),
            ("bad.wasm", &vec![0xff]),
        ] {
            std::fs::write(dir.path().join("inside").join(name), bytes).unwrap();
        }
        let script = read(&dir);
        let said = match script.functions() {
            Ok(names) => names.join(" "),
            Err(error) => {
                let place = dir.path().to_string_lossy().into_owned();
                error.message.replace(&place, "DIR")
            }
        };
        let absent = "this madrpc is built without WebAssembly: build it with --features wasm";
        match cfg!(feature = "wasm") {
            true => assert!(said.contains(words), "{main}: {said}"),
            false => assert!(
                said.contains(absent) && !said.contains('\n'),
                "{main}: {said}"
            ),
        }
        if cfg!(feature = "wasm") && main.contains("import") && !main.contains("bad") {
            // What tells the script from another, and what is watched.
            assert_eq!(script.files().len(), 2);
        }
    }
}
