// The programs in the folder that is named, so many runs of each, then those of WebAssembly; a line of JSON for each.
import { readFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [folder, runs] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(path.join(folder, name)));
const [{ inputs, measure }, programs, { placed }] = await Promise.all(["inputs.js", "programs.js", "wasm.js"].map(load));
const module = new WebAssembly.Module(readFileSync(path.join(folder, "programs.wasm")));
const { exports } = new WebAssembly.Instance(module);

const say = (name, program, input) => console.log(JSON.stringify({ name, ...measure(program, input, { runs: Number(runs) }) }));
for (const [name, input] of Object.entries(inputs)) say(name, programs[name], input);
for (const [name, input] of Object.entries(inputs)) say(`${name}_wasm`, exports[name], placed(exports.memory, input));
