//! `madrpc functions`: what can be called at a server, with the options of each function.

use crate::args::FunctionsArgs;
use crate::exit::{Failure, Reason};
use crate::output::{self, printable, say};
use crate::tls;
use madrpc_core::call::catalog::{Catalog, FUNCTIONS, FunctionOptions};
use madrpc_core::identity::Role;
use madrpc_shard::client::{Client, ClientConfig};
use serde::Serialize;
use std::time::Duration;

/// How long a server may take; an orchestrator gives each of its nodes a second of it.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// The document of `--json`. Keys are only ever added.
#[derive(Serialize)]
struct Document<'a> {
    /// `node` or `orchestrator`.
    role: &'a str,
    /// The address that the server goes by.
    name: &'a str,
    /// By name; one that nodes have registered with different options is here for each.
    functions: Vec<Function<'a>>,
    /// Nodes that did not answer.
    silent: Vec<Silent<'a>>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    options: Options,
    nodes: &'a [String],
}

#[derive(Serialize)]
struct Silent<'a> {
    node: &'a str,
    reason: &'a str,
}

/// Options under the names that scripts give them; `null`: the node's own limit holds.
#[derive(Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Options {
    idempotent: bool,
    isolate: bool,
    timeout_ms: Option<f64>,
    cpu_ms: Option<f64>,
    memory_mb: Option<f64>,
    stack_kb: Option<f64>,
    body_kb: Option<f64>,
    queue: Option<u64>,
}

impl From<&FunctionOptions> for Options {
    fn from(options: &FunctionOptions) -> Self {
        let part = |whole: Option<u64>, unit: u64| whole.map(|whole| whole as f64 / unit as f64);
        Self {
            idempotent: options.idempotent,
            isolate: options.isolate,
            timeout_ms: part(options.timeout_us, 1000),
            cpu_ms: part(options.cpu_us, 1000),
            memory_mb: part(options.memory_bytes, 1 << 20),
            stack_kb: part(options.stack_bytes, 1 << 10),
            body_kb: part(options.body_bytes, 1 << 10),
            queue: options.queue_max,
        }
    }
}

pub(crate) fn run(args: &FunctionsArgs) -> Result<(), Failure> {
    let identity = tls::identity(&args.tls, Role::Operator)?;
    let client = Client::new(&ClientConfig {
        connections: Some(1),
        timeout: ANSWER_TIMEOUT,
        ..ClientConfig::with_identity(&args.address, identity)
    })?;
    let answer = client.call_blocking(FUNCTIONS, &());
    client.close_blocking();
    let catalog: Catalog = answer?;
    for silent in &catalog.silent {
        say(&format!(
            "node {} did not answer: {}",
            printable(&silent.node),
            printable(&silent.reason)
        ));
    }
    let text = match args.json {
        true => json(&catalog)?,
        false => table(&catalog),
    };
    output::result(&text)
}

fn json(catalog: &Catalog) -> Result<String, Failure> {
    let functions = catalog.functions.iter().map(|entry| Function {
        name: &entry.name,
        options: Options::from(&entry.options),
        nodes: &entry.nodes,
    });
    let silent = catalog.silent.iter().map(|silent| Silent {
        node: &silent.node,
        reason: &silent.reason,
    });
    let document = Document {
        role: &catalog.role,
        name: &catalog.name,
        functions: functions.collect(),
        silent: silent.collect(),
    };
    serde_json::to_string(&document)
        .map_err(|error| Failure::new(Reason::Other, format!("JSON: {error}")))
}

fn table(catalog: &Catalog) -> String {
    let rows = catalog.functions.iter().map(|entry| {
        [
            entry.name.clone(),
            describe(&entry.options),
            entry.nodes.join(", "),
        ]
    });
    columns(["FUNCTION", "OPTIONS", "NODES"], rows)
}

/// What was said at the registration, in words.
pub(crate) fn describe(options: &FunctionOptions) -> String {
    let time = |us: u64| humantime::format_duration(Duration::from_micros(us)).to_string();
    let words = [
        options.idempotent.then(|| "idempotent".to_owned()),
        options.isolate.then(|| "isolated".to_owned()),
        options.timeout_us.map(|us| format!("timeout {}", time(us))),
        options.cpu_us.map(|us| format!("CPU {}", time(us))),
        options
            .memory_bytes
            .map(|bytes| format!("memory {} MiB", bytes as f64 / f64::from(1 << 20))),
        options
            .stack_bytes
            .map(|bytes| format!("stack {} KiB", bytes >> 10)),
        options
            .body_bytes
            .map(|bytes| format!("bodies {} KiB", bytes >> 10)),
        options.queue_max.map(|calls| format!("queue {calls}")),
    ];
    let words: Vec<String> = words.into_iter().flatten().collect();
    match words.is_empty() {
        true => "-".to_owned(),
        false => words.join(", "),
    }
}

/// Rows below their titles, aligned, without anything that needs a terminal.
pub(crate) fn columns<const N: usize>(
    titles: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let rows = rows.map(|row| row.map(|cell| printable(&cell).into_owned()));
    let rows: Vec<[String; N]> = std::iter::once(titles.map(str::to_owned))
        .chain(rows)
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> FunctionOptions {
        FunctionOptions {
            idempotent: true,
            timeout_us: Some(1_500_000),
            memory_bytes: Some(1 << 19),
            ..FunctionOptions::default()
        }
    }

    #[test]
    fn options_are_told_in_words_and_as_scripts_name_them() {
        assert_eq!(
            describe(&options()),
            "idempotent, timeout 1s 500ms, memory 0.5 MiB"
        );
        assert_eq!(describe(&FunctionOptions::default()), "-");
        let json = serde_json::to_value(Options::from(&options())).unwrap();
        let expected = serde_json::json!({
            "idempotent": true, "isolate": false, "timeoutMs": 1500.0, "cpuMs": null, "memoryMb": 0.5,
            "stackKb": null, "bodyKb": null, "queue": null,
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_table_is_aligned_and_cannot_drive_a_terminal() {
        let rows = [["a", "-"], ["grüße\u{1b}[2J", "isolated"]];
        let text = columns(
            ["NAME", "OPTIONS"],
            rows.map(|row| row.map(str::to_owned)).into_iter(),
        );
        let expected = "\
NAME            OPTIONS
a               -
grüße\\u{1b}[2J  isolated";
        assert_eq!(text, expected);
    }
}
