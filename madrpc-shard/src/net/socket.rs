//! A UDP socket that moves datagrams in batches: `recvmmsg` and GRO in, GSO out. Where the system has none of these, it moves
//! one datagram a call.
//!
//! glommio's own socket always does, and copies it.

use madrpc_core::stats::Traffic;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use socket2::{Domain, Protocol, Type};
use std::cell::Cell;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// With GRO the kernel hands over as much as one maximal datagram.
const RECEIVE_BYTES: usize = 65_535;

/// Kernel buffer of each socket, both ways; what the system allows where that is less.
pub(super) const BUFFER_BYTES: usize = 4 << 20;

/// A datagram as it came.
pub(crate) struct Datagram<'a> {
    pub(crate) bytes: &'a mut [u8],
    pub(crate) from: SocketAddr,
    /// The address of ours that it was sent to, where the system says.
    pub(crate) to: Option<IpAddr>,
}

/// Binds a socket for sessions that we open: a free port, for all families of these addresses where the system has them.
pub(crate) fn bind_dialer(targets: &[SocketAddr]) -> io::Result<UdpSocket> {
    let bind = |any: SocketAddr| {
        let socket =
            socket2::Socket::new(Domain::for_address(any), Type::DGRAM, Some(Protocol::UDP))?;
        if any.is_ipv6() {
            // IPv4 too, in addresses that are mapped (RFC 4291, section 2.5.5.2).
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&any.into())?;
        set_buffers(&socket);
        Ok(socket.into())
    };
    let v4 = || bind((Ipv4Addr::UNSPECIFIED, 0).into());
    match targets.iter().any(SocketAddr::is_ipv6) {
        false => v4(),
        true => match bind((Ipv6Addr::UNSPECIFIED, 0).into()) {
            // A machine without IPv6; the other addresses may do.
            Err(_) if targets.iter().any(SocketAddr::is_ipv4) => v4(),
            bound => bound,
        },
    }
}

/// Has the system hold more for it than it would by itself.
pub(super) fn set_buffers(socket: &socket2::Socket) {
    // The system caps what it gives and says nothing; less is slower under bursts, not wrong.
    let _ = socket.set_recv_buffer_size(BUFFER_BYTES);
    let _ = socket.set_send_buffer_size(BUFFER_BYTES);
}

/// A bound socket.
pub(crate) struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    local: SocketAddr,
    /// A system call has failed: the network may have reported a destination.
    has_failed: Cell<bool>,
    /// What it has moved.
    pub(crate) received: Cell<Traffic>,
    pub(crate) sent: Cell<Traffic>,
}

/// Buffers for one system call while they come full. Only Linux fills several.
const LARGE_BATCH: usize = if BATCH_SIZE < 4 { BATCH_SIZE } else { 4 };

/// Bytes of a buffer, on average, from which on they count as full.
const LARGE_BYTES: usize = 16 * 1024;

/// Where datagrams are received.
pub(crate) struct Inbound {
    buffers: Vec<Box<[u8]>>,
    metas: Vec<RecvMeta>,
    /// Buffers for the next system call: few where they come full, as a turn has to end.
    batch: usize,
}

impl Inbound {
    pub(crate) fn new() -> Self {
        Self {
            buffers: vec![vec![0; RECEIVE_BYTES].into_boxed_slice(); BATCH_SIZE],
            metas: vec![RecvMeta::default(); BATCH_SIZE],
            batch: BATCH_SIZE,
        }
    }

    /// The datagrams in the first `filled` buffers, several in each where the kernel has joined them.
    pub(crate) fn datagrams(&mut self, filled: usize) -> impl Iterator<Item = Datagram<'_>> {
        let received = self.buffers.iter_mut().zip(&self.metas[..filled]);
        received.flat_map(|(buffer, meta)| {
            let datagrams = buffer[..meta.len].chunks_mut(meta.stride.max(1));
            datagrams.map(|bytes| Datagram {
                bytes,
                from: meta.addr,
                to: meta.dst_ip,
            })
        })
    }
}

