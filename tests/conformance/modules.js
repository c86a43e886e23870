// ECMAScript modules: what import and export mean, once each and in their order.
import { claim, equal, throws } from "./parts/claims.js";
import counter, { increment, value as live } from "./parts/counter.js";
import * as namespace from "./parts/counter.js";
import { even } from "./parts/even.js";
import { odd as oddly } from "./parts/odd.js";
import data from "./parts/data.json" with { type: "json" };
import { order } from "./parts/order.js";
import { increment as again } from "./parts/../parts/counter.js";
export { increment as reexported } from "./parts/counter.js";

const early = await import("./parts/slow.js");

claim("an imported binding is live, and read-only here", async () => {
  const before = live;
  increment();
  equal(live, before + 1);
  equal(namespace.value, live);
  await throws(TypeError, () => { namespace.value = 1; });
});

claim("a file is one module, whatever path leads to it", () => {
  equal(again === increment, true);
});

claim("a namespace has its exports in the order of the alphabet", () => {
  equal(Object.keys(namespace), ["default", "increment", "value"]);
  equal(namespace[Symbol.toStringTag], "Module");
  equal(Object.getPrototypeOf(namespace), null);
  equal(counter, namespace.default);
});

claim("modules may import each other in a circle", () => {
  equal(even(10), true);
  equal(oddly(7), true);
});

claim("modules run once, dependencies first", () => {
  equal(order, ["first", "second", "third"]);
});

claim("top-level await is waited for", () => {
  equal(early.ready, "after a job");
});

claim("import() gives the same module again, in a call too", async () => {
  equal((await import("./parts/slow.js")) === early, true);
});

claim("import() of what was not read at load is refused", async () => {
  const error = await throws(TypeError, () => import("./parts/unread.js"));
  equal(error.message.includes("while the script loaded"), true);
  await throws(TypeError, () => import("../conformance.rs"));
  await throws(TypeError, () => import("fs"));
});

claim("JSON modules", () => {
  equal(data, { name: "data", list: [1, 2.5, null] });
});

claim("modules are strict, and have no `this`", async () => {
  equal(await (async () => (function () { return this; })())(), undefined);
  await throws(ReferenceError, () => { undeclared = 1; });
});
