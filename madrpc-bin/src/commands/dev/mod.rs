//! `madrpc dev`: a whole cluster in this process, until a signal; it goes over to the script whenever that is saved.

mod prompt;

use crate::args::DevArgs;
use crate::exit::{Failure, Reason};
use crate::output::{print_through, say};
use crate::serving::{self, Fronted, Reload, ScriptFile, http, serve};
use crate::signals::{Event, Events};
use madrpc_shard::engine::{Script, ScriptError};
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::local_cluster::Cluster;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{self, stdin};
use std::path::{Path, PathBuf};

pub(crate) fn run(args: &DevArgs, events: Option<Events>) -> Result<(), Failure> {
    let dir = args.script.parent().unwrap_or(Path::new("")).to_owned();
    let failed = |error: ScriptError| Failure::from(error).with_code(&dir);
    let script = Script::read(&args.script).map_err(failed)?;
    let settings = NodeConfig {
        pool_size: args.pool_size,
        slice: Some(args.slice),
        queue_max: args.limits.queue_limit,
        wait_max: args.limits.wait_limit,
        caller_rate: args.limits.caller_rate,
        lane: args.limits.lane(),
        ..NodeConfig::default()
    };
    let entrance = http::entrance(&args.http)?;
    let cluster = Cluster::start(&script, args.nodes, &settings, args.slow)
        .map_err(|error| Failure::from(error).with_code(&dir))?;
    let cluster = Fronted::new(cluster, Cluster::orchestrator, entrance)?;
    let functions = script.functions().map_err(failed)?;
    let mut events = events.map_or_else(Events::of_server, Ok)?;
    events.serves();
    let lane = &settings.lane;
    let script = ScriptFile::new(&args.script, &script, lane, true, &events)?;
    let address = cluster.server.address();
    let nodes: Vec<_> = cluster
        .server
        .nodes()
        .iter()
        .map(|node| node.address().to_string())
        .collect();
    say(&format!(
        "ready: orchestrator {address}; nodes: {}; {}{}",
        nodes.join(", "),
        serving::functions(&functions),
        cluster.told()
    ));
    if let Some(function) = functions.first() {
        say(&format!(
            "try: madrpc call {address} {} '{{}}'",
            quoted(function)
        ));
    }
    say(&format!("and: madrpc top {address}"));
    if args.until_stdin_ends {
        when_stdin_ends(events.teller(Event::Stop(SIGTERM)))?;
    } else if prompt::has_terminal()
        && let Some(interrupts) = events.interrupts()
    {
        let ended = events.teller(Event::Stop(SIGINT));
        // It fails as at a terminal that has no cursor. The cluster is what was asked for.
        if let Err(error) = prompt::start(address, &args.script, interrupts, ended) {
            say(&format!("there is no prompt: {}", error.reason()));
        }
    }
    let timeout = args.drain.drain_timeout;
    // Nobody but signals and saved files has it reload.
    let (_sender, asked) = std::sync::mpsc::channel();
    let script = DevScript { script, dir };
    serve(cluster, events, script, &asked, timeout, |all, timeout| {
        // The prompt may end with the process, and with it what it was given to print.
        print_through(None);
        all.drain(timeout, Cluster::drain)
    });
    Ok(())
}

/// Reads stdin to its end, on a thread of its own.
fn when_stdin_ends(mut then: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    let run = move || {
        // One that cannot be read has ended too.
        let _ = io::copy(&mut stdin().lock(), &mut io::sink());
        then();
    };
    let thread = std::thread::Builder::new().name("stdin".into()).spawn(run);
    let failed = |error| Failure::new(Reason::Other, format!("the thread of stdin: {error}"));
    thread.map(drop).map_err(failed)
}

/// What a cluster reads anew.
struct DevScript {
    script: ScriptFile,
    /// Where it is.
    dir: PathBuf,
}

impl Reload for DevScript {
    type Server = Fronted<Cluster>;
    type New = Script;

    fn loader(&self) -> impl FnOnce() -> Result<Script, Failure> + Send + 'static {
        let (load, dir) = (self.script.loader(), self.dir.clone());
        move || load().map_err(|failure| failure.with_code(&dir))
    }

    fn adopt(&mut self, cluster: &mut Fronted<Cluster>, new: Script) -> Result<String, Failure> {
        let names = cluster.server.reload(&new)?;
        self.script.follow(&new);
        Ok(serving::functions(&names))
    }

    fn failed(&mut self) {
        self.script.failed();
    }
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
