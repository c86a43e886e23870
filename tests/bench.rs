//! The command `madrpc bench` against a node in a process of its own: what it measures, how it tells it, how it ends.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use nix::sys::signal::Signal;
use serde_json::Value;
use std::process::Output;
use support::eventually;
use support::process::{Home, Served, free_port, refused, stderr, stdout};

const SCRIPT: &str = r#"
madrpc.register("echo", (value) => value);
madrpc.register("fail", () => { throw new TypeError("no good"); });
let calls = 0;
madrpc.register("odd", () => { if (++calls % 2) throw new RangeError("odd"); return calls; });
madrpc.register("work", (ms) => { const end = Date.now() + ms; while (Date.now() < end) {} });
madrpc.register("count", (to) => { let n = 0; while (n < to) n++; return n; });
madrpc.register("wait", (ms) => new Promise((resolve) => setTimeout(resolve, ms)));
let stalls = 0;
madrpc.register("stall", ({ at, ms }) => {
  if (++stalls !== at) return;
  const end = Date.now() + ms;
  while (Date.now() < end) {}
});
"#;

/// A node of one shard and one lane.
struct Bench {
    home: Home,
    address: String,
    node: Served,
}

impl Bench {
    fn new() -> Self {
        let home = Home::new();
        home.write("bench.js", SCRIPT);
        let address = format!("127.0.0.1:{}", free_port());
        let node = home.serve(&[
            "node",
            "-s",
            "bench.js",
            "-b",
            &address,
            "--shards",
            "1",
            "--pool-size",
            "1",
        ]);
        Self {
            home,
            address,
            node,
        }
    }

    /// Runs the command with these words after the address.
    fn run(&self, words: &str) -> Output {
        let words: Vec<&str> = words.split_whitespace().collect();
        self.home
            .run(&[&["bench", self.address.as_str()], &words[..]].concat())
    }

    /// The document of a run that went well.
    fn json(&self, words: &str) -> Value {
        let output = self.run(&format!("{words} --json"));
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert_eq!(stderr(&output), "");
        document(&output)
    }
}

/// One JSON document in one line, and nothing else.
fn document(output: &Output) -> Value {
    let text = stdout(output);
    assert_eq!(text.lines().count(), 1, "{text}\n{}", stderr(output));
    serde_json::from_str(&text).unwrap()
}

fn number(document: &Value, pointer: &str) -> f64 {
    let found = document.pointer(pointer);
    let number = found.and_then(Value::as_f64);
    number.unwrap_or_else(|| panic!("no number at {pointer} of {document}"))
}

#[test]
fn a_closed_loop_measures_so_many_calls() {
    let bench = Bench::new();
    let args = r#"echo {"a":1} -n 500 -c 8 --warm-up 100ms --connections 3"#;
    let document = bench.json(args);
    assert_eq!(document["madrpc_bench"], 1);
    assert_eq!(
        (&document["mode"], &document["concurrency"]),
        (&"closed".into(), &8.into())
    );
    assert_eq!(
        (&document["function"], &document["rate"]),
        (&"echo".into(), &Value::Null)
    );
    for key in ["sent", "results"] {
        assert_eq!(document[key], 500, "{document}");
    }
    assert_eq!(document["errors"], serde_json::json!({}));
    assert!(number(&document, "/calls_per_s") > 0.0);
    assert!(number(&document, "/in_flight_max") <= 8.0, "{document}");
    for part in [
        "latency_us",
        "service_us",
        "queue_us",
        "cpu_us",
        "network_us",
    ] {
        let figures: Vec<f64> = ["p50", "p90", "p99", "p999", "max"]
            .map(|name| number(&document, &format!("/{part}/{name}")))
            .into();
        assert!(figures.is_sorted(), "{part}: {figures:?}");
    }
    assert!(
        number(&document, "/network_us/max") <= number(&document, "/service_us/max"),
        "{document}"
    );
    assert_eq!(document["places"].as_array().unwrap().len(), 1);
    assert_eq!(document["places"][0]["calls"], 500);
    assert_eq!(document["places"][0]["node"], bench.address);
}

