// What app.js has, and each program as WebAssembly too, for a madrpc that is built with it (`--features wasm`).

import "./app.js";
import { inputs, measure } from "./inputs.js";
import * as programs from "./programs.wasm";
import { placed } from "./wasm.js";

for (const [name, input] of Object.entries(inputs)) {
  const inMemory = placed(programs.memory, input);
  madrpc.register(`${name}_wasm`, (options) => measure(programs[name], inMemory, options));
}
