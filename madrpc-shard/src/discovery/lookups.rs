//! Names that are looked up again and again: by the system, as its hosts file, its name servers and what else it is set up with
//! say, or by name servers alone (`dns`).
//!
//! Nobody waits for a name server but the thread that looks for nodes, and that for none in particular.

use super::answer::{Answer, Part, Said};
use super::dns;
use super::source::DnsSource;
use crate::net::address::{Addresses, resolve_servers};
use hickory_resolver::TokioResolver;
use madrpc_core::numbers::later;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

/// How often the system is asked, which does not say for how long its answer holds. (Envoy's `dns_refresh_rate`.)
const SYSTEM_AFTER: Duration = Duration::from_secs(5);

/// How soon where a node is missing.
const MISSING_AFTER: Duration = Duration::from_secs(1);

/// Names that the system looks up at the same time: it has a thread wait for each.
const SYSTEM_AT_ONCE: usize = 8;

/// How long one source may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Question {
    /// `HOST:PORT`, of the system.
    System(String),
    Dns(DnsSource),
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(name) => f.write_str(name),
            Self::Dns(source) => source.fmt(f),
        }
    }
}

enum Event {
    Answer(Question, Answer),
    /// A node cannot be reached any more.
    Missing,
}

/// Says that a node cannot be reached any more.
#[derive(Debug, Clone)]
pub(crate) struct Missing(UnboundedSender<Event>);

impl Missing {
    pub(crate) fn tell(&self) {
        // It fails only where nobody looks for nodes any more.
        let _ = self.0.send(Event::Missing);
    }
}

/// Names, and what they were last heard to mean.
#[derive(Debug)]
pub(super) struct Lookups {
    /// Until it is dropped.
    runtime: Option<Runtime>,
    entries: HashMap<Question, Entry>,
    resolvers: HashMap<Option<SocketAddr>, TokioResolver>,
    events: UnboundedReceiver<Event>,
    sender: UnboundedSender<Event>,
}

#[derive(Debug)]
struct Entry {
    said: Said,
    asked_at: Instant,
    /// When to ask, unless it is asked now.
    due: Option<Instant>,
    is_answered: bool,
}

impl Lookups {
    /// # Errors
    /// Where the system does not give what it takes to wait for several things.
    pub(super) fn new() -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(SYSTEM_AT_ONCE)
            .thread_name("names")
            .build()?;
        let (sender, events) = unbounded_channel();
        Ok(Self {
            runtime: Some(runtime),
            entries: HashMap::new(),
            resolvers: HashMap::new(),
            events,
            sender,
        })
    }

    /// Hears of nodes that cannot be reached.
    pub(super) fn missing(&self) -> Missing {
        Missing(self.sender.clone())
    }

    /// What a name means, once that is known.
    pub(super) fn get(&self, question: &Question) -> Option<&Said> {
        self.entries.get(question).map(|entry| &entry.said)
    }

    /// Whether all have been answered, well or not.
    pub(super) fn is_complete(&self) -> bool {
        self.entries.values().all(|entry| entry.is_answered)
    }

    /// Says of those that have not been answered that they have not.
    pub(super) fn give_up_waiting(&mut self) {
        for entry in self.entries.values_mut() {
            if !entry.is_answered {
                entry.said.set_fault("no answer yet".into());
            }
        }
    }

    /// This is known already.
    pub(super) fn learn(&mut self, question: Question, nodes: Vec<Addresses>, now: Instant) {
        let mut said = Said::default();
        said.take(Ok(vec![whole(Ok(nodes))]));
        let entry = Entry {
            said,
            asked_at: now,
            due: Some(later(now, SYSTEM_AFTER)),
            is_answered: true,
        };
        self.entries.insert(question, entry);
    }

    /// Asks for those that are due, and for no others any more.
    pub(super) fn ask(&mut self, wanted: &HashSet<Question>, now: Instant) {
        self.entries.retain(|question, _| wanted.contains(question));
        for question in wanted {
            let entry = self
                .entries
                .entry(question.clone())
                .or_insert_with(|| Entry {
                    said: Said::default(),
                    asked_at: now,
                    due: Some(now),
                    is_answered: false,
                });
            if entry.due.is_some_and(|due| due <= now) {
                entry.due = None;
                entry.asked_at = now;
                self.send(question.clone());
            }
        }
    }

    fn send(&mut self, question: Question) {
        let Some(runtime) = &self.runtime else {
            return;
        };
        let sender = self.sender.clone();
        // It fails only where nobody looks for nodes any more.
        let tell = move |question, answer| drop(sender.send(Event::Answer(question, answer)));
        let source = match &question {
            Question::System(name) => {
                let name = name.clone();
                runtime.spawn_blocking(move || tell(question, system(&name)));
                return;
            }
            Question::Dns(source) => source.clone(),
        };
        let _entered = runtime.enter();
        let known = self.resolvers.get(&source.server).cloned();
        let resolver = known.map_or_else(|| dns::resolver(source.server), Ok);
        match resolver {
            Ok(resolver) => {
                self.resolvers.insert(source.server, resolver.clone());
                runtime.spawn(async move {
                    // In a task of its own: where that panics, there is an answer all the same.
                    let mut asked = tokio::spawn(dns::ask(resolver, source));
                    let answer = match timeout(PATIENCE, &mut asked).await {
                        Ok(Ok(answer)) => answer,
                        Ok(Err(_)) => Answer::failed("the lookup has broken off".into()),
                        Err(_) => Answer::failed("no name server answers".into()),
                    };
                    asked.abort();
                    tell(question, answer);
                });
            }
            Err(why) => tell(question, Answer::failed(why)),
        }
    }

    /// Waits for an answer, for so long; says whether there is news.
    pub(super) fn wait(&mut self, time: Duration) -> bool {
        let Some(runtime) = self.runtime.take() else {
            return false;
        };
        // What has been sent is worked on only in here.
        let first = runtime.block_on(async { timeout(time, self.events.recv()).await });
        self.runtime = Some(runtime);
        let mut next = first.ok().flatten();
        let mut has_news = false;
        while let Some(event) = next {
            has_news |= self.on_event(event, Instant::now());
            next = self.events.try_recv().ok();
        }
        has_news
    }

    fn on_event(&mut self, event: Event, now: Instant) -> bool {
        let (question, Answer { parts, good_for }) = match event {
            Event::Answer(question, answer) => (question, answer),
            Event::Missing => {
                self.hurry();
                return false;
            }
        };
        if let (Question::Dns(source), Err(_)) = (&question, &parts) {
            // The system may name others by now.
            self.resolvers.remove(&source.server);
        }
        // Nobody may want to know any more.
        let Some(entry) = self.entries.get_mut(&question) else {
            return false;
        };
        entry.due = Some(later(now, good_for));
        entry.is_answered = true;
        entry.said.take(parts)
    }

    /// Asks the system soon, as it may know where that node is now. Records say themselves for how long they hold.
    fn hurry(&mut self) {
        for (question, entry) in &mut self.entries {
            if let (Question::System(_), Some(due)) = (question, &mut entry.due) {
                *due = (*due).min(later(entry.asked_at, MISSING_AFTER));
            }
        }
    }
}

