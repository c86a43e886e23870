// `WebAssembly`, as the specification's JavaScript interface has it: evaluated where a script first uses it, and called with what
// mod.rs gives. What lies in the lane's store has numbers (host.rs); a reference to a function is its number, or -1.
(outer) => {
  "use strict";
  const host = outer.webAssembly();
  const FUNCTION = 0, TABLE = 1, MEMORY = 2, GLOBAL = 3, HOST = 4;
  const KINDS = ["function", "table", "memory", "global"];
  const COMPILE = 0, LINK = 1, RUNTIME = 2;
  const { freeze, create, defineProperty } = Object;
  const view = Object.getPrototypeOf(Uint8Array);
  const getter = (object, name) => Function.prototype.call.bind(Object.getOwnPropertyDescriptor(object, name).get);
  const [bufferOf, offsetOf, lengthOf] = ["buffer", "byteOffset", "byteLength"].map((name) => getter(view.prototype, name));
  const [dataBufferOf, dataOffsetOf, dataLengthOf] = ["buffer", "byteOffset", "byteLength"].map((name) => getter(DataView.prototype, name));
  const detachedOf = getter(ArrayBuffer.prototype, "detached");
  const Bytes = Uint8Array, B = BigInt, N = Number;

  const errorClass = (name) => {
    const kind = function (message, options) {
      const error = Reflect.construct(Error, [message, options], new.target ?? kind);
      if (message === undefined) delete error.message;
      return error;
    };
    defineProperty(kind, "name", { value: name, configurable: true });
    defineProperty(kind, "length", { value: 1, configurable: true });
    Object.setPrototypeOf(kind, Error);
    const hidden = (value) => ({ value, writable: true, configurable: true });
    const prototype = create(Error.prototype, { constructor: hidden(kind), name: hidden(name), message: hidden("") });
    defineProperty(kind, "prototype", { value: prototype, writable: false });
    return kind;
  };
  const errors = ["CompileError", "LinkError", "RuntimeError"].map(errorClass);
  const fail = (kind, message) => new errors[kind](message);

  // Memories that JavaScript has, by their numbers. Where one has grown, its buffer is detached before anybody sees it.
  const memories = [];
  const refresh = () => { for (const memory of memories) if (memory !== undefined) refreshOf(memory); };
  // What instances import, by the places that the host has of it.
  const imports = [fail, refresh];

  const bytesOf = (source, what) => {
    try {
      return new Bytes(bufferOf(source), offsetOf(source), lengthOf(source));
    } catch { /* It is no typed array. */ }
    try {
      return new Bytes(dataBufferOf(source), dataOffsetOf(source), dataLengthOf(source));
    } catch { /* Nor a DataView. */ }
    if (source instanceof ArrayBuffer || source instanceof SharedArrayBuffer) return new Bytes(source);
    throw new TypeError(`${what}: the bytes of a module must be an ArrayBuffer or a view of one`);
  };
  // A whole number within bounds, as the interface wants its arguments (Web IDL, [EnforceRange] unsigned long).
  const whole = (value, what, most = 0xffffffff) => {
    const number = N(typeof value === "bigint" ? +value : value);
    if (!N.isFinite(number) || Math.trunc(number) < 0 || Math.trunc(number) > most) {
      throw new TypeError(`${what} must be a whole number from 0 to ${most}`);
    }
    return Math.trunc(number);
  };
  const isObject = (value) => (typeof value === "object" && value !== null) || typeof value === "function";
  const descriptorOf = (descriptor, what) => {
    if (!isObject(descriptor)) throw new TypeError(`${what}: the descriptor must be an object`);
    return descriptor;
  };
  const boundsOf = (descriptor, what, most) => {
    if (descriptor.shared) throw new TypeError(`${what}: there is no shared memory here: leave "shared" out`);
    if (descriptor.initial === undefined) throw new TypeError(`${what}: "initial" is missing`);
    const initial = whole(descriptor.initial, `${what}: "initial"`, most);
    const maximum = descriptor.maximum === undefined ? undefined : whole(descriptor.maximum, `${what}: "maximum"`, most);
    if (maximum !== undefined && maximum < initial) throw new RangeError(`${what}: "maximum" is less than "initial"`);
    return [initial, maximum];
  };

  const known = Symbol();
  const numberOf = { module: undefined, memory: undefined, table: undefined, global: undefined };
  let refreshOf;

  class Module {
    #number;
    constructor(bytes) {
      const compiled = host.compile(bytesOf(bytes, "WebAssembly.Module()"));
      if (typeof compiled === "string") throw fail(COMPILE, `WebAssembly.Module(): ${compiled}`);
      this.#number = compiled;
    }
    static {
      numberOf.module = (module, what) => {
        if (!isObject(module) || !(#number in module)) throw new TypeError(`${what}: a WebAssembly.Module is needed`);
        return module.#number;
      };
      numberOf.isModule = (value) => isObject(value) && #number in value;
    }
    static exports(module) {
      return partsOf(host.exportsOf(numberOf.module(module, "WebAssembly.Module.exports()")), 3)
        .map(([name, kind]) => ({ name, kind: KINDS[kind] }));
    }
    static imports(module) {
      return partsOf(host.importsOf(numberOf.module(module, "WebAssembly.Module.imports()")), 4)
        .map(([module, name, kind]) => ({ module, name, kind: KINDS[kind] }));
    }
    static customSections(module, name) {
      const number = numberOf.module(module, "WebAssembly.Module.customSections()");
      if (name === undefined) throw new TypeError("WebAssembly.Module.customSections(): the name is missing");
      const text = `${name}`;
      return text.isWellFormed() ? host.sectionsOf(number, text) : [];
    }
  }
  const partsOf = (list, size) => Array.from({ length: list.length / size }, (_, at) => list.slice(at * size, (at + 1) * size));

  // Functions by their numbers, and the other way round.
  const functions = [];
  const functionNumbers = new WeakMap();
  const functionOf = (number, name) => {
    if (number < 0) return null;
    if (functions[number] !== undefined) return functions[number];
    const [parameters, results] = host.typeOf(number).split(":");
    const bound = host.bind(imports, number);
    const made = converting(bound, parameters, results);
    defineProperty(made, "name", { value: name ?? String(number), configurable: true });
    defineProperty(made, "length", { value: parameters.length, configurable: true });
    functions[number] = made;
    functionNumbers.set(made, number);
    return made;
  };
  const referenceOf = (value, what) => {
    if (value === null) return -1;
    const number = functionNumbers.get(value);
    if (number === undefined) throw new TypeError(`${what}: only null or a function that an instance exports can be a funcref`);
    return number;
  };
  // Few functions have references among their parameters or results; the host has numbers for those.
  const converting = (bound, parameters, results) => {
    if (!/[Fv]/.test(parameters + results)) return bound;
    const given = (value, at) => (parameters[at] === "F" ? referenceOf(value, "the argument") : value);
    const returned = (value, at) => (results[at] === "F" ? functionOf(value) : value);
    return { call(...values) {
      if (/v/.test(parameters + results)) throw new TypeError("a function with v128 or externref in its type cannot be called from JavaScript");
      const all = Array.from({ length: parameters.length }, (_, at) => given(values[at], at));
      const result = bound(...all);
      return results.length > 1 ? result.map(returned) : returned(result, 0);
    } }.call;
  };
  // The same for functions of a script's that are imported; those of several results return something that can be iterated.
  const imported = (fn, detail) => {
    const [parameters, results] = detail.split(":");
    if (results.length < 2 && !/[Fv]/.test(detail)) return fn;
    const given = (value, at) => (parameters[at] === "F" ? functionOf(value) : value);
    const returned = (value, at) => (results[at] === "F" ? referenceOf(value, "the result of an imported function") : value);
    return (...values) => {
      if (/v/.test(detail)) throw new TypeError("a function with v128 or externref in its type cannot be a script's");
      const result = fn(...values.map(given));
      if (results.length < 2) return returned(result, 0);
      const list = [...result];
      if (list.length !== results.length) throw new TypeError(`an imported function must return ${results.length} values, and has returned ${list.length}`);
      return list.map(returned);
    };
  };

  const globalValue = (letter, value, what) => {
    switch (letter) {
      case "i": return value | 0;
      case "I": return B.asIntN(64, value);
      case "f": return Math.fround(value);
      case "d": return +value;
      case "F": return referenceOf(value, what);
      default: throw new TypeError(`${what}: a value of type v128 or externref cannot be had from JavaScript`);
    }
  };

  const resolve = (module, importObject) => {
    const needed = partsOf(host.importsOf(module), 4);
    if (needed.length > 0 && importObject === undefined) throw new TypeError("WebAssembly.Instance(): the module has imports, and no object of them is given");
    const kinds = [], numbers = [];
    needed.forEach(([module, name, kind, detail], at) => {
      const what = `WebAssembly.Instance(): import ${at} (${module}.${name})`;
      const from = importObject[module];
      if (!isObject(from)) throw new TypeError(`${what}: "${module}" is no object or function among the imports`);
      const value = from[name];
      const refuse = (needs) => { throw fail(LINK, `${what}: it must be ${needs}`); };
      let number;
      switch (kind) {
        case FUNCTION:
          if (typeof value !== "function") refuse("a function");
          number = functionNumbers.get(value);
          if (number === undefined) {
            kind = HOST;
            number = imports.push(imported(value, detail)) - 1;
          }
          break;
        case TABLE: number = numberOf.table(value) ?? refuse("a WebAssembly.Table"); break;
        case MEMORY: number = numberOf.memory(value) ?? refuse("a WebAssembly.Memory"); break;
        case GLOBAL:
          number = numberOf.global(value);
          if (number === undefined) {
            const letter = detail[0];
            const fits = letter === "I" ? typeof value === "bigint" : letter === "F" ? value === null || functionNumbers.has(value) : typeof value === "number";
            if (detail.endsWith("m") || !fits) refuse(letter === "I" ? "a WebAssembly.Global or a BigInt" : "a WebAssembly.Global or a number");
            number = host.newGlobal(letter, false, globalValue(letter, value, what));
          }
          break;
        default: refuse("something that there is not here");
      }
      kinds.push(kind);
      numbers.push(number);
    });
    return [kinds, numbers];
  };

  class Instance {
    #exports = create(null);
    constructor(module, importObject) {
      const number = numberOf.module(module, "WebAssembly.Instance()");
      if (importObject !== undefined && !isObject(importObject)) throw new TypeError("WebAssembly.Instance(): the imports must be an object");
      const [kinds, numbers] = resolve(number, importObject);
      const made = host.instantiate(number, imports, kinds, numbers);
      // One that is imported from an instance and exported again stays what it is.
      const given = kinds.flatMap((kind, at) => (kind === FUNCTION ? [numbers[at]] : kind === HOST ? [undefined] : []));
      partsOf(host.exportsOf(number), 3).forEach(([name, kind, index], at) => {
        const number = made[at];
        const value = kind === FUNCTION ? functionOf(given[index] ?? number, String(index)) : kind === TABLE ? tableOf(number) : kind === MEMORY ? memoryOf(number) : globalOf(number);
        defineProperty(this.#exports, name, { value, enumerable: true });
      });
      freeze(this.#exports);
    }
    get exports() { return this.#exports; }
  }

  const PAGES_MAX = 65536;
  class Memory {
    #number; #buffer;
    constructor(descriptor, number) {
      if (descriptor !== known) {
        const what = "WebAssembly.Memory()";
        number = host.newMemory(...boundsOf(descriptorOf(descriptor, what), what, PAGES_MAX));
      }
      this.#number = number;
      memories[number] = this;
    }
    static {
      numberOf.memory = (value) => (isObject(value) && #number in value ? value.#number : undefined);
      refreshOf = (memory) => {
        if (memory.#buffer === undefined || memory.#buffer.byteLength === host.memorySize(memory.#number)) return;
        host.detach(memory.#buffer);
        memory.#buffer = undefined;
      };
    }
    get buffer() {
      // A script may have transferred it, which elsewhere it could not.
      if (this.#buffer === undefined || detachedOf(this.#buffer)) this.#buffer = host.bufferOf(this.#number);
      return this.#buffer;
    }
    grow(pages) {
      const before = host.growMemory(this.#number, whole(pages, "WebAssembly.Memory.grow(): the number of pages"));
      if (before < 0) throw new RangeError("WebAssembly.Memory.grow(): the memory may not be so large");
      if (this.#buffer !== undefined) {
        host.detach(this.#buffer);
        this.#buffer = undefined;
      }
      return before;
    }
  }
  const memoryOf = (number) => memories[number] ?? new Memory(known, number);

  // What is left out is null, but `undefined` is not.
  const optional = (rest, what) => (rest.length === 0 ? -1 : referenceOf(rest[0], what));
  const tables = [];
  class Table {
    #number;
    constructor(descriptor, first) {
      if (descriptor === known) {
        this.#number = first;
      } else {
        const what = "WebAssembly.Table()";
        const element = `${descriptorOf(descriptor, what).element}`;
        if (element === "externref") throw new TypeError(`${what}: there is no externref here`);
        if (element !== "anyfunc" && element !== "funcref") throw new TypeError(`${what}: "element" must be "anyfunc"`);
        const bounds = boundsOf(descriptor, what);
        this.#number = host.newTable(...bounds, first === undefined ? -1 : referenceOf(first, what));
      }
      tables[this.#number] = this;
    }
    static { numberOf.table = (value) => (isObject(value) && #number in value ? value.#number : undefined); }
    get length() { return host.tableSize(this.#number); }
    get(at) {
      const number = host.getElement(this.#number, whole(at, "WebAssembly.Table.get(): the index"));
      if (number < -1) throw new RangeError(`WebAssembly.Table.get(): ${at} is no place in a table of ${this.length}`);
      return functionOf(number);
    }
    set(at, ...value) {
      const what = "WebAssembly.Table.set()";
      if (!host.setElement(this.#number, whole(at, `${what}: the index`), optional(value, what))) throw new RangeError(`${what}: ${at} is no place in a table of ${this.length}`);
    }
    grow(elements, ...value) {
      const what = "WebAssembly.Table.grow()";
      const before = host.growTable(this.#number, whole(elements, `${what}: the number of elements`), optional(value, what));
      if (before < 0) throw new RangeError(`${what}: the table may not be so long`);
      return before;
    }
  }
  const tableOf = (number) => tables[number] ?? new Table(known, number);

  const LETTERS = { i32: "i", i64: "I", f32: "f", f64: "d", anyfunc: "F", funcref: "F" };
  const globals = [];
  class Global {
    #number; #letter; #mutable;
    constructor(descriptor, value) {
      if (descriptor === known) {
        const type = host.typeOfGlobal(value);
        this.#number = value;
        this.#letter = type[0];
        this.#mutable = type.endsWith("m");
      } else {
        const what = "WebAssembly.Global()";
        const { mutable, value: named } = descriptorOf(descriptor, what);
        const type = `${named}`;
        if (!Object.hasOwn(LETTERS, type)) throw new TypeError(`${what}: "value" must be one of ${Object.keys(LETTERS).join(", ")}`);
        this.#letter = LETTERS[type];
        this.#mutable = Boolean(mutable);
        const first = value === undefined ? { I: 0n, F: null }[this.#letter] : value;
        this.#number = host.newGlobal(this.#letter, this.#mutable, globalValue(this.#letter, first === undefined ? 0 : first, what));
      }
      globals[this.#number] = this;
    }
    static { numberOf.global = (value) => (isObject(value) && #number in value ? value.#number : undefined); }
    #get() {
      const value = host.getGlobal(this.#number);
      return this.#letter === "F" ? functionOf(value) : value;
    }
    get value() { return this.#get(); }
    set value(value) {
      if (!this.#mutable) throw new TypeError("WebAssembly.Global: this one cannot be changed");
      host.setGlobal(this.#number, globalValue(this.#letter, value, "WebAssembly.Global"));
    }
    valueOf() { return this.#get(); }
  }
  const globalOf = (number) => globals[number] ?? new Global(known, number);

  const tag = (object, name) => defineProperty(object, Symbol.toStringTag, { value: name, configurable: true });
  const classes = { Module, Instance, Memory, Table, Global };
  for (const [name, kind] of Object.entries(classes)) tag(kind.prototype, `WebAssembly.${name}`);
  for (const [kind, names] of [[Memory, ["buffer", "grow"]], [Table, ["length", "get", "set", "grow"]], [Global, ["value", "valueOf"]], [Instance, ["exports"]]]) {
    for (const name of names) defineProperty(kind.prototype, name, { enumerable: true });
  }

  const WebAssembly = {
    // Whether the module is compiled at once or later, the lane waits without the core.
    async compile(bytes) { return new Module(bytes); },
    async instantiate(source, importObject = undefined) {
      if (numberOf.isModule(source)) return new Instance(source, importObject);
      const module = new Module(source);
      // What it imports is looked at later, as elsewhere.
      await undefined;
      return { module, instance: new Instance(module, importObject) };
    },
    validate(bytes) { return host.validate(bytesOf(bytes, "WebAssembly.validate()")); },
  };
  for (const [name, value] of Object.entries({ ...classes, CompileError: errors[COMPILE], LinkError: errors[LINK], RuntimeError: errors[RUNTIME] })) {
    defineProperty(WebAssembly, name, { value, writable: true, configurable: true });
  }
  tag(WebAssembly, "WebAssembly");
  return { WebAssembly };
}
