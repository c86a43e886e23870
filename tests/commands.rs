//! `madrpc check` and `madrpc functions` as their users run them: what is listed, and what is said where it fails.
//!
//! Setup: real processes, each test with a TLS directory of its own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::os::unix::process::ExitStatusExt;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};
use support::eventually;
use support::http::{get, node};
use support::process::{Home, free_port, refused, stderr, stdout};

const SCRIPT: &str = r#"
madrpc.register("second", (value) => value, { idempotent: true, timeoutMs: 1500, memoryMb: 32 });
madrpc.register("first", async () => 1, { isolate: true });
madrpc.register("plain", () => 2);
"#;

const PLAIN: &str = r#"{"idempotent":false,"isolate":false,"timeoutMs":null,"cpuMs":null,"memoryMb":null,"stackKb":null,"bodyKb":null,"queue":null,"maxConcurrent":null,"rate":null,"burst":null}"#;

/// What went well: the words on stdout, nothing on stderr.
fn told(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", stderr(output));
    assert_eq!(stderr(output), "");
    stdout(output)
}

/// A failure: its code, nothing on stdout, all these words on stderr.
fn failed(output: &Output, code: i32, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(stdout(output), "");
    for word in words {
        assert!(said.contains(word), "no `{word}` in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn check_lists_what_a_script_registers() {
    let home = Home::new();
    home.write("good.js", SCRIPT);
    let text = told(&home.run(&["check", "good.js"]));
    let expected = "\
FUNCTION  OPTIONS
second    idempotent, timeout 1s 500ms, memory 32 MiB
first     isolated
plain     -
";
    assert_eq!(text, expected);
    let json = told(&home.run(&["check", "good.js", "--json"]));
    let second = r#"{"name":"second","options":{"idempotent":true,"isolate":false,"timeoutMs":1500.0,"cpuMs":null,"memoryMb":32.0,"stackKb":null,"bodyKb":null,"queue":null,"maxConcurrent":null,"rate":null,"burst":null},"exported":false}"#;
    let first = r#"{"name":"first","options":{"idempotent":false,"isolate":true,"timeoutMs":null,"cpuMs":null,"memoryMb":null,"stackKb":null,"bodyKb":null,"queue":null,"maxConcurrent":null,"rate":null,"burst":null},"exported":false}"#;
    let plain = format!(r#"{{"name":"plain","options":{PLAIN},"exported":false}}"#);
    let expected =
        format!(r#"{{"script":"good.js","functions":[{second},{first},{plain}],"kernels":[]}}"#);
    assert_eq!(json.trim_end(), expected);
}

#[test]
fn check_says_that_timers_are_lost_which_a_script_sets_while_it_loads() {
    let home = Home::new();
    let source =
        "setInterval(() => {}, 10); setTimeout(() => {}, 0); madrpc.register('f', () => 1);";
    home.write("timers.js", source);
    let output = home.run(&["check", "timers.js"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.contains("script timers.js: 2 of its timers never fire"),
        "{said}"
    );
}

#[test]
fn check_says_where_a_script_fails() {
    let home = Home::new();
    home.write(
        "throws.js",
        "function inner() { null.x; }\nmadrpc.register('a', () => 1);\ninner();\n",
    );
    home.write("syntax.js", "madrpc.register('a', () => 1);\nlet = = 1;\n");
    home.write("nothing.js", "let a = 1;\n");
    home.write(
        "option.js",
        "\nmadrpc.register('a', () => 1, { timeout: 5 });\n",
    );
    home.write("later.js", "await null;\nthrow new RangeError('late');\n");
    let check = |name: &str| home.run(&["check", name]);
    failed(
        &check("throws.js"),
        1,
        &["throws.js:1:", "TypeError", "inner", "throws.js:3:"],
    );
    failed(&check("syntax.js"), 1, &["syntax.js:2:", "SyntaxError"]);
    failed(&check("later.js"), 1, &["later.js:2:", "RangeError: late"]);
    failed(&check("option.js"), 1, &["option.js:2:", "timeout"]);
    refused(
        &check("nothing.js"),
        1,
        &["nothing.js", "registers no function"],
    );
    refused(&check("missing.js"), 1, &["missing.js", "cannot be read"]);
    // For a program too, a failure is on stderr only.
    failed(
        &home.run(&["check", "throws.js", "--json"]),
        1,
        &["throws.js:1:"],
    );
}

#[test]
fn functions_are_listed_by_a_node_and_laid_together_by_its_orchestrator() {
    let home = Home::new();
    home.write("script.js", SCRIPT);
    let ports = [free_port(), free_port(), free_port(), free_port()];
    let address = ports.map(|port| format!("127.0.0.1:{port}"));
    let _one = home.node(ports[0]);
    home.write(
        "script.js",
        "madrpc.register('plain', () => 1);\nmadrpc.register('first', () => 1);\n",
    );
    let mut two = home.node(ports[1]);
    // Of the third nobody is there.
    let mut args = vec!["orchestrator", "-b", &address[3]];
    args.extend(address[..3].iter().flat_map(|node| ["-n", node]));
    let _orchestrator = home.serve(&args);

    let own = told(&home.run(&["functions", &address[0]]));
    let expected = format!(
        "\
FUNCTION  OPTIONS                                      NODES
first     isolated                                     {0}
plain     -                                            {0}
second    idempotent, timeout 1s 500ms, memory 32 MiB  {0}
",
        address[0]
    );
    assert_eq!(own, expected);

    let all = home.run(&["functions", &address[3], "--json"]);
    assert_eq!(all.status.code(), Some(0), "{}", stderr(&all));
    let silent = format!("node {} did not answer", address[2]);
    assert!(stderr(&all).contains(&silent), "{}", stderr(&all));
    let json = stdout(&all);
    let mut both = [&address[0], &address[1]];
    both.sort();
    let plain = format!(
        r#"{{"name":"plain","options":{PLAIN},"nodes":["{}","{}"]}}"#,
        both[0], both[1]
    );
    assert!(json.contains(&plain), "no {plain} in: {json}");
    // The same name with other options is another entry.
    assert_eq!(json.matches(r#""name":"first""#).count(), 2, "{json}");
    assert!(json.contains(r#""role":"orchestrator""#), "{json}");

    two.child.kill().unwrap();
    two.child.wait().unwrap();
    let rest = home.run(&["functions", &address[3]]);
    assert_eq!(rest.status.code(), Some(0), "{}", stderr(&rest));
    let silent = format!("node {} did not answer", address[1]);
    assert!(stderr(&rest).contains(&silent), "{}", stderr(&rest));
    assert_eq!(stdout(&rest), expected);
}

#[test]
fn functions_of_nobody_are_unavailable() {
    let home = Home::new();
    let ports = [free_port(), free_port()];
    let [front, back] = ports.map(|port| format!("127.0.0.1:{port}"));
    let _orchestrator = home.serve(&["orchestrator", "-b", &front, "-n", &back]);
    refused(
        &home.run(&["functions", &front]),
        6,
        &["Unavailable", &back],
    );
    refused(&home.run(&["functions", &back]), 6, &["Unavailable", &back]);
    refused(
        &home.call(&[&front, "madrpc.unknown"]),
        4,
        &["madrpc.functions", "madrpc.stats"],
    );
}

#[test]
fn without_slices_a_short_call_waits_for_a_long_one() {
    let home = Home::new();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let node = [
        "node",
        "-s",
        "script.js",
        "-b",
        &address,
        "--shards",
        "1",
        "--pool-size",
        "2",
    ];
    let waited = |flags: &[&str]| {
        let mut node = home.serve(&[&node[..], flags].concat());
        let mut long = home
            .command(&["call", &address, "work", "3000"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(700));
        assert_eq!(stdout(&home.call(&[&address, "add", "[1, 2]"])), "3\n");
        // Where the short one waited, both replies came at the same time, and the long one's process is about to end;
        // else the long call has more than a second to go.
        std::thread::sleep(Duration::from_millis(700));
        let waited = long.try_wait().unwrap().is_some();
        assert!(long.wait().unwrap().success());
        node.signal(Signal::SIGTERM);
        assert!(node.end().success());
        waited
    };
    assert!(
        waited(&["--no-slice"]),
        "the short call overtook the long one"
    );
    assert!(
        !waited(&["--slice", "1ms"]),
        "the short call waited for the long one"
    );
}

#[test]
fn a_call_that_is_interrupted_is_cancelled_at_once() {
    let home = Home::new();
    home.write(
        "script.js",
        "madrpc.register('ticks', function* () { for (let i = 0; ; i++) yield i; });
         madrpc.register('wait', () => new Promise((done) => setTimeout(done, 60_000)));",
    );
    let (_node, bind, http) = node(&home, &[]);
    let has = |calls: u32| {
        let metrics = get(http, "/metrics").body;
        metrics.contains(&format!("madrpc_calls_under_way {calls}\n"))
    };
    for (function, signal) in [("ticks", Signal::SIGINT), ("wait", Signal::SIGTERM)] {
        let mut call = home.command(&["call", &bind, function]);
        let mut call = call.stdout(Stdio::null()).spawn().unwrap();
        eventually("it is under way", || has(1));
        kill(Pid::from_raw(call.id() as i32), signal).unwrap();
        // As if nothing had caught it.
        assert_eq!(call.wait().unwrap().signal(), Some(signal as i32));
        let ended = Instant::now();
        eventually("it has ended", || has(0));
        // A caller who says nothing is missed after 4 s.
        assert!(ended.elapsed() < Duration::from_secs(3));
    }
}
