//! The log of a server: that it holds nobody up, and that nobody can write a line into it that is not theirs.
//!
//! Setup: real processes whose stderr is a pipe that this test reads, or does not.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use nix::sys::signal::Signal;
use std::io::{PipeReader, Read, Write, pipe};
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::eventually;
use support::process::{Home, Served, free_port, stderr, stdout};

/// A call keeps its lane for a while after it has spoken, so that the lines of all at once are not too many for one.
const SCRIPT: &str = r#"
madrpc.register("add", ([a, b]) => a + b);
madrpc.register("chat", async ({ lines, text }) => {
  for (let i = 0; i < lines; i++) console.log("chat", text);
  await new Promise((wake) => setTimeout(wake, 2000));
  return "said";
});
madrpc.register("sleep", (ms) => new Promise((wake) => setTimeout(wake, ms)));
madrpc.register("a\nmadrpc: ready: forged\u202e", () => 1);
"#;

const PIPE_BYTES: usize = 64 << 10;

/// A node that writes to a pipe which is full already.
struct Stuck {
    home: Home,
    node: Served,
    address: String,
    unread: PipeReader,
}

impl Stuck {
    fn start(flags: &[&str]) -> Self {
        let home = Home::new();
        home.write("script.js", SCRIPT);
        let (unread, mut end) = pipe().unwrap();
        end.write_all(&b".\n".repeat(PIPE_BYTES / 2)).unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let args = ["node", "-s", "script.js", "-b", &address, "--shards", "1"];
        let mut command = home.command(&[&args, flags].concat());
        let child = command.stderr(end).stdout(Stdio::null()).spawn().unwrap();
        drop(command);
        let node = Served::watch(child);
        let stuck = Self {
            home,
            node,
            address,
            unread,
        };
        eventually("the node answers", || {
            stuck.result("add", "[1, 2]") == "3\n"
        });
        stuck
    }

    fn result(&self, function: &str, argument: &str) -> String {
        let call = [&self.address, function, argument, "--timeout", "10s"];
        stdout(&self.home.call(&call))
    }
}

