// Functions that keep a core, each in another way, for as long as they may. `hogs.rs` measures what others feel of them, and
// `tests/hogs.rs` that nobody fails beside them. Each is called with `null`, and the last ones with what their names say, many
// megabytes of it; what it returns, if it ever does, is nobody's affair.
const spin = madrpc.kernel(function spin(n) { let x = 0; for (;;) x = x * 5 + n | 0; });
const scan = madrpc.kernel(function scan(a) { let n = 0; for (;;) for (let i = 0; i < a.length; i++) n += a[i]; });
const step = madrpc.kernel(function step(x) { return x * 5 + 1 | 0; });
const deeper = madrpc.kernel(function deeper(n) { return n > 0 ? deeper(n - 1) + deeper(n - 2) : 1; });

const hogs = {
  // Steps of JavaScript.
  loop() { for (;;); },
  swallowed() { for (;;) try { for (;;); } catch {} },
  jobs() { const f = () => Promise.resolve().then(f); f(); for (;;); },
  async awaiting() { for (;;) await null; },
  generators() { function* all() { for (;;) yield 1; } for (const one of all()) one; },
  proxies() { let p = {}; for (let i = 0; i < 500; i++) p = new Proxy(p, {}); for (;;) p.x; },
  deep() { const f = (n) => (n > 0 ? f(n - 1) : 0); for (;;) f(800); },
  exceptions() { for (;;) try { null.x; } catch (e) { e.stack; } },

  // Kernels.
  kernel() { spin(1); },
  kernelOfArray() { scan(new Uint8Array(1 << 20)); },
  kernelCalls() { let x = 0; for (;;) x = step(x); },
  kernelRecursion() { deeper(60); },

  // One built-in that takes for ever.
  includes() { return "x".repeat(4e5).includes("x".repeat(2e5) + "y"); },
  lastIndexOf() { return "ab".repeat(1 << 18).lastIndexOf("b" + "ab".repeat(1 << 16) + "c"); },
  join() { return Array.prototype.join.call({ length: 2 ** 32 }, ""); },
  joinHoles() { return new Array(1e9) + ""; },
  reverse() { return Array.prototype.reverse.call({ length: 2 ** 40, 0: 1 }); },
  copyWithinLike() { return Array.prototype.copyWithin.call({ length: 2 ** 40 }, 0, 1); },
  fillLike() { return Array.prototype.fill.call({ length: 2 ** 40 }, 1); },
  concatLike() { return [].concat({ length: 2 ** 32, [Symbol.isConcatSpreadable]: true }); },
  indexOfLike() { return Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1); },
  flat() { const a = []; a[2 ** 31] = [1]; return a.flat(); },
  bigText() { return (7n ** 900000n).toString(); },
  bigParse() { return BigInt("7".repeat(900000)); },
  backtracking() { return /^(a+)+$/.test("a".repeat(50) + "b"); },

  // Loops of built-ins that take some milliseconds each.
  stringify() { const a = Array.from({ length: 1e5 }, (_, i) => i); for (;;) JSON.stringify(a); },
  parse() { const text = `[${'{"a":1.25,"b":"xyz"},'.repeat(5e4)}0]`; for (;;) JSON.parse(text); },
  slice() { const a = new Array(1e6).fill(1); for (;;) a.slice(1); },
  sort() { const a = Array.from({ length: 4e5 }, (_, i) => (i * 7919) % 1000003); for (;;) a.slice().sort(); },
  typedSort() { const a = new Float64Array(2e6); for (;;) { for (let i = 0; i < 2e6; i += 7) a[i] = -i; a.sort(); } },
  move() { const a = new Uint8Array(32 << 20); for (;;) a.copyWithin(1, 0); },
  split() { const text = "a,".repeat(5e5); for (;;) text.split(","); },
  repeat() { for (;;) "ab".repeat(1 << 23).concat("c").length; },
  normalize() { const text = "\u0344".repeat(2e5); for (;;) text.normalize("NFC"); },
  upperCase() { const text = "straße".repeat(5e5); for (;;) text.toUpperCase(); },
  replace() { const text = "abc1".repeat(3e5); for (;;) text.replace(/\d/g, "<$&>"); },
  compare() { const text = "a".repeat(5e6); for (;;) text.localeCompare(text + "b"); },
  unshift() { const a = new Array(2e5).fill(1); for (;;) { a.unshift(1); a.pop(); } },
  maps() { for (;;) { const map = new Map(); for (let i = 0; i < 3e5; i++) map.set("k" + i, i); } },
  garbage() { for (;;) { const o = { a: [] }; o.a.push(o, new Array(50).fill(o)); } },
  numbers() { let n = 0; for (let i = 1; ; i++) n = (n + parseFloat((i / 7).toFixed(9)).toPrecision(15).length) | 0; },
  dates() { for (let i = 0; ; i++) new Date(i * 86400000).toISOString() + Date.parse("2024-01-02T03:04:05Z"); },
  sources() { const source = `return ${"1+".repeat(2e5)}1`; for (;;) new Function(source)(); },
  keys() { const o = Object.fromEntries(Array.from({ length: 2e5 }, (_, i) => ["k" + i, i])); for (;;) Object.keys(o).length; },

  // What the host does for it.
  clone() { const a = Array.from({ length: 1e5 }, (_, i) => ({ i })); for (;;) structuredClone(a); },
  encode() { const text = "é".repeat(5e6); for (;;) new TextEncoder().encode(text); },
  decode() { const bytes = new Uint8Array(16 << 20).fill(97); for (;;) new TextDecoder().decode(bytes); },
  url() { const text = "http://a.example/" + "b/../c/".repeat(3e5); for (;;) new URL(text); },
  urlHosts() {
    const label = (at) => String.fromCharCode(...Array.from({ length: 1000 }, (_, i) => 0x4e00 + at * 500 + i));
    const texts = [32, 1].map((labels) => "http://" + Array.from({ length: labels }, (_, at) => label(at)).join("."));
    texts.push("http://" + label(0).slice(0, 340));
    for (;;) for (const text of texts) URL.canParse(text);
  },
  urlSet() {
    const long = "漢".repeat(32768);
    for (;;) {
      const url = new URL("http://a.example/");
      for (const part of ["username", "password", "pathname", "search", "hash"]) try { url[part] = long; } catch {}
    }
  },
  query() { const text = "a=b&c=d&".repeat(2e5); for (;;) new URLSearchParams(text).toString(); },
  random() { const a = new Uint8Array(65536); for (;;) crypto.getRandomValues(a); },
  console() { for (let i = 0; ; i++) console.log("line", i, { i }); },
  consoleLong() { const text = "x".repeat(8 << 20); for (;;) console.log(text); },
  rejections() { for (let i = 0; ; i++) Promise.reject(new Error("x".repeat(1000) + i)); },
  timers() { for (let i = 0; ; i++) setTimeout(() => i, 1e6); },
  async sleep() { await new Promise((done) => setTimeout(done, 1e7)); },
  async imports() { for (let i = 0; ; i++) await import("./none" + i + ".js").catch(() => 0); },
  async forks() { await Promise.all(Array.from({ length: 64 }, () => madrpc.call("forks", null))); },
  async children() { for (;;) await Promise.all(Array.from({ length: 200 }, () => madrpc.call("ping", "x".repeat(1000)))); },

  longName() { const name = "\ud800".repeat(9e6); for (;;) try { madrpc.callSync(name, null); } catch {} },

  // What is sent.
  largeResult() { return Array.from({ length: 500 }, (_, i) => "x".repeat(100000) + i); },
  textResult() { return "é".repeat(15e6); },
  brokenTextResult() { return "\ud800".repeat(15e6); },
  typedResult() { return [new Uint8Array(20 << 20), new Float64Array(5 << 20)]; },
  manyResults() { return Array.from({ length: 5e5 }, (_, i) => [i]); },
  sharedResult() { let o = [1]; for (let i = 0; i < 26; i++) o = [o, o]; return o; },
  getterResult() { return { get a() { for (;;); } }; },
  builtInResult() { return { toJSON: () => "x".repeat(4e5).includes("x".repeat(2e5) + "y") }; },
  largeThrown() { throw Array.from({ length: 3e5 }, () => ({})); },
  thrown() { const e = new Error("x".repeat(1e6)); Object.defineProperty(e, "name", { get() { for (;;); } }); throw e; },
  longThrown() { throw new Error("\ud800".repeat(9e6)); },
  longRejected() { const error = new Error("\ud800".repeat(9e6)); for (;;) Promise.reject(error); },
  longKey() { return { ["x".repeat(1e7)]: 1, ["\ud800".repeat(4e6)]: 2 }; },
  bigThrown() { const e = new Error(); e.name = 7n ** 900000n; throw e; },
};
const takers = {
  textArgument(value) { for (;;) value.length; },
  keyArgument(value) { for (;;) Object.keys(value).length; },
  listArgument(value) { for (;;) value.slice(); },
  bytesArgument(value) { for (;;) new Uint8Array(value).slice(); },
};
for (const [name, hog] of Object.entries({ ...hogs, ...takers })) madrpc.register(name, hog);
// One built-in of a second or two.
madrpc.register("short", () => "x".repeat(12e4).includes("x".repeat(6e4) + "y"));
madrpc.register("ping", (value) => value);
madrpc.register("hogs", () => Object.keys(hogs));
madrpc.register("takers", () => Object.keys(takers));
