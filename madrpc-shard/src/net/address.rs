//! Addresses as people write them: `HOST:PORT`, resolved at the start, and again when none of a name's addresses answers. A
//! name may have several.

use crate::runtime::shortened::{ENTRY_MAX_BYTES, shortened};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// An address that cannot be used; the message says which and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("address `{text}`: {reason}")]
pub struct AddressError {
    text: String,
    reason: String,
}

/// The addresses of one server, of which the first that answers is used: never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    all: Vec<SocketAddr>,
    /// What they were resolved from, where that may have others another time.
    name: Option<String>,
}

impl From<SocketAddr> for Addresses {
    fn from(address: SocketAddr) -> Self {
        Self {
            all: vec![address],
            name: None,
        }
    }
}

impl fmt::Display for Addresses {
    /// The name, or the only address there is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => self.first().fmt(f),
        }
    }
}

impl TryFrom<Vec<SocketAddr>> for Addresses {
    type Error = AddressError;

    /// In the order in which they are to be tried.
    fn try_from(addresses: Vec<SocketAddr>) -> Result<Self, AddressError> {
        match addresses.is_empty() {
            true => Err(AddressError {
                text: String::new(),
                reason: "a server has at least one address".into(),
            }),
            false => Ok(Self {
                all: addresses,
                name: None,
            }),
        }
    }
}

impl Addresses {
    /// All of them, in the order in which they are tried.
    #[must_use]
    pub fn all(&self) -> &[SocketAddr] {
        &self.all
    }

    /// The first.
    #[must_use]
    pub fn first(&self) -> SocketAddr {
        self.all[0]
    }

    /// The name that they were resolved from.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

/// The servers that the addresses of one name are of, which nobody else knows: a record has an address, and not whose it is.
///
/// - One IPv4 and one IPv6 address are one server, by two ways.
/// - As many of the one family as of the other are the same servers twice: those of the family count that comes first, which is
///   the one that this machine reaches.
/// - Else each address is a server.
///
/// In order, so that the same addresses in another order are the same servers.
#[must_use]
pub fn servers(addresses: &[SocketAddr]) -> Vec<Addresses> {
    let mut all: Vec<SocketAddr> = Vec::new();
    for address in addresses {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        if !all.contains(&address) {
            all.push(address);
        }
    }
    let Some(first) = all.first().copied() else {
        return Vec::new();
    };
    let of_first = |address: &&SocketAddr| address.is_ipv4() == first.is_ipv4();
    let count = all.iter().filter(of_first).count();
    if count * 2 == all.len() {
        if let [_, _] = all[..] {
            return vec![Addresses { all, name: None }];
        }
        all.retain(|address| of_first(&address));
    }
    all.sort_unstable();
    all.into_iter().map(Addresses::from).collect()
}

/// The servers that `text` names, see [`servers`].
///
/// # Errors
/// As [`resolve_target`].
pub fn resolve_servers(text: &str) -> Result<Vec<Addresses>, AddressError> {
    Ok(servers(resolve_target(text)?.all()))
}

/// The form of an address; what its host means is found out later.
///
/// # Errors
/// Where it is no `HOST:PORT`, or the port is 0, which nobody can call.
pub fn check_target(text: &str) -> Result<(), AddressError> {
    match port_of(text) {
        Some(0) => Err(refuse(text, "port 0 cannot be called".into())),
        Some(_) => Ok(()),
        None => Err(refuse(text, EXPECTED.into())),
    }
}

/// The address to listen on that `text` names.
///
/// # Errors
/// Where it is no `HOST:PORT`, or the host cannot be resolved.
pub fn resolve_bind(text: &str) -> Result<SocketAddr, AddressError> {
    Ok(resolve(text)?.first())
}

/// The addresses to send to that `text` names; `0.0.0.0` and `[::]` mean this machine.
///
/// # Errors
/// As [`resolve_bind`], and where the port is 0.
pub fn resolve_target(text: &str) -> Result<Addresses, AddressError> {
    check_target(text)?;
    let mut addresses = resolve(text)?;
    for address in &mut addresses.all {
        address.set_ip(match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        });
    }
    Ok(addresses)
}

