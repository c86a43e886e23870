// `console`, which writes one line to the log for each call of it.
//
// How much of a value is shown is bounded, and no getter is run. A proxy's traps do run, under the call's deadline.
(host) => {
  "use strict";
  const ENTRIES = 50, DEPTH = 3, CHARS = 4096, GROUPS = 20, LABELS = 1000, LABEL = 100, COLUMNS = 20, CELL = 60;
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

  // Of all errors' stacks, it is the engine's own getter.
  const stackOf = Object.getOwnPropertyDescriptor(Error.prototype, "stack")?.get;
  const errorText = (error) => {
    const name = data(error, "name"), message = data(error, "message");
    const stack = data(error, "stack") ?? (stackOf && Reflect.apply(stackOf, error, []));
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

  const text = (value, depth = DEPTH) => {
    try {
      return typeof value === "string" ? value : inspect(value, depth, []);
    } catch {
      return "[cannot be shown]";
    }
  };

  const all = (values) => values.map((value) => text(value));
  const number = (value, convert) => {
    if (typeof value === "bigint") return convert === parseFloat ? String(Number(value)) : `${value}n`;
    if (typeof value === "symbol" || (typeof value === "object" && convert === Number)) return "NaN";
    const made = convert(value);
    return Object.is(made, -0) ? "-0" : String(made);
  };
  // A function of a script's own can be extended, and no other.
  const string = (value) => {
    const own = typeof value === "object" && value !== null ? data(value, "toString") : undefined;
    if (typeof own === "function" && Object.isExtensible(own)) return String(Reflect.apply(own, value, []));
    return text(value, 1);
  };
  const json = (value) => {
    try {
      return String(JSON.stringify(value));
    } catch (error) {
      return error instanceof TypeError ? "[Circular]" : "[cannot be shown]";
    }
  };
  const format = (values) => {
    if (typeof values[0] !== "string" || !values[0].includes("%")) return all(values).join(" ");
    let next = 1;
    const head = values[0].replace(/%[sdifjoOc%]/g, (spec) => {
      if (next === values.length) return spec === "%%" && values.length > 1 ? "%" : spec;
      if (spec === "%%") return "%";
      const value = values[next++];
      switch (spec) {
        case "%s": return string(value);
        case "%d": return number(value, Number);
        case "%i": return number(value, parseInt);
        case "%f": return number(value, parseFloat);
        case "%j": return json(value);
        case "%c": return "";
        default: return typeof value === "string" ? inspect(value, 1, []) : text(value);
      }
    });
    return [head, ...all(values.slice(next))].join(" ");
  };

  // Labels and groups are those of one call: `host.call()` is another for the next.
  let call, indent, counts, started;
  const begin = () => {
    const now = host.call();
    if (now === call) return;
    call = now;
    indent = "";
    counts = new Map();
    started = new Map();
  };

  // The levels are those of console.rs. A group indents the lines in it.
  const write = (level, values) => {
    if (!host.isLogged(level)) return;
    begin();
    const line = format(values).slice(0, CHARS * 2).toWellFormed();
    host.log(level, indent === "" ? line : (indent + line.replaceAll("\n", `\n${indent}`)).slice(0, CHARS * 2));
  };
  const frames = () => new Error().stack.split("\n").slice(2).map((line) => line.trim()).filter(Boolean);
  const group = (...values) => {
    begin();
    if (values.length > 0) write(2, values);
    if (indent.length < 2 * GROUPS) indent += "  ";
  };

  const labelOf = (label) => {
    begin();
    return String(label).slice(0, LABEL);
  };
  // Of very many labels the later ones are not known.
  const keep = (of, label, value) => {
    if (of.size < LABELS || of.has(label)) of.set(label, value);
  };
  const passed = (label, values) => {
    const ms = host.now() - started.get(label);
    write(2, [shown(label, ms), ...values]);
  };
  const shown = (label, ms) => {
    if (ms < 1000) return `${label}: ${Number(ms.toFixed(3))}ms`;
    const seconds = ms / 1000, pad = (n) => String(Math.floor(n)).padStart(2, "0");
    if (seconds < 60) return `${label}: ${seconds.toFixed(3)}s`;
    const minutes = seconds / 60, rest = (seconds % 60).toFixed(3).padStart(6, "0");
    if (minutes < 60) return `${label}: ${Math.floor(minutes)}:${rest} (m:ss.mmm)`;
    return `${label}: ${Math.floor(minutes / 60)}:${pad(minutes % 60)}:${pad(seconds % 60)} (h:mm:ss)`;
  };
  const known = (of, label, method) => {
    if (of.has(label)) return true;
    write(1, [`console.${method}: there is no label ${JSON.stringify(label)}`]);
    return false;
  };

  // Rows and columns as Node draws them; each row is a line of the log.
  const tableOf = (value, columns) => {
    const cells = (of) => {
      if (typeof of !== "object" || of === null) return undefined;
      const keys = columns ?? Object.keys(of).slice(0, COLUMNS);
      return new Map(keys.map((key) => [String(key), Object.getOwnPropertyDescriptor(of, key)]).filter(([, property]) => property)
        .map(([key, property]) => [key, "value" in property ? inspect(property.value, 1, []) : "[accessor]"]));
    };
    const rows = [];
    let first = "(index)", hasValues = false;
    const add = (index, of) => {
      const row = cells(of);
      if (row === undefined) hasValues = true;
      rows.push({ index, row: row ?? new Map(), value: row === undefined ? inspect(of, 1, []) : "" });
    };
    if (value instanceof Map) {
      first = "(iteration index)";
      for (const [key, of] of value) {
        if (rows.length === ENTRIES) break;
        rows.push({ index: String(rows.length), row: new Map([["Key", inspect(key, 1, [])]]), value: inspect(of, 1, []) });
        hasValues = true;
      }
    } else if (value instanceof Set) {
      first = "(iteration index)";
      for (const of of value) {
        if (rows.length === ENTRIES) break;
        add(String(rows.length), of);
      }
    } else {
      for (const key of Object.keys(value)) {
        if (rows.length === ENTRIES) break;
        const property = Object.getOwnPropertyDescriptor(value, key);
        if (property) add(key, property.value);
      }
    }
    const names = [];
    for (const { row } of rows) {
      for (const name of row.keys()) if (!names.includes(name) && names.length < COLUMNS) names.push(name);
    }
    const lines = rows.map(({ index, row, value }) => [index, ...names.map((name) => row.get(name) ?? ""), ...(hasValues ? [value] : [])]);
    const head = [first, ...names, ...(hasValues ? ["Values"] : [])];
    const widths = head.map((name, at) => Math.min(CELL, Math.max(name.length, ...lines.map((line) => line[at].length))));
    const draw = (line) => `│ ${line.map((cell, at) => cell.slice(0, CELL).padEnd(widths[at])).join(" │ ")} │`;
    const rule = (left, middle, right) => left + widths.map((width) => "─".repeat(width + 2)).join(middle) + right;
    return [rule("┌", "┬", "┐"), draw(head), rule("├", "┼", "┤"), ...lines.map(draw), rule("└", "┴", "┘")];
  };
  const console = {
    error(...values) { write(0, values); },
    warn(...values) { write(1, values); },
    log(...values) { write(2, values); },
    info(...values) { write(2, values); },
    debug(...values) { write(3, values); },
    trace(...values) { write(4, [...(values.length > 0 ? [format(values)] : ["trace"]), "|", frames().join(" | ")]); },
    assert(holds, ...values) {
      if (holds) return;
      if (typeof values[0] === "string") values[0] = `Assertion failed: ${values[0]}`;
      else values.unshift(values.length > 0 ? "Assertion failed:" : "Assertion failed");
      write(0, values);
    },
    table(value, columns) {
      if (typeof value !== "object" || value === null) return write(2, [value]);
      if (!host.isLogged(2)) return;
      let lines;
      try { lines = tableOf(value, columns); } catch { lines = ["[cannot be shown]"]; }
      for (const line of lines) write(2, ["%s", line]);
    },
    dir(value, options) {
      const { depth } = options ?? {};
      write(2, ["%s", typeof value === "string" ? inspect(value, 1, []) : text(value, Number.isInteger(depth) && depth >= 0 ? Math.min(depth + 1, 10) : DEPTH)]);
    },
    dirxml(...values) { write(2, values); },
    group,
    groupCollapsed(...values) { group(...values); },
    groupEnd() { begin(); indent = indent.slice(2); },
    count(label = "default") {
      label = labelOf(label);
      keep(counts, label, (counts.get(label) ?? 0) + 1);
      write(2, [`${label}: ${counts.get(label) ?? "of very many labels"}`]);
    },
    countReset(label = "default") {
      label = labelOf(label);
      if (known(counts, label, "countReset")) counts.delete(label);
    },
    time(label = "default") {
      label = labelOf(label);
      if (started.has(label)) write(1, [`console.time: the label ${JSON.stringify(label)} is there already`]);
      else keep(started, label, host.now());
    },
    timeLog(label = "default", ...values) {
      label = labelOf(label);
      if (known(started, label, "timeLog")) passed(label, values);
    },
    timeEnd(label = "default") {
      label = labelOf(label);
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
