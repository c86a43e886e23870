//! The kernels of a script, for all of its lanes on all shards.
//!
//! Nothing is ever taken out or changed, so that a lane finds what is there without a lock and without waiting: places are
//! filled one after the other, each once. They are freed with the script, once its last lane is gone.

use super::compiler;
use madrpc_kernels::{
    ArgumentKind, Budget, Captured, Compiled, ElementKind, Kernel, MAX_PARAMETERS, Place, Reason,
    Refused,
};
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

/// Memory that the code of a script's kernels may take.
const CODE_MAX_BYTES: usize = 16 << 20;

/// The kernels of a script. Clones share them.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Kernels(Arc<Table>);

#[derive(Debug, Default)]
struct Table {
    places: OnceLock<Box<[OnceLock<Arc<Entry>>]>>,
    code_bytes: Arc<AtomicUsize>,
}

/// What a kernel is made of.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) text: String,
    pub(super) place: Place,
    pub(super) captured: Vec<(Arc<str>, Constant)>,
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
        self.place == other.place && self.captured == other.captured && self.text == other.text
    }
}

/// A kernel, from the moment that it is asked for.
#[derive(Debug)]
pub(super) struct Entry {
    source: Source,
    made: OnceLock<Result<Arc<Kernel>, Refused>>,
    specialisations: [OnceLock<Arc<Specialisation>>; SPECIALISATIONS_MAX],
    /// Of the whole script.
    code_bytes: Arc<AtomicUsize>,
}

/// A kernel as it is for arguments of certain kinds.
#[derive(Debug)]
pub(super) struct Specialisation {
    pub(super) key: Key,
    compiled: OnceLock<Result<Compiled, Refused>>,
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
    /// The kernel of this source, which is being compiled from here on; `None` where the script has too many.
    pub(super) fn get(&self, source: &Source) -> Option<Arc<Entry>> {
        let Table { places, code_bytes } = &*self.0;
        let places =
            places.get_or_init(|| iter::repeat_with(OnceLock::new).take(KERNELS_MAX).collect());
        for place in places {
            let entry = place.get_or_init(|| {
                let entry = Arc::new(Entry {
                    source: source.clone(),
                    made: OnceLock::new(),
                    specialisations: [const { OnceLock::new() }; SPECIALISATIONS_MAX],
                    code_bytes: Arc::clone(code_bytes),
                });
                compiler::make(&entry);
                entry
            });
            if entry.source == *source {
                return Some(Arc::clone(entry));
            }
        }
        None
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

    /// `None` while it is being compiled.
    pub(super) fn made(&self) -> Option<&Result<Arc<Kernel>, Refused>> {
        self.made.get()
    }

    /// It for arguments of these kinds, compiled or not; `None` where there are too many of them. Where there are many, it is one
    /// that takes any number for whole ones.
    pub(super) fn specialisation(self: &Arc<Self>, key: Key) -> Option<&Arc<Specialisation>> {
        let mut key = key;
        for (at, place) in self.specialisations.iter().enumerate() {
            if at == WIDENED_FROM {
                key = key.widened();
                if let Some(known) = self.known(key) {
                    return Some(known);
                }
            }
            let mut is_new = false;
            let found = place.get_or_init(|| {
                is_new = true;
                Arc::new(Specialisation {
                    key,
                    compiled: OnceLock::new(),
                })
            });
            if is_new {
                compiler::specialise(self, found);
            }
            if found.key == key {
                return Some(found);
            }
        }
        None
    }

    fn known(&self, key: Key) -> Option<&Arc<Specialisation>> {
        let mut known = self.specialisations.iter().map_while(OnceLock::get);
        known.find(|specialisation| specialisation.key == key)
    }

    fn info(&self) -> Option<KernelInfo> {
        let kernel = self.made.get()?.as_ref().ok()?;
        let specialisations = self.specialisations.iter().map_while(OnceLock::get);
        let compiled: Vec<_> = specialisations
            .filter_map(|specialisation| specialisation.compiled()?.as_ref().ok())
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
    /// Reads it, and compiles it for the kinds of arguments that it is most likely called with: a kernel that is none is to be told of
    /// where the script makes it.
    pub(super) fn compile(&self) {
        let made = self.read().and_then(|kernel| {
            let (key, compiled) = self.first(&kernel)?;
            let first = Specialisation {
                key,
                compiled: OnceLock::from(Ok(compiled)),
            };
            // Nobody has it yet who could have asked for another.
            let _ = self.specialisations[0].set(Arc::new(first));
            Ok(Arc::new(kernel))
        });
        let _ = self.made.set(made);
    }

    fn read(&self) -> Result<Kernel, Refused> {
        let Source {
            text,
            place,
            captured,
        } = &self.source;
        let captured = captured.iter().filter_map(|(name, constant)| {
            let constant = match constant {
                Constant::Number(number) => Captured::Number(*number),
                Constant::Boolean(boolean) => Captured::Boolean(*boolean),
                // A function of it is there, so it was made.
                Constant::Kernel(entry) => {
                    Captured::Kernel(Arc::clone(entry.made.get()?.as_ref().ok()?))
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
        let taken = self.code_bytes.load(Ordering::Relaxed);
        if taken >= CODE_MAX_BYTES {
            return Err(Refused {
                reason: Reason::TooLarge,
                place: self.source.place.clone(),
                what: format!(
                    "the kernels of the script take more than {} MiB of machine code",
                    CODE_MAX_BYTES >> 20
                ),
                remedy: "make fewer, once, while the script loads".to_owned(),
            });
        }
        let compiled = kernel.specialise_within(kinds, budget)?;
        let bytes = compiled.memory_bytes();
        self.code_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(compiled)
    }

    /// Compiles it for further kinds.
    pub(super) fn compile_for(&self, specialisation: &Specialisation) {
        let Some(Ok(kernel)) = self.made.get() else {
            return;
        };
        let kinds = specialisation.key.kinds(kernel.parameters().len());
        let compiled = self.for_kinds(kernel, &kinds, &mut Budget::default());
        let _ = specialisation.compiled.set(compiled);
    }

    /// It is given up: the compiler has failed.
    pub(super) fn fail(&self, specialisation: Option<&Specialisation>) {
        let failed = Refused {
            reason: Reason::System,
            place: self.source.place.clone(),
            what: "the compiler has failed".to_owned(),
            remedy: String::new(),
        };
        match specialisation {
            Some(specialisation) => drop(specialisation.compiled.set(Err(failed))),
            None => drop(self.made.set(Err(failed))),
        }
    }
}

impl Specialisation {
    /// `None` while it is being compiled.
    pub(super) fn compiled(&self) -> Option<&Result<Compiled, Refused>> {
        self.compiled.get()
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
