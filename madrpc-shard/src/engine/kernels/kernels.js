// `madrpc.kernel`, evaluated where a script first asks for it, and called with what the host gives (make.rs).
((host) => {
  "use strict";
  const method = (fn) => Function.prototype.call.bind(fn);
  const textOf = method(Function.prototype.toString);
  const [fileOf, lineOf, columnOf] = ["fileName", "lineNumber", "columnNumber"].map((name) => {
    const { get } = Object.getOwnPropertyDescriptor(Function.prototype, name);
    return method(get);
  });
  const NUMBER = 0, BOOLEAN = 1, KERNEL = 2;
  const numbers = new WeakMap();
  const refuse = (text) => { throw new TypeError(`madrpc.kernel: ${text}`); };
  const tooMuch = (text) => { throw new RangeError(`madrpc.kernel: ${text}`); };
  const whatIs = (value) => {
    if (value === null || value === undefined) return String(value);
    if (typeof value === "function") return "a function that is no kernel";
    return typeof value === "object" ? "an object" : `a ${typeof value}`;
  };

  const read = (captured) => {
    if (captured === undefined) return [[], [], []];
    if (typeof captured !== "object" || captured === null || Array.isArray(captured)) {
      refuse(`what is captured must be an object, as in { NAME: value }, and is ${Array.isArray(captured) ? "an array" : whatIs(captured)}`);
    }
    const names = Object.keys(captured);
    if (names.length > host.capturedMax) {
      tooMuch(`${names.length} names are captured, and no kernel has more than ${host.capturedMax}: pass an array as an argument`);
    }
    const kinds = [], values = [];
    let characters = 0;
    for (const name of names) {
      characters += name.length;
      if (characters > host.capturedNamesMax) {
        tooMuch(`the names that are captured have more than ${host.capturedNamesMax} characters in all: use shorter ones`);
      }
      const value = captured[name];
      const kind = typeof value === "number" ? NUMBER : typeof value === "boolean" ? BOOLEAN : numbers.has(value) ? KERNEL : undefined;
      if (kind === undefined) refuse(`${name} is ${whatIs(value)}; numbers, booleans and kernels can be captured: pass it as an argument`);
      kinds.push(kind);
      values.push(kind === KERNEL ? numbers.get(value) : Number(value));
    }
    return [names, kinds, values];
  };

  return (fn, captured) => {
    if (typeof fn !== "function") refuse(`what is given must be a function, and is ${whatIs(fn)}`);
    if (numbers.has(fn)) refuse("the function is a kernel already");
    const text = textOf(fn);
    if (/\[native code\]\s*\}$/.test(text)) refuse("the function has no text: it is bound or built in; pass one that the script has written");
    const number = host.make(text, [fileOf(fn) ?? "", lineOf(fn) ?? 1, columnOf(fn) ?? 1], read(captured));
    const kernel = host.bind(number);
    numbers.set(kernel, number);
    return kernel;
  };
})
