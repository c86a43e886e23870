//! The settings file that is shipped: every key with its meaning, unit and default, and nothing set.

use super::toml;
use crate::args::{Args, ServerKind};
use crate::settings::{Kind, command, defaults, key, settings, variable};
use clap::{Arg, CommandFactory};
use std::fmt::Write;

/// Columns of a line.
const WIDTH: usize = 100;

/// What stands where a key has no default that could be shown.
const EXAMPLES: [(&str, &[&str]); 25] = [
    ("script", &["/etc/madrpc/functions.js"]),
    ("memory_max", &["4G"]),
    ("orchestrator", &["orchestrator.example:8080"]),
    ("node", &["node-1.example:9001", "node-2.example:9001"]),
    ("discover", &["file:/etc/madrpc/nodes"]),
    ("allow", &["refund=client:billing,operator:*"]),
    ("join", &["node:web-*", "node:gpu"]),
    ("revoked", &["/etc/madrpc/revoked"]),
    ("http", &["9180"]),
    ("http_tokens", &["/etc/madrpc/http-tokens"]),
    ("pool_size", &["16"]),
    ("recycle_after", &["100000"]),
    ("shards", &["4"]),
    ("cpus", &["0,2-5"]),
    ("tls_ca", &["/etc/madrpc/tls/ca.pem"]),
    ("tls_cert", &["/etc/madrpc/tls/cert.pem"]),
    ("tls_key", &["/etc/madrpc/tls/key.pem"]),
    ("log", &["info"]),
    ("wait_limit", &["100ms"]),
    ("caller_rate", &["1000"]),
    ("subset", &["20"]),
    ("hedge", &["p95"]),
    ("try_timeout", &["2s"]),
    ("slow", &["1s"]),
    ("otlp", &["http://127.0.0.1:4318"]),
];

/// The file.
pub(super) fn text(server: ServerKind) -> String {
    let mut root = Args::command();
    root.build();
    let name = server.name();
    let mut out = String::new();
    let mut paragraph = |text: &str| {
        for line in wrapped(text) {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "# {line}");
        }
    };
    paragraph(&format!(
        "The settings of `madrpc {name}`, each with its default or, where it has none, an example. A flag of the same name \
         goes before the variable that is named with it, and that before this file; `madrpc config {name} --config FILE` \
         shows what is in force, and why."
    ));
    for arg in settings(command(&root, server)) {
        let _ = writeln!(out);
        for line in wrapped(&help(arg)) {
            let _ = writeln!(out, "# {line}");
        }
        let (key, kind) = (key(arg), Kind::of(arg));
        let _ = writeln!(out, "# ({})", variable(&key));
        let _ = writeln!(out, "#{key} = {}", toml(kind, &shown(arg)));
    }
    out
}

fn help(arg: &Arg) -> String {
    let help = arg.get_long_help().or(arg.get_help());
    let text = help.map(ToString::to_string).unwrap_or_default();
    let names: Vec<_> = arg
        .get_possible_values()
        .iter()
        .map(|value| value.get_name().to_owned())
        .collect();
    let must = if arg.is_required_set() {
        " It has to be set."
    } else {
        ""
    };
    match (Kind::of(arg), names.is_empty()) {
        (Kind::Switch, _) | (_, true) => format!("{text}.{must}"),
        (_, false) => format!("{text}: {}.{must}", names.join(", ")),
    }
}

fn shown(arg: &Arg) -> Vec<String> {
    let defaults = defaults(arg);
    if !defaults.is_empty() {
        return defaults;
    }
    let key = key(arg);
    let example = EXAMPLES.iter().find(|(name, _)| *name == key);
    let example = example.map_or(&[][..], |(_, values)| values);
    example.iter().map(ToString::to_string).collect()
}

/// The text in lines that leave room for `# `.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.is_empty() => word.clone_into(line),
            Some(line) if line.len() + 1 + word.len() <= WIDTH - 2 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Entry, check, read};

    /// The file with every key set as it is shown.
    fn everything(server: ServerKind) -> (Vec<Entry>, Vec<String>) {
        let text = text(server);
        let set: Vec<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')))
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all.toml");
        std::fs::write(&path, set.join("\n")).unwrap();
        let mut root = Args::command();
        root.build();
        let keys: Vec<_> = settings(command(&root, server)).map(key).collect();
        (read(&path, &keys).unwrap(), keys)
    }

    #[test]
    fn every_key_is_there_and_its_value_is_taken() {
        for server in ServerKind::ALL {
            let (entries, keys) = everything(server);
            let mut root = Args::command();
            root.build();
            assert_eq!(entries.len(), keys.len());
            assert!(keys.len() > 8, "{keys:?}");
            for Entry {
                key: name, values, ..
            } in &entries
            {
                assert!(values.iter().all(|value| !value.is_empty()), "{name}");
                let mut args = settings(command(&root, server));
                let arg = args.find(|arg| key(arg) == *name).unwrap();
                assert_eq!(check(server, name, Kind::of(arg), values), Ok(()), "{name}");
            }
        }
    }

    #[test]
    fn the_shipped_files_are_these() {
        for server in ServerKind::ALL {
            let name = server.name();
            let path = format!(
                "{}/../deploy/settings/{name}.toml",
                env!("CARGO_MANIFEST_DIR")
            );
            let shipped = std::fs::read_to_string(&path).unwrap();
            assert_eq!(
                shipped,
                text(server),
                "{path} is out of date: target/debug/madrpc config --template {name} >{path}"
            );
        }
    }
}
