//! How it goes, on stderr: a line that is written over where that is a terminal, else a line every ten seconds.

use super::window::Position;
use crate::output::figures::each_second;
use crate::output::say;
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressFinish, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

const EACH: Duration = Duration::from_millis(250);

/// Where nobody watches.
const EACH_IN_A_LOG: Duration = Duration::from_secs(10);

pub(super) struct Progress {
    bar: Option<ProgressBar>,
    is_quiet: bool,
    /// Bytes of the input, where it is known how many there are.
    size: Option<u64>,
    begun: Instant,
    from: Position,
    told: Instant,
    told_lines: u64,
    per_s: f64,
}

/// What there is to tell.
pub(super) struct Told {
    pub(super) done: Position,
    /// Lines that are done, those after one that is not among them.
    pub(super) lines: u64,
    pub(super) failed: u64,
    pub(super) in_flight: usize,
    pub(super) waiting: usize,
}

impl Progress {
    pub(super) fn new(is_quiet: bool, size: Option<u64>, from: Position) -> Self {
        let now = Instant::now();
        let style = match size {
            Some(_) => ProgressStyle::with_template("{bar:20} {percent:>3} %  {msg}"),
            None => ProgressStyle::with_template("{msg}"),
        };
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let shows = !is_quiet && stderr().is_terminal();
        let bar = shows.then(|| {
            ProgressBar::new(size.unwrap_or(0))
                .with_style(style)
                .with_finish(ProgressFinish::AndClear)
        });
        Self {
            bar,
            is_quiet,
            size,
            begun: now,
            from,
            told: now,
            told_lines: from.lines,
            per_s: 0.0,
        }
    }

    /// Whether it is time to tell.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        let each = match self.bar {
            Some(_) => EACH,
            None => EACH_IN_A_LOG,
        };
        !self.is_quiet && now.saturating_duration_since(self.told) >= each
    }

    pub(super) fn tell(&mut self, told: &Told, now: Instant) {
        let passed = now.saturating_duration_since(self.told).as_secs_f64();
        let new = told.lines.saturating_sub(self.told_lines) as f64;
        let per_s = new / passed.max(1e-3);
        // An average that forgets, so that the time left does not jump.
        self.per_s = match self.told_lines == self.from.lines {
            true => per_s,
            false => self.per_s + (per_s - self.per_s) * 0.2,
        };
        (self.told, self.told_lines) = (now, told.lines);
        let left = self
            .left(told.done, now)
            .map(|left| format!("  {} left", HumanDuration(left)));
        let refused = match told.waiting {
            0 => String::new(),
            waiting => format!("  {} to be tried again", HumanCount(waiting as u64)),
        };
        let line = format!(
            "{} lines  {} lines/s  {} in flight{refused}  {} failed{}",
            HumanCount(told.lines),
            each_second(self.per_s),
            HumanCount(told.in_flight as u64),
            HumanCount(told.failed),
            left.unwrap_or_default()
        );
        match &self.bar {
            Some(bar) => {
                bar.set_position(told.done.bytes);
                bar.set_message(line);
            }
            None => say(&line),
        }
    }

    /// The time that the rest of the input will take, at the pace so far.
    fn left(&self, done: Position, now: Instant) -> Option<Duration> {
        let bytes = done.bytes.saturating_sub(self.from.bytes);
        let left = self.size?.checked_sub(done.bytes)?;
        let passed = now.saturating_duration_since(self.begun);
        if bytes == 0 {
            return None;
        }
        let seconds = passed.as_secs_f64() * left as f64 / bytes as f64;
        Some(Duration::from_secs(seconds as u64))
    }

    /// Says what came of it.
    pub(super) fn end(&self, told: &Told, now: Instant) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if !self.is_quiet {
            let passed = now.saturating_duration_since(self.begun);
            let lines = told.lines.saturating_sub(self.from.lines);
            say(&format!(
                "{} lines in {:.1} s, {} lines/s; {} failed",
                HumanCount(lines),
                passed.as_secs_f64(),
                each_second(lines as f64 / passed.as_secs_f64().max(1e-3)),
                HumanCount(told.failed)
            ));
        }
    }
}
