//! The attackers' sockets, which count what goes through them, and which may send from any address of 127.0.0.0/8.

use crate::error::AbuseError;
use nix::sys::socket::sockopt::Ipv4PacketInfo;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt,
};
use std::cell::Cell;
use std::io::{ErrorKind, IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;

/// The most that one datagram holds.
pub const DATAGRAM_BYTES: usize = 65_535;

/// What a thread's sockets have carried.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Datagrams sent.
    pub sent: u64,
    /// Bytes in them.
    pub sent_bytes: u64,
    /// Datagrams received.
    pub received: u64,
    /// Bytes in them.
    pub received_bytes: u64,
}

thread_local! {
    static TRAFFIC: Cell<Traffic> = const { Cell::new(Traffic { sent: 0, sent_bytes: 0, received: 0, received_bytes: 0 }) };
}

/// What the sockets of this thread have carried so far.
#[must_use]
pub fn traffic() -> Traffic {
    TRAFFIC.get()
}

/// A socket for one peer.
pub struct Socket {
    socket: UdpSocket,
    local: SocketAddr,
}

impl Socket {
    /// A socket on loopback.
    pub fn new() -> Result<Self, AbuseError> {
        Self::of(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?)
    }

    /// Takes over a bound socket.
    pub fn of(socket: UdpSocket) -> Result<Self, AbuseError> {
        socket.set_nonblocking(true)?;
        let local = socket.local_addr()?;
        // What a peer is sent in bursts must not be lost here. The kernel cuts it to what it allows.
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20);
        Ok(Self { socket, local })
    }

    /// Its address.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The system's socket.
    pub fn descriptor(&self) -> &UdpSocket {
        &self.socket
    }

    /// Sends a datagram, or loses it.
    pub fn send(&self, bytes: &[u8], to: SocketAddr) {
        // A full socket is a lost datagram to QUIC, and a refusal of the peer is no news.
        let _ = self.socket.send_to(bytes, to);
        count_sent(bytes.len());
    }

    /// A datagram, where there is one.
    pub fn receive(&self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        let (length, from) = self.socket.recv_from(buffer).ok()?;
        count_received(length);
        Some((length, from))
    }
}

/// The one address that a flood comes from. It is not the callers': an address that has very much shares what one address
/// gets.
const ONE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// From where a flood comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// One address and port.
    One,
    /// A different address for each.
    Many,
}

/// A socket whose datagrams come from as many addresses of 127.0.0.0/8 as are wanted.
pub struct Sources {
    socket: UdpSocket,
    from: From,
}

impl Sources {
    /// A socket that sends from one address, or from many.
    pub fn new(from: From) -> Result<Self, AbuseError> {
        let any = match from {
            From::One => ONE,
            From::Many => Ipv4Addr::UNSPECIFIED,
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, Ipv4PacketInfo, &true)?;
        let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20);
        Ok(Self { socket, from })
    }

    /// The address of the n-th source; after 16 million they come again.
    pub fn address(&self, number: u64) -> Ipv4Addr {
        match self.from {
            From::One => ONE,
            From::Many => {
                let [_, a, b, c] = (number as u32 % 0x00ff_fffe + 1).to_be_bytes();
                Ipv4Addr::new(127, a, b, c)
            }
        }
    }

    /// Sends a datagram from this address, or loses it.
    pub fn send(&self, bytes: &[u8], from: Ipv4Addr, to: SocketAddr) {
        let SocketAddr::V4(to) = to else {
            return;
        };
        let source = libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: libc::in_addr {
                s_addr: u32::from_ne_bytes(from.octets()),
            },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        let _ = sendmsg(
            self.socket.as_raw_fd(),
            &[IoSlice::new(bytes)],
            &[ControlMessage::Ipv4PacketInfo(&source)],
            MsgFlags::empty(),
            Some(&SockaddrIn::from(to)),
        );
        count_sent(bytes.len());
    }

    /// A datagram, where there is one: its length, and which of the addresses it came to.
    pub fn receive(
        &self,
        buffer: &mut [u8],
    ) -> Result<Option<(usize, Ipv4Addr, SocketAddr)>, AbuseError> {
        let mut control = nix::cmsg_space!(libc::in_pktinfo);
        let mut slices = [IoSliceMut::new(buffer)];
        let received = recvmsg::<SockaddrIn>(
            self.socket.as_raw_fd(),
            &mut slices,
            Some(&mut control),
            MsgFlags::empty(),
        );
        let message = match received {
            Ok(message) => message,
            Err(error) if std::io::Error::from(error).kind() == ErrorKind::WouldBlock => {
                return Ok(None);
            }
            // An earlier datagram found nobody.
            Err(nix::Error::ECONNREFUSED) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        count_received(message.bytes);
        let mut to = Ipv4Addr::LOCALHOST;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::Ipv4PacketInfo(info) = control {
                to = Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes());
            }
        }
        let from = message.address.map(SocketAddrV4::from);
        let from = from.unwrap_or(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));
        Ok(Some((message.bytes, to, from.into())))
    }
}

fn count_sent(bytes: usize) {
    let mut traffic = TRAFFIC.get();
    traffic.sent += 1;
    traffic.sent_bytes += bytes as u64;
    TRAFFIC.set(traffic);
}

fn count_received(bytes: usize) {
    let mut traffic = TRAFFIC.get();
    traffic.received += 1;
    traffic.received_bytes += bytes as u64;
    TRAFFIC.set(traffic);
}
