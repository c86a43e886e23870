//! Another script in the place of the one that runs, and a core that a script holds.
//!
//! Setup: real processes with real signals, each node in a directory of its own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::call::ErrorKind;
use madrpc_core::identity::{Authority, Role};
use madrpc_shard::client::{Client, ClientConfig};
use nix::sys::signal::Signal;
use std::process::Output;
use std::time::{Duration, Instant};
use support::process::{Home, Served, free_port, stderr, stdout};

/// A script whose functions say which edition of it they are of.
fn edition(number: u32) -> String {
    format!(
        r#"
import {{ word }} from "./word.js";
madrpc.register("edition", () => {number});
madrpc.register("word", () => word);
madrpc.register("work", (ms) => {{ const end = Date.now() + ms; while (Date.now() < end) {{}} return {number}; }});
madrpc.register("sleep", async (ms) => {{ await new Promise((wake) => setTimeout(wake, ms)); return {number}; }});
madrpc.register("only{number}", () => {number});
"#
    )
}

/// Makes a node load its script anew, and waits for what it says.
fn reload(served: &mut Served, told: &str) {
    served.seen.clear();
    served.signal(Signal::SIGHUP);
    served.wait_for(told);
}

struct Node {
    home: Home,
    served: Served,
    address: String,
}

impl Node {
    fn start(flags: &[&str]) -> Self {
        let home = Home::new();
        home.write("script.js", &edition(1));
        home.write("word.js", "export const word = 'one';");
        let address = format!("127.0.0.1:{}", free_port());
        let start = ["node", "-s", "script.js", "-b", &address];
        let served = home.serve(&[&start, flags].concat());
        Self {
            home,
            served,
            address,
        }
    }

    fn call(&self, function: &str, json: &str) -> Output {
        self.home.call(&[&self.address, function, json])
    }

    fn result(&self, function: &str) -> String {
        let output = self.call(function, "null");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stdout(&output).trim().to_owned()
    }

    /// Waits until a call gives this.
    fn becomes(&self, function: &str, result: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.result(function) != result {
            assert!(Instant::now() < end, "{function} never gives {result}");
        }
    }
}

#[test]
fn calls_end_on_the_script_they_began_with_and_later_ones_run_the_new_one() {
    // Lanes for all on whichever shard: none of them waits for one.
    let mut node = Node::start(&["--shards", "2", "--pool-size", "8"]);
    std::thread::scope(|scope| {
        let (address, home) = (node.address.clone(), &node.home);
        let (work, sleep) = (["work", "2500"], ["sleep", "2500"]);
        let calls = [work, work, sleep, sleep].map(|[function, ms]| {
            let address = address.clone();
            scope.spawn(move || stdout(&home.call(&[&address, function, ms])))
        });
        std::thread::sleep(Duration::from_millis(500));
        home.write("script.js", &edition(2));
        node.served.signal(Signal::SIGHUP);
        node.served.wait_for("reloaded: functions: edition, word");
        let now = stdout(&node.home.call(&[&node.address, "edition"]));
        assert_eq!(now, "2\n");
        assert!(
            calls.iter().any(|call| !call.is_finished()),
            "the calls were to be still under way"
        );
        for call in calls {
            assert_eq!(call.join().unwrap(), "1\n", "it began before the reload");
        }
    });
    // On whichever shard and in whichever lane.
    for _ in 0..16 {
        assert_eq!(node.result("edition"), "2");
    }
    assert_eq!(node.result("only2"), "2");
    let gone = node.call("only1", "null");
    assert_eq!(gone.status.code(), Some(4), "{}", stderr(&gone));
    let listed = stdout(&node.home.run(&["functions", &node.address]));
    assert!(
        listed.contains("only2") && !listed.contains("only1"),
        "{listed}"
    );
}

#[test]
fn calls_that_wait_for_a_lane_run_as_the_new_script_has_them() {
    // Memory for fewer lanes than there are calls; of one caller: another has lanes of his own.
    let flags = ["--shards", "1", "--pool-size", "1", "--memory-max", "128M"];
    let mut node = Node::start(&flags);
    let authority = Authority::load_or_create(&node.home.path("tls")).unwrap();
    let identity = authority.issue(Role::Client).unwrap();
    let client = Client::new(&ClientConfig::with_identity(&node.address, identity)).unwrap();
    std::thread::scope(|scope| {
        let (client, home) = (&client, &node.home);
        let call = |function: &'static str, ms: i64| {
            scope.spawn(move || client.call_blocking::<_, i64>(function, &ms))
        };
        let first = call("work", 5500);
        // Its thread shall be the first to come.
        std::thread::sleep(Duration::from_millis(200));
        let mut others: Vec<_> = (0..180).map(|_| call("work", 5500)).collect();
        std::thread::sleep(Duration::from_millis(1500));
        let (waits, goes) = (call("edition", 0), call("only1", 0));
        std::thread::sleep(Duration::from_millis(300));
        home.write("script.js", &edition(2));
        reload(&mut node.served, "reloaded");
        assert!(!first.is_finished(), "the calls were to wait for it");
        assert_eq!(first.join().unwrap(), Ok(1));
        assert_eq!(waits.join().unwrap(), Ok(2));
        let gone = goes.join().unwrap().unwrap_err();
        assert_eq!(gone.kind, ErrorKind::NoSuchFunction, "{gone}");
        let editions = others.drain(..).map(|call| call.join().unwrap().unwrap());
        let editions: Vec<_> = editions.collect();
        assert!(
            editions.contains(&1) && editions.contains(&2),
            "{editions:?}"
        );
    });
}