impl Socket {
    /// Takes over a bound socket.
    ///
    /// # Errors
    /// Where the system refuses the options for batches.
    pub(crate) fn new(socket: UdpSocket) -> io::Result<Self> {
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self {
            local: socket.local_addr()?,
            socket,
            state,
            has_failed: Cell::new(false),
            received: Cell::default(),
            sent: Cell::default(),
        })
    }

    /// As the system has it.
    pub(crate) fn inner(&self) -> &UdpSocket {
        &self.socket
    }

    /// The address it is bound to.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// The most datagrams that one send may hold.
    pub(crate) fn send_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Fills buffers with what has come; gives how many are filled, and whether there may be more.
    pub(crate) fn receive(&self, inbound: &mut Inbound) -> (usize, bool) {
        let batch = inbound.batch;
        let mut buffers = inbound.buffers.iter_mut();
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] = std::array::from_fn(|_| {
            IoSliceMut::new(buffers.next().map_or(&mut [], |buffer| buffer))
        });
        let received = self.state.recv(
            (&self.socket).into(),
            &mut slices[..batch],
            &mut inbound.metas[..batch],
        );
        let filled = received.unwrap_or_else(|error| {
            self.note(&error);
            0
        });
        let metas = &inbound.metas[..filled];
        let bytes: usize = metas.iter().map(|meta| meta.len).sum();
        if filled > 0 {
            let datagrams = metas
                .iter()
                .map(|meta| meta.len.div_ceil(meta.stride.max(1)));
            note(&self.received, datagrams.sum());
        }
        inbound.batch = match bytes >= filled.max(1) * LARGE_BYTES {
            true => LARGE_BATCH,
            false => BATCH_SIZE,
        };
        (filled, filled == batch)
    }

    /// Notes an error other than that there is nothing, or no room.
    fn note(&self, error: &io::Error) {
        if error.kind() != io::ErrorKind::WouldBlock {
            self.has_failed.set(true);
        }
    }

    /// Asks the network to report destinations at which nothing listens; see [`Socket::next_unreachable`].
    pub(crate) fn report_unreachable(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        self.state.enable_transport_errors((&self.socket).into())?;
        Ok(())
    }

    /// A destination at which nothing listens, as the network reports it (ICMP, RFC 1122 section 4.1.3.3). The system fails
    /// the next call on the socket then, so it costs nothing where none has failed. Only Linux says which one it is.
    pub(crate) fn next_unreachable(&self) -> Option<SocketAddr> {
        let reported = self.has_failed.get().then(|| self.unreachable()).flatten();
        self.has_failed.set(reported.is_some());
        reported
    }

    #[cfg(not(target_os = "linux"))]
    fn unreachable(&self) -> Option<SocketAddr> {
        None
    }

    #[cfg(target_os = "linux")]
    fn unreachable(&self) -> Option<SocketAddr> {
        use nix::sys::socket::{MsgFlags, SockaddrStorage, recvmsg};
        use std::net::{SocketAddrV4, SocketAddrV6};
        use std::os::fd::AsRawFd;
        // quinn-udp names who reported it; the destination, with its port, is the address of the message itself.
        let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
        let mut control = nix::cmsg_space!([u8; 256]);
        let mut quoted = [0; 1];
        let mut quoted = [IoSliceMut::new(&mut quoted)];
        let descriptor = self.socket.as_raw_fd();
        let message =
            recvmsg::<SockaddrStorage>(descriptor, &mut quoted, Some(&mut control), flags).ok()?;
        let address = message.address?;
        let v4 = address
            .as_sockaddr_in()
            .map(|&address| SocketAddrV4::from(address).into());
        v4.or_else(|| {
            address
                .as_sockaddr_in6()
                .map(|&address| SocketAddrV6::from(address).into())
        })
    }

    /// Sends `bytes` as datagrams of `segment` bytes each, of which only the last may be shorter.
    ///
    /// `false` says that the system has no room: try again later. Any other error is a lost datagram to QUIC.
    pub(crate) fn send(
        &self,
        bytes: &[u8],
        segment: usize,
        to: SocketAddr,
        from: Option<IpAddr>,
    ) -> bool {
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents: bytes,
            segment_size: (bytes.len() > segment).then_some(segment),
            src_ip: from,
        };
        match self.state.try_send((&self.socket).into(), &transmit) {
            Ok(()) => {
                note(&self.sent, bytes.len().div_ceil(segment.max(1)));
                true
            }
            Err(error) => {
                self.note(&error);
                error.kind() != io::ErrorKind::WouldBlock
            }
        }
    }
}

fn note(traffic: &Cell<Traffic>, datagrams: usize) {
    let mut noted = traffic.get();
    noted.note(datagrams);
    traffic.set(noted);
}
