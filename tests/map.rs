//! `madrpc map`, as its user runs it: the results of a long input are complete, in order and none is there twice, whoever is killed
//! meanwhile, the command among them; what fails is told apart.
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

#[path = "support/mod.rs"]
mod support;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::Write;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use support::eventually;
use support::fleet::RealFleet;
use support::map::{Node, SCRIPT, command, doubled, numbers};
use support::process::{Served, free_port, refused, stderr, stdout};

/// Waits until the file has grown so much, or the command has ended.
fn wait_for_bytes(path: &std::path::Path, bytes: u64, child: &mut Child) {
    let until = Instant::now() + Duration::from_secs(60);
    let length = || fs::metadata(path).map_or(0, |data| data.len());
    while length() < bytes && child.try_wait().unwrap().is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A fleet of three loses a node, and the command is killed again and again.
fn is_whole_whoever_is_killed(flags: &[&str], lines: u64) -> String {
    let fleet = RealFleet::start(3);
    fleet.home.write("fleet.js", SCRIPT);
    for port in &fleet.ports {
        let node = format!("127.0.0.1:{port}");
        assert!(fleet.home.run(&["reload", &node]).status.success());
    }
    eventually("all have the function", || {
        let args = ["functions", &fleet.front, "--json"];
        let told: serde_json::Value =
            serde_json::from_slice(&fleet.home.run(&args).stdout).unwrap();
        let functions = told["functions"].as_array().unwrap().iter();
        let mut double = functions.filter(|function| function["name"] == "double");
        double.any(|function| function["nodes"].as_array().unwrap().len() == 3)
    });
    fleet.home.write("input", &numbers(lines));
    let args = [
        &[
            "double",
            "-o",
            "results",
            "--checkpoint",
            "state",
            "-c",
            "64",
        ],
        flags,
    ]
    .concat();
    let path = fleet.home.path("results");
    let mut killed = 0;
    for part in 1..=4 {
        let mut map = command(&fleet.home, &fleet.front, &args)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_for_bytes(&path, part * lines, &mut map);
        if part == 2 {
            fleet.nodes[0].signal(Signal::SIGKILL);
        }
        killed += u32::from(map.try_wait().unwrap().is_none());
        map.kill().unwrap();
        map.wait().unwrap();
    }
    assert!(killed >= 2, "killed {killed} times before it was done");
    let output = command(&fleet.home, &fleet.front, &args).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let results = fs::read_to_string(&path).unwrap();
    // Once it is done there is nothing to do.
    let output = command(&fleet.home, &fleet.front, &args).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("madrpc: 0 lines in"),
        "{}",
        stderr(&output)
    );
    assert!(fs::read_to_string(&path).unwrap() == results);
    results
}

#[test]
fn results_are_complete_and_in_order_whoever_is_killed() {
    let lines = 40_000;
    let results = is_whole_whoever_is_killed(&[], lines);
    assert!(results == doubled(lines), "{} bytes", results.len());
}

#[test]
fn without_an_order_each_result_is_there_once_whoever_is_killed() {
    let lines = 40_000;
    let results = is_whole_whoever_is_killed(&["--unordered", "--numbered"], lines);
    let mut numbers: Vec<u64> = results
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let number = line["line"].as_u64().unwrap();
            assert_eq!(line["result"], number * 2);
            number
        })
        .collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(1..=lines));
}

#[test]
fn the_first_failed_line_ends_it_and_the_results_before_are_there() {
    let node = Node::start(&[]);
    let output = node.map(&["no_fifties", "-q"], &numbers(1000));
    assert_eq!(output.status.code(), Some(3));
    let expected = "madrpc: error: line 50: JavaScript: TypeError: no 50\n";
    assert_eq!(stderr(&output), expected);
    assert_eq!(stdout(&output), numbers(49));
    let none = node.map(&["nobody", "-q"], &numbers(3));
    refused(&none, 4, &["line 1: NoSuchFunction"]);
    // Read from where it failed, once that is mended.
    let args = ["no_fifties", "-q", "-o", "results", "--checkpoint", "state"];
    let output = node.map(&args, &numbers(60));
    assert_eq!(output.status.code(), Some(3));
    assert!(stderr(&output).contains("it goes on from there"));
    node.home
        .write("script.js", "madrpc.register('no_fifties', (x) => -x);");
    assert!(node.home.run(&["reload", &node.address]).status.success());
    assert!(node.map(&args, &numbers(60)).status.success());
    let results = fs::read_to_string(node.home.path("results")).unwrap();
    let lines: Vec<i64> = results.lines().map(|line| line.parse().unwrap()).collect();
    let expected = (1..=49).chain((50..=60).map(|number: i64| -number));
    assert!(lines.into_iter().eq(expected), "{results}");
}

