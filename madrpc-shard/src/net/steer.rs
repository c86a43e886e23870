//! Steering: a group of sockets on one address, and the filter by which the kernel picks the shard of a datagram.
//!
//! The filter is classic BPF, which needs no privilege, and follows the connection-ID rule of
//! [`madrpc_core::session::cid`]. It selects a socket by its position in the group, so the sockets are bound in the order of
//! the shards, and none is closed before all are.
//!
//! Without the filter the kernel picks by the hash of addresses and ports, and the shards hand each other what belongs
//! elsewhere (`relay`). That is slower, and right all the same.

use super::socket::{BUFFER_BYTES, set_buffers};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, UnixAddr, bind, socket};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};
use tracing::warn;

/// How long a port in use is waited for, and how often it is tried meanwhile.
const FREED_WITHIN: Duration = Duration::from_secs(2);
const FREED_LOOK: Duration = Duration::from_millis(10);

/// An address that a group cannot have.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Someone else is there.
    #[error(
        "address {0}: in use by another process; stop that one (`ss -lunp` shows it) or choose another port"
    )]
    InUse(SocketAddr),
    /// The operating system refuses it.
    #[error(
        "address {address}: cannot be bound ({reason}): choose an address of this machine, as 0.0.0.0 for all, and a port that is allowed"
    )]
    Refused {
        /// The address.
        address: SocketAddr,
        /// The operating system's word.
        reason: io::Error,
    },
    /// The kernel shall steer, and will not.
    #[error(
        "address {address}: the kernel refuses the filter that steers by connection ID ({reason}): use `--steering relay`, or `auto`"
    )]
    Unsteered {
        /// The address.
        address: SocketAddr,
        /// The operating system's word.
        reason: io::Error,
    },
}

/// How datagrams shall find their shard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SteeringChoice {
    /// By the kernel; where it refuses, by relay.
    #[default]
    Auto,
    /// By the kernel; where it refuses, not at all.
    Kernel,
    /// By relay.
    Relay,
}

impl SteeringChoice {
    /// The choices as they are written.
    pub const NAMES: [&str; 3] = ["auto", "kernel", "relay"];
}

impl std::str::FromStr for SteeringChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "kernel" => Ok(Self::Kernel),
            "relay" => Ok(Self::Relay),
            _ => Err(format!("expected one of {}", Self::NAMES.join(", "))),
        }
    }
}

/// How a datagram finds its shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steering {
    /// There is one shard.
    Single,
    /// By connection ID, in the kernel.
    ConnectionId,
    /// By the hash of addresses and ports, in the kernel, and then from shard to shard by connection ID.
    Relay,
}

impl Steering {
    /// Its name in statistics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::ConnectionId => "kernel",
            Self::Relay => "relay",
        }
    }
}

/// The sockets of a server, in the order of its shards.
#[derive(Debug)]
pub struct SocketGroup {
    /// One for each shard.
    pub sockets: Vec<UdpSocket>,
    /// The address they share.
    pub address: SocketAddr,
    /// How the kernel chooses among them.
    pub steering: Steering,
    /// Held for as long as the group lives.
    pub lock: PortLock,
}

/// The claim of this process to an address.
///
/// A second group of the same user would silently join the first and take its datagrams. A plain bind finds a group
/// that is there already; this lock finds one that is being made at the same moment. It is an abstract Unix socket,
/// which has the scope of a port, the network namespace, and ends with the process.
#[derive(Debug)]
pub struct PortLock {
    _socket: OwnedFd,
}

impl SocketGroup {
    /// Binds a socket for each of `shards`; port 0 chooses a free one. A port that is in use is waited for, for at most
    /// 2 s: a process that was killed holds it for some milliseconds more, until the kernel has closed its rings, and the
    /// one that takes its place must not fail for that.
    ///
    /// # Errors
    /// Where the address stays in use or is refused, or the choice of steering.
    pub fn bind(
        address: SocketAddr,
        shards: u16,
        choice: SteeringChoice,
    ) -> Result<Self, BindError> {
        let end = Instant::now() + FREED_WITHIN;
        loop {
            match Self::bind_now(address, shards, choice) {
                Err(BindError::InUse(_)) if Instant::now() < end => std::thread::sleep(FREED_LOOK),
                outcome => return outcome,
            }
        }
    }

