//! The lines of `deploy/README.md` by which operators take a new script, and a new version, through a fleet: they are run as they
//! stand there, while callers make 1,000 calls in a second, and none of those fails.
//!
//! Setup: three nodes with addresses of their own and an orchestrator, as processes. In the place of `scp` and `ssh` are programs
//! that copy to the node's directory, and that ask this test for a restart, as systemd would make it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

#[path = "support/mod.rs"]
mod support;

use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::fleet::{Load, load_at};
use support::process::{Home, Served, free_port, stdout};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/README.md");

struct Fleet {
    home: Home,
    nodes: Vec<Served>,
    addresses: Vec<String>,
    _orchestrator: Served,
    front: String,
}

/// The commands that follow these words on the page.
fn commands(words: &str) -> String {
    let page = fs::read_to_string(PAGE).unwrap();
    let (_, rest) = page.split_once(words).unwrap();
    let (_, rest) = rest.split_once("```sh\n").unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

fn script(version: u32) -> String {
    format!("madrpc.register('once', (x) => x);\nmadrpc.register('version', () => {version});")
}

fn node(home: &Home, address: &str) -> Served {
    let (host, _) = address.split_once(':').unwrap();
    let script = format!("{host}/functions.js");
    home.serve(&["node", "-s", &script, "-b", address, "--shards", "1"])
}

impl Fleet {
    fn start() -> Self {
        let home = Home::new();
        let addresses: Vec<String> = (2..5)
            .map(|host| format!("127.0.0.{host}:{}", free_port()))
            .collect();
        for address in &addresses {
            let (host, _) = address.split_once(':').unwrap();
            fs::create_dir(home.path(host)).unwrap();
            home.write(&format!("{host}/functions.js"), &script(1));
        }
        let nodes = addresses
            .iter()
            .map(|address| node(&home, address))
            .collect();
        let front = format!("127.0.0.1:{}", free_port());
        let mut args = vec!["orchestrator", "-b", &front, "--shards", "1"];
        args.extend(addresses.iter().flat_map(|address| ["-n", address]));
        let orchestrator = home.serve(&args);
        let fleet = Self {
            nodes,
            addresses,
            _orchestrator: orchestrator,
            front: front.clone(),
            home,
        };
        support::eventually("all nodes are there", || {
            let seen = fleet.home.run(&["nodes", &fleet.front]);
            stdout(&seen).matches(" up ").count() == 3
        });
        fs::create_dir(fleet.home.path("bin")).unwrap();
        let madrpc = env!("CARGO_BIN_EXE_madrpc");
        fleet.program("madrpc", &format!("exec {madrpc} \"$@\""));
        // scp FILE root@HOST:DIRECTORY
        fleet.program("scp", "host=${2#root@}\ncp \"$1\" \"${host%%:*}/\"");
        // ssh root@HOST systemctl restart madrpc-node
        fleet.program(
            "ssh",
            "[ \"$2 $3 $4\" = 'systemctl restart madrpc-node' ] || exit 1\ntouch \"restart-${1#root@}\"\n\
             while [ -e \"restart-${1#root@}\" ]; do sleep 0.05; done",
        );
        fleet
    }

    fn program(&self, name: &str, text: &str) {
        let path = self
            .home
            .write(&format!("bin/{name}"), &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn load(&self) -> Load {
        load_at(&self.home, &self.front, "once", 1_000, "6s")
    }

    /// Runs these commands as an operator does, in the fleet's directory.
    fn run(&self, commands: &str) -> Child {
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", self.home.path("bin").display());
        let mut shell = Command::new("bash");
        shell
            .arg("-euc")
            .arg(commands)
            .current_dir(self.home.dir.path());
        shell
            .env("PATH", path)
            .env("MADRPC_TLS_DIR", self.home.path("tls"));
        shell
            .env("NODES", self.addresses.join(" "))
            .env("FRONT", &self.front);
        shell
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The node that is to be restarted now.
    fn asked(&self) -> Option<(usize, PathBuf)> {
        let hosts = self
            .addresses
            .iter()
            .map(|address| address.split_once(':').unwrap().0);
        let paths = hosts.map(|host| self.home.path(&format!("restart-{host}")));
        paths.enumerate().find(|(_, path)| Path::exists(path))
    }
}

#[test]
fn a_script_goes_through_a_fleet_by_the_commands_of_the_page() {
    let fleet = Fleet::start();
    fleet.home.write("functions.js", &script(2));
    let load = fleet.load();
    std::thread::sleep(Duration::from_secs(1));
    let done = fleet
        .run(&commands(
            "node by node, on the first that does not take it",
        ))
        .wait_with_output();
    let done = done.unwrap();
    assert!(done.status.success(), "{}", stdout(&done));
    let scripts: Vec<String> = stdout(&fleet.home.run(&["nodes", &fleet.front, "--json"]))
        .split("\"script\":")
        .skip(1)
        .map(|rest| rest.chars().take(18).collect())
        .collect();
    assert!(
        scripts.len() == 3 && scripts.iter().all(|one| *one == scripts[0]),
        "{scripts:?}"
    );
    for address in fleet.addresses.iter().chain([&fleet.front]) {
        assert_eq!(stdout(&fleet.home.call(&[address, "version"])), "2\n");
    }
    let outcome = load.end();
    assert!(
        outcome.errors.is_empty() && outcome.results > 1_000,
        "{outcome:?}"
    );
}

#[test]
fn a_fleet_is_restarted_by_the_commands_of_the_page() {
    let mut fleet = Fleet::start();
    let load = fleet.load();
    std::thread::sleep(Duration::from_secs(1));
    let mut shell = fleet.run(&commands("Another version of madrpc, or another kernel"));
    let mut restarted = Vec::new();
    let status = loop {
        if let Some(status) = shell.try_wait().unwrap() {
            break status;
        }
        if let Some((number, request)) = fleet.asked() {
            fleet.nodes[number].signal(Signal::SIGTERM);
            assert!(fleet.nodes[number].end().success());
            fleet.nodes[number] = node(&fleet.home, &fleet.addresses[number]);
            fs::remove_file(request).unwrap();
            restarted.push(number);
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert!(status.success());
    assert_eq!(restarted, [0, 1, 2]);
    let outcome = load.end();
    assert!(
        outcome.errors.is_empty() && outcome.results > 1_000,
        "{outcome:?}"
    );
}
