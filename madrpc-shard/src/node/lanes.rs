//! The lanes of a shard: those that wait for a call, and the making of new ones.
//!
//! A lane belongs to its call while that is under way, and is here before and after. One that must not be used again is
//! renewed by its image, or dropped; others are made until the pool is full again, beside the calls, or at once where a call
//! waits for one. They are made slice by slice, as every script takes its time to load.

use super::packing::UNPACKED_PER_LANE;
use super::rows::Counts;
use super::turns::UNSLICED;
use crate::engine::{
    LARGE_BLOCKS_MAX, Lane, LaneConfig, Loaded, Loading, Model, Registration, Script, ScriptError,
};

use crate::net::seat::Seat;
use crate::net::shares::AccountKey;
use crate::runtime::memory::mappings_max;
use std::time::{Duration, Instant};

/// Mappings of a lane: its stack, a page that ends it, its heap, and what that may yet take.
const MAPPINGS_PER_LANE: usize = 4;

/// Mappings that are left for everything else.
const MAPPINGS_LEFT: usize = 3000;

/// What a lane takes, at the least.
const LANE_COST_BYTES: usize = 350 << 10;

/// How many lanes have an image by which they can be renewed: so many, or twice the pool. Those beyond are made anew, lest
/// waiting calls take twice the memory; one of them that is stopped by force for good leaves some 3 KB behind.
const IMAGES: usize = 64;

/// What one caller may have of the lanes, for each that is left: four fifths of all where it is alone, and something is left
/// for those who come (see [`crate::net::budget`]).
const PART_OF_FREE: usize = 4;

/// What lanes without a call may hold together beyond what each does, as a part of the memory for lanes: what scripts remember
/// from call to call.
const PART_OF_KEPT: usize = 8;

/// What is kept, as a part of the most lanes, for callers who have few: some of the pool at the most.
const PART_OF_OTHERS: usize = 8;

/// Calls of calls that leave less to those below them the deeper they are, up to so deep: a quarter, an eighth, and so on.
const DEPTHS_APART: u8 = 8;

/// How often it is looked whether there are lanes that nobody needed since the last time.
pub(crate) const RETURN_INTERVAL: Duration = Duration::from_secs(10);

/// What has come of making a lane.
pub(crate) enum Making {
    /// It is there.
    Ready,
    /// It takes another slice.
    Going,
    /// There are as many as there may be.
    Full,
    /// The system gives no memory for it.
    NoMemory(ScriptError),
    /// It cannot be made.
    Failed(ScriptError),
}

/// Lanes without a call.
#[expect(
    clippy::vec_box,
    reason = "a lane moves from here to a call and back, for each call"
)]
pub(crate) struct Lanes {
    script: Script,
    /// What a lane is like that has loaded it.
    model: Model,
    registrations: Vec<Registration>,
    node: String,
    config: LaneConfig,
    /// How many there are at the least, with and without a call; and so many calls of a caller may have a lane and want the core
    /// at the same time, but for those that have had it for long.
    pub(super) pool: usize,
    /// And at the most.
    max: usize,
    /// What one takes that has loaded the script.
    cost: usize,
    /// What all take, and may take.
    bytes: usize,
    bytes_max: usize,
    memory_max: usize,
    /// What those take that have no call.
    free_bytes: usize,
    /// The one used last is the next to be used: it is the one that the core's caches know.
    free: Vec<Box<Lane>>,
    in_use: usize,
    /// Not to be used as they are, each with the caller by whose call: to renew or drop one takes a moment, which no reply
    /// waits for.
    retired: Vec<(Box<Lane>, Option<AccountKey>)>,
    /// By whose call the last one went.
    spoiler: Option<AccountKey>,
    loading: Option<Loading>,
    /// Whether the last try to make one has failed; then only a call that needs one leads to another try.
    cannot_load: bool,
    /// The fewest without a call since the last look.
    free_min: usize,
    next_return: Instant,
}

