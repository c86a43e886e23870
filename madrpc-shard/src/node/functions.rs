//! What a node can run.

use super::backlog::Cost;
use super::limited::{LimitKey, Limits};
use super::meter::{Meter, Rate};
use super::shared::Shared;
use crate::engine::{LaneConfig, Options, Registration};
use crate::net::result_size::ResultSize;
use bytes::Bytes;
use foldhash::fast::RandomState;
use madrpc_core::call::catalog::{Catalog, FunctionOptions};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::Role;
use madrpc_core::numbers::later;
use madrpc_core::stats::Counters;
use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Names that an error lists, of those that there are.
const NAMES_LISTED: usize = 10;

/// A registered function.
pub(super) struct Registered {
    pub(super) name: String,
    /// Its place in every lane that has its script.
    pub(super) place: usize,
    /// Its number in the counters.
    pub(super) counter: usize,
    /// The longest deadline of a call.
    pub(super) timeout: Option<Duration>,
    /// The largest arguments, in bytes.
    pub(super) body_bytes: usize,
    /// Its calls that wait for a lane, where it has a bound of its own.
    pub(super) queue_max: Option<usize>,
    /// How often it may be called, and what has come.
    pub(super) rate: Option<(Rate, Arc<Meter>)>,
    /// Its limit of calls at once, where it has one.
    pub(super) limit: Option<LimitKey>,
    /// Whether each call needs a lane in which nothing ran but the script.
    pub(super) isolate: bool,
    /// Its calls that wait for a lane.
    pub(super) queued: Cell<usize>,
    pub(super) result_size: Cell<ResultSize>,
    /// What a call costs.
    pub(super) cost: Cell<Cost>,
    /// Which of the node's scripts has registered it.
    script: u64,
}

impl Registered {
    /// The deadline of a call whose caller allows it this one.
    pub(super) fn deadline(&self, arrived: Instant, allowed: Instant) -> Instant {
        self.timeout
            .map_or(allowed, |timeout| allowed.min(later(arrived, timeout)))
    }
}

/// The functions of the script that runs.
pub(super) struct Functions {
    by_name: HashMap<String, Rc<Registered>, RandomState>,
    /// Counts the scripts that there have been.
    script: u64,
    /// The first few names, for the errors of callers who ask for another.
    listed: String,
    /// What is answered to those who ask what there is, since somebody has: to make it takes milliseconds where there are many.
    catalog: Option<Result<Bytes, CallError>>,
    /// Whether the names were told since they have changed.
    pub(super) are_told: bool,
    /// Whether the callers were.
    pub(super) are_announced: bool,
}

impl Functions {
    /// Those that a script has registered, and what it says of them.
    pub(super) fn new(
        registrations: &[Registration],
        config: &LaneConfig,
        counters: &mut Counters,
        shared: &Shared,
        limits: &mut Limits,
    ) -> Self {
        let mut functions = Self {
            by_name: HashMap::default(),
            script: 0,
            listed: String::new(),
            catalog: None,
            are_told: false,
            are_announced: false,
        };
        functions.replace(registrations, config, counters, shared, limits);
        functions
    }

    /// From now on there are those of another script.
    pub(super) fn replace(
        &mut self,
        registrations: &[Registration],
        config: &LaneConfig,
        counters: &mut Counters,
        shared: &Shared,
        limits: &mut Limits,
    ) {
        self.script += 1;
        self.are_told = false;
        self.are_announced = false;
        self.catalog = None;
        let before = std::mem::take(&mut self.by_name);
        let limited = registrations.iter().filter_map(|function| {
            let max = function.options.max_concurrent?;
            Some((function.name.as_str(), shared.slots(&function.name, max)))
        });
        limits.replace(limited.collect());
        for (place, function) in registrations.iter().enumerate() {
            let options = &function.options;
            let known = before.get(&function.name);
            let registered = Registered {
                name: function.name.clone(),
                place,
                counter: counters.number(&function.name),
                timeout: options.timeout,
                body_bytes: options.body_bytes.unwrap_or(config.body_bytes),
                queue_max: options.queue_max,
                rate: options.rate.map(|rate| {
                    let rate = Rate::new(rate, options.burst);
                    (rate, shared.meter(&function.name))
                }),
                limit: options
                    .max_concurrent
                    .and_then(|_| limits.find(&function.name)),
                isolate: config.isolate || options.isolate,
                queued: Cell::new(0),
                result_size: Cell::default(),
                cost: known.map(|known| known.cost.clone()).unwrap_or_default(),
                script: self.script,
            };
            self.by_name
                .insert(function.name.clone(), Rc::new(registered));
        }
        let mut names: Vec<&str> = self.by_name.keys().map(String::as_str).collect();
        names.sort_unstable();
        names.truncate(NAMES_LISTED);
        self.listed = names.join(", ");
    }

    /// The function of that name.
    ///
    /// # Errors
    /// `NoSuchFunction`.
    pub(super) fn named(&self, name: &str) -> Result<&Rc<Registered>, CallError> {
        self.by_name.get(name).ok_or_else(|| {
            let listed = &self.listed;
            CallError::not_run(
                ErrorKind::NoSuchFunction,
                format!("no function `{name}` is registered; there are: {listed}"),
            )
        })
    }

    /// The function that stands in the place of one that was found earlier.
    ///
    /// # Errors
    /// `NoSuchFunction`, where the present script has none of that name.
    pub(super) fn present(&self, function: &Rc<Registered>) -> Result<Rc<Registered>, CallError> {
        match function.script == self.script {
            true => Ok(Rc::clone(function)),
            false => self.named(&function.name).cloned(),
        }
    }

    /// The encoded catalogue of a node of this name, whose functions these are.
    ///
    /// # Errors
    /// `PayloadTooLarge`, where there are more than a body holds.
    pub(super) fn catalog(
        &mut self,
        node: &str,
        registrations: &[Registration],
    ) -> Result<&Bytes, &CallError> {
        let encoded = self.catalog.get_or_insert_with(|| {
            let mut catalog = Catalog::new(Role::Node.name(), node);
            let registered = registrations.iter();
            catalog.add(
                node,
                registered.map(|one| (one.name.clone(), one.options.into())),
            );
            catalog.encode().map(Bytes::from)
        });
        encoded.as_ref()
    }

    /// The names by the numbers in the counters, where very many have one number and one name together.
    pub(super) fn names(&self, counters: &Counters) -> HashMap<usize, String> {
        let numbers = self.by_name.values().map(|function| function.counter);
        numbers
            .filter_map(|number| Some((number, counters.name(number)?.to_owned())))
            .collect()
    }
}

impl From<Options> for FunctionOptions {
    fn from(options: Options) -> Self {
        Self {
            idempotent: options.idempotent,
            timeout_us: options.timeout.map(|time| time.as_micros() as u64),
            cpu_us: options.cpu.map(|time| time.as_micros() as u64),
            memory_bytes: options.memory_bytes.map(|bytes| bytes as u64),
            stack_bytes: options.stack_bytes.map(|bytes| bytes as u64),
            body_bytes: options.body_bytes.map(|bytes| bytes as u64),
            queue_max: options.queue_max.map(|calls| calls as u64),
            max_concurrent: options.max_concurrent.map(|calls| calls as u64),
            rate: options.rate.map(|calls| calls as u64),
            burst: options.burst.map(|calls| calls as u64),
            isolate: options.isolate,
        }
    }
}
