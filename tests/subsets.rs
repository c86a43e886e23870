//! An orchestrator whose shards have sessions to two nodes each: what happens to those two, and what they cannot run, is made up for
//! by the others of the fleet.
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

#[path = "support/mod.rs"]
mod support;

use madrpc_core::fleet::{Subset, digest};
use nix::sys::signal::Signal;
use support::eventually;
use support::process::{Home, Served, free_port, stderr, stdout};

const SCRIPT: &str = "madrpc.register('twice', (x) => x, { idempotent: true });";
const LATER: &str =
    "madrpc.register('twice', (x) => x, { idempotent: true }); madrpc.register('later', () => 7);";

/// Sessions of each shard.
const SIZE: usize = 2;

struct Fleet {
    home: Home,
    nodes: Vec<Served>,
    addresses: Vec<String>,
    front: String,
    shards: usize,
    _orchestrator: Served,
}

impl Fleet {
    /// So many nodes, of which the last has [`LATER`] where that is asked for, and an orchestrator of so many shards.
    fn start(
        nodes: usize,
        shards: usize,
        has_later: impl Fn(usize, &Subset, &[u64]) -> bool,
    ) -> Self {
        let home = Home::new();
        home.write("plain.js", SCRIPT);
        home.write("later.js", LATER);
        let addresses: Vec<String> = (0..nodes)
            .map(|_| format!("127.0.0.1:{}", free_port()))
            .collect();
        let front = format!("127.0.0.1:{}", free_port());
        let names = names(&addresses);
        let subset = subset(&front, 0, shards);
        let node = |(number, address): (usize, &String)| {
            let script = match has_later(number, &subset, &names) {
                true => "later.js",
                false => "plain.js",
            };
            home.serve(&["node", "-s", script, "-b", address, "--shards", "1"])
        };
        let nodes = addresses.iter().enumerate().map(node).collect();
        let (count, size) = (shards.to_string(), SIZE.to_string());
        let list = addresses.join(",");
        let args = [
            "orchestrator",
            "-b",
            &front,
            "-n",
            &list,
            "--shards",
            &count,
        ];
        let orchestrator = home.serve(&[&args[..], &["--subset", &size]].concat());
        let fleet = Self {
            home,
            nodes,
            addresses,
            front,
            shards,
            _orchestrator: orchestrator,
        };
        eventually("calls come through both shards", || {
            fleet.calls("twice", 10) == 10
        });
        fleet
    }

    /// How many of so many calls have a result; each has a session of its own, to whichever shard.
    fn calls(&self, function: &str, count: usize) -> usize {
        let made = (0..count).map(|_| self.home.call(&[&self.front, function, "1"]));
        made.filter(|output| output.status.success()).count()
    }

    /// The nodes of a shard, by their numbers.
    fn of_shard(&self, shard: usize) -> Vec<usize> {
        subset(&self.front, shard, self.shards).of(&names(&self.addresses))
    }
}

fn names(addresses: &[String]) -> Vec<u64> {
    let names = addresses.iter();
    names.map(|address| digest(address.as_bytes())).collect()
}

fn subset(front: &str, shard: usize, shards: usize) -> Subset {
    Subset {
        process: digest(front.as_bytes()),
        shard,
        shards,
        size: SIZE,
    }
}

#[test]
fn others_stand_in_for_all_the_nodes_of_a_shard() {
    let fleet = Fleet::start(6, 2, |_, _, _| false);
    for number in fleet.of_shard(0) {
        fleet.nodes[number].signal(Signal::SIGKILL);
    }
    eventually("calls come through both shards again", || {
        fleet.calls("twice", 20) == 20
    });
}

#[test]
fn a_function_that_one_node_has_is_called_through_any_shard() {
    let fleet = Fleet::start(4, 2, |_, _, _| false);
    let only = &fleet.addresses[fleet.of_shard(0)[0]];
    fleet.home.write("plain.js", LATER);
    let reloaded = fleet.home.run(&["reload", only]);
    assert!(reloaded.status.success(), "{}", stderr(&reloaded));
    assert_eq!(fleet.calls("later", 20), 20);
    for _ in 0..10 {
        let listed = stdout(&fleet.home.run(&["functions", &fleet.front]));
        let line = listed.lines().find(|line| line.starts_with("later "));
        assert!(
            line.is_some_and(|line| line.ends_with(only.as_str())),
            "{listed}"
        );
        // The others as well, whoever has sessions to them.
        assert!(
            fleet.addresses.iter().all(|node| listed.contains(node)),
            "{listed}"
        );
    }
}

#[test]
fn a_function_of_a_node_that_no_shard_has_is_found() {
    let is_left_over = |number: usize, subset: &Subset, names: &[u64]| {
        subset.left_over(names).last() == Some(&number)
    };
    let fleet = Fleet::start(6, 1, is_left_over);
    eventually("it is asked what it has", || fleet.calls("later", 1) == 1);
    assert_eq!(fleet.calls("later", 10), 10);
}
