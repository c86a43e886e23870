//! A shard that has sessions to a part of the targets only, which is chosen anew as those come and go and are lost.

use super::{Due, Upstreams};
use crate::net::address::Addresses;
use madrpc_core::call::Announcement;
use madrpc_core::fleet::{LOOK_INTERVAL, Neighbours, Scripts, Standing, Subset, digest};
use madrpc_core::numbers::later;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Nodes that are told of beyond those that the shard has sessions to, of each function.
const LISTED_MAX: usize = 100;

/// How often it is looked at the most while none can be called.
const CUT_OFF_INTERVAL: Duration = Duration::from_millis(20);

/// What a shard learns of the fleet, for the other shards of its server.
#[derive(Debug, Clone)]
pub(crate) enum FleetNews {
    /// A member has said what it has, by the script of this digest.
    Has {
        member: u64,
        script: u64,
        announcement: Arc<Announcement>,
    },
    /// A member is none any more.
    Gone(u64),
}

/// The targets that there are, and which of them the shard has.
pub(super) struct Chooser {
    neighbours: Neighbours,
    /// By their names, with the names' digests.
    all: Vec<(u64, Addresses)>,
    /// What the shards of the server know of them.
    scripts: Arc<Scripts>,
    news: Vec<FleetNews>,
    /// When it was last seen that none can be called.
    cut_off_at: Option<Instant>,
}

impl Chooser {
    pub(super) fn new(subset: Subset, now: Instant) -> Self {
        Self {
            neighbours: Neighbours::new(subset, now),
            all: Vec::new(),
            scripts: Arc::default(),
            news: Vec::new(),
            cut_off_at: None,
        }
    }

    fn set_all(&mut self, addresses: &[Addresses]) {
        // One that is given twice is one.
        let by_name: BTreeMap<String, &Addresses> = addresses
            .iter()
            .map(|addresses| (addresses.to_string(), addresses))
            .collect();
        let all = by_name.into_iter();
        let all = all.map(|(name, addresses)| (digest(name.as_bytes()), addresses.clone()));
        let before = std::mem::replace(&mut self.all, all.collect());
        let there: HashSet<u64> = self.all.iter().map(|(member, _)| *member).collect();
        let gone = before.into_iter().map(|(member, _)| member);
        let gone = gone.filter(|member| !there.contains(member));
        self.news.extend(gone.map(FleetNews::Gone));
        let members = self.all.iter().map(|(member, _)| *member);
        self.neighbours.set_members(members.collect());
    }

    /// Whether a target is one of them: a session to one that is none any more may still have something to say.
    pub(super) fn has(&self, member: u64) -> bool {
        self.neighbours.has(member)
    }

    /// A member has said what it has.
    pub(super) fn note(&mut self, member: u64, script: u64, announcement: Announcement) {
        let announcement = Arc::new(announcement);
        Arc::make_mut(&mut self.scripts).note(member, script, &announcement);
        self.news.push(FleetNews::Has {
            member,
            script,
            announcement,
        });
    }
}

impl<T> Upstreams<T> {
    /// These are the targets from now on, or those of which the shard has its subset; gives the numbers and names of the new ones.
    pub(crate) fn set_targets(&mut self, addresses: &[Addresses]) -> Vec<(usize, String)> {
        let Some(chooser) = &mut self.chooser else {
            return self.replace_targets(addresses);
        };
        chooser.set_all(addresses);
        self.choose(Instant::now())
    }

    /// Sees which targets there are to be now, and when it is to be seen next; those that are new are told of later.
    pub(super) fn look_at_subset(&mut self, now: Instant) {
        if self.chooser.is_none() {
            return;
        }
        let new = self.choose(now);
        self.wires.registered.has_joined(new);
    }

    /// None of the targets can be called, as is asked for each call then: others stand in for them at once.
    #[cold]
    pub(super) fn look_where_cut_off(&mut self, now: Instant) {
        if let Some(chooser) = &mut self.chooser
            && chooser
                .cut_off_at
                .is_none_or(|at| now >= later(at, CUT_OFF_INTERVAL))
        {
            chooser.cut_off_at = Some(now);
            self.look_at_subset(now);
        }
    }

