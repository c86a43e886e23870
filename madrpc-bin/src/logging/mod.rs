//! The log: to stderr, filtered by `--log` or `RUST_LOG`.

mod cluster;

use crate::args::Command;
use crate::exit::{Failure, Reason};
use crate::output::{self, Printable};
use cluster::ByServer;
use std::error::Error;
use std::fmt::{self, Debug, Write};
use std::io::{self, IsTerminal};
use tracing::field::{Field, Visit};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

/// Starts logging.
///
/// # Errors
/// Where the filter is none.
pub(crate) fn start(filter: Option<String>, command: &Command) -> Result<(), Failure> {
    let default = match command {
        Command::Node(_) | Command::Dev(_) => "info",
        // What is wrong with a name server is said once, and not by each answer of it.
        Command::Orchestrator(_) => "info,hickory_net=error,hickory_resolver=error",
        // What the script says while it loads is wanted.
        Command::Check(_) => "info",
        // They have their own words for what goes wrong.
        _ => "error",
    };
    let filter = filter
        .filter(|filter| !filter.trim().is_empty())
        .unwrap_or_else(|| default.to_owned());
    let parsed = EnvFilter::try_new(&filter).map_err(|error| {
        let hint = "write a level as info, or directives as info,madrpc_shard=debug";
        Failure::new(
            Reason::Usage,
            format!("--log or RUST_LOG `{filter}`: {error}; {hint}"),
        )
    })?;
    // A line of the log would tear the live table apart.
    if matches!(command, Command::Top(_)) && io::stderr().is_terminal() {
        return Ok(());
    }
    let log = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .fmt_fields(Escaped)
        .with_writer(|| output::Log)
        .with_ansi(io::stderr().is_terminal())
        // It would tell of them past the queue.
        .log_internal_errors(false);
    let started = match command {
        Command::Dev(_) => log.event_format(ByServer).try_init(),
        _ => log.try_init(),
    };
    started.map_err(|error| Failure::new(Reason::Other, format!("log: {error}")))
}

/// Bytes of the message, and of the value of each field: a script's line of the console is shorter (4 KiB), and so is what a
/// person reads.
const VALUE_MAX_BYTES: usize = 8 << 10;

/// The message and the fields of a line, as the library writes them, but with their values escaped, and cut where they are long: the one place where
/// text of peers and scripts comes into the log. All else in a line is the program's own, colours among it.
struct Escaped;

impl<'w> FormatFields<'w> for Escaped {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = EscapingVisitor(DefaultVisitor::new(writer, true));
        fields.record(&mut visitor);
        visitor.0.finish()
    }
}

struct EscapingVisitor<'w>(DefaultVisitor<'w>);

impl Visit for EscapingVisitor<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.record_debug(field, &EscapedValue(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.record_debug(field, &format_args!("{value}")),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

struct EscapedValue<'a>(&'a dyn Debug);

impl Debug for EscapedValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cut = Cut {
            out: &mut *f,
            left: VALUE_MAX_BYTES,
            more: 0,
        };
        write!(Printable(&mut cut), "{:?}", self.0)?;
        match cut.more {
            0 => Ok(()),
            more => write!(f, "… {more} bytes more"),
        }
    }
}

/// Passes on so many bytes of what is written to it, and counts those after them.
struct Cut<W> {
    out: W,
    left: usize,
    more: usize,
}

impl<W: Write> Write for Cut<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let (shown, rest) = text.split_at(text.floor_char_boundary(self.left));
        // Nothing comes after a gap.
        self.left = if rest.is_empty() {
            self.left - shown.len()
        } else {
            0
        };
        self.more += rest.len();
        self.out.write_str(shown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Sender, channel};

    struct Lines(Sender<Vec<u8>>);

    impl io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(line.to_vec());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// The lines that are written, each in one piece.
    fn written(is_terminal: bool, log: impl Fn()) -> Vec<String> {
        let (sender, lines) = channel();
        let subscriber = tracing_subscriber::fmt()
            .fmt_fields(Escaped)
            .with_writer(move || Lines(sender.clone()))
            .with_ansi(is_terminal)
            .without_time()
            .finish();
        tracing::subscriber::with_default(subscriber, log);
        let lines = lines.try_iter();
        lines.map(|line| String::from_utf8(line).unwrap()).collect()
    }

    fn log() {
        let reason = "bye\n2026-01-01T00:00:00Z  INFO madrpc: all is well\u{1b}[2J\u{202e}";
        tracing::warn!("it said: {reason}");
        tracing::warn!(function = reason, call = 7, debug = ?["\n"], "a\r{}", "b\u{9b}c\u{2028}");
    }

    #[test]
    fn a_line_of_the_log_is_one_line_whatever_is_in_it() {
        let lines = written(false, log);
        let target = "madrpc::logging::tests";
        let shown = r"bye\n2026-01-01T00:00:00Z  INFO madrpc: all is well\u{1b}[2J\u{202e}";
        let expected = [
            format!(" WARN {target}: it said: {shown}\n"),
            format!(
                " WARN {target}: a\\rb\\u{{9b}}c\\u{{2028}} function=\"{shown}\" call=7 debug=[\"\\n\"]\n"
            ),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_long_value_is_cut_and_says_how_long_it_is() {
        let text = "漢".repeat(1 << 20);
        let lines = written(false, || tracing::warn!(function = &*text, "{text}"));
        let more = (3 << 20) - VALUE_MAX_BYTES / 3 * 3;
        assert!(
            lines[0].len() < 2 * VALUE_MAX_BYTES + 200,
            "{}",
            lines[0].len()
        );
        assert!(lines[0].contains(&format!("… {more} bytes more function=")));
        assert!(lines[0].ends_with("bytes more\n"));
    }

    #[test]
    fn colours_are_the_programs_own() {
        let lines = written(true, log);
        assert!(lines[1].contains("\u{1b}[3mcall\u{1b}[0m\u{1b}[2m=\u{1b}[0m7"));
        for line in lines {
            let plain = line.split('\u{1b}').skip(1);
            let mut codes = plain.map(|rest| rest.split_once('m').unwrap_or_default().0);
            assert!(
                codes.all(|code| ["[0", "[2", "[3", "[33"].contains(&code)),
                "{line:?}"
            );
            assert!(!line.trim_end().contains('\n'), "{line:?}");
        }
    }
}
