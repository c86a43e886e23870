//! What is fuzzed: a target is a module with `run`, which takes any bytes and fails by a panic where something does not hold.
//!
//! | target | the bytes are |
//! |---|---|
//! | [`datagrams`] | what strangers send to a node's socket: junk, Initials with frames of their choice, genuine clients corrupted |
//! | [`frames`] | what a peer with a certificate does on its streams: any bytes, in any pieces, ended, reset |
//! | [`headers`] | a frame, an error, a catalogue, a snapshot |
//! | [`values`] | a value on the wire, or as JSON |
//! | [`echo`] | a value on the wire, which goes through JavaScript and back |
//! | [`scripts`] | a script's text, or the parts that it is made of, as `madrpc check` loads it, and as TypeScript |
//! | [`host`] | which functions a script calls, with which odd values, and where: on a full stack, in a full heap, at its deadline |
//! | [`settings`] | a settings file |
//! | [`certificates`] | what is done to the files of a certificate directory |
//! | [`shard`] | what callers do with a node's shard: call, cancel, leave, come again, while its script is replaced |
//!
//! `make fuzz` looks for such bytes; `corpus/` holds some that lead far, `finds/` those that once made something fail, and
//! the test `replay` runs all of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a target fails"
)]

pub mod certificates;
pub mod datagrams;
pub mod echo;
pub mod frames;
pub mod headers;
pub mod host;
pub mod scripts;
pub mod settings;
pub mod shard;
pub mod values;

mod fleet;
mod script_log;
mod signals;
