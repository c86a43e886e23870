//! What one shard has counted, by function and node.
//!
//! The names in calls are chosen by callers, and a name that nobody has registered must leave nothing behind. So a
//! function is known by name from when it is registered here, or a node has answered for it; all other names are counted
//! as one, [`UNKNOWN`].

use super::Latency;
use crate::call::ErrorKind;
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::sync::Arc;

/// Pairs of a function and a node that a shard counts by themselves, and functions that it knows by name. Calls beyond it
/// are counted in one row for each node, [`OTHER_FUNCTIONS`].
///
/// A row takes 1.2 KiB where no call lasts over a millisecond, 2.5 KiB up to a second, and at most 3.8 KiB: all rows of a
/// shard together at most 16 MiB, and 8 KiB for each node.
pub const ROWS_MAX: usize = 4096;

/// The row of functions beyond [`ROWS_MAX`].
pub const OTHER_FUNCTIONS: &str = "(other)";

/// The row of names that no node has been found to know.
pub const UNKNOWN_FUNCTIONS: &str = "(unknown)";

/// The node under which is counted what those ran that have left.
pub const GONE_NODES: &str = "(gone)";

/// The number that all names have together that nobody is known to have registered.
pub const UNKNOWN: usize = 0;

/// The number that the functions beyond [`ROWS_MAX`] have together.
const OTHER: usize = 1;

/// Rows of one part of a snapshot: 0.1 ms of a shard's time at the most, which its calls wait for.
const ROWS_PER_PART: usize = 48;

/// Calls of one function at one node.
#[derive(Debug, Clone, Default)]
pub struct Counter {
    pub(super) calls: u64,
    /// All latencies together.
    pub(super) latency_sum_us: u64,
    /// Time on the core.
    pub(super) cpu_us: u64,
    pub(super) errors: [u64; ErrorKind::ALL.len()],
    pub(super) latency: Latency,
}

impl Counter {
    /// Counts a call that ended after `microseconds`, with `error` where it had no result.
    pub fn record(&mut self, microseconds: u64, error: Option<ErrorKind>) {
        self.calls += 1;
        self.latency_sum_us = self.latency_sum_us.saturating_add(microseconds);
        self.latency.record(microseconds);
        if let Some(kind) = error {
            self.errors[usize::from(kind.number()) - 1] += 1;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        self.latency_sum_us = self.latency_sum_us.saturating_add(other.latency_sum_us);
        self.cpu_us = self.cpu_us.saturating_add(other.cpu_us);
        for (sum, count) in self.errors.iter_mut().zip(other.errors) {
            *sum += count;
        }
        self.latency.merge(&other.latency);
    }
}

/// A counter, and what it is for.
#[derive(Debug, Clone)]
pub struct Tally {
    pub(super) node: Arc<str>,
    pub(super) function: Arc<str>,
    pub(super) counter: Counter,
}

/// Some of a shard's rows.
#[derive(Debug)]
pub struct Part {
    /// In the order in which they came about.
    pub tallies: Vec<Tally>,
    /// Where to go on; nothing after the last row.
    pub next: Option<usize>,
}

/// A shard's counters. A function is found by a number that stays the same.
#[derive(Debug)]
pub struct Counters {
    nodes: Vec<Arc<str>>,
    /// Those that are there, by their names.
    node_numbers: HashMap<Arc<str>, usize, RandomState>,
    /// Only names that are registered are in it, so nobody can make it slow.
    numbers: HashMap<Arc<str>, usize, RandomState>,
    functions: Vec<Function>,
    /// Rows of nodes that are gone are free: nothing is counted in them.
    tallies: Vec<Tally>,
    free: Vec<usize>,
    /// Numbers of nodes that are gone, and that of all of them together.
    free_nodes: Vec<usize>,
    gone: Option<usize>,
    /// Of the rows, those of [`UNKNOWN`] and [`OTHER`].
    shared: usize,
}

#[derive(Debug)]
struct Function {
    name: Arc<str>,
    /// The node's number and the row's, by the former. A row is made when it is first used.
    rows: Vec<(usize, usize)>,
}

impl Counters {
    /// Counters for calls at these nodes.
    #[must_use]
    pub fn new<N: Into<Arc<str>>>(nodes: impl IntoIterator<Item = N>) -> Self {
        let mut counters = Self {
            nodes: Vec::new(),
            node_numbers: HashMap::default(),
            numbers: HashMap::default(),
            functions: Vec::new(),
            tallies: Vec::new(),
            free: Vec::new(),
            free_nodes: Vec::new(),
            gone: None,
            shared: 0,
        };
        for name in nodes {
            counters.add_node(name.into());
        }
        // In the order of their numbers, and not to be found by name: a script may register functions that are called so.
        for name in [UNKNOWN_FUNCTIONS, OTHER_FUNCTIONS] {
            counters.functions.push(Function::new(name.into()));
        }
        counters
    }

    /// The nodes, in the order of their numbers.
    #[must_use]
    pub fn nodes(&self) -> &[Arc<str>] {
        &self.nodes
    }

