// What harden.rs needs of the language to freeze it: evaluated after the prelude and the globals, and before the script.
(() => {
  "use strict";
  const { defineProperty, getOwnPropertyDescriptor, getPrototypeOf } = Object;

  // Both would run, or bend, every stack trace of the calls after this one. Assigning does nothing, instead of
  // throwing, because libraries assign them as a courtesy and put them back.
  const ignored = () => {};
  const limit = Error.stackTraceLimit;
  defineProperty(Error, "prepareStackTrace", { get: () => undefined, set: ignored, configurable: false });
  defineProperty(Error, "stackTraceLimit", { get: () => limit, set: ignored, configurable: false });

  return {
    // Prototypes that no global leads to.
    prototypes: [
      getPrototypeOf(function* () {}), getPrototypeOf(async () => {}), getPrototypeOf(async function* () {}),
      getPrototypeOf([].values()), getPrototypeOf(new Map().values()), getPrototypeOf(new Set().values()),
      getPrototypeOf(""[Symbol.iterator]()), getPrototypeOf("".matchAll(/./g)), getPrototypeOf([].values().map(String)),
      getPrototypeOf(Iterator.from({ next() {} })),
    ],
    others: [Function.prototype, getOwnPropertyDescriptor((function () { return arguments; })(), "callee").get],
  };
})()
