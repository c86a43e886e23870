//! Where an orchestrator's nodes come from, beside those that it is told at its start.
//!
//! A source that fails, is empty or cannot be read takes nobody away: what it said before holds until it says something else.

mod file;

use crate::net::address::Addresses;
use file::NodeFile;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;
use tracing::{info, warn};

/// How often a source is looked at.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Where nodes come from, as it is written: `file:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file with the address of a node, `HOST:PORT`, on each line. What follows a `#` is left out.
    File(PathBuf),
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.strip_prefix("file:") {
            Some("") => Err("file: expected a path after it, as in file:/etc/madrpc/nodes".into()),
            Some(path) => Ok(Self::File(path.into())),
            None => Err("expected file:PATH, as in file:/etc/madrpc/nodes".into()),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// The nodes of some sources, and those that there are always.
#[derive(Debug)]
pub struct Discovery {
    always: Vec<Addresses>,
    files: Vec<NodeFile>,
    nodes: Vec<Addresses>,
    /// What was last warned of, so that a fault is told once.
    warned: Vec<String>,
    /// Whether it looks for the first time: who is there then is told with the start.
    is_new: bool,
}

impl Discovery {
    /// Looks at the sources for the first time.
    #[must_use]
    pub fn new(always: Vec<Addresses>, sources: &[Source]) -> Self {
        let files = sources.iter().map(|source| match source {
            Source::File(path) => NodeFile::new(path.clone()),
        });
        let mut discovery = Self {
            nodes: Vec::new(),
            files: files.collect(),
            always,
            warned: Vec::new(),
            is_new: true,
        };
        discovery.look();
        discovery.is_new = false;
        discovery
    }

    /// The nodes that there are.
    #[must_use]
    pub fn nodes(&self) -> &[Addresses] {
        &self.nodes
    }

    /// Looks at the sources; says whether there are other nodes now.
    pub(crate) fn look(&mut self) -> bool {
        let mut has_news = self.is_new;
        for file in &mut self.files {
            has_news |= file.look();
        }
        if !has_news {
            return false;
        }
        let faults = self.files.iter().flat_map(NodeFile::faults);
        let mut faults: Vec<String> = faults.cloned().collect();
        let found = self.files.iter().flat_map(NodeFile::nodes);
        let nodes = distinct(self.always.iter().chain(found), &mut faults);
        for fault in &faults {
            if !self.warned.contains(fault) {
                warn!("{fault}");
            }
        }
        self.warned = faults;
        if nodes == self.nodes {
            return false;
        }
        let names = |nodes: &[Addresses]| -> HashSet<String> {
            nodes.iter().map(ToString::to_string).collect()
        };
        let (before, now) = (names(&self.nodes), names(&nodes));
        self.nodes = nodes;
        if self.is_new {
            return true;
        }
        for name in now.difference(&before) {
            info!("node {name} is there");
        }
        for name in before.difference(&now) {
            info!("node {name} is there no more; calls under way may end");
        }
        before != now
    }
}

/// Each once, whatever it is called: the first of its names counts.
fn distinct<'a>(
    nodes: impl Iterator<Item = &'a Addresses>,
    faults: &mut Vec<String>,
) -> Vec<Addresses> {
    let mut all: Vec<Addresses> = Vec::new();
    // The places of those that have them.
    let mut places: HashMap<SocketAddr, usize> = HashMap::new();
    for node in nodes {
        let known = node.all().iter().find_map(|one| places.get(one));
        match known.and_then(|&place| all.get(place)) {
            // To say it twice is no fault: two sources may know the same.
            Some(other) if other.to_string() == node.to_string() => {}
            Some(other) => faults.push(format!(
                "node {node} is {other} by another name, and counts once"
            )),
            None => {
                places.extend(node.all().iter().map(|one| (*one, all.len())));
                all.push(node.clone());
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::Path;

    fn names(discovery: &Discovery) -> Vec<String> {
        discovery.nodes().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_file_says_who_is_there_and_a_bad_one_takes_nobody_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodes");
        let source: Source = format!("file:{}", path.display()).parse().unwrap();
        let mut discovery = Discovery::new(Vec::new(), &[source]);
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
        assert!(discovery.look());
        assert_eq!(names(&discovery), ["127.0.0.1:1", "127.0.0.2:2"]);
        assert!(!discovery.look() && discovery.warned.is_empty());

        for bad in ["", "# nobody\n", "127.0.0.1\n", "\u{0}\n"] {
            fs::write(&path, bad).unwrap();
            assert!(!discovery.look(), "{bad:?}");
            assert_eq!(discovery.nodes().len(), 2);
            assert!(!discovery.warned.is_empty(), "{bad:?}");
        }
        fs::remove_file(&path).unwrap();
        assert!(!discovery.look());
        // What has no end, and what nobody writes.
        for other in [Path::new("/dev/zero"), dir.path()] {
            std::os::unix::fs::symlink(other, &path).unwrap();
            assert!(!discovery.look());
            assert!(
                discovery.warned[0].contains("it is no file"),
                "{discovery:?}"
            );
            fs::remove_file(&path).unwrap();
        }
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.unwrap().success());
        assert!(!discovery.look());
        fs::remove_file(&path).unwrap();
        fs::write(&path, vec![b'#'; 5 << 20]).unwrap();
        assert!(!discovery.look());
        assert!(discovery.warned[0].contains("which is no list"));
        fs::write(&path, "127.0.0.2:2\nnonsense\n").unwrap();
        assert!(discovery.look());
        assert_eq!(names(&discovery), ["127.0.0.2:2"]);
        assert!(discovery.warned[0].contains(":2: "), "{discovery:?}");
    }

    #[test]
    fn a_name_that_nobody_knows_is_not_asked_for_at_each_look() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodes");
        fs::write(&path, "127.0.0.1:1\nno-such-host.invalid:1\n").unwrap();
        let mut file = NodeFile::new(path);
        assert!(file.look());
        let asked = (0..200).filter(|_| file.look()).count();
        assert_eq!((asked, file.faults().len(), file.nodes().len()), (10, 1, 1));
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
        let always = vec![SocketAddr::from(([127, 0, 0, 1], 1)).into()];
        let discovery = Discovery::new(always, &[Source::File(path)]);
        assert_eq!(names(&discovery), ["127.0.0.1:1", "127.0.0.1:2"]);
        assert_eq!(discovery.warned.len(), 1, "{discovery:?}");
        assert!(discovery.warned[0].contains("localhost:1"));
    }

    #[test]
    fn what_is_no_source_is_refused() {
        for text in ["", "nodes", "file:", "dns:x"] {
            assert!(
                text.parse::<Source>().unwrap_err().contains("as in"),
                "{text}"
            );
        }
    }
}
