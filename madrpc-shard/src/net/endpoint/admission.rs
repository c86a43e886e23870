//! Which handshakes are taken on: their number, their bytes, their time, and each address's part of it.
//!
//! Who begins a handshake is a stranger and may have written any source address on it. Until the handshake is over he gets
//! a bounded part of everything that a shard has, and callers whose sessions are open do not notice him.

use foldhash::fast::RandomState;
use madrpc_core::limits::{
    HANDSHAKE_BURST, HANDSHAKE_BYTES_FEW, HANDSHAKE_BYTES_MAX, HANDSHAKE_TIME_SHARE,
    HANDSHAKE_TIMEOUT, HANDSHAKE_TURN, HANDSHAKES_BYTES_MAX, HANDSHAKES_PER_ADDRESS,
};
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Places for the counts of addresses; two that share one share its bound.
const ADDRESS_PLACES: usize = 1024;

/// How long counts of addresses last.
const ADDRESS_WINDOW: Duration = Duration::from_secs(1);

/// What the strangers at a shard's door have had of late.
pub(super) struct Admission {
    /// Handshakes that failed, in the present window and in the one before. They leave no state, and still count for a while
    /// as if they were open: otherwise a flood of them would never be asked to prove its addresses.
    failed: [usize; 2],
    failed_since: Instant,
    /// Time spent on handshakes beyond their share.
    debt: Duration,
    debt_at: Instant,
    /// Time spent on them in this turn.
    in_turn: Duration,
    addresses: Box<[u16; ADDRESS_PLACES]>,
    addresses_since: Instant,
    hasher: RandomState,
}

impl Admission {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            failed: [0; 2],
            failed_since: now,
            debt: Duration::ZERO,
            debt_at: now,
            in_turn: Duration::ZERO,
            addresses: Box::new([0; ADDRESS_PLACES]),
            addresses_since: now,
            hasher: RandomState::default(),
        }
    }

    /// So many handshakes have failed, or were given up.
    pub(super) fn failed(&mut self, count: usize, now: Instant) {
        if count > 0 {
            self.turn_window(now);
            self.failed[0] = self.failed[0].saturating_add(count);
        }
    }

    /// Handshakes that have failed within about the time that one may take.
    pub(super) fn recently_failed(&mut self, now: Instant) -> usize {
        self.turn_window(now);
        self.failed[0] + self.failed[1]
    }

    fn turn_window(&mut self, now: Instant) {
        let since = now.saturating_duration_since(self.failed_since);
        if since >= HANDSHAKE_TIMEOUT * 2 {
            self.failed = [0; 2];
        } else if since >= HANDSHAKE_TIMEOUT {
            self.failed = [0, self.failed[0]];
        } else {
            return;
        }
        self.failed_since = now;
    }

    /// A turn of the shard begins.
    pub(super) fn begin_turn(&mut self) {
        self.in_turn = Duration::ZERO;
    }

    /// Whether there is time for strangers in this turn.
    pub(super) fn has_turn(&self) -> bool {
        self.in_turn < HANDSHAKE_TURN
    }

    /// Work for a handshake took so long.
    pub(super) fn spent(&mut self, time: Duration) {
        self.in_turn += time;
        self.debt = (self.debt + time).min(HANDSHAKE_BURST * 2);
    }

    /// Whether there is time for anything that a stranger wants.
    pub(super) fn has_time(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.debt_at);
        self.debt_at = now;
        self.debt = self.debt.saturating_sub(passed / HANDSHAKE_TIME_SHARE);
        self.debt < HANDSHAKE_BURST
    }

    /// Whether an address may have another handshake, or be asked whether its client has it. The second half of the time is
    /// for addresses that have had few.
    pub(super) fn has_time_for(&mut self, address: IpAddr, now: Instant) -> bool {
        if now.saturating_duration_since(self.addresses_since) >= ADDRESS_WINDOW {
            self.addresses.fill(0);
            self.addresses_since = now;
        }
        let place = self.hasher.hash_one(network_of(address)) as usize % ADDRESS_PLACES;
        let count = &mut self.addresses[place];
        *count = count.saturating_add(1);
        *count <= HANDSHAKES_PER_ADDRESS || self.debt < HANDSHAKE_BURST / 2
    }
}

