//! The harness: servers as processes, a well-behaved caller beside the attacker, and a watch on both.
//!
//! Servers have the first core, attacker and callers the last. What the attacker's own work takes from the caller is no
//! doing of the server's, so the caller is measured a second time beside a *stand-in*, which uses as much of the core
//! as the attacker did and sends as many datagrams to a socket that nobody reads. The two are compared.
//!
//! ```text
//! before (64 in flight) ▸ attack + 64 in flight + newcomers ▸ 10 s ▸ attack + a lone caller ▸ stand-in + both callers
//! ```

mod caller;
mod log;
mod machine;
mod row;
mod run;
mod sampler;
mod server;
mod stand_in;
mod table;

use std::sync::OnceLock;

pub use row::Row;
pub use run::{Options, run};
pub use table::markdown;

/// The budget of bytes that servers are given where they can be given one, and that callers may fill in any case.
pub const BUDGET_BYTES: u64 = 256 << 20;

/// What an attack may take beyond that.
pub const BEYOND_BUDGET_BYTES: u64 = 64 << 20;

/// The cores of the servers and of the load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    pub(crate) target: core_affinity::CoreId,
    /// Of the nodes behind an orchestrator: the target's, where there are only two cores.
    pub(crate) nodes: core_affinity::CoreId,
    pub(crate) load: core_affinity::CoreId,
}

impl Cores {
    /// `None` where there are fewer than two. They are looked at once, before anything is pinned.
    pub(crate) fn of_this_machine() -> Option<Self> {
        static CORES: OnceLock<Option<Cores>> = OnceLock::new();
        *CORES.get_or_init(Self::look)
    }

    fn look() -> Option<Self> {
        let cores = core_affinity::get_core_ids()?;
        let (&target, &load) = (cores.first()?, cores.get(1..)?.last()?);
        let between = cores.get(1..cores.len() - 1)?;
        Some(Self {
            target,
            nodes: between.first().copied().unwrap_or(target),
            load,
        })
    }
}
