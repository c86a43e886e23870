use crate::engine::{Lane, LaneConfig, Progress, Script};
use madrpc_core::value::Value;
use std::fmt::Debug;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

pub(super) fn lane(source: &str) -> Lane {
    let loaded = Lane::load(&Script::new("test.js", source), "", &LaneConfig::default());
    loaded.unwrap().0
}

pub(super) fn call(lane: &mut Lane, function: usize) -> Result<Value, String> {
    lane.assign(function, &[], Instant::now() + Duration::from_secs(10));
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

/// Runs the text as a function's body; `eq` in it compares, and `throws` expects an error with these words.
pub(super) fn check(body: &str) {
    const TOOLS: &str = "
        const shown = (value) => typeof value === 'bigint' || typeof value === 'symbol' ? String(value)
            : JSON.stringify(value) ?? String(value);
        const eq = (is, should) => { if (!Object.is(is, should) && shown(is) !== shown(should)) throw new Error(`is ${shown(is)}, should be ${shown(should)}`); };
        const throws = (words, fn) => { let error; try { fn(); } catch (caught) { error = caught; }
            if (error === undefined || !`${error.name}: ${error.message}`.includes(words)) throw new Error(`should throw ${words}, threw ${error}`); };";
    let source = format!("{TOOLS}\nmadrpc.register('f', async () => {{\n{body}\nreturn true; }});");
    assert_eq!(call(&mut lane(&source), 0), Ok(Value::Bool(true)), "{body}");
}

#[test]
fn a_check_can_fail() {
    let failed = std::panic::catch_unwind(|| check("eq(1, 2)"));
    assert!(failed.is_err());
    let failed = std::panic::catch_unwind(|| check("throws('x', () => {})"));
    assert!(failed.is_err());
}

#[test]
fn text_is_encoded_as_utf_8() {
    check(
        "const e = new TextEncoder(); eq(e.encoding, 'utf-8'); eq(e.encode().length, 0); eq([...e.encode('aé漢😀')], [97, 195, 169, 230, 188, 162, 240, 159, 152, 128]);",
    );
    check(
        "eq([...new TextEncoder().encode('a\\ud800b')], [97, 239, 191, 189, 98]); eq([...new TextEncoder().encode('\\0')], [0]);",
    );
    check(
        "const into = (text, n) => { const b = new Uint8Array(n); const { read, written } = new TextEncoder().encodeInto(text, b); return [read, written, ...b]; };
         eq(into('ab', 4), [2, 2, 97, 98, 0, 0]); eq(into('é漢', 4), [1, 2, 195, 169, 0, 0]); eq(into('😀', 3), [0, 0, 0, 0, 0]); eq(into('a😀', 5), [3, 5, 97, 240, 159, 152, 128]);
         throws('TypeError', () => new TextEncoder().encodeInto('a', [])); ",
    );
}

#[test]
fn utf_8_is_decoded() {
    check(
        "const d = new TextDecoder(); const of = (...b) => new Uint8Array(b);
         eq(d.decode(), ''); eq(d.decode(of(97, 195, 169)), 'aé'); eq(d.decode(of(0xef, 0xbb, 0xbf, 97)), 'a');
         eq(d.decode(of(97, 0xff, 98)), 'a\\ufffdb'); eq(d.decode(of(0xf0, 0x9f)), '\\ufffd');
         eq(d.decode(of(97).buffer), 'a'); eq(d.decode(new DataView(of(1, 97, 98).buffer, 1, 1)), 'a'); eq(d.decode(new Uint16Array([0x6261])), 'ab');
         eq(new TextDecoder('UTF8 ', { ignoreBOM: true }).decode(of(0xef, 0xbb, 0xbf)), '\\ufeff');
         const f = new TextDecoder('utf-8', { fatal: true }); eq(f.fatal, true); throws('TypeError', () => f.decode(of(97, 0xff))); eq(f.decode(of(97)), 'a');
         throws('RangeError', () => new TextDecoder('latin1')); throws('TypeError', () => d.decode('text')); throws('TypeError', () => d.decode(null));",
    );
    check(
        "const d = new TextDecoder(); const s = { stream: true }; let text = '';
         for (const byte of [0xef, 0xbb, 0xbf, ...new TextEncoder().encode('aé漢😀')]) text += d.decode(new Uint8Array([byte]), s);
         eq(text + d.decode(), 'aé漢😀'); eq(d.decode(new Uint8Array([0xe6]), s), ''); eq(d.decode(), '\\ufffd'); eq(d.decode(new Uint8Array([0xef, 0xbb, 0xbf])), '');",
    );
}

#[test]
fn random_numbers_are_the_systems() {
    check(
        "const a = crypto.getRandomValues(new Uint8Array(64)), b = crypto.getRandomValues(new Uint8Array(64)); eq(a.some((n, at) => n !== b[at]), true);
         const part = new Uint8Array(8); crypto.getRandomValues(new Uint32Array(part.buffer, 4, 1)); eq([...part.slice(0, 4)], [0, 0, 0, 0]);
         const same = new Int16Array(2); eq(crypto.getRandomValues(same) === same, true); eq(crypto.getRandomValues(new BigInt64Array(0)).length, 0);
         throws('QuotaExceededError', () => crypto.getRandomValues(new Uint8Array(65537))); throws('TypeMismatchError', () => crypto.getRandomValues(new Float32Array(1)));
         throws('TypeMismatchError', () => crypto.getRandomValues({ byteLength: 3 }));
         throws('TypeError', () => crypto.getRandomValues({ __proto__: Uint8Array.prototype, byteLength: 2 ** 52 }));
         let asked = 0; const odd = Object.defineProperty(new Uint8Array(4), 'byteLength', { get: () => asked++ ? 2 ** 52 : 1 });
         throws('RangeError', () => crypto.getRandomValues(odd)); throws('TypeError', () => crypto.getRandomValues(new Proxy(new Uint8Array(4), { get: () => 2e9 })));
         eq(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID()), true); eq(crypto.randomUUID() === crypto.randomUUID(), false);",
    );
}