/// Whether a handshake that has been sent `own` bytes is to be given up, where all those that are open have been sent `all`.
///
/// quiche keeps some 80 bytes for each gap in what it was sent, and a gap costs its sender 4 bytes.
pub(super) fn has_too_many_bytes(own: usize, all: usize) -> bool {
    own > HANDSHAKE_BYTES_MAX || own > HANDSHAKE_BYTES_FEW && all > HANDSHAKES_BYTES_MAX
}

/// What one subscriber has: an IPv4 address, or an IPv6 network of 64 bits.
fn network_of(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => (address.to_bits() >> 64) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_for_a_while_and_are_forgotten() {
        let start = Instant::now();
        let mut admission = Admission::new(start);
        admission.failed(100, start);
        assert_eq!(
            admission.recently_failed(start + HANDSHAKE_TIMEOUT / 2),
            100
        );
        assert_eq!(admission.recently_failed(start + HANDSHAKE_TIMEOUT), 100);
        admission.failed(1, start + HANDSHAKE_TIMEOUT);
        assert_eq!(admission.recently_failed(start + HANDSHAKE_TIMEOUT), 101);
        assert_eq!(admission.recently_failed(start + HANDSHAKE_TIMEOUT * 2), 1);
        assert_eq!(admission.recently_failed(start + HANDSHAKE_TIMEOUT * 9), 0);
    }

    #[test]
    fn strangers_have_their_share_of_the_time_and_no_more() {
        let start = Instant::now();
        let mut admission = Admission::new(start);
        let each = Duration::from_micros(200);
        let mut now = start;
        let mut taken = 0;
        // One wants in each 50 us, four times what the whole core could do.
        while now < start + Duration::from_secs(10) {
            if admission.has_time(now) {
                admission.spent(each);
                taken += 1;
            }
            now += each / 4;
        }
        let share = (each * taken).as_secs_f64() / 10.0;
        let burst = HANDSHAKE_BURST.as_secs_f64() / 10.0;
        let wanted = 1.0 / f64::from(HANDSHAKE_TIME_SHARE) + burst;
        assert!((wanted * 0.9..wanted * 1.1).contains(&share), "{share}");
        assert!(admission.has_time(now + HANDSHAKE_BURST * 2 * HANDSHAKE_TIME_SHARE));
    }

    #[test]
    fn one_address_leaves_time_for_the_others() {
        let start = Instant::now();
        let mut admission = Admission::new(start);
        let [greedy, other] = [[192, 0, 2, 1], [192, 0, 2, 2]].map(IpAddr::from);
        let mut now = start;
        let mut refused = 0;
        while now < start + Duration::from_secs(3) {
            if !admission.has_time(now) {
                panic!("no time is left for anybody");
            }
            match admission.has_time_for(greedy, now) {
                true => admission.spent(Duration::from_micros(200)),
                false => refused += 1,
            }
            now += Duration::from_micros(50);
        }
        assert!(refused > 0);
        assert!(admission.has_time_for(other, now));
    }

    #[test]
    fn a_handshake_has_bytes_enough_and_a_flood_of_them_has_not() {
        assert!(!has_too_many_bytes(
            HANDSHAKE_BYTES_MAX,
            HANDSHAKES_BYTES_MAX
        ));
        assert!(has_too_many_bytes(HANDSHAKE_BYTES_MAX + 1, 0));
        assert!(!has_too_many_bytes(HANDSHAKE_BYTES_FEW, usize::MAX));
        assert!(has_too_many_bytes(
            HANDSHAKE_BYTES_FEW + 1,
            HANDSHAKES_BYTES_MAX + 1
        ));
    }
}
