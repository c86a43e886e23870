//! `madrpc map`, and a node that it calls.

use super::process::{Home, Served, free_port};
use std::fs::File;
use std::process::{Command, Output};

pub const SCRIPT: &str = "madrpc.register('double', async (x) => { await new Promise((done) => setTimeout(done, 2)); return x * 2; }, { idempotent: true });
madrpc.register('no_fifties', (x) => { if (x % 100 === 50) throw new TypeError(`no ${x}`); return x; });
madrpc.register('after', async (ms) => { await new Promise((done) => setTimeout(done, ms)); return ms; });
madrpc.register('long', async (ms) => { await new Promise((done) => setTimeout(done, ms)); return 'x'.repeat(100_000); });
const spin = (ms) => { const until = performance.now() + ms; while (performance.now() < until); return ms; };
madrpc.register('spin', spin);
madrpc.register('once', (x) => x);";

pub struct Node {
    pub home: Home,
    pub address: String,
    _served: Served,
}

impl Node {
    pub fn start(flags: &[&str]) -> Self {
        let home = Home::new();
        home.write("script.js", SCRIPT);
        let address = format!("127.0.0.1:{}", free_port());
        let args = ["node", "-s", "script.js", "-b", &address, "--shards", "1"];
        let served = home.serve(&[&args, flags].concat());
        Self {
            home,
            address,
            _served: served,
        }
    }

    pub fn map(&self, args: &[&str], input: &str) -> Output {
        self.home.write("input", input);
        let mut command = self.command(args);
        command.output().unwrap()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        command(&self.home, &self.address, args)
    }
}

/// The command with the file `input` as its stdin.
pub fn command(home: &Home, address: &str, args: &[&str]) -> Command {
    let mut command = home.command(&[&["map", address], args].concat());
    command.stdin(File::open(home.path("input")).unwrap());
    command
}

pub fn numbers(count: u64) -> String {
    (1..=count).map(|number| format!("{number}\n")).collect()
}

pub fn doubled(count: u64) -> String {
    (1..=count)
        .map(|number| format!("{}\n", number * 2))
        .collect()
}
