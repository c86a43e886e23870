use super::*;

#[test]
fn exports_are_called_with_their_types() {
    let body = "const e = make(); return [e.add(1, 2), e.add(2 ** 31, -1), e.add('7', 1.9), e.add(), String(e.add64(2n ** 63n, -1n)),
        e.half(0.1), e.root(2), e.two(5).map(String), e.none() === undefined, e.add.length, e.add.name, typeof e.add,
        Object.isFrozen(e), Object.keys(e).join(), e.add === e.add];";
    assert_eq!(
        json(&module(ADD), body),
        "[3,2147483647,8,0,\"9223372036854775807\",0.05000000074505806,1.4142135623730951,[\"5\",\"-1\"],true,2,\"0\",\"function\",true,\"add,add64,half,root,two,none\",true]"
    );
    assert_eq!(
        said(&module(ADD), "return make().add64(1, 2);"),
        "TypeError: cannot convert to bigint"
    );
    assert!(
        said(
            &module(ADD),
            "return make().add({ valueOf() { throw new Error('mine'); } });"
        )
        .contains("mine")
    );
}

#[test]
fn imports_run_javascript_and_what_it_throws_passes_through() {
    let head = module(
        r#"(module (import "env" "f" (func $f (param i32 i64 f64) (result f64)))
            (import "env" "g" (func $g (result i32 i64)))
            (func (export "call") (param i32) (result f64) local.get 0 i64.const 7 f64.const 0.5 call $f)
            (func (export "sum") (result i64) (local i64) call $g local.set 0 i64.extend_i32_s local.get 0 i64.add))"#,
    );
    let body = "const seen = []; const e = make({ env: { f: (...all) => { seen.push(all.map(String)); return '1.5'; }, g: () => [1, 41n] } });
        return [e.call(3), String(e.sum()), seen];";
    assert_eq!(json(&head, body), "[1.5,\"42\",[[\"3\",\"7\",\"0.5\"]]]");
    let body = "const mine = new RangeError('mine'); const e = make({ env: { f() { throw mine; }, g: () => 1 } });
        const caught = []; try { e.call(1); } catch (error) { caught.push(error === mine); }
        try { e.sum(); } catch (error) { caught.push(error.name); }
        return caught;";
    assert_eq!(json(&head, body), "[true,\"TypeError\"]");
}

#[test]
fn calls_nest_through_javascript_and_use_the_store_meanwhile() {
    let head = module(
        r#"(module (import "env" "f" (func $f (param i32) (result i32))) (memory (export "memory") 1 10)
            (table (export "table") 2 funcref) (elem (i32.const 0) $down)
            (global (export "g") (mut i32) (i32.const 5))
            (func $down (export "down") (param i32) (result i32)
                local.get 0 i32.eqz (if (result i32) (then i32.const 100) (else local.get 0 i32.const 1 i32.sub call $f i32.const 1 i32.add)))
            (func (export "grow") (param i32) (result i32) local.get 0 memory.grow))"#,
    );
    let body = "let e; const seen = [];
        e = make({ env: { f(n) {
            e.g.value += 1;
            if (n === 2) { const before = e.memory.buffer; e.memory.grow(1); e.grow(1); seen.push(before.byteLength, e.memory.buffer.byteLength, e.table.get(0) === e.down, e.table.get(1)); e.table.set(1, e.down); }
            return n > 0 ? e.table.get(0)(n) : e.down(0);
        } } });
        return [e.down(5), e.g.value, seen, e.table.get(1) === e.down];";
    assert_eq!(json(&head, body), "[105,10,[0,196608,true,null],true]");
    // Deeper than it may: an error that can be caught, and the instance goes on.
    let body =
        "let e; let deepest = 0; e = make({ env: { f(n) { deepest++; return e.down(1); } } });
        let name, message; try { e.down(1); } catch (error) { ({ name, message } = error); }
        return [name, message, deepest > 8, e.down(0)];";
    assert_eq!(
        json(&head, body),
        "[\"RangeError\",\"Maximum call stack size exceeded\",true,100]"
    );
}

