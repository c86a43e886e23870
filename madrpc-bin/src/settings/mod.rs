//! The settings of a server and where each comes from: its flags, else `MADRPC_…` variables, else the settings file, else
//! defaults.
//!
//! A setting is a flag of `madrpc node` or `madrpc orchestrator`. Its key in the file is the flag's name with `_` for `-`,
//! its variable that in capitals behind `MADRPC_`. So each is defined once, in args, and what variables and files say
//! is handed to the same parser, as flags behind those that were typed.

mod file;

pub(crate) use file::{Entry, read};

use crate::args::{Args, ServerKind};
use crate::exit::{self, Failure, Reason};
use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, Parser};
use std::error::Error;
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// What a flag of the same name is to clap; it is no setting, as it says where the others are.
const CONFIG: &str = "config";

/// Where a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    Flag(String),
    Variable(String),
    File(PathBuf, usize),
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(f, "--{flag}"),
            Self::Variable(name) => write!(f, "${name}"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A setting as it is in force.
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) key: String,
    /// None where it is not set and has no default of one word.
    pub(crate) values: Vec<String>,
    pub(crate) source: Source,
    pub(crate) kind: Kind,
}

/// How a setting is written in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `true` or `false`.
    Switch,
    /// One value.
    One,
    /// A list of values.
    Many,
}

impl Kind {
    pub(crate) fn of(arg: &Arg) -> Self {
        match arg.get_action() {
            ArgAction::SetTrue => Self::Switch,
            ArgAction::Append => Self::Many,
            _ => Self::One,
        }
    }
}

/// The command line, completed by variables and the settings file where it is a server's; `None` where it asked for help or
/// the version, which is shown then.
///
/// # Errors
/// What is wrong with the command line, a variable or the file.
pub(crate) fn args() -> Result<Option<Args>, Failure> {
    let argv: Vec<OsString> = std::env::args_os().collect();
    let relaxed = relaxed().try_get_matches_from(&argv).ok();
    let server = relaxed.as_ref().and_then(ArgMatches::subcommand);
    let server = server.and_then(|(name, matches)| {
        let server = ServerKind::ALL
            .into_iter()
            .find(|server| server.name() == name);
        Some((server?, matches))
    });
    let Some((server, matches)) = server else {
        return parsed(Args::try_parse_from(&argv));
    };
    let resolved = Resolved::new(server, matches, |name| std::env::var_os(name))?;
    let complete = argv.into_iter().chain(resolved.as_flags());
    match (Args::try_parse_from(complete), &resolved.file) {
        (Ok(args), _) => Ok(Some(args)),
        // Whoever wrote a file is told its keys and not the flags.
        (Err(error), Some(file)) if resolved.missing.is_empty() => {
            let text = error.to_string();
            let line = text.lines().next().unwrap_or_default();
            let line = line.trim_start_matches("error: ");
            Err(usage(format!("{}: {line}", file.display())))
        }
        (Err(_), Some(file)) => Err(usage(format!(
            "{}: {} is not set: give it there, as ${}, or as --{}",
            file.display(),
            resolved.missing.join(", "),
            variable(&resolved.missing[0]),
            flag(&resolved.missing[0])
        ))),
        (Err(error), None) => parsed(Err(error)),
    }
}

fn parsed(line: Result<Args, clap::Error>) -> Result<Option<Args>, Failure> {
    match line {
        Ok(args) => Ok(Some(args)),
        Err(instead) => exit::show(&instead).map(|()| None),
    }
}

/// The settings of a server.
pub(crate) struct Resolved {
    pub(crate) settings: Vec<Setting>,
    file: Option<PathBuf>,
    /// The keys of those that it cannot do without and that nobody gave.
    missing: Vec<String>,
}

