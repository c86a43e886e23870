//! Which members a shard has sessions to, where that are not all: its subset, and who stands in for those of it that are lost.
//!
//! The rule is the order of [`Subset`]: a shard has the first of it. Where some of those get no calls, as they are down, silent,
//! left out or draining, it has the next of the order besides, until so many of them are well as the subset is to have. What the
//! fleet can do and none of those can, it has from the first members of the order that can. And so that it is known what the
//! fleet can do, the shards of a process tell each other what their members have said ([`Scripts`]); those members that are in
//! the subset of no shard are asked in turn, one at a time.

use super::missing::Missing;
use super::rendezvous::Subset;
use super::scripts::{Script, Scripts};
use crate::numbers::later;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

/// How often it is looked.
pub const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How long a member is not well until another stands in for it, and how long one has to become so. Where none is well nobody waits.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long those who stand in stay when they are not needed any more: a member that flaps is not to have them come and go.
const SURPLUS: Duration = Duration::from_secs(10);

/// Members of the order that a shard has at the most, whatever is wrong with them: so many times the subset, and these besides.
const MOST_TIMES: usize = 4;
const MOST_MORE: usize = 16;

/// Members of a script that nobody else has, of which so many are tried until they are well.
const OF_SCRIPT: usize = 2;

/// How long a member has to say what it has that is asked for that only.
const ASKED_MOST: Duration = Duration::from_secs(2);

/// How often such a member is asked at the most.
const ASK_EACH: Duration = Duration::from_secs(30);

/// How a member is that there are sessions to, or are to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Standing {
    /// Calls are put on it.
    pub is_well: bool,
    /// It has said on a session what it has.
    pub has_said: bool,
}

/// What was seen of a member.
#[derive(Debug, Clone, Copy)]
struct Seen {
    is_well: bool,
    /// It has been, since it was chosen.
    was_well: bool,
    /// When it was well last, or was chosen.
    at: Instant,
}

impl Seen {
    /// Whether it may still become well.
    fn is_fresh(&self, now: Instant) -> bool {
        !self.was_well && now < later(self.at, PATIENCE)
    }
}

/// The members of a shard.
#[derive(Debug)]
pub struct Neighbours {
    subset: Subset,
    /// The digests of all members, their places in the shard's order, and where in that each stands.
    members: Vec<u64>,
    order: Vec<usize>,
    ranks: HashMap<u64, usize>,
    /// How many of the order it has.
    length: usize,
    /// Since when that are more than are needed.
    surplus_since: Option<Instant>,
    /// Those that it has, by their digests.
    seen: HashMap<u64, Seen>,
    chosen: Vec<usize>,
    missing: Missing,
    /// Members that no shard of the process has, of which this one asks what they have.
    to_ask: Vec<usize>,
    next_asked: usize,
    /// Those of them that have not been asked yet, which are asked first, one after the other; the digests of the others.
    unasked: VecDeque<usize>,
    were_asked: HashSet<u64>,
    asked: Option<(usize, Instant)>,
    is_asked_only: Option<usize>,
    ask_at: Instant,
}

impl Neighbours {
    /// Those of a shard with this subset.
    #[must_use]
    pub fn new(subset: Subset, now: Instant) -> Self {
        Self {
            length: subset.size,
            subset,
            members: Vec::new(),
            order: Vec::new(),
            ranks: HashMap::new(),
            surplus_since: None,
            seen: HashMap::new(),
            chosen: Vec::new(),
            missing: Missing::default(),
            to_ask: Vec::new(),
            next_asked: 0,
            unasked: VecDeque::new(),
            were_asked: HashSet::new(),
            asked: None,
            is_asked_only: None,
            ask_at: now,
        }
    }

    /// These are the members from now on, by the digests of their names.
    pub fn set_members(&mut self, members: Vec<u64>) {
        self.order = self.subset.order(&members);
        self.to_ask = self.subset.left_over(&members);
        let ranks = self.order.iter().enumerate();
        self.ranks = ranks.map(|(rank, place)| (members[*place], rank)).collect();
        self.seen
            .retain(|member, _| self.ranks.contains_key(member));
        self.were_asked
            .retain(|member| self.ranks.contains_key(member));
        let unasked = self.to_ask.iter().copied();
        self.unasked = unasked
            .filter(|place| !self.were_asked.contains(&members[*place]))
            .collect();
        self.next_asked %= self.to_ask.len().max(1);
        (self.asked, self.is_asked_only) = (None, None);
        self.missing.members_changed();
        self.chosen.clear();
        self.members = members;
    }

    /// Whether this is one of the members.
    #[must_use]
    pub fn has(&self, member: u64) -> bool {
        self.ranks.contains_key(&member)
    }

