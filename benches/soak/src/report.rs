//! The report, in Markdown.

use crate::clock::CYCLE_S;
use crate::judge::{CYCLES_MIN, Check, Verdict, by_cycle};
use crate::load::Load;
use crate::record::Record;
use crate::sample::Sample;
use crate::trend::quantile;
use clap::ValueEnum;
use madrpc_benches::{machine, number};
use std::fmt::Write;

pub(crate) fn markdown(record: &Record, checks: &[Check], wanted: &[Load]) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = write(&mut out, record, checks, wanted);
    out
}

fn write(out: &mut String, record: &Record, checks: &[Check], wanted: &[Load]) -> std::fmt::Result {
    let cycles = by_cycle(record, &record.probe, |second| second.0).len();
    writeln!(out, "# Soak\n\n{}\n", machine())?;
    writeln!(
        out,
        "A node, an orchestrator and their callers over loopback for {} s, in cycles of {CYCLE_S} s that all have the same load. \
         The first {} s are warm-up; {cycles} cycles after it are judged{}. The machine stood still for {:.0} s.\n",
        record.elapsed.as_secs(),
        record.warm_up.as_secs(),
        if cycles < CYCLES_MIN {
            ", too few for a trend"
        } else {
            ""
        },
        record
            .stalls
            .iter()
            .map(|(from, to)| to - from)
            .sum::<f64>()
    )?;
    writeln!(out, "![memory, latency, descriptors and CPU](report.svg)\n")?;
    write_checks(out, checks)?;
    write_processes(out, record)?;
    write_probe(out, record)?;
    write_loads(out, record, wanted)
}

/// Every sample, for other programs.
pub(crate) fn csv(record: &Record) -> String {
    let mut out = String::from("process,at_s,rss_mib,of_no_file_mib,descriptors,threads,cpu_s\n");
    for (name, samples) in &record.samples {
        for sample in samples {
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "{name},{:.2},{:.3},{:.3},{},{},{:.2}",
                sample.at_s,
                sample.rss_mib,
                sample.own_mib,
                sample.descriptors,
                sample.threads,
                sample.cpu_s
            );
        }
    }
    out
}

fn write_checks(out: &mut String, checks: &[Check]) -> std::fmt::Result {
    writeln!(
        out,
        "## Checks\n\nMemory: the least of each cycle that is of no file; the least of its growth by a line through all cycles \
         (Theil and Sen) and by the medians of the first and the last tenth of them. Descriptors and threads: each cycle's \
         least. Latency: the line through each cycle's 99th percentile; it may rise by 25 %, or four standard errors where \
         that is more, and by what sleeping threads of the same process woke later. Cycles in which the machine stood still \
         for seconds are left out, and the next ones; for the latency, those in which other programs took more than 10 % of the \
         cores.\n\n\
         | | measured | bound | |\n|---|---|---|---|"
    )?;
    for check in checks {
        let word = match check.verdict {
            Verdict::Holds => "holds",
            Verdict::Fails => "**FAILS**",
            Verdict::Open => "not judged",
        };
        // A message of an error can hold anything.
        let measured = check.measured.replace('|', "\\|").replace('\n', " ");
        writeln!(
            out,
            "| {} | {measured} | {} | {word} |",
            check.what, check.bound
        )?;
    }
    writeln!(out)
}

fn write_processes(out: &mut String, record: &Record) -> std::fmt::Result {
    writeln!(
        out,
        "## Processes\n\nAfter the warm-up.\n\n\
         | | least RSS | median RSS | highest RSS | of no file, median | descriptors | threads | CPU |\n|---|---|---|---|---|---|---|---|"
    )?;
    for (name, samples) in &record.samples {
        let cycles = by_cycle(record, samples, |sample| sample.at_s);
        let judged: Vec<&Sample> = cycles.into_iter().flatten().collect();
        let (Some(first), Some(last)) = (judged.first(), judged.last()) else {
            continue;
        };
        let of = |value: fn(&Sample) -> f64, share: f64| {
            let values: Vec<_> = judged.iter().map(|sample| value(sample)).collect();
            quantile(&values, share)
        };
        let elapsed = (last.at_s - first.at_s).max(1.0);
        let range = |value: fn(&Sample) -> f64| match (of(value, 0.0), of(value, 1.0)) {
            (least, most) if least == most => format!("{least:.0}"),
            (least, most) => format!("{least:.0} – {most:.0}"),
        };
        writeln!(
            out,
            "| {name} | {:.1} MiB | {:.1} MiB | {:.1} MiB | {:.1} MiB | {} | {} | {:.1} % of a core |",
            of(|sample| sample.rss_mib, 0.0),
            of(|sample| sample.rss_mib, 0.5),
            of(|sample| sample.rss_mib, 1.0),
            of(|sample| sample.own_mib, 0.5),
            range(|sample| sample.descriptors as f64),
            range(|sample| sample.threads as f64),
            100.0 * (last.cpu_s - first.cpu_s) / elapsed,
        )?;
    }
    writeln!(out)
}

fn write_probe(out: &mut String, record: &Record) -> std::fmt::Result {
    let cycles = by_cycle(record, &record.probe, |second| second.0);
    let judged = || cycles.iter().flatten();
    let us = |values: Vec<f64>, share| number(quantile(&values, share).round());
    let latencies: Vec<_> = judged()
        .flat_map(|(_, second)| &second.latencies_us)
        .map(|&us| f64::from(us))
        .collect();
    let wakes: Vec<_> = judged()
        .flat_map(|(_, second)| &second.wakes_us)
        .map(|&us| f64::from(us))
        .collect();
    writeln!(
        out,
        "## The probe\n\nA tiny call through the orchestrator, 100 a second, from when each is due. After the warm-up {} calls: \
         p50 {} µs, p99 {} µs, at most {} µs. Threads of that process that sleep 5 ms woke late by {} µs (p50) and {} µs (p99).\n",
        number(latencies.len() as f64),
        us(latencies.clone(), 0.5),
        us(latencies.clone(), 0.99),
        us(latencies, 1.0),
        us(wakes.clone(), 0.5),
        us(wakes, 0.99),
    )
}

fn write_loads(out: &mut String, record: &Record, wanted: &[Load]) -> std::fmt::Result {
    writeln!(out, "## Loads\n\n| | | done |\n|---|---|---|")?;
    for load in wanted {
        let help = load
            .to_possible_value()
            .and_then(|value| value.get_help().map(ToString::to_string));
        let done = match load {
            Load::Reloads => format!("{} times", number(record.reloads as f64)),
            Load::Killed => format!(
                "{} callers, with {} calls under way in all",
                record.killed.len(),
                number(record.killed.iter().sum::<u64>() as f64)
            ),
            Load::Handshakes | Load::Junk => {
                number(record.sent.get(load).copied().unwrap_or(0) as f64)
            }
            load => record.calls.get(load).map_or_else(String::new, |calls| {
                let all = calls.right + calls.wrong + calls.failures();
                format!("{} calls", number(all as f64))
            }),
        };
        writeln!(
            out,
            "| {} | {} | {done} |",
            load.name(),
            help.unwrap_or_default()
        )?;
    }
    Ok(())
}
