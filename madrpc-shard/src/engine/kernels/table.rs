//! The kernels of a script, for all of its lanes on all shards.
//!
//! A kernel stays as long as its script, so that a lane finds it without a lock: places are filled one after the other, each once,
//! with what was made before. Its code for further kinds of arguments comes and goes, see [`Specialisations`].

use super::job::{Failed, Job, Made};
use super::specialisations::{Key, Specialisation, Specialisations};
use madrpc_kernels::{ArgumentKind, Captured, Compiled, Kernel, Place, Reason, Refused};
use std::hash::{BuildHasher, Hash, Hasher};
use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Instant;

/// Kernels of one script.
pub(super) const KERNELS_MAX: usize = 1024;

/// Memory that the kernels of a script may take: their texts, what is read of them, and their code.
const MAX_BYTES: usize = 16 << 20;

/// The kernels of a script. Clones share them.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Kernels(Arc<Table>);

#[derive(Debug, Default)]
struct Table {
    places: OnceLock<Box<[OnceLock<Arc<Entry>>]>>,
    held: Held,
}

impl Table {
    fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        let places = self.places.get().into_iter().flatten();
        places.map_while(OnceLock::get)
    }
}

/// Bytes that the kernels of a script take. Clones share the number.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<AtomicUsize>);

impl Held {
    /// Takes so many more; says whether there was room for them.
    pub(super) fn add(&self, bytes: usize) -> bool {
        let add = |held: usize| held.checked_add(bytes).filter(|all| *all <= MAX_BYTES);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.0.fetch_update(set, get, add).is_ok()
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// More than half is taken: lanes keep what they call now, and nothing else.
    pub(super) fn is_scarce(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= MAX_BYTES / 2
    }
}

/// What a kernel is made of.
#[derive(Debug)]
pub(super) struct Source {
    text: String,
    pub(super) place: Place,
    captured: Vec<(Arc<str>, Constant)>,
    /// Of all of it: it is compared with every other of its script.
    hash: u64,
}

impl Source {
    pub(super) fn new(text: String, place: Place, captured: Vec<(Arc<str>, Constant)>) -> Self {
        let mut hasher = foldhash::fast::FixedState::default().build_hasher();
        (&text, &place.file, place.line, place.column).hash(&mut hasher);
        for (name, constant) in &captured {
            name.hash(&mut hasher);
            hasher.write_usize(match constant {
                Constant::Number(number) => number.to_bits() as usize,
                Constant::Boolean(boolean) => usize::from(*boolean),
                Constant::Kernel(entry) => Arc::as_ptr(entry).addr(),
            });
        }
        let hash = hasher.finish();
        Self {
            text,
            place,
            captured,
            hash,
        }
    }

    /// What it takes of memory, in bytes, about.
    fn bytes(&self) -> usize {
        let captured = self.captured.iter();
        let captured = captured.map(|(name, _)| name.len() + size_of::<(Arc<str>, Constant)>());
        self.text.len() + self.place.file.len() + captured.sum::<usize>()
    }

    fn refuse(&self, reason: Reason, what: String, remedy: &str) -> Refused {
        Refused {
            reason,
            place: self.place.clone(),
            what,
            remedy: remedy.to_owned(),
        }
    }

    fn too_many(&self) -> Refused {
        let what = format!(
            "a script has at most {KERNELS_MAX} kernels, and those that differ in what they capture are several"
        );
        let remedy = "make them once, while the script loads, and pass what changes";
        self.refuse(Reason::TooLarge, what, remedy)
    }

    fn too_much(&self) -> Refused {
        let what = format!(
            "the kernels of the script take more than {} MiB, with their texts and their machine code",
            MAX_BYTES >> 20
        );
        let remedy = "make fewer, once, while the script loads";
        self.refuse(Reason::TooLarge, what, remedy)
    }
}

/// What it captures.
#[derive(Debug, Clone)]
pub(super) enum Constant {
    Number(f64),
    Boolean(bool),
    Kernel(Arc<Entry>),
}

impl PartialEq for Constant {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(one), Self::Number(other)) => one.to_bits() == other.to_bits(),
            (Self::Boolean(one), Self::Boolean(other)) => one == other,
            (Self::Kernel(one), Self::Kernel(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
            && self.place == other.place
            && self.captured == other.captured
            && self.text == other.text
    }
}

/// A kernel, from the moment that it is asked for.
#[derive(Debug)]
pub(super) struct Entry {
    source: Source,
    made: Job<Arc<Kernel>>,
    specialisations: Specialisations,
    /// Of the whole script.
    held: Held,
    script: Weak<Table>,
}

impl Kernels {
    /// The kernel of this source, made or not.
    ///
    /// # Errors
    /// Where the script has too many, or too large ones.
    pub(super) fn get(&self, source: Source) -> Result<Arc<Entry>, Refused> {
        if let Some(known) = self.entries().find(|entry| entry.source == source) {
            return Ok(Arc::clone(known));
        }
        let Table { places, held } = &*self.0;
        let new = Arc::new(Entry {
            source,
            made: Job::default(),
            specialisations: Specialisations::default(),
            held: held.clone(),
            script: Arc::downgrade(&self.0),
        });
        let bytes = size_of::<Entry>() + new.source.bytes();
        if !held.add(bytes) {
            return Err(new.source.too_much());
        }
        let places = fill(places, || {
            iter::repeat_with(OnceLock::new).take(KERNELS_MAX).collect()
        });
        for place in places {
            let there = fill(place, || Arc::clone(&new));
            if Arc::ptr_eq(there, &new) {
                return Ok(new);
            }
            // Another lane was first.
            if there.source == new.source {
                held.give_back(bytes);
                return Ok(Arc::clone(there));
            }
        }
        held.give_back(bytes);
        Err(new.source.too_many())
    }

    fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.0.entries()
    }

    /// What says whether they are still there.
    #[cfg(test)]
    pub(super) fn watch(&self) -> Weak<impl Sized + use<>> {
        Arc::downgrade(&self.0)
    }

    #[cfg(test)]
    pub(super) fn held(&self) -> &Held {
        &self.0.held
    }

    /// What has been compiled of them.
    pub(in super::super) fn list(&self) -> Vec<KernelInfo> {
        self.entries().filter_map(|entry| entry.info()).collect()
    }
}

impl Entry {
    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    pub(super) fn made(&self) -> &Job<Arc<Kernel>> {
        &self.made
    }

    /// It for arguments of these kinds, see [`Specialisations::find`].
    pub(super) fn specialisation(&self, key: Key) -> Option<Arc<Specialisation>> {
        self.specialisations.find(key, &self.held)
    }

    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    fn info(&self) -> Option<KernelInfo> {
        let kernel = self.made.made()?.as_ref().ok()?;
        let (mut kinds, mut code_bytes) = (None, 0);
        self.specialisations.each(|specialisation| {
            if let Some(Ok(compiled)) = specialisation.compiled.made() {
                kinds.get_or_insert_with(|| compiled.clone());
                code_bytes += compiled.code_bytes();
            }
        });
        let kinds = kinds?;
        Some(KernelInfo {
            name: kernel.name().to_string(),
            place: self.source.place.to_string(),
            arguments: kinds.kinds().iter().map(ToString::to_string).collect(),
            code_bytes,
        })
    }
}

/// On the compiler's thread.
impl Entry {
    /// Makes it, or it for further kinds, where somebody still waits for that.
    pub(super) fn compile(&self, specialisation: Option<&Specialisation>) {
        let Some(specialisation) = specialisation else {
            if self.made.take() {
                self.made.finish(self.make());
            }
            return;
        };
        if let Some(Ok(kernel)) = self.made.made()
            && specialisation.compiled.take()
        {
            let begun = Instant::now();
            let kinds = specialisation.key.kinds(kernel.parameters().len());
            let compiled = self.code(kernel, &kinds, 0);
            let _ = specialisation.took.set(begun.elapsed());
            specialisation.compiled.finish(compiled);
        }
    }

    /// Reads it, and compiles it for the kinds of arguments that it is most likely called with: a kernel that is none is to be told of
    /// where the script makes it.
    fn make(&self) -> Made<Arc<Kernel>> {
        let kernel = self.read()?;
        let kinds = kernel.default_kinds();
        let compiled = self.code(&kernel, &kinds, kernel.memory_bytes())?;
        let first = Job::done(compiled);
        let first = Specialisation::new(Key::of(&kinds), first, self.held.clone());
        self.specialisations.add(first);
        Ok(Arc::new(kernel))
    }

    /// The code, for which there is room, and for so many bytes more.
    fn code(&self, kernel: &Kernel, kinds: &[ArgumentKind], more: usize) -> Made<Compiled> {
        let compiled = kernel.specialise(kinds)?;
        let bytes = compiled.memory_bytes() + more;
        if !self.held.add(bytes) {
            // What no lane has now can be compiled again.
            if let Some(script) = self.script.upgrade() {
                let all = script.entries();
                all.for_each(|entry| entry.specialisations.let_go());
            }
            if !self.held.add(bytes) {
                return Err(Failed::Now(self.source.too_much()));
            }
        }
        Ok(compiled)
    }

    fn read(&self) -> Result<Kernel, Refused> {
        let Source {
            text,
            place,
            captured,
            ..
        } = &self.source;
        let captured = captured.iter().filter_map(|(name, constant)| {
            let constant = match constant {
                Constant::Number(number) => Captured::Number(*number),
                Constant::Boolean(boolean) => Captured::Boolean(*boolean),
                // A function of it is there, so it was made.
                Constant::Kernel(entry) => {
                    Captured::Kernel(Arc::clone(entry.made.made()?.as_ref().ok()?))
                }
            };
            Some((Arc::clone(name), constant))
        });
        Kernel::new(text, place.clone(), &captured.collect::<Vec<_>>())
    }

    /// It is given up for good: the compiler has failed, and would again.
    pub(super) fn fail(&self, specialisation: Option<&Specialisation>) {
        let what = "the compiler has failed".to_owned();
        let failed = self.source.refuse(Reason::System, what, "");
        match specialisation {
            Some(specialisation) => specialisation.compiled.settle(Err(failed)),
            None => self.made.settle(Err(failed)),
        }
    }
}

/// What is in the place, or else this from here on. Nobody waits for whoever fills it, as with `get_or_init`, for longer than that
/// takes to be put there.
fn fill<T>(place: &OnceLock<T>, make: impl FnOnce() -> T) -> &T {
    match place.get() {
        Some(there) => there,
        None => {
            let made = make();
            place.get_or_init(|| made)
        }
    }
}

/// A kernel of a script, as `madrpc check` tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelInfo {
    /// Its name; empty where it has none.
    pub name: String,
    /// Where the script has it: `file:line:column`.
    pub place: String,
    /// The kinds of arguments that it is compiled for, more as it is called with others.
    pub arguments: Vec<String>,
    /// Its machine code, with that of the kernels that it calls, in bytes.
    pub code_bytes: usize,
}
