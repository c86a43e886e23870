//! The calls: so many under way, refused ones again, and what becomes of each.

mod end;

use super::checkpoint::Checkpoint;
use super::files::{Files, failed_line, json};
use super::input::{Batch, Content, Line};
use super::limit::Limit;
use super::progress::{Progress, Told};
use super::retry::{are_idempotent, pause};
use super::window::{Position, Window};
use crate::args::MapArgs;
use crate::exit::Failure;
use crate::output::say;
use bytes::Bytes;
use futures_channel::mpsc::Receiver;
use futures_util::stream::StreamExt;
use madrpc_core::call::catalog::FUNCTIONS;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::fleet::RUNS_MAX;
use madrpc_core::numbers::later;
use madrpc_core::value::Value;
use madrpc_core::value::json::{from_json, to_json};
use madrpc_shard::client::{Call, Calls, Client, Ended, decode_result, encode_args};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::future::poll_fn;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

/// How long results may be held back.
const FLUSH_EACH: Duration = Duration::from_millis(100);

/// How much is done again at most after a crash.
const CHECKPOINT_EACH: Duration = Duration::from_millis(500);

/// Bytes of the arguments of lines that have begun and are not done, but for a single one.
const ARGUMENTS_MAX_BYTES: usize = 256 << 20;

/// Failed lines that are said where they are not written to a file.
const SAID_MAX: u64 = 10;

/// How long a server may take to say what can be called there, and the pause before it is asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The tag of the question what can be called; those of lines' calls begin after it.
const QUESTION: u64 = 0;

/// A line on its way.
struct Job {
    number: u64,
    argument: Bytes,
    tries: u32,
    /// When its call has failed first.
    failed: Option<Instant>,
    /// How many nodes were lost that its calls were on.
    nodes_lost: u8,
}

/// What has come.
enum Event {
    Ended(Ended),
    Read(Option<Batch>),
    Tick,
}

pub(super) struct Run<'a> {
    args: &'a MapArgs,
    call: Call<'a>,
    question: Call<'a>,
    files: Files,
    checkpoint: Option<Checkpoint>,
    progress: Progress,
    window: Window,
    limit: Limit,
    calls: Calls,
    /// The lines of calls that are under way, by the calls' tags.
    jobs: HashMap<u64, Job>,
    last_tag: u64,
    /// Bytes of the arguments of all that have begun.
    arguments_bytes: usize,
    /// Lines that are read and not begun.
    lines: VecDeque<Line>,
    is_read: bool,
    /// Those of them that were done in an earlier run.
    done_before: VecDeque<RangeInclusive<u64>>,
    /// Those whose calls are to be tried again, by the time for it.
    again: BTreeMap<(Instant, u64), Job>,
    /// Whether calls of the function may be run twice, once that is known.
    may_repeat: Option<bool>,
    /// Those whose calls may have run, with what became of them, until that is known; and when it is asked.
    unsure: Vec<(Job, CallError)>,
    ask_at: Option<Instant>,
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

impl<'a> Run<'a> {
    pub(super) fn new(
        args: &'a MapArgs,
        client: &'a Client,
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
            call: client.prepare(&args.function).timeout(args.timeout),
            question: client.prepare(FUNCTIONS).timeout(ANSWER_TIMEOUT),
            progress: Progress::new(args.quiet, size, position),
            window: Window::new(!args.unordered, position),
            limit: Limit::new(args.concurrency),
            calls: client.calls(),
            jobs: HashMap::new(),
            last_tag: QUESTION,
            arguments_bytes: 0,
            lines: VecDeque::new(),
            is_read: false,
            done,
            failed: known.map_or(0, |known| known.failed),
            done_before,
            again: BTreeMap::new(),
            may_repeat: None,
            unsure: Vec::new(),
            ask_at: None,
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
        mut input: Receiver<Batch>,
        mut ticks: Receiver<()>,
        is_stopped: &AtomicBool,
    ) -> Result<(), Failure> {
        let mut is_signalled = false;
        while !self.files.results.is_unread {
            while let Some(job) = self.next_job() {
                self.begin(job);
            }
            if self.jobs.is_empty() && self.is_over() {
                break;
            }
            let wants_lines = self.lines.is_empty() && !self.is_read && !self.is_stopping;
            let calls = &mut self.calls;
            let event = poll_fn(|context| {
                if let Poll::Ready(Some(ended)) = calls.poll_next_unpin(context) {
                    return Poll::Ready(Event::Ended(ended));
                }
                if wants_lines && let Poll::Ready(batch) = input.poll_next_unpin(context) {
                    return Poll::Ready(Event::Read(batch));
                }
                ticks.poll_next_unpin(context).map(|_| Event::Tick)
            });
            match event.await {
                Event::Ended(ended) => self.ended(ended),
                Event::Read(Some(Ok(lines))) => self.lines.extend(lines),
                Event::Read(Some(Err(failure))) => self.break_off(failure),
                Event::Read(None) => self.is_read = true,
                Event::Tick => {
                    is_signalled |= is_stopped.load(Ordering::Relaxed);
                    self.is_stopping |= is_signalled;
                    self.look();
                }
            }
        }
        self.end(is_signalled)
    }

