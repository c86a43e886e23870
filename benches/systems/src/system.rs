//! The systems: what each is.

use crate::figures::Work;
use clap::ValueEnum;

/// A system to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum System {
    Direct,
    Kernel,
    Orchestrator,
    Ancestor,
    Tonic,
    NodeHttp,
    NodePiscina,
    Quic,
    Programs,
}

impl System {
    pub(crate) const ALL: [Self; 9] = [
        Self::Direct,
        Self::Kernel,
        Self::Orchestrator,
        Self::Ancestor,
        Self::Tonic,
        Self::NodeHttp,
        Self::NodePiscina,
        Self::Quic,
        Self::Programs,
    ];

    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Kernel => "kernel",
            Self::Orchestrator => "orchestrator",
            Self::Ancestor => "ancestor",
            Self::Tonic => "tonic",
            Self::NodeHttp => "node-http",
            Self::NodePiscina => "node-piscina",
            Self::Quic => "quic",
            Self::Programs => "programs",
        }
    }

    /// Its name in the report.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Direct => "madrpc, direct",
            Self::Kernel => "madrpc, a kernel",
            Self::Orchestrator => "madrpc, orchestrator",
            Self::Ancestor => "ancestor's design",
            Self::Tonic => "tonic",
            Self::NodeHttp => "Node.js http",
            Self::NodePiscina => "Node.js piscina",
            Self::Quic => "ceiling: quiche echo",
            Self::Programs => "programs that compute",
        }
    }

    /// What it consists of.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::Direct => "a node of one shard; mutual TLS",
            Self::Kernel => "the same, with the function as a kernel",
            Self::Orchestrator => {
                "an orchestrator of one shard before that node, on the core of the load; mutual TLS"
            }
            Self::Ancestor => {
                "tokio, quinn and rustls, a stream for each call; a pool of `Arc<Mutex<context>>` under `spawn_blocking`; JSON; mutual TLS"
            }
            Self::Tonic => "gRPC over one connection, the same pool; JSON in protobuf; no TLS",
            Self::NodeHttp => {
                "JSON-RPC, a kept-alive connection for each caller; V8 with its JIT; no TLS"
            }
            Self::NodePiscina => "the same, with the functions in piscina's worker threads",
            Self::Quic => {
                "frames of a call echoed on one stream with madrpc's transport settings and TLS; no JavaScript"
            }
            Self::Programs => {
                "`examples/kernels`, on a node of one shard, in Node.js and in Rust, each for itself on the servers' core; WebAssembly is what AssemblyScript makes of them, and its arrays lie in its memory before a run begins"
            }
        }
    }

    /// Whether it runs the function; the ceiling of the network runs none, and a kernel only computes.
    pub(crate) fn runs(self, work: &Work) -> bool {
        match self {
            Self::Quic => work.function == "echo",
            Self::Kernel => work.function == "compute",
            Self::Programs => false,
            _ => true,
        }
    }

    /// Whether it shares the core of the load instead of the node's.
    pub(crate) fn is_beside_load(self) -> bool {
        self == Self::Orchestrator
    }
}
