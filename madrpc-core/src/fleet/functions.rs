//! Which members have a function.

use super::busy::Busy;
use super::errors::Errors;
use super::hedging::Latencies;
use super::load::Cost;
use crate::balance::{Members, RoundRobin};
use crate::call::Announcement;
use foldhash::fast::RandomState;
use slab::Slab;
use std::collections::{BTreeSet, HashMap};

/// Names that an error lists.
const NAMES_LISTED: usize = 10;

/// Names a function that a member has, for as long as one has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FunctionNumber(pub(super) u32);

#[derive(Debug)]
pub(super) struct Function {
    name: Box<str>,
    /// Those who have it, in turn.
    pub(super) members: RoundRobin,
    /// Those of them where a call may run twice.
    idempotent: Members,
    /// Those of them that have said when they take calls of it again.
    pub(super) busy: Busy,
    /// What its calls cost, where that is looked at.
    pub(super) cost: Cost,
    /// Whose of them end with errors, where that is looked at.
    pub(super) errors: Errors,
    /// How long they take, where a second member may be asked for them.
    pub(super) latencies: Option<Box<Latencies>>,
    /// The driver's own number for it.
    pub(super) mark: Option<u32>,
}

impl Function {
    /// Whether a member has registered it as one that may run twice.
    #[inline]
    pub(super) fn is_idempotent(&self, member: usize) -> bool {
        self.idempotent.contains(member)
    }
}

/// The functions of all members.
#[derive(Debug, Default)]
pub(super) struct Functions {
    by_name: HashMap<Box<str>, u32, RandomState>,
    all: Slab<Function>,
}

impl Functions {
    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    #[inline]
    pub(super) fn find(&self, name: &str) -> Option<FunctionNumber> {
        self.by_name.get(name).copied().map(FunctionNumber)
    }

    #[inline]
    pub(super) fn get_mut(
        &mut self,
        FunctionNumber(number): FunctionNumber,
    ) -> Option<&mut Function> {
        self.all.get_mut(number as usize)
    }

    #[inline]
    pub(super) fn get(&self, FunctionNumber(number): FunctionNumber) -> Option<&Function> {
        self.all.get(number as usize)
    }

    /// The first few names, in their order.
    pub(super) fn first_names(&self) -> String {
        let mut first = BTreeSet::new();
        for (_, function) in &self.all {
            first.insert(&*function.name);
            if first.len() > NAMES_LISTED {
                first.pop_last();
            }
        }
        first.into_iter().collect::<Vec<_>>().join(", ")
    }

    /// A member has these functions; gives their numbers, for [`Functions::remove`].
    pub(super) fn add(&mut self, member: usize, announcement: &Announcement) -> Vec<u32> {
        let mut numbers = Vec::with_capacity(announcement.functions.len());
        for (name, options) in &announcement.functions {
            let number = self.by_name.get(name.as_str()).copied().unwrap_or_else(|| {
                let function = Function {
                    name: name.as_str().into(),
                    members: RoundRobin::default(),
                    idempotent: Members::default(),
                    busy: Busy::default(),
                    cost: Cost::default(),
                    errors: Errors::default(),
                    latencies: None,
                    mark: None,
                };
                let number = self.all.insert(function) as u32;
                self.by_name.insert(name.as_str().into(), number);
                number
            });
            if let Some(function) = self.all.get_mut(number as usize) {
                function.members.set(member, true);
                function.idempotent.set(member, options.idempotent);
            }
            numbers.push(number);
        }
        numbers
    }

    /// A member does not have these any more.
    pub(super) fn remove(&mut self, member: usize, numbers: &[u32]) {
        for &number in numbers {
            let Some(function) = self.all.get_mut(number as usize) else {
                continue;
            };
            function.members.set(member, false);
            function.idempotent.set(member, false);
            function.errors.forget(member);
            if function.members.is_empty() {
                let function = self.all.remove(number as usize);
                self.by_name.remove(&function.name);
            }
        }
    }
}
