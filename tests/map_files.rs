//! The files of `madrpc map`: what it goes on with, what it refuses, and that it empties nothing that is not its own.
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

#[path = "support/mod.rs"]
mod support;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;
use support::eventually;
use support::map::Node;
use support::process::{refused, stderr, stdout};

/// The lines of an input may go on growing, and come by a pipe in pieces of any size.
#[test]
fn an_input_that_grows_is_gone_on_with_and_another_is_not() {
    let node = Node::start(&[]);
    let args = [
        "once",
        "-q",
        "--numbered",
        "--checkpoint",
        "state",
        "-o",
        "results",
    ];
    let results = || fs::read_to_string(node.home.path("results")).unwrap();
    let line = |number: u32, value: u32| format!("{{\"line\":{number},\"result\":{value}}}\n");
    // The last line has no end at first.
    assert!(node.map(&args, "1\n2").status.success());
    assert!(node.map(&args, "1\n2\n3\n").status.success());
    assert_eq!(results(), line(1, 1) + &line(2, 2) + &line(3, 3));
    assert!(node.map(&args, "1\n2\n3\n4").status.success());
    refused(&node.map(&args, "1\n2\n3\n45\n"), 2, &["has become longer"]);
    // A blank line at the beginning tells inputs from each other, too.
    refused(
        &node.map(&args, "\n7\n8\n9\n"),
        2,
        &["stdin begins in another way"],
    );
    for pieces in [vec!["1", "1\n", "2\n3\n"], vec!["11\n2", "\n3\n4\n"]] {
        let args = ["once", "-q", "--checkpoint", "piped", "-o", "by_pipe"];
        let mut command = node
            .home
            .command(&[&["map", &node.address], &args[..]].concat());
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        for piece in pieces {
            stdin.write_all(piece.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(200));
        }
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }
    let by_pipe = fs::read_to_string(node.home.path("by_pipe")).unwrap();
    assert_eq!(by_pipe, "11\n2\n3\n4\n");
}

#[test]
fn files_are_each_another_and_one_run_has_them_at_a_time() {
    let node = Node::start(&[]);
    node.home.write("precious", "precious\n");
    let same = |args: &[&str]| {
        let output = node.map(&[&["once", "-q"], args].concat(), "1\n");
        refused(&output, 2, &["are the same file"]);
        assert_eq!(fs::read_to_string(node.home.path("input")).unwrap(), "1\n");
    };
    same(&["-o", "a", "--errors", "a"]);
    same(&["-o", "a", "--checkpoint", "a"]);
    same(&["-o", "a.new", "--checkpoint", "a"]);
    same(&["-o", "input"]);
    same(&["--errors", "./input"]);
    same(&["-o", "results", "--checkpoint", "input"]);
    // What was no file of the run before has to be empty.
    let args = [
        "no_fifties",
        "-q",
        "--keep-going",
        "-o",
        "results",
        "--checkpoint",
        "state",
    ];
    assert!(node.map(&args, "1\n").status.success());
    let with = |errors: &'static str| [&args[..], &["--errors", errors]].concat();
    refused(
        &node.map(&with("precious"), "1\n50\n"),
        2,
        &["--errors precious: it has something in it"],
    );
    assert_eq!(
        fs::read_to_string(node.home.path("precious")).unwrap(),
        "precious\n"
    );
    assert_eq!(node.map(&with("errors"), "1\n50\n").status.code(), Some(3));
    refused(&node.map(&args, "1\n50\n"), 2, &["name it by --errors"]);
    refused(
        &node.map(&with("others"), "1\n50\n"),
        2,
        &["--errors others: it is another file"],
    );
    let errors = fs::read_to_string(node.home.path("errors")).unwrap();
    assert_eq!(errors.lines().count(), 1);
    // Another run with the same files, while the first one has them.
    let args = ["after", "-q", "-o", "slow", "--checkpoint", "of_slow"];
    node.home.write("input", "3000\n");
    let mut first = node.command(&args).spawn().unwrap();
    eventually("the first run has its file", || {
        node.home.path("of_slow").exists()
    });
    refused(
        &node.map(&args, "3000\n"),
        2,
        &["--output slow: another run writes to it"],
    );
    assert!(first.wait().unwrap().success());
    assert_eq!(
        fs::read_to_string(node.home.path("slow")).unwrap(),
        "3000\n"
    );
    refused(
        &node.map(
            &["once", "-q", "-o", "/dev/null", "--checkpoint", "none"],
            "1\n",
        ),
        2,
        &["needs a file"],
    );
}

#[test]
fn what_does_not_fit_is_refused_before_the_first_call() {
    let node = Node::start(&[]);
    let checkpoint = ["double", "-q", "--checkpoint", "state"];
    let to = |file: &'static str| [&checkpoint[..], &["-o", file]].concat();
    refused(
        &node.map(&checkpoint, "1\n"),
        2,
        &["--checkpoint needs the results in a file", ">>"],
    );
    node.home.write("results", "something");
    refused(
        &node.map(&to("results"), "1\n"),
        2,
        &["--output results: it has something in it"],
    );
    fs::remove_file(node.home.path("results")).unwrap();
    assert!(node.map(&to("results"), "1\n2\n").status.success());
    refused(
        &node.map(&to("results"), "9\n2\n"),
        2,
        &["stdin begins in another way"],
    );
    refused(
        &node.map(&to("results"), "1\n"),
        2,
        &["stdin: ", "this one is shorter"],
    );
    let other = ["once", "-q", "--checkpoint", "state", "-o", "results"];
    refused(
        &node.map(&other, "1\n2\n"),
        2,
        &["it is of calls of `double`"],
    );
    let unordered = [&to("results")[..], &["--unordered"]].concat();
    refused(
        &node.map(&unordered, "1\n2\n"),
        2,
        &["it is of calls of `double`;"],
    );
    refused(
        &node.map(&to("others"), "1\n2\n"),
        2,
        &["--output others: it is another file"],
    );
    node.home.write("state", "{}");
    refused(
        &node.map(&to("results"), "1\n2\n"),
        2,
        &["it is no checkpoint"],
    );
    assert_eq!(node.map(&["double", "-c", "0"], "").status.code(), Some(2));
    refused(
        &node.map(&["double", "-o", "/nowhere/x"], "1\n"),
        1,
        &["cannot be written"],
    );
    // More lines than before are gone on with, by the shell's redirection too.
    fs::remove_file(node.home.path("state")).unwrap();
    let appended = |input: &str| {
        node.home.write("input", input);
        let mut appending = OpenOptions::new();
        let appending = appending.append(true).create(true);
        let results = appending.open(node.home.path("appended")).unwrap();
        node.command(&checkpoint).stdout(results).status().unwrap()
    };
    assert!(appended("1\n2\n").success());
    assert!(appended("1\n2\n3\n").success());
    let results = fs::read_to_string(node.home.path("appended")).unwrap();
    assert_eq!(results, "2\n4\n6\n");
    // An empty input has no results.
    let empty = node.map(&["double", "-q"], "");
    assert!(empty.status.success());
    assert_eq!(
        (stdout(&empty), stderr(&empty)),
        (String::new(), String::new())
    );
}
