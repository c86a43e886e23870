// Evaluated before the script in every lane, and called with what the host gives (host.rs). It makes the global
// `madrpc` and the timers, and gives the host what it needs of the built-ins, taken before a script can replace them.
((host) => {
  "use strict";
  const views = [
    Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array,
    Float64Array, BigInt64Array, BigUint64Array, Float16Array,
  ];
  const { isArray } = Array;
  const { create, getPrototypeOf } = Object;
  const { ownKeys } = Reflect;
  const big = BigInt;
  const method = (fn) => Function.prototype.call.bind(fn);
  const bigToString = method(BigInt.prototype.toString);
  const sourceOf = method(Function.prototype.toString);
  const time = method(Date.prototype.getTime);
  const dateToJson = Date.prototype.toJSON;
  const view = getPrototypeOf(Uint8Array.prototype);
  const getter = (object, name) => method(Object.getOwnPropertyDescriptor(object, name).get);
  const bufferOf = getter(view, "buffer");
  const offsetOf = getter(view, "byteOffset");
  const lengthOf = getter(view, "byteLength");
  const elementOf = method(view.at);
  const detachedOf = getter(ArrayBuffer.prototype, "detached");
  const D = Date, E = Error, P = Promise, U = Uint8Array;

  // Nobody waits, as nobody may; and the engine's own takes a lock of the process' in which no lane must be stopped.
  const { load } = Atomics;
  const { notify } = {
    notify(array, index, _count) {
      load(array, index);
      return 0;
    },
  };
  Object.defineProperty(Atomics, "notify", { value: notify, writable: true, enumerable: false, configurable: true });

  // What the engine has for these does not look at the language. Most lanes never need ours.
  let locale;
  const speak = () => (locale ??= host.locale());
  const [numberOf, bigOf] = [Number, BigInt].map((kind) => method(kind.prototype.valueOf));
  const text = (value, what) => {
    if (value === undefined || value === null) throw new TypeError(`String.prototype.${what} called on ${value}`);
    return String(value);
  };
  const dateText = (date, name, locales, options) => speak().date(new Date(time(date)), name, locales, options);
  // The engine asks the elements without these.
  const listText = (list, length, locales, options) => {
    let all = "";
    for (let at = 0; at < length; at++) {
      const element = list[at];
      if (at > 0) all += ",";
      if (element !== undefined && element !== null) all += String(element.toLocaleString(locales, options));
    }
    return all;
  };
  const says = (locales, options) => locales !== undefined || options !== undefined;
  const [arrayText, viewText] = [Array.prototype, view].map((of) => method(of.toLocaleString));
  const countOf = getter(view, "length");
  const replaced = [
    [Array.prototype, {
      toLocaleString(locales, options) { return says(locales, options) ? listText(this, this.length, locales, options) : arrayText(this); },
    }],
    [view, {
      toLocaleString(locales, options) { return says(locales, options) ? listText(this, countOf(this), locales, options) : viewText(this); },
    }],
    [Number.prototype, { toLocaleString(locales, options) { return speak().number(numberOf(this), locales, options); } }],
    [BigInt.prototype, { toLocaleString(locales, options) { return speak().big(bigOf(this), locales, options); } }],
    [Date.prototype, {
      toLocaleString(locales, options) { return dateText(this, "toLocaleString", locales, options); },
      toLocaleDateString(locales, options) { return dateText(this, "toLocaleDateString", locales, options); },
      toLocaleTimeString(locales, options) { return dateText(this, "toLocaleTimeString", locales, options); },
    }],
    [String.prototype, {
      localeCompare(that, locales, options) { return speak().compare(text(this, "localeCompare"), String(that), locales, options); },
      toLocaleUpperCase(locales) { return speak().upper(text(this, "toLocaleUpperCase"), locales); },
      toLocaleLowerCase(locales) { return speak().lower(text(this, "toLocaleLowerCase"), locales); },
    }],
  ];
  for (const [prototype, methods] of replaced) {
    for (const [name, value] of Object.entries(methods)) Object.defineProperty(prototype, name, { value, writable: true, configurable: true });
  }

  const unboxers = [Number, String, Boolean, BigInt].map((kind) => method(kind.prototype.valueOf));
  // What an object inherits from that only looks like one of those.
  const looks = new Map([
    Function, Number, String, Boolean, Symbol, BigInt, Date, RegExp, Map, Set, WeakMap, WeakSet, WeakRef, Promise, Array,
    FinalizationRegistry, ArrayBuffer, SharedArrayBuffer, DataView, Iterator,
  ].map((kind) => [kind.prototype, kind.name]));
  looks.set(view, "TypedArray");
  looks.set(Error.prototype, "Error");
  const lookOf = looks.get.bind(looks);
  // The prototypes of the host's classes, whose content no script reaches, and their names.
  const hosts = new Map();
  const knowClasses = (made) => {
    for (const key of ownKeys(made)) {
      const one = made[key];
      if (typeof one === "object" && one !== null) knowClasses(one);
      else if (typeof one === "function" && one.prototype !== undefined) hosts.set(one.prototype, one.name);
    }
  };
  const article = (name) => `${/^[AEIO]/i.test(name) ? "an" : "a"} ${name}`;

  const resolved = (thenable) => new P((resolve) => resolve(thenable));
  const nameOf = (proto) => {
    try {
      const { name } = proto.constructor;
      return typeof name === "string" && name !== "" ? name : "object";
    } catch {
      return "object";
    }
  };

  const functions = [];
  // Their names: a script may register very many, and every lane loads it.
  const known = Object.create(null);
  let open = true;
  let checkOptions;
  const register = (name, fn, options) => add(name, fn, options, false);
  const add = (name, fn, options, isExported) => {
    if (!open) throw new TypeError("madrpc.register: functions can only be registered while the script loads");
    if (typeof name !== "string" || name === "") throw new TypeError("madrpc.register: the name must be a string with a character or more");
    if (name.startsWith("madrpc.")) throw new TypeError(`madrpc.register: names that begin with "madrpc." are reserved: ${name}`);
    if (!name.isWellFormed()) throw new TypeError(`madrpc.register: a lone surrogate in the name: ${name.toWellFormed()}`);
    const bytes = host.textBytes(name);
    if (bytes > host.nameMaxBytes) throw new RangeError(`madrpc.register: a name of ${bytes} bytes, and none has more than ${host.nameMaxBytes}: ${name.slice(0, 40)}…`);
    if (typeof fn !== "function") throw new TypeError(`madrpc.register: what is registered as "${name}" is no function`);
    if (name in known) throw new TypeError(`madrpc.register: "${name}" is registered twice`);
    if (options !== undefined) checkOptions ??= host.optionsChecker();
    functions.push([name, fn, options === undefined ? [] : checkOptions(name, options), isExported]);
    known[name] = true;
  };

  let makeKernel;
  const kernel = (fn, captured) => (makeKernel ??= host.kernelMaker())(fn, captured);

  // What a script exports is registered where it registers nothing itself. `options` says of each what it would say there.
  const isClass = (fn) => /^class\b/.test(sourceOf(fn));
  const registerExports = (exports) => {
    if (functions.length > 0) return;
    const exported = (name) => typeof exports[name] === "function" && !isClass(exports[name]);
    const names = ownKeys(exports).filter((name) => typeof name === "string" && exported(name));
    if (names.includes("default")) throw new TypeError("export default: a function is registered under its name: export function name() { … }");
    const options = typeof exports.options === "function" ? {} : exports.options ?? {};
    if (names.length > 0 && typeof options !== "object") throw new TypeError("export const options: it must be an object of options by the names of functions");
    const other = Object.keys(options).find((name) => !names.includes(name));
    if (names.length > 0 && other !== undefined) throw new TypeError(`export const options: there is no exported function "${other}"`);
    for (const name of names) add(name, exports[name], Object.hasOwn(options, name) ? options[name] : undefined, true);
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
  const send = (name, args, options, streams = false) => {
    if (typeof name !== "string") throw new TypeError("madrpc.call: the name must be a string");
    return host.send(tools, name, args, timeoutOf(options), streams);
  };
  const call = (name, args, options) => new Promise((resolve, reject) => {
    promises.set(send(name, args, options), [resolve, reject]);
  });
  const callSync = (name, args, options) => host.wait(tools, send(name, args, options));
  // Calls whose items are taken one after the other: what has come of each, who waits for more, and how it ended.
  const streams = new Map();
  const take = (token, [value, frames], resolve) => {
    host.grant(token, frames);
    resolve({ value, done: false });
  };
  // What ends it is told once.
  const conclude = (stream, [resolve, reject]) => {
    const { isResult, value } = stream.end;
    stream.end = { isResult: true, value: undefined };
    if (isResult) resolve({ value, done: true });
    else reject(value);
  };
  const endStream = (token, stream, isResult, value) => {
    streams.delete(token);
    host.giveUp(token);
    stream.end ??= { isResult, value };
    for (const one of stream.waiting) conclude(stream, one);
    stream.waiting = [];
  };
  const stream = (name, args, options) => {
    const token = send(name, args, options, true);
    const stream = { items: [], waiting: [], result: undefined, end: undefined };
    streams.set(token, stream);
    return {
      next() {
        return new P((resolve, reject) => {
          if (stream.items.length > 0) take(token, stream.items.shift(), resolve);
          else if (stream.end !== undefined) conclude(stream, [resolve, reject]);
          else stream.waiting.push([resolve, reject]);
        });
      },
      return(value) {
        stream.items = [];
        stream.end = { isResult: true, value: undefined };
        endStream(token, stream);
        return resolved({ value, done: true });
      },
      [Symbol.asyncIterator]() { return this; },
    };
  };
  // Calls for all that an iterable gives, so many at a time. After the first failure none is begun.
  const map = async (name, list, options) => {
    timeoutOf(options);
    const { concurrency = 256 } = options ?? {};
    if (!Number.isInteger(concurrency) || concurrency < 1) throw new RangeError("madrpc.map: concurrency must be a whole number above 0");
    const later = list?.[Symbol.asyncIterator]?.();
    const iterator = later ?? list?.[Symbol.iterator]?.();
    if (typeof iterator?.next !== "function") throw new TypeError("madrpc.map: the list must be iterable");
    const results = [];
    let running = 0;
    let failure, goOn;
    const end = () => { running--; goOn?.(); };
    const fail = (error) => { failure ??= { error }; end(); };
    const begin = (index, argument) => {
      call(name, argument, options).then((result) => { results[index] = result; end(); }, fail);
    };
    const oneHasEnded = () => new P((resolve) => { goOn = resolve; });
    while (failure === undefined) {
      const { done, value } = later === undefined ? iterator.next() : await iterator.next();
      if (done) break;
      running++;
      const index = results.push(undefined) - 1;
      if (typeof value === "object" && typeof value?.then === "function") resolved(value).then((argument) => begin(index, argument), fail);
      else begin(index, value);
      while (running >= concurrency && failure === undefined) await oneHasEnded();
    }
    while (running > 0 && failure === undefined) await oneHasEnded();
    if (failure === undefined) return results;
    try { await iterator.return?.(); } catch { /* What failed first is told. */ }
    throw failure.error;
  };

  // A finalizer runs when its target is collected: by the call that registered it, or not at all. Another call is not to pay
  // for it, nor to find what it does.
  let ofThisCall = {};
  const Registry = FinalizationRegistry;
  const registerTarget = method(Registry.prototype.register);
  const finalizers = {
    FinalizationRegistry: function (cleanup) {
      if (new.target === undefined) throw new TypeError("FinalizationRegistry must be called with new");
      if (typeof cleanup !== "function") throw new TypeError("a FinalizationRegistry needs a function");
      const run = ({ call, held }) => { if (call === ofThisCall) cleanup(held); };
      return Reflect.construct(Registry, [run], new.target);
    },
    register(target, held, token) {
      if (target === held && target !== undefined) throw new TypeError("a target must not be what is held for it");
      host.touch();
      registerTarget(this, target, { call: ofThisCall, held }, token);
    },
  };
  Object.defineProperty(finalizers.FinalizationRegistry, "prototype", { value: Registry.prototype, writable: false });
  Object.defineProperty(finalizers.register, "length", { value: 2, configurable: true });
  for (const [object, name, value] of [
    [globalThis, "FinalizationRegistry", finalizers.FinalizationRegistry],
    [Registry.prototype, "constructor", finalizers.FinalizationRegistry],
    [Registry.prototype, "register", finalizers.register],
  ]) Object.defineProperty(object, name, { value, writable: true, enumerable: false, configurable: true });

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

  const madrpc = { register, call, callSync, stream, map, kernel };
  Object.defineProperty(madrpc, "deadline", { get: () => host.deadline(), enumerable: true });
  Object.defineProperty(madrpc, "cancelled", { get: () => host.cancelled(), enumerable: true });
  Object.defineProperty(madrpc, "node", { get: () => host.node(), enumerable: true });
  Object.defineProperty(madrpc, "traceparent", { get: () => host.traceparent(), enumerable: true });
  Object.defineProperty(globalThis, "madrpc", { value: madrpc, enumerable: true });

  const tools = {
    registerExports,
    // The registered functions, each with its name, the function, its options and whether it is one that is only exported;
    // nothing can be registered afterwards.
    close() { open = false; return functions; },
    // Makes these globals, all together where one of them is first asked for.
    bring(names, part, make, host) {
      let made;
      const bringAll = () => {
        const all = make(part, host);
        knowClasses(all);
        host.brought.push(...Object.values(all));
        return (made = all);
      };
      for (const name of names) {
        Object.defineProperty(globalThis, name, { get: () => (made ?? bringAll())[name], configurable: true });
      }
    },
    objectPrototype: Object.prototype,
    arrayPrototype: Array.prototype,
    // How an object travels that is neither plain nor an array as there is most: 0 by its own data, 1 as an array, 2 as an
    // error, 3 as its `toJSON` says, where that is asked; or in words what it is and cannot travel.
    classify(object, asksJson) {
      let isError = false, ofHost;
      const isList = isArray(object);
      if (!isList) {
        for (let proto = getPrototypeOf(object); proto !== null; proto = getPrototypeOf(proto)) {
          const look = lookOf(proto);
          if (look === "Error") isError = true;
          else if (look !== undefined) return `an object that only looks like ${article(look)}`;
          ofHost ??= hosts.get(proto);
        }
      }
      if (asksJson && typeof object.toJSON === "function") return 3;
      if (ofHost !== undefined && !isError) return `${article(ofHost)}${ofHost === "URLSearchParams" ? " (send its text: String(it))" : ""}`;
      return isList ? 1 : isError ? 2 : 0;
    },
    jsonOf(object, key) { return object.toJSON(key); },
    // Whether it has a method of that name which is not that of all dates.
    hasOwnJson(object) { return object.toJSON !== dateToJson; },
    // What an object without own enumerable properties is, in words; undefined where it is just empty.
    hollow(object) {
      const proto = getPrototypeOf(object);
      const isPlain = proto === null || proto === Object.prototype;
      if (!isPlain) return `${article(nameOf(proto))} without properties of its own: give its class a toJSON method`;
      return ownKeys(object).length === 0 ? undefined : "an object whose properties are hidden or symbols";
    },
    // What travels of an error.
    errorData(error) {
      const data = create(null);
      data.name = error.name;
      data.message = error.message;
      if (error.code !== undefined) data.code = error.code;
      for (const key of ownKeys(error)) {
        if (typeof key === "string" && key !== "stack" && key !== "remoteStack") data[key] = error[key];
      }
      return data;
    },
    unbox(object) {
      for (const unboxer of unboxers) try { return unboxer(object); } catch { /* It is another. */ }
    },
    timeOf(date) { return time(date); },
    isDetached(buffer) { return detachedOf(buffer); },
    // A view's bytes, in a view of bytes; or in words why it has none.
    bytesOf(object) {
      const buffer = bufferOf(object);
      try {
        if (detachedOf(buffer)) return "a view of a detached ArrayBuffer";
      } catch {
        return "a view of a SharedArrayBuffer";
      }
      try { elementOf(object, 0); } catch { return "a view beyond the end of its ArrayBuffer"; }
      return new U(buffer, offsetOf(object), lengthOf(object));
    },
    resolve: resolved,
    hexOf(integer) { return bigToString(integer, 16); },
    makeBig(negative, magnitude) { const integer = big(magnitude); return negative ? -integer : integer; },
    makeDate(ms) { return new D(ms); },
    makeView(kind, buffer) { return new views[kind](buffer); },
    // The error of a call that failed: named after its kind, or as what was thrown there, with what that had of its own.
    makeError(kind, name, message, mayHaveRun, stack, thrown) {
      const error = new E(message);
      const hide = (key, value) => Object.defineProperty(error, key, { value, configurable: true, writable: true });
      hide("name", name);
      error.kind = kind;
      error.mayHaveRun = mayHaveRun;
      if (stack !== undefined) error.remoteStack = stack;
      if (typeof thrown !== "object" || thrown === null || isArray(thrown)) {
        if (thrown !== undefined) error.thrown = thrown;
        return error;
      }
      for (const key of Object.keys(thrown)) {
        if (key === "cause" || key === "errors") hide(key, thrown[key]);
        else if (key !== "name" && key !== "message" && !(key in error)) error[key] = thrown[key];
      }
      return error;
    },
    // An item has come, or, where nothing is to be granted for it, what its function has returned.
    item(token, value, frames) {
      const stream = streams.get(token);
      if (stream === undefined) return;
      if (frames === 0) stream.result = value;
      else if (stream.waiting.length > 0) take(token, [value, frames], stream.waiting.shift()[0]);
      else stream.items.push([value, frames]);
    },
    // Settles the promise of a call, or ends the items of one.
    settle(token, isResult, value) {
      const stream = streams.get(token);
      if (stream !== undefined) return endStream(token, stream, isResult, value === undefined ? stream.result : value);
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
    waitingTimers() { return timers.length; },
    // Forgets what a call has left behind.
    reset() {
      ofThisCall = {};
      promises.clear();
      streams.clear();
      timers = [];
    },
  };
  return tools;
})
