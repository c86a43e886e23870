"use strict";
// Names, reasons and errors are those of scripts and callers: they become text nodes, and nothing else.

const PERIOD_MS = 1000;
const PATIENCE_MS = 10000;
const POINTS = 60;
const RESULT_MAX = 200000;
const REDRAW_MS = 100;
const byId = (id) => document.getElementById(id);
const latencies = new Map(); // function -> p99 of the last polls, NaN where it had no calls
const lastErrors = new Map(); // function and kind -> when it was last seen to grow
let before = null;
let timer = 0;
let polling = false;

function token() { return sessionStorage.getItem("token") || ""; }

function headers() { return token() ? { Authorization: `Bearer ${token()}` } : {}; }

function element(tag, text, kind) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function count(number) {
  if (number >= 1e9) return `${(number / 1e9).toFixed(1)}G`;
  if (number >= 1e6) return `${(number / 1e6).toFixed(1)}M`;
  if (number >= 1e4) return `${(number / 1e3).toFixed(1)}k`;
  return Number.isInteger(number) ? String(number) : number.toFixed(number < 10 ? 1 : 0);
}

function bytes(number) {
  for (const unit of ["B", "KiB", "MiB"]) {
    if (number < 1024) return `${number.toFixed(unit === "B" ? 0 : 1)} ${unit}`;
    number /= 1024;
  }
  return `${number.toFixed(1)} GiB`;
}

function time(us) {
  if (!Number.isFinite(us)) return "–";
  if (us < 1000) return `${us} µs`;
  if (us < 1e6) return `${(us / 1000).toFixed(1)} ms`;
  return `${(us / 1e6).toFixed(1)} s`;
}