#[test]
fn the_bill_splits_the_latency() {
    let bench = Bench::new();
    // Of so many calls that are over within a slice, one begins after the other.
    let busy = bench.json("count 10000 -n 400 -c 100 --warm-up 0s");
    let (cpu, queue) = (number(&busy, "/cpu_us/p50"), number(&busy, "/queue_us/p50"));
    assert!(cpu >= 20.0 && queue >= 10.0 * cpu, "{busy}");
    // One that only waits is neither queued nor computing.
    let idle = bench.json("wait 50 -n 10 -c 1 --warm-up 0s");
    assert!(number(&idle, "/network_us/p50") >= 40_000.0, "{idle}");
    assert!(number(&idle, "/cpu_us/p50") < 20_000.0, "{idle}");
}

#[test]
fn an_open_loop_sends_as_many_calls_as_are_due() {
    let bench = Bench::new();
    let args = "echo 1 --rate 200 -d 2s --warm-up 500ms";
    let document = bench.json(args);
    assert_eq!(
        (&document["mode"], &document["rate"]),
        (&"open".into(), &200.0.into())
    );
    assert_eq!(
        number(&document, "/sent") + number(&document, "/not_sent"),
        400.0
    );
    assert!(number(&document, "/sent") >= 390.0, "{document}");
    assert_eq!(document["elapsed_s"], 2.0);
    let rate = number(&document, "/calls_per_s");
    assert!((100.0..=260.0).contains(&rate), "{document}");
    let by_count = bench.json("echo --rate 500 -n 100 --warm-up 0s");
    assert_eq!(by_count["sent"], 100);
    assert!(number(&by_count, "/elapsed_s") >= 0.19, "{by_count}");
    // Less than one in a second is no 1, and no 0.
    let text = stdout(&bench.run("echo --rate 0.5 -d 2s --warm-up 0s"));
    assert!(text.contains("open loop of 0.5 calls/s"), "{text}");
    assert!(text.contains("\n0.5 calls/s, 1 results"), "{text}");
}

#[test]
fn an_open_loop_counts_the_wait_of_calls_that_could_not_be_sent() {
    let bench = Bench::new();
    // One call of half a second, and only one may be in flight: about 100 others are due meanwhile.
    let args = r#"stall {"at":100,"ms":500} --rate 200 --max-in-flight 1 -d 2s --warm-up 0s"#;
    let document = bench.json(args);
    let (latency, service) = ("/latency_us", "/service_us");
    assert!(
        number(&document, &format!("{latency}/max")) >= 480_000.0,
        "{document}"
    );
    // Those that waited waited 250 ms on average, and they are a quarter of all.
    assert!(
        number(&document, &format!("{latency}/p90")) >= 150_000.0,
        "{document}"
    );
    assert!(
        number(&document, &format!("{service}/p90")) < 100_000.0,
        "{document}"
    );
    assert!(
        number(&document, &format!("{service}/max")) >= 480_000.0,
        "{document}"
    );
    assert!(number(&document, "/late_max_us") >= 400_000.0, "{document}");
    assert_eq!(document["in_flight_max"], 1);
}

#[test]
fn a_rate_that_cannot_be_kept_is_told() {
    let bench = Bench::new();
    let args = "work 20 --rate 600 --max-in-flight 2 -d 1s --warm-up 0s";
    let output = bench.run(args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("the rate was not kept"), "{text}");
    assert!(text.contains("--max-in-flight was reached"), "{text}");
    let document = bench.json(args);
    // A hundred are done in a second at the most; in the second after it the late ones are caught up with.
    assert!(number(&document, "/not_sent") >= 100.0, "{document}");
    assert_eq!(
        number(&document, "/sent") + number(&document, "/not_sent"),
        600.0
    );
}

#[test]
fn a_closed_loop_is_corrected_for_what_a_stall_held_back() {
    let bench = Bench::new();
    let args = r#"stall {"at":300,"ms":800} -n 2000 -c 1 --warm-up 0s"#;
    let document = bench.json(args);
    let (corrected, service) = (
        number(&document, "/latency_us/p99"),
        number(&document, "/service_us/p99"),
    );
    assert!(corrected >= 3.0 * service, "{document}");
    assert!(
        number(&document, "/service_us/max") >= 780_000.0,
        "{document}"
    );
}