#[test]
fn failed_lines_are_told_apart_and_the_rest_goes_on() {
    let node = Node::start(&[]);
    let args = ["no_fifties", "--keep-going", "--errors", "errors"];
    let output = node.map(&args, &(numbers(200) + "\n{bad\n  \n\"a\u{e9}\"\n"));
    assert_eq!(output.status.code(), Some(3));
    let said = stderr(&output);
    assert!(
        said.contains("3 of 204 lines have failed, first line "),
        "{said}"
    );
    let errors = fs::read_to_string(node.home.path("errors")).unwrap();
    let mut errors: Vec<serde_json::Value> = errors
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    errors.sort_by_key(|error| error["line"].as_u64());
    let told: Vec<_> = errors
        .iter()
        .map(|error| {
            let kind = error["error"]["kind"].as_str().unwrap();
            (error["line"].as_u64().unwrap(), kind, error["args"].clone())
        })
        .collect();
    let expected = [
        (50, "JavaScript", 50.into()),
        (150, "JavaScript", 150.into()),
        (202, "BadArguments", "{bad".into()),
    ];
    assert_eq!(told, expected);
    assert_eq!(errors[0]["error"]["message"], "TypeError: no 50");
    let stack = errors[0]["error"]["stack"].as_str().unwrap();
    assert!(stack.contains("script.js:2"), "{stack}");
    assert_eq!(stdout(&output).lines().count(), 199);
    assert!(stdout(&output).ends_with("\n\"a\u{e9}\"\n"));
    // Bytes that are no text are a failed line too; without a file, failed lines are said.
    fs::write(node.home.path("input"), b"\xff\xfe\n7\r\n8").unwrap();
    let output = node
        .command(&["double", "--keep-going", "-q"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output), "14\n16\n");
    let said = stderr(&output);
    assert!(
        said.starts_with("madrpc: line 1: BadArguments: no UTF-8"),
        "{said}"
    );
}

#[test]
fn what_is_refused_is_tried_again_until_it_runs() {
    let node = Node::start(&["--queue-limit", "1", "--pool-size", "1"]);
    let output = node.map(&["spin"], &"2\n".repeat(500));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stdout(&output), "2\n".repeat(500));
    // Where nobody is there to run a call, it is given up after a while.
    let nobody = format!("127.0.0.1:{}", free_port());
    let args = ["once", "-q", "--retry-for", "1500ms"];
    let begun = Instant::now();
    let output = command(&node.home, &nobody, &args).output().unwrap();
    refused(&output, 6, &[": Unavailable: ", "no process listens there"]);
    assert!(begun.elapsed() > Duration::from_millis(1000));
}

#[test]
fn a_result_that_is_long_in_coming_holds_up_a_bounded_number_of_others() {
    let node = Node::start(&[]);
    // 400 MB of results, of which the first comes last.
    node.home
        .write("input", &format!("4000\n{}", "0\n".repeat(4000)));
    let mut map = node.command(&["long", "-q"]);
    let mut map = map.stdout(Stdio::piped()).spawn().unwrap();
    let mut results = map.stdout.take().unwrap();
    let read =
        std::thread::spawn(move || std::io::copy(&mut results, &mut std::io::sink()).unwrap());
    let status = format!("/proc/{}/status", map.id());
    let mut peak_kib = 0;
    while map.try_wait().unwrap().is_none() {
        let status = fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
        peak_kib = kib.unwrap_or(0).max(peak_kib);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(map.wait().unwrap().success());
    assert_eq!(read.join().unwrap(), 4001 * 100_003);
    assert!((50_000..300_000).contains(&peak_kib), "{peak_kib} KiB");
}

#[test]
fn results_come_as_soon_as_they_are_there_and_a_signal_ends_it_in_order() {
    let node = Node::start(&[]);
    let args = ["map", &node.address, "after"];
    let mut command = node.home.command(&args);
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut map = Served::watch(child);
    // While stdin is open.
    for ms in [1, 2] {
        writeln!(stdin, "{ms}").unwrap();
        map.wait_for(&ms.to_string());
    }
    writeln!(stdin, "300").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    kill(Pid::from_raw(map.child.id() as i32), Signal::SIGINT).unwrap();
    // What is under way still comes.
    map.wait_for("300");
    map.wait_for("ended by a signal after 3 lines");
    assert_eq!(map.end().code(), Some(1));
}

/// While nobody can run them, no more lines are held than calls may be under way.
#[test]
fn the_input_is_not_taken_in_while_servers_are_away() {
    let node = Node::start(&[]);
    let line = format!("\"{}\"\n", "x".repeat(100_000));
    node.home.write("input", &line.repeat(5000));
    let nobody = format!("127.0.0.1:{}", free_port());
    let args = ["once", "-q", "-c", "64", "--retry-for", "10s"];
    let mut map = command(&node.home, &nobody, &args)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_secs(4));
    let status = fs::read_to_string(format!("/proc/{}/status", map.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    assert!(kib.is_some_and(|kib| kib < 150_000), "{kib:?} KiB");
    map.kill().unwrap();
    map.wait().unwrap();
}

/// The function is known to be idempotent only once its node is there.
#[test]
fn what_may_have_run_is_tried_again_where_that_is_allowed() {
    for (function, code) in [("double", 0), ("once", 6)] {
        let mut fleet = RealFleet::start(1);
        fleet.home.write(
            "fleet.js",
            &SCRIPT.replace(
                "(x) => x);",
                "async (x) => { await new Promise((done) => setTimeout(done, 2)); return x; });",
            ),
        );
        let node = format!("127.0.0.1:{}", fleet.ports[0]);
        assert!(fleet.home.run(&["reload", &node]).status.success());
        fleet.home.write("input", &numbers(20_000));
        let args = [function, "-q", "-o", "results", "-c", "64"];
        let mut map = command(&fleet.home, &node, &args).spawn().unwrap();
        wait_for_bytes(&fleet.home.path("results"), 5_000, &mut map);
        fleet.nodes[0].signal(Signal::SIGKILL);
        fleet.nodes[0].end();
        fleet.restart(0);
        assert_eq!(map.wait().unwrap().code(), Some(code), "{function}");
        if code == 0 {
            let results = fs::read_to_string(fleet.home.path("results")).unwrap();
            assert!(results == doubled(20_000), "{} bytes", results.len());
        }
    }
}