#[test]
fn values_are_cloned_with_their_structure() {
    check(
        "const c = structuredClone; eq(c(undefined), undefined); eq(c(-0), -0); eq(c(3n), 3n); eq(c('x'), 'x');
         const o = { b: [1, , 3], a: { d: new Date(5), r: /x(y)/gi, '__proto__': 1 }, get g() { return 7; } }; Object.defineProperty(o.a, '__proto__', { value: 4, enumerable: true });
         const k = c(o); eq(k, { b: [1, , 3], a: o.a, g: 7 }); eq(1 in k.b, false); eq(k.a.d instanceof Date, true); eq(k.a.d === o.a.d, false); eq(k.a.d.getTime(), 5);
         eq(`${k.a.r}`, '/x(y)/gi'); eq(Object.hasOwn(k.a, '__proto__'), true); eq(Object.keys(k), ['b', 'a', 'g']);
         const cycle = { list: [] }; cycle.self = cycle; cycle.list.push(cycle); const cc = c(cycle); eq(cc.self === cc && cc.list[0] === cc && cc !== cycle, true);
         const m = c(new Map([[{ k: 1 }, new Set([1, 'two'])]])); eq([...m.keys()], [{ k: 1 }]); eq([...[...m.values()][0]], [1, 'two']);
         class P { constructor() { this.x = 1; } } eq(c(new P()) instanceof P, false); eq(c(new P()), { x: 1 });
         eq(typeof c(Object('s')), 'object'); eq(c(Object(5n)).valueOf(), 5n);",
    );
    check(
        "const c = structuredClone; const buffer = new Uint8Array([1, 2, 3, 4]).buffer; const { a, b, v } = c({ a: new Uint8Array(buffer, 1, 2), b: new Uint16Array(buffer), v: new DataView(buffer, 2) });
         eq([...a], [2, 3]); eq(a.buffer === b.buffer && a.buffer !== buffer && v.buffer === a.buffer, true); eq(v.getUint8(0), 3); eq(a.constructor === Uint8Array, true); eq(c(new Float16Array([1.5]))[0], 1.5);",
    );
    check(
        "const c = structuredClone; const e = c(new RangeError('far', { cause: { deep: 1 } })); eq(e instanceof RangeError, true); eq(e.message, 'far'); eq(e.name, 'RangeError'); eq(e.cause, { deep: 1 }); eq(typeof e.stack, 'string');
         class Own extends Error { constructor() { super('m'); this.name = 'Own'; } } eq(c(new Own()).name, 'Error');
         for (const bad of [() => {}, Symbol('s'), new WeakMap(), Promise.resolve(), { deep: [() => {}] }]) throws('DataCloneError', () => c(bad));
         throws('DataCloneError', () => c(new ArrayBuffer(1), { transfer: [new ArrayBuffer(1)] })); throws('RangeError', () => { let deep = []; for (let i = 0; i < 1e5; i++) deep = [deep]; c(deep); });",
    );
}