impl Drop for Lookups {
    /// The system's resolver may be waited for longer than anybody wants to.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What the system says.
fn system(name: &str) -> Answer {
    let nodes = resolve_servers(name).map_err(|error| error.to_string());
    Answer {
        parts: nodes.map(|nodes| vec![whole(Ok(nodes))]),
        good_for: SYSTEM_AFTER,
    }
}

/// All that there is of a source.
fn whole(nodes: Result<Vec<Addresses>, String>) -> Part {
    Part {
        name: String::new(),
        priority: 0,
        nodes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_asked_for_when_it_is_due_or_a_node_is_missing() {
        let mut lookups = Lookups::new().unwrap();
        let name = Question::System("localhost:1".into());
        let wanted: HashSet<Question> = [name.clone()].into();
        let begun = Instant::now();
        lookups.ask(&wanted, begun);
        lookups.ask(&wanted, begun);
        assert!(!lookups.is_complete());
        assert!(lookups.wait(Duration::from_secs(10)));
        assert!(lookups.is_complete());
        assert!(!lookups.get(&name).unwrap().nodes().is_empty());
        assert!(!lookups.wait(Duration::from_millis(1)), "asked twice");
        let due = lookups.entries[&name].due.unwrap();
        assert!(due >= begun + SYSTEM_AFTER);
        lookups.missing().tell();
        lookups.wait(Duration::from_secs(10));
        let due = lookups.entries[&name].due.unwrap();
        assert_eq!(due, begun + MISSING_AFTER);
        lookups.ask(&wanted, due);
        assert!(lookups.entries[&name].due.is_none());
        lookups.ask(&HashSet::new(), due);
        assert!(lookups.entries.is_empty());
        // Its answer is nobody's.
        assert!(!lookups.wait(Duration::from_secs(10)));
    }

    #[test]
    fn a_name_that_nobody_knows_is_said_to_be_unknown() {
        let mut lookups = Lookups::new().unwrap();
        let system = Question::System("no-such-host.invalid:1".into());
        let dns = Question::Dns("no-such-host.invalid@127.0.0.1:1".parse().unwrap());
        let wanted: HashSet<Question> = [system.clone(), dns.clone()].into();
        lookups.ask(&wanted, Instant::now());
        while !lookups.is_complete() {
            lookups.wait(Duration::from_secs(10));
        }
        let fault = |question| lookups.get(question).unwrap().fault().unwrap();
        assert!(fault(&system).contains("cannot be resolved"));
        assert_eq!(fault(&dns), "the name does not exist");
    }
}
