//! What `rust.wasm` is made of, see `build`. Its memory grows, its functions call a host's, and one of them panics.
#![allow(clippy::missing_safety_doc, missing_docs)]

#[link(wasm_import_module = "./host.js")]
unsafe extern "C" {
    fn progress(done: u32, all: u64) -> f64;
}

#[unsafe(no_mangle)]
pub extern "C" fn allocate(bytes: usize) -> *mut u8 {
    Box::leak(vec![0_u8; bytes].into_boxed_slice()).as_mut_ptr()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn sha256(data: *const u8, length: usize, out: *mut u8) {
    let data = unsafe { std::slice::from_raw_parts(data, length) };
    let mut state: [u32; 8] = [
        0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
    ];
    let primes = (2_u64..).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0));
    let fraction = |n: u64| (((n as f64).cbrt().fract()) * 4_294_967_296.0) as u32;
    let k: Vec<u32> = primes.take(64).map(fraction).collect();
    let mut tail = data.chunks_exact(64).remainder().to_vec();
    tail.push(0x80);
    while tail.len() % 64 != 56 {
        tail.push(0);
    }
    tail.extend_from_slice(&((length as u64) * 8).to_be_bytes());
    for block in data.chunks_exact(64).chain(tail.chunks_exact(64)) {
        let mut w = [0_u32; 64];
        for (at, word) in block.chunks_exact(4).enumerate() {
            w[at] = u32::from_be_bytes(word.try_into().unwrap());
        }
        for at in 16..64 {
            let (a, b) = (w[at - 15], w[at - 2]);
            let s0 = a.rotate_right(7) ^ a.rotate_right(18) ^ (a >> 3);
            let s1 = b.rotate_right(17) ^ b.rotate_right(19) ^ (b >> 10);
            w[at] = w[at - 16].wrapping_add(s0).wrapping_add(w[at - 7]).wrapping_add(s1);
        }
        let [mut a, mut b, mut c, mut d, mut e, mut f, mut g, mut h] = state;
        for at in 0..64 {
            let s1 = e.rotate_right(6) ^ e.rotate_right(11) ^ e.rotate_right(25);
            let one = h.wrapping_add(s1).wrapping_add((e & f) ^ (!e & g)).wrapping_add(k[at]).wrapping_add(w[at]);
            let s0 = a.rotate_right(2) ^ a.rotate_right(13) ^ a.rotate_right(22);
            let two = s0.wrapping_add((a & b) ^ (a & c) ^ (b & c));
            (h, g, f, e, d, c, b, a) = (g, f, e, d.wrapping_add(one), c, b, a, one.wrapping_add(two));
        }
        for (state, part) in state.iter_mut().zip([a, b, c, d, e, f, g, h]) {
            *state = state.wrapping_add(part);
        }
    }
    let out = unsafe { std::slice::from_raw_parts_mut(out, 32) };
    for (at, word) in state.iter().enumerate() {
        out[4 * at..4 * at + 4].copy_from_slice(&word.to_be_bytes());
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn matmul(a: *const f64, b: *const f64, c: *mut f64, n: usize) {
    let [a, b] = [a, b].map(|m| unsafe { std::slice::from_raw_parts(m, n * n) });
    let c = unsafe { std::slice::from_raw_parts_mut(c, n * n) };
    for i in 0..n {
        for k in 0..n {
            let x = a[i * n + k];
            for j in 0..n {
                c[i * n + j] += x * b[k * n + j];
            }
        }
    }
}

/// Words, counted in a map and sorted: what a program does that asks for much memory.
#[unsafe(no_mangle)]
pub extern "C" fn words(count: u32) -> u64 {
    let mut seen = std::collections::BTreeMap::new();
    let mut state = 1_u32;
    for at in 0..count {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *seen.entry(format!("word{}", state % 5000)).or_insert(0_u64) += 1;
        if at % 10_000 == 0 {
            unsafe { progress(at, u64::MAX - u64::from(at)) };
        }
    }
    seen.iter().fold(7, |all, (word, count)| all.wrapping_mul(31) ^ (word.len() as u64 * count))
}

#[unsafe(no_mangle)]
pub extern "C" fn divide(a: i64, b: i64) -> i64 {
    a.wrapping_div(b)
}

#[unsafe(no_mangle)]
pub extern "C" fn nothing() {}

#[unsafe(no_mangle)]
pub extern "C" fn add(a: i32, b: i32) -> i32 {
    a.wrapping_add(b)
}

#[unsafe(no_mangle)]
pub extern "C" fn report(times: u32) -> f64 {
    (0..times).map(|at| unsafe { progress(at, u64::from(times)) }).sum()
}