#[test]
fn traps_are_runtime_errors_in_the_words_of_the_specification() {
    let head = module(
        r#"(module (memory 1) (table 2 funcref) (elem (i32.const 0) $v) (type $i (func (result i32))) (func $v)
            (func (export "unreachable") unreachable)
            (func (export "div") (param i32 i32) (result i32) local.get 0 local.get 1 i32.div_s)
            (func (export "load") (param i32) (result i32) local.get 0 i32.load)
            (func (export "trunc") (param f64) (result i32) local.get 0 i32.trunc_f64_s)
            (func (export "indirect") (param i32) (result i32) local.get 0 call_indirect (type $i))
            (func (export "fill") (param i32 i32) local.get 0 i32.const 1 local.get 1 memory.fill))"#,
    );
    let body = "const e = make(); const said = [];
        for (const f of [() => e.unreachable(), () => e.div(1, 0), () => e.div(-2147483648, -1), () => e.load(65533), () => e.load(-1),
            () => e.trunc(NaN), () => e.trunc(1e10), () => e.indirect(0), () => e.indirect(1), () => e.indirect(2), () => e.fill(65536, 1), () => e.fill(1, 2 ** 31)]) {
            try { said.push(f()); } catch (error) { said.push(`${error instanceof WebAssembly.RuntimeError} ${error.message}`); }
        }
        said.push(e.load(65532));
        return said;";
    assert_eq!(
        json(&head, body),
        "[\"true unreachable\",\"true integer divide by zero\",\"true integer overflow\",\"true out of bounds memory access\",\"true out of bounds memory access\",\
         \"true invalid conversion to integer\",\"true integer overflow\",\"true indirect call type mismatch\",\"true uninitialized element\",\"true out of bounds table access\",\
         \"true out of bounds memory access\",\"true out of bounds memory access\",0]"
    );
    assert_eq!(
        said(&module(LOOP), "return make().deep(0);"),
        "RangeError: Maximum call stack size exceeded"
    );
}

#[test]
fn what_is_wrong_with_a_module_or_its_imports_is_said() {
    let none = "";
    for (body, expected) in [
        (
            "return new WebAssembly.Module(new Uint8Array([1, 2, 3, 4]));",
            "CompileError: WebAssembly.Module(): ",
        ),
        (
            "return new WebAssembly.Module(new ArrayBuffer(0));",
            "CompileError: WebAssembly.Module(): ",
        ),
        (
            "return await WebAssembly.compile(new Uint8Array([0, 97, 115, 109, 1, 0, 0, 0, 9, 9, 9]));",
            "CompileError: WebAssembly.Module(): ",
        ),
        (
            "return new WebAssembly.Module('text');",
            "TypeError: WebAssembly.Module(): the bytes of a module must be an ArrayBuffer or a view of one",
        ),
        (
            "return new WebAssembly.Module(new Uint8Array(9 << 20));",
            "RangeError: WebAssembly: a module of 9437184 bytes, and none has more than 8 MiB",
        ),
        (
            "return new WebAssembly.Memory({ initial: 1, shared: true, maximum: 1 });",
            "TypeError: WebAssembly.Memory(): there is no shared memory here: leave \"shared\" out",
        ),
        (
            "return new WebAssembly.Memory({ initial: 2, maximum: 1 });",
            "RangeError: WebAssembly.Memory(): \"maximum\" is less than \"initial\"",
        ),
        (
            "return new WebAssembly.Memory({ initial: 70000 });",
            "TypeError: WebAssembly.Memory(): \"initial\" must be a whole number from 0 to 65536",
        ),
        (
            "return new WebAssembly.Table({ element: 'externref', initial: 1 });",
            "TypeError: WebAssembly.Table(): there is no externref here",
        ),
        (
            "return new WebAssembly.Global({ value: 'i16' }, 1);",
            "TypeError: WebAssembly.Global(): \"value\" must be one of i32, i64, f32, f64, anyfunc, funcref",
        ),
        (
            "new WebAssembly.Global({ value: 'i32' }, 1).value = 2;",
            "TypeError: WebAssembly.Global: this one cannot be changed",
        ),
        ("return WebAssembly.Instance();", "TypeError: "),
        (
            "return new WebAssembly.Instance({});",
            "TypeError: WebAssembly.Instance(): a WebAssembly.Module is needed",
        ),
    ] {
        let said = said(none, body);
        assert!(
            said.starts_with(expected) && !said.contains('\n'),
            "{body}: {said}"
        );
    }
    let head = module(
        r#"(module (import "env" "f" (func)) (import "env" "m" (memory 2)) (import "env" "g" (global i64)) (import "env" "t" (table 1 funcref)))"#,
    );
    let good = "const good = { f() {}, m: new WebAssembly.Memory({ initial: 2 }), g: 5n, t: new WebAssembly.Table({ element: 'anyfunc', initial: 1 }) };";
    for (imports, expected) in [
        (
            "undefined",
            "TypeError: WebAssembly.Instance(): the module has imports, and no object of them is given",
        ),
        (
            "{}",
            "TypeError: WebAssembly.Instance(): import 0 (env.f): \"env\" is no object or function among the imports",
        ),
        (
            "{ env: { ...good, f: 1 } }",
            "LinkError: WebAssembly.Instance(): import 0 (env.f): it must be a function",
        ),
        (
            "{ env: { ...good, m: 1 } }",
            "LinkError: WebAssembly.Instance(): import 1 (env.m): it must be a WebAssembly.Memory",
        ),
        (
            "{ env: { ...good, m: new WebAssembly.Memory({ initial: 1 }) } }",
            "LinkError: ",
        ),
        (
            "{ env: { ...good, g: 5 } }",
            "LinkError: WebAssembly.Instance(): import 2 (env.g): it must be a WebAssembly.Global or a BigInt",
        ),
    ] {
        let said = said(&format!("{head}{good}"), &format!("make({imports});"));
        assert!(
            said.starts_with(expected) && !said.contains('\n'),
            "{imports}: {said}"
        );
    }
    assert_eq!(
        json(
            &format!("{head}{good}"),
            "return Object.keys(make({ env: good }));"
        ),
        "[]"
    );
}

