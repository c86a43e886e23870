//! What must be true of the machine, and the threads that run on it.

#[cfg(target_os = "linux")]
pub(crate) mod cpu_quota;
pub mod cpus;
#[cfg(feature = "engine")]
pub mod helpers;
#[cfg(target_os = "linux")]
pub mod memory;
#[cfg(target_os = "linux")]
pub mod preflight;
pub(crate) mod shortened;

#[cfg(target_os = "linux")]
pub(crate) mod beacon;
#[cfg(target_os = "linux")]
pub(crate) mod priority;
#[cfg(target_os = "linux")]
pub(crate) mod shard_group;
#[cfg(target_os = "linux")]
pub(crate) mod text_file;