function span(ms) {
  const seconds = Math.floor(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

function sum(numbers) { return numbers.reduce((all, one) => all + one, 0); }

// Buckets that came between two documents, and a quantile of them.
function between(now, earlier) {
  const known = new Map(earlier);
  return now.map(([us, calls]) => [us, calls - (known.get(us) || 0)]).filter(([, calls]) => calls > 0);
}

function quantile(buckets, share) {
  let left = sum(buckets.map(([, calls]) => calls)) * share;
  for (const [us, calls] of buckets) {
    left -= calls;
    if (left <= 0) return us;
  }
  return NaN;
}

function sparkline(points) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", `0 0 ${POINTS - 1} 20`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const most = Math.max(1, ...points.filter(Number.isFinite));
  const first = POINTS - points.length;
  let run = [];
  const draw = () => {
    if (run.length === 1) run.push(run[0].map((at, axis) => (axis === 0 ? at + 0.7 : at)));
    if (run.length === 0) return;
    const line = document.createElementNS(space, "polyline");
    line.setAttribute("points", run.map((point) => point.join(",")).join(" "));
    svg.append(line);
    run = [];
  };
  points.forEach((us, place) => {
    if (Number.isFinite(us)) run.push([first + place, 19 - (18 * us) / most]);
    else draw();
  });
  draw();
  return svg;
}

function row(cells) {
  const made = element("tr");
  made.append(...cells);
  return made;
}

// On a phone a row's cells lie below each other, each with the head of its column.
function fill(id, rows) {
  const heads = byId(id).parentElement.tHead.rows[0].cells;
  for (const { cells } of rows) {
    for (const [at, cell] of [...cells].entries()) if (at > 0) cell.dataset.head = heads[at].textContent;
  }
  byId(id).replaceChildren(...rows);
}

function empty(columns, text) {
  const cell = element("td", text, "dim");
  cell.colSpan = columns;
  return row([cell]);
}

function rates(now, earlier) {
  const seconds = earlier ? Math.max(0.001, (now.uptime_ms - earlier.uptime_ms) / 1000) : 0;
  const known = new Map(earlier ? earlier.functions.map((one) => [one.name, one]) : []);
  return now.functions.map((one) => {
    const old = known.get(one.name) || { calls: 0, errors: {}, latency_us: [] };
    const errors = sum(Object.values(one.errors));
    const per = (number) => (seconds ? Math.max(0, number) / seconds : 0);
    const recent = seconds ? between(one.latency_us, old.latency_us) : [];
    if (seconds) {
      for (const [kind, number] of Object.entries(one.errors)) {
        if (number > (old.errors[kind] || 0)) lastErrors.set(JSON.stringify([one.name, kind]), Date.now());
      }
    }
    const points = latencies.get(one.name) || [];
    if (seconds) points.push(quantile(recent, 0.99));
    latencies.set(one.name, points.slice(-POINTS));
    const shown = recent.length ? recent : one.latency_us;
    return {
      name: one.name, calls: one.calls, perSecond: per(one.calls - old.calls),
      errors: per(errors - sum(Object.values(old.errors))),
      p50: quantile(shown, 0.5), p99: quantile(shown, 0.99), isRecent: recent.length > 0,
    };
  });
}

function showTotals(now, functions) {
  const all = [
    ["calls/s", count(sum(functions.map((one) => one.perSecond)))],
    ["errors/s", count(sum(functions.map((one) => one.errors)))],
    ["under way", count(now.under_way)],
    ["sessions", count(now.sessions)],
    ["memory", `${bytes(now.memory_used_bytes)} of ${bytes(now.memory_max_bytes)}`],
    ["up for", span(now.uptime_ms)],
  ];
  if (now.role === "node") all.splice(3, 0, ["queued", count(now.queued)], ["lanes busy", `${now.lanes_running + now.lanes_waiting} of ${now.lanes_running + now.lanes_waiting + now.lanes_free}`]);
  byId("totals").replaceChildren(...all.map(([name, text]) => {
    const cell = element("div");
    cell.append(element("span", name), element("b", text));
    return cell;
  }));
}

// The share of time that a shard's thread had a core and was not merely looking for work.
function showCores(now, earlier) {
  const cores = now.cores || [];
  const known = new Map(earlier && earlier.cores ? earlier.cores.map((one) => [one.shard, one]) : []);
  const us = earlier ? (now.uptime_ms - earlier.uptime_ms) * 1000 : 0;
  const cells = cores.map((core) => {
    const old = known.get(core.shard);
    const used = old && us > 0 ? (core.cpu_us - old.cpu_us - (core.spinning_us - old.spinning_us)) / us : NaN;
    const busy = Math.min(1, Math.max(0, used));
    const cell = element("div", Number.isFinite(busy) ? `${Math.round(busy * 100)} %` : "–");
    cell.append(element("small", `${core.shard}`));
    cell.style.setProperty("--busy", Number.isFinite(busy) ? busy : 0);
    cell.title = `shard ${core.shard}: ${core.under_way} calls under way`;
    return cell;
  });
  const silent = now.silent_shards ? `; ${now.silent_shards} do not answer` : "";
  if (!cells.length || silent) cells.push(element("p", `${now.shards} ${now.shards === 1 ? "shard" : "shards"}${silent}`, silent ? "bad" : "dim"));
  byId("cores").replaceChildren(...cells);
}

function showFunctions(functions) {
  functions.sort((one, other) => other.perSecond - one.perSecond || other.calls - one.calls);
  const rows = functions.map((one) => {
    const kind = one.isRecent ? "n" : "n dim";
    const line = element("td");
    line.append(sparkline(latencies.get(one.name) || []));
    return row([
      element("td", one.name), element("td", count(one.perSecond), "n"), element("td", time(one.p50), kind),
      element("td", time(one.p99), kind), element("td", count(one.errors), one.errors > 0 ? "n bad" : "n"), line,
    ]);
  });
  fill("functions", rows.length ? rows : [empty(6, "no calls yet")]);
}

function showErrors(now) {
  const all = now.functions.flatMap((one) => Object.entries(one.errors).map(([kind, number]) => ({
    name: one.name, kind, number, last: lastErrors.get(JSON.stringify([one.name, kind])) || 0,
  })));
  all.sort((one, other) => other.last - one.last || other.number - one.number);
  const rows = all.slice(0, 12).map((one) => row([
    element("td", one.name), element("td", one.kind, "bad"), element("td", count(one.number), "n"),
    element("td", one.last ? `${span(Date.now() - one.last)} ago` : "before", "n dim"),
  ]));
  fill("errors", rows.length ? rows : [empty(4, "none")]);
}

function showMembers(now) {
  byId("members-section").hidden = now.role === "node";
  const rows = now.members.map((one) => row([
    element("td", one.node), element("td", one.state, one.state === "up" ? "good" : "bad"),
    element("td", one.reason, "why"), element("td", count(one.under_way), "n"),
  ]));
  const all = sum(Object.values(now.members_by_state));
  if (all > rows.length) rows.push(empty(4, `and ${all - rows.length} more`));
  fill("members", rows.length ? rows : [empty(4, "none")]);
}

function show(now) {
  // A server that has begun anew counts from 0.
  if (before && (before.name !== now.name || now.uptime_ms < before.uptime_ms)) {
    before = null;
    latencies.clear();
    lastErrors.clear();
  }
  byId("who").textContent = `${now.role} ${now.name} · version ${now.version}`;
  document.title = `${now.name} · madrpc`;
  const state = byId("state");
  state.hidden = false;
  state.textContent = now.state;
  state.className = now.state === "serving" ? "good" : "bad";
  // What a shard that was silent has counted would come all at once.
  const earlier = before && before.silent_shards === now.silent_shards ? before : null;
  const functions = rates(now, earlier);
  for (const name of latencies.keys()) {
    if (!functions.some((one) => one.name === name)) latencies.delete(name);
  }
  showTotals(now, functions);
  showCores(now, earlier);
  showFunctions(functions);
  showErrors(now);
  showMembers(now);
  byId("names").replaceChildren(...functions.filter((one) => !one.name.startsWith("(")).map((one) => {
    const option = element("option");
    option.value = one.name;
    return option;
  }));
  before = now;
}

function notice(text) {
  const place = byId("notice");
  if (place.textContent !== text) place.textContent = text;
  place.hidden = !text;
}

// What an answer's body says of its error; what stands between may answer with anything.
function errorOf(answer, text) {
  try {
    const { error } = JSON.parse(text);
    if (error.kind) return error;
  } catch {
    // It is said as it is.
  }
  return { kind: `HTTP ${answer.status}`, message: text.trim() || answer.statusText, may_have_run: true };
}

async function poll() {
  clearTimeout(timer);
  if (polling || document.hidden) return;
  polling = true;
  let again = true;
  try {
    const answer = await fetch("/status.json", { headers: headers(), cache: "no-store", signal: AbortSignal.timeout(PATIENCE_MS) });
    if (answer.ok) {
      show(await answer.json());
      notice("");
      byId("token-form").hidden = true;
    } else if (answer.status === 401) {
      again = false;
      notice(token() ? "The token is wrong." : "A token is needed.");
      byId("token-form").hidden = false;
    } else {
      const error = errorOf(answer, await answer.text());
      again = answer.status !== 403;
      notice(answer.status === 403 ? `Calls only: ${error.message}` : error.message);
      byId("token-form").hidden = again;
    }
  } catch (error) {
    notice("The server is away; what is shown is what it said last. Asking again each second.");
  }
  polling = false;
  if (again) timer = setTimeout(poll, PERIOD_MS);
}

// What an answer of events holds, one after the other. Data is one line.
async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let parts = [];
  for (let part; !(part = await reader.read()).done;) {
    parts.push(part.value);
    if (!part.value.includes("\n")) continue;
    const all = parts.join("").split("\n\n");
    parts = [all.pop()];
    for (const event of all) {
      const [, name = "item"] = event.match(/^event: (.*)$/m) || [];
      const [, data] = event.match(/^data: (.*)$/m) || [];
      if (data !== undefined) yield { name, data };
    }
  }
}

