//! Addresses as people write them: `HOST:PORT`, resolved at the start, and again when none of a name's addresses answers. A
//! name may have several.

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
    let mut addresses = resolve(text)?;
    for address in &mut addresses.all {
        if address.port() == 0 {
            return Err(AddressError {
                text: text.to_owned(),
                reason: "port 0 cannot be called".into(),
            });
        }
        address.set_ip(match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        });
    }
    Ok(addresses)
}

fn resolve(text: &str) -> Result<Addresses, AddressError> {
    let refuse = |reason: String| AddressError {
        text: text.to_owned(),
        reason,
    };
    let port = text.rsplit_once(':').map(|(_, port)| port);
    if port.is_none_or(|port| port.parse::<u16>().is_err()) {
        return Err(refuse("expected HOST:PORT, as in 127.0.0.1:9001".into()));
    }
    let found = text.to_socket_addrs().map_err(|error| {
        refuse(format!(
            "cannot be resolved ({error}): check the name, or give an IP address"
        ))
    })?;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match addresses.is_empty() {
        true => Err(refuse("the name has no address".into())),
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
