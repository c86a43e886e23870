//! The line that says how it goes, while stderr is a terminal.

use crate::args::BenchArgs;
use crate::output::figures::each_second;
use indicatif::{HumanCount, ProgressBar, ProgressFinish, ProgressStyle};
use madrpc_shard::client::load::Progress;

pub(super) struct Line {
    bar: ProgressBar,
    by_calls: bool,
}

impl Line {
    /// A line for so many calls or so much time; indicatif draws none where stderr is no terminal.
    pub(super) fn new(args: &BenchArgs) -> Self {
        let whole = args.warm_up.saturating_add(args.duration);
        let length = args
            .count
            .map_or(whole.as_millis() as u64, |count| count as u64);
        let style = ProgressStyle::with_template("{bar:20} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(length)
            .with_style(style)
            .with_finish(ProgressFinish::AndClear);
        bar.set_message("connecting");
        Self {
            bar,
            by_calls: args.count.is_some(),
        }
    }

    pub(super) fn tell(&self, progress: &Progress) {
        let position = match self.by_calls {
            true => progress.calls,
            false => progress.elapsed.as_millis() as u64,
        };
        let phase = if progress.counting { "" } else { " warming up" };
        self.bar.set_position(position);
        self.bar.set_message(format!(
            "{:.1} s{phase}  {} calls/s  {} in flight  {} errors",
            progress.elapsed.as_secs_f64(),
            each_second(progress.results_per_s),
            HumanCount(progress.in_flight as u64),
            HumanCount(progress.errors),
        ));
    }

    /// Removes it.
    pub(super) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
