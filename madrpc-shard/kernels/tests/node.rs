//! Random kernels and arguments, compiled and by Node.js: the result and the bytes of the arrays, bit for bit. Without what
//! runtimes are free to compute differently in the last bit, `Math.sin` and its like.
//!
//! `MADRPC_KERNELS_RUNS` and `MADRPC_KERNELS_SEED` as in `fuzz.rs`.
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

mod common;

use common::cases::{Case, same_arrays};
use common::writer::Functions;
use common::{Argument, Outcome, Returned, compile, run, setting};
use madrpc_kernels::{Reason, Status};
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

const RUNS: u64 = 3_000;
/// How often each kernel is called.
const CALLS: u64 = 6;
/// How many runs one process of Node.js makes.
const AT_ONCE: usize = 30_000;

/// A run that Node.js is to make as well.
struct Run {
    seed: u64,
    text: String,
    arguments: Vec<Argument>,
    found: Outcome,
}

/// Each line that it prints: the result's type and bits, then the arrays' bytes.
const SCRIPT: &str = r#"
const hex = (bytes) => Buffer.from(bytes.buffer).toString("hex");
const double = (bits) => new Float64Array(new Uint8Array(Buffer.from(bits, "hex")).buffer)[0];
const array = (make, bytes) => new make(new Uint8Array(Buffer.from(bytes, "hex")).buffer);
const lines = [];
let f;
// Of the buffer of an argument before.
const view = (make, of, offset, length) => (args) => new make(args[of].buffer, offset, length);
const run = (f, ...args) => {
  args.forEach((arg, at) => { if (typeof arg === "function") args[at] = arg(args); });
  const result = f(...args);
  const said = typeof result === "number" ? hex(Float64Array.of(result)) : String(result);
  lines.push([said, ...args.filter(ArrayBuffer.isView).map(hex)].join(" "));
};
"#;

fn script(runs: &[Run]) -> String {
    let mut script = SCRIPT.to_owned();
    let mut before = "";
    for Run {
        text, arguments, ..
    } in runs
    {
        if text != before {
            let _ = writeln!(script, "f = {text};");
            before = text;
        }
        script.push_str("run(f");
        for argument in arguments {
            let _ = match argument {
                Argument::Int32(value) => write!(script, ", {value}"),
                Argument::Double(value) => write!(script, ", double(\"{}\")", bits(*value)),
                Argument::Boolean(value) => write!(script, ", {value}"),
                Argument::Array(kind, bytes) => {
                    write!(script, ", array({}, \"{}\")", kind.array_name(), hex(bytes))
                }
                Argument::View(kind, of, offset, length) => {
                    write!(
                        script,
                        ", view({}, {of}, {offset}, {length})",
                        kind.array_name()
                    )
                }
            };
        }
        script.push_str(");\n");
    }
    script + "console.log(lines.join('\\n'));\n"
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}

fn bits(value: f64) -> String {
    hex(&value.to_ne_bytes())
}

fn unhex(digits: &str) -> Vec<u8> {
    let bytes = (0..digits.len()).step_by(2);
    let bytes = bytes.map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap());
    bytes.collect()
}

/// What a line of the script says of a run.
fn read(line: &str, arguments: &[Argument]) -> (Returned, Vec<Argument>) {
    let mut words = line.split(' ');
    let returned = match words.next().unwrap() {
        "true" => Returned::Boolean(true),
        "false" => Returned::Boolean(false),
        "undefined" => Returned::Undefined,
        digits => Returned::Number(f64::from_ne_bytes(unhex(digits).try_into().unwrap())),
    };
    let left = arguments.iter().map(|argument| match argument {
        Argument::Array(kind, _) => Argument::Array(*kind, unhex(words.next().unwrap())),
        Argument::View(..) => {
            words.next();
            argument.clone()
        }
        other => other.clone(),
    });
    (returned, left.collect())
}

fn compare(runs: &[Run]) {
    let mut node = Command::new("node");
    let node = node.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut node = node.stderr(Stdio::piped()).spawn().unwrap();
    // It has read all of it before it prints.
    let mut stdin = node.stdin.take().unwrap();
    stdin.write_all(script(runs).as_bytes()).unwrap();
    drop(stdin);
    let output = node.wait_with_output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaint}");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().count(), runs.len());
    for (line, run) in said.lines().zip(runs) {
        let (returned, left) = read(line, &run.arguments);
        let Outcome {
            status,
            returned: own,
            arguments,
            ..
        } = &run.found;
        assert!(
            *status == Status::Done && *own == returned && same_arrays(arguments, &left),
            "seed {}: {status:?} {own:?}, and by Node.js {returned:?}\n{:?}\n{}\n{arguments:?}\n{left:?}",
            run.seed,
            run.arguments,
            run.text,
        );
    }
}

#[test]
fn compiled_kernels_do_what_they_do_in_node_js() {
    if Command::new("node").arg("--version").output().is_err() {
        println!("skipped: there is no Node.js");
        return;
    }
    let wanted = setting("MADRPC_KERNELS_RUNS").unwrap_or(RUNS);
    let first = setting("MADRPC_KERNELS_SEED").unwrap_or(1);
    let (mut seed, mut done) = (first, 0);
    while done < wanted {
        let mut runs = Vec::new();
        while runs.len() < AT_ONCE && done + (runs.len() as u64) < wanted {
            let mut case = Case::new(seed, Functions::Exact);
            seed += 1;
            let text = case.script();
            let known = match case.kernel() {
                Ok(known) => known,
                Err(why) => {
                    assert_eq!(why.reason, Reason::TooLarge, "{why}\n{text}");
                    continue;
                }
            };
            let first = case.arguments();
            let compiled = compile(&known, &first).unwrap_or_else(|why| panic!("{why}\n{text}"));
            for _ in 0..CALLS {
                let arguments = case.arguments_like(&first);
                runs.push(Run {
                    seed: seed - 1,
                    text: text.clone(),
                    found: run(&compiled, &arguments, 0),
                    arguments,
                });
            }
        }
        compare(&runs);
        done += runs.len() as u64;
    }
    println!("{done} runs of {} kernels, from seed {first}", seed - first);
}
