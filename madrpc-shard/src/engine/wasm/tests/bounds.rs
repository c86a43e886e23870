use super::*;

#[test]
fn an_endless_loop_is_sliced_and_ends_as_the_call_does() {
    let head = module(LOOP);
    let mut lane = load(&script(&head, "make().spin();"));
    let begun = Instant::now();
    let (result, slices) = call(&mut lane, 0, Duration::from_millis(200));
    assert_eq!(result.unwrap_err().kind, ErrorKind::DeadlineExceeded);
    assert!(slices > 20, "{slices} slices");
    assert!(begun.elapsed() < LONG);
    // Cancelled in the middle.
    let mut lane = load(&script(&head, "make().spin();"));
    lane.assign(0, &[0_u8; 0], Instant::now() + LONG);
    for _ in 0..20 {
        assert!(!matches!(
            lane.resume(Instant::now(), SLICE),
            Progress::Done(_)
        ));
    }
    lane.stop(ErrorKind::Cancelled);
    assert_eq!(finish(&mut lane).0.unwrap_err().kind, ErrorKind::Cancelled);
    // One that catches what cannot be caught.
    let body = "const e = make(); for (;;) try { e.spin(); } catch {} finally { e.spin(); }";
    let mut lane = load(&script(&head, body));
    let (result, _) = call(&mut lane, 0, Duration::from_millis(50));
    assert_eq!(result.unwrap_err().kind, ErrorKind::DeadlineExceeded);
    // By its CPU limit.
    let config = LaneConfig {
        cpu: Duration::from_millis(30),
        ..LaneConfig::default()
    };
    let mut lane = load_with(&script(&head, "make().spin();"), &config).unwrap();
    assert_eq!(
        call(&mut lane, 0, LONG).0.unwrap_err().kind,
        ErrorKind::CpuLimit
    );
}

#[test]
fn a_call_ends_in_javascript_that_webassembly_has_called() {
    let head = module(
        r#"(module (import "env" "f" (func $f)) (func (export "call") call $f) (func (export "spin") (loop br 0)))"#,
    );
    for body in [
        "make({ env: { f() { for (;;); } } }).call();",
        "const e = make({ env: { f() { e.spin(); } } }); e.call();",
        "const e = make({ env: { f() { const text = 'a'.repeat(2e6); for (;;) text.includes('ab'); } } }); e.call();",
    ] {
        // Polled, the last would be asked after ten thousand searches.
        let polled = (!body.contains("includes")).then_some(Preemption::Polling);
        for preemption in [Some(Preemption::Forced), polled].into_iter().flatten() {
            let config = LaneConfig {
                preemption,
                ..LaneConfig::default()
            };
            let mut lane = load_with(&script(&head, body), &config).unwrap();
            let (result, _) = call(&mut lane, 0, Duration::from_millis(100));
            assert_eq!(
                result.unwrap_err().kind,
                ErrorKind::DeadlineExceeded,
                "{body}"
            );
            assert!(lane.is_spoilt());
        }
        // A lane that is dropped in the middle.
        let mut lane = load(&script(&head, body));
        lane.assign(0, &[0_u8; 0], Instant::now() + LONG);
        for _ in 0..10 {
            let _ = lane.resume(Instant::now(), SLICE);
        }
        drop(lane);
    }
}

#[test]
fn lanes_end_in_any_order_while_webassembly_runs_in_them() {
    let head = module(
        r#"(module (import "env" "f" (func $f)) (func (export "call") call $f) (func (export "spin") (loop br 0)))"#,
    );
    let body = "const e = make({ env: { f() { e.spin(); } } }); e.call();";
    let mut lanes: Vec<Lane> = (0..6).map(|_| load(&script(&head, body))).collect();
    for lane in &mut lanes {
        lane.assign(0, &[0_u8; 0], Instant::now() + LONG);
    }
    for _ in 0..10 {
        for lane in &mut lanes {
            assert!(!matches!(
                lane.resume(Instant::now(), SLICE),
                Progress::Done(_)
            ));
        }
    }
    for at in [3, 0, 3, 1] {
        let mut lane = lanes.remove(at);
        if at == 0 {
            lane.stop(ErrorKind::Cancelled);
            assert_eq!(finish(&mut lane).0.unwrap_err().kind, ErrorKind::Cancelled);
        }
    }
    for lane in &mut lanes {
        assert!(!matches!(
            lane.resume(Instant::now(), SLICE),
            Progress::Done(_)
        ));
    }
}

