//! Kernels that people write: each gives what the engine gives. How long they take, and how long Node's compiler takes for the
//! same text, is what `cargo test -p madrpc-kernels --test programs -- --ignored --nocapture` prints.

mod common;

use common::{Argument, compile, doubles, engine, kernel, number, run, same, words};
use madrpc_kernels::{Context, ElementKind, Slot, Status};
use std::sync::atomic::AtomicU32;
use std::time::{Duration, Instant};

const PI: &str = "function pi(samples, seed) {
  let x = seed | 1, y = 362436069, z = 521288629, w = 88675123;
  let inside = 0;
  for (let i = 0; i < samples; i++) {
    let t = x ^ (x << 11);
    const u = w ^ (w >>> 19) ^ t ^ (t >>> 8);
    t = y ^ (y << 11);
    const v = u ^ (u >>> 19) ^ t ^ (t >>> 8);
    if (u * u + v * v < 2 ** 62) inside++;
    x = z; y = w; z = u; w = v;
  }
  return inside;
}";

const MATMUL: &str = "function matmul(a, b, c, n) {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let s = 0;
      for (let k = 0; k < n; k++) s += a[i * n + k] * b[k * n + j];
      c[i * n + j] = s;
    }
  }
}";

const DOT: &str = "function dot(a, b) {
  let s = 0;
  for (let i = 0; i < a.length; i++) s += a[i] * b[i];
  return s;
}";

const MANDELBROT: &str = "function mandelbrot(out, width, height, limit) {
  for (let py = 0; py < height; py++) {
    for (let px = 0; px < width; px++) {
      const cx = px / width * 3 - 2, cy = py / height * 2 - 1;
      let x = 0, y = 0, n = 0;
      while (n < limit && x * x + y * y <= 4) {
        const t = x * x - y * y + cx;
        y = 2 * x * y + cy;
        x = t;
        n++;
      }
      out[py * width + px] = n;
    }
  }
}";

const NBODY: &str = "function nbody(p, v, m, n, steps, dt) {
  for (let s = 0; s < steps; s++) {
    for (let i = 0; i < n; i++) {
      const xi = p[i * 3], yi = p[i * 3 + 1], zi = p[i * 3 + 2], mi = m[i];
      for (let j = i + 1; j < n; j++) {
        const dx = xi - p[j * 3], dy = yi - p[j * 3 + 1], dz = zi - p[j * 3 + 2];
        const d2 = dx * dx + dy * dy + dz * dz;
        const mag = dt / (d2 * Math.sqrt(d2));
        const mj = m[j] * mag, mk = mi * mag;
        v[i * 3] -= dx * mj; v[i * 3 + 1] -= dy * mj; v[i * 3 + 2] -= dz * mj;
        v[j * 3] += dx * mk; v[j * 3 + 1] += dy * mk; v[j * 3 + 2] += dz * mk;
      }
    }
    for (let i = 0; i < n * 3; i++) p[i] += dt * v[i];
  }
}";

const SHA256: &str = "function sha256(data, blocks, k, w, h) {
  for (let block = 0; block < blocks; block++) {
    for (let i = 0; i < 16; i++) {
      const at = block * 64 + i * 4;
      w[i] = data[at] << 24 | data[at + 1] << 16 | data[at + 2] << 8 | data[at + 3];
    }
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15], y = w[i - 2];
      const s0 = (x >>> 7 | x << 25) ^ (x >>> 18 | x << 14) ^ (x >>> 3);
      const s1 = (y >>> 17 | y << 15) ^ (y >>> 19 | y << 13) ^ (y >>> 10);
      w[i] = (w[i - 16] + s0 + w[i - 7] + s1) | 0;
    }
    let a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], l = h[7];
    for (let i = 0; i < 64; i++) {
      const s1 = (e >>> 6 | e << 26) ^ (e >>> 11 | e << 21) ^ (e >>> 25 | e << 7);
      const t1 = (l + s1 + ((e & f) ^ (~e & g)) + k[i] + w[i]) | 0;
      const s0 = (a >>> 2 | a << 30) ^ (a >>> 13 | a << 19) ^ (a >>> 22 | a << 10);
      const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      l = g; g = f; f = e; e = (d + t1) | 0; d = c; c = b; b = a; a = (t1 + t2) | 0;
    }
    h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e; h[5] += f; h[6] += g; h[7] += l;
  }
}";

const LEVENSHTEIN: &str = "function levenshtein(a, b, row) {
  for (let j = 0; j <= b.length; j++) row[j] = j;
  for (let i = 1; i <= a.length; i++) {
    let diagonal = row[0];
    row[0] = i;
    for (let j = 1; j <= b.length; j++) {
      const above = row[j];
      const cost = a[i - 1] === b[j - 1] ? diagonal : Math.min(diagonal, above, row[j - 1]) + 1;
      row[j] = cost;
      diagonal = above;
    }
  }
  return row[b.length];
}";

const HISTOGRAM: &str = "function histogram(data, bins) {
  for (let i = 0; i < data.length; i++) bins[data[i]]++;
}";

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
        program("pi, 10^6", PI, vec![int(1_000_000 / part), int(12345)]),
        program(
            "matmul 256",
            MATMUL,
            vec![
                of_doubles(n * n, 1),
                of_doubles(n * n, 2),
                room(ElementKind::Float64, n * n),
                int(n),
            ],
        ),
        program(
            "dot 65,536",
            DOT,
            vec![of_doubles(65_536 / part, 3), of_doubles(65_536 / part, 4)],
        ),
        program(
            "mandelbrot 400x300",
            MANDELBROT,
            vec![
                room(ElementKind::Int32, 120_000 / part / part),
                int(400 / part),
                int(300 / part),
                int(200),
            ],
        ),
        program(
            "n-body, 10^5 steps",
            NBODY,
            vec![
                of_doubles(bodies * 3, 5),
                of_doubles(bodies * 3, 6),
                of_doubles(bodies, 7),
                int(bodies),
                int(100_000 / part),
                number(0.001),
            ],
        ),
        program(
            "SHA-256, 1 MB",
            SHA256,
            vec![
                of_bytes(ElementKind::Uint8, blocks * 64, 8),
                int(blocks),
                of_bytes(ElementKind::Int32, 64, 9),
                room(ElementKind::Int32, 64),
                words(&[1, 2, 3, 4, 5, 6, 7, 8]),
            ],
        ),
        program(
            "Levenshtein 2,000",
            LEVENSHTEIN,
            vec![
                of_letters(letters, 10),
                of_letters(letters, 11),
                room(ElementKind::Int32, letters + 1),
            ],
        ),
        program(
            "histogram, 10^6",
            HISTOGRAM,
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
