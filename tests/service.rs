//! What a server tells a service manager, and what it reads anew while it runs.
//!
//! Setup: real processes; this test is the service manager, with a socket of its own (sd_notify(3)).
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use support::process::{Home, Served, free_port, refused, stderr, stdout};

/// The service manager's end.
struct Manager {
    socket: UnixDatagram,
}

impl Manager {
    fn new(home: &Home) -> Self {
        let socket = UnixDatagram::bind(home.path("notify")).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .unwrap();
        Self { socket }
    }

    /// All that is told until `time` is over, message by message, or until one of them has these words.
    fn hears(&self, time: Duration, until: Option<&str>) -> Vec<String> {
        let end = Instant::now() + time;
        let mut heard = Vec::new();
        let mut buffer = [0; 4096];
        while Instant::now() < end {
            if let Ok(length) = self.socket.recv(&mut buffer) {
                let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
                let found = until.is_some_and(|words| message.contains(words));
                heard.push(message);
                if found {
                    return heard;
                }
            }
        }
        assert!(until.is_none(), "no `{until:?}` in {heard:?}");
        heard
    }

    fn waits_for(&self, words: &str) -> Vec<String> {
        self.hears(Duration::from_secs(20), Some(words))
    }
}

fn is_fed(heard: &[String]) -> bool {
    heard.iter().any(|message| message.contains("WATCHDOG=1"))
}

/// A node whose service manager wants to hear from it each two seconds.
fn node(home: &Home, address: &str, more: &[&str]) -> Served {
    let args = ["node", "-s", "script.js", "-b", address, "--shards", "1"];
    let mut command = home.command(&[&args, more].concat());
    command
        .env("MADRPC_PREEMPT", "polling")
        .env("NOTIFY_SOCKET", home.path("notify"))
        .env("WATCHDOG_USEC", "2000000");
    let mut node = Served::start(&mut command);
    node.wait_for("ready");
    node
}

/// The thread of the only shard.
fn shard_thread(node: &Served) -> Pid {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", node.child.id())).unwrap();
    let shard = tasks
        .map(|task| task.unwrap().path())
        .find(|task| std::fs::read_to_string(task.join("comm")).unwrap().trim() == "shard-0");
    let thread = shard.unwrap();
    Pid::from_raw(
        thread
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .parse()
            .unwrap(),
    )
}

/// A thread that is stopped while all others of its process go on, until this is dropped: a process with a stopped thread
/// could not be waited for.
struct Stopped(Pid);

impl Stopped {
    fn new(thread: Pid) -> Self {
        ptrace::seize(thread, ptrace::Options::empty()).unwrap();
        ptrace::interrupt(thread).unwrap();
        Self(thread)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = ptrace::detach(self.0, None);
    }
}

#[test]
fn the_service_manager_hears_of_each_stage() {
    let home = Home::new();
    let manager = Manager::new(&home);
    let address = format!("127.0.0.1:{}", free_port());
    let mut node = node(&home, &address, &[]);
    let ready = manager.waits_for("READY=1").pop().unwrap();
    assert!(ready.contains("STATUS=node 127.0.0.1"), "{ready}");
    assert!(ready.contains("1 shard on core"), "{ready}");
    assert_eq!(
        home.call(&[&address, "add", "[1, 2]"]).status.code(),
        Some(0)
    );
    let heard = manager.waits_for("p99 ");
    assert!(is_fed(&heard), "{heard:?}");

    node.signal(Signal::SIGHUP);
    let heard = manager.waits_for("RELOADING=1");
    assert!(
        heard.last().unwrap().contains("MONOTONIC_USEC="),
        "{heard:?}"
    );
    let heard = manager.waits_for("READY=1");
    let last = heard.last().unwrap();
    assert!(last.contains("STATUS=reloaded: functions: echo"), "{last}");
    home.write("script.js", "nonsense(");
    node.signal(Signal::SIGHUP);
    let heard = manager.waits_for("not reloaded");
    let last = heard.last().unwrap();
    assert!(
        last.contains("SyntaxError") && last.contains("READY=1"),
        "{last}"
    );
    assert_eq!(
        home.call(&[&address, "add", "[1, 2]"]).status.code(),
        Some(0)
    );

    node.signal(Signal::SIGTERM);
    let heard = manager.waits_for("STOPPING=1");
    let last = heard.last().unwrap();
    assert!(last.contains("STATUS=taking no new calls"), "{last}");
    assert_eq!(node.end().code(), Some(0));
}

