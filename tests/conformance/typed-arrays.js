// Typed arrays and buffers, above all on their way through a call and back.
import { claim, equal, throws } from "./parts/claims.js";

madrpc.register("echo", (value) => value);
madrpc.register("tail", (bytes) => bytes.subarray(1));
const there = (value) => madrpc.call("echo", value);

const samples = {
  Int8Array: [-128, 0, 127], Uint8Array: [0, 255], Uint8ClampedArray: [0, 255], Int16Array: [-32768, 32767],
  Uint16Array: [0, 65535], Int32Array: [-2147483648, 2147483647], Uint32Array: [0, 4294967295],
  Float32Array: [-0, 1.5, NaN, Infinity], Float64Array: [-0, 0.1, NaN, -Infinity],
  BigInt64Array: [-(2n ** 63n), 2n ** 63n - 1n], BigUint64Array: [0n, 2n ** 64n - 1n],
};

for (const [name, values] of Object.entries(samples)) {
  claim(`${name} comes back as it went`, async () => {
    const back = await there(new globalThis[name](values));
    equal(back.constructor === globalThis[name], true);
    equal(back.length, values.length);
    values.forEach((value, at) => { if (!Object.is(back[at], value)) throw new Error(`[${at}] is ${back[at]}`); });
  });
  claim(`${name} may be empty`, async () => {
    const back = await there(new globalThis[name]());
    equal([back.length, back.byteOffset, back.constructor.name], [0, 0, name]);
  });
}

claim("a view takes only its part of the buffer along", async () => {
  const whole = new Uint8Array([1, 2, 3, 4, 5, 6, 7, 8]);
  const back = await there(new Uint16Array(whole.buffer, 2, 2));
  equal([back.length, back.byteOffset, back.buffer.byteLength], [2, 0, 4]);
  equal([...new Uint8Array(back.buffer)], [3, 4, 5, 6]);
});

claim("a result may be a part of its argument", async () => {
  equal([...await madrpc.call("tail", new Uint8Array([1, 2, 3]))], [2, 3]);
});

claim("what comes back is a copy", async () => {
  const sent = new Uint8Array([1]);
  const back = await there(sent);
  back[0] = 9;
  equal(sent[0], 1);
  equal(back.buffer.byteLength, 1);
});

claim("ArrayBuffer comes back as it went", async () => {
  const back = await there(new Uint8Array([1, 2]).buffer);
  equal(back instanceof ArrayBuffer, true);
  equal([...new Uint8Array(back)], [1, 2]);
});

claim("arrays of a length that follows the buffer have their present length", async () => {
  const buffer = new ArrayBuffer(2, { maxByteLength: 8 });
  const view = new Uint8Array(buffer);
  buffer.resize(4);
  view[3] = 7;
  equal([...await there(view)], [0, 0, 0, 7]);
});

claim("what cannot travel is refused, and says so", async () => {
  for (const value of [new DataView(new ArrayBuffer(1)), new Map(), () => 1, Symbol("s")]) await throws(Error, () => there(value));
});

claim("setting out of bounds does nothing, and values wrap", () => {
  const array = new Uint8Array(2);
  array[2] = 1;
  array[-1] = 1;
  array[0] = 257;
  equal([...array, array.length, Object.keys(array).length], [1, 0, 2, 2]);
  equal(new Uint8ClampedArray([300, -1, 1.5, NaN])[0], 255);
});

claim("methods use the kind and the species", () => {
  class Mine extends Uint8Array {}
  equal(new Mine([1, 2]).map((n) => n * 2) instanceof Mine, true);
  equal([...new Int16Array([3, 1, 2]).sort()], [1, 2, 3]);
  equal([...new Float64Array([3, NaN, -0, 0]).sort()].map((n) => (Object.is(n, -0) ? "-0" : `${n}`)), ["-0", "0", "3", "NaN"]);
  equal(new Uint8Array([1, 2, 3]).toReversed().join(), "3,2,1");
  equal(new Uint8Array([1, 2, 3]).with(0, 9).at(-3), 9);
});

claim("a detached buffer is empty, and its views too", async () => {
  const buffer = new ArrayBuffer(4);
  const view = new Uint8Array(buffer);
  equal(buffer.transfer(8).byteLength, 8);
  equal([buffer.detached, view.length, view[0]], [true, 0, undefined]);
  await throws(TypeError, () => view.fill(1));
});

claim("DataView reads both ways round", () => {
  const view = new DataView(new ArrayBuffer(8));
  view.setUint16(0, 0x0102);
  view.setFloat32(4, 1.5, true);
  equal([view.getUint8(0), view.getUint16(0, true), view.getFloat32(4, true)], [1, 0x0201, 1.5]);
});
