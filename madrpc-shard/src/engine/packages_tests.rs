use crate::engine::Script;
use std::path::Path;
use tempfile::TempDir;

/// A directory `inside` with these files, and a package `outside` beside it.
fn place(files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let outside = [("../outside/index.js", "export const x = 1;")];
    for (name, text) in files.iter().chain(&outside) {
        let path = dir.path().join("inside").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    dir
}

/// What `main.js` registers as the name of a function.
fn load(dir: &TempDir) -> Result<String, String> {
    let script = Script::read(&dir.path().join("inside/main.js")).unwrap();
    let loaded = script.functions();
    let here = dir.path().canonicalize().unwrap();
    loaded.map(|names| names[0].clone()).map_err(|error| {
        error
            .message
            .replace(&*dir.path().to_string_lossy(), "DIR")
            .replace(&*here.to_string_lossy(), "DIR")
    })
}

/// What a script gets that imports `x` from this name.
fn import(specifier: &str, files: &[(&str, &str)]) -> Result<String, String> {
    let main = format!("import {{ x }} from '{specifier}'; madrpc.register(x, () => 1);");
    let mut files = files.to_vec();
    files.push(("main.js", &main));
    load(&place(&files))
}

const X: &str = "export const x = 'right';";
const WRONG: &str = "export const x = 'wrong';";

#[test]
fn a_package_begins_where_it_says() {
    for files in [
        [
            ("node_modules/p/index.js", X),
            ("node_modules/p/x.js", WRONG),
        ],
        [
            ("node_modules/p/package.json", "{\"main\": \"./lib/a\"}"),
            ("node_modules/p/lib/a.js", X),
        ],
        [
            ("node_modules/p/package.json", "{\"main\": \"lib\"}"),
            ("node_modules/p/lib/index.js", X),
        ],
        [
            ("node_modules/p/package.json", "{\"main\": \".lib/i.js\"}"),
            ("node_modules/p/.lib/i.js", X),
        ],
        [
            ("node_modules/p/package.json", "{\"main\": \"././/lib/i\"}"),
            ("node_modules/p/lib/i.js", X),
        ],
        [
            ("node_modules/p/package.json", "{\"main\": \"/lib/i.js\"}"),
            ("node_modules/p/lib/i.js", X),
        ],
        [
            (
                "node_modules/p/package.json",
                "{\"main\": \"m.cjs\", \"module\": \"m.js\"}",
            ),
            ("node_modules/p/m.js", X),
        ],
        [
            (
                "node_modules/p/package.json",
                "\u{feff}{\"exports\": \"./m.mjs\"}",
            ),
            ("node_modules/p/m.mjs", X),
        ],
        [
            (
                "node_modules/p/package.json",
                "{\"exports\": {\".\": {\"require\": \"./m.cjs\", \"import\": \"./m.js\"}}}",
            ),
            ("node_modules/p/m.js", X),
        ],
        [
            ("node_modules/p/package.json", "{\"exports\": null}"),
            ("node_modules/p/index.js", X),
        ],
        [
            ("node_modules/p/package.json", "{\"type\": \"module\"}"),
            ("node_modules/p/index.js", X),
        ],
    ] {
        assert_eq!(import("p", &files).as_deref(), Ok("right"), "{files:?}");
    }
}

#[test]
fn scopes_subpaths_and_patterns_lead_to_files() {
    let exports = "{\"exports\": {\"./a/*\": \"./src/*.js\", \"./data\": \"./data.json\"}}";
    let files = [
        ("node_modules/@s/p/package.json", exports),
        ("node_modules/@s/p/src/b/c.js", X),
        ("node_modules/@s/p/src/d.ts", X),
        ("node_modules/q/lib/x.js", X),
    ];
    assert_eq!(import("@s/p/a/b/c", &files).as_deref(), Ok("right"));
    assert_eq!(import("q/lib/x.js", &files).as_deref(), Ok("right"));
    for (specifier, words) in [
        ("@s/p", "the package @s/p does not export \".\""),
        ("@s/p/src/b/c.js", "does not export \"./src/b/c.js\""),
        ("@s/p/a/e", "cannot be found"),
        ("q", "names no file"),
        ("q/lib/y", "cannot be found"),
        ("q/lib", "no file"),
        ("q/../../outside/index.js", "no plain path"),
        ("q/", "no plain path"),
        ("r", "there is no package r in DIR/inside/node_modules"),
        ("@s", "no name of a package"),
        ("@s/", "no name of a package"),
        ("..", "no name of a package"),
        (".", "no name of a package"),
        ("", "no name of a package"),
        ("node_modules", "no name of a package"),
        (".bin/x", "no name of a package"),
        ("fs", "modules of Node.js are not here"),
        ("node:fs", "modules of Node.js are not here"),
        ("npm:lodash", "a URL"),
        ("https://example.com/x.js", "a URL"),
        ("#x", "there is none"),
    ] {
        let error = import(specifier, &files).unwrap_err();
        assert!(error.contains(words), "{specifier}: {error}");
        assert!(
            error.contains("main.js") || error.contains("import of"),
            "{error}"
        );
    }
}

#[test]
fn packages_leave_out_what_bundlers_add() {
    let files = [
        ("node_modules/p/index.js", "export { x } from './lib';"),
        ("node_modules/p/lib/index.js", "export { x } from '../a.b';"),
        ("node_modules/p/a.b.mjs", X),
        ("node_modules/p/a.js", WRONG),
    ];
    for specifier in ["p", "p/lib", "p/a.b"] {
        assert_eq!(import(specifier, &files).as_deref(), Ok("right"));
    }
}

#[test]
fn packages_find_their_own_packages_and_themselves() {
    let files = [
        (
            "node_modules/p/package.json",
            "{\"name\": \"p\", \"type\": \"module\", \"exports\": {\".\": \"./a.js\", \"./b\": \"./b.js\"}, \"imports\": {\"#c\": \"./c.js\", \"#q\": \"q\"}}",
        ),
        ("node_modules/p/a.js", "export { x } from 'p/b';"),
        (
            "node_modules/p/b.js",
            "import '#c'; export { x } from '#q';",
        ),
        ("node_modules/p/c.js", ""),
        ("node_modules/p/node_modules/q/index.js", X),
        ("node_modules/q/index.js", WRONG),
    ];
    assert_eq!(import("p", &files).as_deref(), Ok("right"));
    let own = [
        (
            "package.json",
            "{\"imports\": {\"#lib/*\": \"./lib/*.js\"}}",
        ),
        ("lib/x.js", X),
    ];
    assert_eq!(import("#lib/x", &own).as_deref(), Ok("right"));
    assert!(import("#other", &own).unwrap_err().contains("no such name"));
}

#[test]
fn links_between_packages_are_followed_and_none_leads_out() {
    let dir = place(&[
        (
            "main.js",
            "import { x } from 'p'; madrpc.register(x, () => 1);",
        ),
        (
            "node_modules/.pnpm/p@1/node_modules/p/index.js",
            "export { x } from 'q';",
        ),
        ("node_modules/.pnpm/q@1/node_modules/q/index.js", X),
    ]);
    let modules = dir.path().join("inside/node_modules");
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, modules.join(at)).unwrap();
    link(".pnpm/p@1/node_modules/p", "p");
    link("../../q@1/node_modules/q", ".pnpm/p@1/node_modules/q");
    assert_eq!(load(&dir).as_deref(), Ok("right"));

    std::fs::remove_file(modules.join("p")).unwrap();
    link("../../outside", "p");
    let error = load(&dir).unwrap_err();
    assert!(
        error.contains("it leads out of the script's directory DIR/inside"),
        "{error}"
    );

    // A package.json is no way out either.
    std::fs::remove_file(modules.join("p")).unwrap();
    std::fs::create_dir(modules.join("p")).unwrap();
    std::fs::write(dir.path().join("secret.json"), "{\"main\": \"a.js\"}").unwrap();
    link("../../../secret.json", "p/package.json");
    let error = load(&dir).unwrap_err();
    assert!(error.contains("package.json: it leads out"), "{error}");
    std::fs::write(dir.path().join("inside/node_modules/p/index.js"), "").unwrap();
    std::fs::remove_file(modules.join("p/index.js")).unwrap();
    link("../../../outside/index.js", "p/index.js");
    std::fs::remove_file(modules.join("p/package.json")).unwrap();
    let error = load(&dir).unwrap_err();
    assert!(error.contains("it leads out"), "{error}");
}

