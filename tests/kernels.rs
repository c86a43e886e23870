//! Kernels on a node: compiled code shares the core as interpreted code does, ends when it has to, and needs no memory that is both
//! written and run.
//!
//! Setup: a node of one shard in this process, over real sockets; the last tests run the command, one of them as a hardened unit
//! of systemd's runs it. How fast kernels are, the benches tell; here the bounds are wide enough for a loaded machine.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_abuse::watched::Watched;
use madrpc_abuse::{Amount, Field, attack};
use madrpc_core::call::ErrorKind;
use madrpc_core::identity::Role;
use madrpc_core::value::{TypedArray, TypedArrayKind, Value};
use madrpc_shard::engine::{LaneConfig, Preemption, Script};
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::Server;
use std::os::unix::process::CommandExt;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use support::Fleet;
use support::process::{Home, Served, free_port, stderr, stdout};
use support::seccomp::{CALL_AT, answer, deny_write_execute, install, load, unless};

const SCRIPT: &str = r#"
const spin = madrpc.kernel(function spin(n) { let x = 1; while (x > 0) x = x % 7 + n; return x; });
const dot = madrpc.kernel(function dot(a, b) {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
});
const scale = madrpc.kernel(function scale(list, by) { for (let i = 0; i < list.length; i++) list[i] *= by; });
const sum = madrpc.kernel(function sum(n) { let s = 0; for (let i = 0; i < n; i++) s += i % 7; return s; });
madrpc.register("echo", (value) => value);
madrpc.register("spin", () => spin(1));
madrpc.register("sum", (n) => sum(n));
madrpc.register("dot", ([a, b]) => dot(a, b));
madrpc.register("scaled", ([list, by]) => { scale(list, by); return list; });
"#;

const LANES: usize = 8;
const LATE_MAX: Duration = Duration::from_secs(3);

fn node(fleet: &Fleet, preemption: Preemption) -> Server {
    let settings = NodeConfig {
        pool_size: Some(LANES),
        lane: LaneConfig {
            preemption,
            ..LaneConfig::default()
        },
        ..NodeConfig::default()
    };
    let script = Script::new("kernels.js", SCRIPT);
    Server::node(&fleet.config(Role::Node, 1), &script, &settings).unwrap()
}

