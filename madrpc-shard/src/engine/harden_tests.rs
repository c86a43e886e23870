//! That a script cannot change what the calls after it find, and can still be written as people write JavaScript.

use crate::engine::{Lane, LaneConfig, Progress, Script};
use madrpc_core::value::Value;
use std::time::{Duration, Instant};

fn lane(source: &str) -> Lane {
    let loaded = Lane::load(&Script::new("test.js", source), "", &LaneConfig::default());
    loaded.unwrap().0
}

fn call(lane: &mut Lane, function: usize, argument: &Value) -> Result<Value, String> {
    let mut body = Vec::new();
    argument.encode(&mut body, usize::MAX).unwrap();
    lane.assign(function, &body, Instant::now() + Duration::from_secs(10));
    loop {
        match lane.resume(Instant::now(), Duration::from_millis(1)) {
            Progress::Done(Ok(())) => {
                return Ok(lane.with_output(|bytes| Value::decode(bytes).unwrap()));
            }
            Progress::Done(Err(error)) => return Err(error.to_string()),
            Progress::Running | Progress::Waiting => {}
        }
    }
}

/// What a call of a sound lane says: it uses what the poison is aimed at.
const SOUND: &str = "madrpc.register('sound', async (x) => {
    const seen = [];
    seen.push([3, 1, 2].sort().map((n) => n + 1).join());
    seen.push(String({}), 'a,b'.split(',').length, JSON.stringify({ a: [1] }), Math.max(1, 2), Object.keys({ a: 1, b: 2 }).length);
    seen.push(await Promise.resolve(4).then((n) => n + 1), await Promise.all([1, 2]).then((all) => all.length));
    seen.push([...new Map([[1, 2]]).keys()].length, new Set([1, 1]).size, [...'ab'].length, new Uint8Array([1, 2]).slice(1)[0]);
    seen.push((function () { return arguments.length; }).call(null, 1, 2), `${new Error('m')}`, new Error('m').stack.includes('at '));
    for (const n of (function* () { yield 1; })()) seen.push(n);
    seen.push({}.poison === undefined, [].poison === undefined, (() => 1).poison === undefined, ''.poison === undefined, /b/.exec('abc').index);
    seen.push(typeof madrpc.call, typeof setTimeout, new TextEncoder().encode('a')[0], structuredClone([1])[0], isNaN(NaN), parseInt('7'));
    seen.push(x);
    return seen;
});";

