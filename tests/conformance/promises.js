// Promises and async functions: the order of jobs, combinators, rejections, and what a call makes of them.
import { claim, equal, throws } from "./parts/claims.js";

madrpc.register("later", async (value) => { await null; return value; });
madrpc.register("refuse", async () => { throw new RangeError("no"); });
madrpc.register("thenable", () => ({ then: (resolve) => resolve("not awaited by the host") }));

claim("jobs run in the order they were queued", async () => {
  const order = [];
  const done = Promise.resolve().then(() => order.push(2)).then(() => order.push(4));
  queueMicrotask(() => order.push(3));
  order.push(1);
  await done;
  equal(order, [1, 2, 3, 4]);
});

claim("await takes one job for a native promise", async () => {
  const order = [];
  const wait = async (name) => { await Promise.resolve(); order.push(name); };
  const both = [wait("a"), wait("b")];
  Promise.resolve().then(() => order.push("c"));
  await Promise.all(both);
  equal(order, ["a", "b", "c"]);
});

claim("a thenable is resolved in a job of its own", async () => {
  let called = false;
  const promise = Promise.resolve({ then(resolve) { called = true; resolve(7); } });
  equal(called, false);
  equal(await promise, 7);
});

claim("a promise settles once", async () => {
  const promise = new Promise((resolve, reject) => { resolve(1); reject(new Error("late")); resolve(2); throw new Error("later"); });
  equal(await promise, 1);
});

claim("a promise cannot resolve to itself", async () => {
  let resolve;
  const promise = new Promise((of) => { resolve = of; });
  resolve(promise);
  await throws(TypeError, () => promise);
});

claim("finally passes the outcome on", async () => {
  equal(await Promise.resolve(1).finally(() => 2), 1);
  equal((await throws(RangeError, () => Promise.reject(new RangeError("r")).finally(() => 2))).message, "r");
  await throws(TypeError, () => Promise.resolve(1).finally(() => { throw new TypeError("from finally"); }));
});

claim("the combinators", async () => {
  equal(await Promise.all([1, Promise.resolve(2)]), [1, 2]);
  equal(await Promise.all([]), []);
  equal((await Promise.allSettled([1, Promise.reject(3)])).map((one) => one.status), ["fulfilled", "rejected"]);
  equal(await Promise.any([Promise.reject(1), 2]), 2);
  equal((await throws(AggregateError, () => Promise.any([Promise.reject(1)]))).errors, [1]);
  equal(await Promise.race([new Promise(() => {}), Promise.resolve(5)]), 5);
  const { promise, resolve } = Promise.withResolvers();
  resolve(6);
  equal(await promise, 6);
  equal(await Promise.try(() => 7), 7);
});

claim("subclasses keep their kind, and use their species", async () => {
  class Mine extends Promise {}
  equal(Mine.resolve(1).then(() => {}) instanceof Mine, true);
  class Plain extends Promise { static get [Symbol.species]() { return Promise; } }
  equal(Plain.resolve(1).then(() => {}) instanceof Plain, false);
});

claim("async generators and for await", async () => {
  const order = [];
  async function* count() { try { yield 1; yield Promise.resolve(2); } finally { order.push("closed"); } }
  for await (const n of count()) { order.push(n); if (n === 2) break; }
  for await (const n of [Promise.resolve(3)]) order.push(n);
  equal(order, [1, 2, "closed", 3]);
});

claim("a rejection that is handled later is no error", async () => {
  const promise = Promise.reject(new Error("handled"));
  await null;
  equal(await promise.catch(() => "caught"), "caught");
});

claim("timers run after the jobs, in the order of their times", async () => {
  const order = [];
  await new Promise((done) => {
    setTimeout(() => { order.push("20"); done(); }, 20);
    setTimeout(() => order.push("0a"), 0);
    setTimeout(() => order.push("0b"), 0);
    clearTimeout(setTimeout(() => order.push("never"), 0));
    Promise.resolve().then(() => order.push("job"));
  });
  equal(order, ["job", "0a", "0b", "20"]);
});

claim("calls settle as promises do", async () => {
  equal(await madrpc.call("later", 3), 3);
  equal(await Promise.all([1, 2, 3].map((n) => madrpc.call("later", n))), [1, 2, 3]);
  const error = await throws(Error, () => madrpc.call("refuse"));
  equal(error.message.includes("no"), true);
  equal(madrpc.callSync("later", "in place"), "in place");
});
