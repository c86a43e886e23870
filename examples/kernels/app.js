// Each program twice: as a kernel, and interpreted. `{runs, part}` -> `{ms, digest}`.

import { inputs, measure } from "./inputs.js";
import * as programs from "./programs.js";

for (const [name, input] of Object.entries(inputs)) {
  const plain = programs[name];
  const kernel = madrpc.kernel(plain);
  madrpc.register(name, (options) => measure(kernel, input, options));
  madrpc.register(`${name}_plain`, (options) => measure(plain, input, options));
}

// What it costs to call one: nanoseconds, those of the loop with them.
function nanoseconds(add) {
  const calls = 1e6;
  const begun = performance.now();
  let sum = 0;
  for (let i = 0; i < calls; i++) sum = add(sum, i);
  return (performance.now() - begun) / calls * 1e6;
}

function add(a, b) {
  return a + b;
}

const addKernel = madrpc.kernel(add);
madrpc.register("add", () => nanoseconds(addKernel));
madrpc.register("add_plain", () => nanoseconds(add));