    fn bind_now(
        address: SocketAddr,
        shards: u16,
        choice: SteeringChoice,
    ) -> Result<Self, BindError> {
        let refused = |reason: io::Error| match reason.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse(address),
            _ => BindError::Refused { address, reason },
        };
        // Without SO_REUSEPORT, so that it fails where anybody is; it also finds a free port for port 0.
        let probe = UdpSocket::bind(address).map_err(refused)?;
        let address = probe.local_addr().map_err(refused)?;
        let lock = PortLock::take(address).map_err(refused)?;
        drop(probe);
        let sockets = (0..shards)
            .map(|_| bind_member(address))
            .collect::<io::Result<Vec<_>>>()
            .map_err(refused)?;
        if let Some(lacking) = sockets.first().and_then(lacking_buffers) {
            warn!("{lacking}");
        }
        let steering = match sockets.first() {
            Some(_) if shards > 1 && choice == SteeringChoice::Relay => Steering::Relay,
            Some(first) if shards > 1 => match attach_filter(first, shards) {
                Ok(()) => Steering::ConnectionId,
                Err(reason) if choice == SteeringChoice::Kernel => {
                    return Err(BindError::Unsteered { address, reason });
                }
                Err(reason) => {
                    warn!(
                        "the kernel refuses the filter that steers by connection ID ({reason}): the shards relay \
                         datagrams to each other, which costs time"
                    );
                    Steering::Relay
                }
            },
            _ => Steering::Single,
        };
        Ok(Self {
            sockets,
            address,
            steering,
            lock,
        })
    }
}

