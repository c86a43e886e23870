//! What a run has found, and who did the work: sums over the replies and their bills.

use crate::sampling::Sampled;
use indicatif::HumanCount;
use madrpc_core::call::Bill;
use std::collections::BTreeMap;
use std::f64::consts::PI;
use std::fmt;
use std::time::Duration;

/// The results of a run, added up as they come.
#[derive(Debug)]
pub(crate) struct Report {
    seed: u32,
    inside: u64,
    total: u64,
    took: Duration,
    /// By node and shard.
    shares: BTreeMap<(String, u16), Share>,
}

/// What one shard did.
#[derive(Debug, Default, Clone, Copy)]
struct Share {
    tasks: u64,
    cpu_us: u64,
}

impl Report {
    pub(crate) fn new(seed: u32) -> Self {
        Self {
            seed,
            inside: 0,
            total: 0,
            took: Duration::ZERO,
            shares: BTreeMap::new(),
        }
    }

    /// Adds the result of a task.
    pub(crate) fn add(&mut self, sampled: Sampled, bill: &Bill<String>) {
        self.inside += sampled.inside;
        self.total += sampled.total;
        let share = self
            .shares
            .entry((bill.node.clone(), bill.shard))
            .or_default();
        share.tasks += 1;
        share.cpu_us += bill.cpu_us;
    }

    /// Sets how long the tasks took together.
    pub(crate) fn took(&mut self, took: Duration) {
        self.took = took;
    }

    fn tasks(&self) -> u64 {
        self.shares.values().map(|share| share.tasks).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.total as f64;
        let pi = 4.0 * self.inside as f64 / total;
        // A point is inside with the probability pi / 4: the deviation of a binomial distribution.
        let deviation = (PI * (4.0 - PI) / total).sqrt();
        let seconds = self.took.as_secs_f64();
        let tasks = self.tasks();
        writeln!(f, "pi           {pi:.9}")?;
        writeln!(
            f,
            "  error      {:+.9} (to be expected: {deviation:.6})",
            pi - PI
        )?;
        writeln!(
            f,
            "  samples    {} inside of {}, seed {}",
            HumanCount(self.inside),
            HumanCount(self.total),
            self.seed
        )?;
        writeln!(f, "  samples/s  {}", HumanCount((total / seconds) as u64))?;
        writeln!(f, "  calls/s    {:.0}", tasks as f64 / seconds)?;
        writeln!(f, "  calls      {} in {seconds:.2} s", HumanCount(tasks))?;
        writeln!(f)?;
        let width = self
            .shares
            .keys()
            .map(|(node, _)| node.chars().count())
            .max()
            .unwrap_or(0);
        writeln!(f, "{:width$}  shard   tasks  cpu time", "node")?;
        for ((node, shard), share) in &self.shares {
            let seconds = Duration::from_micros(share.cpu_us).as_secs_f64();
            writeln!(
                f,
                "{node:width$}  {shard:>5}  {:>6}  {seconds:>6.2} s",
                share.tasks
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bill(node: &str, shard: u16, cpu_us: u64) -> Bill<String> {
        Bill {
            cpu_us,
            shard,
            node: node.into(),
            ..Bill::default()
        }
    }

    #[test]
    fn results_and_work_are_added_up() {
        let mut report = Report::new(5);
        let sampled = |inside| Sampled {
            inside,
            total: 1000,
        };
        report.add(sampled(785), &bill("b:1", 0, 1_000_000));
        report.add(sampled(786), &bill("a:10", 1, 10_000));
        report.add(sampled(784), &bill("b:1", 0, 500_000));
        report.took(Duration::from_millis(500));
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "pi           3.140000000");
        assert_eq!(
            lines[1],
            "  error      -0.001592654 (to be expected: 0.029982)"
        );
        assert_eq!(lines[2], "  samples    2,355 inside of 3,000, seed 5");
        assert_eq!(lines[3], "  samples/s  6,000");
        assert_eq!(lines[4], "  calls/s    6");
        assert_eq!(lines[7], "node  shard   tasks  cpu time");
        assert_eq!(lines[8], "a:10      1       1    0.01 s");
        assert_eq!(lines[9], "b:1       0       2    1.50 s");
    }
}
