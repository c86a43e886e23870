//! What the scenarios of another QUIC stack play on: servers, certificates, and the process of the peer.

use crate::support::process::{Home, Served, free_port, stderr, stdout};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

const SCRIPT: &str = r#"
madrpc.register("echo", (value) => value);
madrpc.register("add", ([a, b]) => a + b);
madrpc.register("what", (value) => Object.prototype.toString.call(value).slice(8, -1));
madrpc.register("fail", () => { throw new TypeError("no good"); });
madrpc.register("spin", () => { for (;;) {} });
madrpc.register("sleep", (ms) => new Promise((resolve) => setTimeout(() => resolve("slept"), ms)));
madrpc.register("bytes", (count) => new ArrayBuffer(count));
madrpc.register("late", (count) => new Promise((resolve) => setTimeout(() => resolve(new ArrayBuffer(count)), 1000)));
madrpc.register("length", (bytes) => bytes.byteLength);
madrpc.register("unfit", () => () => 1);
"#;

/// The most that a node may grow while it is attacked; the largest bodies of a scenario are 4 MiB.
const GROWTH_MAX_KIB: usize = 64 << 10;

/// How long a scenario may take; most take less than a second.
const SCENARIO_MAX: Duration = Duration::from_secs(60);

/// What a scenario says when it waits to be told to go on.
const SO_FAR: &str = "so far.";

/// The Python that has aioquic. `None` where it cannot be had, which is no excuse in CI.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = PYTHON.get_or_init(|| {
        let install = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/aioquic/install");
        let output = Command::new(install).output().unwrap();
        if output.status.success() {
            return Ok(stdout(&output).trim_end().into());
        }
        let why = stderr(&output);
        // Past the harness, which shows only what failing tests print.
        let _ = writeln!(std::io::stderr(), "skipping all that need aioquic: {why}");
        Err(why)
    });
    match made {
        Ok(python) => Some(python),
        Err(why) if std::env::var_os("CI").is_some() => panic!("no aioquic: {why}"),
        Err(_) => None,
    }
}

/// A server, its authority, and what its peer needs to speak to it.
pub(crate) struct Stage {
    python: &'static Path,
    pub(crate) home: Home,
    pub(crate) shards: &'static str,
    /// A node, or an orchestrator before one.
    pub(crate) server: Served,
    pub(crate) address: String,
    /// The most memory that the server has had before the peer came.
    before_kib: usize,
    /// The node of an orchestrator.
    _behind: Option<Served>,
}

impl Stage {
    /// `None` where there is no Python for it.
    pub(crate) fn new(shards: &'static str) -> Option<Self> {
        let python = python()?;
        let home = Home::new();
        home.write("script.js", SCRIPT);
        for args in [
            "tls init tls",
            "tls issue client peer --ca tls --out peer",
            "tls init other",
            "tls issue client stranger --ca other --out stranger",
        ] {
            let args: Vec<&str> = args.split(' ').collect();
            let output = home.run(&args);
            assert!(output.status.success(), "{}", stderr(&output));
        }
        let address = format!("127.0.0.1:{}", free_port());
        let mut stage = Self {
            python,
            server: start_node(&home, &address, shards),
            home,
            shards,
            address,
            before_kib: 0,
            _behind: None,
        };
        stage.serves();
        stage.before_kib = stage.peak_kib();
        Some(stage)
    }

    /// The same with an orchestrator before the node.
    pub(crate) fn with_orchestrator(self) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let args = ["-b", &address, "-n", &self.address, "--shards", "1"];
        let orchestrator = self.home.serve(&[&["orchestrator"], &args[..]].concat());
        let mut stage = Self {
            server: orchestrator,
            address,
            _behind: Some(self.server),
            ..self
        };
        stage.serves();
        stage.before_kib = stage.peak_kib();
        stage
    }

    /// Starts a scenario.
    pub(crate) fn begin(&self, scenario: &str) -> Served {
        let mut command = Command::new(self.python);
        command
            .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/aioquic"))
            .args(["-B", "-m", "peer", scenario, "--server", &self.address])
            .arg("--identity")
            .arg(self.home.path("peer/client"))
            .arg("--stranger")
            .arg(self.home.path("stranger/client"))
            .stdin(Stdio::piped());
        Served::start(&mut command)
    }

    /// The project's own client calls.
    fn serves(&self) {
        let output = self.home.call(&[&self.address, "add", "[1, 2]"]);
        assert_eq!(stdout(&output), "3\n", "{}", stderr(&output));
    }

    /// The most memory that the server has had.
    fn peak_kib(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.server.child.id()));
        let status = status.unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        kib.unwrap().parse().unwrap()
    }

    /// The server serves others, and has not grown by much.
    pub(crate) fn stands(&self) {
        self.serves();
        let (before, peak) = (self.before_kib, self.peak_kib());
        assert!(
            peak < before + GROWTH_MAX_KIB,
            "the server has grown from {before} KiB to {peak} KiB"
        );
    }
}

pub(crate) fn start_node(home: &Home, address: &str, shards: &str) -> Served {
    let args = ["node", "-s", "script.js", "-b", address, "--shards", shards];
    // The port of a node that was killed is taken for some milliseconds more.
    for _ in 0..50 {
        let mut node =
            Served::start(&mut home.command(&[&args[..], &["--pool-size", "2"]].concat()));
        if node.says("ready", Duration::from_secs(20)).is_ok() {
            return node;
        }
        assert!(node.seen.contains("in use"), "{}", node.seen);
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the port of the last node is still taken");
}

/// Waits until the scenario has come so far, once more.
pub(crate) fn wait_so_far(peer: &mut Served) {
    if let Err(error) = peer.says(SO_FAR, SCENARIO_MAX) {
        panic!(
            "the scenario does not come so far ({error}):\n{}",
            peer.seen
        );
    }
    peer.seen.clear();
}

pub(crate) fn go_on(peer: &mut Served) {
    peer.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
}

/// Waits until the scenario is over, and all was as it should be.
pub(crate) fn succeeds(peer: &mut Served) {
    // What is never said is waited for until the end.
    let _ = peer.says("\0", SCENARIO_MAX);
    assert!(peer.end().success(), "{}", peer.seen);
}

/// Runs a scenario of a caller that keeps to the page.
pub(crate) fn talks(scenario: &str) {
    if let Some(stage) = Stage::new("1") {
        succeeds(&mut stage.begin(scenario));
        stage.stands();
    }
}

/// Runs a scenario of an attacker, who stops `times` times for the server to be looked at.
pub(crate) fn is_attacked(scenario: &str, times: usize) {
    if let Some(stage) = Stage::new("1") {
        withstands(&stage, scenario, times);
    }
}

pub(crate) fn withstands(stage: &Stage, scenario: &str, times: usize) {
    let mut peer = stage.begin(scenario);
    for _ in 0..times {
        wait_so_far(&mut peer);
        let begun = Instant::now();
        stage.stands();
        assert!(begun.elapsed() < Duration::from_secs(5), "others wait long");
        go_on(&mut peer);
    }
    succeeds(&mut peer);
    stage.stands();
}