#[test]
fn errors_are_counted_by_kind() {
    let bench = Bench::new();
    let odd = bench.json("odd -n 100 -c 1 --warm-up 0s");
    assert_eq!((&odd["results"], &odd["sent"]), (&50.into(), &100.into()));
    assert_eq!(odd["errors"], serde_json::json!({"JavaScript": 50}));

    // Where no call returned the figures are told too, and the exit code is that of `madrpc call`.
    let unknown = bench.run("nobody -n 20 -c 2 --warm-up 0s");
    assert_eq!(unknown.status.code(), Some(4), "{}", stderr(&unknown));
    assert!(
        stderr(&unknown).contains("NoSuchFunction"),
        "{}",
        stderr(&unknown)
    );
    assert!(
        stdout(&unknown).contains("20  NoSuchFunction: "),
        "{}",
        stdout(&unknown)
    );
    let threw = bench.run("fail -n 20 -c 2 --warm-up 0s --json");
    assert_eq!(threw.status.code(), Some(3), "{}", stderr(&threw));
    assert!(
        stderr(&threw).contains("TypeError: no good"),
        "{}",
        stderr(&threw)
    );
    let document = document(&threw);
    assert_eq!(document["errors"], serde_json::json!({"JavaScript": 20}));
    assert_eq!(
        (&document["results"], &document["latency_us"]),
        (&0.into(), &Value::Null)
    );

    // Calls that passed their deadline took at least that long.
    let late = bench.run("wait 5000 -n 2 -c 2 --timeout 300ms --warm-up 0s");
    assert_eq!(late.status.code(), Some(5), "{}", stderr(&late));
    let late = stdout(&late);
    assert!(
        late.contains("2  DeadlineExceeded: ") && late.contains("service"),
        "{late}"
    );
}

#[test]
fn bounds_are_kept_or_passed() {
    let bench = Bench::new();
    let work = "work 20 -n 10 -c 1 --warm-up 0s --fail-above";
    let kept = bench.run(&format!("{work} p99=60s --fail-above errors=0"));
    assert_eq!(kept.status.code(), Some(0), "{}", stderr(&kept));
    let passed = bench.run(&format!(
        "{work} p50=1ms --fail-above max=60s --fail-above p999=2ms"
    ));
    let said = stderr(&passed);
    assert_eq!(passed.status.code(), Some(7), "{said}");
    assert!(
        said.contains("p50=1ms") && said.contains("p999=2ms") && !said.contains("max="),
        "{said}"
    );
    assert!(stdout(&passed).contains("corrected"), "{}", stdout(&passed));
    let odd = bench.run("odd -n 10 -c 1 --warm-up 0s --fail-above errors=10%");
    assert_eq!(odd.status.code(), Some(7), "{}", stderr(&odd));
    assert!(stderr(&odd).contains("50.000 %"), "{}", stderr(&odd));
}

#[test]
fn a_run_is_compared_with_an_earlier_one() {
    let bench = Bench::new();
    let run = |words: &str| bench.run(&format!("work {words} -n 20 -c 1 --warm-up 0s"));
    let earlier = run("2 --json");
    bench.home.write("before.json", &stdout(&earlier));
    let later = run("60 --json --baseline before.json");
    assert_eq!(stderr(&later), "");
    let later = document(&later);
    assert!(number(&later, "/ratios/latency_us/p50") > 2.0, "{later}");
    assert!(number(&later, "/ratios/calls_per_s") > 0.0, "{later}");
    let text = run("2 --baseline before.json --timeout 20s");
    assert!(stdout(&text).contains("now times"), "{}", stdout(&text));
    let otherwise = bench.run("echo -n 5 --warm-up 0s --baseline before.json");
    assert!(
        stderr(&otherwise).contains("measured otherwise"),
        "{}",
        stderr(&otherwise)
    );
}

