//! Numbers as people read them, and what a server says of itself in a line.

use madrpc_core::stats::Snapshot;

/// Microseconds, to three digits.
pub(super) fn latency(us: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let us = us as f64;
    match us {
        ..999.5 => format!("{us:.0} µs"),
        ..9_995.0 => format!("{:.2} ms", us / 1e3),
        ..99_950.0 => format!("{:.1} ms", us / 1e3),
        ..999_500.0 => format!("{:.0} ms", us / 1e3),
        ..9_995_000.0 => format!("{:.2} s", us / 1e6),
        ..99_950_000.0 => format!("{:.1} s", us / 1e6),
        _ => format!("{:.0} s", us / 1e6),
    }
}

/// Something for each second; a decimal where there are few.
pub(super) fn rate(each_second: f64) -> String {
    match each_second {
        0.0 => "0".to_owned(),
        ..99.95 => format!("{each_second:.1}"),
        _ => format!("{each_second:.0}"),
    }
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

/// Who the server is and how it does.
pub(super) fn server(snapshot: &Snapshot) -> String {
    let mut text = format!(
        "{} {}   up {}   {}   {}",
        snapshot.role,
        snapshot.name,
        uptime(snapshot.uptime_ms),
        plural(u64::from(snapshot.shards), "shard"),
        plural(snapshot.sessions, "session")
    );
    if snapshot.misrouted > 0 {
        text += &format!(
            "   {} at the wrong shard",
            plural(snapshot.misrouted, "datagram")
        );
    }
    text
}

/// What is wrong with its shards, if anything.
pub(super) fn silent(snapshot: &Snapshot) -> Option<String> {
    let silent = u64::from(snapshot.silent_shards);
    (silent > 0).then(|| {
        format!(
            "{} did not answer: counts are missing",
            plural(silent, "shard")
        )
    })
}

/// The nodes of an orchestrator: how many can be reached, and which cannot, or not by every shard.
pub(super) fn upstreams(snapshot: &Snapshot) -> Option<String> {
    let nodes = &snapshot.upstreams;
    if nodes.is_empty() {
        return None;
    }
    // Silent shards said nothing of their sessions.
    let answering = snapshot.shards - snapshot.silent_shards.min(snapshot.shards);
    let up = nodes.iter().filter(|(_, shards)| *shards > 0).count();
    let mut text = format!("nodes: {up} of {} up", nodes.len());
    for (node, shards) in nodes {
        match *shards {
            0 => text += &format!("   {node} down"),
            shards if shards < answering => {
                text += &format!("   {node} for {shards} of {answering} shards")
            }
            _ => {}
        }
    }
    Some(text)
}

fn plural(count: u64, noun: &str) -> String {
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
    fn three_digits_and_a_unit() {
        for (us, text) in [
            (0, "0 µs"),
            (999, "999 µs"),
            (1_000, "1.00 ms"),
            (9_999, "10.0 ms"),
            (123_456, "123 ms"),
            (999_900, "1.00 s"),
            (600_000_000, "600 s"),
        ] {
            assert_eq!(latency(us), text);
        }
        assert_eq!([rate(0.0), rate(0.5), rate(123.4)], ["0", "0.5", "123"]);
        assert_eq!(uptime(3_723_999), "01:02:03");
        assert_eq!(uptime(90_000_000), "1d 01:00:00");
    }

    #[test]
    fn a_server_says_what_is_wrong_with_it() {
        let mut here = snapshot(61_000, vec![]);
        assert_eq!(
            server(&here),
            "orchestrator here:8080   up 00:01:01   2 shards   3 sessions"
        );
        assert_eq!(upstreams(&here).unwrap(), "nodes: 1 of 2 up   b:1 down");
        assert_eq!(silent(&here), None);
        here.upstreams[1].1 = 1;
        assert_eq!(
            upstreams(&here).unwrap(),
            "nodes: 2 of 2 up   b:1 for 1 of 2 shards"
        );
        (here.silent_shards, here.misrouted, here.sessions) = (1, 4, 1);
        assert!(server(&here).ends_with("1 session   4 datagrams at the wrong shard"));
        assert_eq!(
            silent(&here).unwrap(),
            "1 shard did not answer: counts are missing"
        );
        here.upstreams.clear();
        assert_eq!(upstreams(&here), None);
    }
}
