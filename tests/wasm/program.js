// What both runtimes run: the exports of both modules in, results out that are the same wherever it is.
const hex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");

const caught = (run) => {
  try {
    return run();
  } catch (error) {
    return [error instanceof WebAssembly.RuntimeError, error instanceof RangeError, error instanceof TypeError];
  }
};

export const run = (rust, assembly, seen) => {
  const bytes = (at, length) => new Uint8Array(rust.memory.buffer, at, length);
  const sha256 = (data) => {
    const at = rust.allocate(data.length), out = rust.allocate(32);
    bytes(at, data.length).set(data);
    rust.sha256(at, data.length, out);
    return hex(bytes(out, 32));
  };
  const matmul = (n) => {
    const [a, b, c] = [1, 2, 3].map(() => rust.allocate(8 * n * n + 8) + 7 & -8);
    const all = (at) => new Float64Array(rust.memory.buffer, at, n * n);
    for (let i = 0; i < n * n; i++) all(a)[i] = Math.sqrt(i), all(b)[i] = 1 / (i + 1);
    rust.matmul(a, b, c, n);
    return [...all(c)];
  };
  const before = rust.memory.buffer.byteLength;
  seen.length = 0;
  return {
    hashes: [0, 1, 55, 56, 64, 1000].map((n) => sha256(Uint8Array.from({ length: n }, (_, i) => i * 7))),
    large: sha256(new Uint8Array(3000000).fill(5)),
    grown: rust.memory.buffer.byteLength > before,
    product: matmul(33),
    words: String(rust.words(30000)),
    seen: [...seen],
    report: rust.report(10),
    quotient: String(rust.divide(-(2n ** 63n), 3n)),
    byZero: caught(() => rust.divide(1n, 0n)),
    noBigInt: caught(() => rust.divide(1, 2)),
    add: [rust.add(2 ** 31 - 1, 1), rust.add(1.9, "3")],
    nothing: rust.nothing() === undefined,
    sieve: assembly.sieve(100000),
    mandelbrot: String(assembly.mandelbrot(64, 500)),
    mean: assembly.mean(10000),
    tooLong: caught(() => assembly.sieve(-2)),
  };
};
