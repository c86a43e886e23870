//! What nodes and orchestrators do with calls, among many that are under way.

use super::{Case, Gauge, on_executor, spread};
use madrpc_shard::internals::growth::{Forwarded, Idle, Queue};
use std::time::Duration;

pub(crate) const CASES: [Case; 14] = [
    Case::new("orchestrator: pass a call on, n under way", forward),
    Case::new("orchestrator: an answer to one of n calls", forward_back),
    Case::new("orchestrator: cancel one of n calls", forward_cancel),
    Case::new("orchestrator: a caller with n calls is gone", forward_end),
    Case::new("node: a call is queued after n", queue),
    Case::new("node: a call is refused, n queued", refuse),
    Case::new("node: cancel one of n queued calls", cancel),
    Case::new("node: a caller with n queued calls is gone", end),
    Case::new("node: a turn, n queued calls", turn),
    Case::new("node: a turn, one of n queued calls is late", late),
    // Above what one turn does, which then must not be more.
    Case {
        sizes: [1_000, 10_000, 100_000],
        ..Case::new("node: a turn, all of n queued calls are late", all_late)
    },
    // A script has 10 s to load, whatever else the machine does.
    Case {
        sizes: [10, 1_000, 10_000],
        ..Case::new("node: a call of one of n functions", known)
    },
    Case {
        sizes: [10, 1_000, 10_000],
        ..Case::new("node: an unknown function, n registered", unknown)
    },
    // There are no more than 1,024 lanes.
    Case {
        sizes: [10, 100, 1_000],
        ..Case::new("lanes: n that nobody needs are given back", give_back)
    },
];

const MEASUREMENTS: u64 = 8;

/// Above the number of any call.
const NEXT: u64 = 1 << 32;

fn forward(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Forwarded::new(size as u64)?;
        (NEXT..NEXT + MEASUREMENTS).for_each(|id| gauge.measure(|| calls.call(id)));
        Ok(())
    });
}

fn forward_back(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Forwarded::new(size as u64)?;
        for id in spread(size) {
            assert!(gauge.measure(|| calls.answer(id as u64)));
        }
        Ok(())
    });
}

fn forward_cancel(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Forwarded::new(size as u64)?;
        for id in spread(size) {
            assert!(gauge.measure(|| calls.cancel(id as u64)));
        }
        Ok(())
    });
}

fn forward_end(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Forwarded::new(size as u64)?;
        gauge.measure(|| calls.end());
        for _ in 0..MEASUREMENTS {
            assert!(gauge.measure(|| calls.end_next()));
        }
        Ok(())
    });
}

fn queue(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Queue::new(1, size as u64, usize::MAX)?;
        for id in NEXT..NEXT + MEASUREMENTS {
            gauge.measure(|| calls.call("f0", id));
            assert!(calls.is_under_way(id));
        }
        Ok(())
    });
}

fn refuse(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Queue::new(1, size as u64, size)?;
        for id in NEXT..NEXT + MEASUREMENTS {
            gauge.measure(|| calls.call("f0", id));
            assert!(!calls.is_under_way(id));
        }
        Ok(())
    });
}

fn cancel(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Queue::new(1, size as u64, usize::MAX)?;
        for id in spread(size) {
            assert!(gauge.measure(|| calls.cancel(id as u64)));
        }
        Ok(())
    });
}

fn end(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Queue::new(1, size as u64, usize::MAX)?;
        gauge.measure(|| calls.end());
        for _ in 0..MEASUREMENTS {
            assert!(gauge.measure(|| calls.end_next()));
        }
        Ok(())
    });
}

fn turn(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Queue::new(1, size as u64, usize::MAX)?;
        (0..MEASUREMENTS).for_each(|_| gauge.measure(|| calls.turn()));
        Ok(())
    });
}

fn late(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Queue::new(1, size as u64, usize::MAX)?;
        for id in NEXT..NEXT + MEASUREMENTS {
            calls.call_for("f0", id, Duration::from_millis(100));
            calls.wait(Duration::from_millis(200));
            gauge.measure(|| calls.turn());
            assert!(!calls.is_under_way(id));
        }
        Ok(())
    });
}

fn all_late(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Queue::new(1, size as u64, usize::MAX)?;
        calls.wait(Duration::from_secs(2 * 60 * 60));
        gauge.measure(|| calls.turn());
        Ok(())
    });
}

fn known(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Queue::new(size, 1, usize::MAX)?;
        for (id, function) in (NEXT..).zip(spread(size)) {
            let name = format!("f{function}");
            gauge.measure(|| calls.call(&name, id));
            assert!(calls.is_under_way(id));
        }
        Ok(())
    });
}

fn unknown(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Queue::new(size, 1, usize::MAX)?;
        for id in NEXT..NEXT + MEASUREMENTS {
            gauge.measure(|| calls.call("f", id));
            assert!(!calls.is_under_way(id));
        }
        Ok(())
    });
}

fn give_back(size: usize, gauge: &mut Gauge) {
    let mut lanes = Idle::new(size).expect("there are lanes");
    gauge.measure(|| lanes.give_back());
}
