// How the programs of programs.wasm come to their arrays, in madrpc as in Node.js.

const PAGE_BYTES = 65536;

// An input whose arrays lie in a module's memory, one after the other: of each the address is the argument, and the lengths of all
// are arguments after the last.
export const placed = (memory, input) => (part) => {
  const [args, written] = input(part);
  const places = new Map();
  let end = 0;
  for (const array of args.filter(ArrayBuffer.isView)) {
    places.set(array, end);
    end += Math.ceil(array.byteLength / 8) * 8;
  }
  const missing = end - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
  const view = (array) => new array.constructor(memory.buffer, places.get(array), array.length);
  const arrays = [...places.keys()];
  for (const array of arrays) view(array).set(array);
  const addresses = args.map((arg) => places.get(arg) ?? arg);
  return [[...addresses, ...arrays.map((array) => array.length)], written && view(written)];
};
