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

    /// Says whether it is time to look as none can be called, as is asked for each call then.
    fn is_cut_off(&mut self, now: Instant) -> bool {
        let is_due = |at: Instant| now >= later(at, CUT_OFF_INTERVAL);
        let is_time = self.cut_off_at.is_none_or(is_due);
        if is_time {
            self.cut_off_at = Some(now);
        }
        is_time
    }

    /// The targets that there are to be, where they are others than `there`, which has their numbers. `standing` is asked of those.
    fn look(
        &mut self,
        now: Instant,
        there: &HashMap<u64, usize>,
        standing: impl Fn(usize) -> Standing,
    ) -> Option<Vec<Addresses>> {
        let all = &self.all;
        let number = |place: usize| there.get(&all[place].0).copied();
        let standing = |place| number(place).map_or_else(Standing::default, &standing);
        let chosen = self.neighbours.look(now, &self.scripts, standing);
        let is_same =
            chosen.len() == there.len() && chosen.iter().all(|place| number(*place).is_some());
        let chosen = chosen.iter().map(|place| all[*place].1.clone());
        (!is_same).then(|| chosen.collect())
    }

    /// The one that is there only to be asked what it has.
    fn asked(&self) -> Option<u64> {
        let asked = self.neighbours.asked_only();
        asked.map(|place| self.all[place].0)
    }

    /// What the shards of the server know. What the own targets have just said, these scripts, may not be among it yet.
    fn set_scripts(&mut self, scripts: Arc<Scripts>, own: impl Iterator<Item = (u64, u64)>) {
        let before = std::mem::replace(&mut self.scripts, scripts);
        for (member, script) in own {
            if self.scripts.script_of(member) != Some(script)
                && before.script_of(member) == Some(script)
                && let Some(said) = before.of(member)
            {
                Arc::make_mut(&mut self.scripts).note(member, script, said);
            }
        }
    }

    /// Those that are none of these, with what they have, as far as it is known: the first few of each script.
    fn elsewhere(&self, own: &HashSet<u64>) -> Vec<(String, Arc<Announcement>)> {
        let mut counts: HashMap<*const Announcement, usize> = HashMap::new();
        let others = self.all.iter().filter(|(member, _)| !own.contains(member));
        let known = others.filter_map(|(member, addresses)| {
            let said = self.scripts.of(*member)?;
            let count = counts.entry(Arc::as_ptr(said)).or_default();
            *count += 1;
            (*count <= LISTED_MAX).then(|| (addresses.to_string(), Arc::clone(said)))
        });
        known.collect()
    }
}

impl<T> Upstreams<T> {
    /// These are the targets from now on, or those of which the shard has its subset; gives the numbers and names of the new ones.
    pub(crate) fn set_targets(&mut self, addresses: &[Addresses]) -> Vec<(usize, String)> {
        let Some(chooser) = &mut self.membership.chooser else {
            return self.replace_targets(addresses);
        };
        chooser.set_all(addresses);
        self.choose(Instant::now())
    }

    /// Sees which targets there are to be now, and when it is to be seen next; those that are new are told of later.
    pub(super) fn look_at_subset(&mut self, now: Instant) {
        if self.membership.chooser.is_none() {
            return;
        }
        let new = self.choose(now);
        self.wires.registered.has_joined(new);
    }

    /// None of the targets can be called, as is asked for each call then: others stand in for them at once.
    #[cold]
    pub(super) fn look_where_cut_off(&mut self, now: Instant) {
        if let Some(chooser) = &mut self.membership.chooser
            && chooser.is_cut_off(now)
        {
            self.look_at_subset(now);
        }
    }

    /// The same, where it is time to.
    pub(super) fn look_at_subset_again(&mut self, now: Instant) {
        self.look_at_subset(now);
        self.timers.insert(later(now, LOOK_INTERVAL), Due::Subset);
    }

    fn choose(&mut self, now: Instant) -> Vec<(usize, String)> {
        let Some(chooser) = &mut self.membership.chooser else {
            return Vec::new();
        };
        let there = self.targets.looked_for();
        let there = there.map(|(number, target)| (target.digest, number));
        let standing = |number: usize| Standing {
            is_well: self.router.is_well(number) || self.targets.is_double(number),
            has_said: self.router.has(number).is_some(),
        };
        let chosen = chooser.look(now, &there.collect(), standing);
        let asked = chooser.asked();
        let new = match chosen {
            Some(chosen) => self.replace_targets(&chosen),
            None => Vec::new(),
        };
        for number in 0..self.targets.numbers() {
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
        let Some(chooser) = &mut self.membership.chooser else {
            return;
        };
        let own = self.targets.all();
        let own = own.filter(|(_, target)| !target.is_registered);
        let own = own.filter_map(|(number, target)| {
            let (_, script) = self.router.has(number)?;
            Some((target.digest, script))
        });
        chooser.set_scripts(scripts, own);
        self.look_at_subset(now);
    }

    /// What this shard has learned since this was asked last.
    pub(crate) fn take_news(&mut self) -> Option<Vec<FleetNews>> {
        let news = &mut self.membership.chooser.as_mut()?.news;
        (!news.is_empty()).then(|| std::mem::take(news))
    }

    /// The nodes that this shard has no sessions to, with what they have, as far as it is known: the first few of each script.
    pub(crate) fn elsewhere(&self) -> Vec<(String, Arc<Announcement>)> {
        let Some(chooser) = &self.membership.chooser else {
            return Vec::new();
        };
        let own = self.targets.all();
        let own = own.filter(|(_, target)| !target.is_gone);
        chooser.elsewhere(&own.map(|(_, target)| target.digest).collect())
    }
}
