//! Kernels that people write: each gives what the engine gives. How long they take, and how long Node's compiler takes for the
//! same text, is what `cargo test -p madrpc-kernels --test programs -- --ignored --nocapture` prints.

mod common;

use common::{Argument, compile, doubles, engine, kernel, number, run, same, words};
use madrpc_kernels::{Context, ElementKind, Slot, Status};
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

/// Those of the example.
const PROGRAMS: &str = include_str!("../../../examples/kernels/programs.js");

fn text(name: &str) -> &'static str {
    let head = format!("function {name}(");
    let mut all = PROGRAMS.split_inclusive("\n}\n");
    let found = all.find_map(|one| one.find(&head).map(|at| &one[at..]));
    found.unwrap_or_default().trim_end()
}

fn of_bytes(kind: ElementKind, count: usize, seed: u64) -> Argument {
    let mut random = fastrand::Rng::with_seed(seed);
    let bytes = (0..count * kind.bytes()).map(|_| random.u8(..));
    Argument::Array(kind, bytes.collect())
}

fn of_letters(count: usize, seed: u64) -> Argument {
    let mut random = fastrand::Rng::with_seed(seed);
    let bytes = (0..count).map(|_| random.u8(b'a'..b'e'));
    Argument::Array(ElementKind::Uint8, bytes.collect())
}

fn of_doubles(count: usize, seed: u64) -> Argument {
    let mut random = fastrand::Rng::with_seed(seed);
    let values: Vec<f64> = (0..count).map(|_| random.f64() * 4.0 - 2.0).collect();
    doubles(&values)
}

fn room(kind: ElementKind, count: usize) -> Argument {
    Argument::Array(kind, vec![0; count * kind.bytes()])
}

struct Program {
    name: &'static str,
    text: &'static str,
    arguments: Vec<Argument>,
}

/// All programs, so large or a `part` of it.
fn programs(part: usize) -> Vec<Program> {
    let int = |value: usize| Argument::Int32(value as i32);
    let program = |name, text, arguments| Program {
        name,
        text,
        arguments,
    };
    let n = 256 / part;
    let bodies = 5;
    let blocks = 16_384 / part;
    let letters = 2_000 / part;
    vec![
        program(
            "pi, 10^6",
            text("pi"),
            vec![int(1_000_000 / part), int(12345)],
        ),
        program(
            "matmul 256",
            text("matmul"),
            vec![
                of_doubles(n * n, 1),
                of_doubles(n * n, 2),
                room(ElementKind::Float64, n * n),
                int(n),
            ],
        ),
        program(
            "dot 65,536",
            text("dot"),
            vec![of_doubles(65_536 / part, 3), of_doubles(65_536 / part, 4)],
        ),
        program(
            "mandelbrot 400x300",
            text("mandelbrot"),
            vec![
                room(ElementKind::Int32, 120_000 / part / part),
                int(400 / part),
                int(300 / part),
                int(200),
            ],
        ),
        program(
            "n-body, 10^5 steps",
            text("nbody"),
            vec![
                of_doubles(bodies * 3, 5),
                of_doubles(bodies * 3, 6),
                of_doubles(bodies, 7),
                int(100_000 / part),
                number(0.001),
            ],
        ),
        program(
            "SHA-256, 1 MB",
            text("sha256"),
            vec![
                of_bytes(ElementKind::Uint8, blocks * 64, 8),
                of_bytes(ElementKind::Int32, 64, 9),
                room(ElementKind::Int32, 64),
                words(&[1, 2, 3, 4, 5, 6, 7, 8]),
            ],
        ),
        program(
            "Levenshtein 2,000",
            text("levenshtein"),
            vec![
                of_letters(letters, 10),
                of_letters(letters, 11),
                room(ElementKind::Int32, letters + 1),
            ],
        ),
        program(
            "histogram, 10^6",
            text("histogram"),
            vec![
                of_bytes(ElementKind::Uint8, 1_000_000 / part, 12),
                room(ElementKind::Uint32, 256),
            ],
        ),
    ]
}

