//! Whose turn it is: what each caller has had of a shard's core, and whether that is more than its part.
//!
//! Callers that want the core at the same time have equal parts of it: first those of different certificates, then the
//! sessions of each. An account grows by the time that its frames and calls take; what each may have grows with it, by that
//! time divided by those who are there. Whoever is beyond that by [`ALLOWANCE`] is *ahead*: others come first, and only
//! where there are others. (Virtual time, as in fair queueing: Demers, Keshav and Shenker, 1989.)
//!
//! Both ways are bounded: who wanted little has no time saved up, and who had what nobody else wanted is not made to wait
//! for long once somebody does.

use slab::Slab;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// More than its part that one may have before others come first: some slices.
const ALLOWANCE: u64 = 2_000_000;

/// The most that an account is before, or behind, what its owner may have.
const DISTANCE_MAX: u64 = 10_000_000;

/// How long a caller counts as one of those who want the core, after the last that it wanted.
const PRESENT: Duration = Duration::from_millis(100);

/// Those who share something equally, in nanoseconds.
#[derive(Debug, Default)]
struct Level {
    /// What each may have had.
    due: u64,
    /// How many there are now.
    present: u64,
}

/// What one of them has had.
#[derive(Debug, Default, Clone, Copy)]
struct Account(u64);

impl Level {
    fn come(&mut self, account: &mut Account) {
        self.present += 1;
        account.0 = account.0.max(self.due);
    }

    fn charge(&mut self, account: &mut Account, time: u64) {
        self.due += time / self.present.max(1);
        let used = account.0.max(self.due.saturating_sub(DISTANCE_MAX)) + time;
        account.0 = used.min(self.due + DISTANCE_MAX);
    }

    fn is_ahead(&self, account: Account) -> bool {
        self.present > 1 && account.0 > self.due + ALLOWANCE
    }
}

/// The sessions of one certificate.
#[derive(Debug, Default)]
struct Group {
    certificate: [u8; 32],
    account: Account,
    sessions: Level,
    /// Those that are open.
    open: usize,
}

#[derive(Debug)]
struct Share {
    /// No later session at the place has the same.
    serial: u64,
    group: usize,
    account: Account,
    /// When it last wanted something, where it is present.
    seen: Option<Instant>,
}

/// That it is to be looked whether a session is present.
#[derive(Debug)]
struct Look {
    since: Instant,
    place: usize,
    serial: u64,
}

/// What the callers of a shard have had of its core, by the places of their sessions.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    shares: Vec<Option<Share>>,
    groups: Slab<Group>,
    by_certificate: HashMap<[u8; 32], usize>,
    callers: Level,
    /// Those who are present, in the order in which it is to be looked whether they still are.
    looks: VecDeque<Look>,
    last_serial: u64,
    /// For whom something is done at the moment, and since when.
    at_work: Option<(usize, Instant)>,
}

impl Shares {
    /// A session of this certificate is open.
    pub(crate) fn open(&mut self, place: usize, certificate: [u8; 32]) {
        if place >= self.shares.len() {
            self.shares.resize_with(place + 1, || None);
        }
        let group = match self.by_certificate.entry(certificate) {
            Entry::Occupied(group) => *group.get(),
            Entry::Vacant(free) => *free.insert(self.groups.insert(Group {
                certificate,
                ..Group::default()
            })),
        };
        self.groups[group].open += 1;
        self.last_serial += 1;
        self.shares[place] = Some(Share {
            serial: self.last_serial,
            group,
            account: Account::default(),
            seen: None,
        });
    }

    /// The session is no more.
    pub(crate) fn close(&mut self, place: usize) {
        if self.at_work.is_some_and(|(at_work, _)| at_work == place) {
            self.at_work = None;
        }
        self.leave(place);
        let Some(share) = self.shares.get_mut(place).and_then(Option::take) else {
            return;
        };
        let group = &mut self.groups[share.group];
        group.open -= 1;
        if group.open == 0 {
            let certificate = group.certificate;
            self.by_certificate.remove(&certificate);
            self.groups.remove(share.group);
        }
    }

