// Jobs of some milliseconds each, of all that the engine and the host do, whose results are known from an undisturbed run.
const numbers = (count) => { let x = 1; return Array.from({ length: count }, () => (x = (x * 1103515245 + 12345) % 2147483648)); };
const wave = madrpc.kernel(function wave(list, rounds) {
  let sum = 0;
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < list.length; i++) {
      list[i] = list[i] * 0.5 + Math.sin(i * round) - Math.pow(i, 0.25);
      sum += list[i];
    }
  }
  return sum;
});
const fibonacci = madrpc.kernel(function fibonacci(n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); });
const jobs = {
  includes: () => "x".repeat(2e4).includes("x".repeat(8e3) + "y"),
  stringify: () => JSON.stringify(numbers(8e3).map((n, i) => ({ n, i, t: `t${i}` }))).length,
  parse: () => JSON.stringify(JSON.parse(`[${'{"a":1.25,"b":"xyz"},'.repeat(1e4)}0]`)).length,
  sort: () => { const a = numbers(2e4).sort(); return [a[0], a[10000], a.toSorted((p, q) => p - q)[15000]]; },
  typedSort: () => { const a = Float64Array.from(numbers(5e4)); a.sort(); return [a[0], a[25000], a.every((v, i) => !i || a[i - 1] <= v)]; },
  slice: () => { const a = numbers(3e4); let n = 0; for (let i = 0; i < 20; i++) n += a.slice(1)[777]; return n; },
  bigText: () => (7n ** 9000n).toString().slice(-40),
  bigDivide: () => { const b = 3n ** 20000n, c = 7n ** 6000n; return [(b / c) % 1000007n, b % c % 1000003n]; },
  normalize: () => { const s = "é\u0323ａ漢".repeat(1e4); return s.normalize("NFKD") === s.normalize("NFKC").normalize("NFKD"); },
  upperCase: () => "straße".repeat(3e4).toUpperCase().length,
  backtracking: () => /^(a+)+$/.test("a".repeat(17) + "b"),
  replace: () => { const s = "abc1".repeat(1e4).replace(/\d/g, "<$&>"); return [s.length, s.slice(-9)]; },
  arrayLike: () => { const o = { length: 5e4, 0: 1 }; Array.prototype.reverse.call(o); return [o[49999], Array.prototype.join.call({ length: 5e4, 7: "q" }, ".").length]; },
  move: () => { const a = new Uint8Array(3 << 20).fill(7), b = new Uint8Array(3 << 20); b.set(a); b.copyWithin(1, 0); return [b[77], b.length]; },
  unshift: () => { const a = numbers(1e4); for (let i = 0; i < 100; i++) a.unshift(i); a.splice(5, 1000); return a.join().length; },
  trigonometry: () => { let s = 0; for (let i = 0; i < 2e4; i++) s += Math.sin(i) * Math.exp(-i * 1e-4) + Math.pow(i, 0.3) + Math.atan2(i, 7); return s; },
  floats: () => { const a = new Float32Array(3e4); for (let i = 0; i < 3e4; i++) a[i] = i / 3; let s = 0; for (let i = 1; i < 3e4; i++) { a[i] = Math.fround(a[i] * 0.5 + a[i - 1] * 0.5); s += a[i]; } return s; },
  kernels: () => { const a = new Float64Array(2000), b = a.subarray(100, 200); return [wave(a, 40), a[77], wave(b, 5.5), a[120]]; },
  recursion: () => [fibonacci(25), fibonacci(10.5)],
  maps: () => { const m = new Map(); for (let i = 0; i < 1e4; i++) m.set("k" + i, i); for (let i = 0; i < 1e4; i += 3) m.delete("k" + i); return [...m.values()].reduce((a, b) => a + b); },
  garbage: () => { let n = 0; for (let i = 0; i < 1e4; i++) { const o = { a: i, b: {}, f() { return o; } }; o.b.o = o; n += o.f().a; } return n; },
  text: () => { let n = ""; for (let i = 1; i < 5e3; i++) n = (parseFloat((i / 7).toFixed(6)) * i).toPrecision(17) + n.slice(0, 9); return n; },
  dates: () => { let n = 0; for (let i = 0; i < 2e3; i++) n += new Date(i * 864e5).toISOString().length + Date.parse("2024-01-02T03:04:05Z"); return n; },
  split: () => { const a = "a,b,".repeat(2e4).split(","); return [a.length, a.join("-").length]; },
  uri: () => decodeURIComponent(encodeURIComponent("äöü ".repeat(5e3))).length,
  generators: () => { function* g(n) { for (let i = 0; i < n; i++) yield i; } let s = 0; for (const v of g(2e4)) s += v; return s; },
  exceptions: () => { let n = 0; for (let i = 0; i < 2e3; i++) try { null.x; } catch (e) { n += e.stack.length > 0 ? 1 : 0; } return n; },
  proxies: () => { const p = new Proxy({}, { get: (t, k) => k.length }); let n = 0; for (let i = 0; i < 1e4; i++) n += p["a" + i]; return n; },
  weak: () => { const w = new WeakMap(), k = []; for (let i = 0; i < 1e4; i++) { const o = {}; if (i % 2) k.push(o); w.set(o, i); } return k.reduce((s, o) => s + w.get(o), 0); },
  sources: () => { let n = 0; for (let i = 0; i < 60; i++) n += new Function(`class A { #x = 1; get y() { return this.#x + ${i}; } } return new A().y;`)(); return n; },
  jobs: async () => { let n = 0; for (let i = 0; i < 3e3; i++) n += await i; return n; },
  deep: () => { const f = (n) => (n > 0 ? f(n - 1) + 1 : 0); let n = 0; for (let i = 0; i < 50; i++) n += f(600); return n; },
  limit: () => { const f = () => f(); let n = 0; for (let i = 0; i < 3; i++) try { f(); } catch (e) { n += e instanceof RangeError || e instanceof InternalError ? 1 : 0; } return n; },
  // What the host does.
  encode: () => { const bytes = new TextEncoder().encode("aé漢🦀".repeat(2e4)); return [bytes.length, new TextDecoder().decode(bytes).length]; },
  addresses: () => { let n = 0; for (let i = 0; i < 100; i++) { const u = new URL(`http://a.example/${"b/".repeat(i)}?a=b&c=${i}`); u.searchParams.append("d", "é"); n += u.href.length; } return n; },
  clone: () => structuredClone(numbers(3e3).map((n) => ({ n, d: new Date(n), m: new Map([[n, n]]) }))).length,
  random: () => { const a = new Uint8Array(65536); crypto.getRandomValues(a); return a.length; },
  calls: async () => { const all = await Promise.all(numbers(60).map((n) => madrpc.call("echo", { n, text: "x".repeat(n % 3000) }))); return all.reduce((s, one) => s + one.n, 0); },
  callsInTurn: () => { let n = 0; for (let i = 0; i < 20; i++) n += madrpc.callSync("echo", i); return n; },
  items: async () => { let n = 0; for (let i = 0; i < 20; i++) for await (const item of madrpc.stream("echo", numbers(i * 100))) n += item.length; return n; },
  timers: async () => { let n = 0; for (let i = 0; i < 5; i++) await new Promise((done) => setTimeout(() => { n++; done(); }, 0)); return n; },
  thrown: async () => { try { await madrpc.call("fail", 7); } catch (e) { return [e.name, e.message, e.cause]; } },
  // What is written.
  rows: () => numbers(6e3).map((n, i) => ({ n, even: i % 2 === 0, text: `text ${i}`, list: [i, null, i / 3] })),
  strings: () => Array.from({ length: 40 }, (_, i) => "é".repeat(i * 1000)),
  bytes: () => [new Uint8Array(1 << 20).fill(3), new Float64Array(numbers(1e4)), 7n ** 300n, new Date(1e12)],
  methods: () => ({ get slow() { return "x".repeat(1e4).includes("x".repeat(4e3) + "y"); }, toJSON() { return { slow: this.slow, n: numbers(1e3) }; } }),
};
for (const [name, job] of Object.entries(jobs)) madrpc.register(name, job);
