//! What must be true of the machine, and the threads that run on it.

pub mod cpus;
pub mod memory;
pub mod preflight;

pub(crate) mod beacon;
pub(crate) mod priority;
pub(crate) mod shard_group;
pub(crate) mod text_file;
