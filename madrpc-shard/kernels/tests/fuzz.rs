//! Random kernels and arguments, compiled and interpreted: the result and the bytes of the arrays, bit for bit.
//!
//! `MADRPC_KERNELS_RUNS=1000000` makes so many runs of it, `MADRPC_KERNELS_SECONDS=60` goes on for so long, with new seeds each
//! time, and `MADRPC_KERNELS_SEED=7` begins with that seed. What differs is shown with its seed.

mod common;

use common::writer::Writer;
use common::{Argument, call, capturing, compile, engine, run};
use fastrand::Rng;
use madrpc_kernels::{Captured, ElementKind, Kernel, Reason, Refused, Status};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

const RUNS: u64 = 3_000;
/// How often each kernel is called.
const CALLS: u64 = 12;

fn number(random: &mut Rng) -> Argument {
    let special = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        2.0,
        3.0,
        15.0,
        0.5,
        -7.25,
        255.0,
        65536.0,
        2147483647.0,
        -2147483648.0,
        4294967295.0,
        4294967296.5,
        9007199254740991.0,
        -9007199254740992.0,
        1e20,
        -1e300,
        f64::INFINITY,
        f64::NAN,
    ];
    match random.u8(..4) {
        0 => Argument::Int32(random.i32(..)),
        1 => Argument::Double((random.f64() - 0.5) * 2f64.powi(random.i32(-10..70))),
        _ => common::number(special[random.usize(..special.len())]),
    }
}

fn array(random: &mut Rng) -> Argument {
    let kind = ElementKind::ALL[random.usize(..ElementKind::ALL.len())];
    let length = random.usize(16..20);
    let mut bytes = Vec::new();
    for _ in 0..length {
        // Small numbers say more than random bytes, which are mostly vast or NaN.
        let value = match random.u8(..3) {
            0 => random.i32(-300..300).into(),
            1 => (random.f64() - 0.5) * 1000.0,
            _ => f64::from(random.i32(..)),
        };
        match kind {
            ElementKind::Float64 => bytes.extend_from_slice(&value.to_ne_bytes()),
            ElementKind::Float32 => bytes.extend_from_slice(&(value as f32).to_ne_bytes()),
            ElementKind::Float16 => {
                bytes.extend_from_slice(&(random.u16(..) & 0xbfff).to_ne_bytes());
            }
            _ => bytes.extend_from_slice(&(value as i64).to_ne_bytes()[..kind.bytes()]),
        }
    }
    Argument::Array(kind, bytes)
}

/// The bits of NaN are nobody's business, but they are in arrays too.
fn canonical(argument: &Argument) -> Argument {
    let Argument::Array(kind, bytes) = argument else {
        return argument.clone();
    };
    let mut bytes = bytes.clone();
    for element in bytes.chunks_exact_mut(kind.bytes()) {
        // Little-endian: the last bytes have sign and exponent. All bits of the exponent, and one below: NaN.
        let (exponent, top) = match kind {
            ElementKind::Float64 => (0x7ff0_u32, element.len() - 2),
            ElementKind::Float32 => (0x7f80, element.len() - 2),
            ElementKind::Float16 => (0x7c00, 0),
            _ => continue,
        };
        let high = u32::from(element[top]) | u32::from(element[top + 1]) << 8;
        let is_nan = high & exponent == exponent
            && (high & (0x7fff ^ exponent) != 0 || element[..top].iter().any(|byte| *byte != 0));
        if is_nan {
            element.fill(0xff);
        }
    }
    Argument::Array(*kind, bytes)
}

fn arguments(random: &mut Rng, arrays: usize) -> Vec<Argument> {
    let arrays: Vec<Argument> = (0..arrays).map(|_| array(random)).collect();
    let numbers = (0..3).map(|_| number(random));
    arrays.into_iter().chain(numbers).collect()
}

/// Makes the argument one of the kind of the first.
fn fit(argument: &mut Argument, first: &Argument, random: &mut Rng) {
    if argument.kind() == first.kind() {
        return;
    }
    *argument = match (&argument, first) {
        (Argument::Int32(value), Argument::Double(_)) => Argument::Double((*value).into()),
        (Argument::Double(_), Argument::Int32(_)) => Argument::Int32(random.i32(-20..300)),
        (_, Argument::Array(kind, bytes)) => {
            let mut bytes = bytes.clone();
            let element = random.usize(..bytes.len() / kind.bytes()) * kind.bytes();
            bytes.rotate_left(element);
            Argument::Array(*kind, bytes)
        }
        (_, first) => first.clone(),
    };
}

