//! The loop that sends calls when they are due and takes in what comes back.

use super::report::{Report, Sent, Tally};
use super::schedule::Schedule;
use super::{LoadError, Pace, Plan, Progress, Until};
use crate::client::sockets::Sockets;
use crate::net::dial::{Outcome, Request, Upstreams};
use crate::net::spin::{REPLY_SPIN, Spin};
use bytes::Bytes;
use madrpc_core::call::control::PING;
use madrpc_core::call::{Body, CallError, CallFields, ErrorKind, Fields};
use madrpc_core::numbers::later;
use madrpc_core::session::FrameBuffer;
use std::io;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

/// How long the server may take to accept the sessions.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How often progress is told, and the wish to stop is looked for.
const TICK: Duration = Duration::from_millis(100);

/// How long the calls in flight may take after an early stop.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

/// Calls sent before replies are looked for again.
const SENDS_PER_TURN: usize = 1024;

/// How long a closed loop waits after a call that could not be sent.
const RETRY: Duration = Duration::from_millis(10);

/// How long the server may be out of reach before a run for a number of calls, which would not end, is given up.
const UNREACHABLE_MAX: Duration = Duration::from_secs(5);

/// A call that is due sooner is waited for awake: timers are late by about as much.
const TIMER_MARGIN: Duration = Duration::from_micros(200);

pub(super) struct Generator<'a> {
    /// Dropped before the socket that is in it.
    sockets: Sockets,
    upstreams: Upstreams<Sent>,
    buffer: FrameBuffer,
    plan: &'a Plan,
    body: &'a Bytes,
    /// What calls say besides.
    fields: Vec<u8>,
    schedule: Schedule,
    tally: Tally,
    core: usize,
    /// A closed loop sends nothing before it.
    retry_at: Instant,
    /// Since when calls are refused and none has returned.
    unreachable_since: Option<Instant>,
    /// When the calls in flight are given up.
    give_up_at: Option<Instant>,
}

impl<'a> Generator<'a> {
    pub(super) fn new(
        upstreams: Upstreams<Sent>,
        plan: &'a Plan,
        body: &'a Bytes,
        core: usize,
    ) -> io::Result<Self> {
        let now = Instant::now();
        let sockets = Sockets::new()?;
        // SAFETY: fields are dropped in their order, the poller before the socket.
        unsafe { sockets.add(upstreams.endpoint().socket(), 0)? };
        let mut fields = Vec::new();
        let said = CallFields {
            may_repeat: plan.idempotent,
            ..CallFields::default()
        };
        said.write(&mut fields);
        Ok(Self {
            sockets,
            upstreams,
            buffer: FrameBuffer::default(),
            plan,
            body,
            fields,
            schedule: Schedule::new(plan, now),
            tally: Tally::new(core, now),
            core,
            retry_at: now,
            unreachable_since: None,
            give_up_at: None,
        })
    }

    pub(super) fn run(
        mut self,
        stop: &Receiver<()>,
        progress: &Sender<Progress>,
    ) -> Result<Report, LoadError> {
        self.connect()?;
        let started = Instant::now();
        self.schedule = Schedule::new(self.plan, started);
        self.tally = Tally::new(self.core, started);
        let mut told = started;
        let mut spin = Spin::new(REPLY_SPIN);
        loop {
            let now = Instant::now();
            if now >= later(told, TICK) {
                // It fails only where the caller has gone.
                let _ = progress.send(self.progress(now, started, now.duration_since(told)));
                told = now;
                let unreachable = self.is_unreachable(now);
                if self.give_up_at.is_none() && (unreachable || stop.try_recv().is_ok()) {
                    self.schedule.stop(now);
                    self.tally.stopped(unreachable);
                    self.give_up_at = Some(later(now, STOP_PATIENCE));
                }
            }
            let more = self.send(now);
            let received = self.receive(now);
            self.upstreams.flush(now);
            let patient = self.give_up_at.is_none_or(|at| now < at);
            if self.schedule.is_over(now) && !(patient && self.upstreams.waiting() > 0) {
                break;
            }
            if received > 0 {
                spin.on_work(now);
            }
            let awake = more || received > 0 || spin.looks_again(now);
            if !awake && !self.upstreams.has_work() {
                self.sleep(later(told, TICK));
            }
        }
        let cut_off = self.upstreams.waiting() as u64;
        self.upstreams.close("the load is over");
        self.upstreams.flush(Instant::now());
        Ok(self.tally.finish(self.plan, &self.schedule, cut_off))
    }

