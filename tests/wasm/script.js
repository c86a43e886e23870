// The modules as a script has them.
import * as assembly from "./assembly.wasm";
import { seen } from "./host.js";
import { run } from "./program.js";
import * as rust from "./rust.wasm";

madrpc.register("run", () => JSON.stringify(run(rust, assembly, seen)));
madrpc.register("calls", () => [assembly.calls, assembly.count()]);