/// Each captures those before it.
fn kernels(texts: &[(String, String)]) -> Result<Arc<Kernel>, Refused> {
    let mut captured: Vec<(&str, Captured)> = Vec::new();
    for (number, (name, text)) in texts.iter().enumerate() {
        let made = Arc::new(capturing(text, &captured)?);
        if number + 1 == texts.len() {
            return Ok(made);
        }
        captured.push((name, Captured::Kernel(made)));
    }
    unreachable!("there is at least one text")
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn compiled_and_interpreted_kernels_do_the_same() {
    let seconds = setting("MADRPC_KERNELS_SECONDS");
    let end = seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let runs = setting("MADRPC_KERNELS_RUNS").unwrap_or(RUNS);
    // Far from each other, as seeds that follow each other come next.
    let other = || fastrand::u64(1..1 << 32) << 24;
    let first =
        setting("MADRPC_KERNELS_SEED").unwrap_or(if seconds.is_some() { other() } else { 1 });
    let (mut made, mut done, mut different) = (0, 0, 0);
    let mut refused = BTreeMap::<String, u32>::new();
    let mut seed = first;
    let more = |done| match end {
        Some(end) => Instant::now() < end,
        None => done < runs,
    };
    while more(done) && different == 0 {
        // A runtime each, or the engine would keep what it knows of thousands of functions.
        engine(|ctx| {
            for _ in 0..200 {
                let mut random = Rng::with_seed(seed);
                let arrays = random.usize(1..4);
                let mut texts = Vec::new();
                let mut names: Vec<String> = Vec::new();
                for number in 0..random.usize(..3) {
                    let mut writer = Writer::new(random.fork(), 1, &names);
                    let name = format!("k{number}");
                    texts.push((name.clone(), writer.text(&name)));
                    names.push(name);
                }
                texts.push((
                    "f".to_owned(),
                    Writer::new(random.fork(), arrays, &names).text("f"),
                ));
                made += 1;
                seed += 1;
                let known = match kernels(&texts) {
                    Ok(known) => known,
                    Err(why) => {
                        assert_eq!(why.reason, Reason::TooLarge, "{why}\n{texts:?}");
                        *refused.entry(why.what).or_default() += 1;
                        continue;
                    }
                };
                let text: String = texts
                    .iter()
                    .map(|(name, text)| format!("const {name} = {text};\n"))
                    .collect();
                let function = format!("(() => {{\n{text}\nreturn f; }})()");
                let function: rquickjs::Function = ctx.eval(function).unwrap();
                let mut compiled = None;
                for round in 0..CALLS {
                    let mut arguments = arguments(&mut random, arrays);
                    // Two kinds of each kernel: compiling takes longer than running.
                    if round % (CALLS / 2) == 0 {
                        let made = compile(&known, &arguments);
                        compiled = Some((
                            made.unwrap_or_else(|why| panic!("{why}\n{text}")),
                            arguments.clone(),
                        ));
                    }
                    let Some((compiled, first)) = &compiled else {
                        continue;
                    };
                    for (argument, first) in arguments.iter_mut().zip(first) {
                        fit(argument, first, &mut random);
                    }
                    let found = run(compiled, &arguments, random.u32(..50));
                    let (returned, left) = call(&ctx, &function, &arguments);
                    done += 1;
                    let same =
                        found.status == Status::Done
                            && found.returned == returned
                            && found.arguments.iter().zip(&left).all(
                                |(found, wanted)| match found {
                                    Argument::Array(..) => canonical(found) == canonical(wanted),
                                    _ => true,
                                },
                            );
                    if !same {
                        different += 1;
                        println!(
                            "seed {}: {:?} {:?}, and interpreted {returned:?}\n{arguments:?}\n{text}\n{:?}\n{left:?}",
                            seed - 1,
                            found.status,
                            found.returned,
                            found.arguments
                        );
                        return;
                    }
                }
            }
        });
    }
    println!(
        "{made} kernels from seed {first}, {done} runs, {different} different, refused {refused:?}"
    );
    assert_eq!(different, 0);
}
