// What the target `host` runs: its bytes say which functions are called, where, and with what. Functions are found here, so
// what a lane gets later is tried too.

const LANGUAGE = new Set([
  "Object", "Function", "Array", "Number", "String", "Boolean", "Symbol", "BigInt", "Date", "RegExp", "Map", "Set", "WeakMap",
  "WeakSet", "WeakRef", "FinalizationRegistry", "Promise", "Proxy", "Reflect", "JSON", "Math", "Atomics", "Iterator", "ArrayBuffer",
  "SharedArrayBuffer", "DataView", "Error", "EvalError", "RangeError", "ReferenceError", "SyntaxError", "TypeError", "URIError",
  "AggregateError", "SuppressedError", "InternalError", "Int8Array", "Uint8Array", "Uint8ClampedArray", "Int16Array",
  "Uint16Array", "Int32Array", "Uint32Array", "Float16Array", "Float32Array", "Float64Array", "BigInt64Array", "BigUint64Array",
  "parseInt", "parseFloat", "isNaN", "isFinite", "decodeURI", "decodeURIComponent", "encodeURI", "encodeURIComponent", "escape",
  "unescape", "globalThis", "undefined", "NaN", "Infinity", "eval",
]);

const found = { language: [], host: [] };
{
  const seen = new Set([globalThis]);
  const visit = (value, into) => {
    if (typeof value !== "function" && (typeof value !== "object" || value === null) || seen.has(value)) return;
    seen.add(value);
    if (typeof value === "function") into.push(value);
    for (const key of Reflect.ownKeys(value)) {
      const property = Object.getOwnPropertyDescriptor(value, key);
      // What a prototype holds comes out of an accessor (engine/harden.rs), which is called here once and is of no more interest.
      if (property.get !== undefined && property.set !== undefined && property.get.name === "") {
        try { visit(property.get.call(value), into); } catch { /* One of the language's own. */ }
      } else {
        for (const part of ["value", "get", "set"]) visit(property[part], into);
      }
    }
    visit(Object.getPrototypeOf(value), into);
  };
  const names = Object.getOwnPropertyNames(globalThis);
  for (const name of names) if (LANGUAGE.has(name)) visit(globalThis[name], found.language);
  for (const make of [function* () {}, async function () {}, async function* () {}, [].values(), new Map().keys(), "".matchAll(/a/g)]) {
    visit(make, found.language);
  }
  for (const name of names) if (!LANGUAGE.has(name)) visit(globalThis[name], found.host);
}

const KEYS = [
  "length", "byteLength", "byteOffset", "buffer", "then", "toJSON", "valueOf", "toString", Symbol.toPrimitive, Symbol.iterator,
  Symbol.asyncIterator, Symbol.toStringTag, Symbol.hasInstance, Symbol.species, "next", "done", "value", "return", "name", "message",
  "stack", "cause", "code", "constructor", "prototype", "timeoutMs", "concurrency", "fatal", "ignoreBOM", "stream", "transfer", "href",
  "get", "set", "0", "1", "4294967295", "size", "has", "keys", "lastIndex", "exec", "flags", "source", "raw", "errors", "__proto__",
];
const TRAPS = [
  "get", "set", "has", "deleteProperty", "ownKeys", "getOwnPropertyDescriptor", "defineProperty", "getPrototypeOf", "setPrototypeOf",
  "isExtensible", "preventExtensions", "apply", "construct",
];
const KINDS = [Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint32Array, Float16Array, Float64Array, BigInt64Array];

// Of the run under way.
let bytes, at, seed, steps, last, shared;

// The next byte; after the last one, bytes that follow from all before.
const next = () => {
  const byte = at < bytes.length ? bytes[at++] : seed >>> 16 & 255;
  seed = (Math.imul(seed, 1103515245) + 12345 + byte) >>> 0;
  return byte;
};
const pick = (list) => list[next() % list.length];
const nested = (depth) => { let value = []; for (let i = 0; i < depth; i++) value = i % 2 ? { value } : [value]; return value; };
const proxied = (depth) => { let value = []; for (let i = 0; i < depth; i++) value = new Proxy(value, {}); return value; };
const rope = (length) => { let text = "é"; while (text.length < length) text = (text + "ab") + text; return text; };
const revoked = (target) => { const { proxy, revoke } = Proxy.revocable(target, {}); revoke(); return proxy; };
const cycle = () => { const value = { list: [] }; value.self = value; value.list.push(value); return value; };

