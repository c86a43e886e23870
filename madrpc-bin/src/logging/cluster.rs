//! The lines of `madrpc dev`: whose each is, in a colour of its own, and no times, as somebody watches.

use std::fmt;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Cyan, green, magenta, yellow, blue: red is for errors.
const COLOURS: [u8; 5] = [36, 32, 35, 33, 34];

pub(super) struct ByServer;

impl<S, N> FormatEvent<S, N> for ByServer
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let thread = std::thread::current();
        // A shard's thread is called after its server.
        let server = thread.name().and_then(|name| name.rsplit_once(' '));
        let server = server.map_or("madrpc", |(server, _)| server);
        match writer.has_ansi_escapes() {
            true => write!(writer, "\u{1b}[{}m{server}\u{1b}[0m ", colour(server))?,
            false => write!(writer, "{server} ")?,
        }
        let level = *event.metadata().level();
        if level != Level::INFO {
            let code = if level == Level::ERROR { 31 } else { 33 };
            match writer.has_ansi_escapes() && level <= Level::WARN {
                true => write!(writer, "\u{1b}[{code}m{level}\u{1b}[0m ")?,
                false => write!(writer, "{level} ")?,
            }
        }
        context.format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

/// That of a server, by its number: `node-2`.
fn colour(server: &str) -> u8 {
    let number = server.rsplit_once('-');
    let number = number.and_then(|(_, number)| number.parse::<usize>().ok());
    match number {
        Some(number) => COLOURS[number % COLOURS.len()],
        None => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::Escaped;
    use std::io;
    use std::sync::mpsc::{Sender, channel};

    struct Lines(Sender<String>);

    impl io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(String::from_utf8_lossy(line).into_owned());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(thread: &str, is_terminal: bool) -> Vec<String> {
        let (sender, lines) = channel();
        let log = move || {
            let subscriber = tracing_subscriber::fmt()
                .fmt_fields(Escaped)
                .with_writer(move || Lines(sender.clone()))
                .with_ansi(is_terminal)
                .event_format(ByServer)
                .finish();
            tracing::subscriber::with_default(subscriber, || {
                tracing::info!(call = 7, "a\nb");
                tracing::warn!("beware");
            });
        };
        let thread = std::thread::Builder::new().name(thread.into()).spawn(log);
        thread.unwrap().join().unwrap();
        lines.try_iter().collect()
    }

    #[test]
    fn each_line_says_whose_it_is() {
        let expected = ["node-1 a\\nb call=7\n", "node-1 WARN beware\n"];
        assert_eq!(written("node-1 0", false), expected);
        assert_eq!(written("control", false)[1], "madrpc WARN beware\n");
        let [one, other] = ["node-1 0", "node-2 0"].map(|name| written(name, true));
        assert!(one[0].starts_with("\u{1b}[32mnode-1\u{1b}[0m a"), "{one:?}");
        assert!(
            other[0].starts_with("\u{1b}[35mnode-2\u{1b}[0m a"),
            "{other:?}"
        );
        assert!(one[1].contains("\u{1b}[33mWARN\u{1b}[0m beware"), "{one:?}");
    }
}
