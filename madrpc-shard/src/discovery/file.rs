//! A file of nodes.
//!
//! It is read again and again, and not watched: what a configuration map or a network file system puts there comes without an
//! event, and to read a page costs less than to know of all the ways in which it may have been replaced.

use crate::net::address::{Addresses, resolve_target};
use std::path::PathBuf;

/// More than this is no list of nodes.
const BYTES_MAX: usize = 4 << 20;

/// A file, and what it said.
#[derive(Debug)]
pub(super) struct NodeFile {
    path: PathBuf,
    /// What was read last, where all its names were found.
    read: Option<String>,
    nodes: Vec<Addresses>,
    /// What is wrong with it.
    faults: Vec<String>,
}

impl NodeFile {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: None,
            nodes: Vec::new(),
            faults: Vec::new(),
        }
    }

    pub(super) fn nodes(&self) -> &[Addresses] {
        &self.nodes
    }

    /// Reads it, and adds what is wrong with it.
    pub(super) fn look(&mut self, faults: &mut Vec<String>) {
        let (name, before) = (self.path.display(), self.nodes.len());
        match std::fs::read_to_string(&self.path) {
            Ok(text) if self.read.as_ref() == Some(&text) => {}
            Ok(text) if text.len() > BYTES_MAX => {
                self.faults = vec![format!(
                    "{name} has {} bytes, and is no list of nodes",
                    text.len()
                )];
            }
            Ok(text) => self.take(text),
            Err(error) => {
                self.read = None;
                let stay = format!("the {before} nodes that it named before stay");
                self.faults = vec![format!("{name} cannot be read ({error}); {stay}")];
            }
        }
        faults.extend_from_slice(&self.faults);
    }

    fn take(&mut self, text: String) {
        let name = self.path.display();
        let (mut nodes, mut faults) = (Vec::new(), Vec::new());
        for (number, line) in (1..).zip(text.lines()) {
            let address = line.split('#').next().unwrap_or_default().trim();
            if address.is_empty() {
                continue;
            }
            match resolve_target(address) {
                Ok(node) => nodes.push(node),
                Err(error) => faults.push(format!("{name}:{number}: {error}")),
            }
        }
        // Names that are not found now may be at the next look.
        self.read = faults.is_empty().then_some(text);
        if nodes.is_empty() {
            let before = self.nodes.len();
            faults.push(format!(
                "{name} names no node; the {before} that it named before stay"
            ));
        } else {
            self.nodes = nodes;
        }
        self.faults = faults;
    }
}