impl Lanes {
    /// `pool` lanes that have the script loaded, and later as many more as half of so many bytes have room for.
    ///
    /// # Errors
    /// Where a lane cannot load it, or a later one registers other functions than the first.
    pub(crate) fn new(
        seat: &Seat,
        script: &Script,
        config: &LaneConfig,
        pool: usize,
        memory_max: usize,
        now: Instant,
    ) -> Result<Self, ScriptError> {
        let (mut first, registrations) = Lane::load(script, &seat.name, config)?;
        let cost = LANE_COST_BYTES;
        let mut lanes = Self {
            script: script.clone(),
            model: first.model(),
            registrations,
            node: seat.name.clone(),
            config: config.clone(),
            pool,
            max: (lanes_max() / usize::from(seat.shards).max(1)).max(2 * pool),
            cost,
            bytes_max: memory_max / 2,
            memory_max,
            bytes: 0,
            free_bytes: 0,
            free: Vec::new(),
            in_use: 0,
            retired: Vec::new(),
            spoiler: None,
            loading: None,
            cannot_load: false,
            free_min: pool,
            next_return: now + RETURN_INTERVAL,
        };
        lanes.set_cost(&mut first);
        lanes.add(first);
        while lanes.free.len() < pool {
            if let Making::Failed(error) | Making::NoMemory(error) =
                lanes.make(Instant::now(), UNSLICED)
            {
                return Err(error);
            }
        }
        Ok(lanes)
    }