#[test]
fn poison_does_not_reach_the_next_call() {
    const POISON: &[&str] = &[
        "Object.prototype.poison = 1",
        "Object.prototype.toString = () => 'poison'",
        "Object.prototype.hasOwnProperty = () => true",
        "Object.prototype.__proto__ = { poison: 1 }",
        "Object.setPrototypeOf(Object.prototype, { poison: 1 })",
        "Object.setPrototypeOf(Array.prototype, { poison: 1 })",
        "Object.defineProperty(Object.prototype, 'poison', { get() { return 1; } })",
        "Object.defineProperty(Object.prototype, 'toString', { value: () => 'poison' })",
        "Object.prototype.__defineGetter__('poison', () => 1)",
        "Object.keys = () => []",
        "Object.freeze = 1",
        "Array.prototype.push = () => 0",
        "Array.prototype.sort = function () { return this; }",
        "Array.prototype[Symbol.iterator] = function* () {}",
        "Array.prototype.poison = 1",
        "Array.prototype.constructor = class extends Array { map() { return []; } }",
        "Array[Symbol.species] = null",
        "delete Array.prototype.map",
        "Array.prototype.length = 5",
        "Array.prototype[0] = 1",
        "Array.prototype.push(1)",
        "Array.prototype.map.call = () => 1",
        "Function.prototype.call = () => 'poison'",
        "Function.prototype.apply = () => 'poison'",
        "Function.prototype.poison = 1",
        "Function.prototype[Symbol.hasInstance] = () => true",
        "Promise.prototype.then = function () { return this; }",
        "Promise.all = async () => []",
        "Promise.resolve = () => 1",
        "Promise.prototype.constructor = null",
        "Map.prototype.keys = () => []",
        "Map.prototype.get = () => 1",
        "Set.prototype.add = function () { return this; }",
        "Error.prototype.toString = () => 'poison'",
        "Error.prototype.name = 'poison'",
        "Error.prepareStackTrace = () => 'poison'",
        "Error.prototype.stack = 'poison'",
        "Error.stackTraceLimit = 0",
        "Error.captureStackTrace = 1",
        "TypeError.prototype.message = 'poison'",
        "String.prototype.split = () => []",
        "String.prototype[Symbol.iterator] = function* () {}",
        "String.prototype.poison = 1",
        "RegExp.prototype.exec = () => null",
        "JSON.stringify = () => 'poison'",
        "JSON = {}",
        "globalThis.JSON = {}",
        "delete globalThis.JSON",
        "Math.max = () => 0",
        "globalThis.Math = {}",
        "globalThis.Object = null",
        "globalThis.Promise = class {}",
        "globalThis.madrpc = {}",
        "madrpc.call = 1",
        "delete globalThis.madrpc",
        "globalThis.setTimeout = 1",
        "globalThis.isNaN = () => false",
        "globalThis.parseInt.poison = 1",
        "globalThis.undefined = 1",
        "Object.defineProperty(globalThis, 'parseInt', { value: 1 })",
        "TextEncoder.prototype.encode = () => [0]",
        "globalThis.structuredClone = () => 1",
        "console.log = 1",
        "globalThis.TextEncoder = null",
        "delete globalThis.TextEncoder",
        "Object.defineProperty(globalThis, 'TextEncoder', { value: null })",
        "Object.getOwnPropertyDescriptor(globalThis, 'TextEncoder').get.call = () => 1",
        "new TextEncoder(); TextEncoder.prototype.encode = () => [0]",
        "crypto.randomUUID = 1",
        "Object.getPrototypeOf(Uint8Array.prototype).slice = () => [0]",
        "Object.getPrototypeOf(function* () {}).prototype.next = () => ({ done: true })",
        "Object.getPrototypeOf([].values()).next = () => ({ done: true })",
        "Object.getPrototypeOf(new Map().keys()).next = () => ({ done: true })",
        "Object.getPrototypeOf(''[Symbol.iterator]()).next = () => ({ done: true })",
        "Object.getPrototypeOf(Object.getPrototypeOf([].values()))[Symbol.iterator] = () => ({ next: () => ({ done: true }) })",
        "Object.getPrototypeOf(async () => {}).poison = 1",
        "Object.getOwnPropertyDescriptor(Error.prototype, 'name').set.call(Error.prototype, 'poison')",
        "Object.getOwnPropertyDescriptor(Error.prototype, 'name').get.call = () => 'poison'",
        "Reflect.set(Object.prototype, 'toString', 1)",
    ];
    let expected = call(&mut lane(SOUND), 0, &Value::Integer(1)).unwrap();
    for poison in POISON {
        let source = format!(
            "{SOUND} madrpc.register('poison', () => {{ try {{ {poison}; }} catch {{}} }});"
        );
        let mut lane = lane(&source);
        call(&mut lane, 1, &Value::Null).unwrap();
        assert_eq!(
            call(&mut lane, 0, &Value::Integer(1)),
            Ok(expected.clone()),
            "{poison}"
        );
    }
    // While the script loads, nothing else holds.
    for poison in POISON {
        let mut lane = lane(&format!("{SOUND} try {{ {poison}; }} catch {{}}"));
        assert_eq!(
            call(&mut lane, 0, &Value::Integer(1)),
            Ok(expected.clone()),
            "{poison}"
        );
    }
}

