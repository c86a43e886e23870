//! The kernels of a script, for all of its lanes on all shards.
//!
//! Nothing is ever taken out or changed, so that a lane finds what is there without a lock: places are filled one after the other,
//! each once, with what was made before. They are freed with the script, once its last lane is gone.

use super::job::Job;
use madrpc_kernels::{
    ArgumentKind, Budget, Captured, Compiled, ElementKind, Kernel, MAX_PARAMETERS, Place, Reason,
    Refused,
};
use std::hash::{BuildHasher, Hash, Hasher};
use std::iter;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// Kernels of one script.
pub(super) const KERNELS_MAX: usize = 1024;

/// For so many kinds of arguments a kernel is compiled; from so many on whole numbers are numbers like all others.
pub(super) const SPECIALISATIONS_MAX: usize = 32;
const WIDENED_FROM: usize = 8;

/// Parameters of which it is tried whether they are truth values, where a kernel cannot be compiled for numbers.
const TRIED_MAX: usize = 6;

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

/// Bytes that the kernels of a script take. Clones share the number.
#[derive(Debug, Clone, Default)]
struct Held(Arc<AtomicUsize>);

impl Held {
    /// Takes so many more; says whether there was room for them.
    fn add(&self, bytes: usize) -> bool {
        let add = |held: usize| held.checked_add(bytes).filter(|all| *all <= MAX_BYTES);
        let (set, get) = (Ordering::Relaxed, Ordering::Relaxed);
        self.0.fetch_update(set, get, add).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn is_full(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= MAX_BYTES
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
    specialisations: [OnceLock<Box<Specialisation>>; SPECIALISATIONS_MAX],
    /// Of the whole script.
    held: Held,
}

/// A kernel as it is for arguments of certain kinds.
#[derive(Debug)]
pub(super) struct Specialisation {
    pub(super) key: Key,
    pub(super) compiled: Job<Compiled>,
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

    fn of(kinds: &[ArgumentKind]) -> Self {
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
            specialisations: [const { OnceLock::new() }; SPECIALISATIONS_MAX],
            held: held.clone(),
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
        let places = self.0.places.get().into_iter().flatten();
        places.map_while(OnceLock::get)
    }

    /// What says whether they are still there.
    #[cfg(test)]
    pub(super) fn watch(&self) -> std::sync::Weak<impl Sized + use<>> {
        Arc::downgrade(&self.0)
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

    /// It for arguments of these kinds, compiled or not, and its place; `None` where there are too many of them. Where there are many,
    /// it is one that takes any number for whole ones.
    pub(super) fn specialisation(&self, key: Key) -> Option<(usize, &Specialisation)> {
        let mut key = key;
        for (at, place) in self.specialisations.iter().enumerate() {
            if at == WIDENED_FROM {
                key = key.widened();
                if let Some(known) = self.known(key) {
                    return Some(known);
                }
            }
            let found = fill(place, || {
                Box::new(Specialisation {
                    key,
                    compiled: Job::default(),
                })
            });
            if found.key == key {
                return Some((at, found));
            }
        }
        None
    }

    fn known(&self, key: Key) -> Option<(usize, &Specialisation)> {
        let known = self.specialisations.iter().map_while(OnceLock::get);
        let mut known = known.map(Box::as_ref).enumerate();
        known.find(|(_, specialisation)| specialisation.key == key)
    }

    fn info(&self) -> Option<KernelInfo> {
        let kernel = self.made.made()?.as_ref().ok()?;
        let specialisations = self.specialisations.iter().map_while(OnceLock::get);
        let compiled: Vec<_> = specialisations
            .filter_map(|specialisation| specialisation.compiled.made()?.as_ref().ok())
            .collect();
        let kinds = compiled.first()?.kinds().iter();
        Some(KernelInfo {
            name: kernel.name().to_string(),
            place: self.source.place.to_string(),
            arguments: kinds.map(ToString::to_string).collect(),
            code_bytes: compiled.iter().map(|compiled| compiled.code_bytes()).sum(),
        })
    }
}

/// On the compiler's thread.
impl Entry {
    /// Makes it, or it for further kinds, where somebody still waits for that.
    pub(super) fn compile(&self, specialisation: Option<usize>) {
        let Some(at) = specialisation else {
            if self.made.take() {
                self.made.finish(self.make());
            }
            return;
        };
        if let (Some(Ok(kernel)), Some(specialisation)) = (self.made.made(), self.at(at))
            && specialisation.compiled.take()
        {
            let kinds = specialisation.key.kinds(kernel.parameters().len());
            let compiled = self.for_kinds(kernel, &kinds, &mut Budget::default());
            let compiled = compiled.and_then(|compiled| {
                self.hold(compiled.memory_bytes())?;
                Ok(compiled)
            });
            specialisation.compiled.finish(compiled);
        }
    }

    fn at(&self, at: usize) -> Option<&Specialisation> {
        self.specialisations.get(at)?.get().map(Box::as_ref)
    }

    /// Reads it, and compiles it for the kinds of arguments that it is most likely called with: a kernel that is none is to be told of
    /// where the script makes it.
    fn make(&self) -> Result<Arc<Kernel>, Refused> {
        let kernel = self.read()?;
        let (key, compiled) = self.first(&kernel)?;
        self.hold(kernel.memory_bytes() + compiled.memory_bytes())?;
        let first = Specialisation {
            key,
            compiled: Job::done(compiled),
        };
        // Nobody has it yet who could have asked for another.
        let _ = self.specialisations[0].set(Box::new(first));
        Ok(Arc::new(kernel))
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

    /// The first kinds that can be, from those that are most likely: whether a parameter is a number or a truth value, its use alone
    /// may say.
    fn first(&self, kernel: &Kernel) -> Result<(Key, Compiled), Refused> {
        let kinds = kernel.default_kinds();
        // One for all that is tried.
        let mut budget = Budget::default();
        let refused = match self.for_kinds(kernel, &kinds, &mut budget) {
            Err(refused) if refused.reason == Reason::Type => refused,
            compiled => return compiled.map(|compiled| (Key::of(&kinds), compiled)),
        };
        let is_number = |kind: &ArgumentKind| *kind == ArgumentKind::Double;
        let numbers: Vec<usize> = (0..kinds.len())
            .filter(|at| is_number(&kinds[*at]))
            .collect();
        for choice in 1..1_u32 << numbers.len().min(TRIED_MAX) {
            let mut kinds = kinds.clone();
            let chosen = numbers.iter().enumerate();
            for (_, at) in chosen.filter(|(bit, _)| choice >> bit & 1 == 1) {
                kinds[*at] = ArgumentKind::Boolean;
            }
            match self.for_kinds(kernel, &kinds, &mut budget) {
                Err(refused) if refused.reason == Reason::Type => {}
                compiled => return compiled.map(|compiled| (Key::of(&kinds), compiled)),
            }
        }
        Err(refused)
    }

    fn for_kinds(
        &self,
        kernel: &Kernel,
        kinds: &[ArgumentKind],
        budget: &mut Budget,
    ) -> Result<Compiled, Refused> {
        match self.held.is_full() {
            true => Err(self.source.too_much()),
            false => kernel.specialise_within(kinds, budget),
        }
    }

    /// It takes so many bytes more.
    fn hold(&self, bytes: usize) -> Result<(), Refused> {
        match self.held.add(bytes) {
            true => Ok(()),
            false => Err(self.source.too_much()),
        }
    }

    /// It is given up for good: the compiler has failed, and would again.
    pub(super) fn fail(&self, specialisation: Option<usize>) {
        let what = "the compiler has failed".to_owned();
        let failed = self.source.refuse(Reason::System, what, "");
        match specialisation {
            Some(at) => {
                if let Some(specialisation) = self.at(at) {
                    specialisation.compiled.settle(Err(failed));
                }
            }
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
