//! The router: which member of a fleet gets a call, and what becomes of a call that one has not ended.
//!
//! Pure: it knows no socket, no thread and no clock. Whoever drives it tells what came, what ended, and what time it is. A
//! **member** is a node as a router sees it, or an orchestrator as a client with several of them does.

mod backlog;
mod budget;
mod busy;
mod copies;
mod errors;
mod functions;
mod health;
mod hedging;
mod load;
mod missing;
mod neighbours;
mod outliers;
mod rendezvous;
mod router;
mod scripts;
mod silence;

pub use budget::RetryBudget;
pub use copies::{Copied, Copies};
pub use functions::FunctionNumber;
pub use load::Took;
pub use neighbours::{LOOK_INTERVAL, Neighbours, Standing};
pub use outliers::{Outlier, SWEEP_INTERVAL};
pub use rendezvous::{Subset, digest};
pub use router::{
    Attempt, Balance, Ending, MAX_EJECTED_PERCENT, NoMember, RUNS_MAX, Router, Routing, is_passing,
    was_sent_after,
};
pub use scripts::Scripts;
pub use silence::{Look, Watch};
