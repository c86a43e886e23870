//! The way to stderr: a queue of lines, and a thread that writes them.
//!
//! A pipe that nobody reads fills up, and whoever writes to it then waits for ever: a shard in the middle of its calls,
//! or the thread that ought to end the process. So nobody writes to stderr but this thread. A server hands its lines
//! over and goes on; beyond [`QUEUE_MAX_BYTES`] they are dropped and counted, and the count is said in their place once
//! there is room. Any other command waits until its line is written, as nothing of it may be lost.

use super::terminal;
use crate::sandbox;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::Builder;
use std::time::Duration;

/// What may wait to be written: some 8,000 lines of the usual length, and no memory worth mentioning.
const QUEUE_MAX_BYTES: usize = 1 << 20;

/// What a waiting line takes beside its text.
const LINE_OVERHEAD_BYTES: usize = 64;

/// How long the end of the process waits for the last lines.
const LAST_LINES_MAX: Duration = Duration::from_millis(500);

/// How long it is waited where stderr does not block and has no room. Whoever shares it may have set it so.
const RETRY: Duration = Duration::from_millis(10);

/// Made for the first line. `None`: the system gives no thread, and lines are written by whoever has them, but for those of a server.
static STDERR: OnceLock<Option<Lines>> = OnceLock::new();

/// Lines that nobody could write without waiting.
static UNWRITTEN: AtomicU64 = AtomicU64::new(0);

/// Whether lines may be dropped so that nobody waits.
static NEVER_WAITS: AtomicBool = AtomicBool::new(false);

/// From now on nobody waits for stderr, as is right for a server.
pub(crate) fn never_wait() {
    NEVER_WAITS.store(true, Ordering::Relaxed);
}

/// Writes lines, which end with a line's end: in a server some time later, else before it returns.
pub(super) fn write(text: String) {
    let never_waits = NEVER_WAITS.load(Ordering::Relaxed);
    match lines() {
        Some(lines) if never_waits => lines.offer(text),
        Some(lines) => {
            lines.push(text, 1);
            lines.flush(None);
        }
        None => write_here(&text, never_waits, &UNWRITTEN, io::stderr().lock()),
    }
}

/// Writes the last lines of a process that is about to end, whatever it was doing: they are waited for, but not for ever.
pub(super) fn write_last(text: String) {
    match lines() {
        Some(lines) => lines.push(text, 1),
        None => write(text),
    }
    finish();
}

/// Writes a line where no thread does: it would wait, so a server's are counted instead.
fn write_here(text: &str, never_waits: bool, unwritten: &AtomicU64, mut stderr: impl Write) {
    match never_waits {
        true => drop(unwritten.fetch_add(1, Ordering::Relaxed)),
        // There is nobody left to tell that stderr is closed.
        false => drop(stderr.write_all(text.as_bytes())),
    }
}

/// Says at the end how many were not, where stderr takes that at once.
fn tell_unwritten() {
    let count = UNWRITTEN.swap(0, Ordering::Relaxed);
    let stderr = io::stderr();
    let mut ready = [PollFd::new(stderr.as_fd(), PollFlags::POLLOUT)];
    if count > 0 && poll(&mut ready, PollTimeout::ZERO).is_ok_and(|ready| ready > 0) {
        let text = format!(
            "madrpc: {count} lines of the log were not written: there was no thread for them\n"
        );
        write_here(&text, false, &UNWRITTEN, stderr.lock());
    }
}

/// Has lines go through `print` from now on, which says whether it could, or not any more: an editor at the terminal writes them
/// above the line that is being typed.
pub(crate) fn print_through(print: Option<Print>) {
    if let Some(lines) = lines() {
        // The thread ends with the process.
        let _ = lines.sender.send(Message::Through(print));
    }
}

/// Prints lines in the place of stderr; says whether it could.
pub(crate) type Print = Box<dyn FnMut(&str) -> bool + Send>;

/// Waits until all lines are written, as long as a process that ends may. Everything that ends the process calls it.
pub(crate) fn finish() {
    terminal::give_back();
    match STDERR.get() {
        Some(Some(lines)) => lines.flush(Some(LAST_LINES_MAX)),
        Some(None) => tell_unwritten(),
        None => {}
    }
}

