// The globals that a script has beside the language. A function of `host`, which comes from mod.rs; harden.rs freezes
// what it gives. From the engine itself come `performance`, `atob`, `btoa`, `queueMicrotask` and `DOMException`.
(host) => {
  "use strict";
  const view = Object.getPrototypeOf(Uint8Array);
  const byteLengthOf = Function.prototype.call.bind(Object.getOwnPropertyDescriptor(view.prototype, "byteLength").get);
  const bytesOf = (input, what) => {
    if (input instanceof ArrayBuffer || input instanceof SharedArrayBuffer) return new Uint8Array(input);
    if (ArrayBuffer.isView(input)) return new Uint8Array(input.buffer, input.byteOffset, input.byteLength);
    throw new TypeError(`${what}: an ArrayBuffer or a view of one is needed`);
  };

  class TextEncoder {
    get encoding() { return "utf-8"; }
    encode(text = "") { return host.encode(String(text).toWellFormed()); }
    encodeInto(text, target) {
      if (!(target instanceof Uint8Array)) throw new TypeError("TextEncoder.encodeInto: the target must be a Uint8Array");
      // A code unit takes a byte or more, so no more of them can fit.
      const source = String(text).slice(0, target.length).toWellFormed();
      const bytes = host.encode(source);
      let written = Math.min(bytes.length, target.length);
      while (written < bytes.length && written > 0 && (bytes[written] & 0xc0) === 0x80) written--;
      const head = bytes.subarray(0, written);
      target.set(head);
      return { read: host.decode(head, false, false, 0)[0].length, written };
    }
  }

  const labels = ["utf-8", "utf8", "unicode-1-1-utf-8", "unicode11utf8", "unicode20utf8", "x-unicode20utf8"];
  const nothing = new Uint8Array(0);

  class TextDecoder {
    #fatal; #ignoreBOM; #rest = nothing; #begun = false;
    constructor(label = "utf-8", options = {}) {
      if (!labels.includes(String(label).trim().toLowerCase())) {
        throw new RangeError(`TextDecoder: only utf-8 is known here, not "${label}"`);
      }
      this.#fatal = Boolean(options?.fatal);
      this.#ignoreBOM = Boolean(options?.ignoreBOM);
    }
    get encoding() { return "utf-8"; }
    get fatal() { return this.#fatal; }
    get ignoreBOM() { return this.#ignoreBOM; }
    decode(input = nothing, options = {}) {
      const stream = Boolean(options?.stream);
      let bytes = bytesOf(input, "TextDecoder.decode");
      if (this.#rest.length > 0) {
        const all = new Uint8Array(this.#rest.length + bytes.length);
        all.set(this.#rest);
        all.set(bytes, this.#rest.length);
        bytes = all;
      }
      this.#rest = nothing;
      const isFirst = !this.#begun;
      this.#begun = false;
      let text = "", used = 0;
      // The host does each part in one go.
      do {
        const part = bytes.subarray(used, used + 131072), isLast = used + part.length === bytes.length;
        const [more, length] = host.decode(part, this.#fatal, stream || !isLast, used);
        text += more;
        used += length;
        if (isLast) break;
      } while (true);
      if (isFirst && !this.#ignoreBOM && text.startsWith("\ufeff")) text = text.slice(1);
      if (stream) {
        this.#rest = bytes.slice(used);
        this.#begun = !isFirst || used > 0;
      }
      return text;
    }
  }

  const integers = [
    Int8Array, Uint8Array, Uint8ClampedArray, Int16Array, Uint16Array, Int32Array, Uint32Array, BigInt64Array,
    BigUint64Array,
  ];
  const crypto = {
    getRandomValues(array) {
      if (!integers.some((kind) => array instanceof kind)) {
        throw new DOMException("crypto.getRandomValues: a typed array of integers is needed", "TypeMismatchError");
      }
      // What the array itself has, whatever a property of that name says; it throws for what only looks like one.
      const length = byteLengthOf(array);
      if (length > 65536) {
        throw new DOMException(`crypto.getRandomValues: at most 65536 bytes at once, not ${length}`, "QuotaExceededError");
      }
      bytesOf(array).set(host.random(length));
      return array;
    },
    randomUUID() {
      const bytes = host.random(16);
      bytes[6] = (bytes[6] & 0x0f) | 0x40;
      bytes[8] = (bytes[8] & 0x3f) | 0x80;
      const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
      return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
    },
  };

  const errors = [EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError];
  const uncloneable = [WeakMap, WeakSet, WeakRef, Promise, SharedArrayBuffer, FinalizationRegistry, Iterator];
  const refuse = (what) => { throw new DOMException(`structuredClone: a ${what} cannot be cloned`, "DataCloneError"); };

  // `done` maps what has been met to its copy, so that cycles and shared parts keep their shape.
  const copy = (value, done) => {
    if (typeof value === "symbol" || typeof value === "function") refuse(typeof value);
    if (typeof value !== "object" || value === null) return value;
    if (done.has(value)) return done.get(value);
    const made = (result) => { done.set(value, result); return result; };
    if (Array.isArray(value)) {
      const result = made([]);
      result.length = value.length;
      return copyEntries(value, result, done);
    }
    if (value instanceof Date) return made(new Date(value.getTime()));
    if (value instanceof RegExp) return made(new RegExp(value.source, value.flags));
    if (value instanceof ArrayBuffer) return made(value.slice(0));
    if (value instanceof DataView) return made(new DataView(copy(value.buffer, done), value.byteOffset, value.byteLength));
    if (value instanceof view) {
      const kind = globalThis[value[Symbol.toStringTag]];
      return made(new kind(copy(value.buffer, done), value.byteOffset, value.length));
    }
    if (value instanceof Map) {
      const result = made(new Map());
      for (const [key, of] of [...value]) result.set(copy(key, done), copy(of, done));
      return result;
    }
    if (value instanceof Set) {
      const result = made(new Set());
      for (const member of [...value]) result.add(copy(member, done));
      return result;
    }
    if (value instanceof Error) {
      const kind = errors.find((kind) => kind.prototype.name === value.name) ?? Error;
      const result = made(Object.create(kind.prototype));
      const define = (key, value) => Object.defineProperty(result, key, { value, writable: true, configurable: true });
      for (const key of ["message", "cause"]) {
        const property = Object.getOwnPropertyDescriptor(value, key);
        if (property && "value" in property) define(key, key === "cause" ? copy(property.value, done) : String(property.value));
      }
      define("stack", String(value.stack));
      return result;
    }
    for (const kind of [Boolean, Number, String, BigInt]) {
      if (value instanceof kind) return made(Object(value.valueOf()));
    }
    for (const kind of uncloneable) if (value instanceof kind) refuse(kind.name);
    return copyEntries(value, made({}), done);
  };

  const copyEntries = (from, to, done) => {
    for (const key of Object.keys(from)) {
      const value = copy(from[key], done);
      Object.defineProperty(to, key, { value, writable: true, enumerable: true, configurable: true });
    }
    return to;
  };

  const structuredClone = (value, options) => {
    if (options?.transfer?.length > 0) {
      throw new DOMException("structuredClone: nothing can be transferred here; leave `transfer` out", "DataCloneError");
    }
    return copy(value, new Map());
  };

  return { TextDecoder, TextEncoder, crypto, structuredClone };
}
