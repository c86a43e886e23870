//! Whose turn it is: what each caller has had of a shard's core, and whether that is more than its part.
//!
//! Callers that want the core at the same time have equal parts of it: first those of different certificates, then the
//! sessions of each. An account grows by the time that its frames and calls take; what each may have grows with it, by that
//! time divided by those who are there. Whoever is beyond that by [`ALLOWANCE`] is *ahead*: others come first, and only
//! where there are others. (Virtual time, as in fair queueing: Demers, Keshav and Shenker, 1989.)
//!
//! Both ways are bounded: who wanted little has no time saved up, and who had what nobody else wanted is not made to wait
//! for long once somebody does.
//!
//! Callers behind an orchestrator are *guests* on its session: it says with each call whose that is, and each has an account
//! here as if the session were its own. The orchestrator's own session is read for all of them and never ahead; it has seen
//! to it itself that none of them takes its time from the others.

#[cfg(test)]
mod tests;

use foldhash::fast::RandomState;
use madrpc_core::call::frame::Account;
use madrpc_core::identity::Role;
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

/// Guests with an account of their own. From half of them on those of a certificate have one together, as who has many sessions
/// shall not take the places of others; and the last ones that of the session together by which they come.
const GUESTS_MAX: usize = 8192;

/// Which session stands for all others of a certificate.
const ANY_SESSION: u32 = u32::MAX;

/// How long a guest who wants nothing is remembered: longer than what it has had counts.
const GUEST_MEMORY: Duration = Duration::from_secs(10);

/// Guests that are looked at in one go for whether they can be forgotten.
const GUEST_LOOKS: usize = 4;

/// Names the account of a caller; it never names a later one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AccountKey {
    place: usize,
    serial: u64,
}

impl AccountKey {
    /// That of nobody: where sessions have none, as they were opened by us.
    pub(crate) const NOBODY: Self = Self::new(0, 0);

    /// The account at this place, which is later than all there with a smaller number.
    pub(crate) const fn new(place: usize, serial: u64) -> Self {
        Self { place, serial }
    }
}

#[cfg_attr(
    not(feature = "engine"),
    expect(dead_code, reason = "only a node has rows")
)]
impl AccountKey {
    /// A small number that no two accounts have at a time; a later one may have it.
    pub(crate) fn place(self) -> usize {
        self.place
    }

    /// Whether it is a later one at the same place.
    pub(crate) fn is_later(self, than: Self) -> bool {
        self.serial > than.serial
    }
}

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
struct Used(u64);

impl Level {
    fn come(&mut self, used: &mut Used) {
        self.present += 1;
        used.0 = used.0.max(self.due);
    }

    fn charge(&mut self, used: &mut Used, time: u64) {
        self.due += time / self.present.max(1);
        let had = used.0.max(self.due.saturating_sub(DISTANCE_MAX)) + time;
        used.0 = had.min(self.due + DISTANCE_MAX);
    }

    fn is_ahead(&self, used: Used) -> bool {
        self.present > 1 && used.0 > self.due + ALLOWANCE
    }
}

/// The callers of one certificate.
#[derive(Debug, Default)]
struct Group {
    certificate: u32,
    used: Used,
    callers: Level,
    /// Those that have an account.
    accounts: usize,
}

/// A caller's account.
#[derive(Debug)]
struct Share {
    /// No later one at the place has the same.
    serial: u64,
    group: usize,
    used: Used,
    /// When it last wanted something, where it is present.
    seen: Option<Instant>,
    /// As which it is passed on.
    passed_on_as: Account,
    /// The account of the session by which it comes, where it is a guest, and when it last wanted something.
    guest_of: Option<(u64, Instant)>,
}

/// The account of a session, and what it may do.
#[derive(Debug, Clone, Copy)]
struct Seat {
    account: AccountKey,
    /// Whether it is believed whose calls it passes on.
    passes_on: bool,
    /// Whether it is read for others only.
    is_orchestrator: bool,
}

/// That it is to be looked whether a caller is present.
#[derive(Debug)]
struct Look {
    since: Instant,
    account: AccountKey,
}

/// For whom something is done.
#[derive(Debug)]
struct AtWork {
    /// The place of the session at hand.
    session: usize,
    /// Nobody's, where it is an orchestrator's and no call is at hand.
    account: Option<AccountKey>,
    since: Instant,
}

/// What the callers of a shard have had of its core.
#[derive(Debug, Default)]
pub(crate) struct Shares {
    accounts: Slab<Share>,
    /// By the places of the sessions.
    seats: Vec<Option<Seat>>,
    /// By the account of the session by which they come, and as what it passes them on.
    guests: HashMap<(u64, Account), AccountKey, RandomState>,
    /// In the order in which it is to be looked whether they can be forgotten.
    guest_looks: VecDeque<AccountKey>,
    groups: Slab<Group>,
    by_certificate: HashMap<u32, usize>,
    callers: Level,
    /// Those who are present, in the order in which it is to be looked whether they still are.
    looks: VecDeque<Look>,
    last_serial: u64,
    at_work: Option<AtWork>,
}

