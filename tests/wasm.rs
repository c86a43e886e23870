//! WebAssembly on a node, in a build that has it (`--features wasm`): modules of two languages give what Node.js gives, an example's
//! programs what its kernels give, endless ones share the core and end when they have to, and no memory is needed that is both written
//! and run.
//!
//! Setup: `wasm/` has the modules, what they were made of, and the script that imports them. The comparison is skipped with a word
//! where there is no Node.js.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::call::ErrorKind;
use madrpc_core::identity::Role;
use madrpc_core::value::Value;
use madrpc_core::value::json::{from_json, to_json};
use madrpc_shard::engine::{LaneConfig, Preemption, Script};
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::Server;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::Command;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use support::Fleet;
use support::process::{Home, Served, free_port, stdout};
use support::seccomp::deny_write_execute;

const LANES: usize = 8;
const LATE_MAX: Duration = Duration::from_secs(3);

/// `spin` and `fill` never end: one jumps, and one fills 32 MiB again and again.
///
/// ```wat
/// (module (memory 640)
///   (func (export "spin") (loop $l (br $l)))
///   (func (export "fill") (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x2000000)) (br $l))))
/// ```
const ENDLESS: &str = r#"
const bytes = new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 3, 2, 0, 0, 5, 4, 1, 0, 128, 5, 7, 15, 2, 4, 115,
  112, 105, 110, 0, 0, 4, 102, 105, 108, 108, 0, 1, 10, 31, 2, 8, 0, 3, 64, 12, 0, 11, 0, 11, 20, 0, 3, 64, 65, 0, 65, 1, 65, 128,
  128, 128, 16, 252, 11, 0, 12, 0, 11, 0, 11]);
const module = new WebAssembly.Module(bytes);
madrpc.register("echo", (value) => value);
madrpc.register("spin", () => new WebAssembly.Instance(module).exports.spin());
madrpc.register("fill", () => new WebAssembly.Instance(module).exports.fill());
"#;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/wasm")
}

fn node(fleet: &Fleet, lane: LaneConfig) -> Server {
    let settings = NodeConfig {
        pool_size: Some(LANES),
        lane,
        ..NodeConfig::default()
    };
    let script = Script::new("endless.js", ENDLESS);
    Server::node(&fleet.config(Role::Node, 1), &script, &settings).unwrap()
}

#[test]
fn modules_of_rust_and_assemblyscript_give_what_node_gives() {
    let fleet = Fleet::new();
    let script = Script::read(&folder().join("script.js")).unwrap();
    let config = fleet.config(Role::Node, 1);
    let node = Server::node(&config, &script, &NodeConfig::default()).unwrap();
    let client = fleet.client(node.address());
    let run: String = client.call_blocking("run", &()).unwrap();
    let again: String = client.call_blocking("run", &()).unwrap();
    let run: serde_json::Value = serde_json::from_str(&run).unwrap();
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    assert_eq!(run["hashes"], again["hashes"]);
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(run["hashes"][0], empty);
    let Ok(in_node) = Command::new("node").arg(folder().join("node.mjs")).output() else {
        // Past the harness, which shows only what failing tests print.
        let _ = writeln!(
            std::io::stderr(),
            "skipping the comparison with Node.js: it is not there"
        );
        return;
    };
    let said = String::from_utf8_lossy(&in_node.stderr);
    assert!(in_node.status.success(), "in Node: {said}");
    let in_node: serde_json::Value = serde_json::from_slice(&in_node.stdout).unwrap();
    assert_eq!(run, in_node);
}

