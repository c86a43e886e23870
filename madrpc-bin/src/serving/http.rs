//! HTTP beside the calls of a server: where it listens, and its end.

use crate::args::HttpArgs;
use crate::exit::{Failure, Reason};
use madrpc_core::identity::Identity;
use madrpc_shard::gateway::{Door, Gateway, GatewayError, TokensFile};
use madrpc_shard::net::address::resolve_bind;
use madrpc_shard::server::Server;
use madrpc_shard::traces::Exporter;
use std::net::SocketAddr;
use std::time::Duration;
use tracing::warn;

/// Where HTTP comes in, and who may.
pub(crate) struct Entrance {
    door: Door,
    tokens: Option<TokensFile>,
}

/// Listens where HTTP is to be served; call it before TCP is given up.
pub(crate) fn entrance(args: &HttpArgs) -> Result<Option<Entrance>, Failure> {
    let Some((address, tokens)) = check(args)? else {
        return Ok(None);
    };
    let door = Door::bind(address)?;
    Ok(Some(Entrance { door, tokens }))
}

/// Whether the flags of HTTP can be used; what they say.
pub(crate) fn check(args: &HttpArgs) -> Result<Option<(SocketAddr, Option<TokensFile>)>, Failure> {
    let address = match (&args.http, &args.http_tokens) {
        (Some(address), _) => address,
        (None, None) => return Ok(None),
        (None, Some(_)) => {
            let error = "--http-tokens: there is no HTTP that they are for (--http)";
            return Err(Failure::new(Reason::Usage, error));
        }
    };
    let address = resolve_bind(address)?;
    let tokens = args.http_tokens.as_deref().map(TokensFile::open);
    let tokens = tokens.transpose()?;
    Gateway::check(address, tokens.as_ref())?;
    Ok(Some((address, tokens)))
}

/// A server, and what is beside it: HTTP, and what sends its spans.
pub(crate) struct Fronted<S> {
    pub(crate) server: S,
    pub(crate) gateway: Option<Gateway>,
    exporter: Option<Exporter>,
}

impl<S> Fronted<S> {
    /// Serves HTTP for `front`, which is `server` or a part of it.
    pub(crate) fn new(
        server: S,
        front: impl FnOnce(&S) -> &Server,
        entrance: Option<Entrance>,
    ) -> Result<Self, GatewayError> {
        let gateway =
            entrance.map(|Entrance { door, tokens }| Gateway::start(door, front(&server), tokens));
        Ok(Self {
            gateway: gateway.transpose()?,
            exporter: None,
            server,
        })
    }

    /// The same with what sends its spans, which ends after the server.
    pub(crate) fn with_exporter(self, exporter: Option<Exporter>) -> Self {
        Self { exporter, ..self }
    }

    /// What to say of HTTP at the start.
    pub(crate) fn told(&self) -> String {
        let gateway = self.gateway.as_ref();
        gateway.map_or_else(String::new, |gateway| {
            format!("; HTTP at {}", gateway.address())
        })
    }

    /// Drains the server in its way, and HTTP with it; says whether all calls ended.
    pub(crate) fn drain(self, timeout: Duration, drain: impl FnOnce(S, Duration) -> bool) -> bool {
        if let Some(gateway) = &self.gateway {
            gateway.drain();
        }
        let have_ended = drain(self.server, timeout);
        if let Some(gateway) = self.gateway {
            gateway.close();
        }
        if let Some(Err(lost)) = self.exporter.map(Exporter::close) {
            warn!("{lost}");
        }
        have_ended
    }
}

impl Fronted<Server> {
    /// Goes over to another identity.
    pub(crate) fn set_identity(&self, identity: &Identity) -> Result<(), Failure> {
        self.server.set_identity(identity)?;
        if let Some(gateway) = &self.gateway {
            gateway.set_identity(identity)?;
        }
        Ok(())
    }
}
