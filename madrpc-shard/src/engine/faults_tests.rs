use super::super::exchange::Exchange;
use super::super::host::function;
use super::super::lane::{Lane, Progress};
use super::super::{LaneConfig, Script};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::value::Value;
use rquickjs::{Ctx, Function};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Gives scripts functions that panic: one as all of the host's are, and one that leaves it to rquickjs to catch that.
pub(in super::super) fn install<'js>(
    ctx: &Ctx<'js>,
    exchange: &Rc<Exchange>,
) -> rquickjs::Result<()> {
    let panics = |text: String| -> u32 { panic!("{text}") };
    let globals = ctx.globals();
    globals.set("hostPanics", function(ctx, exchange, panics)?)?;
    globals.set("libraryPanics", Function::new(ctx.clone(), panics)?)
}

const FUNCTIONS: &str = "
    madrpc.register('works', () => 'yes');
    madrpc.register('plain', () => hostPanics('on purpose'));
    madrpc.register('swallowed', () => { try { hostPanics('on purpose'); } catch {} return 1; });
    madrpc.register('later', async () => { try { await null; hostPanics('on purpose'); } catch {} return 1; });
    madrpc.register('finally', () => { for (;;) try { hostPanics('on purpose'); } finally { continue; } });
    madrpc.register('deep', () => { const go = () => { try { return go() + 1; } catch { return hostPanics('on purpose'); } }; return go(); });
    madrpc.register('library', () => { try { libraryPanics('on purpose'); } catch {} return 1; });
    madrpc.register('result', () => ({ toJSON() { return libraryPanics('on purpose'); } }));
    madrpc.register('rejected', () => { Promise.reject({ get stack() { return hostPanics('on purpose'); } }); return 1; });
    madrpc.register('thrown', () => { throw { get name() { return hostPanics('on purpose'); } }; });
    madrpc.register('twice', () => { try { hostPanics('on purpose'); } catch {} hostPanics('again'); });
";

fn lane() -> Lane {
    let script = Script::new("test.js", FUNCTIONS);
    Lane::load(&script, "", &LaneConfig::default()).unwrap().0
}

fn call(lane: &mut Lane, function: usize) -> Result<Value, CallError> {
    lane.assign(function, &[], Instant::now() + Duration::from_secs(10));
    loop {
        if let Progress::Done(result) = lane.resume(Instant::now(), Duration::from_millis(1)) {
            return lane.value_of(result);
        }
    }
}

#[test]
fn a_panic_ends_its_call_and_its_lane_wherever_it_is() {
    let names = Script::new("test.js", FUNCTIONS).functions().unwrap();
    for (place, name) in names.iter().enumerate().skip(1) {
        for has_image in [true, false] {
            let mut lane = lane();
            if has_image {
                lane.keep_image();
            }
            assert_eq!(call(&mut lane, 0), Ok("yes".into()));
            let error = call(&mut lane, place).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Internal, "{name}: {error}");
            assert!(!error.message.contains("purpose"), "{name}: {error}");
            let fault = lane.take_fault().unwrap();
            let place = "src/engine/faults_tests.rs:";
            assert!(fault.contains(place), "{name}: {fault}");
            assert!(fault.ends_with(": on purpose"), "{name}: {fault}");
            assert!(lane.is_spoilt() && !lane.renew(), "{name}");
        }
    }
}

#[test]
fn a_panic_while_a_script_loads_is_an_error_of_the_script() {
    for panics in ["hostPanics", "libraryPanics"] {
        let source = format!("try {{ {panics}('on purpose'); }} catch {{}} {FUNCTIONS}");
        let error = Script::new("test.js", &source).functions().unwrap_err();
        assert!(error.message.ends_with(": on purpose"), "{error}");
    }
}

#[test]
fn a_panic_beside_a_lane_is_none_of_its_affair() {
    drop(lane());
    let elsewhere = std::thread::spawn(|| panic!("elsewhere"));
    assert!(elsewhere.join().is_err());
    assert_eq!(call(&mut lane(), 0), Ok("yes".into()));
}