    /// The same, where it is time to.
    pub(super) fn look_at_subset_again(&mut self, now: Instant) {
        self.look_at_subset(now);
        self.timers.insert(later(now, LOOK_INTERVAL), Due::Subset);
    }

    fn choose(&mut self, now: Instant) -> Vec<(usize, String)> {
        let Some(mut chooser) = self.chooser.take() else {
            return Vec::new();
        };
        let targets = self.targets.iter().enumerate();
        let there = targets.filter(|(_, target)| !target.is_gone && !target.is_registered);
        let numbers: HashMap<u64, usize> = there
            .map(|(number, target)| (target.digest, number))
            .collect();
        let Chooser {
            neighbours,
            all,
            scripts,
            ..
        } = &mut *chooser;
        let standing = |place: usize| match numbers.get(&all[place].0) {
            Some(&number) => Standing {
                is_well: self.router.is_well(number) || self.doubles.contains(number),
                has_said: self.router.has(number).is_some(),
            },
            None => Standing::default(),
        };
        let chosen = neighbours.look(now, scripts, standing);
        let is_same = chosen.len() == numbers.len()
            && chosen
                .iter()
                .all(|place| numbers.contains_key(&all[*place].0));
        let new = match is_same {
            true => Vec::new(),
            false => {
                let chosen = chosen.iter().map(|place| all[*place].1.clone());
                let chosen: Vec<Addresses> = chosen.collect();
                self.replace_targets(&chosen)
            }
        };
        let asked = chooser.neighbours.asked_only();
        let asked = asked.map(|place| chooser.all[place].0);
        self.chooser = Some(chooser);
        for number in 0..self.targets.len() {
            let target = &mut self.targets[number];
            let is_asked = Some(target.digest) == asked && !target.is_registered;
            if std::mem::replace(&mut target.is_asked, is_asked) != is_asked {
                self.note(number);
            }
        }
        new
    }

    /// What the shards of this server have learned of the fleet.
    pub(crate) fn set_scripts(&mut self, scripts: Arc<Scripts>, now: Instant) {
        let Some(chooser) = &mut self.chooser else {
            return;
        };
        let before = std::mem::replace(&mut chooser.scripts, scripts);
        // What the own targets have just said may not be among it yet.
        let targets = self.targets.iter().enumerate();
        for (number, target) in targets.filter(|(_, target)| !target.is_registered) {
            if let Some((_, script)) = self.router.has(number)
                && chooser.scripts.script_of(target.digest) != Some(script)
                && before.script_of(target.digest) == Some(script)
                && let Some(said) = before.of(target.digest)
            {
                Arc::make_mut(&mut chooser.scripts).note(target.digest, script, said);
            }
        }
        self.look_at_subset(now);
    }

    /// What this shard has learned since this was asked last.
    pub(crate) fn take_news(&mut self) -> Option<Vec<FleetNews>> {
        let chooser = self.chooser.as_mut().filter(|one| !one.news.is_empty())?;
        Some(std::mem::take(&mut chooser.news))
    }

    /// The nodes that this shard has no sessions to, with what they have, as far as it is known: the first few of each script.
    pub(crate) fn elsewhere(&self) -> Vec<(String, Arc<Announcement>)> {
        let Some(chooser) = &self.chooser else {
            return Vec::new();
        };
        let targets = self.targets.iter().filter(|target| !target.is_gone);
        let own: HashSet<u64> = targets.map(|target| target.digest).collect();
        let mut counts: HashMap<*const Announcement, usize> = HashMap::new();
        let others = chooser
            .all
            .iter()
            .filter(|(member, _)| !own.contains(member));
        let known = others.filter_map(|(member, addresses)| {
            let said = chooser.scripts.of(*member)?;
            let count = counts.entry(Arc::as_ptr(said)).or_default();
            *count += 1;
            (*count <= LISTED_MAX).then(|| (addresses.to_string(), Arc::clone(said)))
        });
        known.collect()
    }
}
