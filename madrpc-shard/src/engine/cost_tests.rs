//! What a lane costs: to be made, and while its call waits for long. Times are told and not asserted, as machines differ; bytes are the
//! same everywhere.

use super::*;

const SCRIPT: &str =
    "madrpc.register('sleep', (ms) => new Promise((wake) => setTimeout(wake, ms, ms)));";

/// What is wanted, and what is there at the most.
const MADE_GOAL: (Duration, usize) = (Duration::from_micros(200), 100 << 10);
const MADE_MAX_BYTES: usize = 700 << 10;
const WAITING_MAX_BYTES: usize = 36 << 10;

fn make(script: &Script) -> (Lane, Duration) {
    let begun = Instant::now();
    let lane = Lane::load(script, "", &LaneConfig::default()).unwrap().0;
    (lane, begun.elapsed())
}

#[test]
fn what_a_lane_takes_when_it_is_made_and_while_its_call_waits() {
    let script = Script::new("cost.js", SCRIPT);
    let first = make(&script).0.model();
    let made: Vec<_> = (0..20).map(|_| make(&script)).collect();
    let least = made.iter().map(|(_, took)| *took).min().unwrap();
    let mut most = 0;
    let (mut waiting, mut packing, mut unpacking) = (0, Duration::MAX, Duration::MAX);
    for (mut lane, _) in made {
        lane.set_model(&first);
        most = most.max(lane.note_bytes().1);
        let mut args = Vec::new();
        madrpc_core::value::Value::from(3)
            .encode(&mut args, 64)
            .unwrap();
        lane.assign(0, &args, Instant::now() + Duration::from_secs(60));
        while !matches!(
            lane.resume(Instant::now(), Duration::from_secs(1)),
            Progress::Waiting
        ) {}
        let begun = Instant::now();
        assert!(lane.pack().is_some());
        packing = packing.min(begun.elapsed());
        waiting = waiting.max(lane.note_bytes().1);
        std::thread::sleep(Duration::from_millis(4));
        let begun = Instant::now();
        let ended = lane.resume(Instant::now(), Duration::from_secs(1));
        unpacking = unpacking.min(begun.elapsed());
        assert!(matches!(ended, Progress::Done(Ok(()))));
    }
    let (goal, goal_bytes) = MADE_GOAL;
    println!(
        "a lane is made in {least:?} (goal {goal:?}) and takes {} KiB (goal {} KiB); one whose call waits for long takes {} KiB: it is \
         packed in {packing:?}, and its call goes on in {unpacking:?}",
        most >> 10,
        goal_bytes >> 10,
        waiting >> 10
    );
    assert!(most < MADE_MAX_BYTES, "{most}");
    assert!(waiting < WAITING_MAX_BYTES, "{waiting}");
}
