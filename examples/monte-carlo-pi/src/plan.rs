//! The plan of a run: how many samples each task takes, and with which seed.

use serde::Serialize;

/// JavaScript counts exactly up to here.
pub(crate) const SAMPLES_MAX: u64 = (1 << 53) - 1;

/// Tasks of one run; the next run's seeds begin behind them.
pub(crate) const TASKS_MAX: u64 = 1 << 21;

// The last seed of the last run has to be a number that JavaScript holds exactly, too.
const _: () = assert!((u32::MAX as u64 + 1) * TASKS_MAX - 1 <= SAMPLES_MAX);

/// The arguments of one call of `monte_carlo_sample`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Task {
    pub(crate) samples: u64,
    pub(crate) seed: u64,
}

/// How the samples of a run are divided into tasks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    samples: u64,
    tasks: u64,
    seed: u32,
}

impl Plan {
    /// `samples` divided into `tasks` tasks, or into fewer where there are not enough for one each.
    pub(crate) fn new(samples: u64, tasks: u64, seed: u32) -> Self {
        let tasks = tasks.min(samples);
        Self {
            samples,
            tasks,
            seed,
        }
    }

    pub(crate) fn tasks(&self) -> u64 {
        self.tasks
    }
}

impl IntoIterator for Plan {
    type Item = Task;
    type IntoIter = Box<dyn Iterator<Item = Task>>;

    /// The tasks. What does not divide evenly goes to the first ones, a sample each. No two tasks have the same seed,
    /// whether of one run or of runs with different seeds: their samples may be averaged.
    fn into_iter(self) -> Self::IntoIter {
        let Self {
            samples,
            tasks,
            seed,
        } = self;
        Box::new((0..tasks).map(move |number| Task {
            samples: samples / tasks + u64::from(number < samples % tasks),
            seed: u64::from(seed) * TASKS_MAX + number,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_sample_is_lost_or_done_twice() {
        for (samples, tasks) in [
            (1, 1),
            (1, 7),
            (7, 7),
            (10, 3),
            (20_000_000, 200),
            (20_000_001, 199),
            (SAMPLES_MAX, 1000),
        ] {
            let plan: Vec<Task> = Plan::new(samples, tasks, 0).into_iter().collect();
            assert_eq!(
                plan.iter().map(|task| task.samples).sum::<u64>(),
                samples,
                "{samples} in {tasks}"
            );
            assert_eq!(plan.len() as u64, tasks.min(samples));
            let least = plan.iter().map(|task| task.samples).min().unwrap();
            let most = plan.iter().map(|task| task.samples).max().unwrap();
            assert!(
                least > 0 && most - least <= 1,
                "{samples} in {tasks}: {least} to {most}"
            );
        }
    }

    #[test]
    fn tasks_of_neighbouring_runs_share_no_seed() {
        let seeds = |seed| {
            Plan::new(TASKS_MAX, TASKS_MAX, seed)
                .into_iter()
                .map(|task| task.seed)
        };
        assert_eq!(seeds(7).next(), seeds(6).last().map(|last| last + 1));
        assert!(
            seeds(6)
                .zip(seeds(6).skip(1))
                .all(|(seed, next)| seed < next)
        );
        assert_eq!(seeds(u32::MAX).last(), Some(SAMPLES_MAX));
    }
}