    /// Opens the sessions: each has to answer before the first call is sent.
    fn connect(&mut self) -> Result<(), CallError> {
        let now = Instant::now();
        let request = Request {
            function: PING,
            body: Body::EMPTY,
            deadline: later(now, CONNECT_TIMEOUT),
            depth: 0,
            account: None,
            fields: Fields::NONE,
        };
        let tag = Sent {
            due: now,
            at: now,
            counts: false,
        };
        for _ in 0..self.plan.connections.max(1) {
            self.upstreams
                .call(now, &request, tag)
                .map_err(|(_, error)| error)?;
        }
        let mut failed = None;
        while self.upstreams.waiting() > 0 {
            let now = Instant::now();
            let received = self.upstreams.receive(now);
            while let Some((session, event)) = self.upstreams.next_frame(&mut self.buffer, now) {
                if let Some((_, _, Outcome::Failure { body, .. })) =
                    self.upstreams.on_frame(session, &event, now)
                {
                    failed.get_or_insert(CallError::from_body(&body));
                }
            }
            while let Some((_, _, error)) = self.upstreams.next_lost(now) {
                failed.get_or_insert(error);
            }
            self.upstreams.flush(now);
            if received == 0 && !self.upstreams.has_work() {
                self.sleep(later(now, TICK));
            }
        }
        match failed {
            None => Ok(()),
            Some(error) if error.kind == ErrorKind::DeadlineExceeded => Err(CallError::not_run(
                ErrorKind::Unavailable,
                format!("no answer within {CONNECT_TIMEOUT:?}: {}", error.message),
            )),
            Some(error) => Err(error),
        }
    }

    /// Sends what is due; says whether there may be more.
    fn send(&mut self, now: Instant) -> bool {
        let open = matches!(self.plan.pace, Pace::Open { .. });
        if !open && now < self.retry_at {
            return false;
        }
        let request = Request {
            function: &self.plan.function,
            body: self.body.into(),
            deadline: later(now, self.plan.timeout),
            depth: 0,
            account: None,
            fields: Fields(&self.fields),
        };
        for _ in 0..SENDS_PER_TURN {
            let Some(due) = self.schedule.take(now, self.upstreams.waiting()) else {
                return false;
            };
            let sent = Sent {
                due: due.at,
                at: now,
                counts: due.counts,
            };
            let refused = self.upstreams.call(now, &request, sent).err();
            self.tally.sent(&sent, self.upstreams.waiting());
            if let Some((sent, error)) = refused {
                self.tally.failure(&sent, now, error.kind, move || error);
                if !open {
                    self.retry_at = later(now, RETRY);
                    self.unreachable_since.get_or_insert(now);
                    return false;
                }
            }
        }
        true
    }

    fn receive(&mut self, now: Instant) -> usize {
        let Self {
            upstreams,
            buffer,
            schedule,
            tally,
            unreachable_since,
            ..
        } = self;
        let received = upstreams.receive(now);
        // Read when all datagrams of the turn are in: rather too late than too early.
        let now = match received {
            0 => now,
            _ => Instant::now(),
        };
        while let Some((session, event)) = upstreams.next_frame(buffer, now) {
            match upstreams.on_frame(session, &event, now) {
                Some((sent, _, Outcome::Reply { bill, .. })) => {
                    *unreachable_since = None;
                    tally.result(&sent, now, schedule.is_counting(now), &bill);
                }
                Some((sent, _, Outcome::Failure { kind, body, .. })) => {
                    tally.failure(&sent, now, kind, || CallError::from_body(&body));
                }
                Some((sent, _, Outcome::Lost(error))) => {
                    tally.failure(&sent, now, error.kind, move || error);
                }
                None => {}
            }
        }
        while let Some((sent, _, error)) = upstreams.next_lost(now) {
            tally.failure(&sent, now, error.kind, move || error);
        }
        received
    }

    fn is_unreachable(&self, now: Instant) -> bool {
        let by_calls = matches!(self.plan.until, Until::Calls(_));
        let since = self.unreachable_since.filter(|_| by_calls);
        since.is_some_and(|since| now >= later(since, UNREACHABLE_MAX))
    }

    /// Sleeps until something comes or is due, at the longest until `tick`.
    fn sleep(&mut self, tick: Instant) {
        let now = Instant::now();
        let due = self.schedule.next_due(self.upstreams.waiting());
        let due = due.map(|due| match self.plan.pace {
            Pace::Closed { .. } => due.max(self.retry_at),
            Pace::Open { .. } => due.checked_sub(TIMER_MARGIN).unwrap_or(due),
        });
        let due = due.filter(|_| !self.schedule.is_over(now));
        let times = [self.upstreams.next_timer(), due, Some(tick)];
        let first = times.into_iter().flatten().min().unwrap_or(tick);
        let time = first.saturating_duration_since(now);
        if !time.is_zero() {
            self.sockets.wait(time);
        }
    }

    fn progress(&mut self, now: Instant, started: Instant, since: Duration) -> Progress {
        let (calls, errors) = self.tally.ended();
        let fresh = std::mem::take(&mut self.tally.fresh);
        Progress {
            elapsed: now.duration_since(started),
            counting: self.schedule.is_counting(now),
            calls,
            errors,
            results_per_s: fresh as f64 / since.as_secs_f64(),
            in_flight: self.upstreams.waiting(),
        }
    }
}
