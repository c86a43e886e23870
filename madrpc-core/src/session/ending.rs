//! Why a session is over.
//!
//! Owns the words for it, and the judgement whether a call of that session may have run: `false` is certain.

use super::Goodbye;
use crate::call::{CallError, ErrorKind};
use crate::identity;

/// An application's close while the handshake goes on (RFC 9000, section 10.2.3): the words are left out.
const APPLICATION_ERROR: u64 = 0x0c;

/// The server takes no new connection (RFC 9000, section 20.1).
pub(super) const CONNECTION_REFUSED: u64 = 0x02;

/// Why a connection that is closed or draining is so, and whether a call on it may have run.
pub(super) fn reason(quic: &quiche::Connection) -> CallError {
    if let Some(words) = refusal(quic) {
        return CallError::not_run(ErrorKind::Unauthorized, words);
    }
    let peer = quic.peer_error();
    let closed_in_handshake =
        peer.is_some_and(|error| !error.is_app && error.error_code == APPLICATION_ERROR);
    let (kind, words) = match (peer, quic.local_error()) {
        (Some(error), _) if closed_in_handshake => {
            let words = "the peer ended the session before the handshake was over";
            (kind_of(error), words.to_owned())
        }
        (Some(error), _) if error.is_app => {
            let reason = String::from_utf8_lossy(&error.reason);
            (
                kind_of(error),
                format!("the peer ended the session: {reason}"),
            )
        }
        (Some(error), _) if error.error_code == CONNECTION_REFUSED => {
            let reason = String::from_utf8_lossy(&error.reason);
            (
                kind_of(error),
                format!("the peer takes no new session: {reason}"),
            )
        }
        (Some(error), _) => {
            let words = format!(
                "the peer ended the session with QUIC error {:#x}",
                error.error_code
            );
            (kind_of(error), words)
        }
        (None, Some(error)) => {
            let reason = String::from_utf8_lossy(&error.reason);
            let words = format!(
                "we ended the session: {reason} (code {:#x})",
                error.error_code
            );
            (kind_of(error), words)
        }
        (None, None) => (ErrorKind::Unavailable, "the peer went silent".to_owned()),
    };
    // QUIC is given no frame before the handshake is over on our side, and reads none before it is on the peer's.
    if quic.is_established() && !closed_in_handshake {
        CallError::may_have_run(kind, words)
    } else {
        CallError::not_run(kind, words)
    }
}

/// Why one side refused the other in the handshake.
fn refusal(quic: &quiche::Connection) -> Option<String> {
    let (error, words) = match (quic.peer_error(), quic.local_error()) {
        (Some(error), _) => (error, identity::refusal_by_peer(error)?),
        (None, Some(error)) => (error, identity::refusal_by_us(error)?),
        (None, None) => return None,
    };
    // A client's handshake is over before its server has judged the client's certificate.
    (!quic.is_established() || is_of_handshake(error.error_code)).then_some(words)
}

/// Whether this is a TLS alert that only a handshake can raise (RFC 8446, section 6.2): about its terms, or about a
/// certificate.
fn is_of_handshake(code: u64) -> bool {
    // QUIC carries an alert as 0x100 + alert (RFC 9001, section 4.8).
    matches!(
        code.wrapping_sub(0x100),
        40..=46 | 48 | 49 | 51 | 70 | 116 | 120
    )
}

fn kind_of(error: &quiche::ConnectionError) -> ErrorKind {
    const PROTOCOL: u64 = Goodbye::Protocol as u64;
    const UNAUTHORIZED: u64 = Goodbye::Unauthorized as u64;
    const OVERLOADED: u64 = Goodbye::Overloaded as u64;
    match error.error_code {
        _ if !error.is_app => ErrorKind::Unavailable,
        PROTOCOL => ErrorKind::Protocol,
        UNAUTHORIZED => ErrorKind::Unauthorized,
        OVERLOADED => ErrorKind::Overloaded,
        _ => ErrorKind::Unavailable,
    }
}