#[test]
fn a_module_says_what_it_has() {
    let wat = r#"(module (import "env" "f" (func (param i32))) (memory (export "memory") 1) (func (export "g")) (global (export "h") i32 (i32.const 7))
        (table (export "t") 1 funcref) (@custom "note" "abc") (@custom "note" "d"))"#;
    let body = "return [WebAssembly.Module.exports(module), WebAssembly.Module.imports(module),
        WebAssembly.Module.customSections(module, 'note').map((b) => String.fromCharCode(...new Uint8Array(b))), WebAssembly.Module.customSections(module, 'no'),
        WebAssembly.validate(bytes), WebAssembly.validate(bytes.slice(1)), String(WebAssembly), String(module), make({ env: { f() {} } }).h.value];";
    assert_eq!(
        json(&module(wat), body),
        "[[{\"name\":\"memory\",\"kind\":\"memory\"},{\"name\":\"g\",\"kind\":\"function\"},{\"name\":\"h\",\"kind\":\"global\"},{\"name\":\"t\",\"kind\":\"table\"}],\
         [{\"module\":\"env\",\"name\":\"f\",\"kind\":\"function\"}],[\"abc\",\"d\"],[],true,false,\"[object WebAssembly]\",\"[object WebAssembly.Module]\",7]"
    );
}

#[test]
fn the_buffer_of_a_memory_is_that_memory_and_is_detached_as_it_grows() {
    let body = "const e = make(); const view = new Uint8Array(e.memory.buffer); view[3] = 9; e.store(4, 8);
        const before = [e.load(3), view[4], view.length, e.memory.buffer === e.memory.buffer];
        const old = e.memory.buffer; e.grow(1);
        const after = [view.length, old.byteLength, e.memory.buffer.byteLength, new Uint8Array(e.memory.buffer)[4]];
        const same = e.memory.buffer; e.memory.grow(0);
        // What a script must not do elsewhere either does no harm here.
        const moved = e.memory.buffer.transfer(); e.grow(2); e.store(5, 7); const alias = new Uint8Array(moved)[5];
        let cannot; try { e.memory.buffer.transfer(10); } catch (error) { cannot = error.name; }
        const copy = structuredClone(e.memory.buffer); e.store(5, 6);
        return [before, after, same.byteLength, e.memory.buffer.byteLength, alias, new Uint8Array(copy)[5], cannot, moved.byteLength];";
    assert_eq!(
        json(&module(MEMORY), body),
        "[[9,8,65536,true],[0,0,131072,8],0,262144,7,7,\"TypeError\",131072]"
    );
    let body = "const e = make(); e.store(1, 5); return e.memory.buffer;";
    let Ok(Value::Bytes(bytes)) = run(&module(MEMORY), body) else {
        panic!("a buffer travels as bytes");
    };
    assert_eq!((bytes.len(), bytes[1]), (65_536, 5));
}

