//! The check of layers (`.ci/layers.awk`): which arrows between modules it refuses, and what is none.
//!
//! Setup: a small crate in a directory of its own, with a declaration of its floors.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const FLOORS: &str = "# Comment\n\nc/src: low other | middle | high\n";

/// What the check says of a crate whose files are these, beside those that every crate has.
fn refused(floors: &str, files: &[(&str, &str)]) -> Vec<String> {
    let dir = tree(floors, files);
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.ci/layers.awk");
    let output = Command::new(check)
        .arg("layers.txt")
        .current_dir(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
    assert_eq!(output.status.success(), said.is_empty(), "{said}");
    said.lines()
        .map(|line| line.strip_prefix("tidy: ").unwrap().to_owned())
        .collect()
}

fn tree(floors: &str, files: &[(&str, &str)]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("layers.txt"), floors).unwrap();
    let usual = [
        (
            "main.rs",
            "mod low; mod other; mod middle; mod high;\nuse high::x;\n",
        ),
        ("low.rs", ""),
        ("other.rs", ""),
        ("middle/mod.rs", "mod part;\n"),
        ("middle/part.rs", ""),
        ("high.rs", ""),
    ];
    for (path, text) in usual.iter().chain(files) {
        let path = dir.path().join("c/src").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

/// The same of one file with this text.
fn of(path: &str, text: &str) -> Vec<String> {
    refused(FLOORS, &[(path, text)])
}

#[test]
fn arrows_that_go_down_are_right() {
    let text = "use crate::low::{a, b};\nuse crate::{low, middle::part::{self, c}};\nfn f() { crate::other::g(); }\n";
    assert_eq!(of("high.rs", text), [""; 0]);
    assert_eq!(
        of("middle/part.rs", "use super::x;\nuse crate::middle::y;\n"),
        [""; 0]
    );
}

#[test]
fn arrows_that_go_up_or_beside_are_refused_with_their_place() {
    assert_eq!(
        of("low.rs", "//! Doc.\n\nuse crate::middle::part;\n"),
        ["c/src/low.rs:3: `low` stands below `middle` and uses it"]
    );
    assert_eq!(
        of("middle/part.rs", "use crate::high::x;\n"),
        ["c/src/middle/part.rs:1: `middle` stands below `high` and uses it"]
    );
    assert_eq!(
        of("low.rs", "use crate::other::x;\n"),
        ["c/src/low.rs:1: `low` stands beside `other` and uses it"]
    );
}

#[test]
fn groups_are_read_over_lines_and_in_depth() {
    let text =
        "use crate::{\n    low::{a, b::{c, d}},\n    high::{e},\n    other as o, r#middle,\n};\n";
    let up = |module: &str| {
        format!("c/src/middle/part.rs:1: `middle` stands below `{module}` and uses it")
    };
    assert_eq!(of("middle/part.rs", text), [up("high")]);
    assert_eq!(
        of("middle/part.rs", "use crate :: { low,high } ;\n"),
        [up("high")]
    );
    assert_eq!(of("middle/part.rs", "use crate\n    ::high;\n").len(), 1);
}

#[test]
fn a_path_counts_wherever_it_stands() {
    for text in [
        "fn f(x: crate::high::X) {}\n",
        "fn f<'a>(c: char) -> bool { c == '\"' || crate::high::is('\\'') }\n",
        "macro_rules! m { () => { $crate::high::x() }; }\n",
        "impl crate::high::T for X {}\n",
        "fn f() { let s = r#\"a\"b\"#; crate::high::x(s); }\n",
        "/* a /* b */ c */ pub(crate) use crate::high;\n",
        "use super::high;\n",
        "mod tests { use super::super::high; }\n",
        "mod tests { mod more { fn f() { super::super::super::high::x() } } }\n",
    ] {
        assert_eq!(
            of("low.rs", text),
            ["c/src/low.rs:1: `low` stands below `high` and uses it"],
            "{text}"
        );
    }
    let of_part = of(
        "middle/part.rs",
        "fn f() {}\nmod tests {\n    use super::super::x;\n}\nuse super::super::high;\n",
    );
    assert_eq!(
        of_part,
        ["c/src/middle/part.rs:5: `middle` stands below `high` and uses it"]
    );
}

#[test]
fn what_is_not_code_and_where_something_may_be_seen_are_no_arrows() {
    for text in [
        "// crate::high::x\n//! use crate::high;\n/// [`crate::high`]\n",
        "/* use crate::high; /* nested */ crate::high::x\n crate::high */\n",
        "const A: &str = \"crate::high::x // \\\" crate::high \";\n",
        "const A: &str = \"over\n crate::high::x\n lines\";\n",
        "const A: &str = r##\"crate::high \"# crate::high\"##;\n",
        "#[doc = \"crate::high\"]\nstruct X;\n",
        "pub(in crate::high) fn f() {}\n",
        "use mycrate::high; use other_crate::high;\n",
        "fn f<'a>(x: &'a str, y: &'a str) { let c = 'c'; let u = '\\u{e9}'; let e = 'é'; }\n",
    ] {
        assert_eq!(of("low.rs", text), [""; 0], "{text}");
    }
}

#[test]
fn every_module_is_on_a_floor_and_the_root_is_on_none() {
    assert_eq!(
        of("new/part.rs", "use crate::high;\n"),
        ["c/src/new/part.rs: `new` is on no floor of layers.txt"]
    );
    assert_eq!(
        refused("c/src: low other | middle gone | high\n", &[]),
        ["c/src: `gone` is on a floor of layers.txt and not there"]
    );
    assert_eq!(
        refused("c/src: low other low | middle | high\n", &[]),
        ["c/src: `low` is listed twice"]
    );
    assert_eq!(
        of("high.rs", "use crate::Outcome;\n"),
        ["c/src/high.rs:1: `high` uses `Outcome` of the root, which is on no floor"]
    );
    assert_eq!(refused("", &[]), ["no crate is listed in layers.txt"]);
    assert_eq!(
        refused("d/src: low\n", &[]).len(),
        2,
        "a crate that is not there"
    );
}

#[test]
fn a_file_that_is_a_module_of_another_is_as_deep_as_that() {
    let files = [
        (
            "middle/part.rs",
            "#[path = \"part_tests.rs\"]\nmod tests;\n",
        ),
        ("middle/part_tests.rs", "use super::super::x;\n"),
    ];
    assert_eq!(refused(FLOORS, &files), [""; 0]);
    let deeper = ("middle/part_tests.rs", "use super::super::super::high;\n");
    assert_eq!(refused(FLOORS, &[files[0], deeper]).len(), 1);
}
