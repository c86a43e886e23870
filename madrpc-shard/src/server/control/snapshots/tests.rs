//! Collections, with shards that are played by the tests and a time that they set.

use super::*;
use crate::net::bell::Listener;
use crate::net::endpoint::SessionKey;
use futures_channel::mpsc::{UnboundedReceiver, unbounded};
use madrpc_core::stats::{Counters, ROWS_MAX};
use madrpc_core::value::{Value, from_value};

/// What a caller gets.
type Answer = Result<Bytes, CallError>;

struct Scene {
    snapshots: Snapshots,
    shards: Vec<UnboundedReceiver<ToShard>>,
    counters: Counters,
    now: Instant,
    /// Questions to shards so far.
    asked: usize,
    answers: Vec<(u64, Answer)>,
}

fn inbox() -> (Inbox, UnboundedReceiver<ToShard>) {
    let (to_shard, messages) = unbounded();
    let listener = Listener::new().unwrap();
    (Inbox::new(to_shard, listener.bell()), messages)
}

impl Scene {
    fn new(shards: usize) -> Self {
        let (inboxes, shards): (Vec<_>, _) = (0..shards).map(|_| inbox()).unzip();
        let mut counters = Counters::new(["n"]);
        let add = counters.number("add");
        counters.record(add, 0, 10, None);
        let now = Instant::now();
        Self {
            snapshots: Snapshots::new(inboxes, now),
            shards,
            counters,
            now,
            asked: 0,
            answers: Vec::new(),
        }
    }

    /// The call with this number asks, at the first shard.
    fn want(&mut self, id: u64) {
        let session = SessionKey {
            index: 0,
            generation: 0,
        };
        self.snapshots.want(Caller {
            shard: 0,
            session,
            id,
        });
    }

    /// Takes turns until nobody has anything to say; gives what was collected meanwhile.
    fn settle(&mut self) -> Vec<Collected> {
        let mut collected = Vec::new();
        loop {
            let asked = self.asked;
            if let Some(mut one) = self.snapshots.turn(self.now) {
                self.snapshots.answer(&mut one);
                collected.push(one);
            }
            for shard in 0..self.shards.len() {
                while let Ok(message) = self.shards[shard].try_recv() {
                    self.on_message(shard, message);
                }
            }
            if self.asked == asked && self.snapshots.collection.is_none() {
                return collected;
            }
        }
    }

    fn on_message(&mut self, shard: usize, message: ToShard) {
        match message {
            ToShard::Count { round, from } => {
                self.asked += 1;
                let head = (from == Cursor::START).then(|| Box::new(Snapshot::default()));
                let counts = match from {
                    Cursor::Rows(from) => {
                        let part = self.counters.part(from);
                        Counts {
                            tallies: part.tallies,
                            upstreams: Vec::new(),
                            next: part.next.map(Cursor::Rows),
                        }
                    }
                    Cursor::Upstreams(_) => panic!("it has none"),
                };
                self.snapshots.on_counted(round, shard as u16, head, counts);
            }
            ToShard::Answer(caller, answer) => self.answers.push((caller.id, answer)),
            _ => panic!("a shard is told something else"),
        }
    }

    /// Goes on to when the next turn is due.
    fn skip(&mut self) -> Duration {
        let before = self.now;
        self.now = self.now.max(self.snapshots.next_timer().unwrap());
        self.now - before
    }
}

fn rows(answer: &Answer) -> usize {
    let value = Value::decode(answer.as_ref().unwrap()).unwrap();
    from_value::<Snapshot>(value).unwrap().rows.len()
}

#[test]
fn callers_at_the_same_time_share_one_collection_and_one_answer() {
    let mut scene = Scene::new(3);
    (0..200).for_each(|id| scene.want(id));
    assert_eq!(scene.settle().len(), 1);
    assert_eq!(scene.asked, 3);
    let ids = scene.answers.iter().map(|(id, _)| *id);
    assert!(ids.eq(0..200));
    let bodies: Vec<_> = scene
        .answers
        .iter()
        .flat_map(|(_, answer)| answer)
        .collect();
    assert_eq!(bodies.len(), 200);
    assert!(
        bodies
            .iter()
            .all(|body| body.as_ptr() == bodies[0].as_ptr())
    );
    assert_eq!(rows(&scene.answers[0].1), 1);
}