#[test]
fn a_package_above_the_script_is_not_found() {
    let dir = place(&[("main.js", "import 'p';")]);
    let above = dir.path().join("node_modules/p");
    std::fs::create_dir_all(&above).unwrap();
    std::fs::write(above.join("index.js"), "").unwrap();
    let error = load(&dir).unwrap_err();
    assert!(
        error.contains("there is no package p in DIR/inside/node_modules"),
        "{error}"
    );
}

#[test]
fn a_bad_package_json_is_told() {
    let deep = "[".repeat(100_000);
    let huge = format!("{{\"a\": \"{}\"}}", "a".repeat(1 << 20));
    for (manifest, words) in [
        ("", "package.json: it is no JSON"),
        ("{\n a", "package.json: it is no JSON"),
        (&deep, "package.json: it is no JSON"),
        (&huge, "package.json: it has more than 1048576 bytes"),
        ("7", "names no file"),
        ("{\"exports\": 7}", "a target that is no text"),
        ("{\"exports\": \"../out.js\"}", "no path in the package"),
        (
            "{\"exports\": \"./../../../outside/index.js\"}",
            "no plain path",
        ),
        ("{\"exports\": \"p\"}", "no path in the package"),
        ("{\"main\": \"../../../outside/index.js\"}", "names no file"),
        ("{\"main\": \"/etc/hostname\"}", "names no file"),
        (
            "{\"exports\": {\".\": {\"require\": \"./a.cjs\"}}}",
            "does not export \".\" for `import`",
        ),
    ] {
        let error = import(
            "p",
            &[
                ("node_modules/p/package.json", manifest),
                ("node_modules/p/x.js", X),
            ],
        );
        let error = error.unwrap_err();
        assert!(
            error.contains(words),
            "{}: {error}",
            &manifest[..manifest.len().min(40)]
        );
    }
    // Of a directory, no text can be had.
    let dir = place(&[
        ("main.js", "import 'p';"),
        ("node_modules/p/package.json/x", ""),
    ]);
    assert!(load(&dir).unwrap_err().contains("it is no file"));
}

