//! What came of a run, held against its bounds.

use super::caller::{Newcomers, Top};
use super::machine::QUIET;
use super::{BEYOND_BUDGET_BYTES, BUDGET_BYTES};
use crate::attack::{Attack, Bounds};
use serde::{Deserialize, Serialize};

const MIB: f64 = (1u64 << 20) as f64;

/// One attack and its figures.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Row {
    /// The attack's name.
    pub attack: String,
    /// What was sent.
    pub did: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The attacker's part of its core.
    pub attacker_share: f64,
    /// The attacked server's part of its core.
    pub server_share: f64,
    /// What others had of the machine's cores meanwhile, as a share of one: ratios say little where it is much.
    pub others_share: f64,
    /// Calls in a second with 64 in flight, before anything else.
    pub calls_per_s_before: f64,
    /// Calls in a second of a caller: beside strangers one who asks for all, with 64 in flight; beside callers, for a third:
    /// beside the stand-in, and beside the attacker.
    pub calls_per_s: Option<[f64; 2]>,
    /// The p99 of a lone caller, in microseconds: beside the stand-in, and beside the attacker.
    pub p99_us: Option<[u64; 2]>,
    /// Callers who came during the attack, and how many of them got a result.
    pub newcomers: [u64; 2],
    /// The longest that one of them took, in milliseconds.
    pub newcomer_max_ms: u64,
    /// Memory before, in bytes.
    pub before_bytes: u64,
    /// The most that it grew, in bytes.
    pub grown_bytes: u64,
    /// What was left of that 10 s after, in bytes.
    pub left_bytes: u64,
    /// Memory 10 s after as the kernel shares it out (PSS), in bytes.
    pub pss_bytes: u64,
    /// Descriptors that were opened and are open 10 s after.
    pub descriptors_left: i64,
    /// Lines in the log.
    pub lines: u64,
    /// Lines that are not the server's.
    pub forged: u64,
    /// Some of them, and of those that warn.
    pub some_lines: Vec<String>,
    /// The most sessions that were counted at one time, by `madrpc top`.
    pub sessions_max: u64,
    /// The most open handshakes that were counted at one time.
    pub handshakes_max: u64,
    /// Retries and stateless resets that were counted.
    pub retries_and_resets: [u64; 2],
    /// How long the server took to end by SIGTERM, in milliseconds.
    pub end_ms: u64,
    /// What else had to hold, and did.
    pub held: Vec<String>,
    /// What did not.
    pub failed: Vec<String>,
}

impl Row {
    /// Whether all is within bounds.
    #[must_use]
    pub fn is_within(&self) -> bool {
        self.failed.is_empty()
    }

