//! What a node says it can run.

use super::Node;
use crate::catalog::FunctionOptions;
use crate::engine::Options;

impl Node {
    /// Its functions, as the script has registered them.
    pub(crate) fn registered(&self) -> impl Iterator<Item = (String, FunctionOptions)> {
        self.registrations
            .iter()
            .map(|function| (function.name.clone(), function.options.into()))
    }
}

impl From<Options> for FunctionOptions {
    fn from(options: Options) -> Self {
        Self {
            idempotent: options.idempotent,
            timeout_us: options.timeout.map(|time| time.as_micros() as u64),
            cpu_us: options.cpu.map(|time| time.as_micros() as u64),
            memory_bytes: options.memory_bytes.map(|bytes| bytes as u64),
            isolate: options.isolate,
        }
    }
}
