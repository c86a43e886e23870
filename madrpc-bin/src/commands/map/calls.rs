//! The calls: so many under way, refused ones again, and what becomes of each.

use super::Files;
use super::checkpoint::Checkpoint;
use super::files::Out;
use super::input::{Batch, Line};
use super::limit::Limit;
use super::progress::{Progress, Told};
use super::window::{Position, Window};
use crate::args::MapArgs;
use crate::exit::{Failure, Reason};
use crate::output::say;
use futures_channel::mpsc::Receiver;
use futures_util::stream::{FuturesUnordered, StreamExt};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::numbers::later;
use madrpc_core::value::Value;
use madrpc_core::value::json::{from_json, to_json};
use madrpc_shard::client::{Client, Reply};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

/// How long results may be held back.
const FLUSH_EACH: Duration = Duration::from_millis(100);

/// How much is done again at most after a crash.
const CHECKPOINT_EACH: Duration = Duration::from_millis(500);

/// The pause before another try, which doubles with each, where the server has no other wish.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Failed lines that are said where they are not written to a file.
const SAID_MAX: u64 = 10;

/// A line on its way.
struct Job {
    number: u64,
    text: Vec<u8>,
    tries: u32,
    /// When its call has failed first.
    failed: Option<Instant>,
}

/// What has come.
enum Event {
    Ended(Job, Result<Reply<Value>, CallError>),
    Read(Option<Batch>),
    Tick,
}

pub(super) struct Calls<'a> {
    args: &'a MapArgs,
    is_idempotent: bool,
    files: Files,
    checkpoint: Option<Checkpoint>,
    progress: Progress,
    window: Window,
    limit: Limit,
    /// Lines that are read and not begun.
    lines: VecDeque<Line>,
    is_read: bool,
    /// Those of them that were done in an earlier run.
    done_before: VecDeque<RangeInclusive<u64>>,
    /// Those whose calls are to be tried again, by the time for it.
    again: BTreeMap<(Instant, u64), Job>,
    /// Lines that are done, and those that have failed of them.
    done: u64,
    failed: u64,
    /// The first that has failed.
    failure: Option<(u64, CallError)>,
    /// Why nothing new is begun: something is wrong with the input or the files.
    broken: Option<Failure>,
    is_stopping: bool,
    flushed: Instant,
    noted: Instant,
}

impl<'a> Calls<'a> {
    pub(super) fn new(
        args: &'a MapArgs,
        is_idempotent: bool,
        files: Files,
        checkpoint: Option<Checkpoint>,
        size: Option<u64>,
    ) -> Self {
        let known = checkpoint.as_ref();
        let position = known.map_or(Position::default(), Checkpoint::position);
        let done_before: VecDeque<_> =
            known.map_or_else(VecDeque::new, |known| known.done_beyond().collect());
        let beyond = done_before.iter().map(|range| {
            let lines = range.end().saturating_sub(*range.start());
            lines.saturating_add(1)
        });
        let done = beyond.fold(position.lines, u64::saturating_add);
        let now = Instant::now();
        Self {
            args,
            is_idempotent,
            progress: Progress::new(args.quiet, size, position),
            window: Window::new(!args.unordered, position),
            limit: Limit::new(args.concurrency),
            lines: VecDeque::new(),
            is_read: false,
            done,
            failed: known.map_or(0, |known| known.failed),
            done_before,
            again: BTreeMap::new(),
            failure: None,
            broken: None,
            is_stopping: false,
            flushed: now,
            noted: now,
            files,
            checkpoint,
        }
    }

    /// Makes a call for each line.
    ///
    /// # Errors
    /// Of the first line that has failed; of files; a signal.
    pub(super) async fn run(
        mut self,
        client: &Client,
        mut input: Receiver<Batch>,
        mut ticks: Receiver<()>,
        is_stopped: &AtomicBool,
    ) -> Result<(), Failure> {
        let args = self.args;
        let call = async |job: Job, argument: Value| {
            let call = client.prepare(&args.function).timeout(args.timeout);
            (job, call.send(argument).await)
        };
        let mut under_way = FuturesUnordered::new();
        let mut is_signalled = false;
        while !self.files.results.is_unread {
            while self.limit.allows(under_way.len())
                && let Some((job, argument)) = self.next_job()
            {
                under_way.push(call(job, argument));
            }
            if under_way.is_empty() && self.is_over() {
                break;
            }
            let wants_lines = self.lines.is_empty() && !self.is_read && !self.is_stopping;
            let event = poll_fn(|context| {
                if let Poll::Ready(Some((job, result))) = under_way.poll_next_unpin(context) {
                    return Poll::Ready(Event::Ended(job, result));
                }
                if wants_lines && let Poll::Ready(batch) = input.poll_next_unpin(context) {
                    return Poll::Ready(Event::Read(batch));
                }
                ticks.poll_next_unpin(context).map(|_| Event::Tick)
            });
            match event.await {
                Event::Ended(job, result) => self.ended(job, result, under_way.len()),
                Event::Read(Some(Ok(lines))) => self.lines.extend(lines),
                Event::Read(Some(Err(failure))) => self.break_off(failure),
                Event::Read(None) => self.is_read = true,
                Event::Tick => {
                    is_signalled |= is_stopped.load(Ordering::Relaxed);
                    self.is_stopping |= is_signalled;
                    self.look(under_way.len());
                }
            }
        }
        // Nobody waits for those any more, where there are some.
        drop(under_way);
        self.end(is_signalled)
    }

