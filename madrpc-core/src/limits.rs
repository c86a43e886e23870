//! Every bound of the protocol, with the relations between them proved at compile time.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A body larger than this travels on a stream of its own, so that it never holds up small calls.
pub const INLINE_BODY_MAX_BYTES: usize = 64 * KIB;

/// The longest function name.
pub const FUNCTION_NAME_MAX_BYTES: usize = 256;

/// The most that a frame may say in fields. Who passes a call on adds to its header, and the frame still has to fit.
pub const FIELDS_MAX_BYTES: usize = 512;

/// The longest key of a call, in bytes: with the other fields it has to fit.
pub const KEY_MAX_BYTES: usize = 256;

/// The longest encoded frame header with its fields: a function name or a node name, and some numbers.
pub const HEADER_MAX_BYTES: usize = KIB;

/// The longest frame on the channel.
pub const INLINE_FRAME_MAX_BYTES: usize = HEADER_MAX_BYTES + INLINE_BODY_MAX_BYTES;

/// What of a thrown value travels with the error, as a value; and as text, of its message and of its stack.
pub const THROWN_MAX_BYTES: usize = 16 * KIB;

/// The largest arguments and the largest result.
pub const BODY_MAX_BYTES: usize = 64 * MIB;

/// What of an item travels in one frame. Items are on the channel, one after the other; small calls wait for no more of a large one.
pub const ITEM_FRAME_MAX_BYTES: usize = 16 * KIB;

/// Frames of items that the reader of a stream may have granted and not got.
pub const STREAM_WINDOW: u32 = 256;

/// The same of a script that reads one: half a megabyte of items that it has not taken.
pub const SCRIPT_STREAM_WINDOW: u32 = 32;

/// Small frames waiting for the network on a session, above which the functions that stream to it wait.
pub const STREAM_BACKLOG_BYTES: usize = 256 * KIB;

/// Bodies that a peer may have on their way to us at the same time, each on its own stream.
pub const BODY_STREAMS_MAX: u64 = 16;

/// What a peer may send on the channel before we have read it.
pub const CHANNEL_WINDOW_BYTES: u64 = 256 * KIB as u64;

/// What a peer may send on a body's stream before we have read it.
pub const BODY_WINDOW_BYTES: u64 = 512 * KIB as u64;

/// What a peer may send on all streams together before we have read it. A shard has no more sessions than its memory has
/// room for so much of each.
pub const SESSION_WINDOW_BYTES: u64 = 512 * KIB as u64;

/// What that grows to where we read as fast as the peer sends.
pub const SESSION_WINDOW_MAX_BYTES: u64 = 4 * MIB as u64;

/// How long a body may take until its header is there, which says how long the rest may take.
pub const BODY_HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How long bodies may be half there without [`BODY_STALL_BYTES`] more of any body on the session: a peer that has begun some and
/// stopped would keep its part of the memory until their calls' deadlines.
pub const BODY_STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// What comes in that time on the slowest of lines.
pub const BODY_STALL_BYTES: usize = 4 * KIB;

/// What a session costs beside the bytes it holds, as measured with 10,000 idle ones.
pub const SESSION_COST_BYTES: usize = 33 * KIB;

/// The least that a shard may hold for others: the windows of some sessions, and the largest body.
pub const MEMORY_MIN_BYTES: usize = 2 * BODY_MAX_BYTES;

/// Memory that a shard must have held beyond what it holds now before it is given back to the system.
pub const MEMORY_GIVEN_BACK_BYTES: usize = 32 * MIB;

/// How often memory is given back, at the most.
pub const MEMORY_GIVE_BACK_INTERVAL: Duration = Duration::from_secs(2);

/// How long a session may have more than its part of the memory without any progress.
pub const STUCK_TIMEOUT: Duration = Duration::from_secs(10);

/// How long until it is looked whether a session that is not read for now may be read again.
pub const HELD_UP_RETRY: Duration = Duration::from_millis(10);

/// How long a session is not read, where none of its results comes, because those of its calls will take its part of the memory:
/// it may have given them up, and a cancel among what it says is heard within that time.
pub const RESULTS_PATIENCE: Duration = Duration::from_secs(5);

/// How long a caller that has calls under way may be silent, pings unanswered.
pub const CALLER_SILENCE_MAX: Duration = Duration::from_secs(4);

/// Replies waiting for the network above which we read no further calls from that caller.
pub const OUTBOX_HIGH_BYTES: usize = 4 * MIB;