#[test]
fn who_asks_while_one_is_under_way_gets_the_next_which_is_not_at_once() {
    let mut scene = Scene::new(1);
    scene.want(1);
    assert!(scene.snapshots.turn(scene.now).is_none());
    scene.want(2);
    assert_eq!(scene.settle().len(), 1);
    assert_eq!(scene.answers.len(), 1);
    assert!(scene.skip() >= INTERVAL - Duration::from_millis(1));
    assert_eq!(scene.settle().len(), 1);
    let ids = scene.answers.iter().map(|(id, _)| *id);
    assert!(ids.eq([1, 2]));
}

#[test]
fn callers_who_ask_again_and_again_cause_ten_collections_a_second() {
    let mut scene = Scene::new(2);
    let end = scene.now + Duration::from_secs(10);
    let mut asks = 0;
    while scene.now < end {
        (0..16).for_each(|_| {
            scene.want(asks);
            asks += 1;
        });
        scene.settle();
        scene.now += Duration::from_millis(1);
    }
    assert!(
        asks > 100_000 && scene.asked <= 2 * 101,
        "{asks} {}",
        scene.asked
    );
    // Who feeds a watchdog does not wait for that.
    scene.snapshots.begin(scene.now);
    assert_eq!(scene.settle().len(), 1);
}

#[test]
fn a_shard_that_is_stuck_is_waited_for_and_one_that_has_ended_is_not() {
    let mut scene = Scene::new(3);
    scene.want(1);
    drop(scene.shards.pop());
    scene.snapshots.turn(scene.now);
    let Ok(ToShard::Count { round, .. }) = scene.shards[1].try_recv() else {
        panic!("it is not asked");
    };
    let Ok(message) = scene.shards[0].try_recv() else {
        panic!("it is not asked");
    };
    scene.on_message(0, message);
    assert!(scene.snapshots.turn(scene.now).is_none());
    assert_eq!(scene.skip(), TIMEOUT);
    let mut collected = scene.snapshots.turn(scene.now).unwrap();
    assert_eq!(collected.heard, [true, false, false]);
    assert!(scene.snapshots.is_gone(2) && !scene.snapshots.is_gone(1));
    assert_eq!(collected.snapshot.as_ref().unwrap().silent_shards, 2);
    scene.snapshots.answer(&mut collected);
    // What it says later belongs to no collection any more.
    let part = scene.counters.part(0);
    scene.snapshots.begin(scene.now);
    let counts = Counts {
        tallies: part.tallies,
        ..Counts::default()
    };
    scene.snapshots.on_counted(round, 1, None, counts);
    assert!(scene.snapshots.turn(scene.now).is_none());
    let collected = scene.settle();
    assert_eq!(collected[0].heard, [true, true, false]);
}

#[test]
fn where_no_shard_is_left_callers_get_an_error() {
    let mut scene = Scene::new(1);
    scene.snapshots.inboxes.push(inbox().0);
    scene.want(1);
    scene.snapshots.turn(scene.now);
    scene.now += TIMEOUT;
    let mut collected = scene.snapshots.turn(scene.now).unwrap();
    scene.snapshots.answer(&mut collected);
    let _ = scene.shards[0].try_recv();
    let Ok(ToShard::Answer(_, Err(error))) = scene.shards[0].try_recv() else {
        panic!("no error");
    };
    assert_eq!(error.kind, ErrorKind::Internal);
}

#[test]
fn rows_come_in_parts_and_large_answers_to_some_callers_at_a_time() {
    let mut scene = Scene::new(1);
    for number in 0..ROWS_MAX {
        let function = scene.counters.number(&format!("function {number:0200}"));
        for latency in 0..20 {
            scene.counters.record(function, 0, 1 << latency, None);
        }
    }
    (0..30).for_each(|id| scene.want(id));
    let mut rounds = 0;
    while scene.answers.len() < 30 {
        let (before, asked) = (scene.answers.len(), scene.asked);
        assert_eq!(scene.settle().len(), 1);
        assert!(scene.asked - asked >= ROWS_MAX / 256, "all rows at once");
        let bytes = |(_, answer): &(u64, Answer)| answer.as_ref().unwrap().len();
        let sent: usize = scene.answers[before..].iter().map(bytes).sum();
        assert!(sent > 0 && sent <= ANSWERS_MAX_BYTES, "{sent} bytes");
        if scene.answers.len() < 30 {
            scene.skip();
        }
        rounds += 1;
    }
    assert!(rounds > 1);
    assert_eq!(rows(&scene.answers[29].1), ROWS_MAX + 1);
}
