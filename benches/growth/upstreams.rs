//! The servers that calls are sent to, the sessions to them, and the calls on those.

use super::{Case, Gauge, on_executor, spread};
use madrpc_shard::internals::growth::{Pending, Targets};
use std::time::Duration;

pub(crate) const CASES: [Case; 17] = [
    Case::new("targets: call one of n", pick),
    Case::new("targets: call the only one of n that is up", pick_only),
    Case::new("targets: call none of n, all down", pick_none),
    Case::new("targets: one of n is lost, and the next call", lose_last),
    Case::new("targets: call a certain one of n, which is down", pick_down),
    Case::new("targets: some of n are told of", report),
    Case::new(
        "targets: one of n is gone, and another has its number",
        replace,
    ),
    Case::new("links: call by one of n", pick_link),
    Case::new(
        "links: call by the only one of n that is up",
        pick_only_link,
    ),
    Case::new("links: one of n is lost, and the next call", lose_last_link),
    Case::new("upstreams: a call more, n under way", call),
    Case::new("upstreams: cancel one of n calls", cancel),
    Case::new("upstreams: an answer to one of n calls", answer),
    Case::new("upstreams: one of n calls is late", late),
    Case::new("upstreams: a session with n calls is lost", lose),
    Case::new("upstreams: next call of n that are lost", next_lost),
    Case {
        sizes: [10, 1_000, 60_000],
        ..Case::new("upstreams: a server says that it has n shards", learn)
    },
];

const MEASUREMENTS: usize = 8;

fn pick(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut targets = Targets::new(size, 1)?;
        for _ in 0..MEASUREMENTS {
            assert!(gauge.measure(|| targets.call()));
        }
        Ok(())
    });
}

fn pick_only(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut targets = Targets::new(size, 1)?;
        (1..size).for_each(|target| targets.lose(target, 0));
        for _ in 0..MEASUREMENTS {
            assert!(gauge.measure(|| targets.call()));
        }
        Ok(())
    });
}

fn pick_none(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut targets = Targets::new(size, 1)?;
        (0..size).for_each(|target| targets.lose(target, 0));
        for _ in 0..MEASUREMENTS {
            assert!(!gauge.measure(|| targets.call()));
        }
        Ok(())
    });
}

/// What makes the text of the error another, so that it has to be made anew.
fn lose_last(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut targets = Targets::new(size, 1)?;
        (0..size).for_each(|target| targets.lose(target, 0));
        for target in spread(size) {
            gauge.measure(|| targets.open(target, 0));
            gauge.measure(|| targets.lose(target, 0));
            assert!(!gauge.measure(|| targets.call()));
        }
        Ok(())
    });
}

fn pick_down(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut targets = Targets::new(size, 1)?;
        for target in spread(size) {
            targets.lose(target, 0);
            assert!(!gauge.measure(|| targets.call_at(target)));
        }
        Ok(())
    });
}

fn report(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let targets = Targets::new(size, 1)?;
        for from in [0, size / 2] {
            let told = targets.report(from);
            gauge.measure_units(told, || targets.report(from));
        }
        Ok(())
    });
}

/// Many are gone and have calls left.
fn replace(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut targets = Targets::new(size, 1)?;
        for target in (0..size).step_by(2) {
            targets.remove(target);
        }
        for _ in 0..MEASUREMENTS {
            gauge.measure(|| targets.take_free());
        }
        Ok(())
    });
}

fn pick_link(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut targets = Targets::new(1, size)?;
        for _ in 0..MEASUREMENTS {
            assert!(gauge.measure(|| targets.call()));
        }
        Ok(())
    });
}

fn pick_only_link(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut targets = Targets::new(1, size)?;
        (0..size - 1).for_each(|link| targets.lose(0, link));
        for _ in 0..MEASUREMENTS {
            assert!(gauge.measure(|| targets.call()));
        }
        Ok(())
    });
}

fn lose_last_link(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut targets = Targets::new(1, size)?;
        (0..size).for_each(|link| targets.lose(0, link));
        for link in spread(size) {
            gauge.measure(|| targets.open(0, link));
            gauge.measure(|| targets.lose(0, link));
            assert!(!gauge.measure(|| targets.call()));
            assert!(!gauge.measure(|| targets.call_at(0)));
        }
        Ok(())
    });
}

fn call(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Pending::new(size, 1)?;
        (0..MEASUREMENTS).for_each(|_| gauge.measure(|| calls.call()));
        Ok(())
    });
}

fn cancel(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Pending::new(size, 1)?;
        for call in spread(size) {
            assert!(gauge.measure(|| calls.cancel(call)));
        }
        Ok(())
    });
}

fn answer(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Pending::new(size, 1)?;
        for call in spread(size) {
            assert!(gauge.measure(|| calls.answer(call)));
        }
        Ok(())
    });
}

fn late(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Pending::new(size, 1)?;
        for _ in 0..MEASUREMENTS {
            calls.call_for(Duration::from_millis(100));
            calls.wait(Duration::from_millis(200));
            assert!(gauge.measure(|| calls.next_lost()));
        }
        Ok(())
    });
}

fn lose(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Pending::new(size, 1)?;
        gauge.measure(|| calls.lose());
        assert!(gauge.measure(|| calls.next_lost()));
        Ok(())
    });
}

fn next_lost(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Pending::new(size, 1)?;
        calls.lose();
        assert!(calls.next_lost());
        for _ in 0..MEASUREMENTS {
            assert!(gauge.measure(|| calls.next_lost()));
        }
        Ok(())
    });
}

/// Its caller is one of so many that some eight of the shards are its own.
fn learn(size: usize, gauge: &mut Gauge) {
    on_executor(|| {
        let mut calls = Pending::new(1, size as u16 / 8)?;
        calls.learn(size as u16);
        for _ in 0..MEASUREMENTS {
            gauge.measure(|| calls.learn(size as u16));
        }
        Ok(())
    });
}