#[test]
fn a_script_that_fails_changes_nothing_and_is_reported() {
    let mut node = Node::start(&["--shards", "2"]);
    let broken = [
        ("let = ;", "SyntaxError"),
        ("throw new RangeError('too far');", "RangeError: too far"),
        ("let x = 1;", "registers no function"),
        ("import './missing.js';", "missing.js"),
    ];
    for (script, words) in broken {
        node.home.write("script.js", script);
        reload(&mut node.served, "not reloaded");
        let said = &node.served.seen;
        assert!(
            said.contains(words) && said.contains("script.js"),
            "no {words} in: {said}"
        );
        assert_eq!(node.result("edition"), "1");
        assert_eq!(node.result("only1"), "1");
    }
    std::fs::remove_file(node.home.path("script.js")).unwrap();
    reload(&mut node.served, "not reloaded");
    assert_eq!(node.result("edition"), "1");
    node.home.write("script.js", &edition(3));
    reload(&mut node.served, "reloaded: functions");
    assert_eq!(node.result("edition"), "3");
}

#[test]
fn saving_is_enough_where_the_script_is_watched() {
    let node = Node::start(&["--shards", "1", "--watch"]);
    node.home.write("script.js", &edition(2));
    node.becomes("edition", "2");
    // A module that it imports.
    node.home.write("word.js", "export const word = 'another';");
    node.becomes("word", "\"another\"");
    // As editors save: a new file takes the name of the old one.
    let new = node.home.write("new", &edition(3));
    std::fs::rename(new, node.home.path("script.js")).unwrap();
    node.becomes("edition", "3");
    // A failure, and what mends it, in a module that nobody has imported so far.
    let later = "import './later.js';\n".to_owned() + &edition(4);
    node.home.write("script.js", &later);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(node.result("edition"), "3");
    node.home.write("later.js", "1;");
    node.becomes("edition", "4");
}

#[test]
fn a_cluster_for_development_follows_its_script() {
    let home = Home::new();
    let mut dev = home.serve(&["dev", "script.js", "--memory-limit", "16M"]);
    dev.wait_for("try: madrpc call");
    let address = dev.seen.split("ready: orchestrator ").nth(1).unwrap();
    let address = address.split(';').next().unwrap().to_owned();
    home.write(
        "script.js",
        r#"
madrpc.register("where", () => madrpc.node);
madrpc.register("elsewhere", async () => [...new Set(await madrpc.map("where", new Array(8).fill(0)))].length);
madrpc.register("hoard", () => { const all = []; for (;;) all.push(new Array(1000).fill(1)); });
"#,
    );
    dev.wait_for("reloaded: functions: where, elsewhere, hoard");
    // Calls of calls go through the orchestrator, to both nodes.
    assert_eq!(stdout(&home.call(&[&address, "elsewhere"])), "2\n");
    let hoard = stderr(&home.call(&[&address, "hoard"]));
    assert!(hoard.contains("16 MiB"), "{hoard}");
}

#[test]
fn a_core_that_a_built_in_holds_is_reported_with_the_function_and_counted() {
    let home = Home::new();
    home.write(
        "script.js",
        r#"
const hay = "a".repeat(1 << 17), needle = "a".repeat((1 << 16) - 1) + "b";
madrpc.register("search", () => { let at; const end = Date.now() + 1500; do at = hay.indexOf(needle); while (Date.now() < end); return at; });
madrpc.register("spin", (ms) => { const end = Date.now() + ms; while (Date.now() < end) {} return 1; });
"#,
    );
    let mut node = home.serve(&[
        "node",
        "-s",
        "script.js",
        "-b",
        "127.0.0.1:0",
        "--shards",
        "1",
        "--preempt",
        "polling",
    ]);
    let address = node.seen.split("ready: node ").nth(1).unwrap();
    let address = address.split(',').next().unwrap().to_owned();
    // One that can be interrupted holds no core.
    assert_eq!(stdout(&home.call(&[&address, "spin", "1500"])), "1\n");
    assert_eq!(stdout(&home.call(&[&address, "search"])), "-1\n");
    node.wait_for("goes on");
    assert!(
        node.seen.contains("stuck: `search` has held"),
        "{}",
        node.seen
    );
    assert!(!node.seen.contains("`spin`"), "{}", node.seen);
    let top = stdout(&home.run(&["top", &address, "--once", "--json"]));
    let top = top.replace(char::is_whitespace, "");
    let stalls = top.split(r#""stalls":{"search":"#).nth(1);
    let count = stalls.and_then(|stalls| stalls.split('}').next());
    let count: u64 = count
        .unwrap_or_else(|| panic!("no stall in {top}"))
        .parse()
        .unwrap();
    assert!(count >= 1);
}
