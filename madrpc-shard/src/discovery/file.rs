//! A file of nodes.
//!
//! It is read again and again, and not watched: what a configuration map or a network file system puts there comes without an
//! event, and to read a page costs less than to know of all the ways in which it may have been replaced.

use crate::net::address::{Addresses, resolve_target};
use crate::runtime::text_file;
use std::path::PathBuf;

/// Looks after which lines that were of no use are tried again: a name may be known later, and who answers for names is not to be
/// asked all the time.
const TRIED_AGAIN_AFTER: u32 = 20;

/// A file, and what it said.
#[derive(Debug)]
pub(super) struct NodeFile {
    path: PathBuf,
    /// What was read last.
    read: Option<String>,
    nodes: Vec<Addresses>,
    /// What is wrong with it.
    faults: Vec<String>,
    /// Looks since it was taken in with a fault.
    looks: u32,
}

impl NodeFile {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self {
            path,
            read: None,
            nodes: Vec::new(),
            faults: Vec::new(),
            looks: 0,
        }
    }

    pub(super) fn nodes(&self) -> &[Addresses] {
        &self.nodes
    }

    pub(super) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Reads it; says whether that may have changed anything.
    pub(super) fn look(&mut self) -> bool {
        match text_file::read(&self.path) {
            Ok(text) => {
                self.looks += 1;
                let is_old = self.read.as_ref() == Some(&text);
                let is_due = !self.faults.is_empty() && self.looks >= TRIED_AGAIN_AFTER;
                if is_old && !is_due {
                    return false;
                }
                self.take(text);
                true
            }
            Err(error) => {
                let (name, before) = (self.path.display(), self.nodes.len());
                let fault = format!(
                    "{name} cannot be read ({error}); the {before} nodes that it named before stay"
                );
                self.read = None;
                let is_new = self.faults.first() != Some(&fault);
                self.faults = vec![fault];
                is_new
            }
        }
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
        if nodes.is_empty() {
            let before = self.nodes.len();
            faults.push(format!(
                "{name} names no node; the {before} that it named before stay"
            ));
        } else {
            self.nodes = nodes;
        }
        self.read = Some(text);
        self.faults = faults;
        self.looks = 0;
    }
}
