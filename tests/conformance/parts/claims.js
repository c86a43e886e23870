// What the conformance files share: a claim is a function of the node that throws where it does not hold.
const shown = (value) => {
  if (typeof value === "bigint" || typeof value === "symbol" || typeof value === "function") return String(value);
  return Object.is(value, -0) ? "-0" : JSON.stringify(value) ?? String(value);
};

export const claim = (words, fn) => madrpc.register(words, async () => { await fn(); return true; });

export const equal = (is, should) => {
  if (!Object.is(is, should) && shown(is) !== shown(should)) throw new Error(`is ${shown(is)}, should be ${shown(should)}`);
};

export const throws = async (kind, fn) => {
  let thrown;
  try {
    await fn();
  } catch (error) {
    thrown = error;
  }
  if (thrown === undefined) throw new Error(`should throw a ${kind.name}`);
  if (!(thrown instanceof kind)) throw new Error(`should throw a ${kind.name}, threw ${thrown}`);
  return thrown;
};
