// Evaluated before the script in every lane. It makes the global `madrpc`, and gives the host what it needs of the
// built-ins, taken before a script can replace them.
(() => {
  "use strict";
  const views = [
    Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, Float32Array,
    Float64Array, BigInt64Array, BigUint64Array,
  ];
  const { isView } = ArrayBuffer;
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
  let open = true;
  const register = (name, fn, options) => {
    if (!open) throw new TypeError("madrpc.register: functions can only be registered while the script loads");
    if (typeof name !== "string" || name === "") throw new TypeError("madrpc.register: the name must be a string with a character or more");
    if (name.startsWith("madrpc.")) throw new TypeError(`madrpc.register: names that begin with "madrpc." are reserved: ${name}`);
    if (typeof fn !== "function") throw new TypeError(`madrpc.register: what is registered as "${name}" is no function`);
    if (options !== undefined && (typeof options !== "object" || options === null)) throw new TypeError(`madrpc.register: the options of "${name}" must be an object`);
    for (const known of functions) {
      if (known[0] === name) throw new TypeError(`madrpc.register: "${name}" is registered twice`);
    }
    functions.push([name, fn]);
  };
  Object.defineProperty(globalThis, "madrpc", { value: Object.freeze({ register }), enumerable: true });

  return {
    // The registered functions, in pairs of name and function; nothing can be registered afterwards.
    close() { open = false; return functions; },
    // What an object that is neither plain nor an array is: 0 just an object, 1 a date, 2 an array buffer, 3 and
    // above a view of a kind, or in words what cannot travel.
    classify(object) {
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
  };
})()
