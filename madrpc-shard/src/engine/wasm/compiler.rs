//! The thread that compiles modules, of which there is one in the process. It is beside the shards, and where the cores are taken it
//! comes after them.
//!
//! It keeps what it has compiled last, by the digest of the bytes: a module that every lane of every shard loads is compiled once.
//! It is told of modules over a channel, and answers where the lane looks. The lane has the bytes: what nobody waits for any more is
//! left out, and takes no memory meanwhile.

use super::limits::{CACHED_MAX, CACHED_MAX_BYTES};
use super::module::{Compiled, is_valid};
use crate::runtime::{cpus, helpers, priority};
use bytes::Bytes;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;

/// The compiler goes deep into what is nested.
const STACK_BYTES: usize = 8 << 20;

/// Calls wait for it: it comes after the shards, and before HTTP.
const NICENESS: i32 = 5;

type Digest = [u8; 32];

/// What a lane waits for: something of these bytes, or words that say why there is none.
pub(super) struct Asked<T> {
    bytes: Bytes,
    answer: OnceLock<Result<T, String>>,
}

impl<T> Asked<T> {
    fn new(bytes: Bytes) -> Arc<Self> {
        let answer = OnceLock::new();
        Arc::new(Self { bytes, answer })
    }

    /// `None` before.
    pub(super) fn answer(&self) -> Option<&Result<T, String>> {
        self.answer.get()
    }

    /// What is answered first holds.
    fn set(&self, answer: Result<T, String>) {
        let _ = self.answer.set(answer);
    }
}

enum Task {
    Compile(Weak<Asked<Arc<Compiled>>>),
    Validate(Weak<Asked<bool>>),
}

/// Has a module compiled.
pub(super) fn compile(bytes: Bytes) -> Arc<Asked<Arc<Compiled>>> {
    let asked = Asked::new(bytes);
    ask(Task::Compile(Arc::downgrade(&asked)));
    asked
}

/// Has it looked whether this is a module.
pub(super) fn validate(bytes: Bytes) -> Arc<Asked<bool>> {
    let asked = Asked::new(bytes);
    ask(Task::Validate(Arc::downgrade(&asked)));
    asked
}

fn ask(task: Task) {
    match tasks() {
        None => task.fail("the system gives no thread to compile modules now"),
        Some(tasks) => {
            if let Err(unsent) = tasks.send(task) {
                unsent.0.fail("the compiler has ended");
            }
        }
    }
}

fn tasks() -> Option<&'static Sender<Task>> {
    static TASKS: OnceLock<Sender<Task>> = OnceLock::new();
    if TASKS.get().is_none() {
        let (tasks, news) = channel();
        let compiler = thread::Builder::new()
            .name("wasm".into())
            .stack_size(STACK_BYTES);
        helpers::start(compiler, move || work(&news))?;
        // Where another shard was first, this thread ends at once.
        let _ = TASKS.set(tasks);
    }
    TASKS.get()
}

fn work(tasks: &Receiver<Task>) {
    // A shard may have started it, which has a core of its own.
    cpus::unpin();
    priority::lower(NICENESS);
    let mut cache = Cache::default();
    for task in tasks {
        // A fault of the compiler's must not leave lanes waiting, of this module or of others.
        if catch_unwind(AssertUnwindSafe(|| task.work(&mut cache))).is_err() {
            task.fail("the compiler has failed");
        }
    }
}

impl Task {
    fn work(&self, cache: &mut Cache) {
        match self {
            Self::Compile(asked) => {
                if let Some(asked) = asked.upgrade() {
                    asked.set(cache.compile(&asked.bytes));
                }
            }
            Self::Validate(asked) => {
                if let Some(asked) = asked.upgrade() {
                    asked.set(Ok(is_valid(&asked.bytes)));
                }
            }
        }
    }

    fn fail(&self, words: &str) {
        let failed = words.to_owned();
        match self {
            Self::Compile(asked) => drop(asked.upgrade().map(|asked| asked.set(Err(failed)))),
            Self::Validate(asked) => drop(asked.upgrade().map(|asked| asked.set(Err(failed)))),
        }
    }
}

/// The modules that were compiled last.
#[derive(Default)]
struct Cache {
    modules: HashMap<Digest, Cached>,
    bytes: usize,
    uses: u64,
}

struct Cached {
    module: Arc<Compiled>,
    used: u64,
}

impl Cache {
    fn compile(&mut self, bytes: &[u8]) -> Result<Arc<Compiled>, String> {
        let digest = boring::sha::sha256(bytes);
        self.uses += 1;
        if let Some(cached) = self.modules.get_mut(&digest) {
            cached.used = self.uses;
            return Ok(Arc::clone(&cached.module));
        }
        let module = Arc::new(Compiled::new(bytes)?);
        self.bytes += module.bytes();
        let cached = Cached {
            module: Arc::clone(&module),
            used: self.uses,
        };
        self.modules.insert(digest, cached);
        while self.modules.len() > CACHED_MAX || self.bytes > CACHED_MAX_BYTES {
            self.drop_oldest();
        }
        Ok(module)
    }

    fn drop_oldest(&mut self) {
        let oldest = self.modules.iter().min_by_key(|(_, cached)| cached.used);
        let Some(digest) = oldest.map(|(digest, _)| *digest) else {
            return;
        };
        if let Some(cached) = self.modules.remove(&digest) {
            self.bytes -= cached.module.bytes();
        }
    }
}