#[test]
fn memory_counts_as_the_calls_heap() {
    let head = module(MEMORY);
    // 64 MiB by default, with what else the call holds.
    for body in [
        "const e = make(); while (e.grow(16) >= 0); return 'more than it may';",
        "const m = new WebAssembly.Memory({ initial: 1 }); for (;;) m.grow(16);",
        "const all = []; for (;;) all.push(new WebAssembly.Memory({ initial: 32 }));",
        "const t = new WebAssembly.Table({ element: 'anyfunc', initial: 0 }); const all = []; for (;;) all.push(new WebAssembly.Table({ element: 'anyfunc', initial: 100000 }));",
        "return new WebAssembly.Memory({ initial: 2000 });",
        "for (;;) make();",
    ] {
        let mut lane = load(&script(&head, body));
        let error = call(&mut lane, 0, LONG).0.unwrap_err();
        assert_eq!(error.kind, ErrorKind::MemoryLimit, "{body}: {error}");
        assert!(
            lane.heap_peak_bytes() < 80 << 20,
            "{}",
            lane.heap_peak_bytes()
        );
    }
    let mut lane = load(&script(&head, "const e = make(); e.grow(320);"));
    lane.note_bytes();
    call(&mut lane, 0, LONG).0.unwrap();
    let (before, after) = lane.note_bytes();
    assert!(after - before > 20 << 20, "{before} {after}");
    assert!(lane.heap_peak_bytes() > 20 << 20);
    // Within its own maximum it is told of it, and no more.
    let body = "const m = new WebAssembly.Memory({ initial: 1, maximum: 3 }); let error; try { m.grow(5); } catch (e) { error = e; } return [error.name, m.grow(2)];";
    assert_eq!(json("", body), "[\"RangeError\",1]");
    assert_eq!(
        said(
            "",
            "return new WebAssembly.Table({ element: 'anyfunc', initial: 2000000 });"
        )
        .split(':')
        .next(),
        Some("RangeError")
    );
}

#[test]
fn a_lane_is_renewed_without_what_calls_have_made() {
    let head = "const bytes = BYTES; let e; madrpc.register('f', () => { e ??= new WebAssembly.Instance(new WebAssembly.Module(bytes)).exports; e.store(0, e.load(0) + 1); return e.load(0); });".replace("BYTES", &bytes(MEMORY));
    let mut lane = load(&head);
    lane.keep_image();
    for round in 0..3 {
        for expected in 1..4 {
            let (result, _) = call(&mut lane, 0, LONG);
            assert_eq!(result.unwrap(), Value::Integer(expected), "round {round}");
        }
        lane.spoil();
        while lane.shrink() {}
        assert!(lane.renew());
    }
    // A module that the script has compiled is there again, an instance is not: that lane is made anew.
    let compiled = format!(
        "{}madrpc.register('f', () => make().load(0));",
        module(MEMORY)
    );
    let mut lane = load(&compiled);
    lane.keep_image();
    for _ in 0..3 {
        assert_eq!(call(&mut lane, 0, LONG).0.unwrap(), Value::Integer(0));
        assert!(lane.renew());
    }
    let mut lane = load(&format!(
        "{}const e = make(); madrpc.register('f', () => e.load(0));",
        module(MEMORY)
    ));
    lane.keep_image();
    assert_eq!(call(&mut lane, 0, LONG).0.unwrap(), Value::Integer(0));
    assert!(!lane.renew());
}

#[test]
fn a_thousand_modules_are_compiled_and_a_lane_has_a_bound_of_them() {
    let body = "const name = (n) => [0, 97, 115, 109, 1, 0, 0, 0, 0, 5, 4, ...[...String(n).padStart(4, '0')].map((c) => c.charCodeAt())];
        let made = 0; try { for (; made < 1000; made++) new WebAssembly.Module(new Uint8Array(name(made))); } catch (error) { return `${made} ${error.message}`; }";
    let mut lane = load(&script("", body));
    let said = call(&mut lane, 0, LONG).0.unwrap();
    assert_eq!(
        said,
        Value::String(
            "256 WebAssembly: a lane has at most 256 modules: compile them once, while the script loads"
                .to_owned()
        )
    );
    // It is renewed after the call, so that one that compiles some in each goes on.
    assert!(lane.is_spoilt());
    let one = "const name = (n) => [0, 97, 115, 109, 1, 0, 0, 0, 0, 5, 4, ...[...String(n).padStart(4, '0')].map((c) => c.charCodeAt())];
        for (let n = 0; n < 300; n++) new WebAssembly.Module(new Uint8Array(name(7))); return 1;";
    let mut lane = load(&script("", one));
    assert_eq!(call(&mut lane, 0, LONG).0.unwrap(), Value::Integer(1));
    assert!(!lane.is_spoilt());
}

#[test]
fn an_instance_for_each_call_goes_on_for_ever() {
    let head = format!(
        "{}let calls = 0; madrpc.register('f', () => {{ const e = make(); e.store(0, 7); return e.load(0) + ++calls; }});",
        module(MEMORY)
    );
    let mut lane = load(&head);
    lane.keep_image();
    let mut renewed = 0;
    for _ in 0..2000 {
        call(&mut lane, 0, LONG).0.unwrap();
        if lane.is_spoilt() {
            while lane.shrink() {}
            assert!(lane.renew());
            renewed += 1;
            assert_eq!(call(&mut lane, 0, LONG).0.unwrap(), Value::Integer(8));
        }
    }
    // 68 KiB for each, and half of 64 MiB until it is renewed.
    assert!((2..10).contains(&renewed), "{renewed}");
}
