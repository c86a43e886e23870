// Evaluated before the script in every lane, and called with what the host gives (host.rs). It makes the global
// `madrpc` and the timers, and gives the host what it needs of the built-ins, taken before a script can replace them.
((host) => {
  "use strict";
  const views = [
    Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array,
    Float64Array, BigInt64Array, BigUint64Array,
  ];
  const { isView } = ArrayBuffer;
  const { isArray } = Array;
  const big = BigInt;
  const bigToString = Function.prototype.call.bind(BigInt.prototype.toString);
  const time = Function.prototype.call.bind(Date.prototype.getTime);
  const view = Object.getPrototypeOf(Uint8Array.prototype);
  const getter = (object, name) => Function.prototype.call.bind(Object.getOwnPropertyDescriptor(object, name).get);
  const bufferOf = getter(view, "buffer");
  const offsetOf = getter(view, "byteOffset");
  const lengthOf = getter(view, "byteLength");
  const D = Date, B = ArrayBuffer, U = Uint8Array;
  const strangers = [Map, Set, WeakMap, WeakSet, RegExp, Promise, DataView, WeakRef];

  const functions = [];
  // Their names: a script may register very many, and every lane loads it.
  const known = Object.create(null);
  let open = true;
  let checkOptions;
  const register = (name, fn, options) => {
    if (!open) throw new TypeError("madrpc.register: functions can only be registered while the script loads");
    if (typeof name !== "string" || name === "") throw new TypeError("madrpc.register: the name must be a string with a character or more");
    if (name.startsWith("madrpc.")) throw new TypeError(`madrpc.register: names that begin with "madrpc." are reserved: ${name}`);
    if (typeof fn !== "function") throw new TypeError(`madrpc.register: what is registered as "${name}" is no function`);
    if (name in known) throw new TypeError(`madrpc.register: "${name}" is registered twice`);
    if (options !== undefined) checkOptions ??= host.optionsChecker();
    functions.push([name, fn, options === undefined ? [] : checkOptions(name, options)]);
    known[name] = true;
  };

  // Calls to others: the promise of each by its token.
  const promises = new Map();
  const timeoutOf = (options) => {
    if (options === undefined) return undefined;
    if (typeof options !== "object" || options === null) throw new TypeError("madrpc.call: the options must be an object");
    const { timeoutMs } = options;
    if (timeoutMs === undefined) return undefined;
    if (typeof timeoutMs !== "number" || !(timeoutMs > 0)) throw new RangeError("madrpc.call: timeoutMs must be a number above 0");
    return timeoutMs;
  };
  const send = (name, args, options) => {
    if (typeof name !== "string") throw new TypeError("madrpc.call: the name must be a string");
    return host.send(tools, name, args, timeoutOf(options));
  };
  const call = (name, args, options) => new Promise((resolve, reject) => {
    promises.set(send(name, args, options), [resolve, reject]);
  });
  const callSync = (name, args, options) => host.wait(tools, send(name, args, options));
  const map = async (name, list, options = {}) => {
    const all = Array.from(list);
    const { concurrency = 256 } = options;
    if (!Number.isInteger(concurrency) || concurrency < 1) throw new RangeError("madrpc.map: concurrency must be a whole number above 0");
    const results = new Array(all.length);
    let next = 0;
    const work = async () => {
      while (next < all.length) {
        const index = next++;
        results[index] = await call(name, all[index], options);
      }
    };
    const workers = [];
    for (let worker = 0; worker < concurrency && worker < all.length; worker++) workers.push(work());
    await Promise.all(workers);
    return results;
  };

  // Timers, the next one first; those of one time in the order they were set.
  let timers = [];
  let lastTimer = 0;
  const setTimer = (fn, ms, args, isRepeated) => {
    if (typeof fn !== "function") throw new TypeError("a timer needs a function");
    host.touch();
    const wait = Math.max(isRepeated ? 1 : 0, Number(ms) || 0);
    const timer = { id: ++lastTimer, due: host.now() + wait, fn, args, every: isRepeated ? wait : undefined };
    insertTimer(timer);
    return timer.id;
  };
  const insertTimer = (timer) => {
    let low = 0, high = timers.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (timers[middle].due <= timer.due) low = middle + 1; else high = middle;
    }
    timers.splice(low, 0, timer);
  };
  const clearTimer = (id) => {
    const index = timers.findIndex((timer) => timer.id === id);
    if (index >= 0) timers.splice(index, 1);
  };
  const globals = {
    setTimeout: (fn, ms, ...args) => setTimer(fn, ms, args, false),
    setInterval: (fn, ms, ...args) => setTimer(fn, ms, args, true),
    clearTimeout: clearTimer,
    clearInterval: clearTimer,
  };
  for (const [name, value] of Object.entries(globals)) {
    Object.defineProperty(globalThis, name, { value, writable: true, configurable: true });
  }

  const madrpc = { register, call, callSync, map };
  Object.defineProperty(madrpc, "deadline", { get: () => host.deadline(), enumerable: true });
  Object.defineProperty(madrpc, "cancelled", { get: () => host.cancelled(), enumerable: true });
  Object.defineProperty(madrpc, "node", { get: () => host.node(), enumerable: true });
  Object.defineProperty(globalThis, "madrpc", { value: madrpc, enumerable: true });

  const tools = {
    // The registered functions, each with its name, the function and its options; nothing can be registered afterwards.
    close() { open = false; return functions; },
    // Makes these globals, all together where one of them is first asked for.
    bring(names, part, make, host, plan) {
      let made;
      const bringAll = () => {
        made = make(part, host, plan);
        host.brought.push(...Object.values(made));
        return made;
      };
      for (const name of names) {
        Object.defineProperty(globalThis, name, { get: () => (made ?? bringAll())[name], configurable: true });
      }
    },
    // What an object that is neither plain nor an array is: -1 an array behind a proxy, 0 just an object, 1 a date, 2 an
    // array buffer, 3 and above a view of a kind, or in words what cannot travel.
    classify(object) {
      if (isArray(object)) return -1;
      if (isView(object)) {
        for (let kind = 0; kind < views.length; kind++) if (object instanceof views[kind]) return kind + 3;
      }
      if (object instanceof D) return 1;
      if (object instanceof B) return 2;
      for (const kind of strangers) if (object instanceof kind) return kind.name;
      return 0;
    },
    timeOf(date) { return time(date); },
    // A view's bytes, in a view of bytes.
    bytesOf(object) { return new U(bufferOf(object), offsetOf(object), lengthOf(object)); },
    hexOf(integer) { return bigToString(integer, 16); },
    makeBig(negative, magnitude) { const integer = big(magnitude); return negative ? -integer : integer; },
    makeDate(ms) { return new D(ms); },
    makeView(kind, buffer) { return new views[kind](buffer); },
    // The error of a call that failed; `stack` is where it was thrown.
    makeError(kind, message, mayHaveRun, stack) {
      const error = new Error(message);
      Object.defineProperty(error, "name", { value: kind, configurable: true, writable: true });
      error.mayHaveRun = mayHaveRun;
      if (stack !== undefined) error.remoteStack = stack;
      return error;
    },
    // Settles the promise of a call.
    settle(token, isResult, value) {
      const promise = promises.get(token);
      if (promise === undefined) return;
      promises.delete(token);
      promise[isResult ? 0 : 1](value);
    },
    // Runs the next timer where it is due. Gives -2 where it ran one, -1 where there is none, else the milliseconds
    // until the next.
    poll() {
      if (timers.length === 0) return -1;
      const timer = timers[0];
      const wait = timer.due - host.now();
      if (wait > 0) return wait;
      timers.shift();
      if (timer.every !== undefined) insertTimer(Object.assign(timer, { due: host.now() + timer.every }));
      timer.fn(...timer.args);
      return -2;
    },
    // Forgets what a call has left behind.
    reset() {
      promises.clear();
      timers = [];
    },
  };
  return tools;
})
