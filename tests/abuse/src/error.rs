//! Why an attack, or a run of one, could not be made.

use boring::error::ErrorStack;
use madrpc_core::identity::IdentityError;
use std::io;

/// The attacker's own trouble. What the server does wrong is no error but a [`Check`](crate::attack::Check).
#[derive(Debug, thiserror::Error)]
pub enum AbuseError {
    /// A socket, a file or a process.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// quiche on the attacker's side.
    #[error("QUIC on the attacker's side: {0}")]
    Quic(#[from] quiche::Error),
    /// Packet protection or certificates on the attacker's side.
    #[error("TLS library on the attacker's side: {0}")]
    Tls(#[from] ErrorStack),
    /// The test authority.
    #[error("test authority: {0}")]
    Identity(#[from] IdentityError),
    /// A document of `madrpc` that is none.
    #[error("`{command}` printed no document: {error}")]
    Document {
        /// The command.
        command: &'static str,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// Something had to come about before the attack, and did not.
    #[error("the attack could not be made: {0}")]
    NotMade(String),
}

impl AbuseError {
    pub(crate) fn not_made(why: impl Into<String>) -> Self {
        Self::NotMade(why.into())
    }
}

impl From<nix::Error> for AbuseError {
    fn from(error: nix::Error) -> Self {
        Self::Io(error.into())
    }
}