    fn is_over(&self) -> bool {
        self.is_stopping || self.is_read && self.lines.is_empty() && self.again.is_empty()
    }

    fn break_off(&mut self, failure: Failure) {
        self.is_stopping = true;
        self.broken.get_or_insert(failure);
    }

    /// The next line that can be begun, and its argument.
    fn next_job(&mut self) -> Option<(Job, Value)> {
        if self.is_stopping {
            return None;
        }
        let is_due = |(due, _): &(Instant, u64)| *due <= Instant::now();
        if let Some(entry) = self.again.first_entry().filter(|entry| is_due(entry.key())) {
            let job = entry.remove();
            // It was read before.
            let argument = std::str::from_utf8(&job.text).ok().map(from_json);
            return Some((job, argument?.ok()?));
        }
        while self.window.has_room()
            && let Some(line) = self.lines.pop_front()
        {
            let number = self.window.read(line.end);
            let was_done = self.was_done(number);
            match line.argument {
                _ if was_done => self.finish(number, None),
                None => {
                    self.done = self.done.saturating_add(1);
                    self.finish(number, None);
                }
                Some(Ok(argument)) => {
                    let job = Job {
                        number,
                        text: line.text,
                        tries: 0,
                        failed: None,
                    };
                    return Some((job, argument));
                }
                Some(Err(why)) => {
                    let error = CallError::not_run(ErrorKind::BadArguments, why);
                    self.fail(number, &line.text, error);
                    if self.is_stopping {
                        return None;
                    }
                }
            }
        }
        None
    }

    fn was_done(&mut self, number: u64) -> bool {
        while self
            .done_before
            .pop_front_if(|range| *range.end() < number)
            .is_some()
        {}
        let first = self.done_before.front();
        first.is_some_and(|range| range.contains(&number))
    }

