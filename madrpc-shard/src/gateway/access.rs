//! Who may come in: by a token, or, where there is no file of them, from this machine.
//!
//! Without tokens whoever can reach the port is let in, so it is this machine's alone; and what reaches it from a browser has to
//! mean it: a page of somebody else may send requests to 127.0.0.1 too. Such a request names where it comes from (`Origin`), or the
//! name that it was made to believe is ours (`Host`); both are looked at.

use super::tokens::{Owner, Tokens, TokensFile};
use super::under_way::CALLERS_MAX;
use super::{Door, Gateway, GatewayError, is_local, tls};
use crate::client::{CallRecorder, Client, ClientConfig, start_early};
use crate::server::Server;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, Uri, header};
use boring::ssl::SslAcceptor;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::{Identity, IdentityError, Permissions, Role};
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use tokio::sync::Semaphore;

/// The name of callers where there are no tokens, whose role is `client`.
const LOCAL: &str = "http";

/// What somebody has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Nothing,
    Caller,
    Operator,
}

/// Somebody who calls, with sessions of his own: so he has his part of the core beside others who come by HTTP.
pub(super) struct Caller {
    pub(super) owner: Owner,
    pub(super) permissions: Arc<Permissions>,
    /// How many requests he may have under way yet.
    pub(super) requests: Arc<Semaphore>,
    config: ClientConfig,
    client: OnceLock<Client>,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Caller").field(&self.owner).finish()
    }
}

impl Caller {
    /// The client that calls for him; opened by his first call.
    ///
    /// # Errors
    /// Where this machine does not let it be opened.
    pub(super) fn client(&self) -> Result<&Client, CallError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::new(&self.config)
            .map_err(|error| CallError::not_run(ErrorKind::Unavailable, error.to_string()))?;
        Ok(self.client.get_or_init(|| client))
    }

    /// Whether he may call a function.
    ///
    /// # Errors
    /// Who may.
    pub(super) fn may_call(&self, function: &str) -> Result<(), CallError> {
        let Owner { role, name } = &self.owner;
        let checked = self.permissions.check(function, Some(*role), name);
        checked.map_err(|may| {
            let error = format!(
                "`{function}` may be called by {may}, and this is {} (--allow)",
                self.owner
            );
            CallError::not_run(ErrorKind::Unauthorized, error)
        })
    }
}

/// Why somebody is not let in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// He has not said who he is, or it is not true.
    Unknown(&'static str),
    /// It is not for him.
    Forbidden(String),
    /// Nobody can say whom it is for.
    Unclear,
}

/// Who may come in, and as whom calls are made; it changes with the file of tokens and the server's certificate.
pub(super) struct Access {
    identity: Identity,
    permissions: Arc<Permissions>,
    /// Where the server is called.
    server: SocketAddr,
    /// What records the calls, where that is done.
    recorder: Option<CallRecorder>,
    tokens: Option<Arc<Tokens>>,
    /// Those who have tokens, or the one that stands for all.
    callers: HashMap<Owner, Arc<Caller>>,
    tls: Option<SslAcceptor>,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Access").field(&self.server).finish()
    }
}

impl Access {
    /// # Errors
    /// Where others than this machine can come and there are no tokens, or the certificate cannot be used.
    pub(super) fn new(
        door: &Door,
        server: &Server,
        tokens: Option<&TokensFile>,
    ) -> Result<Self, GatewayError> {
        Gateway::check(door.address, tokens)?;
        let identity = server.identity().clone();
        let tls = (!door.is_local()).then(|| tls::acceptor(&identity));
        let mut access = Self {
            identity,
            permissions: Arc::clone(server.permissions()),
            server: reachable(server.address()),
            recorder: server.recorder(),
            tokens: None,
            callers: HashMap::new(),
            tls: tls.transpose()?,
        };
        access.set_tokens(tokens.map(|file| Arc::clone(file.0.list())));
        // From here and not from the thread of HTTP, which stands back: a session whose client has no core for seconds counts as
        // gone. Where it fails, calls say so.
        let _ = start_early();
        Ok(access)
    }

