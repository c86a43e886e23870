//! The programs in Rust, on the same numbers; each gives the digest of what it has computed.

use std::hint::black_box;
use std::time::Instant;

/// Runs a program so many times; gives the times in milliseconds, and the digest of the first run.
pub(super) fn measure(name: &str, runs: usize) -> Option<(Vec<f64>, f64)> {
    Some(match name {
        "pi" => time(runs, &mut (), |()| pi(black_box(1_000_000), 12345)),
        "matmul" => {
            let n = 256;
            let (a, b) = (doubles(n * n, 1), doubles(n * n, 2));
            let mut product = vec![0.0; n * n];
            let run = |product: &mut Vec<f64>| matmul(&a, &b, product, n);
            let (times, ()) = time(runs, &mut product, run);
            (times, digest_of_doubles(&product))
        }
        "dot" => {
            let (a, b) = (doubles(65536, 3), doubles(65536, 4));
            time(runs, &mut (), |()| dot(&a, &b))
        }
        "mandelbrot" => {
            let mut steps = vec![0; 400 * 300];
            let run = |steps: &mut Vec<i32>| mandelbrot(steps, 400, 300, black_box(200));
            let (times, ()) = time(runs, &mut steps, run);
            (times, digest(steps))
        }
        "nbody" => {
            let bodies = (doubles(15, 5), doubles(15, 6));
            let masses = doubles(5, 7);
            let mut first = bodies.clone();
            nbody(&mut first.0, &mut first.1, &masses, 100_000, 0.001);
            let mut bodies = bodies;
            let run = |(places, speeds): &mut (Vec<f64>, Vec<f64>)| {
                nbody(places, speeds, &masses, 100_000, 0.001);
            };
            let (times, ()) = time(runs, &mut bodies, run);
            (times, digest_of_doubles(&first.0))
        }
        "sha256" => {
            let message = bytes(16384 * 64, 8);
            let constants: [i32; 64] = fractions(f64::cbrt);
            let begin: [i32; 8] = fractions(f64::sqrt);
            let mut first = begin;
            sha256(&message, &constants, &mut first);
            let mut state = begin;
            let run = |state: &mut [i32; 8]| sha256(&message, &constants, state);
            let (times, ()) = time(runs, &mut state, run);
            (times, digest(first))
        }
        "levenshtein" => {
            let letters = |seed| filled(2000, seed, |bits| 97 + (bits % 4) as u8);
            let (a, b) = (letters(9), letters(10));
            time(runs, &mut vec![0; 2001], |row| levenshtein(&a, &b, row))
        }
        "histogram" => {
            let bytes = bytes(1_000_000, 11);
            let mut first = [0; 256];
            histogram(&bytes, &mut first);
            let run = |counts: &mut [u32; 256]| histogram(&bytes, counts);
            let (times, ()) = time(runs, &mut [0; 256], run);
            (times, digest(first.map(u32::cast_signed)))
        }
        _ => return None,
    })
}

/// How long each run takes, and what the first one gives.
fn time<S, R>(runs: usize, state: &mut S, mut run: impl FnMut(&mut S) -> R) -> (Vec<f64>, R) {
    let mut timed = |state: &mut S| {
        let begun = Instant::now();
        let given = black_box(run(black_box(state)));
        (begun.elapsed().as_secs_f64() * 1e3, given)
    };
    let (took, given) = timed(state);
    let mut times = vec![took];
    times.extend((1..runs).map(|_| timed(state).0));
    (times, given)
}

fn pi(samples: u32, seed: i32) -> f64 {
    let (mut x, mut y, mut z, mut w) = (seed | 1, 362_436_069_i32, 521_288_629_i32, 88_675_123_i32);
    let shifted = |x: i32, bits: u32| (x.cast_unsigned() >> bits).cast_signed();
    let mut inside = 0;
    for _ in 0..samples {
        let t = x ^ (x << 11);
        let u = w ^ shifted(w, 19) ^ t ^ shifted(t, 8);
        let t = y ^ (y << 11);
        let v = u ^ shifted(u, 19) ^ t ^ shifted(t, 8);
        let [a, b] = [u, v].map(f64::from);
        if a * a + b * b < 2.0_f64.powi(62) {
            inside += 1;
        }
        (x, y, z, w) = (z, w, u, v);
    }
    f64::from(inside)
}

fn matmul(a: &[f64], b: &[f64], product: &mut [f64], n: usize) {
    for i in 0..n {
        for j in 0..n {
            let mut sum = 0.0;
            for k in 0..n {
                sum += a[i * n + k] * b[k * n + j];
            }
            product[i * n + j] = sum;
        }
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).fold(0.0, |sum, (a, b)| sum + a * b)
}

fn mandelbrot(steps: &mut [i32], width: usize, height: usize, limit: i32) {
    for row in 0..height {
        for column in 0..width {
            let re = column as f64 / width as f64 * 3.0 - 2.0;
            let im = row as f64 / height as f64 * 2.0 - 1.0;
            let (mut x, mut y, mut n) = (0.0, 0.0, 0);
            while n < limit && x * x + y * y <= 4.0 {
                (x, y) = (x * x - y * y + re, 2.0 * x * y + im);
                n += 1;
            }
            steps[row * width + column] = n;
        }
    }
}