#[test]
fn latencies_are_written_in_the_format_of_plotters() {
    let bench = Bench::new();
    let args = "echo -n 300 -c 4 --warm-up 0s --hdr out.hgrm";
    let output = bench.run(args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = std::fs::read_to_string(bench.home.path("out.hgrm")).unwrap();
    let head = text.lines().next().unwrap();
    let head: Vec<&str> = head.split_whitespace().collect();
    assert_eq!(
        head,
        ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    );
    let rows = text
        .lines()
        .skip(2)
        .take_while(|line| !line.starts_with('#'));
    let rows: Vec<Vec<f64>> = rows
        .map(|line| {
            line.split_whitespace()
                .map(|cell| cell.parse().unwrap())
                .collect()
        })
        .collect();
    assert!(rows.len() > 5, "{text}");
    assert!(
        rows.is_sorted_by(|a, b| a[0] <= b[0] && a[1] <= b[1] && a[2] <= b[2]),
        "{text}"
    );
    let last = rows.last().unwrap();
    assert!(last[1] == 1.0 && last[2] >= 300.0, "{text}");
}

#[test]
fn an_interrupt_ends_it_early_and_still_tells() {
    let bench = Bench::new();
    let mut args = vec!["bench", &bench.address];
    args.extend("wait 10 -d 1h --warm-up 0s --json".split(' '));
    let mut running = Served::start(&mut bench.home.command(&args));
    eventually("calls have ended", || {
        let top = bench.home.run(&["top", &bench.address, "--once", "--json"]);
        stdout(&top).contains(r#""function":"wait""#)
    });
    running.signal(Signal::SIGINT);
    running.wait_for("madrpc_bench");
    assert_eq!(running.end().code(), Some(0), "{}", running.seen);
    let document: Value = serde_json::from_str(running.seen.trim()).unwrap();
    assert_eq!(document["stopped"], true);
    assert!(number(&document, "/results") > 0.0, "{document}");
    assert!(number(&document, "/elapsed_s") < 60.0, "{document}");
}

#[test]
fn a_server_that_is_gone_ends_a_run_that_would_not_end() {
    let mut bench = Bench::new();
    let mut args = vec!["bench", &bench.address];
    args.extend("echo 1 -n 1000000000 --warm-up 0s".split(' '));
    let mut running = Served::start(&mut bench.home.command(&args));
    eventually("calls have ended", || {
        let top = bench.home.run(&["top", &bench.address, "--once", "--json"]);
        stdout(&top).contains(r#""function":"echo""#)
    });
    bench.node.child.kill().unwrap();
    running.wait_for("could no longer be reached");
    assert_eq!(running.end().code(), Some(6), "{}", running.seen);
    running.wait_for("Unavailable: ");
}

#[test]
fn what_makes_no_sense_is_refused_in_a_line() {
    let bench = Bench::new();
    let home = &bench.home;
    home.write("other.json", r#"{"calls_per_s": 5}"#);
    home.write("torn.json", r#"{"madrpc_bench": 1,"#);
    let refuse = |args: &str, words: &[&str]| refused(&bench.run(args), 2, words);
    refuse("echo {a:1}", &["JSON argument", "line 1"]);
    refuse(
        "echo --baseline none.json",
        &["none.json", "cannot be read"],
    );
    let other = "no result of a bench";
    refuse("echo --baseline other.json", &["other.json", other]);
    refuse("echo --baseline torn.json", &["torn.json", other]);
    refuse(
        "echo --hdr no/such/dir",
        &["no/such/dir", "cannot be written"],
    );
    refused(&bench.run("echo --pin 60000"), 1, &["core 60000"]);
    for (args, word) in [
        ("echo --rate 0", "one in a day"),
        ("echo --rate 1e-300", "one in a day"),
        ("echo --rate NaN", "one in a day"),
        ("echo --connections 18446744073709551615", "1 to 10000"),
        ("echo --concurrency 4294967296", "1 to 1000000"),
        ("echo --fail-above errors=inf%", "no share"),
        ("echo --rate 5 -c 5", "cannot be used with"),
        ("echo -n 5 -d 5s", "cannot be used with"),
        ("echo --fail-above p98=5ms", "p999"),
        ("echo --max-in-flight 5", "--rate"),
        ("echo -d 5", "5s"),
    ] {
        let output = bench.run(args);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{args}");
        assert!(said.contains(word), "{args}: {said}");
    }
    let nobody = format!("127.0.0.1:{}", free_port());
    let output = home.run(&["bench", &nobody, "echo"]);
    refused(&output, 6, &["Unavailable", &nobody]);
}