#[test]
fn nothing_that_a_script_can_reach_is_left_open() {
    let found = call(
        &mut lane(
            "madrpc.register('f', () => {
                const open = [], seen = new Set();
                const visit = (value, path) => {
                    if ((typeof value !== 'object' && typeof value !== 'function') || value === null || seen.has(value)) return;
                    seen.add(value);
                    if (value !== globalThis && Object.isExtensible(value)) open.push(path);
                    visit(Object.getPrototypeOf(value), path + '.[[proto]]');
                    for (const key of Reflect.ownKeys(value)) {
                        const p = Object.getOwnPropertyDescriptor(value, key), at = `${path}.${String(key)}`;
                        const isPlainName = typeof value === 'function' && (key === 'name' || key === 'length');
                        if (!isPlainName && (p.configurable || p.writable)) open.push(at);
                        visit(p.value, at); visit(p.get, at); visit(p.set, at);
                    }
                };
                visit(globalThis, 'globalThis');
                for (const key of Reflect.ownKeys(globalThis)) visit(globalThis[key], key);
                for (const sample of [function* () {}, async () => {}, async function* () {}, class {}, [].values(), new Map().values(), new Set().values(),
                    ''[Symbol.iterator](), ''.matchAll(/./g), [].values().map(String), Iterator.from({ next() {} }), new Uint8Array(0), Symbol(), 1n, true]) {
                    visit(Object.getPrototypeOf(sample), typeof sample);
                }
                return open;
            });",
        ),
        0,
        &Value::Null,
    );
    assert_eq!(found, Ok(Value::Array(vec![])));
}

