//! What a core was busy with, as shares of the time.

use madrpc_core::stats::Core;

/// Where a core's time went, as shares of the window; together 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Shares {
    pub(super) calls: f64,
    /// Sessions and datagrams, and all else that a shard does.
    pub(super) network: f64,
    pub(super) spinning: f64,
    pub(super) idle: f64,
}

impl Shares {
    /// What calls had and what was spun is measured by the clock: another thread may have had the core meanwhile.
    pub(super) fn of(core: Core, elapsed_us: u64) -> Self {
        let total = elapsed_us.max(core.calls_us).max(core.cpu_us);
        let calls = core.calls_us;
        let spinning = core.spinning_us.min(total - calls);
        let network = core.cpu_us.saturating_sub(calls.saturating_add(spinning));
        let idle = total - calls - spinning - network;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share is shown to a hundredth"
        )]
        let share = |us: u64| us as f64 / total.max(1) as f64;
        Self {
            calls: share(calls),
            network: share(network),
            spinning: share(spinning),
            idle: share(idle),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_a_server_says_shares_are_all_of_the_time() {
        for odd in [
            [0, u64::MAX, u64::MAX],
            [u64::MAX, 0, 9],
            [0, 7, u64::MAX],
            [0, 0, 0],
        ] {
            let [cpu_us, calls_us, spinning_us] = odd;
            let core = Core {
                cpu_us,
                calls_us,
                spinning_us,
                ..Core::default()
            };
            let Shares {
                calls,
                network,
                spinning,
                idle,
            } = Shares::of(core, 1000);
            assert!(
                (calls + network + spinning + idle - 1.0).abs() < 1e-9,
                "{odd:?}"
            );
        }
    }
}
