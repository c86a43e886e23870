//! A fleet of real processes under load: nodes of one shard, an orchestrator in front of them, and `madrpc bench` as its callers.

use super::process::{Home, Served, free_port};
use serde_json::Value;
use std::io::Write;
use std::process::{Child, Stdio};

/// `twice` may run twice, `once` may not.
const SCRIPT: &str = "madrpc.register('twice', (x) => x, { idempotent: true });
madrpc.register('once', (x) => x);";

/// Nodes and an orchestrator.
pub struct RealFleet {
    pub home: Home,
    pub nodes: Vec<Served>,
    pub orchestrator: Served,
    pub ports: Vec<u16>,
    pub front: String,
}

impl RealFleet {
    /// So many nodes, and an orchestrator that has sessions to all of them.
    pub fn start(nodes: usize) -> Self {
        Self::start_by(nodes, |_, addresses| {
            let flags = addresses.iter().flat_map(|address| ["-n", address]);
            flags.map(str::to_owned).collect()
        })
    }

    /// The same, and the orchestrator reads in a file, `nodes`, who they are.
    pub fn start_by_file(nodes: usize) -> Self {
        Self::start_by(nodes, |home, addresses| {
            home.write("nodes", &addresses.join("\n"));
            ["--discover", "file:nodes"].map(str::to_owned).into()
        })
    }

    /// The same, and `flags` gives the flags by which the orchestrator learns the nodes' addresses.
    pub fn start_by(nodes: usize, flags: impl FnOnce(&Home, &[String]) -> Vec<String>) -> Self {
        let home = Home::new();
        home.write("fleet.js", SCRIPT);
        let ports: Vec<u16> = (0..nodes).map(|_| free_port()).collect();
        let nodes = ports.iter().map(|port| node(&home, *port)).collect();
        let front = format!("127.0.0.1:{}", free_port());
        let addresses = ports.iter().map(|port| format!("127.0.0.1:{port}"));
        let flags = flags(&home, &addresses.collect::<Vec<_>>());
        let mut args = vec!["orchestrator", "-b", &front, "--shards", "1"];
        args.extend(flags.iter().map(String::as_str));
        let orchestrator = home.serve(&args);
        let fleet = Self {
            orchestrator,
            nodes,
            ports,
            front: front.clone(),
            home,
        };
        super::eventually("calls come through", || {
            fleet
                .home
                .call(&[&fleet.front, "once", "1"])
                .status
                .success()
        });
        fleet
    }

    /// Starts one more node, of which the orchestrator does not know; gives its address.
    pub fn add(&mut self) -> String {
        let port = free_port();
        self.nodes.push(node(&self.home, port));
        self.ports.push(port);
        format!("127.0.0.1:{port}")
    }

    /// Starts the node with this number anew.
    pub fn restart(&mut self, number: usize) {
        self.nodes[number] = node(&self.home, self.ports[number]);
    }

    /// Calls of a function at this rate for so long, whatever becomes of them.
    pub fn load(&self, function: &str, rate: u32, time: &str) -> Load {
        self.load_at(&self.front, function, rate, time)
    }

    /// The same, with a text of so many bytes.
    pub fn load_of(&self, bytes: usize, function: &str, rate: u32, time: &str) -> Load {
        let text = self
            .home
            .write("argument", &format!("\"{}\"", "x".repeat(bytes)));
        let rate = rate.to_string();
        let args = [
            "bench",
            &self.front,
            function,
            "-",
            "--rate",
            &rate,
            "-d",
            time,
            "--json",
        ];
        let mut command = self.home.command(&args);
        let text = std::fs::File::open(text).unwrap();
        let command = command.stdin(text).stdout(Stdio::piped());
        Load(command.stderr(Stdio::null()).spawn().unwrap())
    }

    /// The same, to these addresses.
    pub fn load_at(&self, fronts: &str, function: &str, rate: u32, time: &str) -> Load {
        load_at(&self.home, fronts, function, rate, time)
    }
}

/// Calls of a function at a server, at this rate for so long, whatever becomes of them.
pub fn load_at(home: &Home, server: &str, function: &str, rate: u32, time: &str) -> Load {
    let rate = rate.to_string();
    let args = [
        "bench", server, function, "1", "--rate", &rate, "-d", time, "--json",
    ];
    let mut command = home.command(&args);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    Load(child.unwrap())
}

fn node(home: &Home, port: u16) -> Served {
    let bind = format!("127.0.0.1:{port}");
    home.serve(&["node", "-s", "fleet.js", "-b", &bind, "--shards", "1"])
}

/// Callers that are at it.
pub struct Load(Child);

/// What has become of their calls.
#[derive(Debug)]
pub struct Outcome {
    pub results: u64,
    /// By the errors' names.
    pub errors: serde_json::Map<String, Value>,
    /// From when each was due.
    pub p50_us: u64,
    pub p99_us: u64,
    pub p999_us: u64,
    pub max_us: u64,
}

impl Load {
    /// Waits for the last of them.
    pub fn end(self) -> Outcome {
        let output = self.0.wait_with_output().unwrap();
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let latency = |key: &str| document["latency_us"][key].as_u64().unwrap();
        let outcome = Outcome {
            results: document["results"].as_u64().unwrap(),
            errors: document["errors"].as_object().cloned().unwrap_or_default(),
            p50_us: latency("p50"),
            p99_us: latency("p99"),
            p999_us: latency("p999"),
            max_us: latency("max"),
        };
        // Past the harness: the figures are of interest whether it is enough or not.
        let _ = writeln!(std::io::stderr(), "{outcome:?}");
        outcome
    }
}