/// Getters.
impl Shares {
    /// Whether this caller has had more than its part, and there are others.
    #[inline]
    pub(crate) fn is_ahead(&self, account: AccountKey) -> bool {
        let Some(share) = self.share(account) else {
            return false;
        };
        let Some(group) = self.groups.get(share.group) else {
            return false;
        };
        self.callers.is_ahead(group.used) || group.callers.is_ahead(share.used)
    }

    /// Whether the caller of this session has had more, and is alone on it.
    #[inline]
    pub(crate) fn is_session_ahead(&self, session: usize) -> bool {
        let seat = self.seat(session);
        seat.is_some_and(|seat| !seat.is_orchestrator && self.is_ahead(seat.account))
    }

    /// Whether this session is read for others only.
    pub(crate) fn is_orchestrator(&self, session: usize) -> bool {
        self.seat(session).is_some_and(|seat| seat.is_orchestrator)
    }

    /// As whose a call of this caller is passed on.
    pub(crate) fn passed_on_as(&self, account: AccountKey) -> Option<Account> {
        Some(self.share(account)?.passed_on_as)
    }

    /// As whose a call is passed on that has come by this session, as that of `account`.
    pub(crate) fn origin(&self, session: usize, account: Option<Account>) -> Option<Account> {
        let seat = self.seat(session)?;
        match account {
            Some(_) if seat.passes_on => account,
            _ => self.passed_on_as(seat.account),
        }
    }

    #[inline]
    fn seat(&self, session: usize) -> Option<&Seat> {
        self.seats.get(session)?.as_ref()
    }

    #[inline]
    fn share(&self, account: AccountKey) -> Option<&Share> {
        let share = self.accounts.get(account.place)?;
        (share.serial == account.serial).then_some(share)
    }
}

/// Handlers.
impl Shares {
    /// A session of the certificate with this fingerprint, for this role, is open.
    pub(crate) fn open(&mut self, session: usize, fingerprint: [u8; 32], role: Option<Role>) {
        if session >= self.seats.len() {
            self.seats.resize_with(session + 1, || None);
        }
        let [a, b, c, d, ..] = fingerprint;
        let account = Account {
            certificate: u32::from_be_bytes([a, b, c, d]),
            session: session as u32,
            root: None,
        };
        self.seats[session] = Some(Seat {
            account: self.add(account, None),
            passes_on: matches!(role, Some(Role::Orchestrator | Role::Node)),
            is_orchestrator: role == Some(Role::Orchestrator),
        });
    }

    /// The session is no more.
    pub(crate) fn close(&mut self, session: usize) {
        let is_at_work = |at_work: &AtWork| at_work.session == session;
        self.at_work.take_if(|at_work| is_at_work(at_work));
        if let Some(seat) = self.seats.get_mut(session).and_then(Option::take) {
            self.remove(seat.account);
        }
    }

    /// The account on which a call runs that has come by this session, as that of `account`.
    #[inline]
    pub(crate) fn caller(
        &mut self,
        session: usize,
        account: Option<Account>,
        now: Instant,
    ) -> AccountKey {
        let Some(&seat) = self.seat(session) else {
            return AccountKey::NOBODY;
        };
        match account {
            Some(account) if seat.passes_on => {
                let account = Account {
                    root: None,
                    ..account
                };
                self.guest(seat.account, account, now)
            }
            _ => seat.account,
        }
    }

    fn guest(&mut self, session: AccountKey, account: Account, now: Instant) -> AccountKey {
        let known = self.guests.get(&(session.serial, account));
        if let Some(&known) = known {
            return known;
        }
        if self.guests.len() >= GUESTS_MAX / 2 && account.session != ANY_SESSION {
            let account = Account {
                session: ANY_SESSION,
                ..account
            };
            return self.guest(session, account, now);
        }
        if self.guests.len() >= GUESTS_MAX {
            return session;
        }
        let guest = self.add(account, Some((session.serial, now)));
        self.guests.insert((session.serial, account), guest);
        self.guest_looks.push_back(guest);
        guest
    }

    /// Forgets guests who have wanted nothing for a while and of whom nothing is left, a bounded number in a turn.
    pub(crate) fn forget_guests(&mut self, now: Instant, has_calls: impl Fn(AccountKey) -> bool) {
        for _ in 0..GUEST_LOOKS.min(self.guest_looks.len()) {
            let Some(guest) = self.guest_looks.pop_front() else {
                return;
            };
            let Some((session, last)) = self.share(guest).and_then(|share| share.guest_of) else {
                continue;
            };
            let is_recent = now.saturating_duration_since(last) < GUEST_MEMORY;
            if is_recent || has_calls(guest) {
                self.guest_looks.push_back(guest);
                continue;
            }
            if let Some(account) = self.passed_on_as(guest) {
                self.guests.remove(&(session, account));
            }
            self.remove(guest);
        }
    }

