//! A timing wheel in levels: very many timers, most of which are removed before they fire.
//!
//! A deadline per call is set and removed a million times a second, and each may be a day away. So setting, removing
//! and finding the next one take a bounded number of steps, however many timers there are and however far they lie
//! apart.
//!
//! A ring has 32 slots of the same width: a millisecond, 32 of them, 32 × 32, and so on. A slot holds the timers of one
//! single millisecond, or else a ring of narrower slots:
//!
//! ```text
//! slots of 1,024 ms   [ … 27 │ 28 │ 29 … ]
//!                          │     └─ the timers of 30,003 ms: no other time is in this slot
//! slots of 1 ms            └─ [ … 3 │ 4 │ 5 … ]   of 27,648 to 27,680 ms: its times differ in nothing wider
//! ```
//!
//! There is a ring only where times part, so there are fewer rings than timers, and none on the way that tells nothing
//! apart. **No timer is ever moved to another slot as time goes on.** A wheel whose wide slots are plain lists has to
//! hand a whole list down when its time comes, be it a hundred thousand timers at once, and does not know when the next
//! of them is due before it has. Here the next timer is where the first slots in use lead.

use slab::Slab;
use std::time::{Duration, Instant};

/// How many bits of a time choose the slot of a ring.
const SLOT_BITS: u32 = 5;

/// Slots of a ring. With fewer the way to a timer is longer, with more a ring takes more memory.
const SLOTS: usize = 1 << SLOT_BITS;

/// The latest millisecond that a timer can have: some 35,000 years after the wheel was made, in ten levels of rings.
const LATEST_MS: u64 = (1 << 50) - 1;

/// Names a timer until it fires or is removed. No two timers of a wheel ever have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimerKey {
    index: u32,
    serial: u64,
}

#[derive(Debug)]
struct Timer<T> {
    /// Milliseconds after the wheel's epoch.
    at: u64,
    /// Counts up, and so tells the timers apart that have had the same index.
    serial: u64,
    /// The timers of a millisecond make a circle, in the order in which they were set.
    previous: u32,
    next: u32,
    value: T,
}

/// What a slot holds. Indices of 32 bits halve a ring; more timers than that would take over a hundred GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Nothing,
    /// All timers of one millisecond: the last that was set, which the first follows.
    Timers(u32),
    Ring(u32),
}

/// Slots for a part of time; at least two of them are in use.
#[derive(Debug)]
struct Ring {
    /// A time within it.
    near: u64,
    /// A slot is `1 << shift` milliseconds wide.
    shift: u32,
    /// A bit for each slot in use.
    used: u32,
    slots: [Held; SLOTS],
}

/// Where something is held.
#[derive(Debug, Clone, Copy)]
enum Place {
    Top,
    Slot { ring: u32, slot: usize },
}

/// Timers with a value each. A timer never fires early, and at most a millisecond late if the wheel is turned in time.
///
/// Each method takes a bounded number of steps: on the way to a millisecond there are ten rings at the most, and three
/// where all timers lie within half a minute. A timer takes 40 bytes and its value, and up to 280 more where it is far
/// from all others.
#[derive(Debug)]
pub struct Wheel<T> {
    timers: Slab<Timer<T>>,
    rings: Slab<Ring>,
    top: Held,
    /// Where the timers of the millisecond are that one was set for last: under load the next one is for the same.
    recent: Option<(u64, Place)>,
    epoch: Instant,
    /// All milliseconds up to this one have had their turn.
    turned: u64,
    /// The millisecond of the timer that is due next.
    next: Option<u64>,
    last_serial: u64,
}

impl<T> Wheel<T> {
    /// A wheel without timers, which has fired everything up to `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            timers: Slab::new(),
            rings: Slab::new(),
            top: Held::Nothing,
            recent: None,
            epoch: now,
            turned: 0,
            next: None,
            last_serial: 0,
        }
    }

    /// Timers that have not fired.
    #[must_use]
    pub fn len(&self) -> usize {
        self.timers.len()
    }

    /// Whether there is no timer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.timers.is_empty()
    }

    /// Sets a timer. One that lies in the past fires in the millisecond after the last turn: who sets a timer whenever
    /// one has fired must not go round for ever.
    pub fn insert(&mut self, at: Instant, value: T) -> TimerKey {
        let since = at.saturating_duration_since(self.epoch);
        // Rounded up, so that no timer fires early.
        let at = milliseconds(since, since.subsec_nanos().div_ceil(1_000_000));
        let at = at.max(self.turned + 1).min(LATEST_MS);
        self.last_serial += 1;
        let serial = self.last_serial;
        let entry = self.timers.vacant_entry();
        let index = entry.key() as u32;
        entry.insert(Timer {
            at,
            serial,
            previous: index,
            next: index,
            value,
        });
        self.hold(at, index);
        self.next = Some(self.next.map_or(at, |next| next.min(at)));
        TimerKey { index, serial }
    }

    /// Removes a timer and gives back its value; nothing where it has fired or been removed.
    pub fn remove(&mut self, key: TimerKey) -> Option<T> {
        let timer = self.timers.get(key.index as usize)?;
        match timer.serial == key.serial {
            true => self.take(key.index),
            false => None,
        }
    }

    /// Removes a timer that is due at `now` and gives its value; call it until it gives `None`. They come in the order of
    /// their milliseconds, and those of the same one as they were set.
    pub fn expire(&mut self, now: Instant) -> Option<T> {
        let since = now.saturating_duration_since(self.epoch);
        let now = milliseconds(since, since.subsec_millis());
        self.turned = self.turned.max(now);
        if self.next? > now {
            return None;
        }
        self.take(self.first()?)
    }

    /// When to turn the wheel next: when its next timer is due.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        self.epoch.checked_add(Duration::from_millis(self.next?))
    }

    /// The timer that is due next.
    fn first(&self) -> Option<u32> {
        let mut held = self.top;
        loop {
            held = match held {
                Held::Nothing => return None,
                Held::Timers(last) => return Some(self.timers[last as usize].next),
                Held::Ring(ring) => self.rings[ring as usize].first(),
            };
        }
    }

    /// Takes a timer out.
    fn take(&mut self, index: u32) -> Option<T> {
        let Timer {
            at,
            serial,
            previous,
            next,
            value,
        } = self.timers.try_remove(index as usize)?;
        if next == index {
            self.release(at);
            if self.next == Some(at) {
                let first = self.first();
                self.next = first.map(|first| self.timers[first as usize].at);
            }
            return Some(value);
        }
        self.timers[previous as usize].next = next;
        self.timers[next as usize].previous = previous;
        if self.timers[next as usize].serial < serial {
            let (_, place) = self.find(at);
            self.set(place, Held::Timers(previous));
        }
        Some(value)
    }
}

