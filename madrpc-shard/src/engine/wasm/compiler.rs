//! The thread that compiles modules, in which no shard serves anybody less. There is one in the process.
//!
//! It keeps what it has compiled last, by the digest of the bytes: a module that every lane of every shard loads is compiled once.
//! It is told of modules over a channel, and says that it is done by filling the place where the lane looks.

use super::limits::{CACHED_MAX, CACHED_MAX_BYTES};
use super::module::{Compiled, is_valid};
use crate::runtime::{cpus, helpers};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread;

/// The compiler goes deep into what is nested.
const STACK_BYTES: usize = 8 << 20;

type Digest = [u8; 32];

/// What has come of a module.
pub(super) type Answer = Result<Arc<Compiled>, String>;

/// Where the compiler leaves it.
pub(super) type Place<T> = Arc<OnceLock<T>>;

enum Task {
    Compile(Vec<u8>, Place<Answer>),
    Validate(Vec<u8>, Place<bool>),
}

/// Has a module compiled.
pub(super) fn compile(bytes: Vec<u8>) -> Place<Answer> {
    let place = Place::default();
    ask(Task::Compile(bytes, Arc::clone(&place)));
    place
}

/// Has it looked whether this is a module.
pub(super) fn validate(bytes: Vec<u8>) -> Place<bool> {
    let place = Place::default();
    ask(Task::Validate(bytes, Arc::clone(&place)));
    place
}

fn ask(task: Task) {
    static TASKS: OnceLock<Option<Sender<Task>>> = OnceLock::new();
    let tasks = TASKS.get_or_init(|| {
        let (tasks, news) = channel();
        let compiler = thread::Builder::new()
            .name("wasm".into())
            .stack_size(STACK_BYTES);
        helpers::start(compiler, move || work(&news)).map(|_| tasks)
    });
    match tasks {
        Some(tasks) => {
            if let Err(unsent) = tasks.send(task) {
                unsent.0.fail();
            }
        }
        None => task.fail(),
    }
}

fn work(tasks: &Receiver<Task>) {
    // A shard may have started it, which has a core of its own.
    cpus::unpin();
    let mut cache = Cache::default();
    for task in tasks {
        // A fault of the compiler's must not leave lanes waiting, of this module or of others.
        if catch_unwind(AssertUnwindSafe(|| task.work(&mut cache))).is_err() {
            task.fail();
        }
    }
}

impl Task {
    fn work(&self, cache: &mut Cache) {
        match self {
            Self::Compile(bytes, place) => drop(place.set(cache.compile(bytes))),
            Self::Validate(bytes, place) => drop(place.set(is_valid(bytes))),
        }
    }

    fn fail(&self) {
        match self {
            Self::Compile(_, place) => drop(place.set(Err("the compiler has failed".to_owned()))),
            Self::Validate(_, place) => drop(place.set(false)),
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
    fn compile(&mut self, bytes: &[u8]) -> Answer {
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
