//! The prompt of `madrpc dev`, where stdin is a terminal: functions are called by their names.

use crate::exit::Failure;
use crate::output::{self, print_through, say};
use crate::signals::Interrupts;
use futures_lite::StreamExt;
use futures_lite::future::{block_on, or};
use madrpc_core::call::CallError;
use madrpc_core::call::catalog::{Catalog, FUNCTIONS};
use madrpc_core::identity::{Identity, Role};
use madrpc_core::value::Value;
use madrpc_core::value::json::{from_json, to_json, to_json_pretty};
use madrpc_shard::client::{Client, ClientConfig};
use nix::unistd::{getpgrp, tcgetpgrp};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{Context, Editor, ExternalPrinter, Helper, Highlighter, Hinter, Validator};
use std::io::{IsTerminal, stderr, stdin, stdout};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long the cluster may take to say what can be called, while somebody types.
const NAMES_TIMEOUT: Duration = Duration::from_millis(500);

/// What can be typed beside functions' names.
const COMMANDS: [(&str, &str); 4] = [
    (".help", "this list"),
    (
        ".functions",
        "what can be called, with the options of each function",
    ),
    (
        ".top",
        "calls, errors and latency as they happen; q comes back",
    ),
    (
        ".exit",
        "end; so does Ctrl-D, or Ctrl-C, which only gives a call up where one is under way",
    ),
];

/// Whether somebody types at a terminal, and sees there what is said. Not in the background, where a process is stopped that reads
/// the terminal.
pub(super) fn has_terminal() -> bool {
    let is_in_front = tcgetpgrp(stdin()).is_ok_and(|group| group == getpgrp());
    is_in_front && stdin().is_terminal() && stdout().is_terminal() && stderr().is_terminal()
}

/// Takes lines on a thread of its own; says by `ended` that there will be no more.
pub(super) fn start(
    address: SocketAddr,
    script: &Path,
    interrupts: Interrupts,
    ended: impl FnOnce() + Send + 'static,
) -> Result<(), Failure> {
    let identity = Identity::of_this_user(Role::Client)?;
    let client = Client::new(&ClientConfig {
        connections: Some(1),
        ..ClientConfig::with_identity(&address.to_string(), identity)
    })?;
    let dir = script.parent().unwrap_or(Path::new("")).to_owned();
    let failed = |error: ReadlineError| {
        Failure::new(crate::exit::Reason::Other, format!("the prompt: {error}"))
    };
    let mut editor: Editor<Names, DefaultHistory> = Editor::new().map_err(failed)?;
    let mut printer = editor.create_external_printer().map_err(failed)?;
    // Whatever ends the process while a line is typed.
    output::keep_terminal();
    let history = history_file();
    if let Some(history) = &history {
        // There is none before the first time.
        let _ = editor.load_history(history);
    }
    let mut prompt = Prompt {
        names: Names(client),
        interrupts,
        address,
        dir,
    };
    editor.set_helper(Some(Names(prompt.names.0.clone())));
    // Lines of the log do not tear the one that is being typed apart. Before the prompt is there: what is being printed then by
    // another way would come after it.
    print_through(Some(Box::new(move |text| {
        printer.print(text.to_owned()).is_ok()
    })));
    say("or type NAME JSON here to call a function; .help says what else");
    let run = move || {
        let mut has_ended = false;
        while !has_ended && let Ok(typed) = editor.readline("> ") {
            // Several may be pasted at a time.
            let lines = typed.lines().map(str::trim);
            for line in lines.filter(|line| !line.is_empty()) {
                // It is there for a person: what cannot be kept is no matter.
                let _ = editor.add_history_entry(line);
                if let Some(history) = &history {
                    let _ = editor.append_history(history);
                }
                has_ended |= line == ".exit";
                if !has_ended {
                    prompt.obey(line);
                }
            }
        }
        print_through(None);
        ended();
    };
    let thread = std::thread::Builder::new().name("prompt".into()).spawn(run);
    thread.map(drop).map_err(|error| {
        print_through(None);
        failed(error.into())
    })
}

struct Prompt {
    names: Names,
    /// Of calls under way. While a line is typed, Ctrl-C is a key.
    interrupts: Interrupts,
    address: SocketAddr,
    /// Where the script is.
    dir: PathBuf,
}

impl Prompt {
    fn obey(&mut self, line: &str) {
        if let Some((name, rest)) = quoted(line) {
            return self.call(&name, rest.trim());
        }
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match word {
            ".help" => help(),
            ".functions" | ".top" => self.run(&word[1..]),
            _ if word.starts_with('.') => say(&format!("no command {word}; .help lists them")),
            function => self.call(function, rest.trim()),
        }
    }