    /// Lets these in from now on. Those who were there before keep their sessions.
    pub(super) fn set_tokens(&mut self, tokens: Option<Arc<Tokens>>) {
        let local = Owner {
            role: Role::Client,
            name: LOCAL.into(),
        };
        let owners: Vec<Owner> = match &tokens {
            Some(tokens) => tokens.owners().cloned().collect(),
            None => vec![local],
        };
        let mut before = std::mem::take(&mut self.callers);
        for owner in owners {
            let known = before
                .remove(&owner)
                .or_else(|| self.callers.remove(&owner));
            let caller = known.unwrap_or_else(|| self.caller(owner.clone()));
            self.callers.insert(owner, caller);
        }
        self.tokens = tokens;
    }

    /// Goes over to another identity.
    ///
    /// # Errors
    /// Where it cannot be used. Nothing has changed then.
    pub(super) fn set_identity(&mut self, identity: Identity) -> Result<(), IdentityError> {
        if self.tls.is_some() {
            self.tls = Some(tls::acceptor(&identity)?);
        }
        self.identity = identity;
        self.callers.clear();
        self.set_tokens(self.tokens.clone());
        Ok(())
    }

    fn caller(&self, owner: Owner) -> Arc<Caller> {
        let address = self.server.to_string();
        Arc::new(Caller {
            owner,
            permissions: Arc::clone(&self.permissions),
            requests: Arc::new(Semaphore::new(CALLERS_MAX)),
            config: ClientConfig {
                recorder: self.recorder.clone(),
                ..ClientConfig::with_identity(&address, self.identity.clone())
            },
            client: OnceLock::new(),
        })
    }

    /// What encrypts, where not only this machine can come.
    pub(super) fn tls(&self) -> Option<SslAcceptor> {
        self.tls.clone()
    }

    /// Who it is that asks so, where he may have what he asks for; nobody where nobody has to be anybody.
    pub(super) fn admit(
        &self,
        need: Need,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Option<Arc<Caller>>, Refusal> {
        let host = host(uri, headers)?;
        if need == Need::Nothing {
            return Ok(None);
        }
        if *method == Method::POST && is_foreign(headers, host) {
            let error = "a page of another origin may not call (there is no CORS)";
            return Err(Refusal::Forbidden(error.into()));
        }
        let caller = match &self.tokens {
            Some(tokens) => {
                let owner = bearer(headers)?.and_then(|token| tokens.owner(token));
                let caller = owner.and_then(|owner| self.callers.get(owner));
                caller.ok_or(Refusal::Unknown("the token is wrong"))?
            }
            None if !is_own_name(host) => {
                let error = format!(
                    "without tokens this is for 127.0.0.1, [::1] and localhost, not for `{host}` (--http-tokens)"
                );
                return Err(Refusal::Forbidden(error));
            }
            None => match self.callers.values().next() {
                Some(caller) => return Ok(Some(Arc::clone(caller))),
                None => return Err(Refusal::Unknown("nobody is let in")),
            },
        };
        match need == Need::Operator && caller.owner.role != Role::Operator {
            true => Err(Refusal::Forbidden(format!(
                "that is for operators, and this token is {}'s",
                caller.owner
            ))),
            false => Ok(Some(Arc::clone(caller))),
        }
    }
}

/// The token of a request; nothing where it is of another scheme.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Err(Refusal::Unknown(
            "a token is needed: `Authorization: Bearer TOKEN`",
        ));
    };
    let words = value.to_str().ok().and_then(|text| text.split_once(' '));
    Ok(words
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim()))
}

