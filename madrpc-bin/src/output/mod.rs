//! The two streams: results to stdout, words to a person to stderr.

use crate::exit::{Failure, Reason};
use std::borrow::Cow;
use std::io::{self, ErrorKind, Write};

/// Writes a result and a line's end to stdout. A reader that has gone has seen enough: no error.
pub(crate) fn result(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    let written = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    match written {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::new(
            Reason::Other,
            format!("stdout: cannot be written: {error}"),
        )),
        _ => Ok(()),
    }
}

/// Says something to whoever started the command, whatever the log filter is.
pub(crate) fn say(text: &str) {
    // There is nobody left to tell that stderr is closed.
    let _ = writeln!(io::stderr().lock(), "madrpc: {text}");
}

/// The text without what would break the line or drive the terminal: peers and scripts may have written it.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(char::is_control) {
        return text.into();
    }
    let escape = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    text.chars().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        assert_eq!(printable("grüße, 🦀"), "grüße, 🦀");
        assert_eq!(printable("a\nb\u{1b}[2J\u{9b}"), r"a\nb\u{1b}[2J\u{9b}");
    }
}
