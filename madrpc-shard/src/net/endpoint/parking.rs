//! Which datagrams are decrypted at once: where several sessions are sent something, each has a bounded part of a turn, and the
//! rest of what came for it is parked.
//!
//! All sessions of a shard share a socket, and what one is sent stands before what came later for the others. To take a
//! datagram out of the socket costs a tenth of what it takes to decrypt it: so much is taken out, and little of each is
//! decrypted.

use super::entry::Phase;
use super::postponed::Postponed;
use super::sessions::Sessions;
use crate::net::socket::Datagram;
use madrpc_core::limits::{PARKED_MAX_BYTES, RECEIVED_AT_ONCE_BYTES, RECEIVED_PER_TURN_BYTES};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long sessions count as several, after datagrams of one have followed those of another.
const SEVERAL: Duration = Duration::from_millis(50);

/// What is parked.
pub(super) struct Parking {
    /// Sessions with datagrams that wait, in the order of their turns. Some may have none any more.
    turns: VecDeque<usize>,
    bytes: usize,
    /// Bytes parked in its life.
    pub(super) total: usize,
    turn: u64,
    /// Whose datagram came last, and when one last came for another.
    last: usize,
    several: Option<Instant>,
}

impl Parking {
    pub(super) fn new() -> Self {
        Self {
            turns: VecDeque::new(),
            bytes: 0,
            total: 0,
            turn: 0,
            last: 0,
            several: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// Whether several sessions are sent something at this time.
    pub(super) fn is_shared(&self, now: Instant) -> bool {
        self.several
            .is_some_and(|at| now.saturating_duration_since(at) < SEVERAL)
    }

    /// A session is gone, and what waited for it.
    pub(super) fn forget(&mut self, parked: &Postponed) {
        self.bytes -= parked.bytes();
    }
}

impl Sessions {
    /// A datagram has come for an open session: it is taken in now, or parked.
    #[inline]
    pub(super) fn arrive(
        &mut self,
        index: usize,
        mut datagram: Datagram<'_>,
        local: SocketAddr,
        now: Instant,
    ) {
        let parking = &mut self.parked;
        if parking.last != index {
            parking.last = index;
            parking.several = Some(now);
        }
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let (turn, bytes) = entry.in_turn;
        let before = if turn == parking.turn { bytes } else { 0 };
        entry.in_turn = (parking.turn, before + datagram.bytes.len());
        let has_time = before < RECEIVED_AT_ONCE_BYTES || !parking.is_shared(now);
        if has_time && entry.parked.is_empty() {
            self.shares.work_for(index);
            self.receive(index, &mut datagram, local, now);
            return;
        }
        // What one may have parked follows from what is free. The rest is lost: its sender is to slow down.
        let free = PARKED_MAX_BYTES.saturating_sub(parking.bytes);
        let is_first = entry.parked.is_empty();
        if entry.parked.push(&datagram, free) {
            parking.bytes += datagram.bytes.len();
            parking.total += datagram.bytes.len();
            if is_first {
                parking.turns.push_back(index);
            }
        }
    }

    /// Begins a turn: takes in what was parked, a bounded amount, a datagram of each session after the other.
    pub(super) fn receive_parked(&mut self, local: SocketAddr, now: Instant) {
        self.parked.turn += 1;
        let part = RECEIVED_AT_ONCE_BYTES.saturating_mul(self.parked.turns.len());
        let mut left = match self.parked.is_shared(now) {
            true => part.min(RECEIVED_PER_TURN_BYTES),
            false => RECEIVED_PER_TURN_BYTES,
        };
        while left > 0
            && let Some(index) = self.parked.turns.pop_front()
        {
            let Some(entry) = self.entries.get_mut(index) else {
                continue;
            };
            let (next, is_open) = (entry.parked.pop(), entry.phase == Phase::Open);
            let is_last = entry.parked.is_empty();
            if !is_last {
                self.parked.turns.push_back(index);
            }
            if let Some(mut kept) = next {
                let mut datagram = kept.datagram();
                self.parked.bytes -= datagram.bytes.len();
                left = left.saturating_sub(datagram.bytes.len());
                if is_open {
                    self.shares.work_for(index);
                    self.receive(index, &mut datagram, local, now);
                }
            }
        }
    }
}
