//! The command `madrpc` as its users run it: real processes, signals, exit codes, and what is printed where.
//!
//! Setup: each test has a TLS directory of its own, in which the first process creates the authority.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use nix::sys::signal::Signal;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::process::{Home, Served, free_port, refused, stderr, stdout};

#[test]
fn two_nodes_and_an_orchestrator_share_the_calls_and_survive_a_killed_node() {
    let home = Home::new();
    let ports = [free_port(), free_port(), free_port()];
    let mut nodes = [home.node(ports[0]), home.node(ports[1])];
    let front = format!("127.0.0.1:{}", ports[2]);
    let targets = [0, 1].map(|index| format!("0.0.0.0:{}", ports[index]));
    let _orchestrator = home.serve(&[
        "orchestrator",
        "-b",
        &front,
        "-n",
        &targets[0],
        "-n",
        &targets[1],
    ]);
    let calls = |count: usize| {
        let mut answered = Vec::new();
        for _ in 0..count {
            let output = home.call(&[&front, "add", "[1, 2]", "-v"]);
            assert_eq!(stdout(&output), "3\n", "{}", stderr(&output));
            answered.push(stderr(&output));
        }
        answered.join("")
    };
    let who = calls(16);
    for port in &ports[..2] {
        assert!(
            who.contains(&format!(":{port}")),
            "nothing from {port} in: {who}"
        );
    }
    nodes[0].child.kill().unwrap();
    nodes[0].child.wait().unwrap();
    // Until the orchestrator has noticed, a call may still be sent there.
    let lost = format!(
        "{{\"node\":\"127.0.0.1:{}\",\"connected_shards\":0}}",
        ports[0]
    );
    let end = Instant::now() + Duration::from_secs(10);
    while !stdout(&home.run(&["top", &front, "--once", "--json"]))
        .replace(char::is_whitespace, "")
        .contains(&lost)
    {
        assert!(
            Instant::now() < end,
            "the orchestrator does not notice that a node is gone"
        );
    }
    let who = calls(8);
    assert!(!who.contains(&format!(":{}", ports[0])), "{who}");
}

#[test]
fn callers_of_a_node_that_was_killed_and_is_back_learn_that_their_calls_are_lost() {
    let home = Home::new();
    let port = free_port();
    let mut first = home.node(port);
    let address = format!("127.0.0.1:{port}");
    let call = home
        .command(&["call", &address, "spin", "--timeout", "25s"])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Its session, and that of `top` itself.
    let end = Instant::now() + Duration::from_secs(10);
    let top = |address: &str| stdout(&home.run(&["top", address, "--once", "--json"]));
    while !top(&address).contains("\"sessions\":2") {
        assert!(Instant::now() < end, "the caller does not reach the node");
    }
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    let _second = home.node(port);
    let restarted = Instant::now();
    let output = call.wait_with_output().unwrap();
    // Its client asks once a second whether anybody is there; the session itself would last for thirty.
    assert!(restarted.elapsed() < Duration::from_secs(15));
    refused(&output, 6, &["Unavailable", "started anew"]);
    assert!(top(&address).contains("\"resets\":1"), "{}", top(&address));
}

