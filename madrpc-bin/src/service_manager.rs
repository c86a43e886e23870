//! What the service manager is told (sd_notify(3)): that a server is ready, how it does, and that all its shards answer.
//!
//! Without one, nothing is told and nothing is asked. The watchdog is fed by the shards' heartbeat alone: a process whose
//! main thread still runs while a shard is dead is not alive.

use crate::output::printable;
use madrpc_core::stats::{Latency, Snapshot};
use madrpc_shard::server::Server;
use madrpc_shard::server::heartbeat::{Heartbeat, Pulse};
use sd_notify::NotifyState;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tracing::warn;

/// The time between two heartbeats, unless the watchdog wants them faster.
const BEAT: Duration = Duration::from_secs(5);

/// The shortest time between two heartbeats, whatever the watchdog says: they take a snapshot of every shard.
const BEAT_MIN: Duration = Duration::from_millis(10);

/// Heartbeats within the watchdog's time. One that fails may be followed by others that do not.
const BEATS_PER_WATCHDOG: u32 = 4;

/// What is told of one time. systemd drops a message of 4 KiB (PIPE_BUF) whole, and READY=1 with it.
const STATUS_MAX_BYTES: usize = 1024;

/// The variable that names the service manager's socket.
const SOCKET: &str = "NOTIFY_SOCKET";

/// How long the service manager may keep us waiting: a full socket must hold up no signal and no heartbeat.
const SEND_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a server may take to end after the calls have had their time.
const LEAVING: Duration = Duration::from_secs(10);

/// No more calls are taken: what is said of this process begins with that.
static DRAINS: AtomicBool = AtomicBool::new(false);

/// It serves.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&fitting(status))]);
}

/// It reads certificates and script anew; until [`ready`].
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// It takes no new calls and is about to end, within this time.
pub(crate) fn stopping(status: &str, within: Duration) {
    DRAINS.store(true, Ordering::Relaxed);
    // The unit's TimeoutStopSec= knows nothing of what the settings grant. An hour and more is for the unit to say.
    let within = u32::try_from(within.saturating_add(LEAVING).as_micros()).unwrap_or(u32::MAX);
    tell(&[
        NotifyState::Stopping,
        NotifyState::ExtendTimeoutUsec(within),
        NotifyState::Status(&fitting(status)),
    ]);
}

/// It ends, and this is why.
pub(crate) fn failed(status: &str) {
    tell(&[NotifyState::Status(&fitting(status))]);
}

/// Tells how `server` does from now on, and that it is alive while every shard answers or has a reason not to.
pub(crate) fn watch(server: &Server, stall_limit: Duration) {
    if std::env::var_os(SOCKET).is_none_or(|socket| socket.is_empty()) {
        return;
    }
    let watchdog = watchdog();
    let every = watchdog.map_or(BEAT, |time| {
        (time / BEATS_PER_WATCHDOG).clamp(BEAT_MIN, BEAT)
    });
    let mut last = Last::default();
    server.watch(Heartbeat {
        every,
        stall_limit,
        tell: Box::new(move |pulse| {
            let status = fitting(&last.describe(pulse, Instant::now()));
            if watchdog.is_some() && !pulse.is_alive() {
                warn!("a shard is dead, and the watchdog is not fed: {status}");
                tell(&[NotifyState::Status(&status)]);
            } else {
                tell(&[NotifyState::Status(&status), NotifyState::Watchdog]);
            }
        }),
    });
}

/// The status as one line that is not too long: names in it are those of scripts, and a line's end would begin a message of
/// its own.
fn fitting(status: &str) -> String {
    let status = printable(status);
    match status.len() > STATUS_MAX_BYTES {
        true => format!(
            "{}...",
            &status[..status.floor_char_boundary(STATUS_MAX_BYTES)]
        ),
        false => status.into_owned(),
    }
}

/// Whether it has been said that nobody can be told.
static IS_DEAF: AtomicBool = AtomicBool::new(false);