    /// From now on what is done is for this session, until the next, or [`Shares::rest`]: datagrams, frames, replies.
    #[inline]
    pub(crate) fn work_for(&mut self, place: usize) {
        let is_known = self.at_work.is_some_and(|(known, _)| known == place);
        // Who opens sessions himself shares nothing.
        if is_known || self.shares.is_empty() {
            return;
        }
        let now = Instant::now();
        self.rest_at(now);
        self.at_work = Some((place, now));
    }

    /// What is done from now on is for none.
    #[inline]
    pub(crate) fn rest(&mut self) {
        if self.at_work.is_some() {
            self.rest_at(Instant::now());
        }
    }

    fn rest_at(&mut self, now: Instant) {
        if let Some((place, since)) = self.at_work.take() {
            self.charge(place, now.saturating_duration_since(since), now);
        }
    }

    /// Something for this session took so long.
    pub(crate) fn charge(&mut self, place: usize, time: Duration, now: Instant) {
        let Some(Some(share)) = self.shares.get_mut(place) else {
            return;
        };
        let group = &mut self.groups[share.group];
        if share.seen.replace(now).is_none() {
            self.looks.push_back(Look {
                since: now,
                place,
                serial: share.serial,
            });
            if group.sessions.present == 0 {
                self.callers.come(&mut group.account);
            }
            group.sessions.come(&mut share.account);
        }
        let time = time.as_nanos() as u64;
        group.sessions.charge(&mut share.account, time);
        self.callers.charge(&mut group.account, time);
    }

    /// Whether this session has had more than its part, and there are others.
    #[inline]
    pub(crate) fn is_ahead(&self, place: usize) -> bool {
        let Some(Some(share)) = self.shares.get(place) else {
            return false;
        };
        let Some(group) = self.groups.get(share.group) else {
            return false;
        };
        self.callers.is_ahead(group.account) || group.sessions.is_ahead(share.account)
    }

    /// Forgets who has not wanted anything for a while.
    pub(crate) fn look(&mut self, now: Instant) {
        let is_over = |since: Instant| now.saturating_duration_since(since) >= PRESENT;
        while let Some(look) = self.looks.pop_front_if(|look| is_over(look.since)) {
            let share = self.shares.get(look.place).and_then(Option::as_ref);
            let share = share.filter(|share| share.serial == look.serial);
            match share.and_then(|share| share.seen) {
                // Once in that time, however often it wants something.
                Some(seen) if !is_over(seen) => self.looks.push_back(Look {
                    since: seen,
                    ..look
                }),
                Some(_) => self.leave(look.place),
                None => {}
            }
        }
    }

