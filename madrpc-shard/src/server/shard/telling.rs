//! What a shard tells of itself for a snapshot.

use super::Shard;
use crate::net::service::Service;
use crate::server::messages::{Counts, Cursor};
use madrpc_core::stats::{Core, Snapshot};
use nix::time::{ClockId, clock_gettime};
use std::time::{Duration, Instant};

impl<S: Service> Shard<S> {
    /// Some of what it has counted, from there on.
    pub(crate) fn counts(&self, from: Cursor, now: Instant) -> Counts {
        let mut counts = Counts::default();
        let mut first = 0;
        match from {
            Cursor::Rows(from) => {
                let part = self.service.counters().part(from);
                counts.tallies = part.tallies;
                counts.next = part.next.map(Cursor::Rows);
            }
            Cursor::Upstreams(from) => first = from,
        }
        if counts.next.is_none()
            && let Some(upstreams) = &self.upstreams
        {
            let (some, next) = self.service.report(upstreams, first, now);
            counts.upstreams = some;
            counts.next = next.map(Cursor::Upstreams);
        }
        counts
    }

    /// Its part of a snapshot, without the rows and the upstreams.
    pub(crate) fn head(&self, now: Instant) -> Snapshot {
        let core = self.core();
        let mut snapshot = Snapshot {
            role: self.seat.role.to_owned(),
            name: self.seat.name.clone(),
            shards: self.seat.shards,
            silent_shards: 0,
            uptime_ms: now.duration_since(self.seat.started).as_millis() as u64,
            sessions: self.callers.session_count() as u64,
            steering: self.seat.steering.name().to_owned(),
            state: self.state().to_owned(),
            under_way: core.under_way,
            cores: vec![core],
            ..Snapshot::default()
        };
        if let Some(upstreams) = &self.upstreams {
            upstreams.count(&mut snapshot);
        }
        self.service.describe(&mut snapshot);
        self.callers.count(&mut snapshot);
        snapshot
    }

    /// What its core was busy with; the service adds what it knows of it.
    fn core(&self) -> Core {
        // It is asked on its own thread. A system without this clock is one without these times.
        let cpu = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
        Core {
            shard: self.seat.shard,
            cpu_us: cpu.map_or(0, |time| Duration::from(time).as_micros() as u64),
            spinning_us: self.spin.spent().as_micros() as u64,
            sessions: self.callers.session_count() as u64,
            under_way: self.calls.count() as u64,
            ..Core::default()
        }
    }
}
