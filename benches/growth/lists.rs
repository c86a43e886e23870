//! What is chosen from, and what is laid together by name.

use super::{Case, Gauge, spread};
use madrpc_core::balance::{FewestInFlight, Members, RoundRobin};
use madrpc_core::call::catalog::{Catalog, FunctionOptions};
use std::hint::black_box;

pub(crate) const CASES: [Case; 8] = [
    Case::new("balance: pick in turn among n", turn),
    Case::new("balance: pick in turn, none of n is usable", no_turn),
    Case::new("balance: pick the fewest among n", fewest),
    Case::new("balance: pick the fewest, none of n is usable", no_fewest),
    Case::new("balance: one of n goes and comes back", member),
    // A single measurement takes in all functions; step by step, more of them would take minutes.
    Case {
        sizes: [10, 100, 1_000],
        ..Case::new("catalogue: a function of one with n", list)
    },
    Case {
        sizes: [10, 100, 1_000],
        ..Case::new("catalogue: a function of another node, of n", list_again)
    },
    Case::new("catalogue: one function more, n known", list_known),
];

const MEASUREMENTS: usize = 16;

fn turns(size: usize) -> RoundRobin {
    let mut turns = RoundRobin::default();
    (0..size).for_each(|number| turns.set(number, true));
    turns
}

fn turn(size: usize, gauge: &mut Gauge) {
    let mut turns = turns(size);
    for _ in 0..MEASUREMENTS {
        gauge.measure(|| turns.pick(Some));
    }
}

fn no_turn(size: usize, gauge: &mut Gauge) {
    let mut turns = turns(size);
    for _ in 0..MEASUREMENTS {
        gauge.measure(|| turns.pick(|_| black_box(None::<()>)));
    }
}

fn fewest(size: usize, gauge: &mut Gauge) {
    let mut fewest = FewestInFlight::default();
    for _ in 0..MEASUREMENTS {
        gauge.measure(|| fewest.pick(size, |number| Some(number % 7)));
    }
}

fn no_fewest(size: usize, gauge: &mut Gauge) {
    let mut fewest = FewestInFlight::default();
    for _ in 0..MEASUREMENTS {
        gauge.measure(|| fewest.pick(size, |_| black_box(None)));
    }
}

fn member(size: usize, gauge: &mut Gauge) {
    let mut members = Members::default();
    (0..size).for_each(|number| members.set(number, true));
    for number in spread(size) {
        gauge.measure(|| members.set(number, false));
        gauge.measure(|| members.set(number, true));
    }
}

fn functions(size: usize) -> Vec<(String, FunctionOptions)> {
    let name = |number| format!("function {number}");
    let functions = (0..size).map(|number| (name(number), FunctionOptions::default()));
    functions.collect()
}

fn list(size: usize, gauge: &mut Gauge) {
    let mut catalog = Catalog::new("node", "n");
    let functions = functions(size);
    gauge.measure_units(size, || catalog.add("n", functions));
}

fn list_again(size: usize, gauge: &mut Gauge) {
    let mut catalog = Catalog::new("orchestrator", "o");
    for node in 0..3 {
        let (name, functions) = (format!("node {node}"), functions(size));
        let _ = match node {
            0 => catalog.add(&name, functions),
            _ => gauge.measure_units(size, || catalog.add(&name, functions)),
        };
    }
}

fn list_known(size: usize, gauge: &mut Gauge) {
    let mut catalog = Catalog::new("orchestrator", "o");
    let functions = functions(size);
    catalog.add("node 0", functions.clone());
    for number in spread(size) {
        let function = functions[number].clone();
        gauge.measure(|| catalog.add("node 1", [function]));
    }
}
