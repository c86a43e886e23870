//! What a script says about a function when it registers it.
//!
//! Owns the meaning of the third argument of `madrpc.register`; `options.js` refuses what makes no sense, where the
//! script stands.

use super::limits::{CallLimits, JS_STACK_BYTES, LaneConfig};
use madrpc_core::numbers::{bytes, milliseconds};
use rquickjs::Array;
use std::time::Duration;

/// The options of a function; what is `None` is as the node has it for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// `idempotent`: running it twice does no harm. Default: false.
    pub idempotent: bool,
    /// `isolate`: every call gets a context in which nothing ran but the script. Default: false.
    pub isolate: bool,
    /// `timeoutMs`: the longest deadline; that of a caller who allows more is cut to it.
    pub timeout: Option<Duration>,
    /// `cpuMs`: time on the core.
    pub cpu: Option<Duration>,
    /// `memoryMb`: heap that a call may add to its lane's, in bytes here.
    pub memory_bytes: Option<usize>,
    /// `stackKb`: JavaScript stack, in bytes here; at most what every lane has.
    pub stack_bytes: Option<usize>,
    /// `bodyKb`: the largest arguments and the largest result, in bytes here.
    pub body_bytes: Option<usize>,
    /// `queue`: calls of the function that wait for a lane of one shard.
    pub queue_max: Option<usize>,
    /// `maxConcurrent`: calls of the function that are under way at the same time, on all shards of the node together.
    pub max_concurrent: Option<usize>,
    /// `rate`: calls of the function in a second, on all shards of the node together.
    pub rate: Option<usize>,
    /// `burst`: as many may come at once. Default: as many as in a second.
    pub burst: Option<usize>,
}

/// A function that a script registers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// Its name.
    pub name: String,
    /// What the script says about it.
    pub options: Options,
    /// Whether the script registers nothing, and the function is one that it exports.
    pub is_exported: bool,
}

impl Options {
    /// The options in the list that `options.js` makes.
    pub(super) fn read(list: &Array<'_>) -> rquickjs::Result<Self> {
        let number = |at: usize| list.get::<Option<f64>>(at);
        let flag =
            |at: usize| Ok::<_, rquickjs::Error>(list.get::<Option<bool>>(at)?.unwrap_or(false));
        let time = |at: usize| Ok::<_, rquickjs::Error>(number(at)?.map(milliseconds));
        Ok(Self {
            idempotent: flag(0)?,
            isolate: flag(1)?,
            timeout: time(2)?,
            cpu: time(3)?,
            memory_bytes: number(4)?.map(|megabytes| bytes(megabytes, 1 << 20)),
            stack_bytes: number(5)?.map(|kilobytes| bytes(kilobytes, 1 << 10)),
            body_bytes: number(6)?.map(|kilobytes| bytes(kilobytes, 1 << 10)),
            queue_max: number(7)?.map(|calls| bytes(calls, 1)),
            max_concurrent: number(8)?.map(|calls| bytes(calls, 1)),
            rate: number(9)?.map(|calls| bytes(calls, 1)),
            burst: number(10)?.map(|calls| bytes(calls, 1)),
        })
    }

    /// What a call of the function may use, where `lane` says what the others may.
    pub(super) fn limits(&self, lane: &LaneConfig) -> CallLimits {
        CallLimits {
            memory_bytes: self.memory_bytes.unwrap_or(lane.memory_bytes),
            cpu: self.cpu.unwrap_or(lane.cpu),
            stack_bytes: self.stack_bytes.unwrap_or(JS_STACK_BYTES),
            body_bytes: self.body_bytes.unwrap_or(lane.body_bytes),
        }
    }
}
