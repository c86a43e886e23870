//! Programs that do nothing but compute (`examples/kernels`): interpreted, as kernels, as WebAssembly, by Node.js with its JIT, as
//! WebAssembly there, and in Rust. All run on the same core, on the same numbers, and have to give the same.

mod native;

use crate::cores;
use crate::identity::identity;
use crate::outcome::Outcome;
use madrpc_core::identity::Role;
use madrpc_core::value::json::{from_json, to_json};
use madrpc_shard::client::{Client, ClientConfig};
use serde_json::Value;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Where the programs are.
pub(crate) const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/kernels");

pub(crate) const NAMES: [&str; 8] = [
    "pi",
    "matmul",
    "dot",
    "mandelbrot",
    "nbody",
    "sha256",
    "levenshtein",
    "histogram",
];

/// What each is, in words.
pub(crate) fn words(name: &str) -> &'static str {
    match name {
        "pi" => "pi, 10^6 samples",
        "matmul" => "matrix product, 256",
        "dot" => "dot product, 65,536",
        "mandelbrot" => "Mandelbrot, 400 × 300",
        "nbody" => "n-body, 5 bodies, 10^5 steps",
        "sha256" => "SHA-256 of 1 MiB",
        "levenshtein" => "Levenshtein, 2,000 letters",
        _ => "histogram, 10^6 bytes",
    }
}

/// An interpreted run takes a hundred times as long as another.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Who runs a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Runner {
    Interpreted,
    Kernel,
    WebAssembly,
    Node,
    NodeWebAssembly,
    Rust,
}

impl Runner {
    pub(crate) const ALL: [Self; 6] = [
        Self::Interpreted,
        Self::Kernel,
        Self::WebAssembly,
        Self::Node,
        Self::NodeWebAssembly,
        Self::Rust,
    ];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Interpreted => "interpreted",
            Self::Kernel => "kernel",
            Self::WebAssembly => "WebAssembly",
            Self::Node => "Node.js",
            Self::NodeWebAssembly => "Node.js, WebAssembly",
            Self::Rust => "Rust",
        }
    }
}

/// What one round has measured.
#[derive(Default)]
pub(crate) struct Round {
    /// The median of its runs, in milliseconds.
    pub(crate) ms: Vec<(&'static str, Runner, f64)>,
    /// A call from JavaScript of a function that adds two numbers, in nanoseconds: interpreted, and as a kernel.
    pub(crate) add_ns: (f64, f64),
}

/// Measures so many runs of all of them, on a node that serves them and beside it, on its core.
pub(crate) fn measure(
    node: SocketAddr,
    dir: &Path,
    (core, runs): (usize, usize),
    has_node_js: bool,
) -> Outcome<Round> {
    let config = ClientConfig::with_identity(&node.to_string(), identity(dir, Role::Client)?);
    let client = Client::new(&config)?;
    let call = |function: &str, args: &str| -> Outcome<Value> {
        let call = client.prepare(function).timeout(TIMEOUT);
        let reply = call.send_blocking(from_json(args)?)?;
        Ok(serde_json::from_str(&to_json(&reply.result))?)
    };
    let mut round = Round::default();
    let by_node_js = match has_node_js {
        true => node_js(dir, core, runs)?,
        false => Vec::new(),
    };
    let by_node_js = |name: &str| by_node_js.iter().find(|said| said["name"] == name);
    let options = format!(r#"{{"runs":{runs}}}"#);
    for name in NAMES {
        let interpreted = call(&format!("{name}_plain"), "{}")?;
        let kernel = call(name, &options)?;
        let in_wasm = format!("{name}_wasm");
        let webassembly = call(&in_wasm, &options)?;
        let (mut times, digest) = cores::on(core, || {
            native::measure(name, runs).ok_or_else(|| format!("{name}: Rust has no such").into())
        })?;
        times.sort_by(f64::total_cmp);
        let said = [
            (Runner::Interpreted, Some(&interpreted)),
            (Runner::Kernel, Some(&kernel)),
            (Runner::WebAssembly, Some(&webassembly)),
            (Runner::Node, by_node_js(name)),
            (Runner::NodeWebAssembly, by_node_js(&in_wasm)),
        ];
        for (runner, said) in said {
            let Some(said) = said else { continue };
            // A figure made of wrong results is no figure.
            if said["digest"].as_f64() != Some(digest) {
                let title = runner.title();
                return Err(format!("{name}, {title}: {} and not {digest}", said["digest"]).into());
            }
            let ms = said["ms"].as_f64().ok_or("a program says no time")?;
            round.ms.push((name, runner, ms));
        }
        round.ms.push((name, Runner::Rust, times[runs / 2]));
    }
    let ns = |function| -> Outcome<f64> {
        let said = call(function, "null")?;
        Ok(said.as_f64().ok_or("a call says no time")?)
    };
    round.add_ns = (ns("add_plain")?, ns("add")?);
    Ok(round)
}

fn node_js(dir: &Path, core: usize, runs: usize) -> Outcome<Vec<Value>> {
    // The sources are modules, which Node.js believes a package only.
    let folder = dir.join("programs");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("package.json"), r#"{"type":"module"}"#)?;
    for name in ["programs.js", "inputs.js", "wasm.js", "programs.wasm"] {
        std::fs::copy(Path::new(FOLDER).join(name), folder.join(name))?;
    }
    let output = cores::on(core, || {
        let mut command = Command::new("node");
        command.arg(dir.join("node/programs.mjs")).arg(&folder);
        Ok(command.arg(runs.to_string()).output()?)
    })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("the programs in Node.js: {said}").into());
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let lines = said.lines().map(|line| Ok(serde_json::from_str(line)?));
    lines.collect()
}
