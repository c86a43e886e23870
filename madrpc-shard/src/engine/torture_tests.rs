//! Lanes that are stopped by force thousands of times a second, wherever they are, and thrown away or taken back to their
//! beginning at random: what they say is what they say undisturbed.
//!
//! `MADRPC_TORTURE_SECONDS=3600 cargo test --release -p madrpc-shard --lib torture -- --nocapture` for longer.

use super::*;
use crate::engine::{Answer, echo_items};
use madrpc_core::value::Value;

const SCRIPT: &str = include_str!("torture.js");

/// Lanes of a thread, and threads.
const LANES: usize = 6;
const THREADS: u64 = 2;

/// A slice that no job is over in.
const WHOLE: Duration = Duration::from_secs(60);

/// Slices end at random within this, and with the grace after it: some ten thousand times a second.
const SLICE_MAX_US: u64 = 40;

/// Times that a lane is stopped by force in a second of a core, at the least.
const FORCED_MIN: u64 = 500;

fn seconds() -> u64 {
    let seconds = std::env::var("MADRPC_TORTURE_SECONDS").ok();
    seconds.map_or(10, |seconds| seconds.parse().unwrap())
}

fn lane(script: &Script) -> Lane {
    let config = LaneConfig {
        memory_bytes: 256 << 20,
        ..LaneConfig::default()
    };
    Lane::load(script, "", &config).unwrap().0
}

fn assign(lane: &mut Lane, job: usize) {
    lane.assign(job, &[], Instant::now() + Duration::from_secs(600));
}

/// What other functions would say.
fn answer(lane: &mut Lane) -> usize {
    let asked = lane.take_child_calls();
    let count = asked.len();
    for call in asked {
        let answer: Answer = match call.function.as_str() {
            "echo" if call.credit > 0 => echo_items(lane, &call),
            "echo" => Ok(call.body),
            _ => Err(CallError::may_have_run(ErrorKind::JavaScript, "it fails")),
        };
        lane.answer(call.token, answer);
    }
    // Nobody waits for it.
    let _ = lane.take_orders();
    count
}

#[derive(Debug, Default)]
struct Counts {
    slices: u64,
    forced: u64,
    done: u64,
    renewed: u64,
    packed: u64,
    replaced: u64,
    /// What the thread had of a core, whatever else the machine does.
    cpu: Duration,
}

fn thread_cpu() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let (nanoseconds, _) = told.split_once(' ').unwrap();
    Duration::from_nanos(nanoseconds.parse().unwrap())
}

impl Counts {
    /// Whether all that is to be seen was seen.
    fn are_enough(&self) -> bool {
        self.forced > 100 && self.done > 100 && self.renewed > 0 && self.packed > 100
    }

    fn forced_in_a_second(&self) -> u64 {
        (self.forced as f64 / self.cpu.as_secs_f64()) as u64
    }
}

fn torture(script: &Script, expected: &[Result<Value, CallError>], seed: u64) -> Counts {
    preempt::set_up().unwrap();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut counts = Counts::default();
    let fresh = |random: &mut fastrand::Rng| {
        let mut lane = lane(script);
        if random.bool() {
            lane.keep_image();
        }
        let job = random.usize(..expected.len());
        assign(&mut lane, job);
        (lane, job)
    };
    let cpu_before = thread_cpu();
    let mut lanes: Vec<_> = (0..LANES).map(|_| fresh(&mut random)).collect();
    let end = Instant::now() + Duration::from_secs(seconds());
    // The shard's own floats must not be touched either.
    let mut sum = 0.0_f64;
    // A machine that has other things to do gives it fewer slices in the time.
    let last = end + Duration::from_secs(60);
    while Instant::now() < end || Instant::now() < last && !counts.are_enough() {
        let at = random.usize(..LANES);
        let (lane, job) = &mut lanes[at];
        counts.slices += 1;
        sum = sum.mul_add(0.5, 1.0);
        let slice = Duration::from_micros(random.u64(..SLICE_MAX_US));
        match lane.resume(Instant::now(), slice) {
            Progress::Done(ended) => {
                let said = lane.value_of(ended);
                assert_eq!(said, expected[*job], "job {job}, seed {seed}: {counts:?}");
                counts.done += 1;
                *job = random.usize(..expected.len());
                assign(lane, *job);
            }
            Progress::Waiting => {
                answer(lane);
                counts.packed += u64::from(random.bool() && lane.pack().is_some());
            }
            Progress::Running => {
                counts.forced += u64::from(lane.is_stopped);
                let is_packed = random.u8(..8) == 0 && lane.pack().is_some();
                counts.packed += u64::from(is_packed);
            }
        }
        match random.u32(..4000) {
            0 => {
                lanes[at] = fresh(&mut random);
                counts.replaced += 1;
            }
            1 => {
                let (lane, job) = &mut lanes[at];
                while random.bool() && lane.shrink() {}
                if lane.renew() {
                    counts.renewed += 1;
                    assign(lane, *job);
                } else {
                    lanes[at] = fresh(&mut random);
                }
            }
            _ => {}
        }
    }
    assert!((sum - 2.0).abs() < 1e-9, "{sum}");
    counts.cpu = thread_cpu() - cpu_before;
    counts
}

#[test]
fn lanes_that_are_stopped_anywhere_say_what_they_say_undisturbed() {
    if std::env::var_os("ASAN_OPTIONS").is_some() {
        return;
    }
    let script = Script::new("torture.js", SCRIPT);
    let names = script.functions().unwrap();
    let mut undisturbed = lane(&script);
    undisturbed.is_forced = false;
    let expected: Vec<_> = (0..names.len())
        .map(|job| {
            assign(&mut undisturbed, job);
            loop {
                match undisturbed.resume(Instant::now(), WHOLE) {
                    Progress::Done(ended) => break undisturbed.value_of(ended),
                    Progress::Waiting => {
                        answer(&mut undisturbed);
                    }
                    Progress::Running => {}
                }
            }
        })
        .collect();
    for (name, said) in names.iter().zip(&expected) {
        assert!(said.is_ok(), "{name}: {said:?}");
    }
    drop(undisturbed);
    let (script, expected) = (&script, &expected);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (1..=THREADS)
            .map(|seed| scope.spawn(move || torture(script, expected, seed)))
            .collect();
        for thread in threads {
            let counts = thread.join().unwrap();
            let forced = counts.forced_in_a_second();
            println!("{counts:?}, {forced} times stopped by force in a second of a core");
            assert!(counts.are_enough());
            assert!(forced > FORCED_MIN, "{forced} times in a second of a core");
        }
    });
}
