//! Which errors there were, where, and when one was last seen.

use madrpc_core::stats::{Row, Snapshot};
use std::collections::HashMap;

/// A function at a node, and the name of an error.
type Place = (String, String, String);

/// When errors were last seen. It has no more of them than the latest snapshot.
#[derive(Debug, Clone, Default)]
pub(super) struct Failures {
    /// By the place, the server's uptime when its count was seen to have grown.
    seen_ms: HashMap<Place, u64>,
}

/// Calls of a function at a node that ended with the same error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure<'a> {
    pub(super) node: &'a str,
    pub(super) function: &'a str,
    pub(super) kind: &'a str,
    /// Since the server's start.
    pub(super) count: u64,
    /// How long ago the latest was seen; none where all of them are from before the first look.
    pub(super) ago_ms: Option<u64>,
}

impl Failures {
    /// Compares a snapshot with the one before; of the first one nobody knows when its errors were.
    pub(super) fn look(&mut self, before: Option<&Snapshot>, now: &Snapshot) {
        let Some(before) = before else {
            return;
        };
        let known: HashMap<_, _> = errors(before).collect();
        let mut seen_ms = HashMap::new();
        for ((row, kind), count) in errors(now) {
            let place = (row.0.to_owned(), row.1.to_owned(), kind.to_owned());
            let has_grown = known.get(&(row, kind)).is_none_or(|known| count > *known);
            let last = self.seen_ms.get(&place).copied();
            if let Some(at) = has_grown.then_some(now.uptime_ms).or(last) {
                seen_ms.insert(place, at);
            }
        }
        self.seen_ms = seen_ms;
    }

    /// All errors of the latest snapshot, the latest first.
    pub(super) fn of<'a>(&self, latest: &'a Snapshot) -> Vec<Failure<'a>> {
        let failures = errors(latest).map(|(((node, function), kind), count)| {
            let place = (node.to_owned(), function.to_owned(), kind.to_owned());
            let seen_ms = self.seen_ms.get(&place);
            Failure {
                node,
                function,
                kind,
                count,
                ago_ms: seen_ms.map(|at| latest.uptime_ms.saturating_sub(*at)),
            }
        });
        let mut failures: Vec<_> = failures.collect();
        failures.sort_by_key(|one| {
            let ago = one.ago_ms.unwrap_or(u64::MAX);
            // Those of the same second by their count, so that they do not change places with every look.
            (ago / 1000, u64::MAX - one.count)
        });
        failures
    }
}

/// The errors of each row.
fn errors(snapshot: &Snapshot) -> impl Iterator<Item = (((&str, &str), &str), u64)> {
    snapshot.rows.iter().flat_map(|row: &Row| {
        let place = (row.node.as_str(), row.function.as_str());
        let errors = row.errors.iter();
        errors.map(move |(kind, count)| ((place, kind.as_str()), *count))
    })
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{row, snapshot};
    use super::*;

    #[test]
    fn the_latest_errors_come_first_and_old_ones_have_no_time() {
        let mut failures = Failures::default();
        let at = |ms, counts: [u64; 3]| {
            let rows = ["a", "b", "c"].into_iter().zip(counts);
            let rows = rows.map(|(name, errors)| row("n:1", name, &[(1, 9)], errors));
            snapshot(ms, rows.collect())
        };
        let looks = [
            at(1000, [5, 0, 0]),
            at(2000, [5, 1, 0]),
            at(9000, [5, 1, 2]),
        ];
        let mut before = None;
        for now in &looks {
            failures.look(before, now);
            before = Some(now);
        }
        let latest: Vec<_> = failures.of(&looks[2]).into_iter().collect();
        let latest = latest
            .iter()
            .map(|one| (one.function, one.count, one.ago_ms));
        let expected = [("c", 2, Some(0)), ("b", 1, Some(7000)), ("a", 5, None)];
        assert!(latest.eq(expected));
        // What the server does not tell any more is forgotten.
        failures.look(Some(&looks[2]), &at(9500, [0, 0, 0]));
        assert!(failures.seen_ms.is_empty());
    }
}
