// `URL` and `URLSearchParams`. What an address means is url.rs' concern.
(host) => {
  "use strict";
  const text = (value) => String(value).toWellFormed();
  const bounded = (value) => {
    const whole = text(value);
    if (whole.length > host.urlMaxBytes) {
      throw new RangeError(`URL: an address of ${whole.length} characters, and none may have more than ${host.urlMaxBytes}`);
    }
    return whole;
  };

  // application/x-www-form-urlencoded (URL Standard, section 5).
  const encoded = (value) => encodeURIComponent(value)
    .replace(/[!'()~]|%20/g, (some) => (some === "%20" ? "+" : `%${some.charCodeAt(0).toString(16).toUpperCase()}`));
  const decoded = (part) => {
    const spaced = part.replaceAll("+", " ");
    if (!spaced.includes("%")) return spaced;
    try {
      return decodeURIComponent(spaced);
    } catch {
      // Not all of it is the UTF-8 of something; what is not is U+FFFD, and what is no escape stays.
      return spaced.replace(/(?:%[0-9a-f]{2})+/gi, (escapes) => {
        const bytes = Uint8Array.from(escapes.slice(1).split("%"), (hex) => parseInt(hex, 16));
        return host.decode(bytes, false, false, 0)[0];
      });
    }
  };

  // What links an address with its parameters, and is nobody else's concern.
  let link, refill;

  class URLSearchParams {
    #pairs = []; #changed = () => {};
    static {
      link = (params, changed) => { params.#changed = changed; };
      refill = (params, query) => { params.#pairs = URLSearchParams.#read(query); };
    }
    static #read(query) {
      const pairs = [];
      for (const part of (query.startsWith("?") ? query.slice(1) : query).split("&")) {
        if (part === "") continue;
        const at = part.indexOf("=");
        pairs.push(at < 0 ? [decoded(part), ""] : [decoded(part.slice(0, at)), decoded(part.slice(at + 1))]);
      }
      return pairs;
    }
    constructor(init = "") {
      if ((typeof init === "object" && init !== null) || typeof init === "function") {
        const entries = typeof init[Symbol.iterator] === "function" ? init : Object.entries(init);
        for (const entry of entries) {
          const pair = [...entry];
          if (pair.length !== 2) throw new TypeError("URLSearchParams: each entry must be a name and a value");
          this.#pairs.push([text(pair[0]), text(pair[1])]);
        }
      } else {
        refill(this, text(init));
      }
    }
    get size() { return this.#pairs.length; }
    append(name, value) { this.#pairs.push([text(name), text(value)]); this.#changed(this); }
    delete(name, value) {
      const isMeant = this.#matcher(name, value);
      this.#pairs = this.#pairs.filter((pair) => !isMeant(pair));
      this.#changed(this);
    }
    get(name) { return this.#pairs.find(this.#matcher(name))?.[1] ?? null; }
    getAll(name) { return this.#pairs.filter(this.#matcher(name)).map((pair) => pair[1]); }
    has(name, value) { return this.#pairs.some(this.#matcher(name, value)); }
    set(name, value) {
      const isMeant = this.#matcher(name), first = this.#pairs.findIndex(isMeant);
      if (first < 0) return this.append(name, value);
      this.#pairs[first] = [text(name), text(value)];
      this.#pairs = this.#pairs.filter((pair, at) => at <= first || !isMeant(pair));
      this.#changed(this);
    }
    sort() { this.#pairs.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)); this.#changed(this); }
    forEach(fn, self) { for (const [name, value] of this) fn.call(self, value, name, this); }
    *entries() { for (let at = 0; at < this.#pairs.length; at++) yield [...this.#pairs[at]]; }
    *keys() { for (const [name] of this) yield name; }
    *values() { for (const [, value] of this) yield value; }
    [Symbol.iterator]() { return this.entries(); }
    toString() { return this.#pairs.map((pair) => pair.map(encoded).join("=")).join("&"); }
    #matcher(name, value) {
      const wanted = text(name), only = value === undefined ? undefined : text(value);
      return (pair) => pair[0] === wanted && (only === undefined || pair[1] === only);
    }
  }

  // In the order of url.rs.
  const [HREF, ORIGIN, PROTOCOL, USERNAME, PASSWORD, HOST, HOSTNAME, PORT, PATHNAME, SEARCH, HASH] = Array(11).keys();

  class URL {
    #parts; #params;
    constructor(url, base) { this.#parts = host.parseUrl(bounded(url), base === undefined ? undefined : bounded(base)); }
    static canParse(url, base) { return URL.parse(url, base) !== null; }
    static parse(url, base) {
      try {
        return new URL(url, base);
      } catch {
        return null;
      }
    }
    #set(part, value) {
      this.#parts = host.setUrl(this.#parts[HREF], part, bounded(value));
      if (part === SEARCH && this.#params) refill(this.#params, this.search);
    }
    get href() { return this.#parts[HREF]; }
    set href(value) {
      this.#parts = host.parseUrl(bounded(value), undefined);
      if (this.#params) refill(this.#params, this.search);
    }
    get origin() { return this.#parts[ORIGIN]; }
    get protocol() { return this.#parts[PROTOCOL]; }
    set protocol(value) { this.#set(PROTOCOL, value); }
    get username() { return this.#parts[USERNAME]; }
    set username(value) { this.#set(USERNAME, value); }
    get password() { return this.#parts[PASSWORD]; }
    set password(value) { this.#set(PASSWORD, value); }
    get host() { return this.#parts[HOST]; }
    set host(value) { this.#set(HOST, value); }
    get hostname() { return this.#parts[HOSTNAME]; }
    set hostname(value) { this.#set(HOSTNAME, value); }
    get port() { return this.#parts[PORT]; }
    set port(value) { this.#set(PORT, value); }
    get pathname() { return this.#parts[PATHNAME]; }
    set pathname(value) { this.#set(PATHNAME, value); }
    get search() { return this.#parts[SEARCH]; }
    set search(value) { this.#set(SEARCH, value); }
    get hash() { return this.#parts[HASH]; }
    set hash(value) { this.#set(HASH, value); }
    get searchParams() {
      if (!this.#params) {
        this.#params = new URLSearchParams(this.search);
        link(this.#params, (params) => { this.#parts = host.setUrl(this.#parts[HREF], SEARCH, bounded(params)); });
      }
      return this.#params;
    }
    toString() { return this.href; }
    toJSON() { return this.href; }
  }

  return { URL, URLSearchParams };
}