impl PortLock {
    fn take(address: SocketAddr) -> io::Result<Self> {
        let socket = socket(
            AddressFamily::Unix,
            SockType::Datagram,
            SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        let name = format!("madrpc/udp/{address}");
        bind(
            socket.as_raw_fd(),
            &UnixAddr::new_abstract(name.as_bytes())?,
        )?;
        Ok(Self { _socket: socket })
    }
}

fn bind_member(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    set_buffers(&socket);
    Ok(socket.into())
}

/// What to say where the system gives the socket less than it asks for.
fn lacking_buffers(socket: &UdpSocket) -> Option<String> {
    let socket = SockRef::from(socket);
    // The kernel keeps double of what is asked for, half of it for its own books (socket(7)).
    let sizes = [socket.recv_buffer_size(), socket.send_buffer_size()];
    let [receive, send] = sizes.map(|size| size.unwrap_or(2 * BUFFER_BYTES) / 2);
    (receive < BUFFER_BYTES || send < BUFFER_BYTES).then(|| {
        format!(
            "socket buffers: the system gives {} KiB to receive and {} KiB to send, of the {} KiB asked for; larger bursts \
             of datagrams are lost and sent again, which costs throughput under load: \
             sysctl net.core.rmem_max={BUFFER_BYTES} net.core.wmem_max={BUFFER_BYTES}",
            receive / 1024,
            send / 1024,
            BUFFER_BYTES / 1024
        )
    })
}

/// Attaches the filter to the group that `member` belongs to.
fn attach_filter(member: &UdpSocket, shards: u16) -> io::Result<()> {
    let shards = u32::from(shards);
    let instruction = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    use libc::{
        BPF_A, BPF_ABS, BPF_ALU, BPF_B, BPF_H, BPF_JA, BPF_JGE, BPF_JMP, BPF_JSET, BPF_K, BPF_LD,
        BPF_LEN, BPF_MOD, BPF_RET, BPF_W,
    };
    // The UDP payload begins at offset 0. A load beyond its end would select shard 0, so the length comes first;
    // an index out of range makes the kernel choose by the hash of the addresses.
    let program = [
        instruction(BPF_LD | BPF_W | BPF_LEN, 0, 0, 0),
        instruction(BPF_JMP | BPF_JGE | BPF_K, 0, 7, 8),
        instruction(BPF_LD | BPF_B | BPF_ABS, 0, 0, 0),
        // The header form (RFC 9000, section 17): a long header has its destination ID at byte 6, a short one at 1.
        instruction(BPF_JMP | BPF_JSET | BPF_K, 0, 2, 0x80),
        instruction(BPF_LD | BPF_H | BPF_ABS, 0, 0, 6),
        instruction(BPF_JMP | BPF_JA, 0, 0, 1),
        instruction(BPF_LD | BPF_H | BPF_ABS, 0, 0, 1),
        instruction(BPF_ALU | BPF_MOD | BPF_K, 0, 0, shards),
        instruction(BPF_RET | BPF_A, 0, 0, 0),
        instruction(BPF_RET | BPF_K, 0, 0, u32::MAX),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel copies the program out of `filter`, whose pointer and length are those of `program`.
    let result = unsafe {
        libc::setsockopt(
            member.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madrpc_core::session::cid;
    use std::time::Duration;

    fn loopback() -> SocketAddr {
        ([127, 0, 0, 1], 0).into()
    }

    /// Which shard's socket gets a datagram sent from a fresh port.
    fn receiver(group: &SocketGroup, datagram: &[u8]) -> usize {
        let sender = UdpSocket::bind(loopback()).unwrap();
        sender.send_to(datagram, group.address).unwrap();
        let mut buffer = [0; 100];
        for _ in 0..1000 {
            for (index, socket) in group.sockets.iter().enumerate() {
                if socket.recv(&mut buffer).is_ok() {
                    return index;
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        unreachable!("the datagram did not arrive");
    }

    #[test]
    fn the_kernel_follows_the_connection_id_whatever_the_source_port() {
        let shards = 3;
        let group = SocketGroup::bind(loopback(), shards, SteeringChoice::Kernel).unwrap();
        assert_eq!(group.steering, Steering::ConnectionId);
        for shard in 0..shards {
            for round in 0..20u8 {
                let id = cid::issue([round.wrapping_mul(37); cid::ID_BYTES], shard, shards);
                let mut short = vec![0x40];
                short.extend_from_slice(&id);
                assert_eq!(receiver(&group, &short), usize::from(shard), "short header");
                let mut long = vec![0xc0, 0, 0, 0, 1, cid::ID_BYTES as u8];
                long.extend_from_slice(&id);
                assert_eq!(receiver(&group, &long), usize::from(shard), "long header");
            }
        }
    }

    #[test]
    fn without_the_filter_the_source_decides() {
        let group = SocketGroup::bind(loopback(), 2, SteeringChoice::Relay).unwrap();
        assert_eq!(group.steering, Steering::Relay);
        let mut datagram = vec![0x40];
        datagram.extend_from_slice(&cid::issue([7; cid::ID_BYTES], 1, 2));
        let on_first = (0..64).filter(|_| receiver(&group, &datagram) == 0).count();
        assert!((8..=56).contains(&on_first), "{on_first} of 64");
    }

    #[test]
    fn datagrams_too_short_for_an_id_are_spread_and_not_all_the_first_shards() {
        let group = SocketGroup::bind(loopback(), 2, SteeringChoice::Auto).unwrap();
        let on_second = (0..64).filter(|_| receiver(&group, b"junk") == 1).count();
        assert!((8..=56).contains(&on_second), "{on_second} of 64");
    }

    #[test]
    fn small_buffers_are_told_with_the_remedy() {
        let socket = UdpSocket::bind(loopback()).unwrap();
        SockRef::from(&socket)
            .set_recv_buffer_size(64 << 10)
            .unwrap();
        let told = lacking_buffers(&socket).unwrap();
        assert!(told.contains("64 KiB to receive"), "{told}");
        assert!(told.contains("net.core.rmem_max=4194304"), "{told}");
    }

    #[test]
    fn a_second_group_on_the_same_address_is_refused() {
        let group = SocketGroup::bind(loopback(), 2, SteeringChoice::Auto).unwrap();
        let message = SocketGroup::bind(group.address, 2, SteeringChoice::Auto)
            .unwrap_err()
            .to_string();
        assert!(message.contains("in use"), "{message}");
        let address = group.address;
        drop(group);
        SocketGroup::bind(address, 2, SteeringChoice::Auto).unwrap();
    }

    #[test]
    fn a_port_that_is_just_being_freed_is_waited_for() {
        let group = SocketGroup::bind(loopback(), 2, SteeringChoice::Auto).unwrap();
        let SocketGroup {
            sockets,
            address,
            lock,
            ..
        } = group;
        // First the sockets go and then the lock, as it may be with a process that is torn down.
        let freeing = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            drop(sockets);
            std::thread::sleep(Duration::from_millis(200));
            drop(lock);
        });
        let begun = Instant::now();
        SocketGroup::bind(address, 2, SteeringChoice::Auto).unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(400));
        freeing.join().unwrap();
    }

    #[test]
    fn the_lock_alone_refuses_a_group_made_at_the_same_moment() {
        let address = loopback();
        let held = PortLock::take(address).unwrap();
        assert_eq!(
            PortLock::take(address).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        drop(held);
        PortLock::take(address).unwrap();
    }
}
