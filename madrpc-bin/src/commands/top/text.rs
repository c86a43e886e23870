//! Numbers as people read them, and what a server says of itself in a line.

use crate::output::printable;
use madrpc_core::stats::Snapshot;
use ratatui::text::Span;

/// Something for each second; a decimal where there are few.
pub(super) fn rate(each_second: f64) -> String {
    match each_second {
        0.0 => "0".to_owned(),
        ..99.95 => format!("{each_second:.1}"),
        _ => format!("{each_second:.0}"),
    }
}

/// A share as a percentage: of a core, or of a memory.
pub(super) fn share(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// A time of hours or days.
pub(super) fn uptime(ms: u64) -> String {
    let seconds = ms / 1000;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let clock = format!("{hours:02}:{minutes:02}:{:02}", seconds % 60);
    match days {
        0 => clock,
        _ => format!("{days}d {clock}"),
    }
}

/// Who the server is and how it does, in a few parts.
pub(super) fn server(snapshot: &Snapshot) -> Vec<String> {
    let mut parts = identity(snapshot);
    parts.extend(events(snapshot));
    if snapshot.memory_max_bytes > 0 {
        parts.push(memory(snapshot));
    }
    parts.extend(stalls(snapshot));
    parts
}

/// Who the server is.
pub(super) fn identity(snapshot: &Snapshot) -> Vec<String> {
    vec![
        format!("{} {}", snapshot.role, snapshot.name),
        format!("up {}", uptime(snapshot.uptime_ms)),
        plural(u64::from(snapshot.shards), "shard"),
        plural(snapshot.sessions, "session"),
    ]
}

/// What the bytes are that it holds.
pub(super) fn memory(snapshot: &Snapshot) -> String {
    let [used, max] = [snapshot.memory_used_bytes, snapshot.memory_max_bytes].map(mebibytes);
    format!("holds {used} of {max} MiB")
}

/// How often its cores were stuck, and by whom, if they were.
pub(super) fn stalls(snapshot: &Snapshot) -> Option<String> {
    let counts = snapshot.stalls.iter().map(|(_, count)| *count);
    let stalls = plural(counts.fold(0, u64::saturating_add), "stall");
    let holders = snapshot.stalls.iter().map(|(name, _)| name.as_str());
    let holders: Vec<&str> = holders.collect();
    (!holders.is_empty()).then(|| format!("{stalls} of a core by {}", holders.join(", ")))
}

/// What does not happen to sessions and datagrams where all is well, as far as it has.
pub(super) fn events(snapshot: &Snapshot) -> Vec<String> {
    let mut parts = Vec::new();
    if snapshot.misrouted > 0 {
        let misrouted = plural(snapshot.misrouted, "datagram");
        parts.push(match (snapshot.relayed, snapshot.relay_dropped) {
            (relayed, 0) => format!("{misrouted} at the wrong shard, {relayed} relayed"),
            (relayed, dropped) => {
                format!("{misrouted} at the wrong shard, {relayed} relayed and {dropped} dropped")
            }
        });
    }
    if snapshot.migrations > 0 {
        let changes = match snapshot.migrations {
            1 => "1 change".to_owned(),
            many => format!("{many} changes"),
        };
        parts.push(format!("{changes} of address"));
    }
    if snapshot.retries > 0 {
        parts.push(match snapshot.retries {
            1 => "1 Retry sent".to_owned(),
            many => format!("{many} Retries sent"),
        });
    }
    if snapshot.resets > 0 {
        parts.push(format!(
            "{} reset",
            plural(snapshot.resets, "unknown session")
        ));
    }
    parts
}

/// Rounded up: what is held is not nothing.
fn mebibytes(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// What is wrong with its shards, if anything.
pub(super) fn silent(snapshot: &Snapshot) -> Option<String> {
    let silent = u64::from(snapshot.silent_shards);
    let shards = plural(silent, "shard");
    (silent > 0).then(|| format!("{shards} did not answer: counts are missing"))
}

/// The nodes of an orchestrator: how many can be reached, and which cannot, or not by every shard. Empty for a node.
pub(super) fn upstreams(snapshot: &Snapshot) -> Vec<String> {
    let nodes = &snapshot.upstreams;
    if nodes.is_empty() {
        return Vec::new();
    }
    // Silent shards said nothing of their sessions.
    let answering = snapshot.shards.saturating_sub(snapshot.silent_shards);
    let up = nodes.iter().filter(|one| one.connected_shards > 0).count();
    let troubled = nodes.iter().filter_map(|one| {
        let node = &one.node;
        match one.connected_shards {
            0 => Some(format!("{node} down")),
            shards if shards < answering => {
                Some(format!("{node} for {shards} of {answering} shards"))
            }
            _ => None,
        }
    });
    let all = format!("nodes: {up} of {} up", nodes.len());
    std::iter::once(all).chain(troubled).collect()
}

/// Parts, one after the other in as few lines as they fit in; a part wider than that has a line of its own.
pub(super) fn flow(parts: &[String], separator: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for part in parts {
        let part = printable(part);
        let cells = |text: &str| Span::raw(text).width();
        match lines.last_mut() {
            Some(line) if cells(line) + cells(separator) + cells(&part) <= width => {
                *line += separator;
                line.push_str(&part);
            }
            _ => lines.push(part.into_owned()),
        }
    }
    lines
}

pub(super) fn plural(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::snapshot;
    use super::*;

    #[test]
    fn rates_and_times_are_short() {
        assert_eq!([rate(0.0), rate(0.5), rate(123.4)], ["0", "0.5", "123"]);
        assert_eq!(uptime(3_723_999), "01:02:03");
        assert_eq!(uptime(90_000_000), "1d 01:00:00");
    }

    #[test]
    fn a_server_says_what_is_wrong_with_it() {
        let mut here = snapshot(61_000, vec![]);
        let expected = [
            "orchestrator here:8080",
            "up 00:01:01",
            "2 shards",
            "3 sessions",
        ];
        assert_eq!(server(&here), expected);
        assert_eq!(upstreams(&here), ["nodes: 1 of 2 up", "b:1 down"]);
        assert_eq!(silent(&here), None);
        here.upstreams[1].connected_shards = 1;
        assert_eq!(
            upstreams(&here),
            ["nodes: 2 of 2 up", "b:1 for 1 of 2 shards"]
        );
        (here.silent_shards, here.misrouted, here.sessions) = (1, 4, 1);
        (here.relayed, here.migrations, here.retries) = (4, 2, 1);
        let expected = [
            "1 session",
            "4 datagrams at the wrong shard, 4 relayed",
            "2 changes of address",
            "1 Retry sent",
        ];
        assert_eq!(server(&here)[3..], expected);
        (here.relayed, here.relay_dropped) = (3, 1);
        assert_eq!(
            server(&here)[4],
            "4 datagrams at the wrong shard, 3 relayed and 1 dropped"
        );
        (here.memory_used_bytes, here.memory_max_bytes) = (5 << 20 | 1, 1 << 30);
        assert_eq!(server(&here)[7], "holds 6 of 1024 MiB");
        let text = silent(&here).unwrap();
        assert_eq!(text, "1 shard did not answer: counts are missing");
        // The one shard that answers has a session to each.
        assert_eq!(upstreams(&here), ["nodes: 2 of 2 up"]);
        here.upstreams.clear();
        assert!(upstreams(&here).is_empty());
    }

    #[test]
    fn parts_flow_into_lines() {
        let parts = ["one", "two", "much longer", "x"].map(str::to_owned);
        assert_eq!(flow(&parts, "  ", 8), ["one  two", "much longer", "x"]);
        assert_eq!(flow(&parts, "  ", 7), ["one", "two", "much longer", "x"]);
        assert_eq!(flow(&parts, "  ", 100), ["one  two  much longer  x"]);
        let odd = ["a\u{1b}[2J".to_owned(), "\u{202e}b".to_owned()];
        assert_eq!(flow(&odd, " ", 100), [r"a\u{1b}[2J \u{202e}b"]);
    }
}
