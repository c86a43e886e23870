//! The catalogue: what can be called at a server, as [`FUNCTIONS`] answers it.
//!
//! A node lists what its script has registered. An orchestrator runs nothing itself: it asks each of its nodes and
//! lays the answers together, so that a function shows with the nodes that have it; a node that does not answer is
//! named, with the reason.

use super::error::{CallError, ErrorKind};
use crate::limits::BODY_MAX_BYTES;
use crate::value::{Value, from_value, to_value};
use serde::{Deserialize, Serialize};

/// The reserved function whose result is a [`Catalog`].
pub const FUNCTIONS: &str = "madrpc.functions";

/// What the name of a node takes beside its letters.
const NODE_BYTES: usize = size_of::<String>();

/// What can be called at a server.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalog {
    /// `node` or `orchestrator`.
    pub role: String,
    /// The address it goes by.
    pub name: String,
    /// By name; a function that nodes have registered with different options has an entry for each.
    pub functions: Vec<Entry>,
    /// An orchestrator's nodes that did not answer, each with the reason.
    pub silent: Vec<Silent>,
}

/// A function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The registered name.
    pub name: String,
    /// How it was registered.
    #[serde(default)]
    pub options: FunctionOptions,
    /// The nodes that run it.
    pub nodes: Vec<String>,
}

/// What a script said about a function when it registered it; `None`: the node's own limit holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(default)]
pub struct FunctionOptions {
    /// It may be run twice for one call.
    pub idempotent: bool,
    /// The longest deadline, in microseconds.
    pub timeout_us: Option<u64>,
    /// Time on the core, in microseconds.
    pub cpu_us: Option<u64>,
    /// Heap that a call may use.
    pub memory_bytes: Option<u64>,
    /// JavaScript stack of a call.
    pub stack_bytes: Option<u64>,
    /// The largest arguments and the largest result.
    pub body_bytes: Option<u64>,
    /// Calls that wait for a lane of one shard.
    pub queue_max: Option<u64>,
    /// Calls under way at the same time, on the whole node.
    pub max_concurrent: Option<u64>,
    /// Calls in a second, on the whole node.
    pub rate: Option<u64>,
    /// As many of them at once.
    pub burst: Option<u64>,
    /// Each call has a context of its own.
    pub isolate: bool,
}

/// A node that did not say what it has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silent {
    /// Its address.
    pub node: String,
    /// Why.
    pub reason: String,
}

