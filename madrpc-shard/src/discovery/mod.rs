//! Where an orchestrator's nodes come from: those that it is told at its start, by address or by name, files, and name servers.
//!
//! A source that fails, is empty or cannot be read takes nobody away: what it said before holds until it says something else.
//!
//! | | |
//! |---|---|
//! | `source` | what can be written |
//! | `file` | files |
//! | `lookups` | names: when they are looked up again |
//! | `dns` | what name servers say, by hickory-resolver |
//! | `answer` | what of it counts |

mod answer;
mod dns;
mod file;
mod lookups;
mod source;

pub(crate) use lookups::Missing;
pub use source::{DNS_PORT, DnsSource, Source};

use crate::net::address::{AddressError, Addresses, check_target, resolve_servers, resolve_target};
use crate::net::log_limit::LineBudget;
use file::NodeFile;
use lookups::{Lookups, Question};
use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use tracing::{info, warn};

/// How often a file is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How long a start waits for name servers.
const START_PATIENCE: Duration = Duration::from_secs(2);

/// Lines of the log about sources and nodes, and in how long: a source may say something else at each look.
const LINES_MAX: u32 = 20;
const LINES_TIME: Duration = Duration::from_secs(60);

/// Why nodes cannot be looked for.
#[derive(Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// One that there is to be from the start cannot be found.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A file is not there, or has a line that names no node. It is no reason not to start: it may come yet.
    #[error("{0}")]
    File(String),
    /// The system does not give what it takes.
    #[error("discovery: {0}")]
    System(#[from] std::io::Error),
}

/// The nodes of some sources, and those that there are always.
#[derive(Debug)]
pub struct Discovery {
    /// Addresses and names, as they are written.
    always: Vec<String>,
    files: Vec<NodeFile>,
    dns: Vec<DnsSource>,
    lookups: Lookups,
    /// Where the orchestrator listens, whose nodes these are.
    own: Option<SocketAddr>,
    nodes: Vec<Addresses>,
    /// What was last warned of, so that a fault is told once.
    warned: Vec<String>,
    lines: LineBudget,
    /// Whether it looks for the first time: who is there then is told with the start.
    is_new: bool,
}

/// A node that was found.
#[derive(Debug, Clone)]
struct Found {
    node: Addresses,
    /// How somebody has written it, where somebody has.
    said: Option<String>,
}

impl Found {
    fn named(node: Addresses, said: &str) -> Self {
        Self {
            node,
            said: Some(said.to_owned()),
        }
    }
}

impl Discovery {
    /// Looks at the sources for the first time, for a few seconds at most. `always` are addresses and names of nodes, which have
    /// to be known now.
    ///
    /// # Errors
    /// Where one of `always` cannot be resolved.
    pub fn new(always: &[String], sources: &[Source]) -> Result<Self, DiscoveryError> {
        let mut lookups = Lookups::new()?;
        for text in always {
            check_target(text)?;
            let nodes = resolve_servers(text)?;
            if literal(text).is_none() {
                lookups.learn(Question::System(text.clone()), nodes, Instant::now());
            }
        }
        let (mut files, mut dns) = (Vec::new(), Vec::new());
        for source in sources {
            match source {
                Source::File(path) => files.push(NodeFile::new(path.clone())),
                Source::Dns(source) if dns.contains(source) => {}
                Source::Dns(source) => dns.push(source.clone()),
            }
        }
        let mut discovery = Self {
            nodes: Vec::new(),
            own: None,
            files,
            dns,
            lookups,
            always: always.to_vec(),
            warned: Vec::new(),
            lines: LineBudget::new(LINES_MAX, LINES_TIME),
            is_new: true,
        };
        discovery.begin();
        Ok(discovery)
    }

    fn begin(&mut self) {
        let begun = Instant::now();
        self.look_at_files();
        self.ask();
        while !self.lookups.is_complete() {
            let left = START_PATIENCE.saturating_sub(begun.elapsed());
            if left.is_zero() {
                self.lookups.give_up_waiting();
                break;
            }
            self.lookups.wait(left);
        }
        self.gather();
        self.is_new = false;
    }

    /// Leaves the orchestrator itself out, which listens at this address.
    pub fn leave_out(&mut self, own: SocketAddr) {
        self.own = Some(own);
        self.is_new = true;
        self.gather();
        self.is_new = false;
    }

