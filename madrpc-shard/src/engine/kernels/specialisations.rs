//! The code of a kernel for the kinds of arguments that it is called with, as long as it is used.
//!
//! Callers choose the kinds, and there may be more of them than anybody wants to keep. A lane keeps what it calls; of the rest, what
//! has not been asked for the longest goes first.

use super::job::Job;
use super::table::Held;
use madrpc_kernels::{ArgumentKind, Compiled, ElementKind, MAX_PARAMETERS};
use std::sync::{Arc, OnceLock, PoisonError, TryLockError};
use std::time::Duration;

/// A kernel has code for so many kinds of arguments, and for those beyond that lanes have at the moment; from so many on whole
/// numbers are numbers like all others.
pub(super) const SPECIALISATIONS_MAX: usize = 32;
const WIDENED_FROM: usize = 8;

/// A kernel as it is for arguments of certain kinds.
#[derive(Debug)]
pub(super) struct Specialisation {
    pub(super) key: Key,
    pub(super) compiled: Job<Compiled>,
    /// How long the compiler has worked on it.
    pub(super) took: OnceLock<Duration>,
    held: Held,
}

impl Specialisation {
    pub(super) fn new(key: Key, compiled: Job<Compiled>, held: Held) -> Self {
        Self {
            key,
            compiled,
            took: OnceLock::new(),
            held,
        }
    }
}

impl Drop for Specialisation {
    fn drop(&mut self) {
        if let Some(Ok(compiled)) = self.compiled.made() {
            self.held.give_back(compiled.memory_bytes());
        }
    }
}

/// Those of one kernel, in the order in which they were first asked for.
#[derive(Debug, Default)]
pub(super) struct Specialisations(Mutex<Known>);

#[expect(
    clippy::disallowed_types,
    reason = "a shard never waits for it: it is only tried, and a lane that finds it taken looks again later"
)]
type Mutex<T> = std::sync::Mutex<T>;

#[derive(Debug, Default)]
struct Known {
    all: Vec<(Arc<Specialisation>, u64)>,
    /// How often one was asked for.
    asked: u64,
}

impl Specialisations {
    /// The one for these kinds, compiled or not, and where there are many, one that takes any number for whole ones; `None` where
    /// another thread is in the list at this moment.
    pub(super) fn find(&self, key: Key, held: &Held) -> Option<Arc<Specialisation>> {
        let mut known = match self.0.try_lock() {
            Ok(known) => known,
            Err(TryLockError::Poisoned(known)) => known.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(known.find(key, held))
    }

    /// For threads that are no shard's.
    fn wait(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, specialisation: Specialisation) {
        self.wait().all.push((Arc::new(specialisation), 0));
    }

    pub(super) fn each(&self, mut see: impl FnMut(&Specialisation)) {
        self.wait().all.iter().for_each(|(known, _)| see(known));
    }

    /// Lets those go that no lane has.
    pub(super) fn let_go(&self) {
        self.wait().all.retain(|(known, _)| is_used(known));
    }
}

/// Whoever has one has it from here, where nobody else is now: that nobody has it stays true.
fn is_used(specialisation: &Arc<Specialisation>) -> bool {
    Arc::strong_count(specialisation) > 1
}

impl Known {
    fn find(&mut self, key: Key, held: &Held) -> Arc<Specialisation> {
        self.asked += 1;
        let mut key = key;
        let mut found = self.place(key);
        if found.is_none() && self.all.len() >= WIDENED_FROM {
            key = key.widened();
            found = self.place(key);
        }
        if let Some((known, asked)) = found.and_then(|at| self.all.get_mut(at)) {
            *asked = self.asked;
            return Arc::clone(known);
        }
        if self.all.len() >= SPECIALISATIONS_MAX {
            let unused = self.all.iter().enumerate();
            let unused = unused.filter(|(_, (known, _))| !is_used(known));
            let oldest = unused.min_by_key(|(_, (_, asked))| *asked);
            if let Some((at, _)) = oldest {
                self.all.remove(at);
            }
        }
        let new = Specialisation::new(key, Job::default(), held.clone());
        let new = Arc::new(new);
        self.all.push((Arc::clone(&new), self.asked));
        new
    }

    fn place(&self, key: Key) -> Option<usize> {
        self.all.iter().position(|(known, _)| known.key == key)
    }
}

/// The kinds of all arguments, four bits each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Key(u128);

pub(super) const INT32: u8 = 10;
pub(super) const DOUBLE: u8 = 11;
pub(super) const BOOLEAN: u8 = 12;

const _: () = assert!(MAX_PARAMETERS * 4 <= u128::BITS as usize);
const _: () = assert!(ElementKind::ALL.len() <= INT32 as usize);
const _: () = assert!(ElementKind::ALL[9] as u8 == 9);

impl Key {
    /// With this one at this place, at which nothing is yet. Below [`INT32`] it is the place of an array's kind among
    /// [`ElementKind::ALL`].
    #[inline]
    pub(super) fn with(self, at: usize, kind: u8) -> Self {
        Self(self.0 | u128::from(kind) << (4 * at))
    }

    /// That of no arguments there are.
    pub(super) const NONE: Self = Self(u128::MAX);

    /// The same, with whole numbers taken for any.
    fn widened(self) -> Self {
        (0..MAX_PARAMETERS).fold(Self::default(), |key, at| {
            let kind = match self.kind(at) {
                INT32 => DOUBLE,
                kind => kind,
            };
            key.with(at, kind)
        })
    }

    pub(super) fn kind(self, at: usize) -> u8 {
        (self.0 >> (4 * at)) as u8 & 15
    }

    pub(super) fn kinds(self, count: usize) -> Vec<ArgumentKind> {
        let kind = |at| match self.kind(at) {
            INT32 => ArgumentKind::Int32,
            DOUBLE => ArgumentKind::Double,
            BOOLEAN => ArgumentKind::Boolean,
            array => ArgumentKind::Array(ElementKind::ALL[usize::from(array)]),
        };
        (0..count).map(kind).collect()
    }

    pub(super) fn of(kinds: &[ArgumentKind]) -> Self {
        let number = |kind: &ArgumentKind| match kind {
            ArgumentKind::Int32 => INT32,
            ArgumentKind::Double => DOUBLE,
            ArgumentKind::Boolean => BOOLEAN,
            ArgumentKind::Array(array) => *array as u8,
        };
        let kinds = kinds.iter().map(number).enumerate();
        kinds.fold(Self::default(), |key, (at, kind)| key.with(at, kind))
    }
}
