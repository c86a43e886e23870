//! A file of nodes.
//!
//! It is read again and again, and not watched: what a configuration map or a network file system puts there comes without an
//! event, and to read a page costs less than to know of all the ways in which it may have been replaced.

use super::lookups::{Lookups, Question};
use super::{Found, literal};
use crate::net::address::check_target;
use crate::runtime::text_file::TextFile;
use std::path::PathBuf;

/// A file, and what it said.
#[derive(Debug)]
pub(super) struct NodeFile {
    file: TextFile,
    /// Whether it could be read the last time.
    is_read: bool,
    /// Its lines that may be nodes.
    lines: Vec<Line>,
    /// The nodes that it named when it last named any.
    nodes: Vec<Found>,
    /// What is wrong with it, whatever its names mean.
    faults: Vec<String>,
}

#[derive(Debug)]
struct Line {
    number: usize,
    /// `HOST:PORT`.
    address: String,
}

impl NodeFile {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self {
            file: TextFile::new(path),
            is_read: false,
            lines: Vec::new(),
            nodes: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// The names in it.
    pub(super) fn names(&self) -> impl Iterator<Item = Question> {
        let names = self
            .lines
            .iter()
            .filter(|line| literal(&line.address).is_none());
        names.map(|line| Question::System(line.address.clone()))
    }

    /// What is wrong with it.
    pub(super) fn fault(&self) -> Option<&str> {
        self.faults.first().map(String::as_str)
    }

    /// Reads it; says whether that may have changed anything.
    pub(super) fn look(&mut self) -> bool {
        match self.file.look() {
            Ok(None) => false,
            Ok(Some(text)) => {
                let text = text.to_owned();
                self.take(&text);
                true
            }
            Err(error) => {
                let (name, before) = (self.file.path().display(), self.nodes.len());
                let holds = match before {
                    0 => "it is looked at again and again".to_owned(),
                    _ => format!("the {before} nodes that it named before stay"),
                };
                let fault = format!("{name} cannot be read ({error}); {holds}");
                self.is_read = false;
                let is_new = self.faults.first() != Some(&fault);
                self.faults = vec![fault];
                is_new
            }
        }
    }

    fn take(&mut self, text: &str) {
        let name = self.file.path().display();
        let (mut lines, mut faults) = (Vec::new(), Vec::new());
        for (number, line) in (1..).zip(text.lines()) {
            let address = line.split('#').next().unwrap_or_default().trim();
            if address.is_empty() {
                continue;
            }
            match check_target(address) {
                Ok(()) => lines.push(Line {
                    number,
                    address: address.to_owned(),
                }),
                Err(error) => faults.push(format!("{name}:{number}: {error}")),
            }
        }
        self.lines = lines;
        self.is_read = true;
        self.faults = faults;
    }

    /// Its nodes, as far as it is known what its names mean.
    pub(super) fn nodes(&mut self, lookups: &Lookups, faults: &mut Vec<String>) -> &[Found] {
        faults.extend(self.faults.iter().cloned());
        if !self.is_read {
            return &self.nodes;
        }
        let (mut found, mut is_waiting) = (Vec::new(), false);
        for Line { number, address } in &self.lines {
            if let Some(node) = literal(address) {
                found.push(Found::named(node, address));
                continue;
            }
            let said = lookups.get(&Question::System(address.clone()));
            let Some(said) = said else { continue };
            is_waiting |= said.nodes().is_empty() && said.fault().is_none();
            if let Some(fault) = said.fault() {
                faults.push(format!("{}:{number}: {fault}", self.file.path().display()));
            }
            found.extend(
                said.nodes()
                    .iter()
                    .map(|node| Found::named(node.clone(), address)),
            );
        }
        if !found.is_empty() {
            self.nodes = found;
        } else if !is_waiting {
            let (name, before) = (self.file.path().display(), self.nodes.len());
            faults.push(format!(
                "{name} names no node; the {before} that it named before stay"
            ));
        }
        &self.nodes
    }
}
