//! Where nodes come from, as it is written.

use hickory_resolver::proto::rr::Name;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where name servers listen.
pub const DNS_PORT: u16 = 53;

/// Bytes of a name, and of what is between two of its dots (RFC 1035, section 2.3.4), as it is written.
const NAME_MAX: usize = 253;
const LABEL_MAX: usize = 63;

/// Where nodes come from: `file:PATH`, `dns:NAME` or `dns:HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file with the address of a node, `HOST:PORT`, on each line. What follows a `#` is left out.
    File(PathBuf),
    /// What name servers know.
    Dns(DnsSource),
}

/// A name that name servers are asked for, and nobody else: not the file of this machine's hosts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DnsSource {
    pub(super) name: Name,
    /// With a port its addresses are asked for, A and AAAA; without one its SRV records, which have ports.
    pub(super) port: Option<u16>,
    /// Whom to ask. Default: those of `/etc/resolv.conf`.
    pub(super) server: Option<SocketAddr>,
}

impl Source {
    /// The port of the name server that it names.
    #[must_use]
    pub fn server_port(&self) -> Option<u16> {
        match self {
            Self::Dns(source) => source.server.map(|server| server.port()),
            Self::File(_) => None,
        }
    }
}

impl FromStr for Source {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("file", "")) => {
                Err("file: expected a path after it, as in file:/etc/madrpc/nodes".into())
            }
            Some(("file", path)) => Ok(Self::File(path.into())),
            Some(("dns", name)) => name.parse().map(Self::Dns),
            _ => Err(
                "expected file:PATH, dns:NAME or dns:HOST:PORT, as in file:/etc/madrpc/nodes or \
                 dns:_madrpc._udp.example.org"
                    .into(),
            ),
        }
    }
}

impl FromStr for DnsSource {
    type Err = String;

    /// What comes after `dns:`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (name, server) = match text.split_once('@') {
            Some((name, server)) => (name, Some(server_of(server)?)),
            None => (text, None),
        };
        if text.parse::<SocketAddr>().is_ok() || name.parse::<IpAddr>().is_ok() {
            return Err("an address needs no name server: give it to --node".into());
        }
        let (name, port) = match name.split_once(':') {
            Some((name, port)) => (name, Some(port_of(port)?)),
            None => (name, None),
        };
        Ok(Self {
            name: name_of(name)?,
            port,
            server,
        })
    }
}

fn port_of(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) => Err("port 0 cannot be called".into()),
        Ok(port) => Ok(port),
        Err(_) => Err(format!(
            "`{text}` is no port, as 9001 in dns:nodes.example.org:9001 (without one, SRV records have them)"
        )),
    }
}

fn server_of(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
    let ip = bare.unwrap_or(text);
    let server = match ip.parse::<IpAddr>() {
        Ok(ip) => Some(SocketAddr::new(ip, DNS_PORT)),
        Err(_) => text.parse().ok(),
    };
    server.filter(|server| server.port() != 0).ok_or_else(|| {
        "the name server after the @ has to be an address, as in \
         dns:_madrpc._udp.example.org@127.0.0.1:8600"
            .into()
    })
}

fn name_of(text: &str) -> Result<Name, String> {
    let expected = "as in dns:_madrpc._udp.example.org or dns:nodes.example.org:9001";
    let plain = text.strip_suffix('.').unwrap_or(text);
    if plain.is_empty() {
        return Err(format!("dns: expected a name after it, {expected}"));
    }
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || "/\\@\"'`".contains(c);
    if plain.contains(is_odd) {
        return Err(format!("{text:?} is no name, {expected}"));
    }
    if plain.len() > NAME_MAX {
        return Err(format!("a name has at most {NAME_MAX} bytes, {expected}"));
    }
    if plain
        .split('.')
        .any(|label| label.is_empty() || label.len() > LABEL_MAX)
    {
        return Err(format!(
            "a name has 1 to {LABEL_MAX} bytes between two dots, {expected}"
        ));
    }
    Name::from_str_relaxed(text)
        .map_err(|error| format!("{text:?} is no name ({error}), {expected}"))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Dns(source) => source.fmt(f),
        }
    }
}

impl fmt::Display for DnsSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "dns:{}", self.name)?;
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match self.server {
            Some(server) => write!(f, "@{server}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_shown_as_it_is_written() {
        for text in [
            "file:/etc/madrpc/nodes",
            "file:nodes:1",
            "dns:_madrpc._udp.example.org",
            "dns:madrpc.service.consul.",
            "dns:nodes.example.org:9001",
            "dns:nodes:9001@127.0.0.1:5353",
            "dns:_madrpc._udp.example.org@[::1]:5353",
        ] {
            let source: Source = text.parse().unwrap();
            assert_eq!(source.to_string(), text);
        }
        for server in ["10.0.0.1", "::1", "[::1]"] {
            let source: Source = format!("dns:x@{server}").parse().unwrap();
            assert_eq!(source.server_port(), Some(53), "{server}");
        }
    }

    #[test]
    fn what_is_no_source_is_refused_with_what_to_write() {
        let long = format!("dns:{}", ["a"; 127].join("."));
        let label = format!("dns:{}.org", "a".repeat(64));
        assert!(long.parse::<Source>().is_ok());
        let long = format!("{long}.a");
        for text in [
            "",
            "nodes",
            "file:",
            "dns",
            "dns:",
            "dns:.",
            "dns::9001",
            "dns:no spaces",
            "dns:a..b",
            "dns:x:port",
            "dns:x:70000",
            "dns:x@",
            "dns:x@name",
            "dns:x@127.0.0.1:0",
            "dns:x@y@127.0.0.1",
            "DNS:x",
            &long,
            &label,
        ] {
            let why = text.parse::<Source>().unwrap_err();
            assert!(
                why.contains("as in") || why.contains(", as "),
                "{text}: {why}"
            );
            assert_eq!(why.lines().count(), 1, "{why}");
        }
        for text in ["dns:127.0.0.1:1", "dns:127.0.0.1"] {
            assert!(text.parse::<Source>().unwrap_err().contains("--node"));
        }
        assert!("dns:x:0".parse::<Source>().unwrap_err().contains("port 0"));
    }
}
