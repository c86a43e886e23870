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
"#;

/// Lanes of a node of one shard, as the harness starts it.
pub const LANES: usize = 4;
