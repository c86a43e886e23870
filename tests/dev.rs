//! `madrpc dev` at a terminal: functions are called at its prompt, and errors show the script.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

#[path = "support/mod.rs"]
mod support;

use nix::pty::{Winsize, openpty};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use support::process::Home;

const SCRIPT: &str = "madrpc.register('hello', (who) => {
  console.log('greeting', who);
  return `hello ${who}`;
});
madrpc.register('boom', () => {
  throw new TypeError('no');
});";

/// A command, and the terminal that it is at.
struct Terminal {
    child: Child,
    keys: File,
    shown: Receiver<Vec<u8>>,
    seen: String,
}

impl Terminal {
    fn start(home: &Home, args: &[&str]) -> Self {
        let size = Winsize {
            ws_row: 40,
            ws_col: 200,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None).unwrap();
        let side = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut command = home.command(args);
        command
            .env("TERM", "xterm")
            .env("XDG_STATE_HOME", home.path("state"));
        let child = command.stdin(side()).stdout(side()).stderr(side()).spawn();
        let mut screen = File::from(pty.master.try_clone().unwrap());
        let (sender, shown) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            // It fails once nobody has the terminal open any more.
            while let Ok(length) = screen.read(&mut bytes)
                && sender.send(bytes[..length].to_vec()).is_ok()
            {}
        });
        Self {
            child: child.unwrap(),
            keys: pty.master.into(),
            shown,
            seen: String::new(),
        }
    }

    fn type_in(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the terminal has shown this, after what was waited for before.
    fn wait_for(&mut self, words: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(at) = self.seen.find(words) {
                self.seen.drain(..at + words.len());
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.shown.recv_timeout(left) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(_) => panic!("no `{words}` in:\n{}", self.seen),
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn functions_are_called_at_the_prompt_and_errors_show_the_script() {
    let home = Home::new();
    home.write("script.js", SCRIPT);
    let mut terminal = Terminal::start(&home, &["dev", "script.js", "--nodes", "1"]);
    terminal.wait_for(".help says what else");
    terminal.wait_for("> ");
    // The name is completed.
    terminal.type_in("hel\t\"you\"\r");
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
    let mut again = Terminal::start(&home, &["dev", "script.js", "--nodes", "1"]);
    again.wait_for("error: script script.js:2:");
    home.write("script.js", SCRIPT);
    let mut again = Terminal::start(&home, &["dev", "script.js", "--nodes", "1"]);
    again.wait_for("> ");
    // Up, twice: before .exit came the call.
    again.type_in("\u{1b}[A\u{1b}[A\r");
    again.wait_for("\"hello them\"");
    // Ctrl-D.
    again.type_in("\u{4}");
    again.wait_for("all calls have ended");
    assert_eq!(again.child.wait().unwrap().code(), Some(0));
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
