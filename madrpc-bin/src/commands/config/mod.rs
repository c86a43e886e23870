//! `madrpc config`: the settings that a server would have, and where each comes from.

mod template;

use crate::args::ConfigArgs;
use crate::exit::{self, Failure, Reason};
use crate::output;
use crate::settings::{Kind, Resolved, Setting, Source, relaxed};
use serde::Serialize;

/// The document of `--json`. Keys are only ever added.
#[derive(Serialize)]
struct Row<'a> {
    key: &'a str,
    /// As it would be written for the flag; a list has several.
    values: &'a [String],
    /// `--flag`, `$VARIABLE`, `FILE:LINE` or `default`.
    source: String,
}

pub(crate) fn run(args: &ConfigArgs) -> Result<(), Failure> {
    if args.template {
        return Ok(output::result(template::text(args.server).trim_end())?);
    }
    let line = ["madrpc".into(), args.server.name().into()].into_iter();
    let line = line.chain(args.flags.iter().cloned());
    let matches = match relaxed().try_get_matches_from(line) {
        Ok(matches) => matches,
        Err(instead) => return exit::show(&instead),
    };
    let Some((_, typed)) = matches.subcommand() else {
        return Err(Failure::new(Reason::Usage, "no server is named"));
    };
    let resolved = Resolved::new(args.server, typed, |name| std::env::var_os(name))?;
    let text = match args.json {
        true => json(&resolved.settings)?,
        false => text(&resolved.settings),
    };
    Ok(output::result(&text)?)
}

fn json(settings: &[Setting]) -> Result<String, Failure> {
    let rows: Vec<_> = settings
        .iter()
        .map(|setting| Row {
            key: &setting.key,
            values: &setting.values,
            source: setting.source.to_string(),
        })
        .collect();
    serde_json::to_string(&rows)
        .map_err(|error| Failure::new(Reason::Other, format!("JSON: {error}")))
}

/// A settings file that says the same, with the sources as comments. Defaults are comments: two of them may exclude each
/// other once they are set.
fn text(settings: &[Setting]) -> String {
    let lines: Vec<_> = settings
        .iter()
        .map(|setting| (line(setting), setting))
        .collect();
    let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
    let width = width.min(60);
    let lines = lines
        .iter()
        .map(|(line, setting)| match setting.values.is_empty() {
            true => format!("# {} is not set", setting.key),
            false => format!("{line:width$}  # {}", setting.source),
        });
    lines.collect::<Vec<_>>().join("\n")
}

fn line(setting: &Setting) -> String {
    let mark = match setting.source {
        Source::Default => "# ",
        _ => "",
    };
    format!(
        "{mark}{} = {}",
        setting.key,
        toml(setting.kind, &setting.values)
    )
}

/// Values as TOML has them.
fn toml(kind: Kind, values: &[String]) -> String {
    let word = |value: &String| match kind {
        Kind::Switch => value.clone(),
        _ if value.parse::<u32>().is_ok() => value.clone(),
        _ => toml::Value::String(value.clone()).to_string(),
    };
    match (kind, values) {
        (Kind::Many, values) => {
            format!(
                "[{}]",
                values.iter().map(word).collect::<Vec<_>>().join(", ")
            )
        }
        (_, [value, ..]) => word(value),
        (_, []) => String::new(),
    }
}