#[test]
fn the_programs_of_an_example_give_what_they_give_as_kernels() {
    let fleet = Fleet::new();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/kernels");
    let script = Script::read(&example.join("webassembly.js")).unwrap();
    let config = fleet.config(Role::Node, 1);
    let node = Server::node(&config, &script, &NodeConfig::default()).unwrap();
    let client = fleet.client(node.address());
    // The second has larger arrays than the memory has room for by then.
    for part in [20, 4] {
        let args = from_json(&format!(r#"{{"part": {part}}}"#)).unwrap();
        let digest = |function: &str| {
            let result: Value = client.call_blocking(function, &args).unwrap();
            let result: serde_json::Value = serde_json::from_str(&to_json(&result)).unwrap();
            result["digest"].as_f64().unwrap()
        };
        for name in [
            "pi",
            "matmul",
            "dot",
            "mandelbrot",
            "nbody",
            "sha256",
            "levenshtein",
            "histogram",
        ] {
            let as_webassembly = digest(&format!("{name}_wasm"));
            assert_eq!(as_webassembly, digest(name), "{name}, {part}");
        }
    }
}

#[test]
fn tiny_calls_go_on_beside_endless_webassembly_which_ends_at_its_deadline() {
    for preemption in [Preemption::Forced, Preemption::Polling] {
        let fleet = Fleet::new();
        let lane = LaneConfig {
            preemption,
            ..LaneConfig::default()
        };
        let node = node(&fleet, lane);
        let client = fleet.client(node.address());
        let deadline = Duration::from_secs(2);
        std::thread::scope(|scope| {
            let endless: Vec<_> = (1..LANES)
                .map(|at| {
                    let name = if at % 2 == 0 { "fill" } else { "spin" };
                    let client = &client;
                    scope.spawn(move || {
                        let begun = Instant::now();
                        let call = client.prepare(name).timeout(deadline);
                        (call.send_blocking(Value::Null), begun.elapsed())
                    })
                })
                .collect();
            let begun = Instant::now();
            let mut times = Vec::new();
            while begun.elapsed() < deadline {
                let at = Instant::now();
                let echoed: i64 = client.call_blocking("echo", &7).unwrap();
                assert_eq!(echoed, 7);
                times.push(at.elapsed());
            }
            times.sort();
            let part = |percent| times[times.len() * percent / 100];
            println!(
                "{preemption:?}: {} calls, median {:?}, p99 {:?}",
                times.len(),
                part(50),
                part(99)
            );
            assert!(
                times.len() > 50 && part(50) < Duration::from_millis(50),
                "{:?} of {}",
                part(50),
                times.len()
            );
            for call in endless {
                let (ended, took) = call.join().unwrap();
                assert_eq!(ended.unwrap_err().kind, ErrorKind::DeadlineExceeded);
                assert!(took < deadline + LATE_MAX, "{took:?}");
            }
        });
    }
}

#[test]
fn what_is_given_up_leaves_the_core() {
    let fleet = Fleet::new();
    let node = node(&fleet, LaneConfig::default());
    let client = fleet.client(node.address());
    for at in 0..3 * LANES {
        let name = if at % 2 == 0 { "fill" } else { "spin" };
        let call = client.prepare(name).timeout(Duration::from_secs(600));
        let mut calling = pin!(call.send(Value::Null));
        let mut context = Context::from_waker(Waker::noop());
        assert!(calling.as_mut().poll(&mut context).is_pending());
        let _: i64 = client.call_blocking("echo", &1).unwrap();
    }
    // More than there are lanes: the earlier ones are gone.
    let echoed: i64 = client.call_blocking("echo", &2).unwrap();
    assert_eq!(echoed, 2);
}

#[test]
fn webassembly_is_on_the_bill_and_bound_by_the_limits_of_a_call() {
    let fleet = Fleet::new();
    let lane = LaneConfig {
        cpu: Duration::from_millis(100),
        memory_bytes: 48 << 20,
        ..LaneConfig::default()
    };
    let node = node(&fleet, lane);
    let client = fleet.client(node.address());
    let failed = |name| client.prepare(name).send_blocking(Value::Null).unwrap_err();
    assert_eq!(failed("spin").kind, ErrorKind::CpuLimit);
    let lane = LaneConfig {
        memory_bytes: 16 << 20,
        ..LaneConfig::default()
    };
    let fleet = Fleet::new();
    let node = self::node(&fleet, lane);
    let client = fleet.client(node.address());
    let error = client
        .prepare("fill")
        .send_blocking(Value::Null)
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::MemoryLimit, "{error}");
    assert!(error.message.contains("asked for 40 MiB more"), "{error}");
}

#[test]
fn check_says_what_is_wrong_with_a_module_that_is_imported() {
    let home = Home::new();
    std::fs::write(home.path("bad.wasm"), b"\0asm\x01\0\0\0\x01\x7f").unwrap();
    std::fs::write(home.path("wrong.wasm"), b"text").unwrap();
    std::fs::copy(folder().join("rust.wasm"), home.path("rust.wasm")).unwrap();
    for (script, words) in [
        (
            "import './bad.wasm';",
            "bad.wasm: it is no module of WebAssembly",
        ),
        (
            "import './wrong.wasm';",
            "wrong.wasm: it is no module of WebAssembly",
        ),
        ("import './none.wasm';", "none.wasm"),
        (
            "import { sha256 } from './rust.wasm';",
            "import \"./host.js\" in rust.wasm: it cannot be found",
        ),
        (
            "new WebAssembly.Module(new Uint8Array(3));",
            "CompileError: WebAssembly.Module(): ",
        ),
    ] {
        home.write(
            "script.js",
            &format!("{script}\nmadrpc.register('f', () => 1);"),
        );
        let output = home.run(&["check", "script.js"]);
        assert_eq!(output.status.code(), Some(1), "{script}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(words), "{script}: {said}");
    }
}

#[test]
fn a_hardened_node_compiles_and_runs_modules() {
    let home = Home::new();
    for name in [
        "assembly.wasm",
        "host.js",
        "program.js",
        "rust.wasm",
        "script.js",
    ] {
        std::fs::copy(folder().join(name), home.path(name)).unwrap();
    }
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = home.command(&["node", "-s", "script.js", "-b", &address, "--shards", "1"]);
    // SAFETY: between fork and exec it makes system calls and allocates nothing.
    unsafe { command.pre_exec(deny_write_execute) };
    let mut served = Served::start(&mut command);
    served.wait_for("ready");
    let calls = home.call(&[&address, "calls"]);
    assert_eq!(
        stdout(&calls).split_whitespace().collect::<String>(),
        "[41,42]",
        "{calls:?}"
    );
}
