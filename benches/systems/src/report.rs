//! The report: medians, ratios and targets, in Markdown.

use crate::figures::{Figure, Work};
use crate::fleet::{CALLS_PER_S, Fleet, FleetFigure, SLOWDOWN, TIMEOUT};
use crate::programs::{NAMES, Round, Runner, words};
use crate::system::System;
use madrpc_benches::{machine, number};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// What was run, and where.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) rounds: usize,
    /// Runs of a program in a round.
    pub(crate) runs: usize,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
    /// How long a fleet is measured.
    pub(crate) fleet_duration: Duration,
    pub(crate) works: Vec<Work>,
    pub(crate) server_core: usize,
    pub(crate) load_core: usize,
}

/// All that was measured.
pub(crate) struct Results {
    pub(crate) setting: Setting,
    /// The version of Node.js.
    pub(crate) node: Option<String>,
    /// Systems that cannot be had, and why.
    pub(crate) skipped: Vec<(System, String)>,
    figures: BTreeMap<(System, &'static str, usize), Vec<Figure>>,
    scripts: BTreeMap<&'static str, Vec<f64>>,
    fleets: BTreeMap<Fleet, Vec<FleetFigure>>,
    pub(crate) programs: Vec<Round>,
}

/// Getters and what fills it.
impl Results {
    pub(crate) fn new(setting: Setting) -> Self {
        Self {
            setting,
            node: None,
            skipped: Vec::new(),
            figures: BTreeMap::new(),
            scripts: BTreeMap::new(),
            fleets: BTreeMap::new(),
            programs: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, system: System, work: &Work, concurrency: usize, figure: Figure) {
        let key = (system, work.function, concurrency);
        self.figures.entry(key).or_default().push(figure);
    }

    pub(crate) fn add_fleet(&mut self, fleet: Fleet, figure: FleetFigure) {
        self.fleets.entry(fleet).or_default().push(figure);
    }

    pub(crate) fn add_script(&mut self, work: &Work, calls_per_s: f64) {
        self.scripts
            .entry(work.function)
            .or_default()
            .push(calls_per_s);
    }

    /// The rounds of one measurement, the slowest first.
    fn rounds(&self, system: System, work: &Work, concurrency: usize) -> Vec<Figure> {
        let key = (system, work.function, concurrency);
        let mut rounds = self.figures.get(&key).cloned().unwrap_or_default();
        rounds.sort_by(|a, b| a.calls_per_s.total_cmp(&b.calls_per_s));
        rounds
    }

    /// The round of middle throughput.
    pub(crate) fn median(&self, system: System, work: &Work, concurrency: usize) -> Option<Figure> {
        let rounds = self.rounds(system, work, concurrency);
        rounds.get(rounds.len() / 2).copied()
    }

    /// The concurrency at which the system has its highest median, and that.
    fn best(&self, system: System, work: &Work) -> Option<(usize, Figure)> {
        let medians = work.levels.iter().filter_map(|&concurrency| {
            let median = self.median(system, work, concurrency)?;
            Some((concurrency, median))
        });
        medians.max_by(|(_, a), (_, b)| a.calls_per_s.total_cmp(&b.calls_per_s))
    }

    /// The median of a program's rounds, in milliseconds.
    fn program(&self, name: &str, runner: Runner) -> Option<f64> {
        let rounds = self.programs.iter().flat_map(|round| &round.ms);
        let of_it = rounds.filter(|(of, by, _)| *of == name && *by == runner);
        median(of_it.map(|(_, _, ms)| *ms).collect())
    }

    /// How many times as long a kernel takes as Node.js.
    fn kernel_of_node(&self, name: &str) -> Option<f64> {
        Some(self.program(name, Runner::Kernel)? / self.program(name, Runner::Node)?)
    }

    /// The median of the engine without a network.
    fn script(&self, work: &Work) -> Option<f64> {
        median(self.scripts.get(work.function)?.clone())
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// A figure beside what it should be.
struct Target {
    what: &'static str,
    /// `None` where a system of it was not measured.
    value: Option<f64>,
    bound: f64,
    is_floor: bool,
    unit: &'static str,
}

impl Target {
    fn floor(what: &'static str, value: Option<f64>, bound: f64, unit: &'static str) -> Self {
        Self {
            what,
            value,
            bound,
            is_floor: true,
            unit,
        }
    }

    fn word(&self) -> &'static str {
        match self.value {
            None => "not measured",
            Some(value) if self.is_floor && value >= self.bound => "met",
            Some(value) if !self.is_floor && value <= self.bound => "met",
            Some(_) => "MISSED",
        }
    }
}

/// Text.
impl Results {
    pub(crate) fn markdown(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let setting = &self.setting;
        writeln!(out, "# Whole systems side by side\n")?;
        writeln!(out, "{}\n", machine())?;
        writeln!(
            out,
            "Servers on core {}, load on core {}, over loopback. {} of {:?} after {:?} of warm-up, systems in turns; a row \
             is the round of median throughput. Every result is checked, madrpc's once before each measurement.\n",
            setting.server_core,
            setting.load_core,
            match setting.rounds {
                1 => "One round".into(),
                many => format!("{many} rounds"),
            },
            setting.duration,
            setting.warm_up,
        )?;
        writeln!(out, "![throughput and latency](report.svg)\n")?;
        self.write_targets(out)?;
        for work in &setting.works {
            self.write_work(out, work)?;
        }
        self.write_programs(out)?;
        self.write_fleets(out)?;
        self.write_systems(out)
    }

    fn write_fleets(&self, out: &mut String) -> std::fmt::Result {
        if self.fleets.is_empty() {
            return Ok(());
        }
        writeln!(
            out,
            "## One of three nodes {SLOWDOWN} × slower\n\n{CALLS_PER_S} calls/s of `compute`, which takes the others a millisecond, for {:?}, whether \
             the last are over or not; a third of them is three times what the slow one can. The row is the round of middle p99; a call that is not \
             over by then has failed and counts as {TIMEOUT:?}.\n\n| | p50 | p90 | p99 | failed |\n|---|---|---|---|---|",
            self.setting.fleet_duration
        )?;
        for (fleet, rounds) in &self.fleets {
            let mut rounds = rounds.clone();
            rounds.sort_by_key(|round| round.p99_us);
            if let Some(middle) = rounds.get(rounds.len() / 2) {
                let ms = |us: u64| format!("{:.1} ms", us as f64 / 1000.0);
                writeln!(
                    out,
                    "| {} | {} | {} | {} | {:.1} % |",
                    fleet.title(),
                    ms(middle.p50_us),
                    ms(middle.p90_us),
                    ms(middle.p99_us),
                    middle.failed_percent
                )?;
            }
        }
        writeln!(out)
    }

    fn write_programs(&self, out: &mut String) -> std::fmt::Result {
        if self.programs.is_empty() {
            return Ok(());
        }
        let heads = Runner::ALL.map(Runner::title);
        writeln!(
            out,
            "## Programs that compute\n\nMilliseconds of a run: the median of {} (interpreted: of one) in each round, and of the rounds. All give the same.\n\n| | {} | kernel, of Node.js |\n|---|{}---|",
            self.setting.runs,
            heads.join(" | "),
            "---|".repeat(heads.len()),
        )?;
        for name in NAMES {
            let cells = Runner::ALL.map(|runner| match self.program(name, runner) {
                Some(ms) if ms < 1.0 => format!("{ms:.3}"),
                Some(ms) => format!("{ms:.1}"),
                None => "–".into(),
            });
            let ratio = self
                .kernel_of_node(name)
                .map_or_else(|| "–".into(), |ratio| format!("{ratio:.2} ×"));
            writeln!(out, "| {} | {} | {ratio} |", words(name), cells.join(" | "))?;
        }
        let ns = |of: fn(&Round) -> f64| median(self.programs.iter().map(of).collect());
        if let (Some(plain), Some(kernel)) =
            (ns(|round| round.add_ns.0), ns(|round| round.add_ns.1))
        {
            writeln!(
                out,
                "\nA call of `add(a, b)` in a loop of JavaScript: {plain:.0} ns interpreted, {kernel:.0} ns as a kernel, with the loop."
            )?;
        }
        writeln!(out)
    }

    fn write_targets(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "## Targets\n\n| | measured | target | |\n|---|---|---|---|"
        )?;
        for target in self.targets() {
            let measured = target
                .value
                .map_or_else(|| "–".into(), |value| number(value) + target.unit);
            writeln!(
                out,
                "| {} | {measured} | {} {}{} | {} |",
                target.what,
                if target.is_floor { "≥" } else { "≤" },
                number(target.bound),
                target.unit,
                target.word()
            )?;
        }
        writeln!(out)
    }

    fn targets(&self) -> Vec<Target> {
        let Some(echo) = self
            .setting
            .works
            .iter()
            .find(|work| work.function == "echo")
        else {
            return Vec::new();
        };
        let best = |system| Some(self.best(system, echo)?.1.calls_per_s);
        let direct = best(System::Direct);
        let times = |system| Some(direct? / best(system)?);
        let bound = || Some(1.0 / (1.0 / best(System::Quic)? + 1.0 / self.script(echo)?));
        let share = |part: Option<f64>, whole: Option<f64>| Some(100.0 * part? / whole?);
        let lone = self.median(System::Direct, echo, 1);
        let mut targets = vec![
            Target::floor("echo, direct", direct, 400_000.0, " calls/s"),
            Target::floor(
                "of what both ceilings allow, 1 / (1/echo + 1/script)",
                share(direct, bound()),
                70.0,
                " %",
            ),
            Target::floor(
                "times the ancestor's design",
                times(System::Ancestor),
                6.0,
                " ×",
            ),
            Target::floor("times tonic", times(System::Tonic), 6.0, " ×"),
            Target::floor("times Node.js http", times(System::NodeHttp), 12.0, " ×"),
            Target::floor(
                "through the orchestrator, of direct",
                share(best(System::Orchestrator), direct),
                35.0,
                " %",
            ),
            Target {
                what: "a lone call, p50",
                value: lone.map(|figure| figure.p50_us as f64),
                bound: 40.0,
                is_floor: false,
                unit: " µs",
            },
        ];
        targets.extend(self.targets_of_kernels());
        targets
    }

    fn targets_of_kernels(&self) -> Vec<Target> {
        let mut works = self.setting.works.iter();
        let compute = works.find(|work| work.function == "compute");
        let best = |system| Some(self.best(system, compute?)?.1.calls_per_s);
        let of_http = || Some(best(System::Kernel)? / best(System::NodeHttp)?);
        let ceiling = |what, value, bound, unit| Target {
            what,
            value,
            bound,
            is_floor: false,
            unit,
        };
        let of_node = |what, name| ceiling(what, self.kernel_of_node(name), 1.5, " ×");
        let add = median(self.programs.iter().map(|round| round.add_ns.1).collect());
        vec![
            Target::floor(
                "compute as a kernel, times Node.js http",
                of_http(),
                1.0,
                " ×",
            ),
            of_node("pi as a kernel, of Node.js", "pi"),
            of_node("the matrix product, of Node.js", "matmul"),
            of_node("the dot product, of Node.js", "dot"),
            of_node("Mandelbrot, of Node.js", "mandelbrot"),
            of_node("n-body, of Node.js", "nbody"),
            ceiling("a call of `add(a, b)`", add, 60.0, " ns"),
        ]
    }

    fn write_work(&self, out: &mut String, work: &Work) -> std::fmt::Result {
        writeln!(
            out,
            "## {} of `{}`\n\n| | in flight | calls/s | slowest to fastest round | p50 | p99 | direct is |\n|---|---|---|---|---|---|---|",
            work.function, work.args
        )?;
        let direct = self.best(System::Direct, work);
        for system in System::ALL {
            let best = self.best(system, work).map(|(concurrency, _)| concurrency);
            for &concurrency in work.levels {
                let rounds = self.rounds(system, work, concurrency);
                let (Some(slowest), Some(fastest), Some(median)) = (
                    rounds.first(),
                    rounds.last(),
                    self.median(system, work, concurrency),
                ) else {
                    continue;
                };
                let ratio = direct
                    .filter(|_| best == Some(concurrency))
                    .map(|(_, direct)| format!("{:.2} ×", direct.calls_per_s / median.calls_per_s));
                writeln!(
                    out,
                    "| {} | {concurrency} | {} | {} – {} | {} µs | {} µs | {} |",
                    system.title(),
                    number(median.calls_per_s),
                    number(slowest.calls_per_s),
                    number(fastest.calls_per_s),
                    number(median.p50_us as f64),
                    number(median.p99_us as f64),
                    ratio.unwrap_or_default()
                )?;
            }
        }
        if let Some(script) = self.script(work) {
            writeln!(
                out,
                "| ceiling: QuickJS, no network | 1 | {} | | | | |",
                number(script)
            )?;
        }
        writeln!(out)
    }

    fn write_systems(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "## Systems\n")?;
        for system in System::ALL {
            let skipped = self.skipped.iter().find(|(other, _)| *other == system);
            let skipped = skipped.map(|(_, why)| format!(" (skipped: {why})"));
            writeln!(
                out,
                "- {}: {}{}",
                system.title(),
                system.description(),
                skipped.unwrap_or_default()
            )?;
        }
        if let Some(version) = &self.node {
            writeln!(out, "- Node.js is {version}")?;
        }
        writeln!(out)
    }
}
