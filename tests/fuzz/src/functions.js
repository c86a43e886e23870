// What the callers of the target `shard` call.
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

madrpc.register('quick', (n) => n + 1);
madrpc.register('echo', (value) => value);
madrpc.register('sleeps', async (ms) => { await pause(ms); return ms; });
madrpc.register('spins', (ms) => { const end = Date.now() + ms; while (Date.now() < end); return ms; });
madrpc.register('never', () => new Promise(() => {}));
madrpc.register('throws', (n) => { throw new RangeError(`no ${n}`); });
madrpc.register('child', async (n) => await madrpc.call('quick', n) + await madrpc.call('sleeps', n, { timeoutMs: 5 }));
madrpc.register('children', (n) => madrpc.map('sleeps', Array.from({ length: n }, (_, i) => i), { concurrency: 3 }));
madrpc.register('waits', (n) => madrpc.callSync('quick', n));
madrpc.register('large', (n) => 'x'.repeat(n * 10_000));
madrpc.register('says', (n) => { for (let i = 0; i < n; i++) console.log(`${n}\n\u202e`); return n; });
madrpc.register('deep', (n) => madrpc.call('deep', n));
