//! Nodes that are called by name may go to another address, and be several. Real name resolution, with an /etc/hosts of the process's own.

#[path = "support/mod.rs"]
mod support;

use std::process::{Command, Stdio};
use support::eventually;
use support::process::{Home, Served, free_port, stdout};

/// Whether a process here may have mounts of its own.
fn may_mount() -> bool {
    let tried = Command::new("unshare")
        .args(["--map-root-user", "--mount", "true"])
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

#[test]
fn a_name_is_resolved_again_when_none_of_its_addresses_answers() {
    if !may_mount() {
        println!("skipped: no mount namespaces here (unshare --map-root-user --mount)");
        return;
    }
    let home = Home::new();
    let (port, front) = (free_port(), free_port());
    let node = |ip: &str| {
        let bind = format!("{ip}:{port}");
        let script = ["-s", "script.js", "--shards", "1", "--pool-size", "1"];
        home.serve(&[&["node", "-b", &bind], &script[..]].concat())
    };
    let hosts = home.write("hosts", "127.0.0.1 fleet.test\n");
    let first = node("127.0.0.1");
    let line = format!(
        "mount --bind {} /etc/hosts && exec {} orchestrator -b 127.0.0.1:{front} -n fleet.test:{port} --shards 1",
        hosts.display(),
        env!("CARGO_BIN_EXE_madrpc"),
    );
    let mut command = Command::new("unshare");
    command
        .args(["--map-root-user", "--mount", "sh", "-c", &line])
        .env("MADRPC_TLS_DIR", home.path("tls"))
        .stdin(Stdio::null());
    let mut orchestrator = Served::start(&mut command);
    orchestrator.wait_for("ready");
    let front = format!("127.0.0.1:{front}");
    let is_answered = || stdout(&home.call(&[&front, "add", "[1,2]"])).trim() == "3";
    eventually("the node is called by its name", is_answered);

    drop(first);
    let _second = node("127.0.0.2");
    // In place: the file is mounted.
    std::fs::write(&hosts, "127.0.0.2 fleet.test\n").unwrap();
    eventually("the node is found at its other address", is_answered);
    orchestrator.wait_for(&format!("node 127.0.0.2:{port} is there"));
    orchestrator.wait_for(&format!("node 127.0.0.1:{port} is there no more"));

    let _third = node("127.0.0.3");
    std::fs::write(&hosts, "127.0.0.2 fleet.test\n127.0.0.3 fleet.test\n").unwrap();
    eventually("both of its addresses are nodes", || {
        let listed = stdout(&home.run(&["functions", &front]));
        ["127.0.0.2", "127.0.0.3"]
            .iter()
            .all(|ip| listed.contains(*ip))
    });
    std::fs::write(&hosts, "127.0.0.1 other.test\n").unwrap();
    orchestrator.wait_for("cannot be resolved");
    orchestrator.wait_for("; the 2 that it named before stay");
    assert!(is_answered());
}
