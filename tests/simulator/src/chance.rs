//! A scenario by chance: of every size and with everything that can go wrong, as its seed has it.

use crate::agenda::{MS, SECOND, Time, US};
use crate::choice::Policy;
use crate::early::TRY_TIMEOUT_MIN;
use crate::scenario::{Flaw, Function, Has, Lie, Scenario, What};
use fastrand::Rng;
use madrpc_core::fleet::Balance;
use std::collections::BTreeSet;

/// Calls of a run, roughly.
const CALLS: f64 = 10_000.0;

/// When faults begin, and when the last is over.
const TROUBLE_FROM: Time = SECOND / 2;
const TROUBLE_UNTIL: Time = 8 * SECOND;

/// After the last fault nobody calls for so long: sessions are opened again, and who was left out is due.
const REST: Time = 7 * SECOND;

/// And then calls come again, and none may fail.
const CALM: Time = SECOND;

/// Which functions there are, and which scripts have which of them.
const FUNCTIONS: [&str; 7] = ["quick", "plain", "once", "throws", "old", "new", "poison"];
const OLD: usize = 4;
const NEW: usize = 5;
const POISON: usize = 6;

impl Scenario {
    /// What this seed stands for.
    #[must_use]
    pub fn of_seed(seed: u64) -> Self {
        let mut random = Rng::with_seed(seed);
        let (nodes, shards, subset) = match random.u32(..100) {
            0..60 => (random.usize(3..=10), random.usize(1..=4), None),
            60..76 => (random.usize(10..=60), random.usize(1..=16), None),
            76..85 => (random.usize(5..=16), random.usize(2..=6), Some(2)),
            85..97 => (random.usize(60..=500), random.usize(1..=30), Some(20)),
            _ => (random.usize(500..=10_000), random.usize(10..=100), Some(20)),
        };
        let balance = Balance::ALL[random.usize(..Balance::ALL.len())];
        let mut scenario = Self::plain(seed, nodes, shards, Policy::Router(balance));
        scenario.subset = subset;
        for delay in &mut scenario.delays {
            *delay = random.u64(50 * US..500 * US);
        }
        let seconds = (TROUBLE_UNTIL / SECOND) as f64;
        let load = 0.1 + 0.5 * random.f64();
        let cost = nodes as f64 * load * seconds / CALLS;
        let cost = (cost * SECOND as f64).min((100 * MS) as f64);
        scenario.calls_per_second = CALLS / seconds;
        scenario.cold_cost = random.u64(..20 * MS);
        scenario.idle_timeout = random.u64(SECOND..4 * SECOND);
        scenario.given_up_one_in = 50;
        scenario.may_repeat_one_in = 10;
        scenario.large_one_in = 40;
        let longest = (cost as Time * 40).clamp(200 * MS, 4 * SECOND);
        scenario.timeouts = (50 * MS, longest);
        scenario.functions = functions(cost, random.u32(..10) == 0);
        let script = |without: &[usize], fails| Has {
            functions: (0..FUNCTIONS.len())
                .map(|number| !without.contains(&number))
                .collect(),
            fails,
        };
        scenario.scripts = vec![
            script(&[NEW], false),
            script(&[OLD], false),
            script(&[], true),
        ];
        for _ in 0..random.u32(..6) {
            scenario.add_fault(&mut random);
        }
        scenario.end_faults();
        if random.u32(..3) == 0 {
            scenario.hedge = Some(random.u8(50..100));
        }
        if random.u32(..4) == 0 {
            scenario.try_timeout = Some(random.u64(TRY_TIMEOUT_MIN..SECOND));
        }
        scenario
    }

    /// The same with a defect built in.
    #[must_use]
    pub fn with_flaw(self, flaw: Flaw) -> Self {
        Self { flaw, ..self }
    }

