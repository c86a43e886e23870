//! The two streams: results to stdout, words to a person and the log to stderr.
//!
//! All that goes to stderr goes through here, where it is made one line that cannot be mistaken for another
//! (`printable`) and handed to the thread that writes it (`stderr`).

mod code_frame;
pub(crate) mod figures;
mod printable;
mod stderr;
pub(crate) mod table;
mod terminal;

pub(crate) use code_frame::code_frame;
pub(crate) use printable::{Printable, printable};
pub(crate) use stderr::{finish, never_wait, print_through};
pub(crate) use terminal::keep_terminal;

use std::io::{self, ErrorKind, IsTerminal, Write};

/// Stdout cannot be written, as on a full disk.
#[derive(Debug, thiserror::Error)]
#[error("stdout: cannot be written: {0}")]
pub(crate) struct StdoutError(io::Error);

/// Writes a result and a line's end to stdout. A reader that has gone has seen enough: no error.
///
/// # Errors
/// Where it cannot be written.
pub(crate) fn result(text: &str) -> Result<(), StdoutError> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(StdoutError(error)),
        _ => Ok(()),
    }
}

/// Says something to whoever started the command, whatever the log filter is.
pub(crate) fn say(text: &str) {
    say_with(text, []);
}

/// As [`say`], with further lines below it, which are indented so that nothing in them can pass for a line of its own.
pub(crate) fn say_with<'a>(text: &str, below: impl IntoIterator<Item = &'a str>) {
    stderr::write(said(text, below));
}

/// As [`say_with`], in a process that is about to end and must not wait for ever.
pub(crate) fn say_last<'a>(text: &str, below: impl IntoIterator<Item = &'a str>) {
    stderr::write_last(said(text, below));
}

/// Says what is text of our own, in several lines and perhaps in colours.
pub(crate) fn say_as_is(text: String) {
    stderr::write(text);
}

/// Whether a stream shows colours.
pub(crate) fn has_colours(stream: &impl IsTerminal) -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    stream.is_terminal() && !is_set("NO_COLOR")
}

fn said<'a>(text: &str, below: impl IntoIterator<Item = &'a str>) -> String {
    let mut lines = format!("madrpc: {}\n", printable(text));
    for line in below {
        lines.push_str("    ");
        lines.push_str(&printable(line));
        lines.push('\n');
    }
    lines
}

/// Takes the lines of the log. Each comes in one piece, and what others have written in it is escaped already.
pub(crate) struct Log;

impl Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        stderr::write(String::from_utf8_lossy(line).into_owned());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_said_can_pass_for_another_line() {
        assert_eq!(
            said("a\nmadrpc: ready", ["at f\nmadrpc: ready", "b"]),
            "madrpc: a\\nmadrpc: ready\n    at f\\nmadrpc: ready\n    b\n"
        );
    }
}
