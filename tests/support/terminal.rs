//! The command `madrpc` at a terminal, with keys and a screen.

use super::process::Home;
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};
use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// A command, and the terminal that it is at.
pub struct Terminal {
    pub child: Child,
    keys: File,
    shown: Receiver<Vec<u8>>,
    seen: String,
    /// All that it has shown, with what drives a terminal.
    pub all: String,
}

impl Terminal {
    /// Starts a command at a terminal of so many columns and rows, with these variables.
    pub fn start(home: &Home, args: &[&str], size: (u16, u16), variables: &[(&str, &str)]) -> Self {
        Self::start_in(home, &home.command(args), size, variables)
    }

    /// The same of another command, for which the terminal is that of its session.
    pub fn start_in(
        home: &Home,
        command: &Command,
        (columns, rows): (u16, u16),
        variables: &[(&str, &str)],
    ) -> Self {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(Some(&size), None).unwrap();
        let side = || Stdio::from(pty.slave.try_clone().unwrap());
        let mut in_session = Command::new("setsid");
        in_session
            .arg("--ctty")
            .arg(command.get_program())
            .args(command.get_args())
            .current_dir(home.path(""))
            .env("MADRPC_TLS_DIR", home.path("tls"))
            .env_remove("RUST_LOG")
            .env("TERM", "xterm")
            .envs(variables.iter().copied())
            .env("XDG_STATE_HOME", home.path("state"));
        let child = in_session
            .stdin(side())
            .stdout(side())
            .stderr(side())
            .spawn();
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
            all: String::new(),
        }
    }

    /// Whether it shows keys as they are typed, and hands them on line by line.
    pub fn ways(&self) -> LocalFlags {
        tcgetattr(&self.keys).unwrap().local_flags
    }

    pub fn type_in(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the terminal has shown this, after what was waited for before.
    pub fn wait_for(&mut self, words: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(at) = self.seen.find(words) {
                self.seen.drain(..at + words.len());
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.shown.recv_timeout(left) {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes);
                    self.seen += &text;
                    self.all += &text;
                }
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
