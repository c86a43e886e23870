// Run it:   madrpc dev script.js
// Call it:  madrpc call ADDR greet '{"name": "world"}'

/** @param {{ name: string }} person */
export function greet({ name }) {
  return `hello, ${name}`;
}

/** @param {number} most */
export function* count(most) {
  for (let n = 1; n <= most; n++) yield n;
}

/** @type {Record<string, MadrpcOptions>} */
export const options = {
  greet: { idempotent: true, timeoutMs: 1000 },
};
