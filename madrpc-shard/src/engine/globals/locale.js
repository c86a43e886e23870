// What the methods with "locale" in their names do: as Node.js does in American English, which it speaks where nothing else is
// said. Another language, or an option, is refused: without Intl the answer would be wrong.
(() => {
  "use strict";
  const refuse = (what, why) => { throw new RangeError(`${what}: ${why}, as there is no Intl: only en-US is known, without options`); };

  // The languages that are asked for, as in Intl.getCanonicalLocales; most important first.
  const languages = (locales) => {
    if (locales === undefined) return [];
    if (locales === null) throw new TypeError("the locales must be a string or a list of them");
    const list = typeof locales === "string" ? [locales] : Array.from(locales);
    for (const tag of list) {
      if (typeof tag !== "string") throw new TypeError("the locales must be a string or a list of them");
      if (!/^[a-z]{2,8}(-[a-z0-9]{1,8})*$/i.test(tag)) throw new RangeError(`Incorrect locale information provided: ${JSON.stringify(tag.slice(0, 40))}`);
    }
    return list;
  };
  const check = (what, locales, options) => {
    const [first] = languages(locales);
    if (first !== undefined && !/^en(-us)?$/i.test(first)) refuse(what, `the locale ${JSON.stringify(first.slice(0, 40))} is not known here`);
    if (options === undefined) return;
    if (options === null) throw new TypeError(`${what}: the options must be an object`);
    for (const key in Object(options)) if (options[key] !== undefined) refuse(what, `the option ${JSON.stringify(key.slice(0, 40))} is not known here`);
  };
  const checkCase = (what, locales, special) => {
    const [first] = languages(locales);
    if (special.includes(first?.slice(0, 2).toLowerCase())) refuse(what, `the locale ${JSON.stringify(first)} is not known here`);
  };

  const grouped = (digits) => digits.replace(/\B(?=(\d{3})+$)/g, ",");
  // Three decimals at the most; half is rounded up, of the digits that are shown otherwise.
  const numberText = (number) => {
    if (Number.isNaN(number)) return "NaN";
    const sign = number < 0 || Object.is(number, -0) ? "-" : "";
    if (!Number.isFinite(number)) return `${sign}∞`;
    const [mantissa, exponent = "0"] = String(Math.abs(number)).split("e");
    const [whole, decimals = ""] = mantissa.split(".");
    const shift = Number(exponent) + 3 - decimals.length;
    const digits = whole + decimals;
    const kept = shift >= 0 ? digits + "0".repeat(shift) : digits.slice(0, shift) || "0";
    const up = shift < 0 && -shift <= digits.length && digits.at(shift) >= "5" ? 1n : 0n;
    const thousandths = String(BigInt(kept) + up).padStart(4, "0");
    const rest = thousandths.slice(-3).replace(/0+$/, "");
    return sign + grouped(thousandths.slice(0, -3)) + (rest === "" ? "" : `.${rest}`);
  };
  const bigText = (big) => (big < 0n ? `-${grouped(String(-big))}` : grouped(String(big)));

  const two = (n) => String(n).padStart(2, "0");
  const day = (date) => {
    const year = date.getFullYear();
    return `${date.getMonth() + 1}/${date.getDate()}/${year > 0 ? year : 1 - year}`;
  };
  const time = (date) => {
    const hours = date.getHours();
    return `${hours % 12 || 12}:${two(date.getMinutes())}:${two(date.getSeconds())} ${hours < 12 ? "AM" : "PM"}`;
  };

  // The order of the Unicode Collation Algorithm as CLDR has it, for ASCII and for Latin letters with marks: first the letters,
  // then the marks, then small before capital. Of others, by their numbers.
  const order = "\t\n\u000b\f\r _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789aAbBcCdDeEfFgGhHiIjJkKlLmMnNoOpPqQrRsStTuUvVwWxXyYzZ";
  const weights = new Uint8Array(128);
  for (let at = 0; at < order.length; at++) {
    weights[order.charCodeAt(at)] = /[A-Z]/.test(order[at]) ? weights[order.charCodeAt(at - 1)] : at + 1;
  }
  const marks = "\u0301\u0300\u0306\u0302\u030c\u030a\u0308\u030b\u0303\u0307\u0338\u0327\u0328\u0304";
  const letters = { ß: "ss", ẞ: "SS", æ: "ae", Æ: "AE", œ: "oe", Œ: "OE", ø: "o\u0338", Ø: "O\u0338", ł: "l\u0338", Ł: "L\u0338", đ: "d\u0338", Đ: "D\u0338", ħ: "h\u0338", Ħ: "H\u0338" };
  const levels = (text) => {
    const first = [], second = [], third = [];
    for (const char of text.normalize("NFD").replace(/[ßẞæÆœŒøØłŁđĐħĦ]/g, (char) => letters[char])) {
      const code = char.codePointAt(0);
      if (code >= 0x300 && code < 0x370) {
        if (second.length > 0) second[second.length - 1] = second.at(-1) * 256 + 1 + (marks.indexOf(char) + 1 || code - 0x300 + 20);
        continue;
      }
      const weight = code < 128 ? weights[code] : 128 + char.toLowerCase().codePointAt(0);
      if (weight === 0) continue;
      first.push(weight);
      second.push(0);
      third.push(char === char.toLowerCase() ? 0 : 1);
    }
    return [first, second, third];
  };
  const sign = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  const compareLevels = (a, b) => {
    const left = levels(a), right = levels(b);
    for (let level = 0; level < 3; level++) {
      const x = left[level], y = right[level];
      for (let at = 0; at < x.length && at < y.length; at++) if (x[at] !== y[at]) return sign(x[at], y[at]);
      if (x.length !== y.length) return sign(x.length, y.length);
    }
    return 0;
  };
  const compare = (a, b) => {
    let later = 0;
    const length = Math.min(a.length, b.length);
    for (let at = 0; at < length; at++) {
      const x = a.charCodeAt(at), y = b.charCodeAt(at);
      if (x === y && x < 128 && weights[x] !== 0) continue;
      if (!(weights[x] > 0 && weights[y] > 0)) return compareLevels(a, b);
      if (weights[x] !== weights[y]) return sign(weights[x], weights[y]);
      if (later === 0) later = x > y ? -1 : 1;
    }
    if (a.length === b.length) return later;
    const rest = (a.length > length ? a : b).charCodeAt(length);
    return weights[rest] > 0 ? sign(a.length, b.length) : compareLevels(a, b);
  };

  return {
    number: (number, locales, options) => (check("Number.prototype.toLocaleString", locales, options), numberText(number)),
    big: (big, locales, options) => (check("BigInt.prototype.toLocaleString", locales, options), bigText(big)),
    date(date, what, locales, options) {
      check(`Date.prototype.${what}`, locales, options);
      if (Number.isNaN(date.getTime())) return "Invalid Date";
      return what === "toLocaleDateString" ? day(date) : what === "toLocaleTimeString" ? time(date) : `${day(date)}, ${time(date)}`;
    },
    compare: (a, b, locales, options) => (check("String.prototype.localeCompare", locales, options), compare(a, b)),
    upper: (text, locales) => (checkCase("String.prototype.toLocaleUpperCase", locales, ["tr", "az", "lt", "el"]), text.toUpperCase()),
    lower: (text, locales) => (checkCase("String.prototype.toLocaleLowerCase", locales, ["tr", "az", "lt"]), text.toLowerCase()),
  };
})()