    fn leave(&mut self, place: usize) {
        let Some(Some(share)) = self.shares.get_mut(place) else {
            return;
        };
        if share.seen.take().is_some() {
            let group = &mut self.groups[share.group];
            group.sessions.present -= 1;
            if group.sessions.present == 0 {
                self.callers.present -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// Sessions of certificates by these numbers.
    fn of(certificates: &[u8]) -> Shares {
        let mut shares = Shares::default();
        for (place, certificate) in certificates.iter().enumerate() {
            shares.open(place, [*certificate; 32]);
        }
        shares
    }

    #[test]
    fn each_pays_for_what_is_done_for_him_until_the_next_one_or_none() {
        let mut shares = of(&[1, 2, 3]);
        let later = || std::thread::sleep(Duration::from_nanos(2 * ALLOWANCE));
        (0..3).for_each(|place| shares.work_for(place));
        shares.rest();
        later();
        shares.work_for(1);
        later();
        shares.work_for(1);
        shares.work_for(0);
        shares.rest();
        assert_eq!(
            [0, 1, 2].map(|at| shares.is_ahead(at)),
            [false, true, false]
        );
        // Whoever leaves meanwhile pays nothing, nor does who comes to his place.
        shares.work_for(2);
        later();
        shares.close(2);
        shares.open(2, [3; 32]);
        shares.rest();
        assert!(!shares.is_ahead(2));
    }

    #[test]
    fn one_who_is_alone_may_have_all() {
        let (mut shares, now) = (of(&[1]), Instant::now());
        for _ in 0..1000 {
            shares.charge(0, MS, now);
            assert!(!shares.is_ahead(0));
        }
        assert!(!shares.is_ahead(7), "nobody is there");
    }

    #[test]
    fn who_has_more_than_his_part_is_ahead_until_the_others_have_had_theirs() {
        for certificates in [[1, 2], [1, 1]] {
            let (mut shares, now) = (of(&certificates), Instant::now());
            shares.charge(1, MS / 10, now);
            for _ in 0..1000 {
                shares.charge(0, MS, now);
            }
            assert!(shares.is_ahead(0) && !shares.is_ahead(1));
            // What nobody else wanted is not counted for long.
            let mut had = Duration::ZERO;
            while shares.is_ahead(0) {
                shares.charge(1, MS / 10, now);
                had += MS / 10;
            }
            assert!((8 * MS..40 * MS).contains(&had), "{had:?}");
        }
    }

    #[test]
    fn who_wants_little_is_never_ahead_and_saves_up_little() {
        let (mut shares, now) = (of(&[1, 2]), Instant::now());
        for _ in 0..1000 {
            shares.charge(0, MS, now);
            shares.charge(1, MS / 100, now);
            assert!(!shares.is_ahead(1));
        }
        let mut had = Duration::ZERO;
        while !shares.is_ahead(1) {
            shares.charge(1, MS, now);
            had += MS;
        }
        assert!(had <= 30 * MS, "{had:?}");
    }

    #[test]
    fn equals_are_not_ahead_of_each_other() {
        let (mut shares, now) = (of(&[1, 1, 1, 2, 3]), Instant::now());
        for _ in 0..1000 {
            for place in 0..5 {
                let part = if place < 3 { 1 } else { 3 };
                shares.charge(place, MS * part / 10, now);
                assert!(!shares.is_ahead(place), "{place}");
            }
        }
    }

    #[test]
    fn many_sessions_of_a_certificate_have_the_part_of_one() {
        let mut certificates = [1; 101];
        certificates[100] = 2;
        let (mut shares, now) = (of(&certificates), Instant::now());
        for _ in 0..100 {
            for place in 0..100 {
                shares.charge(place, MS / 100, now);
            }
            shares.charge(100, MS / 2, now);
        }
        assert!((0..100).all(|place| shares.is_ahead(place)));
        assert!(!shares.is_ahead(100));
    }

    #[test]
    fn who_wants_nothing_for_a_while_is_not_there() {
        let (mut shares, now) = (of(&[1, 2]), Instant::now());
        shares.charge(1, MS, now);
        for ms in 0..90 {
            shares.charge(0, MS, now + ms * MS);
        }
        shares.look(now + 90 * MS);
        assert!(shares.is_ahead(0));
        shares.look(now + 101 * MS);
        assert!(!shares.is_ahead(0), "it is alone");
        assert_eq!((shares.callers.present, shares.looks.len()), (1, 1));
        shares.look(now + 300 * MS);
        assert_eq!((shares.callers.present, shares.looks.len()), (0, 0));
    }

    #[test]
    fn sessions_that_come_and_go_leave_nothing() {
        let (mut shares, now) = (Shares::default(), Instant::now());
        for round in 0..1000 {
            let at = now + round * MS;
            shares.open(0, [1; 32]);
            shares.charge(0, MS, at);
            shares.close(0);
            shares.look(at);
            assert!(shares.looks.len() <= 101, "{}", shares.looks.len());
        }
        shares.close(0);
        assert!(shares.groups.is_empty() && shares.by_certificate.is_empty());
        assert_eq!(shares.callers.present, 0);
    }
}
