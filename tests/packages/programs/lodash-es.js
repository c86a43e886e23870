import _, {
  camelCase, capitalize, chain, chunk, clamp, cloneDeep, compact, countBy, curry, debounce, deburr, defaultsDeep,
  difference, differenceBy, drop, escape, every, fill, filter, find, findLast, flatMap, flattenDeep, flow, fromPairs,
  get, groupBy, has, inRange, intersectionWith, invert, isEqual, isEqualWith, isPlainObject, kebabCase, keyBy, last,
  mapKeys, mapValues, maxBy, memoize, merge, mergeWith, omit, once, orderBy, pad, partial, partition, pick, pickBy,
  pullAt, range, reduceRight, result, sampleSize, set, shuffle, snakeCase, sortedIndexBy, startCase, sumBy, template,
  throttle, times, toPath, trimEnd, truncate, unescape, union, uniqBy, unset, unzip, update, upperFirst, without, words,
  xor, zipObjectDeep, zipWith, isElement, isNative, isTypedArray, toString, toNumber, lowerCase, now, uniqueId, defer,
} from "lodash-es";

const people = [
  { name: "Ann", age: 31, tags: ["a", "b"] }, { name: "Bob", age: 25, tags: [] }, { name: "Cid", age: 31, tags: ["b"] },
];
class Point { constructor(x) { this.x = x; } }

export default {
  arrays: () => [
    chunk([1, 2, 3, 4, 5], 2), compact([0, 1, "", 2, null]), difference([1, 2, 3], [2]), drop([1, 2, 3], 2),
    differenceBy([2.1, 1.2], [2.3], Math.floor), fill(Array(3), "x"), flattenDeep([1, [2, [3, [4]]]]), fromPairs([["a", 1]]),
    intersectionWith([{ x: 1 }, { x: 2 }], [{ x: 2 }], isEqual), last([1, 2]), pullAt(["a", "b", "c"], [0, 2]),
    sortedIndexBy([{ x: 4 }, { x: 5 }], { x: 4.5 }, "x"), union([2], [1, 2]), uniqBy([2.1, 1.2, 2.3], Math.floor),
    unzip([["a", 1], ["b", 2]]), without([2, 1, 2, 3], 1, 2), xor([2, 1], [2, 3]), zipObjectDeep(["a.b[0].c"], [1]),
    zipWith([1, 2], [10, 20], (a, b) => a + b), range(0, -4, -1), times(3, String),
  ],
  collections: () => [
    countBy(people, "age"), every(people, "name"), filter(people, { age: 31 }), find(people, ["name", "Bob"]),
    findLast(people, "tags.length"), flatMap(people, "tags"), groupBy(people, (p) => p.age > 30), keyBy(people, "name"),
    orderBy(people, ["age", "name"], ["asc", "desc"]), partition(people, "tags[0]"), reduceRight([1, 2, 3], (a, b) => a + b),
    maxBy(people, "age"), sumBy(people, "age"), sampleSize([1, 1, 1], 2), shuffle([7, 7, 7]),
  ],
  objects: () => [
    defaultsDeep({ a: { b: 1 } }, { a: { b: 2, c: 3 } }), get({ a: [{ b: 3 }] }, "a[0].b"), has({ a: { b: 1 } }, "a.b"),
    invert({ a: 1, b: 2 }), mapKeys({ a: 1 }, (v, k) => k + v), mapValues({ a: 1 }, (v) => v * 2),
    merge({ a: [{ b: 1 }] }, { a: [{ c: 2 }, 3] }), mergeWith({ a: [1] }, { a: [2] }, (x, y) => (Array.isArray(x) ? x.concat(y) : undefined)),
    omit({ a: 1, b: 2 }, "a"), pick({ a: 1, b: { c: 2 } }, "b.c"), pickBy({ a: 1, b: "x" }, (v) => typeof v === "number"),
    result({ f() { return this.x; }, x: 5 }, "f"), set({}, "a[1].b", 1), unset({ a: 1 }, "a"), update({ a: 1 }, "a", (n) => n + 1),
    toPath("a[0].b['c.d']"), isPlainObject(new Point(1)), isPlainObject(Object.create(null)),
  ],
  strings: () => [
    camelCase("Foo Bar--baz"), capitalize("FRED"), deburr("déjà vu Straße"), escape("<a & b>"), unescape("&lt;a&gt;"),
    kebabCase("fooBar"), lowerCase("--Foo-Bar"), pad("abc", 8, "_-"), snakeCase("fooBar"), startCase("--foo-bar"),
    trimEnd("  abc  "), truncate("hi-diddly-ho there, neighborino", { length: 24, separator: /,? +/ }), upperFirst("fred"),
    words("fred, barney, & pebbles", /[^, ]+/g), words("naïve 漢字 🦀 ok"), toString([1, [2, -0]]), toNumber("0b11"),
  ],
  functions: () => {
    const add = curry((a, b, c) => a + b + c), counted = once(() => Math.max(1, 2)), known = memoize((n) => n * 2);
    let calls = 0;
    const late = debounce(() => { calls++; }, 10), seldom = throttle(() => { calls += 10; }, 1000);
    late(); late.cancel(); seldom(); seldom();
    return [add(1)(2)(3), add(1, _, 3)(2), counted() + counted(), known(2), known.cache.has(2), flow([(a) => a + 1, String])(1),
      partial((a, b) => a + b, _, "y")("x"), clamp(-10, -5, 5), inRange(3, 2, 4), calls];
  },
  equality: () => [
    isEqual(new Map([[1, { a: new Set([1]) }]]), new Map([[1, { a: new Set([1]) }]])), isEqual([NaN, new Date(0), /x/g], [NaN, new Date(0), /x/g]),
    isEqual(new Uint8Array([1]), new Uint8Array([1])), isEqual(Object(1), 1), isEqual(new Error("a"), new Error("a")), isEqual({ a: undefined }, {}),
    isEqualWith("a", "A", (a, b) => a.toLowerCase() === b.toLowerCase()), isTypedArray(new Float32Array(1)), isNative(Array.prototype.push), isElement({}),
  ],
  clones: () => {
    const from = { d: new Date(5), r: /a/gi, m: new Map([["k", [1]]]), s: new Set([1]), p: new Point(3), u: new Uint16Array([1, 2]), n: Object(7), y: [1, , 3] };
    from.self = from;
    const to = cloneDeep(from);
    return [to.self === to, to.d.getTime(), String(to.r), [...to.m], [...to.s], to.p instanceof Point, [...to.u], typeof to.n, to.n + 1, 1 in to.y, to.m !== from.m];
  },
  chains: () => [
    _(people).filter("tags.length").map("name").reverse().join("+"), chain([3, 1, 2]).sortBy().take(2).map((n) => n * 2).value(),
    _([1, 2, 3]).push(4).shift(), _.range(5).length, _.chain({ a: 1 }).mapValues((v) => v + 1).toPairs().flatten().value(),
    [..._([1, 2])], _("a-b").camelCase(), _(1).plant === undefined, `${_([1, 2])}`, _.VERSION,
  ],
  mixin: () => {
    _.mixin({ twice: (n) => n * 2 });
    return [_.twice(4), _(4).twice(), typeof now(), uniqueId("u").startsWith("u")];
  },
  template: () => [
    template("hello <%= user %>! <% for (const x of list) { %>[<%- x %>]<% } %>")({ user: "ann", list: ["<", "b"] }),
    template("${ a + 1 }")({ a: 1 }), template("<%= data.x %>", { variable: "data" })({ x: 5 }),
  ],
  later: () => new Promise((resolve) => defer(resolve, "deferred")),
};