    /// The number of a node, which it gets now where it is new.
    pub fn node(&mut self, name: &str) -> usize {
        let known = self.node_numbers.get(name).copied();
        known.unwrap_or_else(|| self.add_node(name.into()))
    }

    fn add_node(&mut self, name: Arc<str>) -> usize {
        let number = match self.free_nodes.pop() {
            Some(free) => {
                self.nodes[free] = Arc::clone(&name);
                free
            }
            None => {
                self.nodes.push(Arc::clone(&name));
                self.nodes.len() - 1
            }
        };
        self.node_numbers.entry(name).or_insert(number);
        number
    }

    /// A node has left: what it has run counts as that of [`GONE_NODES`] from now on, and its number may be given to another.
    pub fn forget_node(&mut self, node: usize) {
        let Some(name) = self.nodes.get(node) else {
            return;
        };
        // What is free has no name, and that of those that are gone is not among them.
        if self.node_numbers.get(name) != Some(&node) {
            return;
        }
        self.node_numbers.remove(&Arc::clone(name));
        let gone = match self.gone {
            Some(gone) => gone,
            None => {
                self.nodes.push(GONE_NODES.into());
                *self.gone.insert(self.nodes.len() - 1)
            }
        };
        for function in 0..self.functions.len() {
            let rows = &mut self.functions[function].rows;
            let Ok(at) = rows.binary_search_by_key(&node, |&(node, _)| node) else {
                continue;
            };
            let (_, row) = rows.remove(at);
            let left = std::mem::take(&mut self.tallies[row].counter);
            self.free.push(row);
            self.shared -= usize::from(function <= OTHER);
            if let Some(row) = self.row(function, gone) {
                self.tallies[row].counter.merge(&left);
            }
        }
        self.nodes[node] = "".into();
        self.free_nodes.push(node);
    }

    /// The number of a function that is known.
    #[must_use]
    pub fn find(&self, function: &str) -> Option<usize> {
        self.numbers.get(function).copied()
    }

    /// The number of a function that somebody has registered.
    pub fn number(&mut self, function: &str) -> usize {
        if let Some(number) = self.find(function) {
            return number;
        }
        if self.numbers.len() >= ROWS_MAX {
            return OTHER;
        }
        let number = self.functions.len();
        let name: Arc<str> = function.into();
        self.numbers.insert(Arc::clone(&name), number);
        self.functions.push(Function::new(name));
        number
    }

    /// The name of the function with this number.
    #[must_use]
    pub fn name(&self, function: usize) -> Option<&str> {
        Some(&self.functions.get(function)?.name)
    }

    /// Counts a call of a function at a node, both by their numbers.
    pub fn record(
        &mut self,
        function: usize,
        node: usize,
        microseconds: u64,
        error: Option<ErrorKind>,
    ) {
        self.record_run(function, node, (microseconds, 0), error);
    }

    /// The same of one that took so long, and so much of it on the core here, both in microseconds.
    pub fn record_run(
        &mut self,
        function: usize,
        node: usize,
        (microseconds, cpu_us): (u64, u64),
        error: Option<ErrorKind>,
    ) {
        if let Some(row) = self.row(function, node)
            && let Some(tally) = self.tallies.get_mut(row)
        {
            let counter = &mut tally.counter;
            counter.record(microseconds, error);
            counter.cpu_us = counter.cpu_us.saturating_add(cpu_us);
        }
    }

    /// The row of a function at a node; nothing where there is no such function or node.
    fn row(&mut self, function: usize, node: usize) -> Option<usize> {
        let is_shared = function <= OTHER;
        let Function { name, rows } = self.functions.get_mut(function)?;
        let at = match rows.binary_search_by_key(&node, |&(node, _)| node) {
            Ok(at) => return Some(rows[at].1),
            Err(at) => at,
        };
        if !is_shared && self.tallies.len() - self.free.len() - self.shared >= ROWS_MAX {
            return self.row(OTHER, node);
        }
        let tally = Tally {
            node: Arc::clone(self.nodes.get(node)?),
            function: Arc::clone(name),
            counter: Counter::default(),
        };
        let row = match self.free.pop() {
            Some(free) => {
                self.tallies[free] = tally;
                free
            }
            None => {
                self.tallies.push(tally);
                self.tallies.len() - 1
            }
        };
        rows.insert(at, (node, row));
        self.shared += usize::from(is_shared);
        Some(row)
    }