    /// The members that it is to have, as places among all, and those that it has had stay in front where they are to stay.
    /// `standing` is asked of those that it has.
    pub fn look(
        &mut self,
        now: Instant,
        scripts: &Scripts,
        standing: impl Fn(usize) -> Standing,
    ) -> &[usize] {
        for &place in &self.chosen {
            let is_well = standing(place).is_well;
            if let Some(seen) = self.seen.get_mut(&self.members[place]) {
                seen.is_well = is_well;
                if is_well {
                    (seen.was_well, seen.at) = (true, now);
                }
            }
        }
        let first = &self.order[..self.length.min(self.order.len())];
        let may_take = |seen: &Seen| seen.is_well || seen.is_fresh(now);
        let seen = first
            .iter()
            .map(|&place| self.seen.get(&self.members[place]));
        let is_alone = !seen.into_iter().any(|seen| seen.is_none_or(may_take));
        let size = self.subset.size;
        let most = size.saturating_mul(MOST_TIMES).saturating_add(MOST_MORE);
        let needed = self.first(self.order.iter().copied(), (size, most), is_alone, now);
        self.set_length(needed.len().max(size), now);
        let length = self.length.min(self.order.len());
        let mut chosen = self.order[..length].to_vec();
        self.add_scripts(&mut chosen, scripts, now);
        let asked = self.next_asked(now, scripts, &standing);
        self.is_asked_only = asked.filter(|place| !chosen.contains(place));
        chosen.extend(asked);
        let mut known = HashSet::new();
        chosen.retain(|place| known.insert(*place));
        let is_chosen = |member: &u64| {
            let rank = self.ranks.get(member);
            rank.is_some_and(|rank| known.contains(&self.order[*rank]))
        };
        self.seen.retain(|member, _| is_chosen(member));
        for &place in &chosen {
            let new = Seen {
                is_well: false,
                was_well: false,
                at: now,
            };
            self.seen.entry(self.members[place]).or_insert(new);
        }
        self.chosen = chosen;
        &self.chosen
    }

    /// The one of them that it has for no call, but to hear what it has.
    #[must_use]
    pub fn asked_only(&self) -> Option<usize> {
        self.is_asked_only
    }

    /// The first of these until so many of them may take calls, and no more than so many in all.
    fn first(
        &self,
        order: impl Iterator<Item = usize>,
        (enough, most): (usize, usize),
        is_alone: bool,
        now: Instant,
    ) -> Vec<usize> {
        let is_out = |place: usize| {
            let seen = self.seen.get(&self.members[place]);
            seen.is_some_and(|seen| {
                let is_over = now >= later(seen.at, PATIENCE);
                !seen.is_well && (is_over || is_alone && seen.was_well)
            })
        };
        let mut well = 0;
        let until_enough = order.take_while(|&place| {
            let has_enough = well == enough;
            well += usize::from(!is_out(place));
            !has_enough
        });
        until_enough.take(most).collect()
    }

    fn set_length(&mut self, needed: usize, now: Instant) {
        if needed >= self.length {
            self.length = needed;
            self.surplus_since = None;
            return;
        }
        let since = *self.surplus_since.get_or_insert(now);
        if now >= later(since, SURPLUS) {
            self.length = needed;
            self.surplus_since = None;
        }
    }

    /// Adds members that have what none of these has.
    fn add_scripts(&mut self, chosen: &mut Vec<usize>, scripts: &Scripts, now: Instant) {
        let may_take = |place: &&usize| {
            let seen = self.seen.get(&self.members[**place]);
            seen.is_none_or(|seen| seen.is_well || seen.is_fresh(now))
        };
        let own = chosen.iter().filter(may_take);
        let own: BTreeSet<Script> = own
            .filter_map(|place| scripts.get(self.members[*place]))
            .collect();
        let mut missing = std::mem::take(&mut self.missing);
        missing.look(own, scripts, |member| self.ranks.get(&member).copied());
        for ranks in missing.ranks() {
            let of_it = ranks.iter().map(|rank| self.order[*rank]);
            chosen.extend(self.first(of_it, (OF_SCRIPT, ranks.len()), false, now));
        }
        self.missing = missing;
    }

