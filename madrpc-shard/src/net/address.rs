//! Addresses as people write them: `HOST:PORT`, resolved once, at the start.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// An address that cannot be used; the message says which and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("address `{text}`: {reason}")]
pub struct AddressError {
    text: String,
    reason: String,
}

/// The address to listen on that `text` names.
///
/// # Errors
/// Where it is no `HOST:PORT`, or the host cannot be resolved.
pub fn resolve_bind(text: &str) -> Result<SocketAddr, AddressError> {
    let refuse = |reason: String| AddressError {
        text: text.to_owned(),
        reason,
    };
    let port = text.rsplit_once(':').map(|(_, port)| port);
    if port.is_none_or(|port| port.parse::<u16>().is_err()) {
        return Err(refuse("expected HOST:PORT, as in 127.0.0.1:9001".into()));
    }
    let mut found = text.to_socket_addrs().map_err(|error| {
        refuse(format!(
            "cannot be resolved ({error}): check the name, or give an IP address"
        ))
    })?;
    found
        .next()
        .ok_or_else(|| refuse("the name has no address".into()))
}

/// The address to send to that `text` names; `0.0.0.0` and `[::]` mean this machine.
///
/// # Errors
/// As [`resolve_bind`], and where the port is 0.
pub fn resolve_target(text: &str) -> Result<SocketAddr, AddressError> {
    let mut address = resolve_bind(text)?;
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
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unspecified_address_means_this_machine_only_as_a_target() {
        let bind = resolve_bind("0.0.0.0:9001").unwrap();
        assert_eq!(bind.to_string(), "0.0.0.0:9001");
        let target = resolve_target("0.0.0.0:9001").unwrap();
        assert_eq!(target.to_string(), "127.0.0.1:9001");
        assert_eq!(resolve_target("[::]:1").unwrap().to_string(), "[::1]:1");
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
