//! The ceilings: what the network alone allows, and what the engine alone allows.

pub(crate) mod quic;
pub(crate) mod script;
mod wire;