const ODD = [
  () => undefined, () => null, () => true, () => 0, () => -0, () => -1, () => NaN, () => Infinity, () => -Infinity, () => 0.1,
  () => 2 ** 31, () => 2 ** 32 - 1, () => 2 ** 53, () => 1e300, () => 5e-324, () => next(), () => next() * 257, () => 65536,
  () => 1n, () => -(1n << 64n), () => 1n << BigInt(next() * 64), () => Symbol("s"), () => Symbol.iterator,
  () => "", () => "a", () => "\ud800", () => "\0", () => "x".repeat(next() * 300), () => rope(next() * 900), () => "é漢😀".repeat(next()),
  () => "http://user@host:99999/a?b=c#d", () => "http://[::1]:80/ü?ä#ö", () => "//", () => "?a=b&a=%ff&=", () => "__proto__",
  () => String(pick(KEYS)), () => "echo", () => "fail", () => "utf-8", () => "madrpc.x",
  () => ({}), () => [], () => [1, , 3], () => { const list = []; list.length = 2 ** 32 - 1; return list; }, () => Object.create(null),
  () => new Array(next()).fill(next()), () => nested(next() * 20), () => proxied(next() * 40), cycle,
  () => new ArrayBuffer(next()), () => new ArrayBuffer(next(), { maxByteLength: 255 }), () => shared.buffer, () => shared.resizable,
  () => new SharedArrayBuffer(8), () => new DataView(shared.resizable, 1), () => shared.view, () => shared.fixed, () => shared.array,
  () => shared.object, () => new (pick(KINDS))(next()), () => new (pick(KINDS))(0), () => { const view = new Uint8Array(70000); return view; },
  () => { const buffer = new ArrayBuffer(8); buffer.transfer(); return buffer; },
  () => { const buffer = new ArrayBuffer(8), view = new Uint8Array(buffer); buffer.transfer(); return view; },
  () => new Date(NaN), () => new Date(1e15), () => /(a+)+b/u, () => new Map([[cycle(), 1]]), () => new Set([1, "a"]), () => new WeakMap(),
  () => new WeakRef({}), () => Promise.resolve(1), () => Promise.reject(shared.object), () => new Promise(() => {}),
  () => (function* () { for (;;) yield next(); })(), () => (async function* () { yield 1; throw 2; })(), () => [1, 2].values(),
  () => (function () { return arguments; })(1, 2), () => Object(1n), () => Object(Symbol()), () => new String("abc"),
  () => new Error("e", { cause: last }), () => new AggregateError([last]), () => new DOMException("m", "AbortError"),
  () => class A extends Array {}, () => function () {}, () => async () => {}, () => globalThis, () => madrpc, () => console, () => crypto,
  () => new TextDecoder("utf-8", { fatal: true }), () => new TextDecoder(), () => new TextEncoder(), () => new URL("http://a/b?c=d"),
  () => new URL("http://a/b?c=d").searchParams, () => new URLSearchParams("a=b&c=d"), () => performance,
  () => revoked({}), () => revoked([]), () => revoked(() => {}), () => last, () => last, () => pick(found.host), () => pick(found.language),
  () => trick, () => tricky(), () => tricky(), () => tricky(), () => tricky(),
];
const odd = () => steps-- > 0 ? pick(ODD)() : next();

// Something that happens where a value is only to be read.
const trick = () => {
  if (steps-- < 0) return next();
  switch (next() % 17) {
    case 0: throw odd();
    case 1: shared.buffer.transfer(); return odd();
    case 2: shared.resizable.resize(next()); return odd();
    case 3: shared.array.length = next(); return shared.array;
    case 4: delete shared.object[pick(KEYS)]; return odd();
    case 5: shared.object[pick(KEYS)] = odd(); return shared.object;
    case 6: return act();
    case 7: return madrpc.callSync(pick(["echo", "fail"]), odd());
    case 8: setTimeout(trick, 0); return odd();
    case 9: shared.array.push(odd()); return next();
    case 10: queueMicrotask(trick); return "text";
    case 11: return tricky();
    case 12: { const waste = []; for (let i = 0; i < next(); i++) waste.push(new ArrayBuffer(next() * 16)); return waste; }
    case 13: return next();
    case 14: return String(next());
    case 15: return madrpc.stream(pick(["echo", "fail"]), odd());
    default: return odd();
  }
};