#[test]
fn what_the_engine_brings_is_there() {
    check(
        "eq(atob(btoa('\\xffhello')), '\\xffhello'); throws('InvalidCharacterError', () => btoa('漢')); throws('InvalidCharacterError', () => atob('*'));
         const t = performance.now(); eq(typeof t, 'number'); eq(performance.now() >= t, true); let ran = 0; queueMicrotask(() => { ran = 1; }); await null; await null; eq(ran, 1);
         eq(new DOMException('m', 'AbortError').name, 'AbortError');",
    );
    check(
        "for (const name of ['process', 'require', 'fetch', 'Deno', 'Bun', 'std', 'os', 'XMLHttpRequest', 'WebAssembly']) eq(typeof globalThis[name], 'undefined'); throws('TypeError', () => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0));",
    );
}

/// A log that is read by the test.
pub(super) struct Log(pub(super) Sender<String>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0 += &format!(" {}={value:?}", field.name());
    }
}

impl Subscriber for Log {
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        about.target() == "script" && *about.level() <= tracing::Level::DEBUG
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        let _ = self.0.send(line.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// The log of a script that is loaded, and of a call of its first function.
pub(super) fn logged(source: &str) -> Vec<String> {
    let (log, lines): (_, Receiver<String>) = channel();
    tracing::subscriber::with_default(Log(log), || {
        let mut lane = lane(source);
        lane.set_call(7, None);
        call(&mut lane, 0).unwrap();
    });
    lines.try_iter().collect()
}

/// The engine looks at the clock every so many steps, and what the host does in one may take long.
#[test]
fn a_call_that_only_uses_the_host_has_slices() {
    for work in [
        "console.log(i)",
        "new TextEncoder().encode('text')",
        "new TextDecoder().decode(new Uint8Array(9))",
        "new URL('http://localhost/')",
        "new URL('http://localhost/').port = i",
        "crypto.getRandomValues(new Uint8Array(9))",
        "madrpc.call('f').catch(() => 0)",
    ] {
        let (log, _lines) = channel();
        let slices = tracing::subscriber::with_default(Log(log), || {
            let source = format!(
                "madrpc.register('f', () => {{ for (let i = 0; i < 100; i++) {{ {work}; }} }});"
            );
            let mut lane = lane(&source);
            lane.assign(0, &[0], Instant::now() + Duration::from_secs(10));
            let mut slices = 0;
            loop {
                match lane.resume(Instant::now(), Duration::ZERO) {
                    Progress::Done(result) => {
                        return result.map(|()| slices).map_err(|error| *error);
                    }
                    Progress::Running | Progress::Waiting => slices += 1,
                }
            }
        });
        assert!(matches!(slices, Ok(100..)), "{work}: {slices:?}");
    }
}

#[test]
fn a_line_of_the_console_says_who_speaks() {
    assert_eq!(
        logged(
            "console.warn('loading'); madrpc.register('f', () => { console.error('a', 1); console.debug({ b: 2 }); console.trace('hidden'); })"
        ),
        [
            "WARN message=loading script=\"test.js\"",
            "ERROR message=a 1 call=7 function=\"f\"",
            "DEBUG message={ b: 2 } call=7 function=\"f\"",
        ]
    );
}

/// What `console.log` shows of these arguments.
pub(super) fn shown(arguments: &str) -> String {
    let lines = logged(&format!(
        "madrpc.register('f', () => {{ console.log({arguments}); }})"
    ));
    assert_eq!(lines.len(), 1, "{lines:?}");
    let line = lines[0].strip_prefix("INFO message=").unwrap();
    line.strip_suffix(" call=7 function=\"f\"")
        .unwrap()
        .to_owned()
}

#[test]
fn values_are_shown_readably() {
    for (arguments, text) in [
        ("", ""),
        (
            "'a', 'b c', 1, -0, 2n, true, null, undefined, Symbol('s')",
            "a b c 1 -0 2n true null undefined Symbol(s)",
        ),
        (
            "{ a: 'x', 'b-c': [1, 'two', , null], d: {} }",
            "{ a: \"x\", \"b-c\": [ 1, \"two\", [hole], null ], d: {} }",
        ),
        (
            "{ a: { b: { c: { d: 1 }, e: [1] } } }",
            "{ a: { b: { c: {…}, e: […] } } }",
        ),
        (
            "new Map([['k', { v: 1 }]]), new Set([1])",
            "Map(1) { \"k\" => { v: 1 } } Set(1) { 1 }",
        ),
        (
            "new Uint8Array(3), new ArrayBuffer(4)",
            "Uint8Array(3) [ 0, 0, 0 ] ArrayBuffer(4)",
        ),
        (
            "new Date(0), new Date(NaN), /x/g, () => 1, function f() {}, class C {}",
            "1970-01-01T00:00:00.000Z Invalid Date /x/g [function] [function f] [function C]",
        ),
        (
            "new (class Point { x = 1; })(), Object.create(null), Promise.resolve()",
            "Point { x: 1 } null {} Promise {}",
        ),
        (
            "(() => { const o = { a: 1 }; o.o = o; return o; })()",
            "{ a: 1, o: [circular] }",
        ),
        (
            "{ get a() { throw 1; }, set b(v) {} }",
            "{ a: [accessor], b: [accessor] }",
        ),
        (
            "'%s is %d, %i and %j%% %x', 'it', '4.5', 7.9, { a: 1 }, 'rest'",
            "it is 4.5, 7 and {\"a\":1}% %x rest",
        ),
        ("'100%', '%s'", "100% %s"),
        ("'a\\nb'", "a\nb"),
        (
            "new Proxy({}, { ownKeys() { throw 1; } })",
            "[cannot be shown]",
        ),
        (
            "Array(1000).fill(0)",
            &format!("[ {}… 950 more ]", "0, ".repeat(50)),
        ),
    ] {
        assert_eq!(shown(arguments), text, "{arguments}");
    }
    let error = shown("new RangeError('far')");
    assert!(error.starts_with("RangeError: far | at "), "{error}");
    let named = shown("Object.assign(new Error('m'), { name: 'Own' })");
    assert!(named.starts_with("Own: m | at "), "{named}");
}

#[test]
fn what_is_said_is_bounded() {
    let line = shown("'x'.repeat(1e6), { a: 'y'.repeat(1e6) }");
    assert!(line.len() < 5000, "{}", line.len());
    let lines =
        logged("madrpc.register('f', () => { for (let i = 0; i < 5000; i++) console.log(i); })");
    assert!((200..1000).contains(&lines.len()), "{}", lines.len());
}

#[test]
fn the_console_counts_measures_and_groups() {
    let lines = logged(
        "madrpc.register('f', () => { console.count(); console.count('a'); console.count('a'); console.countReset('a'); console.count('a'); console.countReset('b');
         console.group('outer'); console.log('in'); console.groupCollapsed(); console.log('deeper'); console.groupEnd(); console.groupEnd(); console.groupEnd(); console.log('out');
         for (let i = 0; i < 100; i++) console.group(); console.log('deep'); for (let i = 0; i < 100; i++) console.groupEnd();
         console.time('t'); console.time('t'); console.timeLog('t', 1, { a: 2 }); console.timeEnd('t'); console.timeEnd('t'); console.timeLog();
         console.dirxml(1, 'x'); console.clear(); console.timeStamp('x'); console.profile('x'); console.profileEnd('x'); const { log } = console; [5].forEach((n) => log(n)); })",
    );
    let messages: Vec<String> = lines
        .iter()
        .filter_map(|line| line.split_once("message=")?.1.split_once(" call="))
        .map(|(message, _)| {
            let is_time = |word: &str| word.ends_with("ms") && word.as_bytes()[0].is_ascii_digit();
            let words = message
                .split(' ')
                .map(|word| if is_time(word) { "#ms" } else { word });
            words.collect::<Vec<_>>().join(" ")
        })
        .collect();
    let deep = format!("{}deep", " ".repeat(40));
    assert_eq!(
        messages,
        [
            "default: 1",
            "a: 1",
            "a: 2",
            "a: 1",
            "console.countReset: there is no label \"b\"",
            "outer",
            "  in",
            "    deeper",
            "out",
            &deep,
            "console.time: the label \"t\" is there already",
            "t: #ms 1 { a: 2 }",
            "t: #ms",
            "console.timeEnd: there is no label \"t\"",
            "console.timeLog: there is no label \"default\"",
            "1 x",
            "5",
        ]
    );
}

