//! Who collects spans, as an address says it.

use hyper::Uri;
use std::str::FromStr;

/// The port of OTLP over HTTP.
const PORT: u16 = 4318;

/// What stands behind the address (OTLP specification, "OTLP/HTTP Request").
const PATH: &str = "/v1/traces";

/// Who collects spans: `http://HOST[:PORT][/PATH]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    pub(super) host: String,
    port: u16,
    pub(super) path: String,
}

/// An address is none of a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoReceiver {
    /// It is none at all.
    #[error("expected an address as http://127.0.0.1:4318")]
    Address,
    /// Nothing is sent by TLS.
    #[error(
        "expected http://: spans go to a collector on this machine, or in a network that is trusted, and that one sends them on by TLS"
    )]
    Scheme,
}

impl Receiver {
    /// Where it listens (TCP).
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The host as a name server is asked for it: an IPv6 address without its brackets.
    pub(super) fn name(&self) -> &str {
        let inner = self.host.strip_prefix('[');
        inner
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(&self.host)
    }
}

impl FromStr for Receiver {
    type Err = NoReceiver;

    fn from_str(text: &str) -> Result<Self, NoReceiver> {
        let uri: Uri = text.parse().map_err(|_| NoReceiver::Address)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some(_) => return Err(NoReceiver::Scheme),
            None => return Err(NoReceiver::Address),
        }
        let authority = uri.authority().ok_or(NoReceiver::Address)?;
        let is_plain = !authority.as_str().contains('@') && uri.query().is_none();
        // It has no port either where that is no port's number.
        let port = match authority.as_str().len() > authority.host().len() {
            true => authority.port_u16(),
            false => Some(PORT),
        };
        let port = port.filter(|port| *port > 0).ok_or(NoReceiver::Address)?;
        let host = authority.host().to_owned();
        match is_plain && !host.is_empty() {
            true => Ok(Self {
                host,
                port,
                path: format!("{}{PATH}", uri.path().trim_end_matches('/')),
            }),
            false => Err(NoReceiver::Address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_with_what_it_leaves_out() {
        for (text, host, port, path) in [
            ("http://a.example", "a.example", 4318, "/v1/traces"),
            ("http://127.0.0.1:80/", "127.0.0.1", 80, "/v1/traces"),
            ("http://[::1]:9/in", "::1", 9, "/in/v1/traces"),
        ] {
            let read: Receiver = text.parse().unwrap();
            assert_eq!(
                (read.name(), read.port(), &*read.path),
                (host, port, path),
                "{text}"
            );
        }
        for (wrong, error) in [
            ("https://a.example", NoReceiver::Scheme),
            ("a.example:4318", NoReceiver::Address),
            ("", NoReceiver::Address),
            ("http://", NoReceiver::Address),
            ("http://a:99999", NoReceiver::Address),
            ("http://a:0", NoReceiver::Address),
            ("http://me@a", NoReceiver::Address),
            ("http://a/?b=c", NoReceiver::Address),
        ] {
            assert_eq!(wrong.parse::<Receiver>(), Err(error), "{wrong}");
        }
    }
}
