//! What strangers and callers can do to a server, and what others notice of it.
//!
//! ```text
//! attack (what is done, by whom) ─▶ peer (sockets, packets by hand, QUIC without a session)
//!    ▲                                          │
//! stage (servers, a well-behaved caller,        ▼
//!        a watch on memory and log) ◀────── the server
//! ```
//!
//! An [`Attack`] knows nothing of how its server was started: the harness (`abuse run`) gives it processes, a test its
//! own servers and a short [`Amount`]. Everything goes to loopback and is bounded in number and time.
//!
//! ```no_run
//! # use madrpc_abuse::{Amount, Field, attack, fleet::Fleet};
//! # fn test(address: std::net::SocketAddr, fleet: &Fleet) -> Result<(), madrpc_abuse::AbuseError> {
//! let field = Field {
//!     target: address,          // of a node that runs `script::SCRIPT` with a certificate of the fleet
//!     nodes: &[address],
//!     fleet,
//!     amount: Amount::of(200),
//!     watched: None,            // it is in this process
//!     bad_node: None,
//! };
//! let attack = attack("initial-close-reason").expect("it is listed");
//! assert!((attack.run)(&field)?.checks.iter().all(|check| check.holds));
//! # Ok(())
//! # }
//! ```

pub mod attack;
mod callers;
pub mod error;
pub mod fleet;
pub mod peer;
pub mod script;
pub mod stage;
mod strangers;
pub mod watched;

pub use attack::{Amount, Attack, Field, Outcome};
pub use error::AbuseError;
pub use peer::{Traffic, traffic};

/// Every attack, strangers' first.
pub fn attacks() -> impl Iterator<Item = &'static Attack> {
    static STRANGERS: &[Attack] = &strangers::ATTACKS;
    static CALLERS: &[Attack] = &callers::ATTACKS;
    STRANGERS.iter().chain(CALLERS)
}

/// The attack of this name.
#[must_use]
pub fn attack(name: &str) -> Option<&'static Attack> {
    attacks().find(|attack| attack.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_plain_and_unique() {
        let names: HashSet<_> = attacks().map(|attack| attack.name).collect();
        assert_eq!(names.len(), attacks().count());
        let plain = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        assert!(names.iter().all(|name| plain(name)), "{names:?}");
    }
}