impl Catalog {
    /// An empty one, of a server with this role and name.
    pub fn new(role: &str, name: &str) -> Self {
        Self {
            role: role.to_owned(),
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// Adds what `node` has; gives about how many bytes that takes.
    pub fn add(
        &mut self,
        node: &str,
        functions: impl IntoIterator<Item = (String, FunctionOptions)>,
    ) -> usize {
        let mut bytes = 0;
        // Sorted up to here, so that a look for one costs little however many there are.
        let known = self.functions.len();
        for (name, options) in functions {
            let place = self.functions[..known]
                .binary_search_by(|entry| (&entry.name, &entry.options).cmp(&(&name, &options)));
            match place {
                Ok(at) => {
                    bytes += NODE_BYTES + node.len();
                    let nodes = &mut self.functions[at].nodes;
                    let after = nodes.partition_point(|other| other.as_str() <= node);
                    nodes.insert(after, node.to_owned());
                }
                Err(_) => {
                    bytes += size_of::<Entry>() + name.len() + NODE_BYTES + node.len();
                    self.functions.push(Entry {
                        name,
                        options,
                        nodes: vec![node.to_owned()],
                    });
                }
            }
        }
        if self.functions.len() > known {
            self.functions
                .sort_by(|a, b| (&a.name, &a.options).cmp(&(&b.name, &b.options)));
            // A node may name a function twice.
            self.functions.dedup_by(|later, first| {
                let is_same = (&later.name, &later.options) == (&first.name, &first.options);
                if is_same {
                    first.nodes.append(&mut later.nodes);
                }
                is_same
            });
        }
        bytes
    }

    /// Adds what `node` answered, itself a catalogue; gives as [`Catalog::add`].
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn add_answer(&mut self, node: &str, body: &[u8]) -> Result<usize, CallError> {
        let unreadable = |error: &dyn std::fmt::Display| {
            CallError::may_have_run(ErrorKind::Protocol, format!("its answer: {error}"))
        };
        let value = Value::decode(body).map_err(|error| unreadable(&error))?;
        let answer: Self = from_value(value).map_err(|error| unreadable(&error))?;
        let functions = answer.functions.into_iter();
        Ok(self.add(node, functions.map(|entry| (entry.name, entry.options))))
    }

    /// Notes that `node` has not answered.
    pub fn add_silent(&mut self, node: &str, reason: impl Into<String>) {
        self.silent.push(Silent {
            node: node.to_owned(),
            reason: reason.into(),
        });
    }

    /// The body of the reply.
    ///
    /// # Errors
    /// `Unavailable` where there are nodes and none has answered; `PayloadTooLarge` for more than a body holds.
    pub fn encode(&self) -> Result<Vec<u8>, CallError> {
        if self.functions.is_empty() && !self.silent.is_empty() {
            let reasons: Vec<&str> = self.silent.iter().map(|one| one.reason.as_str()).collect();
            let error = format!("no node answers: {}", reasons.join("; "));
            return Err(CallError::not_run(ErrorKind::Unavailable, error));
        }
        let value = to_value(self).map_err(|error| {
            CallError::may_have_run(ErrorKind::Internal, format!("catalogue: {error}"))
        })?;
        let mut body = Vec::new();
        value.encode(&mut body, BODY_MAX_BYTES).map_err(|error| {
            CallError::may_have_run(ErrorKind::PayloadTooLarge, format!("catalogue: {error}"))
        })?;
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(names: &[&str]) -> Vec<(String, FunctionOptions)> {
        let plain = |name: &&str| ((*name).to_owned(), FunctionOptions::default());
        names.iter().map(plain).collect()
    }

    fn answer(names: &[&str]) -> Vec<u8> {
        let mut catalog = Catalog::new("node", "n");
        catalog.add("n", plain(names));
        catalog.encode().unwrap()
    }

    #[test]
    fn answers_are_laid_together_by_name_and_options() {
        let mut catalog = Catalog::new("orchestrator", "o");
        catalog
            .add_answer("b:1", &answer(&["echo", "add"]))
            .unwrap();
        catalog.add_answer("a:1", &answer(&["add"])).unwrap();
        let options = FunctionOptions {
            isolate: true,
            ..FunctionOptions::default()
        };
        catalog.add("c:1", [("add".to_owned(), options)]);
        let listed: Vec<_> = catalog
            .functions
            .iter()
            .map(|entry| {
                (
                    entry.name.as_str(),
                    entry.options.isolate,
                    entry.nodes.join(","),
                )
            })
            .collect();
        let expected = [
            ("add", false, "a:1,b:1".to_owned()),
            ("add", true, "c:1".to_owned()),
            ("echo", false, "b:1".to_owned()),
        ];
        assert_eq!(listed, expected);
    }

    #[test]
    fn only_a_catalogue_without_any_answer_is_an_error() {
        let mut catalog = Catalog::new("orchestrator", "o");
        catalog.add_silent("a:1", "a:1: refused");
        let error = catalog.encode().unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable);
        assert!(error.message.contains("a:1: refused"), "{error}");
        catalog.add_answer("b:1", &answer(&["add"])).unwrap();
        assert!(catalog.encode().is_ok());
        assert!(catalog.add_answer("c:1", &[255, 255]).is_err());
    }

    #[test]
    fn an_answer_of_an_older_node_without_options_is_read() {
        let old = Value::object([
            ("role", Value::from("node")),
            ("name", Value::from("n")),
            (
                "functions",
                Value::Array(vec![Value::object([
                    ("name", Value::from("add")),
                    ("nodes", Value::Array(vec![Value::from("n")])),
                ])]),
            ),
            ("silent", Value::Array(vec![])),
        ]);
        let mut body = Vec::new();
        old.encode(&mut body, 1000).unwrap();
        let mut catalog = Catalog::new("orchestrator", "o");
        catalog.add_answer("a:1", &body).unwrap();
        assert_eq!(catalog.functions[0].options, FunctionOptions::default());
    }
}