    /// The nodes that there are.
    #[must_use]
    pub fn nodes(&self) -> &[Addresses] {
        &self.nodes
    }

    /// Whether all files among the sources can be read, and each of their lines.
    ///
    /// # Errors
    /// What is wrong with the first that cannot.
    pub fn check(sources: &[Source]) -> Result<(), DiscoveryError> {
        for source in sources {
            if let Source::File(path) = source {
                let mut file = NodeFile::new(path.clone());
                file.look();
                if let Some(fault) = file.fault() {
                    return Err(DiscoveryError::File(fault.to_owned()));
                }
            }
        }
        Ok(())
    }

    /// Whether others may come and these may go.
    #[must_use]
    pub fn may_change(&self) -> bool {
        let has_name = self.always.iter().any(|text| literal(text).is_none());
        has_name || !self.files.is_empty() || !self.dns.is_empty()
    }

    /// Says to it that a node cannot be reached any more.
    pub(crate) fn missing(&self) -> Missing {
        self.lookups.missing()
    }

    /// Looks at the sources until `has_ended`, and tells what nodes there are each time that there are others.
    pub(crate) fn run(mut self, has_ended: impl Fn() -> bool, tell: impl Fn(&[Addresses])) {
        while !has_ended() {
            if self.look(LOOK_INTERVAL) {
                tell(&self.nodes);
            }
        }
    }

    /// Looks at the sources, and waits for so long for what has been asked; says whether there are other nodes now.
    fn look(&mut self, time: Duration) -> bool {
        self.tell_untold();
        let mut has_news = self.look_at_files();
        self.ask();
        if !has_news {
            has_news = self.lookups.wait(time);
        }
        has_news && self.gather()
    }

    /// Says what has become of some nodes.
    fn tell<'a>(&mut self, what: &str, nodes: impl Iterator<Item = &'a String>) {
        let mut nodes: Vec<&String> = nodes.collect();
        nodes.sort_unstable();
        for name in nodes {
            if self.lines.take(Instant::now()) {
                info!("node {name} {what}");
            }
        }
    }

    /// Says how much was not said.
    fn tell_untold(&mut self) {
        if let Some(count) = self.lines.take_untold(Instant::now()) {
            warn!(
                "{count} more such lines about sources and nodes, at most {LINES_MAX} in a minute are written"
            );
        }
    }

    fn look_at_files(&mut self) -> bool {
        let mut has_news = false;
        for file in &mut self.files {
            has_news |= file.look();
        }
        has_news
    }

    fn ask(&mut self) {
        let names = self.always.iter().filter(|text| literal(text).is_none());
        let names = names.cloned().map(Question::System);
        let dns = self.dns.iter().cloned().map(Question::Dns);
        let wanted: HashSet<Question> = names
            .chain(self.files.iter().flat_map(NodeFile::names))
            .chain(dns)
            .collect();
        self.lookups.ask(&wanted, Instant::now());
    }

    /// Lays together what the sources say; says whether there are other nodes now.
    fn gather(&mut self) -> bool {
        let (mut all, mut faults) = (Vec::new(), Vec::new());
        for text in &self.always {
            if let Some(node) = literal(text) {
                all.push(Found::named(node, text));
            } else if let Some(said) = self.lookups.get(&Question::System(text.clone())) {
                all.extend(
                    said.nodes()
                        .iter()
                        .map(|node| Found::named(node.clone(), text)),
                );
                faults.extend(said.fault().map(str::to_owned));
            }
        }
        for file in &mut self.files {
            all.extend(file.nodes(&self.lookups, &mut faults).iter().cloned());
        }
        for source in &self.dns {
            if let Some(said) = self.lookups.get(&Question::Dns(source.clone())) {
                let nodes = said.nodes().iter().cloned();
                all.extend(nodes.map(|node| Found { node, said: None }));
                faults.extend(said.fault().map(|fault| format!("{source}: {fault}")));
            }
        }
        if let Some(own) = self.own {
            all.retain(|found| {
                let is_own = found.node.all().iter().any(|one| is_own(*one, own));
                if is_own {
                    let node = found.said.clone().unwrap_or_else(|| found.node.to_string());
                    faults.push(format!(
                        "node {node} is this orchestrator itself, and gets no calls"
                    ));
                }
                !is_own
            });
        }
        let nodes = distinct(all, &mut faults);
        let told: HashSet<&String> = self.warned.iter().collect();
        let now = Instant::now();
        for fault in &faults {
            if !told.contains(fault) && self.lines.take(now) {
                warn!("{fault}");
            }
        }
        self.warned = faults;
        let names = |nodes: &[Addresses]| -> HashSet<String> {
            nodes.iter().map(ToString::to_string).collect()
        };
        let (before, now) = (names(&self.nodes), names(&nodes));
        self.nodes = nodes;
        if self.is_new {
            return true;
        }
        self.tell("is there", now.difference(&before));
        self.tell(
            "is there no more; calls under way may end",
            before.difference(&now),
        );
        before != now
    }
}

