// The programs in the folder that is named, so many runs of each; a line of JSON for each.
import path from "node:path";
import { pathToFileURL } from "node:url";

const [folder, runs] = process.argv.slice(2);
const module = (name) => import(pathToFileURL(path.join(folder, name)));
const [{ inputs, measure }, programs] = await Promise.all([module("inputs.js"), module("programs.js")]);
for (const [name, input] of Object.entries(inputs)) {
  console.log(JSON.stringify({ name, ...measure(programs[name], input, { runs: Number(runs) }) }));
}
