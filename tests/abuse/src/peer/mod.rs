//! Peers that keep to the rules only where they have to: sockets, packets by hand, and QUIC without our session on it.

pub mod client;
pub(crate) mod crafted;
pub(crate) mod hello;
pub mod keys;
pub(crate) mod pace;
pub mod packet;
pub mod socket;
pub(crate) mod wire;

pub use socket::{Traffic, traffic};
