// No package: what the language does, where the engine differs from Node's or could.
const random = (seed) => () => { seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0; return seed / 2 ** 32; };
const caught = (attempt) => { try { return attempt(); } catch (error) { return error.name; } };

export default {
  numbers: () => {
    // Literals: of `10 ** x` engines differ in the last digit.
    const next = random(1), powers = [1e-5, 1e-3, 1, 1e3, 1e6, 1e9, 1e13, 1e18, 1e22], numbers = [0, -0, 1.0005, 0.00049, 1e21, 123456789012345680000, Number.MAX_VALUE, 5e-324, NaN, -Infinity, 999.9995];
    for (let i = 0; i < 2000; i++) numbers.push((next() - 0.5) * powers[Math.floor(next() * powers.length)]);
    return [...numbers.map((n) => n.toLocaleString()), (-12345678901234567890n).toLocaleString(), [1234.5, null, [5e6]].toLocaleString(), new Float64Array([1e6]).toLocaleString("en-US")];
  },
  dates: () => {
    const next = random(2), dates = [NaN, 0, 8.64e15, -8.64e15];
    for (let i = 0; i < 500; i++) dates.push(Math.floor((next() - 0.2) * 5e12));
    return dates.map((ms) => new Date(ms)).map((date) => [date.toLocaleString(), date.toLocaleDateString(), date.toLocaleTimeString("en-US")]);
  },
  order: () => {
    const next = random(3), letters = "aAbBzZéèÉeEçcñnüuöoß -_.,\"1029%$[~\u0001øłx";
    const words = Array.from({ length: 1000 }, () => Array.from({ length: next() * 6 }, () => letters[Math.floor(next() * letters.length)]).join(""));
    return words.sort((a, b) => a.localeCompare(b));
  },
  cases: () => ["straße", "İ", "ΑΣ", "ŉ", "ﬃ"].map((text) => [text.toLocaleUpperCase("en"), text.toLocaleLowerCase()]),
  locales: () => [() => "a".localeCompare("b", "not a locale"), () => (1).toLocaleString(null), () => Number.prototype.toLocaleString.call("1"), () => Date.prototype.toLocaleString.call({}), () => String.prototype.localeCompare.call(undefined)].map(caught),
  assigning: () => {
    const fn = () => 1, list = [], promise = Promise.resolve(), map = new Map();
    fn.bind = 1; fn.call = 2; list.push = 3; list[Symbol.iterator] = 4; promise.then = 5; map.get = 6;
    function Old() {}
    Old.prototype = Object.create(Error.prototype);
    Old.prototype.name = "Old";
    Old.prototype.message = "m";
    class Own { toString() { return "own"; } constructor() { this.valueOf = () => 7; this.hasOwnProperty = 8; } }
    return [Object.entries(fn), Object.entries(list), Object.keys(promise), Object.keys(map), `${new Old()}`, `${new Own()}`, new Own() + 1, Object.keys(new Own())];
  },
};