    fn is_over(&self) -> bool {
        self.is_stopping || self.is_done()
    }

    fn is_done(&self) -> bool {
        self.is_read && self.lines.is_empty() && self.again.is_empty() && self.unsure.is_empty()
    }

    fn break_off(&mut self, failure: Failure) {
        self.is_stopping = true;
        self.broken.get_or_insert(failure);
    }

    /// The next line that can be begun.
    fn next_job(&mut self) -> Option<Job> {
        let begun = self.jobs.len();
        if self.is_stopping || !self.limit.allows(begun) {
            return None;
        }
        let is_due = |(due, _): &(Instant, u64)| *due <= Instant::now();
        if let Some(entry) = self.again.first_entry().filter(|entry| is_due(entry.key())) {
            return Some(entry.remove());
        }
        // Those that wait for another try are of the number, too: all of the input would be there else while servers are away.
        let waiting = self.again.len().saturating_add(self.unsure.len());
        let open = begun.saturating_add(waiting);
        while self.limit.allows(open)
            && (open == 0 || self.arguments_bytes < ARGUMENTS_MAX_BYTES)
            && !self.is_stopping
            && self.window.has_room()
            && let Some(line) = self.lines.pop_front()
        {
            let number = self.window.read(line.end);
            let was_done = self.was_done(number);
            match line.content {
                _ if was_done => self.finish(number, None),
                Content::Blank => {
                    self.done = self.done.saturating_add(1);
                    self.finish(number, None);
                }
                Content::Argument(argument) => {
                    self.arguments_bytes = self.arguments_bytes.saturating_add(argument.len());
                    return Some(Job {
                        number,
                        argument,
                        tries: 0,
                        failed: None,
                        nodes_lost: 0,
                    });
                }
                Content::Bad(text, error) => {
                    let text = String::from_utf8_lossy(&text);
                    let text = match from_json(&text) {
                        Ok(_) => text.into_owned(),
                        Err(_) => json(&text),
                    };
                    self.fail(number, || text, error);
                }
            }
        }
        None
    }

