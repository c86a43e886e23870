//! The relay: hands a datagram that arrived at the wrong shard to the one it belongs to.
//!
//! Where the kernel steers by connection ID, nothing arrives at the wrong shard. Where it does not, because it refuses
//! the filter or because the operator says so, it picks a shard by the hash of the addresses, and all datagrams whose
//! connection ID names another shard come through here.
//!
//! Between any two shards there is a ring each way, with one writer and one reader, and a second ring by which the
//! emptied parcels come back. A full ring drops, as a network would. A shard that has written rings the reader's bell,
//! once a turn, which wakes it where it sleeps. (glommio's own `spsc_queue` is unsound, glommio#700.)

use super::bell::Bell;
use super::socket::Datagram;
use madrpc_core::limits::{DATAGRAM_MAX_BYTES, RELAYED_MAX, RELAYED_MIN};
use rtrb::{Consumer, Producer, RingBuffer};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A datagram on its way to its shard.
pub(crate) struct Parcel {
    bytes: [u8; DATAGRAM_MAX_BYTES],
    length: usize,
    from: SocketAddr,
    to: Option<IpAddr>,
}

impl Parcel {
    /// The datagram as it came.
    pub(crate) fn datagram(&mut self) -> Datagram<'_> {
        Datagram {
            bytes: &mut self.bytes[..self.length],
            from: self.from,
            to: self.to,
        }
    }
}

/// The way to another shard.
struct Outgoing {
    parcels: Producer<Box<Parcel>>,
    emptied: Consumer<Box<Parcel>>,
    bell: Arc<Bell>,
    /// Something was written since the bell was rung.
    unannounced: bool,
}

/// The way from another shard.
struct Arriving {
    parcels: Consumer<Box<Parcel>>,
    emptied: Producer<Box<Parcel>>,
}

/// One shard's ends of the mesh.
#[derive(Default)]
pub(crate) struct Relay {
    /// By shard; none to itself.
    outgoing: Vec<Option<Outgoing>>,
    arriving: Vec<Arriving>,
    /// Something was announced, and the rings have not all been found empty since.
    has_mail: bool,
    /// The ring to look into next, so that each has its turn.
    next: usize,
    relayed: u64,
    dropped: u64,
}

/// The mesh between the shards that these bells wake, an end for each. A single shard has nobody to hand anything to.
pub(crate) fn mesh(bells: &[Arc<Bell>]) -> Vec<Relay> {
    let shards = bells.len();
    let capacity = (RELAYED_MAX / shards.max(1)).max(RELAYED_MIN);
    let mut relays: Vec<Relay> = (0..shards).map(|_| Relay::default()).collect();
    for from in 0..shards {
        for to in 0..shards {
            let way = (from != to).then(|| {
                let (parcels, arriving) = RingBuffer::new(capacity);
                let (back, emptied) = RingBuffer::new(capacity);
                relays[to].arriving.push(Arriving {
                    parcels: arriving,
                    emptied: back,
                });
                Outgoing {
                    parcels,
                    emptied,
                    bell: Arc::clone(&bells[to]),
                    unannounced: false,
                }
            });
            relays[from].outgoing.push(way);
        }
    }
    relays
}

impl Relay {
    /// Datagrams handed to the shards they belong to.
    pub(crate) fn relayed(&self) -> u64 {
        self.relayed
    }

    /// Datagrams dropped, because the ring was full or the datagram longer than any that we announce to take.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Hands a datagram to another shard, or drops it. Call [`Relay::announce`] before the end of the turn.
    pub(crate) fn send(&mut self, shard: u16, datagram: &Datagram<'_>) {
        let length = datagram.bytes.len();
        let way = self.outgoing.get_mut(usize::from(shard));
        let way = way.and_then(Option::as_mut);
        let Some(way) = way.filter(|way| length <= DATAGRAM_MAX_BYTES && !way.parcels.is_full())
        else {
            self.dropped += 1;
            return;
        };
        let mut parcel = way.emptied.pop().unwrap_or_else(|_| {
            Box::new(Parcel {
                bytes: [0; DATAGRAM_MAX_BYTES],
                length: 0,
                from: datagram.from,
                to: None,
            })
        });
        parcel.bytes[..length].copy_from_slice(datagram.bytes);
        parcel.length = length;
        (parcel.from, parcel.to) = (datagram.from, datagram.to);
        match way.parcels.push(parcel) {
            Ok(()) => {
                way.unannounced = true;
                self.relayed += 1;
            }
            Err(_) => self.dropped += 1,
        }
    }

    /// Wakes the shards that were handed something.
    pub(crate) fn announce(&mut self) {
        for way in self.outgoing.iter_mut().flatten() {
            if std::mem::take(&mut way.unannounced) {
                way.bell.ring();
            }
        }
    }

    /// Another shard has rung: [`Relay::receive`] looks into the rings until they are empty.
    pub(crate) fn on_bell(&mut self) {
        self.has_mail = true;
    }

    /// Whether the rings have not all been found empty since the bell.
    pub(crate) fn has_mail(&self) -> bool {
        self.has_mail
    }