    /// The member that is asked what it has, as no shard has it.
    fn next_asked(
        &mut self,
        now: Instant,
        scripts: &Scripts,
        standing: &impl Fn(usize) -> Standing,
    ) -> Option<usize> {
        if let Some((place, since)) = self.asked
            && (now >= later(since, ASKED_MOST) || standing(place).has_said)
        {
            self.asked = None;
        }
        if self.asked.is_none() && now >= self.ask_at && !self.to_ask.is_empty() {
            let is_unknown = |place: &usize| scripts.get(self.members[*place]).is_none();
            while self
                .unasked
                .pop_front_if(|place| !is_unknown(place))
                .is_some()
            {}
            let each = match self.unasked.is_empty() {
                true => ASK_EACH / u32::try_from(self.to_ask.len()).unwrap_or(u32::MAX),
                false => Duration::ZERO,
            };
            let place = self.unasked.pop_front().unwrap_or_else(|| {
                let next = self.next_asked;
                self.next_asked = (next + 1) % self.to_ask.len();
                self.to_ask[next]
            });
            self.were_asked.insert(self.members[place]);
            self.asked = Some((place, now));
            self.ask_at = later(now, each.max(LOOK_INTERVAL));
        }
        self.asked.map(|(place, _)| place)
    }
}

#[cfg(test)]
mod tests {
    use super::super::digest;
    use super::*;
    use crate::call::Announcement;
    use crate::call::catalog::FunctionOptions;
    use std::sync::Arc;

    const MS: Duration = Duration::from_millis(1);

    struct Fleet {
        neighbours: Neighbours,
        scripts: Scripts,
        members: Vec<u64>,
        down: HashSet<usize>,
        now: Instant,
    }

    impl Fleet {
        fn new(members: usize, (shard, shards): (usize, usize), size: usize) -> Self {
            let now = Instant::now();
            let subset = Subset {
                process: 7,
                shard,
                shards,
                size,
            };
            let members: Vec<u64> = (0..members).map(|one| digest(&one.to_le_bytes())).collect();
            let mut neighbours = Neighbours::new(subset, now);
            neighbours.set_members(members.clone());
            let mut fleet = Self {
                neighbours,
                scripts: Scripts::default(),
                members,
                down: HashSet::new(),
                now,
            };
            fleet.pass(Duration::ZERO);
            fleet.pass(LOOK_INTERVAL);
            fleet
        }

        fn has(&mut self, member: usize, script: u64, names: &[&str]) {
            let named = |name: &&str| ((*name).to_owned(), FunctionOptions::default());
            let functions = names.iter().map(named).collect();
            let said = Arc::new(Announcement { functions });
            assert!(self.scripts.note(self.members[member], script, &said));
        }

        /// Looks, again and again, until so much time is over.
        fn pass(&mut self, time: Duration) -> Vec<usize> {
            let until = self.now + time;
            loop {
                let down = &self.down;
                let chosen = self
                    .neighbours
                    .look(self.now, &self.scripts, |place| Standing {
                        is_well: !down.contains(&place),
                        has_said: !down.contains(&place),
                    });
                let chosen = chosen.to_vec();
                if self.now >= until {
                    return chosen;
                }
                self.now += LOOK_INTERVAL;
            }
        }
    }

    #[test]
    fn the_next_of_the_order_stand_in_for_those_that_are_lost_until_they_are_back() {
        let mut fleet = Fleet::new(6, (0, 3), 2);
        let own = fleet.pass(Duration::ZERO);
        assert_eq!(own, fleet.neighbours.order[..2]);
        fleet.down.insert(own[0]);
        // A short absence is none.
        assert_eq!(fleet.pass(PATIENCE - LOOK_INTERVAL), own);
        let with_one = fleet.pass(2 * LOOK_INTERVAL);
        assert_eq!(with_one, fleet.neighbours.order[..3]);
        fleet.down.insert(own[1]);
        assert_eq!(
            fleet.pass(PATIENCE + LOOK_INTERVAL),
            fleet.neighbours.order[..4]
        );
        // One that stands in is lost as well.
        fleet.down.insert(with_one[2]);
        assert_eq!(
            fleet.pass(PATIENCE + LOOK_INTERVAL),
            fleet.neighbours.order[..5]
        );
        fleet.down.clear();
        assert_eq!(fleet.pass(SURPLUS / 2).len(), 5);
        assert_eq!(fleet.pass(SURPLUS), own);
    }

    #[test]
    fn where_none_is_well_nobody_waits_and_not_all_are_asked_at_once() {
        let mut fleet = Fleet::new(100, (0, 50), 2);
        let own = fleet.pass(Duration::ZERO);
        fleet.down = (0..100).collect();
        for _ in 0..10 {
            assert_eq!(fleet.pass(Duration::ZERO), fleet.neighbours.order[..4]);
        }
        let most = 2 * MOST_TIMES + MOST_MORE;
        assert_eq!(fleet.pass(Duration::from_secs(60)).len(), most);
        fleet.down.clear();
        assert_eq!(fleet.pass(SURPLUS + LOOK_INTERVAL), own);
    }