fn nbody(places: &mut [f64], speeds: &mut [f64], masses: &[f64], steps: usize, dt: f64) {
    let n = masses.len();
    for _ in 0..steps {
        for i in 0..n {
            for j in i + 1..n {
                let d: [f64; 3] = std::array::from_fn(|at| places[i * 3 + at] - places[j * 3 + at]);
                let squared = d[0] * d[0] + d[1] * d[1] + d[2] * d[2];
                let pull = dt / (squared * squared.sqrt());
                let (his, own) = (masses[j] * pull, masses[i] * pull);
                for at in 0..3 {
                    speeds[i * 3 + at] -= d[at] * his;
                    speeds[j * 3 + at] += d[at] * own;
                }
            }
        }
        for (place, speed) in places.iter_mut().zip(&*speeds) {
            *place += dt * speed;
        }
    }
}

fn sha256(message: &[u8], constants: &[i32; 64], state: &mut [i32; 8]) {
    let turned = |x: i32, bits: u32| x.rotate_right(bits);
    let shifted = |x: i32, bits: u32| (x.cast_unsigned() >> bits).cast_signed();
    let mut w = [0_i32; 64];
    for block in message.chunks_exact(64) {
        for (word, bytes) in w.iter_mut().zip(block.chunks_exact(4)) {
            *word = i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        for i in 16..64 {
            let (x, y) = (w[i - 15], w[i - 2]);
            let s0 = turned(x, 7) ^ turned(x, 18) ^ shifted(x, 3);
            let s1 = turned(y, 17) ^ turned(y, 19) ^ shifted(y, 10);
            let sum = w[i - 16].wrapping_add(s0).wrapping_add(w[i - 7]);
            w[i] = sum.wrapping_add(s1);
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = *state;
        for (constant, word) in constants.iter().zip(w) {
            let s1 = turned(e, 6) ^ turned(e, 11) ^ turned(e, 25);
            let choice = (e & f) ^ (!e & g);
            let sum = h.wrapping_add(s1).wrapping_add(choice);
            let t1 = sum.wrapping_add(*constant).wrapping_add(word);
            let s0 = turned(a, 2) ^ turned(a, 13) ^ turned(a, 22);
            let t2 = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
            (h, g, f, e) = (g, f, e, d.wrapping_add(t1));
            (d, c, b, a) = (c, b, a, t1.wrapping_add(t2));
        }
        for (sum, part) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *sum = sum.wrapping_add(part);
        }
    }
}

fn levenshtein(a: &[u8], b: &[u8], row: &mut [i32]) -> f64 {
    for (number, place) in (0..).zip(row.iter_mut()) {
        *place = number;
    }
    for (number, letter) in (1..).zip(a) {
        let mut diagonal = row[0];
        row[0] = number;
        for j in 1..=b.len() {
            let above = row[j];
            row[j] = match *letter == b[j - 1] {
                true => diagonal,
                false => diagonal.min(above).min(row[j - 1]) + 1,
            };
            diagonal = above;
        }
    }
    f64::from(row[b.len()])
}

fn histogram(bytes: &[u8], counts: &mut [u32; 256]) {
    for byte in bytes {
        counts[usize::from(*byte)] += 1;
    }
}

/// So many of `make(bits)`, of the bits that the examples' xorshift32 gives.
fn filled<T>(length: usize, seed: u32, make: impl Fn(u32) -> T) -> Vec<T> {
    let mut x = seed;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        x
    };
    (0..length).map(|_| make(next())).collect()
}

fn doubles(length: usize, seed: u32) -> Vec<f64> {
    filled(length, seed, |bits| {
        f64::from(bits) / 2.0_f64.powi(30) - 2.0
    })
}

fn bytes(length: usize, seed: u32) -> Vec<u8> {
    filled(length, seed, |bits| bits as u8)
}

/// The first 32 bits of the fractions of roots of the first primes.
fn fractions<const N: usize>(root: impl Fn(f64) -> f64) -> [i32; N] {
    let is_prime = |n: &u32| (2..*n).all(|divisor| !n.is_multiple_of(divisor));
    let mut primes = (2..).filter(is_prime);
    [0; N].map(|_| {
        let prime = primes.next().unwrap_or_default();
        (root(f64::from(prime)).fract() * 2.0_f64.powi(32)) as u32 as i32
    })
}

fn digest(words: impl IntoIterator<Item = i32>) -> f64 {
    let sum = words
        .into_iter()
        .fold(0_i32, |sum, word| sum.wrapping_mul(31).wrapping_add(word));
    f64::from(sum)
}

fn digest_of_doubles(values: &[f64]) -> f64 {
    let words = values.iter().flat_map(|value| {
        let bits = value.to_bits();
        [bits as i32, (bits >> 32) as i32]
    });
    digest(words)
}