    /// A call has ended.
    fn ended(&mut self, mut job: Job, result: Result<Reply<Value>, CallError>, in_flight: usize) {
        let error = match result {
            Ok(reply) => {
                self.limit.on_result();
                self.done = self.done.saturating_add(1);
                let json = to_json(&reply.result);
                let text = match self.args.numbered {
                    true => format!(r#"{{"line":{},"result":{json}}}"#, job.number),
                    false => json,
                };
                return self.finish(job.number, Some(text.into_bytes()));
            }
            Err(error) => error,
        };
        let now = Instant::now();
        if error.kind == ErrorKind::Overloaded {
            self.limit.on_refusal(in_flight, now);
        }
        let is_passing = matches!(error.kind, ErrorKind::Overloaded | ErrorKind::Unavailable);
        let may_run = !error.may_have_run || self.is_idempotent;
        let pause = self.pause(&error, job.tries);
        let last = later(*job.failed.get_or_insert(now), self.args.retry_for);
        if !is_passing || !may_run || now >= last {
            return self.fail(job.number, &job.text, error);
        }
        let due = later(now, pause).min(last);
        job.tries = job.tries.saturating_add(1);
        self.again.insert((due, job.number), job);
    }

    /// How long to wait before a call is tried again that has failed so. Not all of them at the same time.
    fn pause(&self, error: &CallError, tries: u32) -> Duration {
        let doubled = PAUSE_MIN.saturating_mul(1_u32.checked_shl(tries).unwrap_or(u32::MAX));
        let pause = error.retry_after.unwrap_or(doubled).min(PAUSE_MAX);
        let half = pause / 2;
        half.saturating_add(half.saturating_mul(fastrand::u32(..=64)) / 64)
    }

    /// A line is done.
    fn finish(&mut self, number: u64, result: Option<Vec<u8>>) {
        let results = &mut self.files.results;
        let mut written = Ok(());
        self.window.finish(number, result, |line| {
            if written.is_ok() {
                written = results.line(line);
            }
        });
        if let Err(failure) = written {
            self.break_off(failure);
        }
    }

    /// A line has failed. Where that is the end, it is not done.
    fn fail(&mut self, number: u64, text: &[u8], error: CallError) {
        self.failed = self.failed.saturating_add(1);
        if !self.args.keep_going {
            self.is_stopping = true;
            self.note_failure(number, error);
            return;
        }
        let written = match &mut self.files.errors {
            Some(errors) => errors.line(document(number, text, &error).as_bytes()),
            None => {
                if self.failed <= SAID_MAX {
                    say(&format!("line {number}: {error}"));
                }
                if self.failed == SAID_MAX {
                    say("further lines that fail are not said; --errors FILE has all of them");
                }
                Ok(())
            }
        };
        if let Err(failure) = written {
            self.break_off(failure);
        }
        self.note_failure(number, error);
        self.done = self.done.saturating_add(1);
        self.finish(number, None);
    }

    /// Keeps the first in the order of the input.
    fn note_failure(&mut self, number: u64, error: CallError) {
        if self
            .failure
            .as_ref()
            .is_none_or(|(first, _)| number < *first)
        {
            self.failure = Some((number, error));
        }
    }

    /// Does what there is to do from time to time.
    fn look(&mut self, in_flight: usize) {
        let now = Instant::now();
        if now >= later(self.noted, CHECKPOINT_EACH) && self.checkpoint.is_some() {
            self.noted = now;
            self.save();
        } else if now >= later(self.flushed, FLUSH_EACH) {
            self.flushed = now;
            self.flush();
        }
        if self.progress.is_due(now) {
            let told = self.told(in_flight);
            self.progress.tell(&told, now);
        }
    }

    fn told(&self, in_flight: usize) -> Told {
        Told {
            done: self.window.done(),
            lines: self.done,
            failed: self.failed,
            in_flight,
            waiting: self.again.len(),
        }
    }

    fn flush(&mut self) {
        let Files { results, errors } = &mut self.files;
        let flushed = results.flush();
        let flushed = flushed.and_then(|()| errors.as_mut().map_or(Ok(()), Out::flush));
        if let Err(failure) = flushed {
            self.break_off(failure);
        }
    }

    /// Notes on disk how far it is, the results first.
    fn save(&mut self) {
        self.flush();
        if self.broken.is_some() {
            return;
        }
        let failed = match self.args.keep_going {
            true => self.failed,
            false => 0,
        };
        if let (Some(checkpoint), Some(path)) = (&mut self.checkpoint, &self.args.checkpoint) {
            checkpoint.note(&self.window);
            checkpoint.failed = failed;
            checkpoint.output_bytes = self.files.results.written();
            checkpoint.errors_bytes = self.files.errors.as_ref().map_or(0, Out::written);
            if let Err(failure) = checkpoint.write(path) {
                self.break_off(failure);
            }
        }
    }

    fn end(mut self, is_signalled: bool) -> Result<(), Failure> {
        self.save();
        self.progress.end(&self.told(0), Instant::now());
        if let Some(failure) = self.broken {
            return Err(failure);
        }
        let go_on = match self.args.checkpoint {
            Some(_) => "; started again, it goes on from there",
            None => "",
        };
        match self.failure {
            Some((number, error)) if !self.args.keep_going => Err(Failure::new(
                error.kind.into(),
                format!("line {number}: {error}{go_on}"),
            )),
            _ if is_signalled
                && !(self.is_read && self.lines.is_empty() && self.again.is_empty()) =>
            {
                let why = format!("ended by a signal after {} lines{go_on}", self.done);
                Err(Failure::new(Reason::Other, why))
            }
            Some((number, error)) => {
                let (failed, done) = (self.failed, self.done);
                let why =
                    format!("{failed} of {done} lines have failed, first line {number}: {error}");
                Err(Failure::new(error.kind.into(), why))
            }
            None if self.failed > 0 => {
                let why = format!(
                    "{} of {} lines have failed, in an earlier run",
                    self.failed, self.done
                );
                Err(Failure::new(Reason::Other, why))
            }
            None => Ok(()),
        }
    }
}

/// A failed line, as it goes to the file of those.
fn document(number: u64, text: &[u8], error: &CallError) -> String {
    let text = String::from_utf8_lossy(text);
    let args = match from_json(&text) {
        Ok(_) => text.into_owned(),
        Err(_) => json(&text),
    };
    let stack = error
        .exception
        .as_ref()
        .map_or("", |exception| &exception.stack);
    format!(
        r#"{{"line":{number},"args":{args},"error":{{"kind":"{}","message":{},"stack":{},"may_have_run":{}}}}}"#,
        error.kind,
        json(&error.message),
        json(stack),
        error.may_have_run
    )
}

fn json(text: &str) -> String {
    to_json(&Value::from(text))
}
