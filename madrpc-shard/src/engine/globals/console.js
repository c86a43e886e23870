// `console`, which writes one line to the log for each call of it.
//
// How much of a value is shown is bounded, and no getter is run. A proxy's traps do run, under the call's deadline.
(host) => {
  "use strict";
  const ENTRIES = 50, DEPTH = 3, CHARS = 4096, GROUPS = 20;
  const view = Object.getPrototypeOf(Uint8Array);

  // Of these, harden.rs has made accessors out of properties: reading them is safe. A script's own globals can be removed.
  const prototypes = new Set();
  for (const key of Object.getOwnPropertyNames(globalThis)) {
    const { value, configurable } = Object.getOwnPropertyDescriptor(globalThis, key);
    if (!configurable && typeof value === "function" && value.prototype) prototypes.add(value.prototype);
  }
  const isBuiltIn = (object) => prototypes.has(object) || host.brought.some((of) => of.prototype === object);

  const nameOf = (object) => {
    for (let at = object; at !== null; at = Object.getPrototypeOf(at)) {
      const property = Object.getOwnPropertyDescriptor(at, "constructor");
      const constructor = isBuiltIn(at) ? at.constructor : property?.value;
      const own = typeof constructor === "function" && Object.getOwnPropertyDescriptor(constructor, "name");
      if (own && typeof own.value === "string") return own.value;
    }
    return "null";
  };
  const data = (object, key) => {
    for (let at = object; at !== null; at = Object.getPrototypeOf(at)) {
      const property = Object.getOwnPropertyDescriptor(at, key);
      if (property) return isBuiltIn(at) ? Reflect.get(at, key, object) : property.value;
    }
  };

  const errorText = (error) => {
    const name = data(error, "name"), message = data(error, "message"), stack = data(error, "stack");
    const head = message ? `${String(name)}: ${String(message)}` : String(name);
    const frames = typeof stack === "string" ? stack.split("\n").map((line) => line.trim()).filter(Boolean) : [];
    return [head, ...frames].join(" | ");
  };

  // Entries until there are enough of them or of characters.
  const list = (entries, size, show, [open, close]) => {
    const shown = [];
    let chars = 0;
    for (const entry of entries) {
      if (shown.length === ENTRIES || chars > CHARS) break;
      const text = show(entry);
      chars += text.length;
      shown.push(text);
    }
    if (shown.length < size) shown.push(`… ${size - shown.length} more`);
    return shown.length === 0 ? open + close : `${open} ${shown.join(", ")} ${close}`;
  };

  const inspect = (value, depth, above) => {
    switch (typeof value) {
      case "string": return JSON.stringify(value.length > CHARS ? value.slice(0, CHARS) + "…" : value);
      case "bigint": return `${value}n`;
      case "number": return Object.is(value, -0) ? "-0" : String(value);
      case "function": {
        const name = data(value, "name");
        return typeof name === "string" && name !== "" ? `[function ${name}]` : "[function]";
      }
      case "object": return value === null ? "null" : inspectObject(value, depth, above);
      default: return String(value);
    }
  };

  const inspectObject = (object, depth, above) => {
    if (above.includes(object)) return "[circular]";
    if (object instanceof Error) return errorText(object);
    if (object instanceof Date) return Number.isNaN(object.getTime()) ? "Invalid Date" : object.toISOString();
    if (object instanceof RegExp) return `/${object.source}/${object.flags}`;
    if (object instanceof ArrayBuffer) return `ArrayBuffer(${object.byteLength})`;
    const name = nameOf(object);
    if (depth === 0) return Array.isArray(object) ? "[…]" : `{…}`;
    const inner = (value) => inspect(value, depth - 1, [...above, object]);
    if (object instanceof view) return `${name}(${object.length}) ` + list(object, object.length, inner, "[]");
    if (object instanceof Map) {
      return `${name}(${object.size}) ` + list(object, object.size, ([key, of]) => `${inner(key)} => ${inner(of)}`, "{}");
    }
    if (object instanceof Set) return `${name}(${object.size}) ` + list(object, object.size, inner, "{}");
    const property = (key) => {
      const { value, get, set } = Object.getOwnPropertyDescriptor(object, key) ?? {};
      return get || set ? "[accessor]" : inner(value);
    };
    if (Array.isArray(object)) {
      const places = function* () { for (let at = 0; at < object.length; at++) yield at; };
      return list(places(), object.length, (at) => (Object.hasOwn(object, at) ? property(at) : "[hole]"), "[]");
    }
    const keys = Object.keys(object);
    const prefix = name === "Object" ? "" : `${name} `;
    const label = (key) => (/^[A-Za-z_$][\w$]*$/.test(key) ? key : JSON.stringify(key));
    return prefix + list(keys, keys.length, (key) => `${label(key)}: ${property(key)}`, "{}");
  };

  const text = (value) => {
    try {
      return typeof value === "string" ? value : inspect(value, DEPTH, []);
    } catch {
      return "[cannot be shown]";
    }
  };

  const number = (value, convert) => (typeof value === "symbol" || typeof value === "object" ? "NaN" : String(convert(value)));
  const format = (values) => {
    if (typeof values[0] !== "string" || !values[0].includes("%")) return values.map(text).join(" ");
    let next = 1;
    const head = values[0].replace(/%[sdifjoOc%]/g, (spec) => {
      if (spec === "%%") return "%";
      if (next === values.length) return spec;
      const value = values[next++];
      switch (spec) {
        case "%d": return number(value, Number);
        case "%i": return number(value, parseInt);
        case "%f": return number(value, parseFloat);
        case "%c": return "";
        default: return text(value);
      }
    });
    return [head, ...values.slice(next).map(text)].join(" ");
  };

  // The levels are those of console.rs. A group indents the lines in it.
  let indent = "";
  const write = (level, values) => {
    if (host.isLogged(level)) host.log(level, (indent + format(values)).slice(0, CHARS * 2).toWellFormed());
  };
  const frames = () => new Error().stack.split("\n").slice(2).map((line) => line.trim()).filter(Boolean);
  const group = (...values) => {
    if (values.length > 0) write(2, values);
    if (indent.length < 2 * GROUPS) indent += "  ";
  };

  // By label. They belong to the lane: one that a call leaves is there for the next.
  const counts = new Map(), started = new Map();
  const passed = (label, values) => {
    const ms = host.now() - started.get(label);
    write(2, [`${label}: ${ms.toFixed(3)}ms`, ...values]);
  };
  const known = (of, label, method) => {
    if (of.has(label)) return true;
    write(1, [`console.${method}: there is no label ${JSON.stringify(label)}`]);
    return false;
  };
  const console = {
    error(...values) { write(0, values); },
    warn(...values) { write(1, values); },
    log(...values) { write(2, values); },
    info(...values) { write(2, values); },
    debug(...values) { write(3, values); },
    trace(...values) { write(4, [...(values.length > 0 ? [format(values)] : ["trace"]), "|", frames().join(" | ")]); },
    assert(holds, ...values) { if (!holds) write(0, ["assertion failed" + (values.length > 0 ? ":" : ""), ...values]); },
    table(value) { write(2, [value]); },
    dir(value) { write(2, [value]); },
    dirxml(...values) { write(2, values); },
    group,
    groupCollapsed(...values) { group(...values); },
    groupEnd() { indent = indent.slice(2); },
    count(label = "default") {
      label = String(label);
      counts.set(label, (counts.get(label) ?? 0) + 1);
      write(2, [`${label}: ${counts.get(label)}`]);
    },
    countReset(label = "default") {
      label = String(label);
      if (known(counts, label, "countReset")) counts.delete(label);
    },
    time(label = "default") {
      label = String(label);
      if (started.has(label)) write(1, [`console.time: the label ${JSON.stringify(label)} is there already`]);
      else started.set(label, host.now());
    },
    timeLog(label = "default", ...values) {
      label = String(label);
      if (known(started, label, "timeLog")) passed(label, values);
    },
    timeEnd(label = "default") {
      label = String(label);
      if (known(started, label, "timeEnd")) passed(label, []);
      started.delete(label);
    },
    // Of a screen or an inspector, neither of which is there.
    clear() {},
    timeStamp() {},
    profile() {},
    profileEnd() {},
  };
  return { console };
}