#[test]
fn programs_give_what_the_engine_gives() {
    engine(|ctx| {
        for program in programs(20) {
            same(&ctx, program.text, &program.arguments);
        }
    });
}

#[test]
#[ignore = "it measures"]
fn how_long_they_take() {
    for program in programs(1) {
        let start = Instant::now();
        let made = kernel(program.text).unwrap();
        let read = start.elapsed();
        let start = Instant::now();
        let compiled = compile(&made, &program.arguments).unwrap();
        let compiling = start.elapsed();
        let mut best = Duration::MAX;
        for _ in 0..15 {
            best = best.min(run(&compiled, &program.arguments, 0).took.0);
        }
        assert_eq!(run(&compiled, &program.arguments, 0).status, Status::Done);
        let node = node(&program);
        let ratio = node.map_or_else(
            || "no node here".to_owned(),
            |node| {
                format!(
                    "node {:9.3} ms, {:.2} x",
                    node,
                    best.as_secs_f64() * 1e3 / node
                )
            },
        );
        println!(
            "{:20} {:9.3} ms, {ratio} (read {:.0} us, compiled {:.0} us to {} bytes)",
            program.name,
            best.as_secs_f64() * 1e3,
            read.as_secs_f64() * 1e6,
            compiling.as_secs_f64() * 1e6,
            compiled.code_bytes(),
        );
    }
}

#[test]
#[ignore = "it measures"]
fn how_long_a_call_takes() {
    const CALLS: u32 = 1_000_000;
    let made = kernel("function add(a, b) { return a + b; }").unwrap();
    let arguments = [Argument::Double(1.0), Argument::Double(2.0)];
    let compiled = compile(&made, &arguments).unwrap();
    let flag = AtomicU32::new(0);
    let mut context = Context::new(&raw const flag, common::go_on, 0, std::ptr::null_mut());
    let slots = [Slot { double: 1.0 }, Slot { double: 2.0 }];
    let mut result = Slot { double: 0.0 };
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        for _ in 0..CALLS {
            // SAFETY: two doubles, as it was compiled for.
            let status = unsafe {
                let slots = std::hint::black_box(slots.as_ptr());
                compiled.call(&raw mut context, slots, &raw mut result)
            };
            assert_eq!(status, Status::Done);
        }
        best = best.min(start.elapsed() / CALLS);
    }
    println!("a call of add(a, b) from Rust takes {best:?}");
}

/// The least milliseconds that Node takes, once it has compiled it.
fn node(program: &Program) -> Option<f64> {
    let mut arguments = Vec::new();
    for argument in &program.arguments {
        arguments.push(match argument {
            Argument::Int32(value) => value.to_string(),
            Argument::Double(value) => value.to_string(),
            Argument::Boolean(value) => value.to_string(),
            Argument::View(..) => unreachable!("no program has one"),
            Argument::Array(kind, bytes) => {
                format!(
                    "new {}(new Uint8Array({bytes:?}).buffer)",
                    kind.array_name()
                )
            }
        });
    }
    let text = format!(
        "const f = {};\nconst make = () => [{}];\nlet best = Infinity;\nconst first = make();\n\
         for (let i = 0; i < 30; i++) {{ const a = first.map((x) => x.slice ? x.slice() : x); const t = performance.now(); f(...a); best = Math.min(best, performance.now() - t); }}\n\
         console.log(best);",
        program.text,
        arguments.join(", ")
    );
    let folder = std::env::temp_dir().join(format!("madrpc-kernels-{}.js", std::process::id()));
    std::fs::write(&folder, text).ok()?;
    let output = std::process::Command::new("node").arg(&folder).output();
    std::fs::remove_file(&folder).ok()?;
    String::from_utf8(output.ok()?.stdout)
        .ok()?
        .trim()
        .parse()
        .ok()
}