#[test]
fn filling_and_copying_in_steps_does_what_one_step_does() {
    let body = "const e = make(); e.grow(63); const size = 64 << 16, view = new Uint8Array(e.memory.buffer);
        const check = (what) => { for (let i = 0; i < size; i += 4093) if (view[i] !== what[i]) return i; return -1; };
        const what = new Uint8Array(size); const results = [];
        let seed = 1; const next = (n) => (seed = (seed * 1103515245 + 12345) >>> 0) % n;
        for (let i = 0; i < size; i++) what[i] = view[i] = i * 7 + (i >> 8);
        for (const length of [0, 1, 1000, (1 << 18) - 1, 1 << 18, (1 << 18) + 1, 1 << 19, 1000003]) {
            for (let round = 0; round < 3; round++) {
                const to = next(size - length), from = round === 0 ? next(size - length) : Math.max(0, Math.min(size - length, to + (round === 1 ? 5 : -5)));
                e.copy(to, from, length); what.copyWithin(to, from, from + length);
                results.push(check(what));
            }
            const at = next(size - length); e.fill(at, length & 255, length); what.fill(length & 255, at, at + length);
            results.push(check(what));
        }
        for (const f of [() => e.fill(1, 0, size), () => e.copy(0, 1, size), () => e.copy(1, 0, size), () => e.copy(0, 0, size + 1), () => e.fill(size, 1, 1 << 20)]) {
            try { f(); results.push('no'); } catch (error) { results.push(error.message === 'out of bounds memory access' ? check(what) : error.message); }
        }
        e.fill(0, 3, size); what.fill(3); results.push(check(what));
        return results.filter((at) => at !== -1);";
    assert_eq!(json(&module(MEMORY), body), "[]");
}

#[test]
fn steps_fit_a_module_with_imports_types_and_memories() {
    let head = module(
        r#"(module (type (func (param i64))) (type (func (result f32))) (import "env" "f" (func $f (param i32))) (import "env" "g" (func $g (result i64)))
            (memory $a (export "a") 20) (memory $b (export "b") 20)
            (func (export "fill") (param i32) i32.const 7 local.get 0 i32.const 1000000 memory.fill $b local.get 0 call $f)
            (func (export "copy") (param i32) i32.const 5 i32.const 3 local.get 0 memory.copy $a $b)
            (func (export "short") i32.const 0 i32.const 9 i32.const 16 memory.fill $a)
            (func (export "after") (result i64) call $g))"#,
    );
    let body = "const seen = []; const e = make({ env: { f: (n) => { seen.push(n); }, g: () => 9n } });
        e.fill(3); e.copy(1000010); e.short();
        const a = new Uint8Array(e.a.buffer), b = new Uint8Array(e.b.buffer);
        const count = (list) => list.reduce((sum, byte) => sum + byte, 0);
        return [seen, count(b), b[6], b[7], b[1000006], b[1000007], count(a), a[0], a[15], a[16], a[1000008], a[1000009], String(e.after())];";
    assert_eq!(
        json(&head, body),
        "[[3],3000000,0,3,3,0,3000123,9,9,3,3,0,\"9\"]"
    );
}