/// Whom a request means (RFC 9112, 3.2): empty where it says nothing.
fn host<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Result<&'a str, Refusal> {
    let mut lines = headers.get_all(header::HOST).iter();
    let host = lines.next().map_or(Ok(""), HeaderValue::to_str);
    let (Ok(host), None) = (host, lines.next()) else {
        return Err(Refusal::Unclear);
    };
    Ok(uri.authority().map_or(host, Authority::as_str))
}

/// Whether a browser sends it for a page of another origin than ours.
fn is_foreign(headers: &HeaderMap, host: &str) -> bool {
    let origin = headers.get(header::ORIGIN);
    origin.is_some_and(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_none_or(|authority| !authority.eq_ignore_ascii_case(host))
    })
}

/// Whether a name is one that only this machine means itself by. A client that names none is no browser.
fn is_own_name(host: &str) -> bool {
    if host.is_empty() {
        return true;
    }
    if let Ok(address) = host.parse::<SocketAddr>() {
        return is_local(address.ip());
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(is_local)
}

/// Where a server that listens there is called from this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(header::HeaderName, &str)]) -> HeaderMap {
        let all = all
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap()));
        all.collect()
    }

    #[test]
    fn only_names_of_this_machine_are_ours() {
        for ours in [
            "",
            "localhost",
            "LocalHost:80",
            "127.0.0.1",
            "127.8.0.1:1",
            "[::1]:8",
            "[::1]",
            "[::ffff:127.0.0.1]:1",
        ] {
            assert!(is_own_name(ours), "{ours}");
        }
        for other in [
            "evil.example",
            "127.0.0.1.evil.example:80",
            "10.0.0.1:80",
            "localhost.evil",
            "[::2]:1",
            "localhost:80:80",
        ] {
            assert!(!is_own_name(other), "{other}");
        }
    }

    #[test]
    fn a_host_is_one_and_that_of_the_address_counts_first() {
        let of = |uri: &str, hosts: &[&str]| {
            let lines: Vec<_> = hosts.iter().map(|host| (header::HOST, *host)).collect();
            let uri = uri.parse().unwrap();
            host(&uri, &headers(&lines)).map(str::to_owned)
        };
        assert_eq!(of("/", &[]), Ok(String::new()));
        assert_eq!(of("/", &["a:1"]), Ok("a:1".into()));
        assert_eq!(of("http://b:2/", &["a:1"]), Ok("b:2".into()));
        for wrong in [&["a:1", "a:1"][..], &["\u{e9}"]] {
            assert_eq!(of("/", wrong), Err(Refusal::Unclear), "{wrong:?}");
            assert_eq!(of("http://b:2/", wrong), Err(Refusal::Unclear), "{wrong:?}");
        }
    }

    #[test]
    fn a_page_of_another_origin_is_told_from_our_own() {
        let is = |origin: &str, host: &str| is_foreign(&headers(&[(header::ORIGIN, origin)]), host);
        assert!(!is_foreign(&headers(&[]), "a:1"));
        assert!(!is("http://a:1", "A:1"));
        assert!(
            is("http://b:1", "a:1") && is("null", "a:1") && is("http://a:2", "a:1") && is("", "")
        );
    }

    #[test]
    fn the_token_is_what_follows_bearer() {
        let token = |value: &str| {
            let headers = headers(&[(header::AUTHORIZATION, value)]);
            bearer(&headers).map(|token| token.map(str::to_owned))
        };
        assert_eq!(token("bEARER  abc "), Ok(Some("abc".into())));
        assert_eq!(token("Basic abc"), Ok(None));
        assert_eq!(token("abc"), Ok(None));
        assert!(bearer(&HeaderMap::new()).is_err());
    }

    #[test]
    fn a_server_that_listens_everywhere_is_called_here() {
        for (listens, called) in [
            ("0.0.0.0:7", "127.0.0.1:7"),
            ("[::]:7", "[::1]:7"),
            ("10.0.0.1:7", "10.0.0.1:7"),
        ] {
            assert_eq!(reachable(listens.parse().unwrap()), called.parse().unwrap());
        }
    }
}