impl Resolved {
    /// From the flags that were typed, and the environment.
    pub(crate) fn new(
        server: ServerKind,
        typed: &ArgMatches,
        variable_of: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self, Failure> {
        let mut root = Args::command();
        root.build();
        let command = command(&root, server);
        let file = typed.get_one::<PathBuf>(CONFIG).cloned();
        let keys: Vec<String> = settings(command).map(key).collect();
        let entries = match &file {
            Some(path) => read(path, &keys).map_err(usage)?,
            None => Vec::new(),
        };
        let mut found = Vec::new();
        let mut missing = Vec::new();
        for arg in settings(command) {
            let key = key(arg);
            let kind = Kind::of(arg);
            let name = variable(&key);
            let delimiter = arg.get_value_delimiter().unwrap_or(',');
            let entry = entries.iter().find(|entry| entry.key == key);
            let given = variable_of(&name).filter(|value| !value.is_empty());
            let (values, source) = match typed.value_source(arg.get_id().as_str()) {
                Some(ValueSource::CommandLine) => (raw(typed, arg), Source::Flag(flag(&key))),
                // A variable that the flag has of its own, as RUST_LOG.
                Some(ValueSource::EnvVariable) => {
                    let own = arg
                        .get_env()
                        .map(|name| name.to_string_lossy().into_owned());
                    (raw(typed, arg), Source::Variable(own.unwrap_or(name)))
                }
                _ => match (given, &file, entry) {
                    (Some(value), _, _) => {
                        let values = from_variable(&name, value, kind, delimiter).map_err(usage)?;
                        check(server, &key, kind, &values)
                            .map_err(|why| usage(format!("${name}: {why}")))?;
                        (values, Source::Variable(name))
                    }
                    (None, Some(path), Some(Entry { line, values, .. })) => {
                        check(server, &key, kind, values).map_err(|why| {
                            usage(format!("{}:{line}: {key}: {why}", path.display()))
                        })?;
                        (values.clone(), Source::File(path.clone(), *line))
                    }
                    _ => (defaults(arg), Source::Default),
                },
            };
            if values.is_empty() && arg.is_required_set() {
                missing.push(key.clone());
            }
            found.push(Setting {
                key,
                values,
                source,
                kind,
            });
        }
        Ok(Self {
            settings: found,
            file,
            missing,
        })
    }

    /// What variables and the file say, as flags.
    fn as_flags(&self) -> Vec<OsString> {
        let from_outside = self
            .settings
            .iter()
            .filter(|setting| matches!(setting.source, Source::Variable(_) | Source::File(..)));
        from_outside
            .flat_map(|setting| as_flags(&setting.key, setting.kind, &setting.values))
            .collect()
    }
}

/// The command line with nothing required: what is missing may stand elsewhere.
pub(crate) fn relaxed() -> Command {
    ServerKind::ALL
        .into_iter()
        .fold(Args::command(), |root, server| {
            root.mut_subcommand(server.name(), |command| {
                command.mut_args(|arg| arg.required(false))
            })
        })
}

pub(crate) fn command(root: &Command, server: ServerKind) -> &Command {
    // Both are in args; a test walks through them.
    root.find_subcommand(server.name()).unwrap_or(root)
}

/// The flags of a server that are settings, in the order of its help.
pub(crate) fn settings(command: &Command) -> impl Iterator<Item = &Arg> {
    let is_setting = |arg: &&Arg| {
        !matches!(arg.get_id().as_str(), CONFIG | "check" | "help" | "version")
            && arg.get_long().is_some()
    };
    command.get_arguments().filter(is_setting)
}

pub(crate) fn key(arg: &Arg) -> String {
    arg.get_long().unwrap_or_default().replace('-', "_")
}

fn flag(key: &str) -> String {
    key.replace('_', "-")
}

pub(crate) fn variable(key: &str) -> String {
    format!("MADRPC_{}", key.to_uppercase())
}

pub(crate) fn defaults(arg: &Arg) -> Vec<String> {
    // clap gives a switch the default `false`.
    let values = arg.get_default_values().iter();
    values
        .map(|value| value.to_string_lossy().into_owned())
        .collect()
}

/// What was typed for a flag.
fn raw(typed: &ArgMatches, arg: &Arg) -> Vec<String> {
    let id = arg.get_id().as_str();
    if Kind::of(arg) == Kind::Switch {
        return vec![typed.get_flag(id).to_string()];
    }
    let values = typed.get_raw(id).into_iter().flatten();
    values
        .map(|value| value.to_string_lossy().into_owned())
        .collect()
}

/// The value of a variable; a list is separated by commas.
fn from_variable(
    name: &str,
    value: OsString,
    kind: Kind,
    delimiter: char,
) -> Result<Vec<String>, String> {
    let value = value
        .into_string()
        .map_err(|_| format!("${name}: is no text in UTF-8"))?;
    Ok(match kind {
        Kind::Many => value
            .split(delimiter)
            .map(|part| part.trim().into())
            .collect(),
        Kind::Switch | Kind::One => vec![value],
    })
}

fn as_flags(key: &str, kind: Kind, values: &[String]) -> Vec<OsString> {
    let flag = flag(key);
    match kind {
        Kind::Switch if values.first().is_some_and(|value| value == "true") => {
            vec![format!("--{flag}").into()]
        }
        Kind::Switch => Vec::new(),
        Kind::One | Kind::Many => values
            .iter()
            .map(|value| format!("--{flag}={value}").into())
            .collect(),
    }
}

/// Whether the flag takes these values; else why not.
pub(crate) fn check(
    server: ServerKind,
    key: &str,
    kind: Kind,
    values: &[String],
) -> Result<(), String> {
    match (kind, values) {
        (Kind::Switch, [value]) if value == "true" || value == "false" => return Ok(()),
        (Kind::Switch, _) => {
            return Err(format!("write true or false, not `{}`", values.join(", ")));
        }
        (Kind::One, [_]) | (Kind::Many, _) => {}
        (Kind::One, _) => return Err("one value is wanted, and this is a list".into()),
    }
    let line = ["madrpc".into(), server.name().into()].into_iter();
    let line = line.chain(as_flags(key, kind, values));
    let Err(error) = relaxed().try_get_matches_from(line) else {
        return Ok(());
    };
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => value.clone(),
        _ => values.join(", "),
    };
    // The parser's own words, or the names that there are.
    let why = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(why), _) => why.to_string(),
        (None, Some(ContextValue::Strings(names))) => {
            format!("expected one of {}", names.join(", "))
        }
        _ => "no such value".to_owned(),
    };
    Err(format!("`{value}`: {why}"))
}

