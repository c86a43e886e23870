//! What an attack is, what it is given, and what it tells.

use crate::error::AbuseError;
use crate::fleet::Fleet;
use crate::watched::Watched;
use serde::Serialize;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Who attacks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum By {
    /// Somebody without a certificate.
    Strangers,
    /// Somebody with a client's certificate.
    Callers,
    /// A node of the cluster.
    Nodes,
}

/// The servers that an attack needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// A node, which is attacked.
    Node,
    /// A node whose log nobody reads.
    NodeUnread,
    /// Two nodes of one authority; the first is attacked.
    TwoNodes,
    /// An orchestrator, which is attacked, in front of a node.
    Orchestrator,
    /// An orchestrator, which is attacked, in front of a node and of one that the attacker plays.
    OrchestratorWithBadNode,
}

impl Setting {
    /// Whether calls go through an orchestrator.
    #[must_use]
    pub fn is_orchestrated(self) -> bool {
        matches!(self, Self::Orchestrator | Self::OrchestratorWithBadNode)
    }
}

/// What of a run is held against bounds. Each is the issue's, unless an attack says otherwise.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// The least share of its throughput that a well-behaved caller keeps; `None` where that is not judged.
    pub kept_min: Option<f64>,
    /// The most that a lone caller's p99 may be multiplied by; `None` where that is not judged.
    pub p99_max: Option<f64>,
    /// Whether the attacker may use the server's budget of bytes: a stranger may not.
    pub uses_budget: bool,
    /// The most memory that may be left of what the attack took, in bytes, after [`Bounds::rest`].
    pub left_max: u64,
    /// When it is looked what is left.
    pub rest: Duration,
    /// The most lines that the attack may write into the log.
    pub lines_max: u64,
}

impl Bounds {
    /// For an attack by strangers.
    pub const STRANGERS: Self = Self {
        kept_min: Some(0.8),
        p99_max: Some(5.0),
        uses_budget: false,
        left_max: 32 << 20,
        rest: Duration::from_secs(10),
        lines_max: 50,
    };

    /// For an attack by callers.
    pub const CALLERS: Self = Self {
        uses_budget: true,
        ..Self::STRANGERS
    };

    /// For an attack that takes the caller's own way out of service, so that its speed says nothing.
    pub const MEMORY_ALONE: Self = Self {
        kept_min: None,
        p99_max: None,
        ..Self::CALLERS
    };
}

/// How much of it.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    /// How many of what the attack counts.
    pub count: u64,
    /// How many in a second; `None` for as many as go.
    pub per_second: Option<u32>,
    /// How long it may go on at the most; what is held, is held until then where the attack says so.
    pub time: Duration,
}

impl Amount {
    /// So many, as fast as they go, in ten seconds at the most: for a test.
    #[must_use]
    pub const fn of(count: u64) -> Self {
        Self {
            count,
            per_second: None,
            time: Duration::from_secs(10),
        }
    }
}

/// An attack by its name.
pub struct Attack {
    /// As the command line calls it.
    pub name: &'static str,
    /// Who attacks.
    pub by: By,
    /// What is done, in a line.
    pub what: &'static str,
    /// The servers that it needs.
    pub setting: Setting,
    /// Functions that the nodes' script registers beside those that are called.
    pub functions: usize,
    /// Flags that the node needs for it.
    pub node_flags: &'static [&'static str],
    /// How much of it a whole run is.
    pub amount: Amount,
    /// What it is held against.
    pub bounds: Bounds,
    /// Does it.
    pub run: fn(&Field<'_>) -> Result<Outcome, AbuseError>,
}

impl Attack {
    /// As many as `count`, as fast as they go, on the node, held against everything.
    pub(crate) const fn new(
        name: &'static str,
        by: By,
        what: &'static str,
        count: u64,
        run: fn(&Field<'_>) -> Result<Outcome, AbuseError>,
    ) -> Self {
        Self {
            name,
            by,
            what,
            setting: Setting::Node,
            functions: 0,
            node_flags: &[],
            amount: Amount::of(count),
            bounds: match by {
                By::Strangers => Bounds::STRANGERS,
                By::Callers | By::Nodes => Bounds::CALLERS,
            },
            run,
        }
    }

    pub(crate) const fn per_second(mut self, rate: u32) -> Self {
        self.amount.per_second = Some(rate);
        self
    }

    pub(crate) const fn at(mut self, setting: Setting) -> Self {
        self.setting = setting;
        self
    }

    pub(crate) const fn beside(mut self, functions: usize) -> Self {
        self.functions = functions;
        self
    }

    pub(crate) const fn with(mut self, flags: &'static [&'static str]) -> Self {
        self.node_flags = flags;
        self
    }

    pub(crate) const fn within(mut self, bounds: Bounds) -> Self {
        self.bounds = bounds;
        self
    }
}

/// What an attack is given. A test fills it with servers in its own process.
pub struct Field<'a> {
    /// The server that is attacked.
    pub target: SocketAddr,
    /// The nodes, the first of which runs the calls; where no orchestrator is, it is the target.
    pub nodes: &'a [SocketAddr],
    /// Certificates.
    pub fleet: &'a Fleet,
    /// How much of it.
    pub amount: Amount,
    /// The processes of the target and of the first node, where they are processes.
    pub watched: Option<[Watched; 2]>,
    /// The socket of the node that the attacker plays.
    pub bad_node: Option<&'a UdpSocket>,
}

impl Field<'_> {
    /// When it has to be over.
    #[must_use]
    pub fn until(&self) -> Instant {
        Instant::now() + self.amount.time
    }

    /// The first node.
    #[must_use]
    pub fn node(&self) -> SocketAddr {
        self.nodes.first().copied().unwrap_or(self.target)
    }
}

/// Something that has to hold beside the bounds of all attacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was looked at, and what came of it.
    pub what: String,
    /// Whether it is as it has to be.
    pub holds: bool,
}

/// What an attack did and found.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// What was done, with its number.
    pub did: String,
    /// What has to hold for it.
    pub checks: Vec<Check>,
}

impl Outcome {
    /// What was done.
    pub fn did(did: impl Into<String>) -> Self {
        Self {
            did: did.into(),
            checks: Vec::new(),
        }
    }

    /// Something that has to hold.
    #[must_use]
    pub fn check(mut self, holds: bool, what: impl Into<String>) -> Self {
        self.checks.push(Check {
            what: what.into(),
            holds,
        });
        self
    }
}