#[test]
fn a_service_manager_may_have_a_socket_without_a_path() {
    let home = Home::new();
    let name = format!("madrpc test of services {}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let socket = UnixDatagram::bind_addr(&address).unwrap();
    let wait = Some(Duration::from_millis(100));
    socket.set_read_timeout(wait).unwrap();
    let manager = Manager { socket };
    let mut command = home.command(&["node", "-s", "script.js", "-b", "127.0.0.1:0"]);
    command
        .env("NOTIFY_SOCKET", format!("@{name}"))
        // Nonsense is no watchdog.
        .env("WATCHDOG_USEC", "0");
    let node = Served::start(&mut command);
    manager.waits_for("READY=1");
    node.signal(Signal::SIGTERM);
    manager.waits_for("STOPPING=1");
}

#[test]
fn a_service_manager_that_cannot_be_told_is_said_once() {
    let home = Home::new();
    for socket in ["/nowhere/notify", "notify", "vsock:2:1"] {
        let mut command = home.command(&["node", "-s", "script.js", "-b", "127.0.0.1:0"]);
        command.env("NOTIFY_SOCKET", socket);
        let mut node = Served::start(&mut command);
        node.wait_for("ready");
        node.signal(Signal::SIGHUP);
        node.wait_for("reloaded");
        node.signal(Signal::SIGTERM);
        node.wait_for("all calls have ended");
        let told = node.seen.matches("service manager cannot be told").count();
        assert_eq!(told, 1, "{}", node.seen);
    }
}

#[test]
fn why_it_did_not_start_is_its_status() {
    let home = Home::new();
    let manager = Manager::new(&home);
    home.write("script.js", "throw new Error('not today')");
    let output = home
        .command(&["node", "-s", "script.js"])
        .env("NOTIFY_SOCKET", home.path("notify"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(78));
    let heard = manager.waits_for("STATUS=error: ");
    assert!(heard[0].contains("not today"), "{heard:?}");
}

#[test]
fn a_dead_shard_is_not_covered_for_by_the_threads_beside_it() {
    let home = Home::new();
    let manager = Manager::new(&home);
    let node = node(&home, &format!("127.0.0.1:{}", free_port()), &[]);
    manager.waits_for("WATCHDOG=1");
    let stopped = Stopped::new(shard_thread(&node));
    // What was on its way.
    manager.waits_for("shard 0: no answer for");
    let heard = manager.hears(Duration::from_secs(3), None);
    assert!(!is_fed(&heard), "{heard:?}");
    assert!(heard.len() >= 2, "the control thread lives: {heard:?}");
    drop(stopped);
    // It only slept.
    manager.waits_for("WATCHDOG=1");
}

/// `indexOf` of a long needle asks nobody whether it may go on.
const STUCK: &str = r#"
madrpc.register("held", (length) => {
  const hay = "a".repeat(2 * length), needle = "a".repeat(length) + "b";
  return hay.indexOf(needle);
});
"#;

#[test]
fn a_function_that_cannot_be_interrupted_has_its_time_and_no_more() {
    let home = Home::new();
    let manager = Manager::new(&home);
    home.write("script.js", STUCK);
    let address = format!("127.0.0.1:{}", free_port());
    let mut patient = node(&home, &address, &[]);
    manager.waits_for("WATCHDOG=1");
    // The search's time grows with the square: about as long as wanted, long beside the start of a process.
    let begun = Instant::now();
    assert_eq!(
        home.call(&[&address, "held", "40000"]).status.code(),
        Some(0)
    );
    let length = 40_000.0 * (20.0 / begun.elapsed().as_secs_f64().max(0.01)).sqrt();
    let length = format!("{length:.0}");
    let call = || home.command(&["call", &address, "held", &length]).spawn();

    let mut held = call().unwrap();
    let heard = manager.waits_for("shard 0: held by `held`");
    assert!(heard.last().unwrap().contains("WATCHDOG=1"), "{heard:?}");
    let _ = held.kill();
    let _ = held.wait();
    patient.signal(Signal::SIGKILL);
    patient.end();
    manager.hears(Duration::from_millis(300), None);

    let _strict = node(&home, &address, &["--stall-limit", "1s"]);
    let mut held = call().unwrap();
    // Beats are about a second apart while a shard is silent: one of them is well beyond the limit.
    manager.waits_for("shard 0: held by `held` for 1 s");
    manager.hears(Duration::from_millis(2500), None);
    let heard = manager.hears(Duration::from_millis(1200), None);
    assert!(!is_fed(&heard), "{heard:?}");
    let _ = held.kill();
    let _ = held.wait();
}

/// Issues what a fleet needs by the command, to `NAME/ROLE`, from the authority in the directory `ca`.
fn issue(home: &Home, ca: &str, role: &str, name: &str) {
    let output = home.run(&["tls", "issue", role, name, "--ca", ca, "--out", name]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

fn init(home: &Home, ca: &str) {
    let output = home.run(&["tls", "init", ca, "--name", ca]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

fn call_as(home: &Home, dir: &str, address: &str) -> std::process::Output {
    let mut call = home.command(&["call", address, "add", "[1, 2]", "--timeout", "5s"]);
    call.env("MADRPC_TLS_DIR", home.path(dir)).output().unwrap()
}

#[test]
fn certificates_are_issued_used_and_changed_while_servers_run() {
    let home = Home::new();
    for ca in ["old-ca", "new-ca"] {
        init(&home, ca);
    }
    issue(&home, "old-ca", "node", "machine");
    issue(&home, "old-ca", "orchestrator", "machine");
    issue(&home, "old-ca", "client", "old-client");
    issue(&home, "new-ca", "client", "new-client");
    let (node, front) = (free_port(), free_port());
    let (node, front) = (format!("127.0.0.1:{node}"), format!("127.0.0.1:{front}"));
    let serve = |role: &str, args: &[&str]| {
        let mut command = home.command(&[&[role], args].concat());
        command.env("MADRPC_TLS_DIR", home.path("machine").join(role));
        let mut served = Served::start(&mut command);
        served.wait_for("ready");
        served
    };
    let mut servers = [
        serve("node", &["-s", "script.js", "-b", &node]),
        serve("orchestrator", &["-b", &front, "-n", &node]),
    ];
    let sum = call_as(&home, "old-client/client", &front);
    assert_eq!(stdout(&sum), "3\n", "{}", stderr(&sum));
    refused(
        &call_as(&home, "new-client/client", &front),
        6,
        &["Unauthorized"],
    );

    issue(&home, "new-ca", "node", "machine");
    issue(&home, "new-ca", "orchestrator", "machine");
    for server in &mut servers {
        server.signal(Signal::SIGHUP);
        server.wait_for("madrpc: reloaded: ");
    }
    let sum = call_as(&home, "new-client/client", &front);
    assert_eq!(stdout(&sum), "3\n", "{}", stderr(&sum));
    refused(
        &call_as(&home, "old-client/client", &front),
        6,
        &["Unauthorized"],
    );

    // A certificate that cannot be used changes nothing.
    std::fs::write(home.path("machine/orchestrator/cert.pem"), "nonsense").unwrap();
    servers[1].signal(Signal::SIGHUP);
    servers[1].wait_for("not reloaded, all goes on as before");
    let sum = call_as(&home, "new-client/client", &front);
    assert_eq!(stdout(&sum), "3\n", "{}", stderr(&sum));
}

#[test]
fn a_certificate_of_another_role_is_refused_at_the_start() {
    let home = Home::new();
    init(&home, "ca");
    issue(&home, "ca", "node", "machine");
    let mut command = home.command(&["orchestrator", "-n", "127.0.0.1:1", "-b", "127.0.0.1:0"]);
    command.env("MADRPC_TLS_DIR", home.path("machine/node"));
    refused(
        &command.output().unwrap(),
        78,
        &["for the role node", "tls issue orchestrator"],
    );
}

#[test]
fn certificates_are_shown_to_people_and_programs() {
    let home = Home::new();
    init(&home, "ca");
    issue(&home, "ca", "operator", "ann");
    let shown = stdout(&home.run(&["tls", "show", "ann/operator"]));
    for words in [
        "name         ann",
        "role         operator",
        "issued by    ca",
        " days left)",
    ] {
        assert!(shown.contains(words), "no `{words}` in {shown}");
    }
    let json = stdout(&home.run(&["tls", "show", "ann/operator/cert.pem", "--json"]));
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&rows[0]["name"], &rows[0]["role"]),
        (&"ann".into(), &"operator".into())
    );
    let check = |role: &str| home.run(&["tls", "show", "ann/operator", "--check", role]);
    assert_eq!(check("operator").status.code(), Some(0));
    refused(
        &check("node"),
        78,
        &["for the role operator", "tls issue node"],
    );
    std::fs::copy(home.path("ca/ca.key"), home.path("ann/operator/key.pem")).unwrap();
    let output = home.run(&["tls", "show", "ann/operator"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("does not belong to"),
        "{}",
        stderr(&output)
    );
    let again = home.run(&["tls", "init", "ca"]);
    refused(&again, 1, &["ca.pem is there already"]);
    let nowhere = home.run(&["tls", "issue", "node", "x", "--ca", "nowhere", "--out", "x"]);
    refused(&nowhere, 1, &["nowhere holds no authority", "tls init"]);
}

/// Runs with credentials as systemd hands them over.
fn with_credentials(home: &Home, dir: &Path) -> Command {
    let mut command = home.command(&["node", "-s", "script.js", "--check"]);
    command
        .env("CREDENTIALS_DIRECTORY", dir)
        .env("MADRPC_CREDENTIALS_SOURCE", home.path("machine/node"));
    command
}

#[test]
fn credentials_of_a_unit_are_used_and_named_by_where_they_come_from() {
    let home = Home::new();
    init(&home, "ca");
    issue(&home, "ca", "node", "machine");
    issue(&home, "ca", "node", "copies");
    let copies = home.path("copies/node");
    for name in ["ca.pem", "cert.pem", "key.pem"] {
        std::fs::copy(home.path("machine/node").join(name), copies.join(name)).unwrap();
    }
    let output = with_credentials(&home, &copies).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("are all right; functions: echo"),
        "{}",
        stderr(&output)
    );
    // What ExecReload= runs gets no credentials: the rest is looked at all the same.
    let output = with_credentials(&home, &home.path("nowhere"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("not shown to this process"),
        "{}",
        stderr(&output)
    );
    std::fs::write(copies.join("key.pem"), "missing").unwrap();
    let output = with_credentials(&home, &copies).output().unwrap();
    refused(
        &output,
        78,
        &["machine/node/key.pem is missing or empty", "tls issue"],
    );
}

#[test]
fn settings_come_from_a_file_and_what_is_missing_there_is_said() {
    let home = Home::new();
    let file = home.write("node.toml", "bind = '127.0.0.1:0'\nshards = 1\n");
    let file = file.to_str().unwrap();
    let check = |more: &[&str]| home.run(&[&["node", "--config", file, "--check"], more].concat());
    refused(
        &check(&[]),
        2,
        &[file, "script is not set", "$MADRPC_SCRIPT", "--script"],
    );
    home.write(
        "node.toml",
        "script = 'script.js'\nbind = '127.0.0.1:0'\nslise = '1ms'\n",
    );
    refused(
        &check(&[]),
        2,
        &["node.toml:3: there is no key `slise`: did you mean `slice`?"],
    );
    home.write("node.toml", "script = 'script.js'\nslice = '1ms'\n");
    assert_eq!(check(&[]).status.code(), Some(0));
    refused(
        &check(&["--no-slice"]),
        2,
        &["node.toml", "cannot be used with"],
    );

    let shown = home
        .command(&["config", "node", "--config", file, "--shards", "1"])
        .env("MADRPC_SPIN", "1ms")
        .output()
        .unwrap();
    let shown = stdout(&shown);
    let of = |key: &str| {
        let line = shown.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(of("slice"), format!("slice = \"1ms\" # {file}:2"));
    assert_eq!(of("shards"), "shards = 1 # --shards");
    assert_eq!(of("spin"), "spin = \"1ms\" # $MADRPC_SPIN");
    assert_eq!(of("# bind"), "# bind = \"0.0.0.0:9001\" # default");
    // It is a settings file, and says the same.
    let again = home.write("again.toml", &shown);
    let json = home.run(&[
        "config",
        "--json",
        "node",
        "--config",
        again.to_str().unwrap(),
    ]);
    let rows: serde_json::Value = serde_json::from_str(&stdout(&json)).unwrap();
    let spin = rows
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["key"] == "spin");
    assert_eq!(spin.unwrap()["values"][0], "1ms");
}