    fn add_fault(&mut self, random: &mut Rng) {
        let nodes = self.speeds.len() as u32;
        let node = random.u32(..nodes);
        let other = (node + 1) % nodes;
        let from = random.u64(TROUBLE_FROM..TROUBLE_UNTIL * 3 / 4);
        let until = random.u64(from..TROUBLE_UNTIL);
        let faults = &mut self.faults;
        match random.u32(..13) {
            0 => faults.push((from, What::Speed(node, 1.0 / f64::from(random.u32(2..60))))),
            1 => faults.extend([(from, What::Freeze(node)), (until, What::Thaw(node))]),
            2 => {
                // Two at once, so that a fleet of three has one left.
                for node in [node, other] {
                    faults.extend([(from, What::Freeze(node)), (until, What::Thaw(node))]);
                }
            }
            3 => {
                let is_seen = random.bool();
                faults.extend([
                    (from, What::Kill(node, is_seen)),
                    (until, What::Start(node)),
                ]);
            }
            4 => {
                let mut at = from;
                while at < until {
                    faults.extend([
                        (at, What::Kill(node, true)),
                        (at + 50 * MS, What::Start(node)),
                    ]);
                    at += random.u64(100 * MS..400 * MS);
                }
            }
            5 => {
                let mut at = from;
                while at < until {
                    faults.push((at, What::Break(node)));
                    at += random.u64(20 * MS..400 * MS);
                }
            }
            6 => {
                let share = share(random);
                let lie = match random.bool() {
                    true => Lie::Fails(share),
                    false => Lie::Throws(share),
                };
                faults.push((from, What::Lies(node, lie)));
            }
            7 => faults.push((from, What::Lies(node, Lie::Refuses(share(random))))),
            8 => faults.extend([(from, What::Drain(node)), (until, What::Start(node))]),
            9 if self.subset.is_none() => {
                faults.extend([(from, What::Leave(node)), (until, What::Join(node))]);
            }
            10 => {
                // A rolling restart: nobody goes before the last is back.
                let (mut at, stop) = (from, random.u64(50 * MS..200 * MS));
                for node in 0..nodes.min(12) {
                    faults.extend([(at, What::Drain(node)), (at + stop, What::Start(node))]);
                    at += stop + 300 * MS;
                }
            }
            11 => {
                // A script goes through the fleet, a good one or one that fails.
                let gap = random.u64(MS..100 * MS);
                let script = if random.u32(..4) == 0 { 2 } else { 1 };
                for node in 0..nodes {
                    faults.push((from + gap * u64::from(node), What::Reload(node, script)));
                }
            }
            _ => faults.extend([
                (from, What::Load(1.0 + 5.0 * random.f64())),
                (until, What::Load(1.0)),
            ]),
        }
    }

    /// Everything is put right, and after a rest calls come that may not fail.
    fn end_faults(&mut self) {
        self.faults.retain(|(at, _)| *at < TROUBLE_UNTIL);
        let touched: BTreeSet<u32> = self
            .faults
            .iter()
            .filter_map(|(_, what)| what.node())
            .collect();
        let bad = self.faults.iter().filter_map(|(_, what)| match what {
            What::Reload(node, 2) => Some(*node),
            _ => None,
        });
        let scripts: BTreeSet<u32> = bad.collect();
        let (end, calls) = (TROUBLE_UNTIL, self.calls_per_second);
        for node in touched {
            self.faults.extend([
                (end, What::Thaw(node)),
                (end, What::Speed(node, 1.0)),
                (end, What::Lies(node, Lie::None)),
            ]);
            if scripts.contains(&node) {
                self.faults.push((end, What::Reload(node, 0)));
            }
            // One that drains ends, and all that is not there is started.
            self.faults.push((end + SECOND, What::Kill(node, true)));
            self.faults
                .push((end + SECOND + 50 * MS, What::Start(node)));
        }
        let begin = end + REST;
        self.faults.push((end, What::Load(0.0)));
        self.faults.push((begin, What::Load(200.0 / calls)));
        // A poison call ends nodes as long as there are any.
        if self.functions[POISON].weight == 0 {
            self.faults.push((begin, What::Calm));
        }
        self.until = begin + CALM;
        self.faults.sort_by_key(|(at, _)| *at);
    }
}

impl What {
    fn node(&self) -> Option<u32> {
        match *self {
            Self::Speed(node, _)
            | Self::Freeze(node)
            | Self::Thaw(node)
            | Self::Kill(node, _)
            | Self::Start(node)
            | Self::Break(node)
            | Self::Lies(node, _)
            | Self::Drain(node)
            | Self::Leave(node)
            | Self::Join(node)
            | Self::Reload(node, _) => Some(node),
            Self::Load(_) | Self::Calm => None,
        }
    }
}

fn share(random: &mut Rng) -> f64 {
    match random.bool() {
        true => 1.0,
        false => random.f64(),
    }
}

fn functions(cost: f64, with_poison: bool) -> Vec<Function> {
    let plain = |number: usize, factor: f64, weight| {
        let cost = (cost * factor) as Time;
        Function::plain(FUNCTIONS[number], cost.max(10 * US), weight)
    };
    let mut functions = vec![
        plain(0, 0.2, 40),
        plain(1, 1.0, 30),
        plain(2, 1.0, 20),
        plain(3, 0.5, 5),
        plain(OLD, 1.0, 10),
        plain(NEW, 1.0, 10),
        plain(POISON, 1.0, u32::from(with_poison)),
    ];
    functions[0].idempotent = true;
    functions[1].idempotent = true;
    functions[3].throws = true;
    functions[POISON].idempotent = true;
    functions[POISON].is_poison = true;
    functions
}
