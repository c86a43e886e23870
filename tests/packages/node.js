// Runs a bundle's programs in Node: node node.js BUNDLE. Prints what each gives, as the function `run` of lane.js does.
import { pathToFileURL } from "node:url";
import { run } from "./run.js";

const { default: programs } = await import(pathToFileURL(process.argv[2]));
console.log(await run(programs));
