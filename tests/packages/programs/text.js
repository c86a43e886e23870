import * as acorn from "acorn";
import { produce, applyPatches, current, enableMapSet, enablePatches, freeze, isDraft, original, produceWithPatches, createDraft, finishDraft, immerable, nothing, setAutoFreeze } from "immer";
import Papa from "papaparse";
import { NIL, parse as parseUuid, stringify, v1, v3, v4, v5, v6, v7, validate, version } from "uuid";

enableMapSet();
enablePatches();
class Money { [immerable] = true; constructor(n) { this.n = n; } get twice() { return this.n * 2; } }

export default {
  acorn: () => acorn.parse("class A extends B { #x = 1n; static async *m({ a, ...b } = {}) { for await (const c of d ?? e?.f) yield `t${c}`; } } export default /x(?<y>.)/v;", { ecmaVersion: "latest", sourceType: "module", locations: true }),
  acornTokens: () => [...acorn.tokenizer("let x = 'é' + 0x1F; // c", { ecmaVersion: 2024 })].map((token) => [token.type.label, token.value ?? null]),
  acornErrors: () => ["let x = ;", "a b", "/(/", "import {"].map((text) => { try { acorn.parse(text, { ecmaVersion: 2024 }); return null; } catch (error) { return [error.name, error.message, error.pos, error.loc]; } }),
  immer: () => {
    const base = { list: [{ done: false }, { done: true }], map: new Map([["k", { n: 1 }]]), set: new Set([1]), money: new Money(2), deep: { a: { b: 1 } } };
    const next = produce(base, (draft) => {
      draft.list.push({ done: null });
      draft.list[0].done = true;
      draft.list.sort((a, b) => String(a.done).localeCompare(String(b.done)));
      draft.map.get("k").n++;
      draft.map.set("l", { n: 9 });
      draft.set.add(2);
      draft.money.n = 5;
      delete draft.deep.a;
    });
    return [next.list, [...next.map], [...next.set], next.money instanceof Money, next.money.twice, next.deep, base.list.length, base.map.get("k").n, base.deep === next.deep, Object.isFrozen(next), Object.isFrozen(next.list)];
  },
  immerFrozen: () => {
    const next = produce({ list: [1], map: new Map() }, (draft) => { draft.list.push(2); draft.map.set(1, 2); });
    return [() => next.list.push(3), () => { next.x = 1; }, () => next.map.set(2, 3)].map((change) => { try { change(); return "changed"; } catch (error) { return error.name; } });
  },
  immerPatches: () => {
    const [next, patches, inverse] = produceWithPatches({ a: 1, l: [1, 2] }, (draft) => { draft.a = 2; draft.l.splice(0, 1); draft.n = { x: 1 }; });
    return [next, patches, inverse, applyPatches(next, inverse)];
  },
  immerDrafts: () => {
    const draft = createDraft({ a: { b: 1 } });
    draft.a.b = 2;
    const facts = [isDraft(draft), original(draft).a.b, current(draft).a.b];
    return [...facts, finishDraft(draft), produce({ x: 1 }, () => nothing) ?? "nothing", produce((draft) => { draft.n++; })({ n: 1 }), Object.isFrozen(freeze({ a: {} }, true).a), typeof setAutoFreeze];
  },
  papa: () => [
    Papa.parse("a,b\n1,\"x, \"\"y\"\"\"\n2,é\n", { header: true, dynamicTyping: true, skipEmptyLines: true }), Papa.parse("a;b\r\n\"1;2"), Papa.parse("x\ty\n1\t2", { delimiter: "" }).meta,
    Papa.parse("1,2\n3,4", { preview: 1 }).data, Papa.parse("# c\n1", { comments: "#" }).data, Papa.unparse([{ a: 1, b: "x,y" }, { a: null, b: "\"q\"" }]), Papa.unparse({ fields: ["f"], data: [["=1"]] }, { escapeFormulae: true }), Papa.unparse([[1, 2]], { delimiter: ";", quotes: true }),
  ],
  papaSteps: () => {
    const rows = [];
    Papa.parse("a,b\n1,2\n3,4", { header: true, step: ({ data }, parser) => { rows.push(data); if (rows.length === 2) parser.abort(); } });
    return rows;
  },
  uuid: () => [v3("hello", v3.DNS), v5("hello", v5.URL), version(v1()), version(v4()), version(v6()), version(v7()), validate(v4()), validate("x"), [...parseUuid(v5.DNS)], stringify(new Uint8Array(16).fill(255)), NIL, v4({ random: new Uint8Array(16).fill(7) }), v7({ msecs: 5, seq: 1, random: new Uint8Array(16) }), v4() !== v4()],
};