    /// Calls a function; Ctrl-C gives the call up.
    fn call(&mut self, function: &str, argument: &str) {
        let argument = match argument {
            "" => Ok(Value::Undefined),
            json => from_json(json),
        };
        let argument = match argument {
            Ok(argument) => argument,
            Err(error) => {
                return say(&format!(
                    r#"the argument is no JSON: {error}; write NAME JSON, as: f {{"a": 1}}"#
                ));
            }
        };
        let begun = Instant::now();
        let mut interrupts = self.interrupts.begin();
        let mut items = self.names.0.prepare(function).stream(argument);
        let mut count = 0_u64;
        loop {
            let next = or(
                async {
                    interrupts.interrupted().await;
                    Next::Interrupted
                },
                async { Next::Item(items.next().await) },
            );
            let item = match block_on(next) {
                Next::Interrupted => {
                    return say(&format!("{function}: stopped after {}", items_of(count)));
                }
                Next::Item(None) => break,
                Next::Item(Some(Err(error))) => {
                    let failure = Failure::from(error).with_code(&self.dir);
                    return output::say_with(failure.reason(), failure.below());
                }
                Next::Item(Some(Ok(item))) => item,
            };
            count = count.saturating_add(1);
            if let Err(error) = output::result(&to_json(&item)) {
                return say(&error.to_string());
            }
        }
        let ms = begun.elapsed().as_secs_f64() * 1e3;
        let Some(reply) = items.reply() else {
            return;
        };
        let mut told = format!("{ms:.1} ms");
        // What a generator returns is none of its items.
        if items.has_streamed() {
            told = format!("{} in {told}", items_of(count));
        } else if let Err(error) = output::result(&to_json_pretty(&reply.result)) {
            say(&error.to_string());
        }
        let (cpu_us, node) = (reply.bill.cpu_us, &reply.bill.node);
        say(&format!(
            "{told}, of which {cpu_us} µs of the core of {node}"
        ));
    }

    /// Runs another command of ours on the cluster, which has the terminal for so long.
    fn run(&self, command: &str) {
        let ran = std::env::current_exe().and_then(|exe| {
            let address = self.address.to_string();
            Command::new(exe).args([command, &address]).status()
        });
        if let Err(error) = ran {
            say(&format!(".{command}: {error}"));
        }
    }
}

fn items_of(count: u64) -> String {
    format!("{count} {}", if count == 1 { "item" } else { "items" })
}

/// What comes first while a call is under way.
enum Next {
    Interrupted,
    Item(Option<Result<Value, CallError>>),
}

/// The name that a line begins with and what comes after it, where that is in quotes as JSON has them: it may have spaces.
fn quoted(line: &str) -> Option<(String, &str)> {
    let mut values = serde_json::Deserializer::from_str(line).into_iter::<String>();
    let name = values.next()?.ok()?;
    Some((name, line.get(values.byte_offset()..).unwrap_or_default()))
}

/// A function's name as it is typed.
fn typed(name: &str) -> String {
    match name.contains(char::is_whitespace) || name.starts_with(['.', '"']) {
        true => to_json(&Value::from(name)),
        false => name.to_owned(),
    }
}

fn help() {
    let lines = COMMANDS.map(|(command, what)| format!("{command:11} {what}"));
    let call = r#"NAME JSON   call a function, as: add [1, 2]; a name with spaces in quotes; Tab completes names"#;
    output::say_with(
        "type",
        std::iter::once(call).chain(lines.iter().map(String::as_str)),
    );
}

/// Where lines are kept: `madrpc/dev-history` below `XDG_STATE_HOME`.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from);
    let state = state.filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(std::env::home_dir()?.join(".local/state")))?;
    let dir = state.join("madrpc");
    std::fs::create_dir_all(&dir).ok()?;
    Some(dir.join("dev-history"))
}

/// Completes the names of functions.
#[derive(Helper, Highlighter, Hinter, Validator)]
struct Names(Client);

impl Completer for Names {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let typed = line.get(..position).unwrap_or_default().trim_start();
        let is_quoted = typed.starts_with('"');
        if typed.contains(char::is_whitespace) && !is_quoted || quoted(typed).is_some() {
            return Ok((position, Vec::new()));
        }
        let asked = self.0.prepare(FUNCTIONS).timeout(NAMES_TIMEOUT);
        let catalog = asked.send_blocking(Value::Undefined).ok();
        let catalog =
            catalog.and_then(|reply| madrpc_core::value::from_value::<Catalog>(reply.result).ok());
        let mut names: Vec<String> = COMMANDS.map(|(command, _)| command.to_owned()).into();
        names.extend(
            catalog
                .into_iter()
                .flat_map(|catalog| catalog.functions)
                .map(|function| self::typed(&function.name)),
        );
        names.sort_unstable();
        names.dedup();
        let fitting = names.into_iter().filter(|name| name.starts_with(typed));
        let pairs = fitting.map(|name| Pair {
            display: name.clone(),
            replacement: name + " ",
        });
        Ok((position.saturating_sub(typed.len()), pairs.collect()))
    }
}