#[test]
fn the_other_ways_to_speak() {
    let lines = logged(
        "madrpc.register('f', () => { console.assert(true, 'no'); console.assert(false, 'yes'); console.assert(0);
         console.table([{ a: 1 }]); console.info('i'); console.group('g'); console.groupEnd(); console.dir([1]); })",
    );
    let messages: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.split_once("message=")?.1.split_once(" call="))
        .map(|(message, _)| message)
        .collect();
    assert_eq!(
        messages,
        [
            "Assertion failed: yes",
            "Assertion failed",
            "┌─────────┬───┐",
            "│ (index) │ a │",
            "├─────────┼───┤",
            "│ 0       │ 1 │",
            "└─────────┴───┘",
            "i",
            "g",
            "[ 1 ]"
        ]
    );
}

#[test]
fn addresses_are_those_of_the_standard() {
    check(
        "const u = new URL('../b?x=1&y=%20z#h', 'https://user:pass@EXAMPLE.com:8443/a/c/d');
         eq(u.href, 'https://user:pass@example.com:8443/a/b?x=1&y=%20z#h'); eq([u.origin, u.protocol, u.username, u.password, u.host, u.hostname, u.port, u.pathname, u.search, u.hash],
            ['https://example.com:8443', 'https:', 'user', 'pass', 'example.com:8443', 'example.com', '8443', '/a/b', '?x=1&y=%20z', '#h']);
         eq(`${u}`, u.href); eq(JSON.stringify({ u }), JSON.stringify({ u: u.href })); throws('TypeError', () => new URL('nothing')); throws('TypeError', () => new URL('/x', 'nothing'));
         eq(URL.canParse('x:y'), true); eq(URL.parse('::'), null); eq(new URL('http://b\u{fc}cher.example').hostname, 'xn--bcher-kva.example');
         u.port = '443'; u.hash = ''; u.pathname = '/p q'; u.username = ''; u.password = ''; u.hostname = 'other.example'; eq(u.href, 'https://other.example/p%20q?x=1&y=%20z');
         u.protocol = 'nonsense:'; u.port = 'x'; eq(u.protocol, 'https:'); u.href = 'http://h/'; eq(u.search, ''); throws('TypeError', () => { u.href = 'no'; });",
    );
    check(
        "const long = (c, n) => c.repeat(n); eq(new URL('http://' + long('a', 300) + '/').host.length, 300); eq(new URL('http://' + long(long('漢', 50) + '.', 4) + 'com/').host.length < 253, true);
         throws('TypeError', () => new URL('http://' + long(long('漢字', 200) + '.', 32))); const h = new URL('http://h/'); h.host = long('漢', 400); h.hostname = long('漢', 400); eq(h.href, 'http://h/');
         h.pathname = long('漢', 32768); eq(h.href.length, 294921); throws('RangeError', () => { h.search = long('漢', 32768); }); eq(h.href.length, 294921); h.search = 'a'; eq(h.href.length, 294923);",
    );
    check(
        "const u = new URL('http://h/?a=1&b=2&a=3'), p = u.searchParams; eq(p.getAll('a'), ['1', '3']); p.set('a', 'x y'); eq(u.search, '?a=x+y&b=2'); p.append('c', '&'); p.delete('b'); eq(u.href, 'http://h/?a=x+y&c=%26');
         u.search = '?z=9'; eq(p.get('z'), '9'); eq(p.get('a'), null); eq(u.searchParams === p, true); p.delete('z'); eq(u.href, 'http://h/');
         const q = new URLSearchParams([['b', 1], ['a', 2]]); q.sort(); eq(q.toString(), 'a=2&b=1'); eq([...q], [['a', '2'], ['b', '1']]); eq([...q.keys()].join() + [...q.values()].join(), 'a,b2,1'); eq(q.size, 2);
         eq(`${new URLSearchParams({ k: 'v' })}`, 'k=v'); eq(new URLSearchParams('?a=%F0%9F%98%80').get('a'), '😀'); eq(new URLSearchParams('a=1').has('a', '2'), false); throws('TypeError', () => new URLSearchParams([[1]]));
         const seen = []; q.forEach((value, name) => seen.push(name + value)); eq(seen, ['a2', 'b1']);",
    );
}