fn lines() -> Option<&'static Lines> {
    let start = || {
        // A descriptor of its own: a thread that waits in std's would hold its lock, and a panic wants that too.
        let stderr = io::stderr().as_fd().try_clone_to_owned().ok()?;
        Lines::start(File::from(stderr)).ok()
    };
    STDERR.get_or_init(start).as_ref()
}

/// The queue's end for those who have lines.
struct Lines {
    sender: Sender<Message>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    /// Bytes that wait, with those that are being written.
    waiting: AtomicUsize,
    /// Lines that were dropped and are not yet told of. While there are any, nothing is taken before half of the queue
    /// is written, so that there is one gap and one line about it, not many.
    dropped: AtomicU64,
}

enum Message {
    /// So many lines, in one text.
    Lines(String, u64),
    /// All before it is written.
    Flush(Sender<()>),
    /// Who prints the lines that follow.
    Through(Option<Print>),
}

impl Lines {
    fn start(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, messages) = channel();
        let counts = Arc::new(Counts::default());
        let writer = Writer {
            out,
            counts: Arc::clone(&counts),
            is_torn: false,
            through: None,
        };
        Builder::new().name("stderr".into()).spawn(move || {
            // Started before the process gives up what it can do without.
            let _ = sandbox::give_up_tcp();
            writer.run(&messages);
        })?;
        Ok(Self { sender, counts })
    }

    /// Takes a line where there is room; never waits.
    fn offer(&self, text: String) {
        let Counts { waiting, dropped } = &*self.counts;
        let max = match dropped.load(Ordering::Relaxed) {
            0 => QUEUE_MAX_BYTES,
            _ => QUEUE_MAX_BYTES / 2,
        };
        let before = waiting.load(Ordering::Relaxed);
        // A line longer than all that may wait has its turn when nothing does.
        if before > 0 && before + size(&text) > max {
            dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        match dropped.swap(0, Ordering::Relaxed) {
            0 => self.push(text, 1),
            count => self.push(told(count) + &text, count + 1),
        }
    }

    fn push(&self, text: String, lines: u64) {
        self.counts
            .waiting
            .fetch_add(size(&text), Ordering::Relaxed);
        // The thread ends with the process.
        let _ = self.sender.send(Message::Lines(text, lines));
    }

    /// Waits until all that is waiting is written, at most for so long.
    fn flush(&self, limit: Option<Duration>) {
        let (written, done) = channel();
        if self.sender.send(Message::Flush(written)).is_ok() {
            let _ = match limit {
                Some(limit) => done.recv_timeout(limit).ok(),
                None => done.recv().ok(),
            };
        }
    }
}

fn size(text: &str) -> usize {
    text.len() + LINE_OVERHEAD_BYTES
}

fn told(dropped: u64) -> String {
    let lines = if dropped == 1 {
        "line was"
    } else {
        "lines were"
    };
    format!("madrpc: {dropped} {lines} dropped here: stderr was not read fast enough\n")
}

/// The queue's other end.
struct Writer<W> {
    out: W,
    counts: Arc<Counts>,
    /// The last line was not written to its end.
    is_torn: bool,
    /// Who prints the lines in its place.
    through: Option<Print>,
}

impl<W: Write> Writer<W> {
    fn run(mut self, messages: &Receiver<Message>) {
        for message in messages {
            match message {
                Message::Lines(text, lines) => {
                    self.write(&text, lines);
                    let before = self
                        .counts
                        .waiting
                        .fetch_sub(size(&text), Ordering::Relaxed);
                    if before == size(&text) {
                        self.tell_dropped();
                    }
                }
                // Whoever asked may have given up.
                Message::Flush(written) => {
                    self.tell_dropped();
                    let _ = written.send(());
                }
                Message::Through(print) => self.through = print,
            }
        }
    }

    /// Tells of dropped lines, where no further line does.
    fn tell_dropped(&mut self) {
        match self.counts.dropped.swap(0, Ordering::Relaxed) {
            0 => {}
            count => self.write(&told(count), count),
        }
    }

    fn write(&mut self, text: &str, lines: u64) {
        if let Some(print) = &mut self.through {
            if print(text) {
                return;
            }
            self.through = None;
        }
        let is_written = (!self.is_torn || self.write_all("\n")) && self.write_all(text);
        if !is_written {
            // The disk is full, or the reader has gone; both may be mended.
            self.counts.dropped.fetch_add(lines, Ordering::Relaxed);
        }
    }

