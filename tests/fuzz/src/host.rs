//! What a script does with what it finds: every function there is, with odd values, in the wrong places.

use crate::{script_log, signals};
use madrpc_core::call::ErrorKind;
use madrpc_core::value::Value;
use madrpc_shard::engine::{LaneConfig, Script};
use madrpc_shard::internals::{Ended, OneLane};
use std::cell::RefCell;
use std::time::{Duration, Instant};

const SCRIPT: &str = include_str!("host.js");

/// The functions of the script by their places.
const RUN: usize = 0;
const KNOWN: usize = 1;
const FUNCTIONS: usize = 2;

/// What a program has, and the time in which it has ended: a machine may be busy.
const TIMEOUT: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(10);

struct Stage {
    lane: OneLane,
    known: Vec<u8>,
}

thread_local! {
    static STAGE: RefCell<Option<Stage>> = const { RefCell::new(None) };
}

/// Some of the functions that have to be found.
const HOSTS: [&str; 10] = [
    "call",
    "callSync",
    "map",
    "stream",
    "setTimeout",
    "structuredClone",
    "getRandomValues",
    "encodeInto",
    "log",
    "searchParams",
];

impl Stage {
    fn new() -> Self {
        script_log::listen();
        signals::tell();
        let config = LaneConfig {
            memory_bytes: 4 << 20,
            ..LaneConfig::default()
        };
        let mut lane = OneLane::new(&Script::new("host.js", SCRIPT), &config).unwrap();
        let names = call(&mut lane, FUNCTIONS, &[], PATIENCE).result.unwrap();
        let Ok(Value::Array(names)) = Value::decode(&names) else {
            panic!("no list of functions")
        };
        for name in HOSTS {
            let is_it =
                |found: &Value| matches!(found, Value::String(found) if found.contains(name));
            assert!(names.iter().any(is_it), "{name} is not found");
        }
        let known = known(&mut lane);
        Self { lane, known }
    }
}

fn call(lane: &mut OneLane, function: usize, body: &[u8], timeout: Duration) -> Ended {
    let begun = Instant::now();
    let ended = lane.call(function, body, timeout).unwrap();
    assert_eq!(ended.fault, None);
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
    if let Err(error) = &ended.result {
        assert_ne!(error.kind, ErrorKind::Internal, "{error}");
    }
    ended
}

fn known(lane: &mut OneLane) -> Vec<u8> {
    let mut argument = Vec::new();
    Value::from(7).encode(&mut argument, usize::MAX).unwrap();
    call(lane, KNOWN, &argument, PATIENCE).result.unwrap()
}

/// The program ends in time, with no fault of ours; then the lane, or the one in its place, says what it said before, and holds
/// no more than it may.
pub fn run(input: &[u8]) {
    STAGE.with_borrow_mut(|stage| {
        let Stage {
            lane,
            known: before,
        } = stage.get_or_insert_with(Stage::new);
        let mut program = Vec::new();
        let bytes = Value::Bytes(input.to_vec());
        bytes.encode(&mut program, usize::MAX).unwrap();
        let _ = call(lane, RUN, &program, TIMEOUT);
        assert_eq!(known(lane), *before);
        let (grown, most) = lane.grown_and_most_bytes();
        assert!(grown <= most, "{grown} bytes");
    });
}