/// Calls waiting for the network above which we send no further ones to that upstream.
pub const BACKLOG_MAX_BYTES: usize = 4 * BODY_MAX_BYTES;

/// The same between an orchestrator and a node: enough for a link of 10 Gbit/s to be busy for some 10 ms.
pub const FORWARD_BACKLOG_MAX_BYTES: usize = 16 * MIB;

/// What one shard reads from one session before it looks at the next.
pub const READ_PER_TURN_BYTES: usize = 256 * KIB;

/// Small frames that one shard takes from one session before it sends what they have led to. With more, one side of a
/// session waits while the other works on a pile; with fewer, too little is sent at once.
pub const FRAMES_PER_TURN: usize = 128;

/// What is read from the channel at once, unless a long frame goes on: some frames more than [`FRAMES_PER_TURN`].
pub const CHANNEL_BITE_BYTES: usize = 8 * KIB;

/// The deadline of a call whose caller names none.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long after its deadline a call still waits for the reply of the node, which enforces it and can say more.
pub const DEADLINE_GRACE: Duration = Duration::from_millis(50);

/// The longest deadline; a longer one is cut to it.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// How deep calls of calls may be.
pub const DEPTH_MAX: u8 = 64;

/// How long a handshake may take.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);

/// Handshakes that one shard has open at the same time; a half-open one costs about 29 KiB.
pub const HANDSHAKES_MAX: usize = 1024;

/// Open handshakes of a shard from which on clients have to prove their address before anything is kept of them.
pub const RETRY_ABOVE: usize = 64;

/// Open handshakes of a shard below which they need not any more.
pub const RETRY_BELOW: usize = 32;

/// Bytes that a peer may send before its handshake is over; an ordinary one takes about 5 KiB, certificates and all.
pub const HANDSHAKE_BYTES_MAX: usize = 16 * KIB;

/// Bytes that every handshake may have, however many there are: a ClientHello of two datagrams, and its repetition.
pub const HANDSHAKE_BYTES_FEW: usize = 5 * KIB;

/// Bytes received for all handshakes of a shard that are open, above which those that had more than their few are given
/// up. Each byte may cost 20 of memory.
pub const HANDSHAKES_BYTES_MAX: usize = 3 * MIB;

/// A shard spends at most one part in so many of its time on handshakes.
pub const HANDSHAKE_TIME_SHARE: u32 = 8;

/// Time that a shard which had no handshakes for a while may spend on them at once: some 1,500 of them.
pub const HANDSHAKE_BURST: Duration = Duration::from_millis(250);

/// Time that handshakes have in one turn of a shard, but for the last, which ends as it began; then the calls have theirs.
/// A lone caller waits so long, and its calls take a tenth of a millisecond.
pub const HANDSHAKE_TURN: Duration = Duration::from_micros(250);

/// Bytes of datagrams that one shard receives in a turn: some 0.3 ms to decrypt.
pub const RECEIVED_PER_TURN_BYTES: usize = 256 * KIB;

/// Of those, bytes for one session, where others are sent something too. The rest is parked.
pub const RECEIVED_AT_ONCE_BYTES: usize = 64 * KIB;

/// Bytes of datagrams that are parked in one turn: some 0.2 ms to take out of the socket.
pub const PARKED_PER_TURN_BYTES: usize = MIB;

/// Bytes of datagrams that are parked. Those beyond are lost, by which their senders learn to slow down.
pub const PARKED_MAX_BYTES: usize = 4 * MIB;

/// Bytes of strangers' datagrams that wait for a later turn; those beyond are lost, which QUIC mends.
pub const POSTPONED_MAX_BYTES: usize = 512 * KIB;

/// Time that a handshake has in any case; one that is older gives way to another where there are too many.
pub const HANDSHAKE_MIN: Duration = Duration::from_millis(250);

/// Handshakes of one address in a second, where a shard has many: half of its time for them is for addresses that have
/// had fewer.
pub const HANDSHAKES_PER_ADDRESS: u16 = 32;

/// Sessions that we have ended and that are kept so that their peers can be told again.
pub const CLOSING_MAX: usize = 256;

/// How long a client may take to come back with the token that proves its address.
pub const RETRY_TOKEN_MAX_AGE: Duration = Duration::from_secs(10);

/// The shortest first connection ID that a client may choose (RFC 9000, section 7.2).
pub const FIRST_ID_MIN_BYTES: usize = 8;

/// Changes of a client's address in the life of a session, roughly: quiche keeps each as a path.
pub const PEER_PATHS_MAX: u64 = 64;

