//! Lanes in the making: a script is loaded slice by slice, as it may compute for long meanwhile.

use super::super::exchange::{Exchange, Yield};
use super::super::faults::{self, caught};
use super::super::life::live;
use super::super::limits::{LOAD_CPU, LaneConfig, STACK_BYTES};
use super::super::packing::Model;
use super::super::preempt::{self, Preemption};
use super::super::{Registration, Script, ScriptError};
use super::{Lane, Terms};
use corosensei::stack::{DefaultStack, Stack};
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::fmt::Display;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, Instant};

/// What the engine takes, and more, before it has a script.
const ENGINE_BYTES: usize = 512 << 10;

/// A lane in the making: its script is being loaded, slice by slice, as a script may compute for long while it loads.
pub(crate) struct Loading(Lane);

/// What a lane in the making has come to.
pub(crate) enum Loaded {
    /// It wants to go on, some at [`Loading::wakes_at`] at the earliest.
    Not(Loading),
    /// It takes calls, of what the script has registered.
    Ready(Lane, Vec<Registration>),
    /// The script does not load, or there is no memory for it.
    Failed(ScriptError),
}

impl Loading {
    /// Makes a lane that has done nothing yet.
    ///
    /// # Errors
    /// Where there is no memory for its stack.
    pub(crate) fn begin(
        script: &Script,
        node: &str,
        config: &LaneConfig,
    ) -> Result<Self, ScriptError> {
        faults::watch();
        let exchange = Rc::new(Exchange::new(node, config, &script.kernels));
        // Whoever starts a node has been told where it cannot be.
        let is_forced = config.preemption == Preemption::Forced && preempt::set_up().is_ok();
        exchange.is_forced.set(is_forced);
        let no_memory = |why: &dyn Display| {
            let error = format!("script {}: no memory for a lane: {why}", script.name);
            ScriptError::new(error)
        };
        let stack = DefaultStack::new(STACK_BYTES).map_err(|error| no_memory(&error))?;
        // rquickjs does not look whether the engine could be made before it uses it.
        if !exchange.lane.heap.can_have(ENGINE_BYTES) {
            return Err(no_memory(&std::io::Error::last_os_error()));
        }
        exchange
            .lane
            .has_stack(stack.limit().get()..stack.base().get());
        let fiber = {
            let (exchange, script) = (Rc::clone(&exchange), script.clone());
            let grown_max = config.grown_max_bytes();
            Coroutine::with_stack(stack, move |yielder: &Yielder<(), Yield>, ()| {
                exchange.lane.enter(yielder);
                caught(|| live(&exchange, &script, grown_max));
                exchange.lane.leave();
            })
        };
        let lane = Lane {
            fiber,
            exchange,
            script: script.clone(),
            config: config.clone(),
            terms: Vec::new(),
            calls: 0,
            spoilt: false,
            is_broken: false,
            fault: None,
            is_forced,
            is_stopped: false,
            image: None,
            packed: None,
            model: Model::default(),
            noted_bytes: 0,
        };
        Ok(Self(lane))
    }

    /// Goes on for one slice.
    pub(crate) fn resume(mut self, now: Instant, slice: Duration) -> Loaded {
        let resumed = self.0.go_on(now, slice);
        if let Some(fault) = self.0.take_fault() {
            let name = &self.0.script.name;
            let error = format!("script {name}: the engine panicked while it loaded, at {fault}");
            return Loaded::Failed(ScriptError::new(error));
        }
        match resumed {
            CoroutineResult::Yield(Yield::Slice) => Loaded::Not(self),
            CoroutineResult::Yield(Yield::Waiting) if self.wakes_at().is_some() => {
                Loaded::Not(self)
            }
            CoroutineResult::Yield(Yield::Forced) if self.0.exchange.must_stop().is_none() => {
                Loaded::Not(self)
            }
            CoroutineResult::Yield(Yield::Loaded(loaded)) => match *loaded {
                Ok(functions) => {
                    let config = &self.0.config;
                    let terms = functions.iter().map(|function| Terms {
                        limits: function.options.limits(config),
                        isolate: config.isolate || function.options.isolate,
                    });
                    self.0.terms = terms.collect();
                    Loaded::Ready(self.0, functions)
                }
                Err(error) => Loaded::Failed(error),
            },
            _ => Loaded::Failed(ScriptError::too_slow(&self.0.script.name, LOAD_CPU)),
        }
    }

    /// Until when it waits for the compiler of kernels, which needs a core meanwhile, where it waits; time that it does not have
    /// the core is not counted.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        self.0.wakes_at()
    }

    /// Whether there is something to do.
    pub(crate) fn is_due(&self) -> bool {
        self.wakes_at().is_none_or(|at| at <= Instant::now())
    }

    /// Goes on to the end, however long it takes.
    ///
    /// # Errors
    /// Where the script does not load, or there is no memory for it.
    pub(crate) fn finish(mut self) -> Result<(Lane, Vec<Registration>), ScriptError> {
        loop {
            match self.resume(Instant::now(), LOAD_CPU * 2) {
                Loaded::Not(loading) => {
                    if let Some(at) = loading.wakes_at() {
                        thread::sleep(at.saturating_duration_since(Instant::now()));
                    }
                    self = loading;
                }
                Loaded::Ready(lane, functions) => return Ok((lane, functions)),
                Loaded::Failed(error) => return Err(error),
            }
        }
    }
}