#[test]
fn tiny_calls_go_on_beside_endless_kernels_which_end_at_their_deadline() {
    for preemption in [Preemption::Forced, Preemption::Polling] {
        let fleet = Fleet::new();
        let node = node(&fleet, preemption);
        let client = fleet.client(node.address());
        let deadline = Duration::from_secs(2);
        std::thread::scope(|scope| {
            let endless: Vec<_> = (1..LANES)
                .map(|_| {
                    scope.spawn(|| {
                        let begun = Instant::now();
                        let call = client.prepare("spin").timeout(deadline);
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
            let median = times[times.len() / 2];
            assert!(
                times.len() > 50 && median < Duration::from_millis(50),
                "{median:?} of {}",
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
fn a_kernel_that_is_given_up_leaves_the_core() {
    let fleet = Fleet::new();
    let node = node(&fleet, Preemption::Forced);
    let client = fleet.client(node.address());
    for _ in 0..3 * LANES {
        let call = client.prepare("spin").timeout(Duration::from_secs(600));
        let mut calling = pin!(call.send(Value::Null));
        let mut context = Context::from_waker(Waker::noop());
        assert!(calling.as_mut().poll(&mut context).is_pending());
        let _: i64 = client.call_blocking("echo", &1).unwrap();
    }
    // More than there are lanes: the earlier ones are gone.
    let sum: i64 = client.call_blocking("sum", &1000).unwrap();
    assert_eq!(sum, (0..1000).map(|i: i64| i % 7).sum::<i64>());
}

#[test]
fn a_kernel_is_on_the_bill_and_bound_by_the_limit_of_cpu_time() {
    let fleet = Fleet::new();
    let settings = NodeConfig {
        lane: LaneConfig {
            cpu: Duration::from_millis(100),
            ..LaneConfig::default()
        },
        ..NodeConfig::default()
    };
    let script = Script::new("kernels.js", SCRIPT);
    let node = Server::node(&fleet.config(Role::Node, 1), &script, &settings).unwrap();
    let client = fleet.client(node.address());
    let error = client
        .prepare("spin")
        .send_blocking(Value::Null)
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::CpuLimit, "{error}");
    let call = client.prepare("sum");
    let reply = call.send_blocking(Value::Integer(3_000_000)).unwrap();
    assert!(reply.bill.cpu_us > 500, "{:?}", reply.bill);
}

#[test]
fn arrays_go_through_a_kernel_as_they_came() {
    let fleet = Fleet::new();
    let node = node(&fleet, Preemption::Forced);
    let client = fleet.client(node.address());
    let floats = |list: &[f64]| {
        let bytes = list
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        Value::TypedArray(TypedArray::new(TypedArrayKind::Float64, bytes).unwrap())
    };
    for count in [3, 10_000, 1_000_000] {
        let list: Vec<f64> = (0..count).map(f64::from).collect();
        let arguments = Value::Array(vec![floats(&list), Value::Float(0.5)]);
        let halves: Vec<f64> = list.iter().map(|number| number / 2.0).collect();
        let scaled = client.prepare("scaled").send_blocking(arguments).unwrap();
        assert!(scaled.result == floats(&halves), "of {count}");
    }
    let arguments = Value::Array(vec![floats(&[1.0, 2.0]), floats(&[0.5, 0.25])]);
    let dot = client.prepare("dot").send_blocking(arguments).unwrap();
    assert_eq!(dot.result, Value::Integer(1));
    let arguments = Value::Array(vec![floats(&[1.0, 2.0]), floats(&[0.5])]);
    let error = client.prepare("dot").send_blocking(arguments).unwrap_err();
    let exception = error.exception.unwrap();
    assert_eq!(exception.name, "RangeError");
    assert!(
        exception.message.starts_with("kernels.js:"),
        "{}",
        exception.message
    );
}

#[test]
fn check_lists_kernels_and_says_where_one_is_none() {
    let home = Home::new();
    home.write("kernels.js", SCRIPT);
    let told = stdout(&home.run(&["check", "kernels.js"]));
    let (_, kernels) = told.split_once("\n\n").unwrap();
    let row = |name: &str| {
        let rows = kernels
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut rows = rows.filter(|row| row[0] == name);
        rows.next().unwrap_or_else(|| panic!("no {name} in {told}"))
    };
    assert_eq!(
        row("KERNEL"),
        ["KERNEL", "COMPILED", "FOR", "CODE", "PLACE"]
    );
    let dot = row("dot");
    assert_eq!(dot[1..3], ["Float64Array,", "Float64Array"]);
    assert!(
        dot[3].parse::<u32>().unwrap() > 16 && dot[4] == "bytes",
        "{dot:?}"
    );
    assert!(dot[5].starts_with("kernels.js:3:"), "{dot:?}");
    let json: serde_json::Value =
        serde_json::from_str(&stdout(&home.run(&["check", "kernels.js", "--json"]))).unwrap();
    assert_eq!(json["kernels"][0]["name"], "spin");
    assert_eq!(json["kernels"].as_array().unwrap().len(), 4);

    let refusals = [
        (
            "madrpc.kernel(function f(n) { return Math.random() * n; });",
            "pass a seed",
        ),
        ("madrpc.kernel((n) => n);", "function"),
        (
            "madrpc.kernel(function f(n) { return other(n); });",
            "other",
        ),
    ];
    for (kernel, words) in refusals {
        home.write(
            "none.js",
            &format!("\n  {kernel}\nmadrpc.register('f', () => 1);"),
        );
        let output = home.run(&["check", "none.js"]);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.contains("none.js:2:") && said.contains(words),
            "{said}"
        );
    }
    home.write(
        "none.js",
        "madrpc.register('f', () => 1);\nmadrpc.kernel(1);",
    );
    let output = home.run(&["node", "-s", "none.js", "--check", "-b", "127.0.0.1:0"]);
    assert!(!output.status.success(), "{output:?}");
}

#[test]
fn a_hardened_node_compiles_and_runs_kernels() {
    let home = Home::new();
    home.write("script.js", SCRIPT);
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = home.command(&["node", "-s", "script.js", "-b", &address, "--shards", "1"]);
    // SAFETY: between fork and exec it makes system calls and allocates nothing.
    unsafe { command.pre_exec(deny_write_execute) };
    let mut served = Served::start(&mut command);
    served.wait_for("ready");
    let sum = home.call(&[&address, "sum", "1000000"]);
    assert!(sum.status.success(), "{sum:?}");
    let expected: i64 = (0..1_000_000).map(|i: i64| i % 7).sum();
    assert_eq!(stdout(&sum).trim(), expected.to_string());
    // Another specialisation, compiled while it serves.
    let sum = home.call(&[&address, "sum", "10.5"]);
    assert_eq!(stdout(&sum).trim(), "27", "{sum:?}");
}

/// Those whose loops end after years, and those that are cancelled in the queue, while they are compiled, and as they run.
#[test]
fn attacks_with_kernels_end_when_they_have_to() {
    let (home, fleet) = (Home::new(), madrpc_abuse::fleet::Fleet::new().unwrap());
    home.write("script.js", madrpc_abuse::script::SCRIPT);
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = home.command(&["node", "-s", "script.js", "-b", &address, "--shards", "1"]);
    let mut node = Served::start(command.env("MADRPC_TLS_DIR", fleet.tls_dir()));
    node.wait_for("ready");
    let target = address.parse().unwrap();
    let watched = Watched::new(node.child.id());
    let field = Field {
        target,
        nodes: &[target],
        fleet: &fleet,
        watched: Some([watched, watched]),
        bad_node: None,
        amount: Amount {
            count: 200,
            per_second: None,
            time: Duration::from_secs(4),
        },
    };
    for name in ["kernels-huge", "kernels-cancelled"] {
        let outcome = (attack(name).unwrap().run)(&field).unwrap();
        assert!(
            outcome.checks.iter().all(|check| check.holds),
            "{name}: {outcome:?}"
        );
    }
}

/// As where the sysctl `vm.memfd_noexec` is 2.
#[test]
fn where_nothing_in_memory_may_be_run_it_is_said_what_to_do() {
    let home = Home::new();
    home.write("script.js", SCRIPT);
    let mut command = home.command(&["check", "script.js"]);
    let refuse = || {
        install(&[
            load(CALL_AT),
            unless(libc::SYS_memfd_create as u32, 1),
            answer(libc::SECCOMP_RET_ERRNO | libc::EACCES as u32),
            answer(libc::SECCOMP_RET_ALLOW),
        ])
    };
    // SAFETY: between fork and exec it makes system calls and allocates nothing.
    unsafe { command.pre_exec(refuse) };
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = stderr(&output);
    assert!(
        said.contains("vm.memfd_noexec is 2") && said.contains("set it to 1"),
        "{said}"
    );
}

#[test]
fn a_kernel_is_compiled_as_soon_as_the_system_has_descriptors_again() {
    let home = Home::new();
    home.write("script.js", SCRIPT);
    let address = format!("127.0.0.1:{}", free_port());
    let node = home.serve(&["node", "-s", "script.js", "-b", &address, "--shards", "1"]);
    let before = limit_descriptors(&node, None);
    for _ in 0..2 {
        limit_descriptors(&node, Some(0));
        let sum = home.call(&[&address, "sum", "1000"]);
        let said = stderr(&sum);
        assert!(!sum.status.success(), "{sum:?}");
        assert!(said.contains("Too many open files"), "{said}");
    }
    limit_descriptors(&node, Some(before));
    let sum = home.call(&[&address, "sum", "1000"]);
    let expected: i64 = (0..1000).map(|i: i64| i % 7).sum();
    assert_eq!(stdout(&sum).trim(), expected.to_string(), "{sum:?}");
}

/// Each lane has kernels of its own there, so shards wait for the compiler as they make one: for calls that wait, and for a reload.
#[test]
fn lanes_are_made_while_the_compiler_works() {
    let source = |result: i64| {
        let script = format!(
            "const all = [];
             for (let i = 0; i < 10; i++) all.push(madrpc.kernel(function f(x) {{ return x < 0 ? C : x + 1; }}, {{ C: Math.random() }}));
             madrpc.register('f', () => all.reduce((x, kernel) => kernel(x), 0) + {result}, {{ isolate: true }});"
        );
        Script::new("kernels.js", &script)
    };
    let fleet = Fleet::new();
    let settings = NodeConfig {
        pool_size: Some(1),
        lane: LaneConfig {
            // A lane is made anew for each isolated call.
            preemption: Preemption::Polling,
            ..LaneConfig::default()
        },
        ..NodeConfig::default()
    };
    let mut node = Server::node(&fleet.config(Role::Node, 1), &source(0), &settings).unwrap();
    let client = fleet.client(node.address());
    for result in [0, 1] {
        for _ in 0..20 {
            let call = client.prepare("f").timeout(Duration::from_secs(20));
            let reply = call.send_blocking(Value::Null).unwrap();
            assert_eq!(reply.result, Value::Integer(10 + result));
        }
        node.reload(&source(result + 1)).unwrap();
    }
}

/// Lets a process open no descriptor beyond this one, where one is named; gives what held before.
fn limit_descriptors(served: &Served, most: Option<u64>) -> u64 {
    let mut limits = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    let resource = libc::RLIMIT_NOFILE;
    let pid = served.child.id().try_into().unwrap();
    // SAFETY: it writes what `limits` has room for.
    let told = unsafe { libc::prlimit(pid, resource, std::ptr::null(), &raw mut limits) };
    assert_eq!(told, 0, "{}", std::io::Error::last_os_error());
    let before = limits.rlim_cur;
    if let Some(most) = most {
        limits.rlim_cur = most;
        // SAFETY: it reads `limits`.
        let set = unsafe { libc::prlimit(pid, resource, &raw const limits, std::ptr::null_mut()) };
        assert_eq!(set, 0, "{}", std::io::Error::last_os_error());
    }
    before
}
