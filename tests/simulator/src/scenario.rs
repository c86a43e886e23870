//! What a run is: a fleet, its functions, the calls that come, and what goes wrong.

use crate::agenda::{MS, SECOND, Time};
use crate::choice::Policy;
use madrpc_core::fleet::MAX_EJECTED_PERCENT;

/// How often nodes say what they have to do: as those of madrpc-shard do.
const LOAD_INTERVAL: Time = madrpc_core::limits::LOAD_INTERVAL.as_nanos() as Time;

/// A function of the fleet's scripts.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its name.
    pub name: &'static str,
    /// Time on a core of speed 1, on average.
    pub cost: Time,
    /// Whether each call costs just that; it is drawn otherwise, with some that cost a multiple.
    pub is_even: bool,
    /// How many of the calls are of it, beside the others' weights.
    pub weight: u32,
    /// Registered as one that may run twice.
    pub idempotent: bool,
    /// It ends the process of any node that begins with it.
    pub is_poison: bool,
    /// It throws.
    pub throws: bool,
}

/// A script: which functions it has.
#[derive(Debug, Clone)]
pub struct Has {
    /// For each function whether it has it.
    pub functions: Vec<bool>,
    /// Whether it fails whatever is called.
    pub fails: bool,
}

/// How a node lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Lie {
    /// Not at all.
    None,
    /// It fails such a share of the calls at once.
    Fails(f64),
    /// It says of such a share that it has too much to do.
    Refuses(f64),
    /// Its functions throw at once in such a share.
    Throws(f64),
}

/// What goes wrong, or happens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum What {
    /// A node has this speed from now on.
    Speed(u32, f64),
    /// A node's process is stopped, and goes on.
    Freeze(u32),
    /// It goes on.
    Thaw(u32),
    /// A node's process ends at once; whether its peers are told.
    Kill(u32, bool),
    /// It is started again.
    Start(u32),
    /// All sessions to a node break off.
    Break(u32),
    /// A node lies from now on.
    Lies(u32, Lie),
    /// A node is asked to stop.
    Drain(u32),
    /// A node is no member any more.
    Leave(u32),
    /// A node is a member.
    Join(u32),
    /// A node has this script from now on.
    Reload(u32, usize),
    /// So many times as many calls come from now on.
    Load(f64),
    /// All is well again: no call may fail from now on.
    Calm,
}

/// A defect that is built in, to see that it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flaw {
    /// None.
    #[default]
    None,
    /// Calls of a session that is over are forgotten.
    ForgetsLost,
    /// No call is given up at its deadline.
    ForgetsDeadlines,
    /// Calls are tried again whether they may or not.
    RetriesAll,
    /// Every call counts as one that has not run.
    TakesAllForNotRun,
    /// Answers count of nodes that a call is not on any more.
    AnswersTwice,
    /// A second node is asked for calls that may not run twice.
    HedgesAll,
    /// A shard that has a part of the nodes has those whatever becomes of them.
    KeepsSubset,
    /// Of two nodes that were asked the slower one is not told that it need not answer.
    LeavesSecond,
}

/// A run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// All that is left to chance follows from it.
    pub seed: u64,
    /// The nodes' speeds.
    pub speeds: Vec<f64>,
    /// The network's time from a shard to each node.
    pub delays: Vec<Time>,
    /// Orchestrator shards.
    pub shards: usize,
    /// Nodes that each shard has sessions to; all where there is none.
    pub subset: Option<usize>,
    /// Who gets a call.
    pub policy: Policy,
    /// The functions.
    pub functions: Vec<Function>,
    /// The scripts; all nodes begin with the first.
    pub scripts: Vec<Has>,
    /// Calls in a second, and until when.
    pub calls_per_second: f64,
    /// When the last of them comes.
    pub until: Time,
    /// How long callers wait at the least, and at the most.
    pub timeouts: (Time, Time),
    /// Of how many calls one is given up, may run twice, and is large; 0 for none.
    pub given_up_one_in: u32,
    /// The same.
    pub may_repeat_one_in: u32,
    /// The same.
    pub large_one_in: u32,
    /// How often a node says at the most on a session what it has to do; never where there is no time.
    pub load_interval: Option<Time>,
    /// What happens, in its order.
    pub faults: Vec<(Time, What)>,
    /// The share of members that may be left out, in percent.
    pub max_ejected: u8,
    /// The share of a function's calls, in percent, after whose time a second node is asked; none where there is no number.
    pub hedge: Option<u8>,
    /// How long a node may take before another is asked in its place; for ever where there is no time.
    pub try_timeout: Option<Time>,
    /// How long a session lives without a word.
    pub idle_timeout: Time,
    /// Extra time of the first calls of a process or script.
    pub cold_cost: Time,
    /// What is wrong with the shards.
    pub flaw: Flaw,
    /// A call whose way is told in the report.
    pub watched: Option<u32>,
}

impl Scenario {
    /// A fleet without faults: one function, each node's speed 1.
    #[must_use]
    pub fn plain(seed: u64, nodes: usize, shards: usize, policy: Policy) -> Self {
        Self {
            seed,
            speeds: vec![1.0; nodes],
            delays: vec![MS / 10; nodes],
            shards,
            subset: None,
            policy,
            functions: vec![Function::plain("plain", MS, 1)],
            scripts: vec![Has {
                functions: vec![true],
                fails: false,
            }],
            calls_per_second: 100.0,
            until: SECOND,
            timeouts: (10 * SECOND, 10 * SECOND),
            given_up_one_in: 0,
            may_repeat_one_in: 0,
            large_one_in: 0,
            load_interval: Some(LOAD_INTERVAL),
            faults: Vec::new(),
            max_ejected: MAX_EJECTED_PERCENT,
            hedge: None,
            try_timeout: None,
            idle_timeout: 4 * SECOND,
            cold_cost: 0,
            flaw: Flaw::None,
            watched: None,
        }
    }
}

impl Function {
    /// One that just takes its time.
    #[must_use]
    pub const fn plain(name: &'static str, cost: Time, weight: u32) -> Self {
        Self {
            name,
            cost,
            is_even: false,
            weight,
            idempotent: false,
            is_poison: false,
            throws: false,
        }
    }
}
