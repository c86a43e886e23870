// The same in Node.js, which prints what comes of it.
import { readFileSync } from "node:fs";
import * as host from "./host.js";
import { run } from "./program.js";

const exports = (name, imports) => {
  const module = new WebAssembly.Module(readFileSync(new URL(name, import.meta.url)));
  return new WebAssembly.Instance(module, imports).exports;
};
console.log(JSON.stringify(run(exports("rust.wasm", { "./host.js": host }), exports("assembly.wasm"), host.seen)));