#[test]
fn ordinary_programs_still_work() {
    for body in [
        "class A extends Error { constructor(m) { super(m); this.name = 'A'; } } const a = new A('m'); return a.name === 'A' && `${a}` === 'A: m' && Object.keys(a)[0] === 'name';",
        "const e = new Error('a'); e.message = 'b'; e.stack = 'c'; return e.message + e.stack === 'bc';",
        "const e = new TypeError(); e.message = 'late'; e.name = 'N'; return `${e}` === 'N: late' && new TypeError().message === '';",
        "const o = {}; o.toString = () => 'o'; o.valueOf = () => 1; o.constructor = 2; o.hasOwnProperty = 3; return `${o}` === 'o' && o + 1 === 2 && o.constructor === 2 && Object.keys(o).length === 4;",
        "function B() {} B.prototype.toString = function () { return 'B'; }; B.prototype.constructor = B; return `${new B()}` === 'B';",
        "function Old() { Array.call(this); } Old.prototype = Object.create(Array.prototype); Old.prototype.constructor = Old; Old.prototype.toString = () => 'old'; return `${new Old()}` === 'old';",
        "function __() { this.constructor = Own; } function Own() {} __.prototype = Promise.prototype; Own.prototype = new __(); return Own.prototype.constructor === Own;",
        "class List extends Array { push(x) { return super.push(x * 2); } } const l = new List(); l.push(2); return l[0] === 4 && l.map((n) => n) instanceof List;",
        "class M extends Map { get(k) { return super.get(k) ?? 0; } } return new M().get(1) === 0;",
        "class P extends Promise {} return P.resolve(1).then((n) => n) instanceof P;",
        "const d = new Date(0); d.toJSON = () => 'd'; d.toString = () => 's'; return JSON.stringify(d) === '\"d\"' && `${d}` === 's';",
        "const f = () => 1; f.toString = () => 'f'; f.own = 2; return `${f}` === 'f' && f.own === 2;",
        "const o = Object.create({ toString() { return 'p'; } }); o.toString = () => 'q'; return `${o}` === 'q';",
        "const f = () => 1; f.bind = 1; f.call = 2; f.apply = 3; return f.bind + f.call + f.apply === 6 && Object.keys(f).length === 3;",
        "const l = []; l.push = (x) => { l[l.length] = x * 2; }; l.push(4); return l[0] === 8 && Object.keys(l).join() === '0,push';",
        "function E() {} E.prototype = Object.create(Error.prototype); E.prototype.name = 'E'; E.prototype.message = 'm'; E.prototype.toString = () => 'e'; return new E().name === 'E' && `${new E()}` === 'e';",
        "const p = Promise.resolve(1); p.then = 1; p.catch = 2; p.finally = 3; return p.then + p.catch + p.finally === 6;",
        "class L extends Set { constructor() { super(); this.add = () => 'own'; this.size2 = 1; } } return new L().add() === 'own';",
        "class F { toString = () => 'f'; valueOf = 1; constructor2 = 2; hasOwnProperty = 3; } return `${new F()}` === 'f' && new F().hasOwnProperty === 3;",
        "const g = (function* () { yield 1; })(); g.next = () => ({ done: true }); return [...g].length === 0;",
        "class G extends Array { push = () => 'g'; } return new G().push() === 'g' && [].push(1) === 1;",
        "class P extends Promise {} P.resolve = () => 'own'; class Q extends P {} Q.all = 1; return P.resolve() === 'own' && Q.all === 1 && Q.resolve() === 'own' && Promise.resolve(1) instanceof Promise && Object.keys(P).join() === 'resolve';",
        "class A extends Array {} A.from = () => 'own'; return A.from([1]) === 'own' && Array.from([1])[0] === 1 && A.of(1) instanceof A;",
        "class D extends Date { static now() { return 5; } } D.parse = 6; return D.now() === 5 && D.parse === 6 && Date.now() > 5;",
        "class U extends URL {} U.parse = () => 'own'; U.canParse = 1; return U.parse('x:y') === 'own' && URL.canParse('x:y');",
        "const l = Object.create(console); l.log = (x) => x; return l.log(1) === 1 && Object.keys(l).join() === 'log';",
        "const m = Object.create(madrpc); m.call = (x) => x; return m.call(1) === 1 && typeof madrpc.call === 'function';",
        "Object.assign = Object.assign || 1; Array.from = Array.from ?? 1; Promise.all = Promise.all; Array.prototype.map = Array.prototype.map; return typeof Object.assign === 'function';",
        "try { Promise.resolve = 1; return false; } catch (error) { return error instanceof TypeError; }",
        "const it = { __proto__: Object.getPrototypeOf(Object.getPrototypeOf([].values())) }; it[Symbol.iterator] = () => [7].values(); return [...it][0] === 7;",
        "const o = {}; o['__proto__'] = { x: 1 }; return o.x === 1;",
        "globalThis.mine = (globalThis.mine ?? 0) + 1; globalThis.mine = 5; delete globalThis.mine; return !('mine' in globalThis);",
        "const limit = Error.stackTraceLimit; Error.stackTraceLimit = 50; Error.stackTraceLimit = limit; return limit > 0;",
        "const o = Object.assign({}, { constructor: 1, toString: 2, valueOf: 3 }); return o.constructor === 1 && Object.keys(o).length === 3;",
        "return ({}).toString() === '[object Object]' && [1, 2].toString() === '1,2' && [].constructor === Array && (5).constructor === Number && 'x'.valueOf() === 'x';",
        "try { 'x'.toString = 1; return false; } catch (error) { return error instanceof TypeError; }",
        "try { Error.prototype.name = 1; return false; } catch (error) { return error.message.includes('read-only'); }",
        "return Object.prototype.toString.call(null) === '[object Null]' && Function.prototype.toString.call(Math.max).includes('native code');",
    ] {
        let source = format!("madrpc.register('f', () => {{ {body} }});");
        assert_eq!(
            call(&mut lane(&source), 0, &Value::Null),
            Ok(Value::Bool(true)),
            "{body}"
        );
    }
}