    fn add(&mut self, account: Account, guest_of: Option<(u64, Instant)>) -> AccountKey {
        let group = match self.by_certificate.entry(account.certificate) {
            Entry::Occupied(group) => *group.get(),
            Entry::Vacant(free) => *free.insert(self.groups.insert(Group {
                certificate: account.certificate,
                ..Group::default()
            })),
        };
        self.groups[group].accounts += 1;
        self.last_serial += 1;
        let serial = self.last_serial;
        let place = self.accounts.insert(Share {
            serial,
            group,
            used: Used::default(),
            seen: None,
            passed_on_as: account,
            guest_of,
        });
        AccountKey { place, serial }
    }

    fn remove(&mut self, account: AccountKey) {
        self.leave(account);
        if self.share(account).is_none() {
            return;
        }
        let share = self.accounts.remove(account.place);
        let group = &mut self.groups[share.group];
        group.accounts -= 1;
        if group.accounts == 0 {
            let certificate = group.certificate;
            self.by_certificate.remove(&certificate);
            self.groups.remove(share.group);
        }
    }

    /// From now on what is done is for this session, until the next, or [`Shares::rest`]: datagrams, frames, replies.
    #[inline]
    pub(crate) fn work_for(&mut self, session: usize) {
        let at_work = self.at_work.as_ref();
        let is_known = at_work.is_some_and(|at_work| at_work.session == session);
        // Who opens sessions himself shares nothing.
        if is_known || self.seats.is_empty() {
            return;
        }
        self.work_for_at(session, Instant::now());
    }

    fn work_for_at(&mut self, session: usize, now: Instant) {
        self.rest_at(now);
        let seat = self.seat(session);
        self.at_work = Some(AtWork {
            session,
            account: seat.and_then(|seat| (!seat.is_orchestrator).then_some(seat.account)),
            since: now,
        });
    }

    /// Since then what is done is for this caller's call, which has come by the session at hand.
    #[inline]
    pub(crate) fn work_for_guest(&mut self, caller: AccountKey, since: Instant) {
        let Some(at_work) = &mut self.at_work else {
            return;
        };
        if at_work.account != Some(caller) {
            let session = at_work.session;
            self.rest_at(since);
            self.at_work = Some(AtWork {
                session,
                account: Some(caller),
                since,
            });
        }
    }

    /// What is done from now on is for none.
    #[inline]
    pub(crate) fn rest(&mut self) {
        if self.at_work.is_some() {
            self.rest_at(Instant::now());
        }
    }

    fn rest_at(&mut self, now: Instant) {
        if let Some(AtWork { account, since, .. }) = self.at_work.take()
            && let Some(account) = account
        {
            self.charge(account, now.saturating_duration_since(since), now);
        }
    }

    /// Something for this caller took so long.
    pub(crate) fn charge(&mut self, account: AccountKey, time: Duration, now: Instant) {
        let share = self.accounts.get_mut(account.place);
        let Some(share) = share.filter(|share| share.serial == account.serial) else {
            return;
        };
        if let Some((_, last)) = &mut share.guest_of {
            *last = now;
        }
        let group = &mut self.groups[share.group];
        if share.seen.replace(now).is_none() {
            self.looks.push_back(Look {
                since: now,
                account,
            });
            if group.callers.present == 0 {
                self.callers.come(&mut group.used);
            }
            group.callers.come(&mut share.used);
        }
        let time = time.as_nanos() as u64;
        group.callers.charge(&mut share.used, time);
        self.callers.charge(&mut group.used, time);
    }

    /// Forgets who has not wanted anything for a while.
    pub(crate) fn look(&mut self, now: Instant) {
        let is_over = |since: Instant| now.saturating_duration_since(since) >= PRESENT;
        while let Some(look) = self.looks.pop_front_if(|look| is_over(look.since)) {
            match self.share(look.account).and_then(|share| share.seen) {
                // Once in that time, however often it wants something.
                Some(seen) if !is_over(seen) => self.looks.push_back(Look {
                    since: seen,
                    ..look
                }),
                Some(_) => self.leave(look.account),
                None => {}
            }
        }
    }

    fn leave(&mut self, account: AccountKey) {
        let share = self.accounts.get_mut(account.place);
        let Some(share) = share.filter(|share| share.serial == account.serial) else {
            return;
        };
        if share.seen.take().is_some() {
            let group = &mut self.groups[share.group];
            group.callers.present -= 1;
            if group.callers.present == 0 {
                self.callers.present -= 1;
            }
        }
    }
}