/// The way to a timer.
impl<T> Wheel<T> {
    fn held(&self, place: Place) -> Held {
        match place {
            Place::Top => self.top,
            Place::Slot { ring, slot } => self.rings[ring as usize].slots[slot],
        }
    }

    fn set(&mut self, place: Place, held: Held) {
        match place {
            Place::Top => self.top = held,
            Place::Slot { ring, slot } => self.rings[ring as usize].set(slot, held),
        }
    }

    /// Puts a timer into the slot of its millisecond.
    fn hold(&mut self, at: u64, index: u32) {
        if let Some((recent, place)) = self.recent
            && recent == at
            && let Held::Timers(last) = self.held(place)
        {
            self.append(index, last);
            return self.set(place, Held::Timers(index));
        }
        let (mut place, mut held) = (Place::Top, self.top);
        // A time of those at the end of the way, where it is another than the timer's.
        let other = loop {
            match held {
                Held::Nothing => break None,
                Held::Timers(last) => {
                    let near = self.timers[last as usize].at;
                    if near != at {
                        break Some(near);
                    }
                    self.append(index, last);
                    break None;
                }
                Held::Ring(number) => {
                    let ring = &self.rings[number as usize];
                    if !ring.covers(at) {
                        break Some(ring.near);
                    }
                    let slot = ring.slot_of(at);
                    place = Place::Slot { ring: number, slot };
                    held = ring.slots[slot];
                }
            }
        };
        if let Some(other) = other {
            let mut ring = Ring::parting(at, other);
            ring.set(ring.slot_of(other), held);
            let slot = ring.slot_of(at);
            let number = self.rings.insert(ring) as u32;
            self.set(place, Held::Ring(number));
            place = Place::Slot { ring: number, slot };
        }
        self.set(place, Held::Timers(index));
        self.recent = Some((at, place));
    }

    /// Puts a timer between the last of its millisecond and the first, which follows it.
    fn append(&mut self, index: u32, last: u32) {
        let first = std::mem::replace(&mut self.timers[last as usize].next, index);
        self.timers[first as usize].previous = index;
        let timer = &mut self.timers[index as usize];
        (timer.previous, timer.next) = (last, first);
    }

    /// Where the timers of a millisecond are, and where the ring with that slot is.
    fn find(&self, at: u64) -> (Place, Place) {
        let (mut above, mut place, mut held) = (Place::Top, Place::Top, self.top);
        while let Held::Ring(number) = held {
            let ring = &self.rings[number as usize];
            let slot = ring.slot_of(at);
            (above, place) = (place, Place::Slot { ring: number, slot });
            held = ring.slots[slot];
        }
        (above, place)
    }

    /// Empties the slot of a millisecond, and does without its ring where that tells nothing apart any more.
    fn release(&mut self, at: u64) {
        let (above, place) = self.find(at);
        self.set(place, Held::Nothing);
        self.recent = None;
        if let Place::Slot { ring, .. } = place
            && self.rings[ring as usize].used.is_power_of_two()
        {
            let other = self.rings.remove(ring as usize).first();
            self.set(above, other);
        }
    }
}

impl Ring {
    /// An empty one whose slots tell two times apart.
    fn parting(near: u64, other: u64) -> Self {
        let bit = (near ^ other).checked_ilog2().unwrap_or_default();
        Self {
            near,
            shift: bit / SLOT_BITS * SLOT_BITS,
            used: 0,
            slots: [Held::Nothing; SLOTS],
        }
    }

    /// Whether a time lies within it.
    fn covers(&self, at: u64) -> bool {
        (at ^ self.near) >> self.shift < SLOTS as u64
    }

    fn slot_of(&self, at: u64) -> usize {
        (at >> self.shift) as usize % SLOTS
    }

    fn set(&mut self, slot: usize, held: Held) {
        self.slots[slot] = held;
        match held {
            Held::Nothing => self.used &= !(1 << slot),
            _ => self.used |= 1 << slot,
        }
    }

    /// What is held for the earliest times.
    fn first(&self) -> Held {
        match self.used {
            0 => Held::Nothing,
            used => self.slots[used.trailing_zeros() as usize],
        }
    }
}

fn milliseconds(whole: Duration, part: u32) -> u64 {
    let milliseconds = whole.as_secs().saturating_mul(1000);
    milliseconds.saturating_add(u64::from(part)).min(LATEST_MS)
}

#[cfg(test)]
mod tests;
