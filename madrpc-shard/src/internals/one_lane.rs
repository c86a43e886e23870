//! A lane without a shard: its calls run one after the other, and what they ask for is answered at once.

use crate::engine::{
    Lane, LaneConfig, Loaded, Loading, Progress, Registration, Script, ScriptError, echo_items,
};
use madrpc_core::call::{Body, CallError, ErrorKind};
use madrpc_core::numbers::later;
use std::time::{Duration, Instant};

/// The slices of its calls.
const SLICE: Duration = Duration::from_micros(500);

/// A lane, as it is on a node, and what it is made of.
pub struct OneLane {
    script: Script,
    config: LaneConfig,
    lane: Lane,
}

/// What has come of a call.
pub struct Ended {
    /// The result on the wire, or the error that the caller gets.
    pub result: Result<Vec<u8>, CallError>,
    /// The place of a panic and what it said, where one has ended the call.
    pub fault: Option<Box<str>>,
}

impl OneLane {
    /// A lane that has the script loaded.
    ///
    /// # Errors
    /// Where that cannot be loaded.
    pub fn new(script: &Script, config: &LaneConfig) -> Result<Self, ScriptError> {
        let (mut lane, _) = Lane::load(script, "", config)?;
        lane.keep_image();
        Ok(Self {
            script: script.clone(),
            config: config.clone(),
            lane,
        })
    }

    /// Runs a call of the function at this place. Calls of it are answered at once: with their arguments, or where their
    /// functions are called `fail`, with an error. Afterwards the lane is as good as new, where it had to be given up.
    ///
    /// # Errors
    /// Where the lane cannot be made anew.
    pub fn call<'b>(
        &mut self,
        function: usize,
        body: impl Into<Body<'b>>,
        timeout: Duration,
    ) -> Result<Ended, ScriptError> {
        let deadline = later(Instant::now(), timeout);
        self.lane.assign(function, body, deadline);
        let result = loop {
            let now = Instant::now();
            if now >= deadline {
                self.lane.stop(ErrorKind::DeadlineExceeded);
            }
            match self.lane.resume(now, SLICE) {
                Progress::Done(result) => break result,
                Progress::Running => {}
                Progress::Waiting => {
                    let answered = self.answer();
                    let until = self
                        .lane
                        .wakes_at()
                        .map_or(deadline, |until| until.min(deadline));
                    if answered == 0 {
                        std::thread::sleep(until.saturating_duration_since(Instant::now()));
                    }
                }
            }
        };
        let ended = Ended {
            result: result
                .map(|()| self.lane.take_output())
                .map_err(|error| *error),
            fault: self.lane.take_fault(),
        };
        if self.lane.is_spoilt() {
            while self.lane.shrink() {}
            if !self.lane.renew() {
                *self = Self::new(&self.script, &self.config)?;
            }
        }
        Ok(ended)
    }

    fn answer(&mut self) -> usize {
        let asked = self.lane.take_child_calls();
        let count = asked.len();
        for call in asked {
            let answer = match call.function.as_str() {
                "fail" => Err(CallError::not_run(ErrorKind::Unavailable, "it fails")),
                _ if call.credit > 0 => echo_items(&mut self.lane, &call),
                _ => Ok(call.body),
            };
            self.lane.answer(call.token, answer);
        }
        // Nobody waits for it.
        let _ = self.lane.take_orders();
        count
    }

    /// What the lane holds beyond its script, and may keep from one call to the next, in bytes.
    #[must_use]
    pub fn grown_and_most_bytes(&self) -> (usize, usize) {
        self.lane.grown_and_most_bytes()
    }
}

/// Loads a script as `madrpc check` does, for so long; `None` where it is not done by then.
pub fn load_for(
    script: &Script,
    config: &LaneConfig,
    patience: Duration,
) -> Option<Result<Vec<Registration>, ScriptError>> {
    let begun = Instant::now();
    let mut loading = match Loading::begin(script, "", config) {
        Ok(loading) => loading,
        Err(error) => return Some(Err(error)),
    };
    while begun.elapsed() < patience {
        match loading.resume(Instant::now(), SLICE) {
            Loaded::Not(going_on) => {
                if let Some(at) = going_on.wakes_at() {
                    std::thread::sleep(at.saturating_duration_since(Instant::now()));
                }
                loading = going_on;
            }
            Loaded::Ready(_, functions) => return Some(Ok(functions)),
            Loaded::Failed(error) => return Some(Err(error)),
        }
    }
    None
}
