//! Reserved functions by which a server is asked whether it is there, and steered.

/// Names that begin so are answered by each server itself; scripts cannot register them.
pub const RESERVED_PREFIX: &str = "madrpc.";

/// Answers at once, whoever asks.
pub const PING: &str = "madrpc.ping";

/// Of an operator: the server takes no new calls, and ends those that it has; it goes on running.
pub const DRAIN: &str = "madrpc.drain";

/// Of an operator: the server takes calls again.
pub const UNDRAIN: &str = "madrpc.undrain";

/// Of an operator: the server reads its script and its certificates anew, and says what it has now.
pub const RELOAD: &str = "madrpc.reload";