    /// The next datagram that another shard has handed over, and the way by which [`Relay::give_back`] returns it.
    pub(crate) fn receive(&mut self) -> Option<(usize, Box<Parcel>)> {
        if !self.has_mail {
            return None;
        }
        for _ in 0..self.arriving.len() {
            let at = self.next;
            self.next = (at + 1) % self.arriving.len();
            if let Ok(parcel) = self.arriving[at].parcels.pop() {
                return Some((at, parcel));
            }
        }
        self.has_mail = false;
        None
    }

    /// Returns a parcel to be filled anew.
    pub(crate) fn give_back(&mut self, way: usize, parcel: Box<Parcel>) {
        // There is room for all that the other side can have under way; if not, the parcel is freed.
        let _ = self.arriving[way].emptied.push(parcel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::bell::Listener;
    use crate::net::sleep::{LONGEST_SLEEP, sleep};

    /// A shard of a mesh, as far as this is concerned.
    struct Shard {
        relay: Relay,
        listener: Listener,
    }

    impl Shard {
        fn receive(&mut self) -> Option<(usize, Box<Parcel>)> {
            if self.listener.was_rung() {
                self.relay.on_bell();
            }
            self.relay.receive()
        }
    }

    fn shards(count: usize) -> Vec<Shard> {
        let listeners: Vec<_> = (0..count).map(|_| Listener::new().unwrap()).collect();
        let bells = listeners.iter().map(|listener| Arc::clone(listener.bell()));
        let relays = mesh(&bells.collect::<Vec<_>>()).into_iter();
        relays
            .zip(listeners)
            .map(|(relay, listener)| Shard { relay, listener })
            .collect()
    }

    fn from(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    fn send(relay: &mut Relay, shard: u16, bytes: &mut [u8], port: u16) {
        let to = Some([127, 0, 0, 2].into());
        let from = from(port);
        relay.send(shard, &Datagram { bytes, from, to });
    }

    #[test]
    fn a_datagram_arrives_as_it_came_and_its_parcel_is_used_again() {
        let mut shards = shards(3);
        let mut seen = Vec::new();
        for round in 0..3u8 {
            send(&mut shards[0].relay, 2, &mut [round, 7], 1000);
            assert!(shards[2].receive().is_none(), "not announced yet");
            shards[0].relay.announce();
            assert!(shards[1].receive().is_none(), "another's");
            let (way, mut parcel) = shards[2].receive().unwrap();
            let datagram = parcel.datagram();
            assert_eq!(datagram.bytes, [round, 7]);
            assert_eq!(datagram.from, from(1000));
            assert_eq!(datagram.to, Some([127, 0, 0, 2].into()));
            seen.push(std::ptr::from_ref(&*parcel));
            shards[2].relay.give_back(way, parcel);
            assert!(shards[2].receive().is_none());
        }
        assert!(seen.iter().all(|parcel| *parcel == seen[0]));
        assert_eq!(
            (shards[0].relay.relayed(), shards[0].relay.dropped()),
            (3, 0)
        );
    }

    #[test]
    fn what_has_no_room_is_dropped_and_counted() {
        let mut shards = shards(2);
        let room = RELAYED_MAX / 2;
        for _ in 0..room + 5 {
            send(&mut shards[0].relay, 1, &mut [1], 1000);
        }
        send(
            &mut shards[0].relay,
            1,
            &mut [0; DATAGRAM_MAX_BYTES + 1],
            1000,
        );
        shards[0].relay.announce();
        assert_eq!(shards[0].relay.relayed(), room as u64);
        assert_eq!(shards[0].relay.dropped(), 6);
        let mut received = 0;
        while let Some((way, parcel)) = shards[1].receive() {
            shards[1].relay.give_back(way, parcel);
            received += 1;
        }
        assert_eq!(received, room);
    }

    #[test]
    fn a_sleeping_shard_wakes_up() {
        let mut shards = shards(2);
        let mut reader = shards.pop().unwrap();
        let mut writer = shards.pop().unwrap().relay;
        let reading = std::thread::spawn(move || {
            for expected in 0..1000u32 {
                let (way, mut parcel) = loop {
                    match reader.receive() {
                        Some(received) => break received,
                        None => sleep(&reader.listener, [], LONGEST_SLEEP),
                    }
                };
                assert_eq!(parcel.datagram().bytes, expected.to_be_bytes());
                reader.relay.give_back(way, parcel);
            }
        });
        for number in 0..1000u32 {
            send(&mut writer, 1, &mut number.to_be_bytes(), 1000);
            writer.announce();
            if number % 100 == 0 {
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
        }
        reading.join().unwrap();
        assert_eq!(writer.dropped(), 0);
    }

    #[test]
    fn each_shard_has_its_turn() {
        let mut shards = shards(3);
        for port in 0..10 {
            send(&mut shards[0].relay, 2, &mut [0], port);
        }
        send(&mut shards[1].relay, 2, &mut [1], 1000);
        shards[0].relay.announce();
        shards[1].relay.announce();
        let mut first: Vec<u8> = (0..2)
            .filter_map(|_| shards[2].receive())
            .map(|(_, mut parcel)| parcel.datagram().bytes[0])
            .collect();
        first.sort_unstable();
        assert_eq!(first, [0, 1]);
    }
}