/// Datagrams on their way from all other shards to one, about 9 KiB each.
pub const RELAYED_MAX: usize = 1024;

/// Datagrams on their way from one shard to another, at the least.
pub const RELAYED_MIN: usize = 16;

/// Stateless resets that a shard sends in a second, at the most.
pub const RESETS_PER_SECOND: u32 = 1000;

/// Calls that a shard ends in one turn because their caller or their node is gone.
pub const ENDINGS_PER_TURN: usize = 256;

/// Datagrams that a shard takes from the others in one turn.
pub const RELAYED_PER_TURN: usize = 1024;

/// Memory of a shard for copies of calls that are under way, with which they can be sent again. Calls beyond it are sent once.
pub const COPIES_MAX_BYTES: usize = 16 * MIB;

/// The longest list of functions that is read from a node, some 100,000: it is read in one go, 1 ms for each 4 MB.
pub const ANNOUNCEMENT_MAX_BYTES: usize = 4 * MIB;

/// How long a server may leave what it was sent without any acknowledgment, on a way that takes no time: an idle machine takes
/// less than a millisecond for it, and a process that has the core to itself again after a busy one some 20.
pub const SILENCE: Duration = Duration::from_millis(100);

/// On a way that takes some: so many times there and back more.
pub const SILENCE_ROUND_TRIPS: u32 = 4;

/// Silence after which a session is over, between a client and its server.
pub const CLIENT_IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Silence after which a client ends a session itself that has no calls. Its server would soon, and a call that crosses that end on
/// its way is lost: so the client is always ahead of it.
pub const CLIENT_IDLE_MAX: Duration = Duration::from_secs(25);

/// Silence after which a session is over, between an orchestrator and a node.
pub const UPSTREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// How often a dialed session is pinged while it owes us replies, or has to be kept.
pub const KEEP_ALIVE: Duration = Duration::from_secs(1);

/// How often a node's shard tells an orchestrator on one session, at the most, what it has to do. Five times as long costs calls a
/// tenth of what it is worth (the simulator's `balance`); a reply that says it has some ten bytes more.
pub const LOAD_INTERVAL: Duration = Duration::from_millis(1);

/// The largest UDP payload we send, where the path takes it: Ethernet's jumbo frame of 9000 bytes less IPv6 and UDP
/// headers. What a path takes is found out (RFC 8899); until then, and at the least, it is 1200 bytes.
pub const DATAGRAM_MAX_BYTES: usize = 8952;

/// The smallest datagram that may carry a client's Initial packet (RFC 9000, section 14.1).
pub const INITIAL_MIN_BYTES: usize = 1200;

const _: () = assert!(FUNCTION_NAME_MAX_BYTES + FIELDS_MAX_BYTES + 96 <= HEADER_MAX_BYTES);
const _: () = assert!(INLINE_FRAME_MAX_BYTES as u64 <= CHANNEL_WINDOW_BYTES);
const _: () = assert!(INLINE_FRAME_MAX_BYTES <= READ_PER_TURN_BYTES);
const _: () = assert!(INLINE_BODY_MAX_BYTES < BODY_MAX_BYTES);
const _: () = assert!(ITEM_FRAME_MAX_BYTES <= INLINE_BODY_MAX_BYTES);
// What one reader may be sent without reading does not keep its session from being read.
const _: () = assert!(STREAM_WINDOW as usize * ITEM_FRAME_MAX_BYTES <= OUTBOX_HIGH_BYTES);
const _: () = assert!(CHANNEL_WINDOW_BYTES < SESSION_WINDOW_BYTES);
const _: () = assert!(BODY_WINDOW_BYTES <= SESSION_WINDOW_BYTES);
const _: () = assert!(SESSION_WINDOW_BYTES < SESSION_WINDOW_MAX_BYTES);
const _: () = assert!(INITIAL_MIN_BYTES <= DATAGRAM_MAX_BYTES);
const _: () = assert!(RETRY_BELOW < RETRY_ABOVE && RETRY_ABOVE < HANDSHAKES_MAX);
const _: () = assert!(RETRY_TOKEN_MAX_AGE.as_millis() > HANDSHAKE_TIMEOUT.as_millis());
const _: () = assert!(CLIENT_IDLE_MAX.as_millis() + 4_000 <= CLIENT_IDLE_TIMEOUT.as_millis());
const _: () = assert!(KEEP_ALIVE.as_millis() * 3 <= UPSTREAM_IDLE_TIMEOUT.as_millis());