function billOf(answer) {
  const said = (header) => answer.headers.get(`madrpc-${header}`);
  return said("node") && {
    node: said("node"), shard: said("shard"), queue_us: Number(said("queue-us")), cpu_us: Number(said("cpu-us")),
    slices: said("slices"), heap_peak_bytes: Number(said("heap-peak-bytes")),
  };
}

function billed(bill) {
  return bill
    ? `${bill.node}, shard ${bill.shard}: ${time(bill.queue_us)} queued, ${time(bill.cpu_us)} CPU in ${bill.slices} slices, ${bytes(bill.heap_peak_bytes)} heap`
    : "";
}

function failed(error) {
  const ran = error.may_have_run ? "may have run" : "has not run";
  return `${error.kind} (${ran}): ${error.message}${error.stack ? `\n${error.stack}` : ""}`;
}

let stopped = null;

async function call(event) {
  event.preventDefault();
  const [send, stop, bill, result] = ["send", "stop", "bill", "result"].map(byId);
  const name = byId("function").value;
  let [items, text, shown] = [0, "", 0];
  const counted = () => `${count(items)} ${items === 1 ? "item" : "items"}`;
  const show = () => {
    shown = Date.now();
    result.textContent = text;
    result.hidden = false;
    result.scrollTop = items ? result.scrollHeight : 0;
    if (items) bill.textContent = counted();
  };
  // Of many items the last are kept, of all else the beginning.
  const say = (line, kind) => {
    if (items) text = `${text}${line}\n`.slice(-RESULT_MAX);
    else text = line.length > RESULT_MAX ? `${line.slice(0, RESULT_MAX)} …` : line;
    result.className = items ? "" : kind;
  };
  const end = (line, kind, how) => {
    if (line) say(line, kind);
    if (text) show();
    bill.textContent = [items ? counted() : "", how].filter(Boolean).join("; ");
  };
  if (name === "." || name === "..") {
    // A browser takes such a path for another.
    return end(`A function named ${name} cannot be called from here, but by JSON-RPC.`, "bad", "");
  }
  send.disabled = true;
  stop.hidden = false;
  result.hidden = true;
  bill.textContent = "calling …";
  stopped = new AbortController();
  try {
    const answer = await fetch(`/call/${encodeURIComponent(name)}`, {
      method: "POST", headers: { ...headers(), "Content-Type": "application/json", Accept: "text/event-stream" },
      body: byId("argument").value.trim(), signal: stopped.signal,
    });
    if (answer.ok) {
      let last = null;
      for await (const { name: kind, data } of events(answer)) {
        if (kind !== "item") {
          last = { kind, data };
          continue;
        }
        items += 1;
        say(data, "");
        if (Date.now() > shown + REDRAW_MS) show();
      }
      if (!last) throw new Error("it has broken off");
      const told = JSON.parse(last.data);
      if (last.kind === "error") end(failed(told.error), "bad", billed(told.bill));
      // As it was sent: not all numbers are those of JavaScript.
      else end(items ? "" : last.data.slice('{"result":'.length, last.data.lastIndexOf(',"bill":')), "", billed(told.bill));
    } else {
      end(failed(errorOf(answer, await answer.text())), "bad", billed(billOf(answer)));
      if (answer.status === 401) byId("token-form").hidden = false;
    }
  } catch (error) {
    if (stopped.signal.aborted) end("", "", "stopped");
    else end("There was no answer, or no end of it; the call may have run.", "bad", "");
  }
  send.disabled = false;
  stop.hidden = true;
}

byId("stop").addEventListener("click", () => stopped.abort());
byId("call").addEventListener("submit", call);
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("token", byId("token").value.trim());
  byId("token").value = "";
  poll();
});
document.addEventListener("visibilitychange", poll);
poll();
