// The functions that the example simple-test calls, to see that each kind of outcome reaches a caller.

// Gives back what it is given.
madrpc.register("echo", (value) => value);

// A function has one argument; an array holds several.
madrpc.register("add", ([a, b]) => a + b);

// An async function: its caller gets what the promise settles to.
madrpc.register("addLater", async ([a, b]) => (await a) + (await b));

// Throws. Caller and logs get name, message and stack.
madrpc.register("fail", (what) => {
  const message = `${what} is out of range`;
  throw new RangeError(message);
});

// Every lane loads this file for itself and keeps its variables from one call to the next.
let spun;

// Never returns; only its deadline ends it, and with it goes the lane in which it has left a mark.
madrpc.register("spin", (mark) => {
  spun = mark;
  for (;;);
});

// The mark in the lane that happens to run this call.
madrpc.register("spun", () => spun);