/// What an address has to look like.
const EXPECTED: &str = "expected HOST:PORT, as in 127.0.0.1:9001";

fn refuse(text: &str, reason: String) -> AddressError {
    AddressError {
        text: shortened(text, ENTRY_MAX_BYTES).into_owned(),
        reason,
    }
}

/// The port, where it is an address.
fn port_of(text: &str) -> Option<u16> {
    let (host, port) = text.rsplit_once(':')?;
    let is_name = !host.is_empty() && !host.contains(char::is_whitespace);
    port.parse().ok().filter(|_| is_name)
}

fn resolve(text: &str) -> Result<Addresses, AddressError> {
    if port_of(text).is_none() {
        return Err(refuse(text, EXPECTED.into()));
    }
    let found = text.to_socket_addrs().map_err(|error| {
        let error = format!("cannot be resolved ({error}): check the name, or give an IP address");
        refuse(text, error)
    })?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match addresses.is_empty() {
        true => Err(refuse(text, "the name has no address".into())),
        false => Ok(Addresses {
            all: addresses,
            name: text.parse::<SocketAddr>().is_err().then(|| text.to_owned()),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unspecified_address_means_this_machine_only_as_a_target() {
        let bind = resolve_bind("0.0.0.0:9001").unwrap();
        assert_eq!(bind.to_string(), "0.0.0.0:9001");
        let target = resolve_target("0.0.0.0:9001").unwrap();
        assert_eq!(target.first().to_string(), "127.0.0.1:9001");
        let all = resolve_target("[::]:1").unwrap();
        assert_eq!(all.all(), ["[::1]:1".parse().unwrap()]);
    }

    #[test]
    fn a_name_with_several_addresses_is_several_servers() {
        let names = |addresses: &[&str]| -> Vec<String> {
            let all: Vec<SocketAddr> = addresses.iter().map(|one| one.parse().unwrap()).collect();
            let found = servers(&all);
            found.iter().map(|one| format!("{:?}", one.all())).collect()
        };
        assert!(names(&[]).is_empty());
        // By two ways, the better one first.
        assert_eq!(
            names(&["[::1]:1", "127.0.0.1:1"]),
            ["[[::1]:1, 127.0.0.1:1]"]
        );
        assert_eq!(
            names(&["127.0.0.1:1", "[::1]:1"]),
            ["[127.0.0.1:1, [::1]:1]"]
        );
        let both = ["[::2]:1", "[::1]:1", "127.0.0.2:1", "127.0.0.1:1"];
        assert_eq!(names(&both), ["[[::1]:1]", "[[::2]:1]"]);
        let mut both = both;
        both.reverse();
        assert_eq!(names(&both), ["[127.0.0.1:1]", "[127.0.0.2:1]"]);
        // Somebody has only one.
        let mixed = ["127.0.0.2:1", "127.0.0.1:1", "[::1]:1", "127.0.0.1:1"];
        let expected = ["[127.0.0.1:1]", "[127.0.0.2:1]", "[[::1]:1]"];
        assert_eq!(names(&mixed), expected);
        assert_eq!(
            names(&["[::ffff:127.0.0.1]:1", "127.0.0.1:1"]),
            ["[127.0.0.1:1]"]
        );
    }

    #[test]
    fn bad_addresses_say_what_was_expected() {
        for text in [
            "",
            "localhost",
            "127.0.0.1",
            "127.0.0.1:",
            "127.0.0.1:99999",
        ] {
            let message = resolve_bind(text).unwrap_err().to_string();
            assert!(message.contains("expected HOST:PORT"), "{message}");
        }
        let message = resolve_target("no-such-host.invalid:1")
            .unwrap_err()
            .to_string();
        assert!(message.contains("cannot be resolved"), "{message}");
        assert!(resolve_target("127.0.0.1:0").is_err());
    }
}