/// Whether what is sent to an address comes to `own`, which may be any of this machine's.
fn is_own(address: SocketAddr, own: SocketAddr) -> bool {
    let is_here = || UdpSocket::bind((address.ip(), 0)).is_ok();
    address.port() == own.port()
        && (address.ip() == own.ip() || own.ip().is_unspecified() && is_here())
}

/// The node at an address that is no name.
fn literal(text: &str) -> Option<Addresses> {
    text.parse::<SocketAddr>().ok()?;
    resolve_target(text).ok()
}

/// Each once, whatever it is called: the first of its names counts.
fn distinct(nodes: Vec<Found>, faults: &mut Vec<String>) -> Vec<Addresses> {
    let mut all: Vec<Found> = Vec::new();
    // The places of those that have them.
    let mut places: HashMap<SocketAddr, usize> = HashMap::new();
    for found in nodes {
        let known = found.node.all().iter().find_map(|one| places.get(one));
        match known.and_then(|&place| all.get(place)) {
            // To say it twice is no fault: two sources may know the same.
            Some(other) if found.said == other.said => {}
            Some(other) => {
                if let (Some(said), Some(other)) = (&found.said, &other.said) {
                    faults.push(format!(
                        "node {said} is {other} by another name ({}), and counts once",
                        found.node
                    ));
                }
            }
            None => {
                places.extend(found.node.all().iter().map(|one| (*one, all.len())));
                all.push(found);
            }
        }
    }
    all.into_iter().map(|found| found.node).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    /// Looks until there is nothing that it waits for.
    fn look(discovery: &mut Discovery) -> bool {
        // A second look, as the first may have come while the file was written.
        let mut has_changed = discovery.look(Duration::ZERO);
        has_changed |= discovery.look(Duration::ZERO);
        while !discovery.lookups.is_complete() {
            has_changed |= discovery.look(Duration::from_secs(10));
        }
        has_changed
    }

    fn names(discovery: &Discovery) -> Vec<String> {
        discovery.nodes().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_says_who_is_there_and_a_bad_one_takes_nobody_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodes");
        let source: Source = format!("file:{}", path.display()).parse().unwrap();
        let mut discovery = Discovery::new(&[], &[source]).unwrap();
        assert!(names(&discovery).is_empty());
        assert!(
            discovery.warned[0].contains("cannot be read"),
            "{discovery:?}"
        );

        fs::write(
            &path,
            "# ours\n127.0.0.1:1\n\n 127.0.0.2:2 # the new one\r\n",
        )
        .unwrap();
        assert!(look(&mut discovery));
        assert_eq!(names(&discovery), ["127.0.0.1:1", "127.0.0.2:2"]);
        assert!(!look(&mut discovery) && discovery.warned.is_empty());

        for bad in ["", "# nobody\n", "127.0.0.1\n", "\u{0}\n"] {
            fs::write(&path, bad).unwrap();
            assert!(!look(&mut discovery), "{bad:?}");
            assert_eq!(discovery.nodes().len(), 2);
            assert!(!discovery.warned.is_empty(), "{bad:?}");
        }
        fs::remove_file(&path).unwrap();
        assert!(!look(&mut discovery));
        // What has no end, and what nobody writes.
        for other in [Path::new("/dev/zero"), dir.path()] {
            std::os::unix::fs::symlink(other, &path).unwrap();
            assert!(!look(&mut discovery));
            assert!(
                discovery.warned[0].contains("it is no file"),
                "{discovery:?}"
            );
            fs::remove_file(&path).unwrap();
        }
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        assert!(!look(&mut discovery));
        fs::remove_file(&path).unwrap();
        fs::write(&path, vec![b'#'; 5 << 20]).unwrap();
        assert!(!look(&mut discovery));
        assert!(discovery.warned[0].contains("which is no list"));
        fs::write(&path, "127.0.0.2:2\nnonsense\n").unwrap();
        assert!(look(&mut discovery));
        assert_eq!(names(&discovery), ["127.0.0.2:2"]);
        assert!(discovery.warned[0].contains(":2: "), "{discovery:?}");
    }

    #[test]
    fn names_that_nobody_knows_take_nobody_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodes");
        fs::write(&path, "127.0.0.1:1\nno-such-host.invalid:1\n").unwrap();
        let source = Source::File(path.clone());
        let mut discovery = Discovery::new(&[], &[source]).unwrap();
        assert_eq!(names(&discovery), ["127.0.0.1:1"]);
        assert!(discovery.warned[0].contains("nodes:2: address `no-such-host.invalid:1`"));
        fs::write(&path, "no-such-host.invalid:1\n").unwrap();
        assert!(!look(&mut discovery));
        assert_eq!(names(&discovery), ["127.0.0.1:1"]);
        assert_eq!(discovery.warned.len(), 2, "{discovery:?}");
        assert!(discovery.warned[1].contains("names no node; the 1 that"));
        fs::write(&path, "localhost:2\n").unwrap();
        assert!(look(&mut discovery));
        assert!(
            discovery.nodes()[0]
                .all()
                .contains(&([127, 0, 0, 1], 2).into())
        );
        assert!(discovery.warned.is_empty(), "{discovery:?}");
    }

    #[test]
    fn what_is_said_of_a_file_is_bounded_whatever_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodes");
        let source = Source::File(path.clone());
        let new = || Discovery::new(&[], std::slice::from_ref(&source)).unwrap();
        let check = || Discovery::check(std::slice::from_ref(&source));
        let refused = check().unwrap_err().to_string();
        assert!(refused.contains("cannot be read"), "{refused}");
        fs::write(&path, format!("127.0.0.1:1\n{}\n", "x".repeat(3 << 20))).unwrap();
        let discovery = new();
        let fault = &discovery.warned[0];
        assert!(
            fault.len() < 1000 && fault.contains("3145428 bytes more"),
            "{fault}"
        );
        let refused = check().unwrap_err().to_string();
        assert!(refused.contains(":2: "), "{refused}");
        // One that says something else at each look, with many lines that are wrong.
        let mut discovery = new();
        for turn in 0..10 {
            let bad: String = (0..1000).map(|line| format!("{turn}-{line}\n")).collect();
            fs::write(&path, format!("127.0.0.1:{}\n{bad}", 2 + turn)).unwrap();
            assert!(look(&mut discovery));
        }
        assert!(discovery.lines.take_untold(Instant::now() + LINES_TIME) > Some(9_000));
        fs::write(&path, "127.0.0.1:1\n").unwrap();
        assert!(check().is_ok());
    }

    #[test]
    fn a_node_by_two_names_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodes");
        fs::write(
            &path,
            "127.0.0.1:1\nlocalhost:1\n127.0.0.1:2\n127.0.0.1:2\n",
        )
        .unwrap();
        let always = ["127.0.0.1:1".to_owned()];
        let discovery = Discovery::new(&always, &[Source::File(path)]).unwrap();
        assert_eq!(names(&discovery), ["127.0.0.1:1", "127.0.0.1:2"]);
        assert_eq!(discovery.warned.len(), 1, "{discovery:?}");
        assert!(discovery.warned[0].contains("node localhost:1 is 127.0.0.1:1 by another name"));
        let mut discovery = Discovery::new(&always, &[]).unwrap();
        for (own, count) in [("0.0.0.0:2", 1), ("127.0.0.2:1", 1), ("0.0.0.0:1", 0)] {
            discovery.leave_out(own.parse().unwrap());
            assert_eq!(discovery.nodes().len(), count, "{own}");
        }
        assert!(discovery.warned[0].contains("node 127.0.0.1:1 is this orchestrator itself"));
        let unknown = ["no-such-host.invalid:1".to_owned()];
        let refused = Discovery::new(&unknown, &[]).unwrap_err();
        assert!(refused.to_string().contains("cannot be resolved"));
    }
}