fn usage(message: String) -> Failure {
    Failure::new(Reason::Usage, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(
        line: &str,
        variables: &[(&str, &str)],
    ) -> Result<Vec<(String, String, String)>, String> {
        let matches = relaxed().try_get_matches_from(line.split(' ')).unwrap();
        let (_, typed) = matches.subcommand().unwrap();
        let of = |name: &str| {
            let found = variables.iter().find(|(other, _)| *other == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let resolved =
            Resolved::new(ServerKind::Node, typed, of).map_err(|failure| failure.to_string())?;
        let rows = resolved.settings.into_iter().map(|setting| {
            (
                setting.key,
                setting.values.join(" "),
                setting.source.to_string(),
            )
        });
        Ok(rows.collect())
    }

    fn row<'a>(rows: &'a [(String, String, String)], key: &str) -> (&'a str, &'a str) {
        let found = rows.iter().find(|(other, ..)| other == key);
        let (_, value, source) = found.unwrap_or_else(|| panic!("{key} in {rows:?}"));
        (value, source)
    }

    #[test]
    fn flags_go_before_variables_before_the_file_before_defaults() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        let text = "# a node\nslice = \"1ms\"\nshards = 2\nspin = '1us'\nwatch = true\n";
        std::fs::write(&path, text).unwrap();
        let path = path.display();
        let variables = [
            ("MADRPC_SPIN", "2us"),
            ("MADRPC_SHARDS", "3"),
            ("MADRPC_BIND", ""),
        ];
        let line = format!("madrpc node --config {path} --shards 4");
        let rows = resolve(&line, &variables).unwrap();
        assert_eq!(row(&rows, "slice"), ("1ms", &*format!("{path}:2")));
        assert_eq!(row(&rows, "watch"), ("true", &*format!("{path}:5")));
        assert_eq!(row(&rows, "spin"), ("2us", "$MADRPC_SPIN"));
        assert_eq!(row(&rows, "shards"), ("4", "--shards"));
        assert_eq!(row(&rows, "bind"), ("0.0.0.0:9001", "default"));
        assert_eq!(row(&rows, "no_slice"), ("false", "default"));
        assert_eq!(row(&rows, "script"), ("", "default"));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("node.toml");
        let refused = |text: &str| {
            std::fs::write(&path, text).unwrap();
            resolve(&format!("madrpc node --config {}", path.display()), &[]).unwrap_err()
        };
        let place = |line: usize| format!("error: {}:{line}: ", path.display());
        let cases = [
            (
                "\nslise = '1ms'",
                2,
                "there is no key `slise`: did you mean `slice`?",
            ),
            (
                "utterly_other = 1",
                1,
                "there is no key `utterly_other`; `madrpc config --template node` lists all",
            ),
            ("slice = '5 parsecs'", 1, "slice: `5 parsecs`: "),
            (
                "steering = 'magic'",
                1,
                "steering: `magic`: expected one of auto, kernel, relay",
            ),
            ("watch = 'yes'", 1, "watch: write true or false"),
            (
                "shards = [1, 2]",
                1,
                "shards: one value is wanted, and this is a list",
            ),
            (
                "[shards]",
                1,
                "shards: one value is wanted, and this is a table",
            ),
            (
                "shards = 0",
                1,
                "shards: `0`: expected a whole number from 1 on",
            ),
            ("shards = 1\nshards = 2", 2, "duplicate key"),
            ("shards =", 1, ""),
        ];
        for (text, line, words) in cases {
            let said = refused(text);
            assert!(said.starts_with(&place(line)), "{said}");
            assert!(said.contains(words), "no `{words}` in {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
        let said = resolve("madrpc node", &[("MADRPC_SLICE", "x")]).unwrap_err();
        assert!(said.starts_with("error: $MADRPC_SLICE: `x`: "), "{said}");
        let said = resolve("madrpc node", &[("MADRPC_WATCH", "1")]).unwrap_err();
        assert!(said.contains("write true or false"), "{said}");
        let said = resolve("madrpc node --config /nowhere.toml", &[]).unwrap_err();
        assert!(said.contains("/nowhere.toml: cannot be read"), "{said}");
    }

    #[test]
    fn lists_are_given_whole_by_whoever_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("orchestrator.toml");
        std::fs::write(&path, "node = ['a:1', 'b:2']").unwrap();
        let nodes = |line: &str, variable: Option<&str>| {
            let line = format!("madrpc orchestrator --config {}{line}", path.display());
            let matches = relaxed().try_get_matches_from(line.split(' ')).unwrap();
            let (_, typed) = matches.subcommand().unwrap();
            let of = |name: &str| variable.filter(|_| name == "MADRPC_NODE").map(Into::into);
            let resolved = Resolved::new(ServerKind::Orchestrator, typed, of);
            let flags = resolved
                .map_err(|failure| failure.to_string())
                .unwrap()
                .as_flags();
            let line = line.split(' ').map(OsString::from).chain(flags);
            match Args::try_parse_from(line).unwrap().command {
                crate::args::Command::Orchestrator(args) => args.nodes,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(nodes("", None), ["a:1", "b:2"]);
        assert_eq!(nodes("", Some("c:3, d:4")), ["c:3", "d:4"]);
        assert_eq!(nodes(" -n e:5", Some("c:3")), ["e:5"]);
    }
}
