//! `madrpc dev` at a terminal: functions are called at its prompt, and errors show the script.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

#[path = "support/mod.rs"]
mod support;

use support::process::Home;
use support::terminal::Terminal;

const SCRIPT: &str = "madrpc.register('hello', (who) => {
  console.log('greeting', who);
  return `hello ${who}`;
});
madrpc.register('boom', () => {
  throw new TypeError('no');
});";

#[test]
fn functions_are_called_at_the_prompt_and_errors_show_the_script() {
    let home = Home::new();
    home.write("script.js", SCRIPT);
    let mut terminal =
        Terminal::start(&home, &["dev", "script.js", "--nodes", "1"], (200, 40), &[]);
    terminal.wait_for(".help says what else");
    terminal.wait_for("> ");
    // The name is completed.
    terminal.type_in("hell\t\"you\"\r");
    terminal.wait_for("\"hello you\"");
    terminal.wait_for("of the core of 127.0.0.1:");
    terminal.type_in("boom\r");
    terminal.wait_for("JavaScript: TypeError: no");
    terminal.wait_for("> 6 |   throw new TypeError('no');");
    terminal.type_in("hello {bad\r");
    terminal.wait_for("the argument is no JSON");
    terminal.type_in(".help\r");
    terminal.wait_for(".functions");
    terminal.type_in(".nothing\r");
    terminal.wait_for("no command .nothing");
    terminal.type_in(".functions\r");
    terminal.wait_for("FUNCTION");
    // What is logged while something is typed goes above it, and is told to be of which node.
    terminal.type_in("hello \"the");
    home.write("script.js", &SCRIPT.replace("=> {", "=> { ("));
    terminal.wait_for("not reloaded, all goes on as before: script script.js:2:");
    terminal.type_in("m\"\r");
    terminal.wait_for("node-1");
    terminal.wait_for("\"hello them\"");
    terminal.type_in(".exit\r");
    terminal.wait_for("all calls have ended");
    assert_eq!(terminal.child.wait().unwrap().code(), Some(0));
    // The lines are kept for the next time.
    let mut again = Terminal::start(&home, &["dev", "script.js", "--nodes", "1"], (200, 40), &[]);
    again.wait_for("error: script script.js:2:");
    home.write("script.js", SCRIPT);
    let mut again = Terminal::start(&home, &["dev", "script.js", "--nodes", "1"], (200, 40), &[]);
    again.wait_for("> ");
    // Up, twice: before .exit came the call.
    again.type_in("\u{1b}[A\u{1b}[A\r");
    again.wait_for("\"hello them\"");
    // Ctrl-D is a key only where lines are edited: what comes in between is lost.
    again.wait_for("> ");
    again.type_in("\u{4}");
    again.wait_for("all calls have ended");
    assert_eq!(again.child.wait().unwrap().code(), Some(0));
}

#[test]
fn items_are_shown_as_they_come_and_ctrl_c_ends_the_call_alone() {
    let home = Home::new();
    home.write(
        "script.js",
        "madrpc.register('three', function* () { yield { a: 1 }; yield 2; yield 3; return 'over'; });
madrpc.register('fails', function* () { yield 'first'; throw new Error('then'); });
madrpc.register('endless', async function* () {
  for (let i = 1;; i++) { yield `item ${i}`; await new Promise((done) => setTimeout(done, 10)); }
});
madrpc.register('silent', () => {
  console.log('has begun');
  return new Promise((done) => setTimeout(done, 3600000));
});",
    );
    let args = ["dev", "script.js", "--nodes", "1"];
    let mut terminal = Terminal::start(&home, &args, (200, 40), &[]);
    terminal.wait_for("> ");
    terminal.type_in("three\r");
    terminal.wait_for("{\"a\":1}\r\n2\r\n3\r\n");
    terminal.wait_for("3 items in ");
    terminal.type_in("fails\r");
    terminal.wait_for("\"first\"");
    terminal.wait_for("JavaScript: Error: then");
    for (function, shown, stopped) in [
        ("endless", "\"item 5\"", "endless: stopped after "),
        ("silent", "has begun", "silent: stopped after 0 items"),
    ] {
        terminal.wait_for("> ");
        terminal.type_in(&format!("{function}\r"));
        terminal.wait_for(shown);
        terminal.type_in("\u{3}");
        terminal.wait_for(stopped);
    }
    terminal.wait_for("> ");
    terminal.type_in("three\r");
    terminal.wait_for("3 items in ");
    terminal.type_in(".exit\r");
    terminal.wait_for("all calls have ended");
    assert_eq!(terminal.child.wait().unwrap().code(), Some(0));
}

/// Several lines may be pasted; names may have spaces; and a signal leaves the terminal as it was.
#[test]
fn names_are_taken_in_quotes_and_a_signal_gives_the_terminal_back() {
    let home = Home::new();
    let script =
        "madrpc.register('two words', (x) => x + 1);\nmadrpc.register('.dotted', () => 'dot');";
    home.write("script.js", script);
    let args = ["dev", "script.js", "--nodes", "1"];
    let mut terminal = Terminal::start(&home, &args, (200, 40), &[]);
    let before = terminal.ways();
    terminal.wait_for("> ");
    assert_ne!(terminal.ways(), before);
    terminal.type_in("\"tw\t1\r");
    terminal.wait_for("\n2");
    terminal.type_in("\u{1b}[200~\"two words\" 5\n\".dotted\"\u{1b}[201~\r");
    terminal.wait_for("\n6");
    terminal.wait_for("\"dot\"");
    let pid = nix::unistd::Pid::from_raw(terminal.child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    terminal.wait_for("all calls have ended");
    assert_eq!(terminal.child.wait().unwrap().code(), Some(0));
    assert_eq!(terminal.ways(), before);
}

/// Where lines cannot be edited, the cluster serves all the same.
#[test]
fn where_there_can_be_no_prompt_the_cluster_serves() {
    let home = Home::new();
    home.write("script.js", SCRIPT);
    let mut command = std::process::Command::new("sh");
    command.arg("-c").arg(format!(
        "exec {} dev script.js --nodes 1 >/dev/null",
        env!("CARGO_BIN_EXE_madrpc")
    ));
    let mut terminal = Terminal::start_in(&home, &command, (200, 40), &[]);
    terminal.wait_for("and: madrpc top");
    let pid = nix::unistd::Pid::from_raw(terminal.child.id() as i32);
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    terminal.wait_for("all calls have ended");
    assert_eq!(terminal.child.wait().unwrap().code(), Some(0));
}

#[test]
fn it_ends_with_the_program_that_started_it() {
    let home = Home::new();
    home.write("script.js", SCRIPT);
    let mut command = home.command(&["dev", "script.js", "--until-stdin-ends"]);
    let mut dev = support::process::Served::start(command.stdin(std::process::Stdio::piped()));
    dev.wait_for("and: madrpc top");
    drop(dev.child.stdin.take());
    dev.wait_for("all calls have ended");
    assert_eq!(dev.end().code(), Some(0));
}

#[test]
fn without_a_terminal_there_is_no_prompt() {
    let home = Home::new();
    home.write("script.js", SCRIPT);
    let mut dev = support::process::Served::start(&mut home.command(&["dev", "script.js"]));
    dev.wait_for("and: madrpc top");
    dev.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(dev.end().code(), Some(0));
    assert!(!dev.seen.contains(".help"), "{}", dev.seen);
}
