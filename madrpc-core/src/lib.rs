//! The core of madrpc: what a call, a value, a session and an identity are.
//!
//! No socket, no clock, no thread: everything here takes time, addresses and bytes, and says what to do.
//! `madrpc-shard` is the shell that does it.
//!
#![cfg_attr(not(test), warn(clippy::arithmetic_side_effects))]
#![doc = include_str!("protocol.md")]
#![forbid(unsafe_code)]

pub mod allocated;
pub mod balance;
pub mod call;
pub mod fleet;
pub mod identity;
pub mod limits;
pub mod lists;
pub mod numbers;
pub mod session;
pub mod stats;
pub mod value;
pub mod wheel;

#[cfg(test)]
mod protocol_tests;
