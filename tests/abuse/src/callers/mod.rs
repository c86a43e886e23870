//! Attacks by somebody who has a certificate, and by a node.

mod bodies;
mod cancels;
mod crafted;
mod ids;
mod kernels;
mod lanes;
mod logs;
mod names;
mod nodes;
mod sessions;
mod streams;

use crate::attack::{
    Amount, Attack, Bounds,
    By::{Callers, Nodes},
    Setting,
};
use std::time::Duration;

/// So that 5,000 calls can be under way, most of them in the queue.
const LONG_QUEUE: &[&str] = &["--queue-limit", "8192"];

/// The lines are the script's own: as many as a shard writes of those in the time that it takes.
const SCRIPTS_OWN_LINES: Bounds = Bounds {
    lines_max: 6_000,
    ..Bounds::CALLERS
};

/// Calls that wait have a lane each, and lanes are given back where nobody has needed them for 10 s, which is looked at every 10 s.
const LANES_TAKEN: Bounds = Bounds {
    rest: Duration::from_secs(40),
    ..Bounds::CALLERS
};

/// All of them.
pub(crate) const ATTACKS: [Attack; 52] = [
    Attack::new(
        "replies-unread",
        Callers,
        "200 calls with results of 8 MiB, by a client that reads nothing",
        200,
        bodies::replies_unread,
    ),
    Attack::new(
        "replies-unread-echo",
        Callers,
        "echo of 8 MiB, 200 times, by a client that reads nothing",
        200,
        bodies::replies_unread_echo,
    ),
    Attack::new(
        "replies-unread-orchestrator",
        Callers,
        "200 calls with results of 8 MiB through an orchestrator, by a client that reads nothing",
        200,
        bodies::replies_unread,
    )
    .at(Setting::Orchestrator),
    Attack::new(
        "arguments-waiting",
        Callers,
        "60 MB of arguments from each of 16 callers, while every lane is taken",
        16,
        bodies::arguments_waiting,
    )
    .within(Bounds::MEMORY_ALONE),
    Attack::new(
        "bodies-half",
        Callers,
        "16 bodies of 64 MiB on one session, each but for its last MiB",
        16,
        bodies::half,
    ),
    Attack::new(
        "bodies-half-many",
        Callers,
        "one such body on each of 16 sessions",
        16,
        bodies::half_many,
    ),
    Attack::new(
        "frames-half",
        Callers,
        "frames of 64 KiB on the channels of 500 sessions, each but for its last byte",
        500,
        bodies::half_frames,
    ),
    Attack {
        amount: Amount {
            count: 6_000,
            per_second: None,
            time: Duration::from_secs(30),
        },
        ..Attack::new(
            "sessions",
            Callers,
            "6,000 sessions by one certificate, held",
            6_000,
            sessions::held,
        )
    },
    Attack::new(
        "sessions-abandoned",
        Callers,
        "sessions that are opened, and left without a word",
        6_000,
        sessions::abandoned,
    ),
    Attack::new(
        "sessions-churned",
        Callers,
        "sessions that are opened, used for one call, and closed",
        6_000,
        sessions::churned,
    ),
    Attack::new(
        "session-closed-with-reason",
        Callers,
        "sessions that end by a protocol error whose reason looks like lines of a log",
        500,
        sessions::closed_with_reason,
    ),
    Attack::new(
        "backlog",
        Nodes,
        "calls of 8 MiB through an orchestrator to a node that acknowledges and does not read",
        100,
        nodes::backlog,
    )
    .at(Setting::OrchestratorWithBadNode)
    .within(Bounds::MEMORY_ALONE),
    Attack::new(
        "backlog-frozen",
        Callers,
        "calls of 8 MiB through an orchestrator to a node that is stopped (SIGSTOP)",
        100,
        nodes::backlog_frozen,
    )
    .at(Setting::Orchestrator)
    .within(Bounds::MEMORY_ALONE),
    Attack::new(
        "backlog-tiny",
        Nodes,
        "100,000 tiny calls a second through an orchestrator to a node that does not read",
        500_000,
        nodes::backlog_tiny,
    )
    .per_second(100_000)
    .at(Setting::OrchestratorWithBadNode)
    .within(Bounds::MEMORY_ALONE),
    Attack::new(
        "node-answers-for-others",
        Nodes,
        "a node behind an orchestrator that answers calls which other nodes were given",
        2_000,
        nodes::answers_for_others,
    )
    .at(Setting::OrchestratorWithBadNode)
    .within(Bounds::MEMORY_ALONE),
    Attack {
        amount: Amount {
            count: 10,
            per_second: None,
            time: Duration::from_secs(20),
        },
        ..Attack::new(
            "results-half",
            Nodes,
            "a node behind an orchestrator that begins 10 results of 8 MiB, and stops in the middle of each",
            10,
            nodes::results_half,
        )
        .at(Setting::OrchestratorWithBadNode)
        .within(Bounds::MEMORY_ALONE)
    },
    Attack::new(
        "ids-twice",
        Callers,
        "200 endless calls of one number on one session, which is then closed",
        200,
        ids::twice,
    )
    .within(Bounds::MEMORY_ALONE),
    Attack::new(
        "ids-twice-orchestrator",
        Callers,
        "the same through an orchestrator",
        200,
        ids::twice,
    )
    .at(Setting::Orchestrator)
    .within(Bounds::MEMORY_ALONE),
    Attack::new(
        "caller-killed",
        Callers,
        "a caller that is gone without a word, with 5,000 calls under way",
        5_000,
        ids::killed,
    )
    .with(LONG_QUEUE)
    .within(Bounds::MEMORY_ALONE),
    Attack::new(
        "caller-killed-orchestrator",
        Callers,
        "the same through an orchestrator",
        5_000,
        ids::killed,
    )
    .at(Setting::Orchestrator)
    .with(LONG_QUEUE)
    .within(Bounds::MEMORY_ALONE),
    Attack::new(
        "cancel-queued",
        Callers,
        "1,000 calls that are cancelled while they wait for a lane: each has to be answered",
        1_000,
        cancels::queued,
    )
    .within(Bounds::MEMORY_ALONE),
    Attack::new(
        "cancel-loop",
        Callers,
        "4,096 calls under way, of which one is cancelled and made again, as fast as it goes",
        100_000_000,
        cancels::again,
    )
    .within(LANES_TAKEN)
    .with(LONG_QUEUE),
    Attack::new(
        "cancel-loop-orchestrator",
        Callers,
        "the same through an orchestrator",
        100_000_000,
        cancels::again,
    )
    .within(LANES_TAKEN)
    .at(Setting::Orchestrator)
    .with(LONG_QUEUE),
    Attack::new(
        "cancel-unknown",
        Callers,
        "cancels of calls that are not there, as fast as they go",
        100_000_000,
        cancels::unknown,
    )
    .within(LANES_TAKEN),
    Attack::new(
        "names-long",
        Callers,
        "functions whose names have 257 bytes to 64 KiB",
        5_000,
        names::long,
    ),
    Attack::new(
        "names-long-orchestrator",
        Callers,
        "the same through an orchestrator",
        5_000,
        names::long,
    )
    .at(Setting::Orchestrator),
    Attack::new(
        "names-invented",
        Callers,
        "1,000,000 different functions that do not exist",
        1_000_000,
        names::invented,
    ),
    Attack::new(
        "names-invented-orchestrator",
        Callers,
        "the same through an orchestrator",
        1_000_000,
        names::invented,
    )
    .at(Setting::Orchestrator),
    Attack::new(
        "keys-invented",
        Callers,
        "objects of 100 keys, each of which is new",
        100_000,
        names::keys,
    ),
    Attack::new(
        "console",
        Callers,
        "calls that write 1,000 lines each to the log",
        200,
        logs::console,
    )
    .within(SCRIPTS_OWN_LINES),
    Attack::new(
        "console-log-unread",
        Callers,
        "the same, while nobody reads what the server logs",
        200,
        logs::console,
    )
    .at(Setting::NodeUnread)
    .within(SCRIPTS_OWN_LINES),
    Attack::new(
        "lanes-taken",
        Callers,
        "an endless call for each lane of the node",
        4,
        lanes::taken,
    ),
    Attack::new(
        "lanes-waiting",
        Callers,
        "5,000 calls that wait for a timer, each in a lane of its own",
        5_000,
        lanes::waiting,
    )
    .within(LANES_TAKEN),
    Attack::new(
        "kernels-endless",
        Callers,
        "64 kernels without an end at a time, each until its deadline of half a second",
        100_000,
        kernels::endless,
    ),
    Attack::new(
        "kernels-huge",
        Callers,
        "64 kernels at a time whose loops end after years, 100 of them in each other, each until its deadline of half a second",
        100_000,
        kernels::huge,
    ),
    Attack::new(
        "kernels-recursive",
        Callers,
        "kernels that call themselves without an end",
        100_000,
        kernels::recursive,
    ),
    Attack::new(
        "kernels-made",
        Callers,
        "calls that make a kernel each, of which a script has 1,024 at the most",
        10_000,
        kernels::made,
    ),
    Attack::new(
        "kernels-large",
        Callers,
        "calls that make a kernel of a megabyte of text",
        1_000,
        kernels::large,
    ),
    Attack::new(
        "kernels-cancelled",
        Callers,
        "calls that make an endless kernel and run it, cancelled wherever they are",
        100_000,
        kernels::cancelled,
    ),
    Attack::new(
        "queue-refusals",
        Callers,
        "calls of a function with a queue of 1, refused while 4,000 others wait",
        20_000,
        lanes::refusals,
    )
    .within(Bounds::MEMORY_ALONE),
    Attack::new(
        "statistics",
        Callers,
        "10,000 times a second, the statistics",
        100_000,
        logs::statistics,
    )
    .per_second(10_000),
    Attack::new(
        "statistics-unread",
        Callers,
        "the same, by a client that reads nothing",
        100_000,
        logs::statistics_unread,
    )
    .per_second(10_000),
    Attack::new(
        "functions-orchestrator",
        Callers,
        "10,000 times a second, what can be called, which an orchestrator asks its nodes",
        100_000,
        logs::functions,
    )
    .per_second(10_000)
    .at(Setting::Orchestrator),
    Attack::new(
        "functions-argument-orchestrator",
        Callers,
        "1,000 times a second, the same with an argument of 60 KB each, which is to go no further",
        10_000,
        logs::functions_with_argument,
    )
    .per_second(1_000)
    .at(Setting::Orchestrator),
    Attack::new(
        "functions-many",
        Callers,
        "as often as goes, what can be called at a node with 2,000 functions",
        100_000,
        logs::functions,
    )
    .beside(2_000),
    Attack::new(
        "functions-many-orchestrator",
        Callers,
        "the same through an orchestrator",
        100_000,
        logs::functions,
    )
    .beside(2_000)
    .at(Setting::Orchestrator),
    Attack::new(
        "functions-many-unread",
        Callers,
        "the same at a node, by a client that reads nothing",
        100_000,
        logs::functions_unread,
    )
    .beside(2_000),
    Attack::new(
        "streams-tiny",
        Callers,
        "calls of a few bytes, each on a stream of its own",
        1_000_000,
        streams::tiny,
    ),
    Attack::new(
        "streams-reset",
        Callers,
        "streams that are begun and reset",
        1_000_000,
        streams::reset,
    ),
    Attack::new(
        "replies-stopped",
        Callers,
        "large replies of which each is refused as it comes",
        100_000,
        streams::stopped,
    ),
    Attack::new(
        "bytes-scattered",
        Callers,
        "stream frames of a byte each, nowhere side by side",
        4_000_000,
        crafted::scattered,
    ),
    Attack::new(
        "control-frames",
        Callers,
        "path challenges and new connection IDs, 40 in each packet, none of whose answers is acknowledged",
        100_000,
        crafted::control_frames,
    ),
];