    /// Whether others left the machine alone, so that its ratios say something.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.others_share <= QUIET * 2.0
    }

    /// The share of its throughput that a caller keeps.
    #[must_use]
    pub fn kept(&self) -> Option<f64> {
        let [beside_stand_in, beside_attacker] = self.calls_per_s?;
        (beside_stand_in > 0.0).then(|| beside_attacker / beside_stand_in)
    }

    /// What a lone caller's p99 is multiplied by.
    #[must_use]
    pub fn p99_ratio(&self) -> Option<f64> {
        let [beside_stand_in, beside_attacker] = self.p99_us?;
        (beside_stand_in > 0).then(|| beside_attacker as f64 / beside_stand_in as f64)
    }

    /// The most memory that the attack may take, in bytes.
    #[must_use]
    pub fn memory_max(bounds: &Bounds) -> u64 {
        let budget = if bounds.uses_budget { BUDGET_BYTES } else { 0 };
        budget + BEYOND_BUDGET_BYTES
    }

    pub(crate) fn note_newcomers(&mut self, seen: &Newcomers) {
        self.newcomers = [seen.tried, seen.got_in];
        self.newcomer_max_ms = seen.slowest.as_millis() as u64;
        let most = |what: fn(&Top) -> u64| seen.told.iter().map(what).max().unwrap_or(0);
        self.sessions_max = most(|top| top.sessions);
        self.handshakes_max = most(|top| top.open_handshakes);
    }

    /// Notes what is not within the attack's bounds.
    pub(crate) fn judge(&mut self, attack: &Attack) {
        let bounds = &attack.bounds;
        let mut failed = Vec::new();
        let is_quiet = self.is_quiet();
        if let Some(min) = bounds.kept_min {
            match self.kept() {
                Some(kept) if kept >= min || !is_quiet => {}
                Some(kept) => failed.push(format!("a caller keeps {:.0} %", kept * 100.0)),
                None => failed.push("a caller got nothing".to_owned()),
            }
        }
        if let Some(max) = bounds.p99_max {
            match self.p99_ratio() {
                Some(ratio) if ratio <= max || !is_quiet => {}
                Some(ratio) => {
                    failed.push(format!("a lone caller's p99 is {ratio:.1} times as long"));
                }
                None => failed.push("a lone caller got nothing".to_owned()),
            }
        }
        let [tried, got_in] = self.newcomers;
        if got_in < tried {
            failed.push(format!(
                "{} of {tried} newcomers got nothing",
                tried - got_in
            ));
        }
        let max = Self::memory_max(bounds);
        if self.grown_bytes > max {
            failed.push(format!(
                "{:.0} MiB of memory, at most {:.0}",
                self.grown_bytes as f64 / MIB,
                max as f64 / MIB
            ));
        }
        if self.left_bytes > bounds.left_max {
            failed.push(format!(
                "{:.0} MiB of memory left, at most {:.0}",
                self.left_bytes as f64 / MIB,
                bounds.left_max as f64 / MIB
            ));
        }
        if self.lines > bounds.lines_max {
            failed.push(format!("{} lines in the log", self.lines));
        }
        if self.forged > 0 {
            failed.push(format!("{} forged lines in the log", self.forged));
        }
        self.failed.extend(failed);
    }

    /// For people, in a few lines.
    #[must_use]
    pub fn text(&self) -> String {
        let percent = |share: Option<f64>| match share {
            Some(share) => format!("{:.0} %", share * 100.0),
            None => "-".to_owned(),
        };
        let ratio = self.p99_ratio().map(|ratio| format!("{ratio:.1}x"));
        let mut text = format!(
            "{} {}\n    {} in {:.1} s; attacker {:.0} % of its core, server {:.0} %, others {:.0} %\n    kept {}, p99 {}, newcomers \
             {}/{} (slowest {} ms)\n    memory {:+.0} MiB, {:+.0} MiB 10 s after; {} lines, {} forged; at most {} \
             sessions, {} handshakes; {} Retries, {} resets; ended in {} ms",
            if self.is_within() { "ok  " } else { "FAIL" },
            self.attack,
            self.did,
            self.seconds,
            self.attacker_share * 100.0,
            self.server_share * 100.0,
            self.others_share * 100.0,
            percent(self.kept()),
            ratio.as_deref().unwrap_or("-"),
            self.newcomers[1],
            self.newcomers[0],
            self.newcomer_max_ms,
            self.grown_bytes as f64 / MIB,
            self.left_bytes as f64 / MIB,
            self.lines,
            self.forged,
            self.sessions_max,
            self.handshakes_max,
            self.retries_and_resets[0],
            self.retries_and_resets[1],
            self.end_ms,
        );
        if !self.is_quiet() {
            text += "\n    others used the machine: the ratios are not judged";
        }
        for held in &self.held {
            text += &format!("\n    holds: {held}");
        }
        for failed in &self.failed {
            text += &format!("\n    FAILS: {failed}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_what_decides() {
        let attack = crate::attack("junk").unwrap();
        let good = Row {
            calls_per_s: Some([100.0, 80.0]),
            p99_us: Some([10, 50]),
            newcomers: [3, 3],
            grown_bytes: 64 << 20,
            lines: 50,
            ..Row::default()
        };
        let failed = |row: Row| {
            let mut row = row;
            row.judge(attack);
            row.failed.join("; ")
        };
        assert_eq!(failed(good.clone()), "");
        let slow = Row {
            calls_per_s: Some([100.0, 79.0]),
            ..good.clone()
        };
        assert_eq!(failed(slow), "a caller keeps 79 %");
        let late = Row {
            p99_us: Some([10, 51]),
            ..good.clone()
        };
        assert_eq!(failed(late), "a lone caller's p99 is 5.1 times as long");
        let mute = Row {
            p99_us: None,
            calls_per_s: None,
            ..good.clone()
        };
        assert_eq!(
            failed(mute),
            "a caller got nothing; a lone caller got nothing"
        );
        let fat = Row {
            grown_bytes: 65 << 20,
            left_bytes: 33 << 20,
            lines: 51,
            forged: 1,
            newcomers: [3, 1],
            ..good
        };
        let all = "2 of 3 newcomers got nothing; 65 MiB of memory, at most 64; 33 MiB of memory left, at most 32; 51 lines in the log; 1 forged lines in \
                   the log";
        assert_eq!(failed(fat), all);
    }
}
