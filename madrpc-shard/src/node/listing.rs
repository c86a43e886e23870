//! What a node says it can run.

use super::Node;
use crate::catalog::FunctionOptions;
use crate::engine::Options;
use std::collections::HashMap;

impl Node {
    /// Its functions, as the script has registered them.
    pub(crate) fn registered(&self) -> impl Iterator<Item = (String, FunctionOptions)> {
        self.lanes
            .registrations()
            .iter()
            .map(|function| (function.name.clone(), function.options.into()))
    }

    /// Their names by their numbers in the counters, where very many have one number and one name together.
    pub(crate) fn function_names(&self) -> HashMap<usize, String> {
        let numbers = self.functions.values().map(|function| function.counter);
        numbers
            .filter_map(|number| Some((number, self.counters.name(number)?.to_owned())))
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
            isolate: options.isolate,
        }
    }
}
