//! A group of shards: threads pinned to cores, started together and stopped together.
//!
//! There are never loose shards: a group has started when every shard serves, and a shard that dies takes the process
//! with it, as the kernel would go on sending it datagrams.

use core_affinity::CoreId;
use glommio::{LocalExecutorBuilder, Placement};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Why a group did not start.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The system gives no thread.
    #[error("shard {0}: its thread cannot be started: {1}")]
    Thread(usize, std::io::Error),
    /// The thread cannot have its core.
    #[error("shard {0}: cannot be pinned to core {1}")]
    Core(usize, usize),
    /// The executor cannot be made.
    #[error("shard {0}: its executor cannot be started: {1}")]
    Executor(usize, String),
    /// It ended without a word.
    #[error("a shard ended before it served")]
    Ended,
    /// What it has to run cannot run.
    #[error(transparent)]
    Body(Box<dyn std::error::Error + Send + Sync>),
}

/// Running shards.
pub(crate) struct ShardGroup {
    threads: Vec<JoinHandle<()>>,
    /// Disconnected once every shard has ended.
    alive: Receiver<()>,
}

/// What a shard's body tells the group's starter.
pub(crate) struct Starting(Sender<Result<(), GroupError>>);

impl Starting {
    /// This shard serves.
    pub(crate) fn ready(self) {
        // The starter has gone only where another shard has failed.
        let _ = self.0.send(Ok(()));
    }

    /// This shard cannot be started.
    pub(crate) fn failed(self, why: impl std::error::Error + Send + Sync + 'static) {
        self.fail(GroupError::Body(Box::new(why)));
    }

    fn fail(self, why: GroupError) {
        let _ = self.0.send(Err(why));
    }
}

impl ShardGroup {
    /// Starts a thread with an executor for each of `cores`, each with a body of its own, and waits until all serve. The threads'
    /// names begin with that of the server, where there are several in the process: `orchestrator 0`, as Linux shows 15 bytes.
    ///
    /// # Errors
    /// What the first shard to fail said. The bodies of the others end when the caller drops what they wait on.
    pub(crate) fn start<B>(
        server: Option<&str>,
        cores: &[CoreId],
        bodies: Vec<B>,
    ) -> Result<Self, GroupError>
    where
        B: FnOnce(Starting) + Send + 'static,
    {
        let (starting, started) = channel();
        let (living, alive) = channel::<()>();
        let mut threads = Vec::new();
        for (shard, (&core, body)) in cores.iter().zip(bodies).enumerate() {
            let starting = Starting(starting.clone());
            let living = living.clone();
            let thread = std::thread::Builder::new()
                .name(match server {
                    Some(server) => format!("{server} {shard}"),
                    None => format!("shard-{shard}"),
                })
                .spawn(move || {
                    let _living = living;
                    run_pinned(shard, core, starting, body);
                });
            threads.push(thread.map_err(|error| GroupError::Thread(shard, error))?);
        }
        drop(starting);
        for _ in cores {
            started.recv().unwrap_or(Err(GroupError::Ended))?;
        }
        Ok(Self { threads, alive })
    }

    /// Waits until every shard has ended, at most until `deadline`; says whether they have.
    pub(crate) fn wait(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        // Nothing is ever sent: it ends by the time, or by the last shard.
        let ended = self.alive.recv_timeout(left.max(Duration::from_millis(1)));
        matches!(ended, Err(std::sync::mpsc::RecvTimeoutError::Disconnected))
    }

    /// Waits until every shard has ended.
    pub(crate) fn join(self) {
        for thread in self.threads {
            // A panic never gets here: it ends the process.
            let _ = thread.join();
        }
    }
}

fn run_pinned(shard: usize, core: CoreId, starting: Starting, body: impl FnOnce(Starting)) {
    if !core_affinity::set_for_current(core) {
        return starting.fail(GroupError::Core(shard, core.id));
    }
    // Pinned already: glommio's own placement would ignore the process' CPU mask.
    let executor = LocalExecutorBuilder::new(Placement::Unbound).make();
    let executor = match executor {
        Ok(executor) => executor,
        Err(error) => {
            return starting.fail(GroupError::Executor(shard, error.to_string()));
        }
    };
    let ran = catch_unwind(AssertUnwindSafe(|| executor.run(async { body(starting) })));
    if ran.is_err() {
        tracing::error!(
            "shard {shard} has panicked; a process that lacks a shard would lose calls, so it ends"
        );
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::ExitStatusExt;

    fn cores(count: usize) -> Vec<CoreId> {
        let all = core_affinity::get_core_ids().unwrap();
        all.iter().copied().cycle().take(count).collect()
    }

    #[test]
    fn shards_run_on_their_cores_and_end_together() {
        let (seen, pinned) = channel();
        let body = move |starting: Starting| {
            seen.send(core_affinity::get_core_ids().unwrap()).unwrap();
            starting.ready();
        };
        let cores = cores(2);
        let group = ShardGroup::start(None, &cores, vec![body.clone(), body]).unwrap();
        assert!(group.wait(Instant::now() + Duration::from_secs(10)));
        group.join();
        let mut pinned: Vec<_> = [pinned.recv().unwrap(), pinned.recv().unwrap()].concat();
        pinned.sort();
        assert_eq!(pinned, cores);
    }

    #[test]
    fn the_system_knows_the_threads_by_their_whole_names() {
        let (names, told) = channel();
        let body = move |starting: Starting| {
            let known = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
            names.send(known).unwrap();
            starting.ready();
        };
        let count = 11;
        let bodies = vec![body; count];
        let group = ShardGroup::start(Some("orchestrator"), &cores(count), bodies).unwrap();
        group.join();
        let mut told: Vec<_> = told.try_iter().collect();
        told.sort();
        told.dedup();
        assert_eq!(told.len(), count, "{told:?}");
    }

    #[test]
    fn a_shard_that_cannot_start_fails_the_group() {
        let body = |starting: Starting| starting.failed(std::io::Error::other("no luck"));
        let failed = ShardGroup::start(None, &cores(1), vec![body]).err();
        assert_eq!(
            failed.map(|error| error.to_string()),
            Some("no luck".into())
        );
    }

    #[test]
    fn a_panic_in_a_shard_ends_the_process() {
        const CHILD: &str = "MADRPC_TEST_PANICKING_CHILD";
        if std::env::var_os(CHILD).is_some() {
            let body = |starting: Starting| {
                starting.ready();
                panic!("on purpose");
            };
            let group = ShardGroup::start(None, &cores(1), vec![body]).unwrap();
            group.wait(Instant::now() + Duration::from_secs(30));
            std::process::exit(0);
        }
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "runtime::shard_group::tests::a_panic_in_a_shard_ends_the_process",
                "--nocapture",
            ])
            .env(CHILD, "1")
            .output()
            .unwrap();
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{output:?}");
        let said =
            String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("on purpose"), "{said}");
    }
}
