//! A socket and one quiche connection over it, moved in batches.

use crate::Outcome;
use madrpc_core::limits::DATAGRAM_MAX_BYTES;
use madrpc_shard::server::DEFAULT_SPIN;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use quiche::{Connection, RecvInfo};
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use std::io::{ErrorKind, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// Kernel buffer of the socket, both ways.
const BUFFER_BYTES: usize = 4 << 20;

/// What the kernel hands over or takes at once.
const BATCH_BYTES: usize = 65_000;

/// The longest sleep.
const SLEEP_MAX: Duration = Duration::from_millis(500);

/// A socket that sends and receives in batches.
pub(super) struct Wire {
    socket: UdpSocket,
    state: UdpSocketState,
    pub(super) local: SocketAddr,
    inbound: Vec<Vec<u8>>,
    metas: Vec<RecvMeta>,
    outbound: Vec<u8>,
    idle_since: Option<Instant>,
}

impl Wire {
    pub(super) fn bind() -> Outcome<Self> {
        let socket = UdpSocket::bind(("127.0.0.1", 0))?;
        socket.set_nonblocking(true)?;
        let options = socket2::SockRef::from(&socket);
        options.set_recv_buffer_size(BUFFER_BYTES)?;
        options.set_send_buffer_size(BUFFER_BYTES)?;
        Ok(Self {
            state: UdpSocketState::new((&socket).into())?,
            local: socket.local_addr()?,
            socket,
            inbound: vec![vec![0; 65_535]; BATCH_SIZE],
            metas: vec![RecvMeta::default(); BATCH_SIZE],
            outbound: vec![0; BATCH_BYTES + DATAGRAM_MAX_BYTES],
            idle_since: None,
        })
    }

    /// Hands over every datagram that has come, one batch of them; says whether there was one.
    pub(super) fn receive(
        &mut self,
        mut take: impl FnMut(&mut [u8], RecvInfo) -> Outcome<()>,
    ) -> Outcome<bool> {
        let mut buffers = self.inbound.iter_mut();
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] = std::array::from_fn(|_| {
            IoSliceMut::new(buffers.next().map_or(&mut [], |buffer| buffer))
        });
        let received = self
            .state
            .recv((&self.socket).into(), &mut slices, &mut self.metas);
        let filled = match received {
            Ok(filled) => filled,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        for (buffer, meta) in self.inbound.iter_mut().zip(&self.metas[..filled]) {
            let info = RecvInfo {
                from: meta.addr,
                to: self.local,
            };
            for datagram in buffer[..meta.len].chunks_mut(meta.stride.max(1)) {
                take(datagram, info)?;
            }
        }
        Ok(filled > 0)
    }

    /// Sends all that the connection has to say, in batches of packets of one size.
    pub(super) fn flush(&mut self, quic: &mut Connection) -> Outcome<()> {
        let segments = self.state.max_gso_segments();
        let mut first = None;
        loop {
            let room = &mut self.outbound[..DATAGRAM_MAX_BYTES];
            let Some((segment, to)) = first.take().or_else(|| packet(quic, room)) else {
                return Ok(());
            };
            let (mut filled, mut count) = (segment, 1);
            // All but the last of a batch have one size: a longer packet begins the next batch.
            while count < segments && filled + segment <= BATCH_BYTES && first.is_none() {
                let room = &mut self.outbound[filled..filled + DATAGRAM_MAX_BYTES];
                match packet(quic, room) {
                    Some((length, _)) if length <= segment => {
                        filled += length;
                        count += 1;
                        if length < segment {
                            break;
                        }
                    }
                    Some(longer) => first = Some(longer),
                    None => break,
                }
            }
            let transmit = Transmit {
                destination: to,
                ecn: None,
                contents: &self.outbound[..filled],
                segment_size: (filled > segment).then_some(segment),
                src_ip: None,
            };
            match self.state.try_send((&self.socket).into(), &transmit) {
                // What the kernel has no room for is lost, which QUIC mends.
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
                _ => {}
            }
            if let Some((length, _)) = first {
                self.outbound.copy_within(filled..filled + length, 0);
            }
        }
    }

    /// After a turn in which there was nothing to do: looks again at once for as long as madrpc does, then sleeps.
    pub(super) fn rest(&mut self, timeout: Option<Duration>) -> Outcome<()> {
        let since = *self.idle_since.get_or_insert_with(Instant::now);
        if since.elapsed() < DEFAULT_SPIN {
            std::thread::yield_now();
            return Ok(());
        }
        let timeout = timeout.unwrap_or(SLEEP_MAX).min(SLEEP_MAX);
        let timeout = PollTimeout::try_from(timeout + Duration::from_millis(1))?;
        let mut sockets = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        poll(&mut sockets, timeout)?;
        Ok(())
    }

    /// There was something to do.
    pub(super) fn on_work(&mut self) {
        self.idle_since = None;
    }
}

fn packet(quic: &mut Connection, room: &mut [u8]) -> Option<(usize, SocketAddr)> {
    let (length, info) = quic.send(room).ok()?;
    Some((length, info.to))
}

/// Lets the connection's timer run where it is due.
pub(super) fn on_time(quic: &mut Connection) {
    if quic.timeout() == Some(Duration::ZERO) {
        quic.on_timeout();
    }
}