/// For each data property of each prototype that can be reached: what inherits from it may have its own.
#[test]
fn whatever_a_prototype_has_can_be_assigned_to_those_who_inherit() {
    let found = call(
        &mut lane(
            "'use strict'; madrpc.register('f', () => {
                const prototypes = new Map(), failed = [];
                const note = (value, name) => value && !prototypes.has(value) && prototypes.set(value, name);
                for (const name of Reflect.ownKeys(globalThis)) if (globalThis[name]?.prototype) note(globalThis[name], `the constructor ${name}`);
                for (const name of Reflect.ownKeys(globalThis)) note(Object.getOwnPropertyDescriptor(globalThis, name)?.value?.prototype ?? globalThis[name]?.prototype, name);
                for (const sample of [function* () {}, async () => {}, async function* () {}, [].values(), new Map().values(), new Set().values(),
                    ''.matchAll(/./g), [].values().map(String), Iterator.from({ next() {} }), new Uint8Array(0), async function* () {}.prototype, function* () {}.prototype]) {
                    for (let at = Object.getPrototypeOf(sample); at; at = Object.getPrototypeOf(at)) note(at, `of ${Object.prototype.toString.call(sample)}`);
                }
                let tried = 0;
                const own = {};
                for (const [prototype, name] of prototypes) {
                    for (const key of Reflect.ownKeys(prototype)) {
                        const { set, get } = Object.getOwnPropertyDescriptor(prototype, key);
                        if ((get && !set) || key === '__proto__' || typeof prototype === 'function' && ['name', 'length', 'caller', 'arguments'].includes(key)) continue;
                        // What the language itself says is read-only, or has a setter for.
                        const is = (...keys) => keys.includes(key);
                        if (is(Symbol.toStringTag, Symbol.hasInstance, Symbol.unscopables, Symbol.toPrimitive, 'stack', 'BYTES_PER_ELEMENT') || /_ERR$/.test(String(key))) continue;
                        if (/Generator|AsyncFunction/.test(name) && is('constructor', 'prototype') || prototype === Iterator.prototype && is('constructor')) continue;
                        if ((Array.isArray(prototype) || prototype === String.prototype) && key === 'length') continue;
                        // Of a constructor what is no function is the language's own: limits, symbols, `prototype`.
                        if (String(name).startsWith('the constructor') && (is('prototype') || typeof prototype[key] !== 'function')) continue;
                        const heir = Object.create(prototype);
                        let before;
                        try { before = prototype[key]; } catch { continue; } // An accessor of the language's own.
                        tried++;
                        try {
                            heir[key] = own;
                            heir[key] = own;
                            const { value, writable, enumerable, configurable } = Object.getOwnPropertyDescriptor(heir, key);
                            if (value !== own || !writable || !enumerable || !configurable) throw 'it is not the own property';
                            if (!Object.is(prototype[key], before)) throw 'the prototype has changed';
                            try { prototype[key] = own; throw 'the prototype can be written'; } catch (error) { if (!/read-only|extensible/.test(error)) throw error; }
                            if (!Object.is(prototype[key], before)) throw 'the prototype was written';
                        } catch (error) {
                            failed.push(`${String(name)}.${String(key)}: ${error}`);
                        }
                    }
                }
                return [tried > 430, failed];
            });",
        ),
        0,
        &Value::Null,
    );
    let expected = Value::Array(vec![Value::Bool(true), Value::Array(vec![])]);
    assert_eq!(found, Ok(expected));
}