#[test]
fn what_a_call_registers_for_finalization_is_not_done_by_another() {
    let mut lane = lane(
        "globalThis.seen = 0;
        const counted = new FinalizationRegistry((held) => { globalThis.seen += held; });
        const endless = new FinalizationRegistry(() => { for (;;) {} });
        const plant = (registry) => { for (let i = 0; i < 50; i++) { const o = {}; o.o = o; registry.register(o, 1); } };
        const churn = () => { for (let i = 0; i < 200_000; i++) { const o = { i }; o.o = o; } };
        madrpc.register('own', async () => { plant(counted); churn(); await null; return globalThis.seen; });
        madrpc.register('angry', () => plant(endless));
        madrpc.register('other', async () => { globalThis.seen = 0; plant(counted); return 0; });
        madrpc.register('after', async () => { churn(); await null; return globalThis.seen; }, { cpuMs: 5000 });
        madrpc.register('shape', () => {
            class Mine extends FinalizationRegistry {}
            const own = new Mine(() => {}), target = {}, token = {};
            own.register(target, 1, token);
            return [own instanceof FinalizationRegistry, own.constructor === Mine, own.unregister(token), own.unregister(token),
                FinalizationRegistry.length, FinalizationRegistry.name, own.register.length, Object.keys(FinalizationRegistry.prototype).length,
                [() => FinalizationRegistry(() => {}), () => new FinalizationRegistry(1), () => own.register(target, target), () => own.register(1)]
                    .every((f) => { try { f(); } catch (error) { return error instanceof TypeError; } })];
        });",
    );
    assert_eq!(call(&mut lane, 0), Ok(Value::Integer(50)));
    for planted in [1, 2] {
        call(&mut lane, planted).unwrap();
        assert_eq!(
            call(&mut lane, 3),
            Ok(Value::Integer(if planted == 1 { 50 } else { 0 }))
        );
    }
    let shape = call(&mut lane, 4).unwrap();
    assert_eq!(
        madrpc_core::value::json::to_json(&shape),
        r#"[true,true,true,false,1,"FinalizationRegistry",2,0,true]"#
    );
}