#[test]
fn exit_codes_tell_what_became_of_a_call() {
    let home = Home::new();
    let port = free_port();
    let _node = home.node(port);
    let address = format!("127.0.0.1:{port}");
    let ok = home.call(&[&address, "echo", r#"{"z": [1, 2.5, null], "a": "ü"}"#]);
    assert_eq!(stdout(&ok), "{\"z\":[1,2.5,null],\"a\":\"ü\"}\n");
    assert_eq!(ok.status.code(), Some(0));
    assert_eq!(stderr(&ok), "");
    let threw = home.call(&[&address, "fail"]);
    assert_eq!(threw.status.code(), Some(3));
    let said = stderr(&threw);
    assert!(
        said.contains("TypeError: no good") && said.contains("script.js:4:"),
        "{said}"
    );
    refused(
        &home.call(&[&address, "missing"]),
        4,
        &["NoSuchFunction", "`missing`", "echo"],
    );
    refused(
        &home.call(&[&address, "spin", "--timeout", "200ms"]),
        5,
        &["DeadlineExceeded"],
    );
    let bad = home.call(&[&address, "echo", "{\"a\": 1,}"]);
    refused(&bad, 2, &["JSON", "line 1", "column"]);
    let closed = format!("127.0.0.1:{}", free_port());
    let begun = Instant::now();
    refused(&home.call(&[&closed, "echo"]), 6, &["Unavailable", &closed]);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "a closed port is known at once"
    );
    refused(
        &home.call(&["no-such-host.invalid:1", "echo"]),
        6,
        &["no-such-host.invalid:1", "resolved"],
    );
}

#[test]
fn another_users_authority_is_refused_on_both_sides_in_words() {
    let home = Home::new();
    let port = free_port();
    let mut node = home.node(port);
    let address = format!("127.0.0.1:{port}");
    let output = home
        .command(&["call", &address, "echo"])
        .env("MADRPC_TLS_DIR", home.path("another"))
        .output()
        .unwrap();
    refused(&output, 6, &["Unauthorized", "authority"]);
    node.wait_for("refused");
    assert_eq!(home.call(&[&address, "echo", "1"]).status.code(), Some(0));
}

#[test]
fn a_used_port_is_refused_and_the_first_owner_goes_on() {
    let home = Home::new();
    let port = free_port();
    let _node = home.node(port);
    let address = format!("127.0.0.1:{port}");
    let second = home.run(&["node", "-s", "script.js", "-b", &address]);
    refused(&second, 78, &["in use", &address]);
    let wildcard = home.run(&["node", "-s", "script.js", "-b", &format!("0.0.0.0:{port}")]);
    refused(&wildcard, 78, &["in use"]);
    assert_eq!(home.call(&[&address, "echo", "1"]).status.code(), Some(0));
}

#[test]
fn a_script_that_does_not_load_stops_the_start_and_says_where() {
    let home = Home::new();
    let start = |script: &str| home.run(&["node", "-s", script, "-b", "127.0.0.1:0"]);
    home.write("syntax.js", "madrpc.register('a', () => 1);\nlet = ;\n");
    let said = stderr(&start("syntax.js"));
    assert!(
        said.contains("SyntaxError") && said.contains("syntax.js:2:"),
        "{said}"
    );
    home.write(
        "throws.js",
        "const load = () => {\n  throw new Error('not today');\n};\nload();\n",
    );
    let output = start("throws.js");
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(78));
    assert!(
        said.contains("not today") && said.contains("throws.js:2:"),
        "{said}"
    );
    assert!(
        said.contains("throws.js:4:"),
        "the JavaScript stack is missing: {said}"
    );
    home.write("empty.js", "1 + 1;\n");
    refused(
        &start("empty.js"),
        78,
        &["empty.js", "registers no function"],
    );
    refused(&start("missing.js"), 78, &["missing.js", "cannot be read"]);
}

#[test]
fn settings_that_make_no_sense_are_one_line() {
    let home = Home::new();
    let node = |more: &[&str]| {
        home.run(&[&["node", "-s", "script.js", "-b", "127.0.0.1:0"], more].concat())
    };
    refused(&node(&["--cpus", "4000"]), 78, &["core 4000"]);
    refused(&node(&["--shards", "4000"]), 78, &["4000 shards"]);
    refused(
        &node(&[
            "--tls-ca",
            "ca.pem",
            "--tls-cert",
            "c.pem",
            "--tls-key",
            "k.pem",
        ]),
        78,
        &["ca.pem"],
    );
    refused(
        &node(&["--tls-ca", "ca.pem", "--tls-key", "k.pem"]),
        2,
        &["--tls-cert", "belong together"],
    );
}

/// A node under a limit of the shell's (`ulimit`).
fn limited_node(home: &Home, limit: &str, more: &str) -> Command {
    let binary = env!("CARGO_BIN_EXE_madrpc");
    let line = format!("ulimit {limit} && exec {binary} node -s script.js -b 127.0.0.1:0 {more}");
    let mut command = Command::new("sh");
    command
        .args(["-c", &line])
        .current_dir(home.dir.path())
        .env("MADRPC_TLS_DIR", home.path("tls"));
    command
}

#[test]
fn too_little_locked_memory_is_said_with_its_remedy() {
    let output = limited_node(&Home::new(), "-l 64", "").output().unwrap();
    refused(&output, 78, &["locked memory", "64 KiB", "ulimit -l"]);
}

#[test]
fn too_little_address_space_for_a_lane_is_said() {
    let home = Home::new();
    let output = limited_node(&home, "-v 400000", "--pool-size 16").output();
    refused(&output.unwrap(), 1, &["no memory for a lane"]);
}

#[test]
fn too_few_open_files_are_said_with_their_remedy() {
    let home = Home::new();
    // The certificates are there before, so that it is the shards that need them.
    assert_eq!(
        home.run(&["call", "127.0.0.1:1", "f"]).status.code(),
        Some(6)
    );
    for files in [8, 12, 16, 20, 24] {
        let output = limited_node(&home, &format!("-n {files}"), "").output();
        let words = ["open files", &files.to_string(), "ulimit -n"];
        refused(&output.unwrap(), 78, &words);
    }
    Served::start(&mut limited_node(&home, "-Sn 20", "")).wait_for("ready");
}

