//! What is said of a source's nodes, and what of it is gone by.

use crate::net::address::Addresses;
use std::time::{Duration, Instant};

/// A source is asked no more often than this, and no less: where a record holds for longer, somebody nearer knows it.
const ASKED_AFTER_MIN: Duration = Duration::from_millis(500);
const ASKED_AFTER_MAX: Duration = Duration::from_secs(30);

/// After how long it is asked again where it did not answer.
pub(super) const FAILED_AFTER: Duration = Duration::from_secs(2);

/// Faults that a line names.
const FAULTS_MAX: usize = 3;

/// What is said of a source.
#[derive(Debug)]
pub(super) struct Answer {
    /// Its parts, or why there are none.
    pub(super) parts: Result<Vec<Part>, String>,
    /// When to ask again.
    pub(super) good_for: Duration,
}

/// A host of it, or the only one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// Empty where it is the source itself.
    pub(super) name: String,
    /// Those of the lowest one are gone by.
    pub(super) priority: u16,
    /// Or why it has none.
    pub(super) nodes: Result<Vec<Addresses>, String>,
}

impl Answer {
    pub(super) fn failed(why: String) -> Self {
        Self {
            parts: Err(why),
            good_for: FAILED_AFTER,
        }
    }

    /// One that holds until then.
    pub(super) fn until(parts: Vec<Part>, until: Option<Instant>) -> Self {
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let mut good_for = left.unwrap_or(FAILED_AFTER);
        if parts.iter().any(|part| part.nodes.is_err()) {
            good_for = good_for.min(FAILED_AFTER);
        }
        Self {
            parts: Ok(parts),
            good_for: good_for.clamp(ASKED_AFTER_MIN, ASKED_AFTER_MAX),
        }
    }
}

/// What a source was last heard to say.
#[derive(Debug, Default)]
pub(super) struct Said {
    /// Its hosts, as far as they have addresses.
    parts: Vec<Part>,
    nodes: Vec<Addresses>,
    /// What is wrong with it.
    fault: Option<String>,
}

impl Said {
    pub(super) fn nodes(&self) -> &[Addresses] {
        &self.nodes
    }

    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    pub(super) fn set_fault(&mut self, fault: String) {
        self.fault = Some(fault);
    }

    /// Goes by another answer; says whether that is news. A host that has no address any more and still is one has failed, and
    /// stays where it was.
    pub(super) fn take(&mut self, parts: Result<Vec<Part>, String>) -> bool {
        let before = self.nodes.len();
        let mut faults = Vec::new();
        let mut parts = parts.unwrap_or_else(|why| {
            faults.push(why);
            Vec::new()
        });
        if parts.is_empty() && faults.is_empty() {
            faults.push("it names nobody".into());
        }
        parts.sort_by(|a, b| (a.priority, &a.name).cmp(&(b.priority, &b.name)));
        parts.dedup_by(|a, b| a.name == b.name);
        for part in &mut parts {
            let Err(why) = &part.nodes else { continue };
            faults.push(match part.name.is_empty() {
                true => why.clone(),
                false => format!("{}: {why}", part.name),
            });
            let known = self.parts.iter().find(|known| known.name == part.name);
            if let Some(known) = known {
                part.nodes = known.nodes.clone();
            }
        }
        parts.retain(|part| part.nodes.as_ref().is_ok_and(|nodes| !nodes.is_empty()));
        let lowest = parts.first().map(|part| part.priority);
        let taken = parts.iter().filter(|part| Some(part.priority) == lowest);
        let nodes: Vec<Addresses> = taken
            .flat_map(|part| part.nodes.iter().flatten())
            .cloned()
            .collect();
        let is_lost = nodes.is_empty();
        let fault = in_words(&faults, is_lost.then_some(before));
        let has_news = fault != self.fault || !is_lost && !are_same(&nodes, &self.nodes);
        self.fault = fault;
        if !is_lost {
            // In another order they are the same.
            if !are_same(&nodes, &self.nodes) {
                self.nodes = nodes;
            }
            self.parts = parts;
        }
        has_news
    }
}

