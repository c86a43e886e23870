//! What the nodes run.

/// The functions that attacks and well-behaved callers call.
pub const SCRIPT: &str = r#"
madrpc.register("echo", (value) => value);
madrpc.register("make", (bytes) => new Uint8Array(bytes));
madrpc.register("spin", () => { for (;;) {} });
madrpc.register("wait", (ms) => new Promise((done) => setTimeout(done, ms)));
madrpc.register("later", async (value) => { await new Promise((done) => setTimeout(done, 20)); return value; });
madrpc.register("shout", (lines) => { for (let line = 0; line < lines; line++) console.log(`line ${line}: all is well`); });
madrpc.register("narrow", (value) => value, { queue: 1 });
madrpc.register("neverCalledBefore", () => "here");
const endless = madrpc.kernel(function endless(x) { for (;;) x = x * 5 + 1 | 0; });
const recursive = madrpc.kernel(function recursive(x) { return recursive(x + 1) + 1; });
const huge = madrpc.kernel(function huge(x) { for (let i = 0; i < 1e15; i++) x += i % 7; return x; });
const loops = Array.from({ length: 100 }, (_, at) => `for (let i${at} = 0; i${at} < 9; i${at}++) `).join("");
const nested = madrpc.kernel((0, eval)(`(function nested(x) { ${loops} x += i99; return x; })`));
const made = (body) => madrpc.kernel((0, eval)(`(function made(x) { ${body} })`));
madrpc.register("kernelEndless", (x) => endless(x));
madrpc.register("kernelHuge", (x) => (x % 2 ? huge : nested)(x));
madrpc.register("kernelRecursive", (x) => { try { return recursive(x); } catch (error) { return error.name; } });
madrpc.register("kernelMade", (number) => { try { return made(`return x + ${number};`)(1); } catch (error) { return error.message; } });
madrpc.register("kernelLarge", () => { try { return made("x = x + 1;".repeat(1e5))(1); } catch (error) { return error.message; } });
madrpc.register("kernelMadeEndless", (number) => made(`for (;;) x = x * 5 + ${number % 500} | 0;`)(1));
"#;

/// Lanes of a node of one shard, as the harness starts it.
pub const LANES: usize = 4;
