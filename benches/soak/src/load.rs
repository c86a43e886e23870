//! The kinds of load.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// A kind of load, by its name on the command line and in the report.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ValueEnum, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Load {
    /// Four callers that echo two numbers, a hundred times a second each
    Tiny,
    /// A function that holds its core for tens of milliseconds
    Compute,
    /// A function that makes ten thousand objects
    Garbage,
    /// Strings of 1 MiB there and back, and one of 8 MiB in each cycle
    Large,
    /// A function that throws
    Throwing,
    /// Calls whose deadline passes while they wait
    Deadlines,
    /// Calls that wait for a timer
    Timers,
    /// Calls that make 32 calls
    Nested,
    /// Calls that are cancelled: 20 each 0.1 s, and 500 at once in each cycle
    Cancels,
    /// Functions that do not exist, each asked for once
    Names,
    /// New scripts, and ones that do not load
    Reloads,
    /// A caller in each cycle that is killed with 3,000 calls under way, 8 of them with large bodies
    Killed,
    /// Handshakes that are never answered, refused, or given up once they are done
    Handshakes,
    /// Datagrams of noise, and broken first packets
    Junk,
}

impl Load {
    pub(crate) fn name(self) -> String {
        self.to_possible_value()
            .map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Those that were asked for.
    pub(crate) fn wanted(only: &[Self], without: &[Self]) -> Vec<Self> {
        let all = Self::value_variants().iter().copied();
        all.filter(|load| only.is_empty() || only.contains(load))
            .filter(|load| !without.contains(load))
            .collect()
    }
}