#[test]
fn assigning_follows_the_receiver() {
    for body in [
        "const d = new Date(0); d.getTime = () => 7; return d.getTime() === 7 && Object.keys(d).join() === 'getTime';",
        "const l = [3]; l.map = (f) => f(8); l.filter = 1; return l.map((x) => x + 1) === 9 && l.filter === 1;",
        "const r = /a/g; r.exec = () => null; r.test = 2; return r.exec('a') === null && r.test === 2;",
        "const b = new Uint8Array(2); b.subarray = 3; b.fill = 4; return b.subarray + b.fill === 7;",
        "class D extends Date { getTime = () => 9; format() { return this.getTime(); } } return new D().format() === 9;",
        "class A extends Array { constructor() { super(); this.map = 'm'; super.filter = 'f'; } } const a = new A(); return a.map + a.filter === 'mf' && Object.keys(a).join() === 'map,filter';",
        "const o = Object.freeze([1]); try { o.map = 1; return false; } catch (e) { return e instanceof TypeError && [1].map((x) => x)[0] === 1; }",
        "const o = Object.defineProperty([], 'map', { value: 1 }); try { o.map = 2; return false; } catch { return o.map === 1; }",
        "const seen = []; const p = new Proxy([], { defineProperty(t, k, d) { seen.push(k); return Reflect.defineProperty(t, k, d); } }); p.slice = 1; return seen.join() === 'slice' && p.slice === 1;",
        "const o = Object.create(Date.prototype, { getTime: { value: 1, writable: true } }); o.getTime = 2; return o.getTime === 2;",
    ] {
        let source = format!("'use strict'; madrpc.register('f', () => {{ {body} }});");
        assert_eq!(
            call(&mut lane(&source), 0, &Value::Null),
            Ok(Value::Bool(true)),
            "{body}"
        );
    }
}

#[test]
fn arguments_may_be_named_as_built_ins_are() {
    let mut lane = lane("madrpc.register('echo', (value) => [value, Object.keys(value).length]);");
    let names = [
        "constructor",
        "toString",
        "valueOf",
        "hasOwnProperty",
        "name",
        "message",
        "__proto__",
    ];
    let argument = Value::object(names.map(|name| (name, Value::Integer(1))));
    let expected = Value::Array(vec![argument.clone(), Value::Integer(names.len() as i64)]);
    assert_eq!(call(&mut lane, 0, &argument), Ok(expected));
}

#[test]
fn a_call_sees_no_arguments_but_its_own() {
    let mut lane = lane(
        "madrpc.register('echo', (value) => value); madrpc.register('peek', () => [...new Uint8Array(4096)].some((byte) => byte !== 0));
         madrpc.register('fail', () => { throw new Error('x'); });",
    );
    let secret = Value::String("secret ".repeat(1000));
    assert_eq!(call(&mut lane, 0, &secret), Ok(secret.clone()));
    assert_eq!(
        call(&mut lane, 0, &Value::Integer(1)),
        Ok(Value::Integer(1))
    );
    lane.assign(0, &[], Instant::now() + Duration::from_secs(10));
    assert!(matches!(
        lane.resume(Instant::now(), Duration::from_secs(1)),
        Progress::Done(Ok(()))
    ));
    lane.with_output(|bytes| assert_eq!(Value::decode(bytes), Ok(Value::Undefined)));
    assert_eq!(call(&mut lane, 0, &secret), Ok(secret));
    assert_eq!(call(&mut lane, 1, &Value::Null), Ok(Value::Bool(false)));
    call(&mut lane, 2, &Value::Null).unwrap_err();
}

#[test]
fn a_global_that_cannot_be_made_now_is_made_whole_later() {
    let mut lane = lane(
        "madrpc.register('f', () => {
            let failed = 0;
            const down = () => { try { down(); } catch { try { return new URL('http://a/b').pathname; } catch { failed++; } throw new Error(); } };
            try { down(); } catch {}
            try { URL.prototype.toString = () => 'poison'; } catch {}
            return [failed > 0, `${new URL('http://a/b')}`, Object.isFrozen(URL.prototype)];
        });",
    );
    let expected = Value::Array(vec![
        Value::Bool(true),
        Value::String("http://a/b".into()),
        Value::Bool(true),
    ]);
    assert_eq!(call(&mut lane, 0, &Value::Null), Ok(expected.clone()));
    assert_eq!(call(&mut lane, 0, &Value::Null), Ok(expected));
}
