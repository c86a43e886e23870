//! Sessions and their calls, as they are found by what comes and as they end.

use super::{Case, Gauge, on_executor, spread};
use madrpc_shard::internals::growth::{Abandoned, Callers, Peers, Sessions};
use std::time::Duration;

pub(crate) const CASES: [Case; 15] = [
    Case::new("callers: one with n calls is gone", end),
    Case::new("callers: next call of one that had n", next_orphan),
    Case::new("callers: a place where one had n calls", place),
    Case::new("callers: one of n is gone", end_one),
    Case::new("callers: look after one of n", watch),
    Case::new("callers: a call of one comes and goes, n others", call),
    Case::new("peers: a stateless reset of one of n sessions", reset),
    Case::new("peers: a stranger's reset, n sessions", strange),
    Case::new("peers: one of n sessions ends, to n servers", close),
    Case::new("peers: one of n sessions ends, to one server", close_same),
    Case::new("client: a call is given up, n under way", abandon),
    Case::new("client: a call is made, n under way", make),
    // These are real, and cost memory.
    Case {
        sizes: [10, 100, 1_000],
        ..Case::new("endpoint: a turn with nothing to do, n sessions", idle)
    },
    Case {
        sizes: [10, 100, 1_000],
        ..Case::new("endpoint: a turn, one of n has to say something", say)
    },
    Case {
        sizes: [10, 100, 1_000],
        ..Case::new("endpoint: one of n sessions ends", end_session)
    },
];

fn end(size: usize, gauge: &mut Gauge) {
    let mut callers = Callers::new(1, size as u64);
    gauge.measure(|| callers.end(0, 0));
}

fn next_orphan(size: usize, gauge: &mut Gauge) {
    let mut callers = Callers::new(1, size as u64);
    callers.end(0, 0);
    for _ in 0..8 {
        assert!(gauge.measure(|| callers.next_orphan()));
    }
}

/// The first has ended all its calls; those after it have a few.
fn place(size: usize, gauge: &mut Gauge) {
    let mut callers = Callers::new(1, size as u64);
    (0..size as u64).for_each(|id| callers.answer(0, id));
    callers.end(0, 0);
    for others in 1..5 {
        gauge.measure(|| callers.call(0, others, 7));
        gauge.measure(|| callers.end(0, others));
        assert!(gauge.measure(|| callers.next_orphan()));
        assert!(!gauge.measure(|| callers.next_orphan()));
    }
}

fn end_one(size: usize, gauge: &mut Gauge) {
    let mut callers = Callers::new(size, 1);
    for place in spread(size) {
        gauge.measure(|| callers.end(place, 0));
        assert!(gauge.measure(|| callers.next_orphan()));
    }
}

fn watch(size: usize, gauge: &mut Gauge) {
    let mut callers = Callers::new(size, 1);
    callers.wait(Duration::from_secs(2));
    for _ in 0..8 {
        assert!(gauge.measure(|| callers.next_watched()));
    }
}

fn call(size: usize, gauge: &mut Gauge) {
    let mut callers = Callers::new(size, 2);
    for place in spread(size) {
        gauge.measure(|| callers.answer(place, 0));
        gauge.measure(|| callers.call(place, 0, 2));
    }
}

fn reset(size: usize, gauge: &mut Gauge) {
    let peers = Peers::new(size, size);
    for session in spread(size) {
        assert!(gauge.measure(|| peers.reset(session)));
    }
}

fn strange(size: usize, gauge: &mut Gauge) {
    let peers = Peers::new(size, size);
    for session in size..size + 8 {
        assert!(!gauge.measure(|| peers.reset(session)));
    }
}

fn close(size: usize, gauge: &mut Gauge) {
    let mut peers = Peers::new(size, size);
    for session in spread(size) {
        gauge.measure(|| peers.end(session));
    }
}

fn close_same(size: usize, gauge: &mut Gauge) {
    let mut peers = Peers::new(size, 1);
    for session in spread(size) {
        gauge.measure(|| peers.end(session));
    }
}

fn abandon(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Abandoned::new(size as u64)?;
        for call in spread(size) {
            gauge.measure(|| calls.give_up(call as u64));
        }
        Ok(())
    });
}

fn make(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Abandoned::new(size as u64)?;
        (0..8).for_each(|_| gauge.measure(|| calls.call()));
        Ok(())
    });
}

fn idle(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut sessions = Sessions::new(size)?;
        (0..8).for_each(|_| gauge.measure(|| sessions.turn()));
        Ok(())
    });
}

fn say(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut sessions = Sessions::new(size)?;
        for session in spread(size) {
            gauge.measure(|| {
                sessions.say(session);
                sessions.turn();
            });
        }
        Ok(())
    });
}

fn end_session(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut sessions = Sessions::new(size)?;
        for session in spread(size) {
            assert!(gauge.measure(|| sessions.end(session)));
        }
        Ok(())
    });
}