#[test]
fn sigterm_lets_a_running_call_end() {
    let home = Home::new();
    let port = free_port();
    let mut node = home.node(port);
    let address = format!("127.0.0.1:{port}");
    let working = home
        .command(&["call", &address, "work", "1000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(400));
    node.signal(Signal::SIGTERM);
    let output = working.wait_with_output().unwrap();
    assert_eq!(stdout(&output), "\"done\"\n");
    assert_eq!(node.end().code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let home = Home::new();
    let port = free_port();
    let mut node = home.node(port);
    let address = format!("127.0.0.1:{port}");
    let mut spinning = home.command(&["call", &address, "spin"]).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(400));
    node.signal(Signal::SIGINT);
    std::thread::sleep(Duration::from_millis(400));
    assert!(
        node.child.try_wait().unwrap().is_none(),
        "it did not wait for the call"
    );
    let begun = Instant::now();
    node.signal(Signal::SIGINT);
    assert_ne!(node.end().code(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(2));
    spinning.kill().unwrap();
    spinning.wait().unwrap();
}

#[test]
fn top_prints_one_document_for_programs() {
    let home = Home::new();
    let port = free_port();
    let _node = home.node(port);
    let address = format!("127.0.0.1:{port}");
    for _ in 0..3 {
        home.call(&[&address, "add", "[1, 2]"]);
    }
    home.call(&[&address, "fail"]);
    let output = home.run(&["top", &address, "--once", "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = document.to_string();
    assert!(
        text.contains("\"add\"") && text.contains("\"fail\"") && text.contains("p99"),
        "{text}"
    );
    let screen = home.run(&["top", &address]);
    assert_eq!(
        screen.status.code(),
        Some(2),
        "without a terminal there is no screen: {}",
        stderr(&screen)
    );
}

#[test]
fn dev_runs_a_cluster_and_prints_a_line_to_try() {
    let home = Home::new();
    let mut dev = Served::start(&mut home.command(&["dev", "script.js", "--nodes", "2"]));
    dev.wait_for("madrpc call 127.0.0.1:");
    let address = dev
        .seen
        .split("madrpc call ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap()
        .to_owned();
    let output = home.call(&[&address, "add", "[20, 22]"]);
    assert_eq!(stdout(&output), "42\n", "{}", stderr(&output));
    dev.signal(Signal::SIGTERM);
    assert_eq!(dev.end().code(), Some(0));
}

#[test]
fn processes_that_start_together_share_one_authority_with_private_keys() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    let ports = [free_port(), free_port(), free_port(), free_port()];
    let _nodes: Vec<_> = std::thread::scope(|scope| {
        let starting: Vec<_> = ports
            .iter()
            .map(|&port| {
                scope.spawn({
                    let home = &home;
                    move || home.node(port)
                })
            })
            .collect();
        starting
            .into_iter()
            .map(|node| node.join().unwrap())
            .collect()
    });
    for port in ports {
        let output = home.call(&[&format!("127.0.0.1:{port}"), "echo", "1"]);
        assert_eq!(stdout(&output), "1\n", "{}", stderr(&output));
    }
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&home.path("tls")), 0o700);
    assert_eq!(mode(&home.path("tls").join("ca.key")), 0o600);
}

/// Time on a core that a process has used, in hundredths of a second.
fn cpu_ticks(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The fields after the name, which may hold spaces: user and system time are the 12th and 13th.
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    let times = fields.skip(11).take(2);
    times.map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[test]
fn idle_servers_leave_their_cores_alone() {
    let home = Home::new();
    let (port, front) = (free_port(), free_port());
    let node = home.node(port);
    let (front, target) = (format!("127.0.0.1:{front}"), format!("127.0.0.1:{port}"));
    let orchestrator = home.serve(&["orchestrator", "-b", &front, "-n", &target]);
    assert_eq!(stdout(&home.call(&[&front, "add", "[1, 2]"])), "3\n");
    let ids = [node.child.id(), orchestrator.child.id()];
    let before = ids.map(cpu_ticks);
    std::thread::sleep(Duration::from_secs(3));
    for (id, before) in ids.into_iter().zip(before) {
        let used = cpu_ticks(id) - before;
        assert!(used <= 15, "{used} hundredths of a second in 3 s");
    }
}
