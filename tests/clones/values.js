// Values by number: what `make(seed)` gives and how `show` writes it is the same in Node and in a lane. What both know to
// carry is in them: primitives, lists with holes, objects with odd keys, instances of classes, dates, bytes; and sometimes,
// somewhere inside, what neither carries.
"use strict";

const randomOf = (seed) => {
  let state = Math.imul(seed, 0x9e3779b1) | 0;
  const next = () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (t ^ (t >>> 14)) >>> 0;
  };
  return { below: (end) => next() % end, one: (list) => list[next() % list.length], next };
};

const NUMBERS = [
  0, -0, 1, -1, 0.1, -0.5, NaN, Infinity, -Infinity, 127, 128, -129, 65535, 65536, 2 ** 31 - 1, 2 ** 31, -(2 ** 31), 2 ** 32, 2 ** 53 - 1, 2 ** 53,
  2 ** 53 + 2, -(2 ** 53), 2 ** 63, -(2 ** 63), 2 ** 64, 1e21, 1e-7, 5e-324, Number.MAX_VALUE, Number.EPSILON, 123456789.125,
];
const BIGS = [0n, 1n, -1n, 255n, -256n, 2n ** 63n, -(2n ** 63n), 2n ** 64n, -(2n ** 64n) - 1n, 10n ** 50n, -(7n ** 300n)];
const TEXTS = [
  "", "a", "\0", "é", "ÿ", "Ā", "日本語", "😀", "\ud800", "\udc00x", "x\ud83d", "\ude00\ud83d", "\u2028", "\ufeff", "a\nb\t\"\\", "__proto__", "0", "x".repeat(300),
  "é".repeat(300), "😀".repeat(200),
];
const KEYS = [...TEXTS, "1", "10", "2", "-1", "01", "1.5", "4294967294", "4294967295", "constructor", "toString", "length", "then2", "hasOwnProperty"];
const VIEWS = [
  Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, BigInt64Array, BigUint64Array, Float32Array, Float64Array,
];
class Point { constructor(x, y) { this.x = x; this.y = y; } get sum() { return 1; } length2() { return 2; } }
class Deep extends Point { #hidden = 1; own = this.#hidden; static other = 2; }

const bytes = (random) => Uint8Array.from({ length: random.below(40) * 8 }, () => random.below(256)).buffer;
const view = (random) => {
  const View = random.one(VIEWS), buffer = bytes(random), size = View.BYTES_PER_ELEMENT;
  const count = buffer.byteLength / size, from = random.below(count + 1);
  return new View(buffer, from * size, random.below(count - from + 1));
};
const list = (random, depth) => {
  const made = Array.from({ length: random.below(8) }, () => value(random, depth - 1));
  if (made.length > 0 && random.below(6) === 0) delete made[random.below(made.length)];
  if (random.below(20) === 0) made.length += random.below(300);
  return made;
};
const object = (random, depth) => {
  if (random.below(12) === 0) return {};
  const made = random.one([() => ({}), () => Object.create(null), () => new Point(1, 2), () => new Deep(3, 4)])();
  for (let left = random.below(7); left > 0; left--) {
    const key = random.one(KEYS);
    if (random.below(12) === 0) Object.defineProperty(made, key, { get: () => 7, enumerable: random.below(2) === 0, configurable: true });
    else Object.defineProperty(made, key, { value: value(random, depth - 1), enumerable: random.below(9) > 0, writable: true, configurable: true });
  }
  if (random.below(5) === 0) made[Symbol("s")] = 1;
  // Where nothing else is there, hidden properties are refused, as they would be lost.
  if (Object.keys(made).length === 0) made.shown = 1;
  if (random.below(9) === 0) Object.freeze(made);
  return made;
};
const LEAVES = [
  (random) => random.one(NUMBERS), (random) => random.next() / 7, (random) => random.one(BIGS), (random) => random.one(TEXTS), () => undefined, () => null,
  () => true, () => false, (random) => new Date(random.one([0, -1, 8.64e15, NaN, 1.5e12])), bytes, view,
];
const UNCARRIED = [() => () => 1, () => Symbol("s"), () => new WeakMap(), () => Promise.prototype.then, () => new Proxy(() => 1, {})];
const value = (random, depth) => {
  if (random.below(400) === 0) return random.one(UNCARRIED)();
  if (depth <= 0 || random.below(3) === 0) return random.one(LEAVES)(random);
  return random.below(2) === 0 ? list(random, depth) : object(random, depth);
};
const make = (seed) => value(randomOf(seed), 1 + (seed % 6));

// Without what JSON has no form for.
const plain = (random, depth) => {
  const one = random.below(depth <= 0 ? 4 : 6);
  if (one === 0) return random.one(NUMBERS);
  if (one === 1) return random.next() / 7;
  if (one === 2) return random.one(TEXTS);
  if (one === 3) return random.one([true, false, null]);
  if (one === 4) return Array.from({ length: random.below(6) }, () => plain(random, depth - 1));
  const made = {};
  for (let left = random.below(6); left > 0; left--) {
    Object.defineProperty(made, random.one(KEYS), { value: plain(random, depth - 1), enumerable: true, writable: true, configurable: true });
  }
  return made;
};
const makePlain = (seed) => plain(randomOf(seed), seed % 6);

// A surrogate alone arrives as U+FFFD, as all text is UTF-8 on its way.
const text = (string) => JSON.stringify(string.toWellFormed());
const show = (one) => {
  if (typeof one === "string") return text(one);
  if (typeof one === "bigint") return `${one}n`;
  if (typeof one === "number") return Object.is(one, -0) ? "-0" : String(one);
  if (typeof one !== "object" || one === null) return String(one);
  if (one instanceof Date) return `Date(${one.getTime()})`;
  if (one instanceof ArrayBuffer) return `ArrayBuffer(${new Uint8Array(one).join()})`;
  if (ArrayBuffer.isView(one)) return `${one.constructor.name}(${Array.from(one, show).join()})`;
  if (Array.isArray(one)) return `[${Array.from({ length: one.length }, (_, at) => show(one[at])).join()}]`;
  return `{${Object.keys(one).map((key) => `${text(key)}:${show(one[key])}`).join()}}`;
};

if (typeof madrpc === "undefined") {
  const [from, count] = process.argv.slice(2).map(Number);
  for (let seed = from; seed < from + count; seed++) {
    let cloned = "refused";
    try { cloned = show(structuredClone(make(seed))); } catch (error) { if (error.name !== "DataCloneError") throw error; }
    const json = JSON.stringify(makePlain(seed)).replace(/\\ud[89a-f][0-9a-f]{2}/g, "\ufffd");
    console.log(JSON.stringify([cloned, json]));
  }
} else {
  const or = async (made) => {
    try { return await made(); } catch (error) { return error.name === "DataCloneError" || / is a /.test(error.message) ? "refused" : `${error}`; }
  };
  madrpc.register("show", show);
  madrpc.register("make", make);
  madrpc.register("plain", makePlain);
  // Once as an argument and once as a result.
  madrpc.register("sent", (seed) => or(() => madrpc.call("show", make(seed))));
  madrpc.register("given", (seed) => or(async () => show(await madrpc.call("make", seed))));
  madrpc.register("cloned", (seed) => or(() => show(structuredClone(make(seed)))));
}