fn tell(state: &[NotifyState<'_>]) {
    let Some(socket) = std::env::var_os(SOCKET).filter(|socket| !socket.is_empty()) else {
        return;
    };
    // Nobody but the service manager would miss it; but it will end a server that never says that it is ready.
    if let Err(error) = send(&socket, state)
        && !IS_DEAF.swap(true, Ordering::Relaxed)
    {
        let socket = socket.display();
        warn!("the service manager cannot be told anything: {SOCKET}={socket}: {error}");
    }
}

/// Sends one datagram to the service manager's socket: a path, or a name in the abstract namespace behind `@`.
fn send(socket: &OsStr, state: &[NotifyState<'_>]) -> io::Result<()> {
    let address = match socket.as_bytes() {
        [b'/', ..] => SocketAddr::from_pathname(socket)?,
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        _ => {
            let why = "neither a path from the root on nor @ and a name";
            return Err(io::Error::new(ErrorKind::InvalidInput, why));
        }
    };
    let lines: Vec<String> = state.iter().map(ToString::to_string).collect();
    let datagram = UnixDatagram::unbound()?;
    datagram.set_write_timeout(Some(SEND_TIMEOUT))?;
    datagram.send_to_addr(lines.join("\n").as_bytes(), &address)?;
    Ok(())
}

/// How often the watchdog wants to be fed; `None`: there is none. No time, and all of time, are the same as none.
fn watchdog() -> Option<Duration> {
    let time = sd_notify::watchdog_enabled()?;
    (!time.is_zero() && time < Duration::from_micros(u64::MAX)).then_some(time)
}

/// What the heartbeat before this one counted.
#[derive(Default)]
struct Last {
    at: Option<Instant>,
    rows: HashMap<(String, String), madrpc_core::stats::Row>,
}

impl Last {
    /// In one line, what has been done since the last time, and what is wrong.
    fn describe(&mut self, pulse: &Pulse, now: Instant) -> String {
        let snapshot = &pulse.snapshot;
        let mut parts = Vec::new();
        // Without the counts of a shard there is no difference to be had.
        if pulse.silent.is_empty() {
            parts.extend(self.figures(snapshot, now));
        }
        parts.push(format!("{} sessions", snapshot.sessions));
        if !snapshot.upstreams.is_empty() {
            let up = snapshot.upstreams.iter();
            let up = up.filter(|upstream| upstream.connected_shards > 0);
            let (up, all) = (up.count(), snapshot.upstreams.len());
            parts.push(format!("{up} of {all} nodes connected"));
        }
        parts.extend(pulse.silent.iter().map(ToString::to_string));
        let stage = match DRAINS.load(Ordering::Relaxed) {
            true => "draining: ",
            false => "",
        };
        format!("{stage}{}", parts.join(", "))
    }

    fn figures(&mut self, snapshot: &Snapshot, now: Instant) -> Vec<String> {
        let (calls, errors, latency) = self.since(snapshot);
        let seconds = self
            .at
            .replace(now)
            .map_or(0.0, |at| now.duration_since(at).as_secs_f64());
        let rate = match seconds > 0.0 {
            true => calls as f64 / seconds,
            false => 0.0,
        };
        let mut figures = vec![format!("{rate:.0} calls/s"), format!("{errors} errors")];
        if latency.count() > 0 {
            figures.push(format!("p99 {} us", latency.quantile_us(0.99)));
        }
        figures
    }

    /// Calls, errors and latencies since the last time.
    fn since(&mut self, snapshot: &Snapshot) -> (u64, u64, Latency) {
        let (mut calls, mut errors, mut latency) = (0, 0, Latency::default());
        for row in &snapshot.rows {
            let key = (row.node.clone(), row.function.clone());
            let new = match self.rows.get(&key) {
                Some(earlier) => row.since(earlier),
                None => row.clone(),
            };
            calls += new.calls;
            errors += new.errors.iter().map(|(_, count)| count).sum::<u64>();
            latency.add_buckets(&new.latency_us);
            self.rows.insert(key, row.clone());
        }
        (calls, errors, latency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madrpc_core::stats::Row;
    use madrpc_core::stats::Upstream;
    use madrpc_shard::server::heartbeat::Silent;

    fn pulse(calls: u64) -> Pulse {
        let row = Row {
            node: "n".into(),
            function: "f".into(),
            calls,
            errors: vec![("JavaScript".into(), calls / 10)],
            latency_us: vec![(100, calls)],
            latency_sum_us: 0,
            cpu_us: 0,
        };
        Pulse {
            snapshot: Snapshot {
                sessions: 3,
                rows: vec![row],
                ..Snapshot::default()
            },
            silent: Vec::new(),
        }
    }

    #[test]
    fn the_status_is_of_the_time_since_the_last_one() {
        let (mut last, start) = (Last::default(), Instant::now());
        last.describe(&pulse(1000), start);
        let later = start + Duration::from_secs(5);
        let told = last.describe(&pulse(1500), later);
        assert_eq!(told, "100 calls/s, 50 errors, p99 103 us, 3 sessions");
        let told = last.describe(&pulse(1500), later + Duration::from_secs(5));
        assert_eq!(told, "0 calls/s, 0 errors, 3 sessions");
    }

    #[test]
    fn a_status_is_one_line_and_not_too_long() {
        assert_eq!(fitting("a\nSTOPPING=1"), r"a\nSTOPPING=1");
        let long = fitting(&"äb".repeat(1000));
        assert!(
            long.len() <= STATUS_MAX_BYTES + 3 && long.ends_with("..."),
            "{long}"
        );
    }

    #[test]
    fn a_socket_has_a_path_or_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("madrpc test {}", std::process::id());
        let named = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let listeners = [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (
                UnixDatagram::bind_addr(&named).unwrap(),
                format!("@{name}").into(),
            ),
        ];
        for (listener, socket) in listeners {
            send(&socket, &[NotifyState::Ready, NotifyState::Status("good")]).unwrap();
            let mut heard = [0; 100];
            let length = listener.recv(&mut heard).unwrap();
            assert_eq!(&heard[..length], b"READY=1\nSTATUS=good");
            // One that does not listen keeps nobody waiting for ever.
            while send(&socket, &[NotifyState::Ready]).is_ok() {}
        }
        for socket in ["notify", "vsock:2:1", "/nowhere/at/all"] {
            assert!(
                send(OsStr::new(socket), &[NotifyState::Ready]).is_err(),
                "{socket}"
            );
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        let mut pulse = pulse(0);
        pulse.snapshot.upstreams = [("a:1", 2), ("b:2", 0)]
            .map(|(node, connected_shards)| Upstream {
                node: node.into(),
                connected_shards,
                ..Upstream::default()
            })
            .into();
        pulse.silent.push(Silent {
            shard: 1,
            holder: Some("sort".into()),
            lasting: Duration::from_secs(12),
            is_dead: false,
        });
        let told = Last::default().describe(&pulse, Instant::now());
        let expected = "3 sessions, 1 of 2 nodes connected, shard 1: held by `sort` for 12 s";
        assert_eq!(told, expected);
        assert!(pulse.is_alive());
    }
}