fn in_words(faults: &[String], lost: Option<usize>) -> Option<String> {
    let first: Vec<&str> = faults.iter().take(FAULTS_MAX).map(String::as_str).collect();
    let mut words = first.join("; ");
    if faults.len() > FAULTS_MAX {
        words.push_str(&format!("; and {} more", faults.len() - FAULTS_MAX));
    }
    match lost {
        Some(before) if before > 0 => {
            words.push_str(&format!("; the {before} that it named before stay"));
        }
        _ => {}
    }
    (!words.is_empty()).then_some(words)
}

/// Whether they are the same servers by the same ways.
fn are_same(some: &[Addresses], others: &[Addresses]) -> bool {
    some.len() == others.len()
        && some.iter().zip(others).all(|(one, other)| {
            one.all().len() == other.all().len()
                && one
                    .all()
                    .iter()
                    .all(|address| other.all().contains(address))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    fn node(port: u16) -> Addresses {
        SocketAddr::from(([127, 0, 0, 1], port)).into()
    }

    fn part(name: &str, priority: u16, ports: &[u16]) -> Part {
        let nodes = ports.iter().map(|port| node(*port)).collect();
        Part {
            name: name.into(),
            priority,
            nodes: Ok(nodes),
        }
    }

    fn bad(name: &str) -> Part {
        Part {
            nodes: Err("broken".into()),
            ..part(name, 0, &[])
        }
    }

    fn ports(said: &Said) -> Vec<u16> {
        said.nodes()
            .iter()
            .map(|node| node.first().port())
            .collect()
    }

    #[test]
    fn a_host_that_fails_stays_and_one_that_is_gone_does_not() {
        let mut said = Said::default();
        assert!(said.take(Ok(vec![part("a", 0, &[1]), part("b", 0, &[2, 3])])));
        assert_eq!(ports(&said), [1, 2, 3]);
        assert!(!said.take(Ok(vec![part("b", 0, &[2, 3]), part("a", 0, &[1])])));
        assert!(said.take(Ok(vec![part("a", 0, &[1]), bad("b")])));
        assert_eq!(
            (ports(&said), said.fault()),
            (vec![1, 2, 3], Some("b: broken"))
        );
        assert!(said.take(Ok(vec![part("a", 0, &[4]), bad("new")])));
        assert_eq!((ports(&said), said.fault()), (vec![4], Some("new: broken")));
        for nothing in [Err("broken".into()), Ok(Vec::new())] {
            said.take(nothing);
            assert_eq!(ports(&said), [4]);
            assert!(
                said.fault()
                    .unwrap()
                    .ends_with("the 1 that it named before stay")
            );
        }
        let many = (0..9).map(|number| bad(&format!("h{number}"))).collect();
        said.take(Ok(many));
        assert!(
            said.fault().unwrap().contains("and 6 more; the 1 that"),
            "{said:?}"
        );
    }

    #[test]
    fn those_of_the_lowest_priority_count_that_have_addresses() {
        let mut said = Said::default();
        said.take(Ok(vec![
            part("c", 20, &[3]),
            part("a", 10, &[1]),
            part("b", 10, &[2]),
        ]));
        assert_eq!(ports(&said), [1, 2]);
        said.take(Ok(vec![part("c", 20, &[3]), bad("d")]));
        assert_eq!(ports(&said), [3]);
        assert_eq!(said.fault(), Some("d: broken"));
    }

    #[test]
    fn it_is_asked_as_often_as_the_records_say_within_bounds() {
        let after = |seconds: f32, part: Part| {
            let until = Instant::now() + Duration::from_millis((seconds * 1e3) as u64);
            Answer::until(vec![part], Some(until))
                .good_for
                .as_secs_f32()
                .round()
        };
        assert_eq!(after(5.0, part("a", 0, &[1])), 5.0);
        assert_eq!(after(5000.0, part("a", 0, &[1])), 30.0);
        assert_eq!(after(50.0, bad("a")), 2.0);
        let least = Answer::until(vec![part("a", 0, &[1])], Some(Instant::now()));
        assert_eq!(least.good_for, ASKED_AFTER_MIN);
    }
}
