// What the callers of a soak call. A reload adds the function `version`.
madrpc.register("echo", (value) => value);
madrpc.register("compute", (rounds) => { let x = 1; for (let i = 0; i < rounds; i++) x = x * 48271 % 2147483647; return x; });
madrpc.register("churn", (n) => Array.from({ length: n }, (_, i) => ({ i, text: `number ${i}` })).filter(({ i }) => i % 2).length);
madrpc.register("fail", (n) => { throw new RangeError(`as asked: ${n}`); });
madrpc.register("wait", (ms) => new Promise((resolve) => setTimeout(() => resolve(ms), ms)));
madrpc.register("length", (text) => text.length);
madrpc.register("square", (n) => n * n);
madrpc.register("sumOfSquares", async (list) => {
  const squares = await madrpc.map("square", list, { concurrency: 16 });
  return squares.reduce((sum, square) => sum + square, 0);
});
