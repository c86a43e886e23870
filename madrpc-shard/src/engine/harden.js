// Evaluated after the prelude and the globals, and before the script, in every lane: nothing that the language or the
// host brings can be changed from here on, so no call leaves behind an Array, a Promise or a JSON other than it found.
//
// Frozen is every object that can be reached from the global object or by syntax: constructors, prototypes, functions,
// namespaces. The globals that hold them can be neither assigned nor removed; new globals are the script's own affair.
//
// A frozen prototype would also forbid `this.name = "A"` on the instances of a class of one's own, because assigning
// stops at an inherited property that is read-only (the "override mistake"). The properties that programs do assign so
// are accessors therefore, which put the value on the instance. Other inherited names (`push`, `then`) stay as fast as
// they were, and can be shadowed by a class, a literal or Object.defineProperty, but not by assigning.
(() => {
  "use strict";
  const { defineProperty, freeze, getOwnPropertyDescriptor, getPrototypeOf, hasOwn, preventExtensions } = Object;
  const { apply, ownKeys } = Reflect;
  const isOwn = Object.prototype.hasOwnProperty;

  const assignable = new Set([
    "constructor", "message", "name", "toJSON", "toLocaleString", "toString", "valueOf", Symbol.asyncIterator,
    Symbol.iterator,
  ]);

  const makeAssignable = (prototype, key, value) => {
    const accessor = {
      get() { return value; },
      set(assigned) {
        if (this === prototype) throw new TypeError(`"${String(key)}" of a built-in prototype is read-only`);
        if (apply(isOwn, this, [key])) {
          this[key] = assigned;
        } else {
          defineProperty(this, key, { value: assigned, writable: true, enumerable: true, configurable: true });
        }
      },
    };
    freeze(accessor.get);
    freeze(accessor.set);
    defineProperty(prototype, key, { get: accessor.get, set: accessor.set, configurable: false });
  };

  // Both would run, or bend, every stack trace of the calls after this one. Assigning does nothing, instead of
  // throwing, because libraries assign them as a courtesy and put them back.
  const ignored = () => {};
  const limit = Error.stackTraceLimit;
  defineProperty(Error, "prepareStackTrace", { get: () => undefined, set: ignored, configurable: false });
  defineProperty(Error, "stackTraceLimit", { get: () => limit, set: ignored, configurable: false });

  // Functions to freeze with all that they have, beside those with a prototype.
  const rich = new Set([Function.prototype]);
  const seen = new Set([globalThis]);
  const pending = [], owners = [];
  const reach = (value) => {
    if ((typeof value !== "object" && typeof value !== "function") || value === null || seen.has(value)) return;
    seen.add(value);
    // Four of five objects are functions with no more than a name and a length. That nothing can be added to them is
    // enough; freezing them would take each lane twice the time and 60 KB.
    if (typeof value === "function" && !rich.has(value) && !hasOwn(value, "prototype")) preventExtensions(value);
    else pending.push(value);
  };
  const reachAll = (property) => {
    if ("value" in property) return reach(property.value);
    reach(property.get);
    reach(property.set);
  };

  // What no global leads to.
  const prototypes = new Set([
    getPrototypeOf(function* () {}), getPrototypeOf(async () => {}), getPrototypeOf(async function* () {}),
    getPrototypeOf([].values()), getPrototypeOf(new Map().values()), getPrototypeOf(new Set().values()),
    getPrototypeOf(""[Symbol.iterator]()), getPrototypeOf("".matchAll(/./g)), getPrototypeOf([].values().map(String)),
    getPrototypeOf(Iterator.from({ next() {} })),
  ]);
  prototypes.forEach(reach);
  reach(getOwnPropertyDescriptor((function () { return arguments; })(), "callee").get);

  for (const key of ownKeys(globalThis)) {
    const property = getOwnPropertyDescriptor(globalThis, key);
    rich.add(property.value);
    reachAll(property);
    if ("value" in property) property.writable = false;
    property.configurable = false;
    defineProperty(globalThis, key, property);
  }

  for (let object; (object = pending.pop()) !== undefined;) {
    reach(getPrototypeOf(object));
    owners.push(object);
    for (const key of ownKeys(object)) {
      const property = getOwnPropertyDescriptor(object, key);
      reachAll(property);
      if (key === "prototype" && typeof object === "function" && property.value !== undefined) prototypes.add(property.value);
    }
  }

  for (const prototype of prototypes) {
    for (const key of ownKeys(prototype)) {
      if (prototype !== Object.prototype && !assignable.has(key)) continue;
      const property = getOwnPropertyDescriptor(prototype, key);
      if (property.configurable && property.writable) makeAssignable(prototype, key, property.value);
    }
  }
  for (const object of owners) freeze(object);
})()
