//! What the shards of a node share for the functions of a script. It is made by who starts and reloads them, and they get all of it
//! together with the script.

use super::meter::{CallerMeters, Meter};
use super::slots::{Bells, Slots};
use crate::engine::Registration;
use std::collections::HashMap;
use std::sync::Arc;

/// What the shards of a node share.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shared {
    functions: Arc<Functions>,
    callers: Option<Arc<CallerMeters>>,
}

/// By the functions' names.
#[derive(Debug, Default)]
struct Functions {
    slots: HashMap<String, Arc<Slots>>,
    meters: HashMap<String, Arc<Meter>>,
}

impl Shared {
    /// The same, with meters for callers.
    pub(crate) fn with_caller_meters(self) -> Self {
        Self {
            callers: Some(Arc::new(CallerMeters::new())),
            ..self
        }
    }

    /// The slots of the function of this name, of which there are to be so many. Where the shards have none in common, it has
    /// its own.
    pub(super) fn slots(&self, name: &str, max: usize) -> Arc<Slots> {
        let known = self.functions.slots.get(name).cloned();
        known.unwrap_or_else(|| Slots::new(max, &Bells::new(1)))
    }

    /// What has come of the calls of the function of this name.
    pub(super) fn meter(&self, name: &str) -> Arc<Meter> {
        self.functions.meters.get(name).cloned().unwrap_or_default()
    }

    /// What has come of each caller.
    pub(super) fn callers(&self) -> Arc<CallerMeters> {
        let new = || Arc::new(CallerMeters::new());
        self.callers.clone().unwrap_or_else(new)
    }

    /// What they share for these functions, after this. Calls under way keep their slots, as of the present function of that
    /// name.
    pub(crate) fn after(&self, registrations: &[Registration], bells: &Arc<Bells>) -> Self {
        let mut functions = Functions::default();
        for Registration { name, options, .. } in registrations {
            if let Some(max) = options.max_concurrent {
                let known = self.functions.slots.get(name).cloned();
                let slots = known.unwrap_or_else(|| Slots::new(max, bells));
                slots.set_max(max);
                functions.slots.insert(name.clone(), slots);
            }
            if options.rate.is_some() {
                functions.meters.insert(name.clone(), self.meter(name));
            }
        }
        // Those of functions that have no limit now may have one again, while calls still have their slots.
        for (name, slots) in &self.functions.slots {
            if slots.are_any_taken() && !functions.slots.contains_key(name) {
                functions.slots.insert(name.clone(), Arc::clone(slots));
            }
        }
        Self {
            functions: Arc::new(functions),
            callers: self.callers.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Options;

    fn limits(limits: &[(&str, usize)]) -> Vec<Registration> {
        let one = |(name, max): &(&str, usize)| Registration {
            name: (*name).to_owned(),
            options: Options {
                max_concurrent: Some(*max),
                ..Options::default()
            },
            is_exported: false,
        };
        limits.iter().map(one).collect()
    }

    #[test]
    fn a_reload_goes_on_with_the_slots_of_calls_under_way() {
        let bells = Bells::new(1);
        let first = Shared::default().after(&limits(&[("f", 1), ("g", 1)]), &bells);
        let (f, g) = (first.slots("f", 1), first.slots("g", 1));
        let taken = f.take().unwrap();
        let second = first.after(&limits(&[("f", 2)]), &bells);
        assert!(Arc::ptr_eq(&second.slots("f", 2), &f));
        assert!(!Arc::ptr_eq(&second.slots("g", 1), &g));
        let more = f.take();
        assert!(more.is_some() && f.take().is_none());
        let third = second.after(&limits(&[("h", 1)]), &bells);
        let fourth = third.after(&limits(&[("f", 1)]), &bells);
        assert!(Arc::ptr_eq(&fourth.slots("f", 1), &f));
        drop((taken, more));
        assert!(f.take().is_some());
    }
}
