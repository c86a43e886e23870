//! What a server writes into its log, line by line, or what piles up where nobody reads it.

use std::io::{BufRead, BufReader, Read};
use std::process::{ChildStderr, ChildStdout};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Lines of the log that are kept to be shown.
const KEPT: usize = 12;

/// The beginning of the line that [`FORGERY`](crate::strangers::FORGERY) wants to be.
const FORGED: &str = "2026-01-01T00:00:00";

/// A server's log.
pub(crate) struct Log {
    lines: Receiver<Vec<u8>>,
    unread: Option<(ChildStderr, Sender<Vec<u8>>)>,
    counted: Counted,
}

/// What was seen in it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counted {
    pub(crate) lines: u64,
    /// Lines that are not the server's own, or that would drive a terminal.
    pub(crate) forged: u64,
    /// The first of them that warn, and of the forged.
    pub(crate) kept: Vec<String>,
}

impl Log {
    /// Reads a server's output; its stderr only where `read` says so.
    pub(crate) fn new(stdout: ChildStdout, stderr: ChildStderr, read: bool) -> Self {
        let (sender, lines) = channel();
        follow(stdout, sender.clone());
        let mut unread = None;
        if read {
            follow(stderr, sender);
        } else {
            unread = Some((stderr, sender));
        }
        Self {
            lines,
            unread,
            counted: Counted::default(),
        }
    }

    /// Begins to read what was left unread.
    pub(crate) fn read_on(&mut self) {
        if let Some((stderr, sender)) = self.unread.take() {
            follow(stderr, sender);
        }
    }

    /// What was seen so far.
    pub(crate) fn count(&mut self) -> &Counted {
        for line in self.lines.try_iter() {
            self.counted.lines += 1;
            let forged = is_forged(&line);
            self.counted.forged += u64::from(forged);
            let text = String::from_utf8_lossy(&line).escape_debug().to_string();
            let wanted = forged || text.contains(" WARN ") || text.contains(" ERROR ");
            if wanted && self.counted.kept.len() < KEPT {
                self.counted.kept.push(text);
            }
        }
        &self.counted
    }
}

fn follow(stream: impl Read + Send + 'static, sender: Sender<Vec<u8>>) {
    std::thread::spawn(move || {
        let lines = BufReader::new(stream).split(b'\n');
        for line in lines.map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
}

fn is_forged(line: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(line) else {
        return true;
    };
    let is_bidi = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.starts_with(FORGED) || text.chars().any(|c| c.is_control() || is_bidi(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strangers::FORGERY;

    #[test]
    fn a_forgery_is_told_from_a_line_of_the_servers() {
        assert!(!is_forged(
            b"2026-11-25T04:14:48.000000Z  WARN madrpc: x\\n\\u{202e}"
        ));
        assert!(
            FORGERY
                .split('\n')
                .skip(1)
                .all(|line| is_forged(line.as_bytes()))
        );
    }
}
