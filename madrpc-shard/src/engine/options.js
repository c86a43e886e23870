// Checks what madrpc.register is told about the function `name`; gives it as a list, in the order of `kinds`, with
// `undefined` where nothing is said. A word that is not known may be a limit that somebody relies on: it is refused.
((name, options) => {
  "use strict";
  const day = 24 * 60 * 60 * 1000;
  const kinds = {
    idempotent: "boolean",
    isolate: "boolean",
    timeoutMs: [1, day],
    cpuMs: [1, day],
    memoryMb: [1, 4096],
    stackKb: [16, 768],
    bodyKb: [1, 65536],
    queue: [1, 1000000],
    maxConcurrent: [1, 1000000],
    rate: [1, 1000000],
    burst: [1, 1000000],
  };
  const names = Object.keys(kinds);
  const refuse = (text) => { throw new TypeError(`madrpc.register: "${name}": ${text}`); };
  const shown = (value) => typeof value === "string" ? JSON.stringify(value) : typeof value === "object" ? "an object" : String(value);

  // How many letters lie between two words, upper and lower case being one.
  const distance = (a, b) => {
    a = a.toLowerCase();
    b = b.toLowerCase();
    let row = Array.from({ length: b.length + 1 }, (_, at) => at);
    for (let i = 1; i <= a.length; i++) {
      const next = [i];
      for (let j = 1; j <= b.length; j++) {
        next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1));
      }
      row = next;
    }
    return row[b.length];
  };

  if (typeof options !== "object" || options === null || Array.isArray(options)) refuse("its options must be an object");
  for (const word of Object.keys(options)) {
    if (names.includes(word)) continue;
    const nearest = names.map((known) => [distance(word.slice(0, 40), known), known]).sort((a, b) => a[0] - b[0])[0];
    refuse(`there is no option ${shown(word)}; ${nearest[0] <= 4 ? `did you mean ${nearest[1]}?` : `there are: ${names.join(", ")}`}`);
  }
  if (options.burst !== undefined && options.rate === undefined) refuse("burst is nothing without rate");
  return names.map((option) => {
    const kind = kinds[option];
    const value = options[option];
    if (value === undefined) return undefined;
    if (kind === "boolean") {
      if (typeof value !== "boolean") refuse(`${option} must be true or false, not ${shown(value)}`);
    } else if (!Number.isInteger(value) || value < kind[0] || value > kind[1]) {
      refuse(`${option} must be a whole number from ${kind[0]} to ${kind[1]}, not ${shown(value)}`);
    }
    return value;
  });
})