#[test]
fn a_log_that_nobody_reads_holds_up_no_call_and_no_end() {
    let mut stuck = Stuck::start(&["--pool-size", "2"]);
    // A script's lines are bounded in number; so many of these are more than what waits for who reads.
    let (calls, lines, said_at_once) = (50, 200, 500);
    let argument = format!("{{\"lines\": {lines}, \"text\": \"{}\"}}", "x".repeat(3000));
    let chat_at_once = |stuck: &Stuck| {
        let chat = [
            "call",
            &stuck.address,
            "chat",
            &argument,
            "--timeout",
            "20s",
        ];
        let all: Vec<_> = (0..calls)
            .map(|_| stuck.home.command(&chat))
            .map(|mut call| call.stdout(Stdio::piped()).spawn().unwrap())
            .collect();
        for call in all {
            assert_eq!(stdout(&call.wait_with_output().unwrap()), "\"said\"\n");
        }
    };
    chat_at_once(&stuck);
    // Certificates and script are read anew, and all that is said about it waits too.
    stuck.node.signal(Signal::SIGHUP);
    assert_eq!(stuck.result("add", "[1, 2]"), "3\n");

    // Somebody begins to read: what fitted is there, line by line, and of the rest there is the number.
    let mut text = Vec::new();
    let mut buffer = vec![0; PIPE_BYTES];
    let told = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        let lines = text.lines().filter(|line| line.starts_with("madrpc: "));
        let mut counts = lines.filter_map(|line| {
            line.strip_suffix(" lines were dropped here: stderr was not read fast enough")
        });
        counts
            .next()
            .map(|line| line["madrpc: ".len()..].parse::<usize>().unwrap())
    };
    let dropped = loop {
        let length = stuck.unread.read(&mut buffer).unwrap();
        assert!(length > 0, "the log has ended");
        text.extend_from_slice(&buffer[..length]);
        if let Some(dropped) = told(&text) {
            break dropped;
        }
    };
    let text = String::from_utf8(text).unwrap();
    assert!(
        text.contains("madrpc: ready: node"),
        "{}",
        &text[text.len() - 1000..]
    );
    let chat = text
        .lines()
        .filter(|line| line.contains("chat xxx"))
        .count();
    assert!(chat > 100, "{chat} lines");
    let all = calls * lines;
    // Beside them there are a few lines of the node's own.
    assert!(
        (said_at_once..all + 20).contains(&(chat + dropped)),
        "{chat} and {dropped} of {all}"
    );
    let whole =
        |line: &str| line.starts_with('.') || line.starts_with("madrpc: ") || line.contains("Z ");
    assert!(text.lines().all(whole));

    // And nobody reads on.
    chat_at_once(&stuck);
    let begun = Instant::now();
    stuck.node.signal(Signal::SIGTERM);
    assert_eq!(stuck.node.end().code(), Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_call_under_way_has_its_time_and_a_second_signal_works_though_nobody_reads() {
    let mut stuck = Stuck::start(&["--drain-timeout", "1s"]);
    let sleep = |ms: &str| {
        let call = ["call", &stuck.address, "sleep", ms];
        let mut command = stuck.home.command(&call);
        let call = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        std::thread::sleep(Duration::from_millis(500));
        call.unwrap()
    };
    let mut call = sleep("60000");
    let begun = Instant::now();
    stuck.node.signal(Signal::SIGTERM);
    assert_eq!(stuck.node.end().code(), Some(0));
    let took = begun.elapsed();
    assert!(
        (Duration::from_secs(1)..Duration::from_secs(6)).contains(&took),
        "{took:?}"
    );
    call.wait().unwrap();

    let mut stuck = Stuck::start(&["--drain-timeout", "60s"]);
    let call = ["call", &stuck.address, "sleep", "60000"];
    let mut call = Served::start(&mut stuck.home.command(&call));
    std::thread::sleep(Duration::from_millis(500));
    stuck.node.signal(Signal::SIGTERM);
    std::thread::sleep(Duration::from_millis(500));
    assert!(stuck.node.child.try_wait().unwrap().is_none());
    stuck.node.signal(Signal::SIGTERM);
    let begun = Instant::now();
    assert_eq!(stuck.node.end().code(), Some(143));
    assert!(begun.elapsed() < Duration::from_secs(5));
    call.end();
}

#[test]
fn a_log_whose_reader_has_gone_holds_up_nobody() {
    let Stuck {
        mut node,
        home,
        address,
        unread,
    } = Stuck::start(&[]);
    drop(unread);
    let argument = r#"{"lines": 100, "text": "is anybody there"}"#;
    let said = home.call(&[&address, "chat", argument]);
    assert_eq!(stdout(&said), "\"said\"\n", "{}", stderr(&said));
    node.signal(Signal::SIGTERM);
    assert_eq!(node.end().code(), Some(0));
}

#[test]
fn nobody_can_write_a_line_that_is_not_theirs() {
    let home = Home::new();
    home.write("script.js", SCRIPT);
    let port = free_port();
    let mut node = home.node(port);
    let address = format!("127.0.0.1:{port}");
    let name = r"a\nmadrpc: ready: forged\u{202e}";
    assert!(node.seen.contains(name), "{}", node.seen);
    let text = r#"{"lines": 1, "text": "1\r\n2026-01-01T00:00:00.000000Z  INFO script: forged\u001b[2J\u2028\u2029end"}"#;
    assert_eq!(home.call(&[&address, "chat", text]).status.code(), Some(0));
    node.wait_for(
        r"1\r\n2026-01-01T00:00:00.000000Z  INFO script: forged\u{1b}[2J\u{2028}\u{2029}end",
    );
    for line in node.seen.lines() {
        let is_ours = line.starts_with("madrpc: ") || line.contains("  INFO ");
        assert!(is_ours && !line.contains(char::is_control), "{line:?}");
        assert!(!line.starts_with("madrpc: ready: forged"), "{line:?}");
        assert!(!line.starts_with("2026-01-01T00:00:00.000000Z"), "{line:?}");
    }
    // What the names do to a table or a message is no other.
    let table = stdout(&home.run(&["functions", &address]));
    assert!(table.contains(name), "{table}");
    let missing = home.call(&[&address, "\u{1b}[2J\n"]);
    assert!(
        stderr(&missing).contains(r"`\u{1b}[2J\n`"),
        "{}",
        stderr(&missing)
    );
    assert_eq!(stderr(&missing).lines().count(), 1);
}

#[test]
fn strangers_cannot_fill_the_log() {
    let home = Home::new();
    let port = free_port();
    let mut node = home.node(port);
    node.seen.clear();
    // Initials of a known version whose contents cannot be decrypted: each makes a connection that comes to nothing.
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(("127.0.0.1", port)).unwrap();
    for number in 0..2000u32 {
        let mut initial = vec![0xc3, 0, 0, 0, 1, 16];
        initial.extend([number.to_be_bytes(); 4].concat());
        initial.extend([0, 0, 0x44, 0xb0]);
        initial.resize(1220, 0x5a);
        // Those that find no room in the socket are lost, as they would be anywhere.
        let _ = socket.send(&initial);
    }
    let address = format!("127.0.0.1:{port}");
    eventually("it serves", || {
        home.call(&[&address, "add", "[1, 2]"]).status.success()
    });
    node.signal(Signal::SIGTERM);
    node.wait_for("all calls have ended");
    let lines = node.seen.lines().count();
    assert!(lines < 30, "{lines} lines:\n{}", node.seen);
}