    fn write_all(&mut self, text: &str) -> bool {
        let mut rest = text.as_bytes();
        while !rest.is_empty() {
            match self.out.write(rest) {
                Ok(length) if length > 0 => rest = rest.get(length..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY),
                _ => {
                    self.is_torn |= rest.len() < text.len();
                    return false;
                }
            }
        }
        self.is_torn = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stderr with a reader who says when it may be written, and sees what was.
    struct Gate {
        open: Receiver<io::Result<()>>,
        is_open: bool,
        written: Sender<String>,
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if !self.is_open {
                match self.open.recv() {
                    Ok(outcome) => outcome?,
                    Err(_) => self.is_open = true,
                }
            }
            let _ = self
                .written
                .send(String::from_utf8(bytes.to_vec()).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn gated() -> (Lines, Sender<io::Result<()>>, Receiver<String>) {
        let (opener, open) = channel();
        let (written, seen) = channel();
        let gate = Gate {
            open,
            is_open: false,
            written,
        };
        (Lines::start(gate).unwrap(), opener, seen)
    }

    #[test]
    fn nobody_waits_and_the_dropped_lines_are_told_where_they_would_have_been() {
        let (lines, opener, seen) = gated();
        let line = |number: usize| format!("{number} {}\n", "x".repeat(1000));
        let fit = QUEUE_MAX_BYTES / size(&line(1000));
        for number in 1000..1000 + 3 * fit {
            lines.offer(line(number));
        }
        // One is written and makes room; the gap is not to be told before half of the queue is.
        opener.send(Ok(())).unwrap();
        assert_eq!(seen.recv().unwrap(), line(1000));
        lines.offer(line(0));
        drop(opener);
        let written = || seen.recv_timeout(Duration::from_secs(10)).unwrap();
        let mut next = written();
        let mut taken = 1;
        while !next.starts_with("madrpc: ") {
            assert_eq!(next, line(1000 + taken));
            taken += 1;
            next = written();
        }
        assert!((fit - 1..=fit + 1).contains(&taken), "{taken} of {fit}");
        assert_eq!(next, told((3 * fit - taken + 1) as u64));
        lines.offer(line(7));
        assert_eq!(written(), line(7));
    }

    #[test]
    fn without_a_thread_a_server_writes_nothing_and_counts() {
        let (unwritten, mut out) = (AtomicU64::new(0), Vec::new());
        write_here("a server's\n", true, &unwritten, &mut out);
        write_here("a command's\n", false, &unwritten, &mut out);
        assert_eq!(unwritten.into_inner(), 1);
        assert_eq!(out, b"a command's\n");
    }

    #[test]
    fn the_line_after_a_gap_tells_of_it() {
        let (lines, opener, seen) = gated();
        lines.counts.dropped.store(1, Ordering::Relaxed);
        lines.offer("next\n".into());
        drop(opener);
        let text = seen.recv_timeout(Duration::from_secs(10)).unwrap();
        let expected = "madrpc: 1 line was dropped here: stderr was not read fast enough\nnext\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_end_waits_for_the_last_lines_and_not_for_ever() {
        let (lines, opener, seen) = gated();
        lines.push("last\n".into(), 1);
        lines.flush(Some(Duration::from_millis(50)));
        assert!(seen.try_recv().is_err(), "the gate is closed");
        drop(opener);
        lines.flush(None);
        assert_eq!(seen.try_recv().unwrap(), "last\n");
    }

    #[test]
    fn a_line_that_could_not_be_written_is_counted_as_dropped() {
        let (lines, opener, seen) = gated();
        opener.send(Err(ErrorKind::StorageFull.into())).unwrap();
        // The count of it cannot be written either.
        opener.send(Err(ErrorKind::StorageFull.into())).unwrap();
        lines.push("lost\n".into(), 1);
        while lines.counts.waiting.load(Ordering::Relaxed) > 0
            || lines.counts.dropped.load(Ordering::Relaxed) == 0
        {
            std::thread::yield_now();
        }
        drop(opener);
        lines.offer("next\n".into());
        lines.flush(None);
        let text: String = seen.try_iter().collect();
        assert!(text.starts_with("madrpc: 1 line was dropped"), "{text}");
        assert!(text.ends_with("\nnext\n"), "{text}");
    }
}