    fn begin(&mut self, job: Job) {
        self.last_tag = self.last_tag.saturating_add(1);
        let (tag, argument) = (self.last_tag, job.argument.clone());
        let call = self.call.clone().nodes_lost(job.nodes_lost);
        let call = call.idempotent(self.may_repeat == Some(true));
        match self.calls.begin(tag, &call, argument) {
            Ok(()) => drop(self.jobs.insert(tag, job)),
            Err(error) => self.failed(job, error),
        }
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
    fn ended(&mut self, Ended { tag, result }: Ended) {
        if tag == QUESTION {
            let answer = result.and_then(|reply| decode_result(&reply.result));
            return self.answered(answer.ok());
        }
        let Some(job) = self.jobs.remove(&tag) else {
            return;
        };
        match result.and_then(|reply| decode_result(&reply.result)) {
            Ok(result) => {
                self.limit.on_result();
                self.done = self.done.saturating_add(1);
                let json = to_json(&result);
                let text = match self.args.numbered {
                    true => format!(r#"{{"line":{},"result":{json}}}"#, job.number),
                    false => json,
                };
                self.leave(&job);
                self.finish(job.number, Some(text.into_bytes()));
            }
            Err(error) => self.failed(job, error),
        }
    }

    /// A call has no result: it is tried again, or its line has failed.
    fn failed(&mut self, mut job: Job, error: CallError) {
        let now = Instant::now();
        if error.kind == ErrorKind::Overloaded {
            let in_flight = self.jobs.len().saturating_add(1);
            self.limit.on_refusal(in_flight, now);
        }
        let is_passing = matches!(error.kind, ErrorKind::Overloaded | ErrorKind::Unavailable);
        let last = later(*job.failed.get_or_insert(now), self.args.retry_for);
        let may_repeat = match error.may_have_run {
            true => self.may_repeat,
            false => Some(true),
        };
        job.nodes_lost = job.nodes_lost.max(error.nodes_lost);
        // It may be what ends them.
        let is_poison = job.nodes_lost >= RUNS_MAX;
        match may_repeat {
            _ if is_poison || !is_passing || now >= last => self.give_up(&job, error),
            Some(false) => self.give_up(&job, error),
            Some(true) => {
                let due = later(now, pause(&error, job.tries)).min(last);
                job.tries = job.tries.saturating_add(1);
                self.again.insert((due, job.number), job);
            }
            None => {
                self.unsure.push((job, error));
                self.ask_at.get_or_insert(now);
            }
        }
    }

    /// A line has failed for good.
    fn give_up(&mut self, job: &Job, error: CallError) {
        self.leave(job);
        let argument = &job.argument;
        let args =
            || decode_result(argument).map_or_else(|_| "null".to_owned(), |args| to_json(&args));
        self.fail(job.number, args, error);
    }

    /// A line's argument is of no use any more.
    fn leave(&mut self, job: &Job) {
        self.arguments_bytes = self.arguments_bytes.saturating_sub(job.argument.len());
    }

    /// Asks whether calls of the function may be run twice.
    fn ask(&mut self) {
        let asked = encode_args(&Value::Undefined);
        let asked = asked.and_then(|none| self.calls.begin(QUESTION, &self.question, none));
        if asked.is_err() {
            self.answered(None);
        }
    }

    /// All servers that have the function have said whether it is idempotent, or it is not known who has it.
    fn answered(&mut self, answer: Option<Value>) {
        self.may_repeat = answer.and_then(|answer| are_idempotent(answer, &self.args.function));
        if self.may_repeat.is_none() {
            self.ask_at = Some(later(Instant::now(), ASK_AGAIN));
        }
        for (job, error) in std::mem::take(&mut self.unsure) {
            self.failed(job, error);
        }
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
        self.breaks_off(written);
    }

    /// A line has failed. Where that is the end, it is not done.
    fn fail(&mut self, number: u64, args: impl FnOnce() -> String, error: CallError) {
        self.failed = self.failed.saturating_add(1);
        if !self.args.keep_going {
            self.is_stopping = true;
            self.note_failure(number, error);
            return;
        }
        let written = match &mut self.files.errors {
            Some(errors) => errors.line(failed_line(number, &args(), &error).as_bytes()),
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
        self.breaks_off(written);
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
    fn look(&mut self) {
        let now = Instant::now();
        if self.ask_at.is_some_and(|at| at <= now) {
            self.ask_at = None;
            self.ask();
        }
        if now >= later(self.noted, CHECKPOINT_EACH) && self.checkpoint.is_some() {
            self.noted = now;
            self.save();
        } else if now >= later(self.flushed, FLUSH_EACH) {
            self.flushed = now;
            let flushed = self.files.flush();
            self.breaks_off(flushed);
        }
        if self.progress.is_due(now) {
            let told = self.told();
            self.progress.tell(&told, now);
        }
    }

    fn told(&self) -> Told {
        Told {
            done: self.window.done(),
            lines: self.done,
            failed: self.failed,
            in_flight: self.jobs.len(),
            waiting: self.again.len().saturating_add(self.unsure.len()),
        }
    }

    /// Notes on disk how far it is, the results first.
    fn save(&mut self) {
        let (Some(checkpoint), Some(path)) = (&mut self.checkpoint, &self.args.checkpoint) else {
            let flushed = self.files.flush();
            return self.breaks_off(flushed);
        };
        checkpoint.note(&self.window);
        // The line that ends a run is not done.
        checkpoint.failed = if self.args.keep_going { self.failed } else { 0 };
        let noted = self.files.note(checkpoint);
        let noted = noted.and_then(|()| checkpoint.write(path));
        self.breaks_off(noted);
    }

    fn breaks_off(&mut self, outcome: Result<(), Failure>) {
        if let Err(failure) = outcome {
            self.break_off(failure);
        }
    }
}