    /// A bounded number of rows, of which the first has this number; 0 is the first of all.
    #[must_use]
    pub fn part(&self, from: usize) -> Part {
        let end = from.saturating_add(ROWS_PER_PART).min(self.tallies.len());
        let tallies = self.tallies.get(from..end).unwrap_or_default().iter();
        Part {
            tallies: tallies
                .filter(|tally| tally.counter.calls > 0)
                .cloned()
                .collect(),
            next: (end < self.tallies.len()).then_some(end),
        }
    }
}

impl Function {
    fn new(name: Arc<str>) -> Self {
        Self {
            name,
            rows: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Few under Miri, which takes a thousand times as long.
    const INVENTED: usize = if cfg!(miri) { 200 } else { 100_000 };

    fn rows(counters: &Counters) -> Vec<(String, String, u64)> {
        let mut rows = Vec::new();
        let mut from = Some(0);
        while let Some(part) = from.map(|from| counters.part(from)) {
            assert!(part.tallies.len() <= ROWS_PER_PART);
            rows.extend(part.tallies.into_iter().map(|tally| {
                let Tally {
                    node,
                    function,
                    counter,
                } = tally;
                (node.to_string(), function.to_string(), counter.calls)
            }));
            from = part.next;
        }
        rows
    }

    #[test]
    fn names_that_nobody_has_registered_leave_nothing_behind() {
        let mut counters = Counters::new(["a", "b"]);
        for number in 0..INVENTED {
            let name = format!("invented {number}");
            let function = counters.find(&name).unwrap_or(UNKNOWN);
            counters.record(function, number % 2, 1, Some(ErrorKind::NoSuchFunction));
        }
        let real = counters.number("real");
        counters.record(real, 0, 1, None);
        let expected = [
            ("a", "(unknown)", INVENTED as u64 / 2),
            ("b", "(unknown)", INVENTED as u64 / 2),
            ("a", "real", 1),
        ];
        let expected =
            expected.map(|(node, name, calls)| (node.to_owned(), name.to_owned(), calls));
        assert_eq!(rows(&counters), expected);
        assert_eq!((counters.numbers.len(), counters.functions.len()), (1, 3));
    }

    #[test]
    #[cfg_attr(miri, ignore = "thousands of rows are minutes")]
    fn functions_times_nodes_are_bounded_together() {
        let nodes = 20;
        let mut counters = Counters::new((0..nodes).map(|node| format!("node {node}")));
        // All 4,500 of the first node, and of the others what is left.
        for node in 0..nodes {
            for function in 0..4500 {
                let function = counters.number(&format!("function {function}"));
                counters.record(function, node, 1, None);
            }
            counters.record(UNKNOWN, node, 1, Some(ErrorKind::NoSuchFunction));
        }
        let rows = rows(&counters);
        assert_eq!(rows.len(), ROWS_MAX + 2 * nodes);
        let calls: u64 = rows.iter().map(|(.., calls)| calls).sum();
        assert_eq!(calls, (4500 + 1) * nodes as u64);
        let other = |row: &&(String, String, u64)| row.1 == OTHER_FUNCTIONS;
        let other: Vec<u64> = rows.iter().filter(other).map(|row| row.2).collect();
        assert_eq!(other[..2], [4500 - ROWS_MAX as u64, 4500]);
        assert_eq!(counters.numbers.len(), ROWS_MAX);
        let late = counters.number("function 4400");
        assert_eq!(counters.name(late), Some(OTHER_FUNCTIONS));
    }

    /// Bytes of the rows, and of what they hold.
    fn bytes(counters: &Counters) -> usize {
        let rows = counters.tallies.iter();
        let histograms = rows.map(|tally| tally.counter.latency.bytes());
        histograms.sum::<usize>() + counters.tallies.len() * size_of::<Tally>()
    }

    #[test]
    #[cfg_attr(miri, ignore = "thousands of rows are minutes")]
    fn nodes_that_have_left_are_forgotten_and_what_they_ran_is_not() {
        const FUNCTIONS: usize = 20;
        let mut counters = Counters::new(["(none)", "stays"]);
        let functions: Vec<usize> = (0..FUNCTIONS)
            .map(|function| counters.number(&format!("function {function}")))
            .collect();
        let mut first_bytes = 0;
        for number in 0..2000 {
            let node = counters.node(&format!("node {number}"));
            for function in functions.iter().chain([&UNKNOWN]) {
                counters.record(*function, node, 100_000, None);
                counters.record(*function, 1, 100_000, None);
            }
            counters.forget_node(node);
            counters.forget_node(node);
            if number == 1 {
                first_bytes = bytes(&counters);
            }
        }
        // Those of the one that stays, of those that have left, and of the last one.
        assert_eq!(bytes(&counters), first_bytes);
        assert!(first_bytes < 3 * (FUNCTIONS + 1) * 4096, "{first_bytes}");
        assert!(counters.nodes.len() <= 4, "{:?}", counters.nodes);
        let rows = rows(&counters);
        assert_eq!(rows.len(), 2 * (FUNCTIONS + 1));
        for (node, _, calls) in rows {
            assert!(node == GONE_NODES || node == "stays", "{node}");
            assert_eq!(calls, 2000);
        }
    }

    #[test]
    fn numbers_that_do_not_exist_count_nothing() {
        let mut counters = Counters::new(["a"]);
        let add = counters.number("add");
        counters.record(add, 1, 1, None);
        counters.record(add + 1, 0, 1, None);
        assert_eq!(rows(&counters), []);
        assert!(counters.part(usize::MAX).tallies.is_empty());
    }
}