    /// Lanes with a call, and those without that may have one at once.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.in_use, self.free.len())
    }

    /// The script that new lanes load.
    pub(super) const fn script(&self) -> &Script {
        &self.script
    }

    /// What the script has registered.
    pub(super) fn registrations(&self) -> &[Registration] {
        &self.registrations
    }

    /// What a call may use, where its function says nothing else.
    pub(super) fn config(&self) -> &LaneConfig {
        &self.config
    }

    /// A lane for a call of a caller who has so much, if he may have one and there is one. One who is ahead of the others, or whose
    /// calls have as many as the pool, most of them to wait in, leaves some to the others: they shall not make the lanes that he
    /// uses up.
    pub(super) fn claim(
        &mut self,
        is_isolated: bool,
        (is_child, depth): (bool, u8),
        counts: Counts,
        is_ahead: bool,
    ) -> Option<Box<Lane>> {
        let may_run = self.has_part(counts, depth);
        let is_modest = !is_ahead && counts.lanes() < self.pool;
        let is_left = may_run && (is_modest || self.has_spare(is_child));
        is_left.then(|| self.take(is_isolated)).flatten()
    }

    /// A lane for a call; one in which nothing ran but the script, where the call has to have that.
    pub(super) fn take(&mut self, is_isolated: bool) -> Option<Box<Lane>> {
        let lane = if is_isolated {
            let fresh = self.free.iter().rposition(|lane| lane.is_fresh())?;
            self.free.remove(fresh)
        } else {
            self.free.pop()?
        };
        self.free_bytes -= lane.noted_bytes();
        self.free_min = self.free_min.min(self.free.len());
        self.in_use += 1;
        Some(lane)
    }

    /// Whether a caller who has so much may have a lane more, for a call with so many above it: those above leave a part to those
    /// below, which they wait for.
    pub(super) fn has_part(&self, own: Counts, depth: u8) -> bool {
        let of = |part: usize| part - (part >> (depth.min(DEPTHS_APART) + 2));
        let lanes = PART_OF_FREE * self.max.saturating_sub(self.in_use);
        let own_lanes = own.lanes();
        own_lanes < of(lanes)
            && (own_lanes <= 1 || own.memory <= of(self.part_of_bytes()))
            && !self.is_beyond_part(own)
    }

    /// Bytes that the lanes of one caller may take.
    fn part_of_bytes(&self) -> usize {
        PART_OF_FREE * (self.bytes_max.saturating_sub(self.bytes) + self.free_bytes)
    }

    /// Whether the lanes of a caller who has so much hold more than its part.
    pub(super) fn is_beyond_part(&self, own: Counts) -> bool {
        // One call alone may have all but what is kept for others.
        own.memory > self.part_of_bytes()
            && (own.lanes() > 1 || self.bytes + self.kept() * self.cost > self.bytes_max)
    }

    /// Whether all take more than a quarter of what they may.
    pub(super) fn is_quarter_full(&self) -> bool {
        self.bytes > self.bytes_max / 4
    }

    /// Whether there is no room for another, or for one that is unpacked.
    pub(super) fn is_full(&self) -> bool {
        self.bytes + self.cost > self.bytes_max
    }

    /// Lets one go that has no call, where there are more than those that are kept; says whether it did.
    pub(super) fn retire_spare(&mut self) -> bool {
        let is_spare = self.free.len() > self.kept() + 1;
        if is_spare {
            // The one used last is the one that the core's caches know.
            let lane = self.free.remove(0);
            self.free_bytes -= lane.noted_bytes();
            self.free_min = self.free_min.min(self.free.len());
            self.retired.push((lane, None));
        }
        is_spare
    }

    /// Whether all hold a quarter more than they may.
    pub(super) fn is_overfull(&self) -> bool {
        self.bytes > self.bytes_max + self.bytes_max / 4
    }

    /// How many more can be made.
    fn room(&self) -> usize {
        let all = self.free.len() + self.in_use;
        let by_bytes = self.bytes_max.saturating_sub(self.bytes) / self.cost;
        by_bytes.min(self.max.saturating_sub(all))
    }

    /// Counts what a lane takes by now, and gives it.
    pub(super) fn note(&mut self, lane: &mut Lane) -> usize {
        let (before, now) = lane.note_bytes();
        self.bytes = self.bytes - before + now;
        now
    }

    /// Those that a call could have at once.
    pub(super) fn free(&self) -> usize {
        self.free.len()
    }

    /// Those of calls.
    pub(super) fn in_use(&self) -> usize {
        self.in_use
    }

    /// Whether there are more than those that are kept for callers who have few, or there can be no more; one more than that for
    /// calls of calls, which would leave none to other calls of their caller.
    pub(super) fn has_spare(&self, is_child: bool) -> bool {
        self.free.len() > self.kept() + usize::from(is_child) || self.room() == 0
    }

    fn kept(&self) -> usize {
        let most = self.max.min(self.bytes_max / self.cost);
        self.pool.min(most / PART_OF_OTHERS)
    }

    /// Takes back a lane whose call is over, by this caller.
    pub(super) fn put_back(&mut self, mut lane: Box<Lane>, caller: AccountKey) {
        if self.in_use + self.free.len() > UNPACKED_PER_LANE * self.pool {
            lane.give_back_stack();
        }
        self.in_use -= 1;
        let bytes = self.note(&mut lane);
        if !lane.is_spoilt() && lane.runs(&self.script) && self.may_keep(bytes) {
            self.free_bytes += bytes;
            self.free.push(lane);
        } else {
            lane.spoil();
            self.spoiler = Some(caller);
            self.retired.push((lane, self.spoiler));
        }
    }

    /// Whether there is one to be dropped, or to be made although no call waits for it.
    pub(super) fn wants(&self) -> bool {
        !self.retired.is_empty() || self.is_short()
    }

    /// Whether there is one to be made although no call waits for it.
    pub(super) fn is_short(&self) -> bool {
        let all = self.free.len() + self.in_use;
        // While calls hold some for long, another has one without waiting for it.
        let has_none_spare = self.in_use > 0 && !self.has_spare(false);
        let is_short = all < self.pool || has_none_spare;
        match &self.loading {
            Some(loading) => loading.is_due(),
            None => is_short && !self.cannot_load && self.room() > 0,
        }
    }

    /// Until when the one that is being made waits, where it does.
    pub(super) fn wakes_at(&self) -> Option<Instant> {
        self.loading.as_ref().and_then(Loading::wakes_at)
    }

    /// Renews or drops one that must not be used as it is, if there is one, or does something towards that; gives the caller by
    /// whose call, if it was by one.
    pub(super) fn look_after_retired(&mut self) -> Option<Option<AccountKey>> {
        let (mut lane, caller) = self.retired.pop()?;
        if lane.is_spoilt() && lane.shrink() {
            self.note(&mut lane);
            self.retired.push((lane, caller));
            return Some(caller);
        }
        if lane.is_spoilt() && lane.runs(&self.script) && lane.renew() {
            self.free_bytes += self.note(&mut lane);
            self.free.push(lane);
        } else {
            self.bytes -= lane.noted_bytes();
        }
        Some(caller)
    }

    /// Whether there is one to be renewed or dropped.
    pub(super) fn has_retired(&self) -> bool {
        !self.retired.is_empty()
    }

    /// Whether one without a call may hold so much, which is what its script remembers.
    fn may_keep(&self, bytes: usize) -> bool {
        if self.is_full() && self.free.len() > self.pool {
            return false;
        }
        let usual = (self.free.len() + 1) * 2 * self.cost;
        self.free_bytes + bytes <= usual + self.bytes_max / PART_OF_KEPT
    }

    fn set_cost(&mut self, lane: &mut Lane) {
        let (_, bytes) = lane.note_bytes();
        self.cost = bytes.max(LANE_COST_BYTES);
        self.bytes_max = (self.memory_max / 2).max(2 * self.pool * self.cost);
        self.bytes += bytes;
    }

    fn add(&mut self, mut lane: Lane) {
        self.free_bytes += self.note(&mut lane);
        lane.set_model(&self.model);
        if self.free.len() + self.in_use < IMAGES.max(2 * self.pool) {
            lane.keep_image();
        }
        // The caches know those that have been used.
        self.free.insert(0, Box::new(lane));
    }

    /// The caller whose call took the lane that is missing, if it was one's.
    pub(super) fn spoiler(&self) -> Option<AccountKey> {
        self.spoiler
    }

    /// Makes a lane, for one slice.
    pub(crate) fn make(&mut self, now: Instant, slice: Duration) -> Making {
        let begun = match self.loading.take() {
            Some(loading) => loading,
            None if self.room() == 0 => return Making::Full,
            None => match Loading::begin(&self.script, &self.node, &self.config) {
                Ok(loading) => loading,
                Err(error) => {
                    self.cannot_load = true;
                    return Making::NoMemory(error);
                }
            },
        };
        let error = match begun.resume(now, slice) {
            Loaded::Not(loading) => {
                self.loading = Some(loading);
                return Making::Going;
            }
            Loaded::Ready(lane, functions) if functions == self.registrations => {
                self.cannot_load = false;
                self.add(lane);
                return Making::Ready;
            }
            Loaded::Ready(..) => ScriptError::inconstant(&self.script),
            Loaded::Failed(error) => error,
        };
        self.cannot_load = true;
        Making::Failed(error)
    }

    /// From now on lanes have another script; `first` has it already. Those in use go when their calls are over.
    pub(super) fn replace(
        &mut self,
        script: Script,
        mut first: Lane,
        registrations: Vec<Registration>,
    ) {
        self.script = script;
        self.model = first.model();
        self.registrations = registrations;
        self.loading = None;
        self.spoiler = None;
        self.cannot_load = false;
        self.free_bytes = 0;
        self.set_cost(&mut first);
        self.retired
            .extend(self.free.drain(..).map(|lane| (lane, None)));
        self.add(first);
    }

    /// Gives back those beyond the pool that nobody has needed for a while: waiting calls can take many.
    pub(crate) fn give_back(&mut self, now: Instant) {
        if now < self.next_return {
            return;
        }
        self.next_return = now + RETURN_INTERVAL;
        let beyond = (self.free.len() + self.in_use).saturating_sub(self.pool);
        let spare = if self.in_use > 0 { self.kept() + 1 } else { 0 };
        // One by one, when there is time: to drop many takes as long as they are many.
        let unneeded = beyond.min(self.free_min.saturating_sub(spare));
        let unneeded = self.free.drain(..unneeded);
        let unneeded = unneeded.inspect(|lane| self.free_bytes -= lane.noted_bytes());
        self.retired.extend(unneeded.map(|lane| (lane, None)));
        self.free_min = self.free.len();
    }
}

/// Lanes of all shards for which there are mappings, most of them of waiting calls.
fn lanes_max() -> usize {
    let mappings = mappings_max().saturating_sub(LARGE_BLOCKS_MAX + MAPPINGS_LEFT);
    mappings / MAPPINGS_PER_LANE
}