const tricky = () => {
  switch (next() % 8) {
    case 0: {
      const handler = {};
      const target = pick([{}, [], function () {}, shared.view, shared.array, new Map(), new Error("e"), new Date()]);
      for (let i = next() % 6; i > 0; i--) handler[pick(TRAPS)] = trick;
      return new Proxy(target, handler);
    }
    case 1: return { [Symbol.toPrimitive]: trick };
    case 2: return { valueOf: trick, toString: trick, toJSON: trick };
    case 3: return { [Symbol.iterator]: trick, next: trick, return: trick, then: trick };
    case 4: return { [Symbol.iterator]() { return this; }, next: () => ({ done: next() < 40, value: odd() }) };
    case 5: {
      const object = pick([shared.array, shared.view, shared.object, new Error("e"), [1, 2, 3], new Uint8Array(9), new Map()]);
      try { Object.defineProperty(object, pick(KEYS), { get: trick, enumerable: true, configurable: true }); } catch { /* It has its own. */ }
      return object;
    }
    default: {
      const object = {};
      for (let i = next() % 6; i > 0; i--) {
        Object.defineProperty(object, pick(KEYS), { get: trick, enumerable: true, configurable: true });
      }
      return object;
    }
  }
};

// Calls something.
const act = () => {
  if (steps-- < 0) return undefined;
  const how = next();
  const fn = pick(how & 3 ? found.host : found.language);
  const self = odd();
  const args = Array.from({ length: how >> 5 }, odd);
  try {
    last = how & 4 ? Reflect.construct(fn, args) : Reflect.apply(fn, self, args);
  } catch (error) {
    last = error;
  }
  return last;
};

// Calls something with each odd value.
const sweep = () => {
  const how = next();
  const fn = pick(how & 3 ? found.host : found.language);
  const self = odd();
  for (const make of ODD) {
    steps = Math.max(steps, 10);
    try {
      const args = [make(), odd(), odd()].slice(0, 1 + (how >> 4) % 3);
      last = how & 4 ? Reflect.construct(fn, args) : Reflect.apply(fn, how & 8 ? self : odd(), args);
    } catch (error) {
      last = error;
    }
  }
};

// Where the stack ends, but for so many calls.
const onFullStack = () => {
  let left = next();
  const dive = () => {
    try {
      return dive();
    } catch (error) {
      if (left-- > 0) throw error;
      return act();
    }
  };
  try { dive(); } catch { /* There was no place for it. */ }
};

const inFullHeap = () => {
  let spare = new ArrayBuffer(next() * 512), head = null;
  const large = [];
  try { for (;;) large.push(new ArrayBuffer(16384)); } catch { /* It is full of these. */ }
  try { for (;;) head = { head }; } catch { /* It is full. */ }
  spare = null;
  act();
  return head;
};

const atDeadline = () => {
  const end = madrpc.deadline - next() / 32;
  while (Date.now() < end);
  act();
};

madrpc.register("run", async (program) => {
  bytes = new Uint8Array(program);
  at = seed = 0;
  steps = 300;
  last = undefined;
  const resizable = new ArrayBuffer(64, { maxByteLength: 255 });
  const buffer = new ArrayBuffer(64);
  shared = { buffer, resizable, view: new Uint8Array(resizable, 8), fixed: new Uint8Array(buffer, 8, 16), array: [1, 2, 3, {}], object: { a: 1 } };
  while (at < bytes.length && steps > 0) {
    const where = next() % 64;
    try {
      if (where < 4) onFullStack();
      else if (where < 6) inFullHeap();
      else if (where === 6) atDeadline();
      else if (where < 24) sweep();
      else act();
      if (where > 58) last = await last;
    } catch (error) {
      last = error;
    }
  }
  const [result, end] = [last, next() % 4];
  bytes = shared = last = undefined;
  if (end === 0) throw result;
  return end === 1 ? true : result;
});

// What any lane says, whatever ran in it.
madrpc.register("known", async (n) => {
  const url = new URL("http://a/b?c=d");
  url.searchParams.append("é", String(n));
  const text = new TextDecoder().decode(new TextEncoder().encode("漢" + n));
  const clone = structuredClone({ list: [1, new Date(5), new Map([[1, 2]])] });
  const list = await madrpc.map("echo", [n, n + 1]);
  for await (const item of madrpc.stream("echo", n)) list.push(item);
  await new Promise((done) => setTimeout(done, 0));
  console.log(clone, crypto.randomUUID().length);
  return [url.href, text, clone.list[2].get(1), list, btoa(text.slice(1)), [3, 1, 2].sort().join(), JSON.stringify({ n })];
});

madrpc.register("functions", () => found.host.map((fn) => fn.name));