#[test]
fn functions_in_tables_and_globals_are_themselves() {
    let head = module(
        r#"(module (import "env" "t" (table 2 funcref)) (import "env" "cb" (func $cb (param funcref) (result funcref)))
            (func $one (export "one") (result i32) i32.const 1) (func $hidden (result i32) i32.const 2)
            (elem (i32.const 0) $one $hidden) (global (export "f") (mut funcref) (ref.func $hidden))
            (func (export "pass") (param funcref) (result funcref) local.get 0 call $cb)
            (func (export "at") (param i32) (result i32) local.get 0 call_indirect (type 1)))"#,
    );
    let body = "const t = new WebAssembly.Table({ element: 'anyfunc', initial: 2, maximum: 4 });
        let seen; const e = make({ env: { t, cb: (f) => { seen = f; return f; } } });
        const results = [t.get(0) === e.one, t.get(1)(), t.get(1) === e.f.value, e.pass(e.one) === e.one, seen === e.one, e.pass(null), t.length, t.grow(1, e.one), t.get(2) === e.one];
        e.f.value = e.one; results.push(e.f.value()); t.set(1, e.one); results.push(t.get(1)()); t.set(1); results.push(t.get(1));
        for (const f of [() => t.get(9), () => t.set(9, null), () => t.grow(9), () => t.set(0, () => 1), () => e.pass(() => 1)]) { try { f(); } catch (error) { results.push(error.name); } }
        const other = make({ env: { t, cb: e.pass } }); results.push(other.one === e.one, other.pass(e.one) === e.one);
        return results;";
    assert_eq!(
        json(&head, body),
        "[true,2,true,true,true,null,2,2,true,1,1,null,\"RangeError\",\"RangeError\",\"RangeError\",\"TypeError\",\"TypeError\",false,true]"
    );
}

#[test]
fn what_is_imported_and_exported_again_is_one() {
    let head = module(
        r#"(module (import "e" "m" (memory 1)) (import "e" "g" (global (mut i64))) (import "e" "t" (table 1 funcref)) (import "e" "f" (func))
            (export "f" (func 0)) (export "m" (memory 0)) (export "g" (global 0)) (export "t" (table 0)))"#,
    );
    let body = "const m = new WebAssembly.Memory({ initial: 1 }), g = new WebAssembly.Global({ value: 'i64', mutable: true }, 5n), t = new WebAssembly.Table({ element: 'funcref', initial: 1 });
        const one = make({ e: { m, g, t, f() {} } }), two = make({ e: one });
        g.value = 2n ** 63n;
        return [one.m === m, two.m === m, two.g === g, two.t === t, two.f === one.f, one.f.name, String(two.g.value), String(g.valueOf())];";
    assert_eq!(
        json(&head, body),
        "[true,true,true,true,true,\"0\",\"-9223372036854775808\",\"-9223372036854775808\"]"
    );
}

#[test]
fn promises_of_webassembly_settle() {
    let body = "const source = bytes; const { module: m, instance } = await WebAssembly.instantiate(source); const again = await WebAssembly.instantiate(m);
        const failed = await WebAssembly.instantiate(new Uint8Array(3)).catch((error) => error instanceof WebAssembly.CompileError);
        return [instance.exports.add(1, 2), again.exports.add(3, 4), m instanceof WebAssembly.Module, again instanceof WebAssembly.Instance, failed,
            new WebAssembly.RuntimeError('x') instanceof Error, WebAssembly.LinkError('y').name];";
    assert_eq!(
        json(&module(ADD), body),
        "[3,7,true,true,true,true,\"LinkError\"]"
    );
}

#[test]
fn the_start_function_runs_and_may_trap() {
    let head = module(
        r#"(module (import "env" "f" (func $f (param i32))) (func $start i32.const 7 call $f) (start $start))"#,
    );
    let body = "let seen; make({ env: { f(n) { seen = n; } } }); let mine; try { make({ env: { f() { throw new Error('mine'); } } }); } catch (error) { mine = error.message; } return [seen, mine];";
    assert_eq!(json(&head, body), "[7,\"mine\"]");
    let head = module("(module (func $start unreachable) (start $start))");
    assert_eq!(said(&head, "make();"), "RuntimeError: unreachable");
    let head = module("(module (memory 1) (data (i32.const 65536) \"a\"))");
    assert_eq!(
        said(&head, "make();"),
        "RuntimeError: out of bounds memory access"
    );
}