    #[test]
    fn what_only_others_have_is_had_from_them() {
        let mut fleet = Fleet::new(6, (0, 3), 2);
        for member in 0..6 {
            fleet.has(member, 1, &["f"]);
        }
        let own = fleet.pass(Duration::ZERO);
        assert_eq!(own.len(), 2);
        let other = fleet.neighbours.order[4];
        fleet.has(other, 2, &["f", "g"]);
        assert_eq!(fleet.pass(Duration::ZERO), [own[0], own[1], other]);
        // It is enough that the shard has all of it.
        fleet.has(own[1], 2, &["f", "g"]);
        assert_eq!(fleet.pass(Duration::ZERO), own);
        // Unless who has it is down.
        fleet.down.insert(own[1]);
        let chosen = fleet.pass(PATIENCE + LOOK_INTERVAL);
        assert!(chosen.contains(&other), "{chosen:?}");
        // What nobody has any more, nobody is asked for.
        fleet.down.clear();
        fleet.has(own[1], 1, &["f"]);
        fleet.has(other, 1, &["f"]);
        assert_eq!(fleet.pass(SURPLUS + LOOK_INTERVAL), own);
        assert_eq!(fleet.scripts.all().count(), 1);
        assert!(fleet.scripts.forget(fleet.members[other]));
        assert!(fleet.scripts.of(fleet.members[other]).is_none());
    }

    #[test]
    fn members_of_no_shard_are_asked_in_turn() {
        let mut asked = HashSet::new();
        for shard in 0..2 {
            let mut fleet = Fleet::new(20, (shard, 2), 3);
            let first = fleet.neighbours.order[..3].to_vec();
            for _ in 0..4 * 60 {
                let chosen = fleet.pass(250 * MS);
                assert!(chosen.len() <= 4 && chosen[..3] == first);
                asked.extend(chosen.get(3).copied());
            }
        }
        assert_eq!(asked.len(), 14);
        let mut fleet = Fleet::new(6, (0, 2), 3);
        assert_eq!(fleet.pass(Duration::from_secs(60)).len(), 3);
    }

    #[test]
    fn who_was_asked_is_not_asked_at_once_again_where_another_member_comes() {
        let mut fleet = Fleet::new(20, (0, 1), 2);
        fleet.pass(18 * LOOK_INTERVAL);
        assert!(fleet.neighbours.unasked.is_empty());
        for more in 20..40_usize {
            fleet.members.push(digest(&more.to_le_bytes()));
            // What all have but this one is known.
            for member in 0..more {
                fleet.has(member, 1, &[&format!("f{more}")]);
            }
            fleet.neighbours.set_members(fleet.members.clone());
            assert!(fleet.neighbours.unasked.len() <= 3);
            let mut asked = HashSet::new();
            for _ in 0..8 {
                asked.extend(fleet.pass(LOOK_INTERVAL));
            }
            let is_own = fleet.neighbours.order[..2].contains(&more);
            assert!(is_own || asked.contains(&more), "{more}: {asked:?}");
            // Two that it has, the new one, and in turn one in a second and a half at the most.
            assert!(asked.len() <= 2 + 1 + 3, "{asked:?}");
        }
    }

    #[test]
    fn names_are_compared_where_scripts_have_changed_and_not_at_each_look() {
        let mut fleet = Fleet::new(12, (0, 2), 2);
        for member in 0..12 {
            fleet.has(member, 1, &["f"]);
        }
        let own = fleet.pass(Duration::ZERO);
        let others = fleet.neighbours.order[6..].to_vec();
        fleet.has(others[0], 2, &["f", "g"]);
        assert!(fleet.pass(Duration::ZERO).contains(&others[0]));
        let before = fleet.neighbours.missing.comparisons;
        fleet.pass(Duration::from_secs(60));
        // Nor where one more has what is known, which may be the one that is called.
        for other in &others[1..] {
            fleet.has(*other, 2, &["f", "g"]);
            assert!(fleet.pass(Duration::ZERO).contains(&others[0]));
        }
        assert_eq!(fleet.neighbours.missing.comparisons, before);
        // One more has it for those of them that are down.
        fleet.down.extend([others[0], others[1]]);
        let chosen = fleet.pass(PATIENCE + LOOK_INTERVAL);
        assert!(chosen.contains(&others[2]), "{chosen:?}");
        for other in others {
            fleet.has(other, 1, &["f"]);
        }
        fleet.down.clear();
        assert_eq!(fleet.pass(Duration::ZERO), own);
        assert!(fleet.neighbours.missing.comparisons > before);
    }
}
