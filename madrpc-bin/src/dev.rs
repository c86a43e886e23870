//! `madrpc dev`: a whole cluster in this process, until a signal.

use crate::args::DevArgs;
use crate::exit::Failure;
use crate::output::say;
use crate::signals::Stop;
use madrpc_shard::cluster::Cluster;
use madrpc_shard::engine::Script;

pub(crate) fn run(args: &DevArgs) -> Result<(), Failure> {
    let script = Script::read(&args.script)?;
    let functions = script.functions()?;
    let cluster = Cluster::start(&script, args.nodes)?;
    let stop = Stop::catch()?;
    let address = cluster.address();
    let nodes: Vec<_> = cluster
        .nodes()
        .iter()
        .map(|node| node.address().to_string())
        .collect();
    say(&format!(
        "ready: orchestrator {address}; nodes: {}; functions: {}",
        nodes.join(", "),
        functions.join(", ")
    ));
    if let Some(function) = functions.first() {
        say(&format!(
            "try: madrpc call {address} {} '{{}}'",
            quoted(function)
        ));
    }
    say(&format!("and: madrpc top {address}"));
    stop.drain(args.drain.drain_timeout, |timeout| cluster.drain(timeout))
}

/// A function's name as a shell takes it for one word.
fn quoted(name: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "_-./:".contains(character);
    match !name.is_empty() && !name.starts_with('-') && name.chars().all(plain) {
        true => name.to_owned(),
        false => format!("'{}'", name.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn a_name_is_one_word_to_a_shell() {
        assert_eq!(quoted("monte_carlo.sample"), "monte_carlo.sample");
        assert_eq!(quoted("a b; rm"), "'a b; rm'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
