//! Growth: what an operation costs where there are 10, 1,000 and 100,000 of what it works on, in instructions.
//!
//! It fails where a cost is neither flat nor logarithmic. Each operation is measured a few times, and the dearest of them
//! must not grow either: one that makes up for many cheap ones still keeps everybody waiting. What is counted are the
//! instructions of a process of its own, step by step (see `steps`), so that a figure repeats, whatever else the machine
//! does.
//!
//! A case is a function that sets something of the given size up and measures what is done with it, and a line in the list
//! of its file.
//!
//! `cargo bench -p madrpc-benches --bench growth`, with a part of a case's name for some of them.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod lists;
mod serving;
mod sessions;
mod statistics;
mod steps;
mod upstreams;
mod wheel;

use madrpc_shard::internals::growth::{self, Failure};
use std::error::Error;
use steps::Gauge;

/// A cost may grow by this factor where there is a hundred times as much. A logarithm triples from 10 to 1,000 and then
/// grows by two thirds; a root grows by 10, and what walks everything by 100.
const GROWTH_MAX: u64 = 4;

/// And by so many instructions: one allocation can take so many more than another.
const SLACK: u64 = 250;

/// How many there are.
const SIZES: [usize; 3] = [10, 1_000, 100_000];

/// An operation, and the sizes it is measured at.
struct Case {
    name: &'static str,
    sizes: [usize; 3],
    /// Sets up so many, and measures.
    run: fn(usize, &mut Gauge),
}

impl Case {
    const fn new(name: &'static str, run: fn(usize, &mut Gauge)) -> Self {
        Self {
            name,
            sizes: SIZES,
            run,
        }
    }
}

/// Whether this bench can tell: it walks over everything, and has to be found out.
const WALK: Case = Case {
    name: "(a walk over all, which has to fail)",
    sizes: [10, 1_000, 10_000],
    run: |size, gauge| {
        let list: Vec<usize> = (0..size).collect();
        gauge.measure(|| list.iter().position(|&item| item == size - 1));
    },
};

fn cases() -> impl Iterator<Item = Case> {
    let cases = wheel::CASES.into_iter().chain(statistics::CASES);
    let cases = cases.chain(lists::CASES).chain(sessions::CASES);
    cases.chain(upstreams::CASES).chain(serving::CASES)
}

/// Runs a case that has sockets.
fn on_executor(case: impl FnOnce() -> Result<(), Failure>) {
    growth::on_executor(case).expect("the case can be set up");
}

/// Some places among `size` that are far from each other.
fn spread(size: usize) -> impl Iterator<Item = usize> {
    (0..8).map(move |number| number * 7919 % size)
}

fn main() -> Result<(), Box<dyn Error>> {
    let cores = core_affinity::get_core_ids().ok_or("the cores of this process cannot be read")?;
    // A step wakes the other process, which takes several times as long on another core.
    let core = cores.last().ok_or("no core")?;
    core_affinity::set_for_current(*core);
    if let Some((name, size)) = steps::asked() {
        let case = [WALK]
            .into_iter()
            .chain(cases())
            .find(|case| case.name == name);
        let case = case.ok_or("there is no such case")?;
        return Ok(steps::serve(|gauge| (case.run)(size, gauge))?);
    }
    // Cargo adds flags of its own.
    let wanted = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let wanted = |case: &Case| wanted.as_ref().is_none_or(|part| case.name.contains(part));
    println!("instructions, median and most, by how many there are");
    println!("{:44} {:>15} {:>15} {:>15}", "", "10", "1,000", "100,000");
    let mut grown = Vec::new();
    for case in cases().filter(wanted) {
        if !measure(&case)? {
            grown.push(case.name);
        }
    }
    if measure(&WALK)? {
        return Err("a walk over all was not found out: this bench cannot tell".into());
    }
    match grown.is_empty() {
        true => Ok(()),
        false => Err(format!("neither flat nor logarithmic: {}", grown.join(", ")).into()),
    }
}

/// Measures a case at its sizes and prints the costs; says whether they hardly grow.
fn measure(case: &Case) -> Result<bool, Box<dyn Error>> {
    let mut costs = Vec::new();
    for size in case.sizes {
        costs.push(steps::count(case.name, size)?);
    }
    let is_bounded = |before: u64, after: u64| after <= before * GROWTH_MAX + SLACK;
    // What was given up at every size tells nothing of growth, and is far too dear.
    let is_counted = costs.iter().all(|cost| cost.most < steps::STEPS_MAX);
    let is_bounded = is_counted
        && costs.windows(2).all(|pair| {
            let (before, after) = (pair[0], pair[1]);
            is_bounded(before.median, after.median) && is_bounded(before.most, after.most)
        });
    let cells = costs
        .iter()
        .map(|cost| format!(" {:>8}{:>7}", cost.median, cost.most));
    let mut line = format!("{:44}{}", case.name, cells.collect::<String>());
    if case.sizes != SIZES {
        line += &format!("  of {:?}", case.sizes);
    }
    if !is_bounded {
        line += "  grows";
    }
    println!("{line}");
    Ok(is_bounded)
}
