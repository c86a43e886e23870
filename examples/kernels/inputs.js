// What the programs run on: the same numbers wherever they run. `part` makes them so many times smaller.

// Xorshift32: a function that gives the next 32 bits.
function noise(seed) {
  let x = seed;
  return () => {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    return x >>> 0;
  };
}

// An array of `make(bits)`.
function filled(array, seed, make) {
  const next = noise(seed);
  for (let i = 0; i < array.length; i++) array[i] = make(next());
  return array;
}

const doubles = (length, seed) => filled(new Float64Array(length), seed, (bits) => bits / 2 ** 30 - 2);
const bytes = (length, seed) => filled(new Uint8Array(length), seed, (bits) => bits);
const letters = (length, seed) => filled(new Uint8Array(length), seed, (bits) => 97 + bits % 4);

// SHA-256's constants and first state: fractions of roots of the first primes.
function fractions(count, root) {
  const words = new Int32Array(count);
  for (let found = 0, n = 2; found < count; n++) {
    let divisor = 2;
    while (n % divisor !== 0) divisor++;
    if (divisor === n) words[found++] = root(n) % 1 * 2 ** 32;
  }
  return words;
}

const whole = (number) => Math.max(1, Math.trunc(number));

// For each program its arguments, and that of them which it writes into, if there is one.
export const inputs = {
  pi: (part) => [[whole(1e6 / part), 12345]],
  matmul(part) {
    const n = whole(256 / part);
    const product = new Float64Array(n * n);
    return [[doubles(n * n, 1), doubles(n * n, 2), product, n], product];
  },
  dot: (part) => [[doubles(whole(65536 / part), 3), doubles(whole(65536 / part), 4)]],
  mandelbrot(part) {
    const [width, height] = [whole(400 / part), whole(300 / part)];
    const steps = new Int32Array(width * height);
    return [[steps, width, height, 200], steps];
  },
  nbody(part) {
    const places = doubles(15, 5);
    return [[places, doubles(15, 6), doubles(5, 7), whole(1e5 / part), 0.001], places];
  },
  sha256(part) {
    const message = bytes(64 * whole(16384 / part), 8);
    const state = fractions(8, Math.sqrt);
    return [[message, fractions(64, Math.cbrt), new Int32Array(64), state], state];
  },
  levenshtein(part) {
    const length = whole(2000 / part);
    return [[letters(length, 9), letters(length, 10), new Int32Array(length + 1)]];
  },
  histogram(part) {
    const counts = new Uint32Array(256);
    return [[bytes(whole(1e6 / part), 11), counts], counts];
  },
};

// A number for all that a program has given: for an array, each 32 bits of it count.
function digest(given) {
  if (typeof given === "number") return given;
  let sum = 0;
  for (const word of new Int32Array(given.buffer, given.byteOffset, given.byteLength / 4)) sum = Math.imul(sum, 31) + word | 0;
  return sum;
}

// Runs a program so many times, and gives the median of the milliseconds that it took, and the digest of the first run.
export function measure(program, input, { runs = 1, part = 1 } = {}) {
  const [args, written] = input(part);
  const times = [];
  let first;
  for (let run = 0; run < runs; run++) {
    const begun = performance.now();
    const given = program(...args);
    times.push(performance.now() - begun);
    first ??= digest(written ?? given);
  }
  times.sort((a, b) => a - b);
  return { ms: times[Math.trunc(runs / 2)], digest: first };
}