#[test]
fn a_commonjs_package_is_refused_with_the_way_out() {
    for (manifest, name, text) in [
        ("{}", "index.js", "exports.x = 1;"),
        ("{\"main\": \"a.cjs\"}", "a.cjs", X),
        (
            "{\"exports\": {\".\": \"./a.js\"}}",
            "a.js",
            "const q = require('q'); module.exports = { x: 1 };",
        ),
    ] {
        let path = format!("node_modules/p/{name}");
        let error = import(
            "p",
            &[("node_modules/p/package.json", manifest), (&path, text)],
        )
        .unwrap_err();
        let words = "npx esbuild main.js --bundle --format=esm --outfile=bundle.js";
        assert!(
            error.contains("CommonJS") && error.contains(words),
            "{error}"
        );
    }
}

#[test]
fn what_led_to_a_module_is_among_the_files_of_a_script() {
    let dir = place(&[
        (
            "main.js",
            "import { x } from 'p'; madrpc.register(x, () => 1);",
        ),
        ("node_modules/p/package.json", "{\"exports\": \"./a.ts\"}"),
        ("node_modules/p/a.ts", "export const x: string = 'x';"),
    ]);
    let script = Script::read(&dir.path().join("inside/main.js")).unwrap();
    script.functions().unwrap();
    let inside = dir.path().join("inside").canonicalize().unwrap();
    let mut files = script.files();
    files.sort();
    let names: Vec<_> = files
        .iter()
        .map(|(path, _)| path.strip_prefix(&inside).unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "main.js",
            "node_modules/p/a.ts",
            "node_modules/p/package.json"
        ]
        .map(Path::new)
    );
    // As they are on the disk: a watch compares.
    for (path, text) in &files {
        assert_eq!(std::fs::read_to_string(path).unwrap(), **text);
    }
    let digest = script.digest();
    std::fs::write(
        inside.join("node_modules/p/package.json"),
        "{\"exports\": \"./a.ts\" }",
    )
    .unwrap();
    let script = Script::read(&dir.path().join("inside/main.js")).unwrap();
    script.functions().unwrap();
    assert_ne!(script.digest(), digest);
}
