//! Attacks by somebody who has no certificate of the authority.

mod floods;
mod handshakes;
mod initials;
mod junk;
mod resets;
mod slow;

pub(crate) use initials::FORGERY;

use crate::attack::{Attack, Bounds, By::Strangers, Setting};

const RATE: u32 = 15_000;

/// All of them.
pub(crate) const ATTACKS: [Attack; 26] = [
    Attack::new(
        "hello-other-protocol",
        Strangers,
        "ClientHellos of another protocol from one address, whatever comes back",
        48_000,
        floods::other_protocol,
    )
    .per_second(RATE),
    Attack::new(
        "hello-other-protocol-many",
        Strangers,
        "the same, each from another address",
        48_000,
        floods::other_protocol_many,
    )
    .per_second(RATE),
    Attack::new(
        "hello-other-protocol-retry",
        Strangers,
        "the same from one address, going on after a Retry",
        48_000,
        floods::other_protocol_retry,
    )
    .per_second(RATE),
    Attack::new(
        "hello-other-protocol-retry-many",
        Strangers,
        "the same, each from another address, going on after a Retry",
        48_000,
        floods::other_protocol_retry_many,
    )
    .per_second(RATE),
    Attack::new(
        "hello-silent",
        Strangers,
        "good ClientHellos from one address, and nothing after them",
        48_000,
        floods::silent,
    )
    .per_second(RATE),
    Attack::new(
        "hello-silent-many",
        Strangers,
        "the same, each from another address",
        48_000,
        floods::silent_many,
    )
    .per_second(RATE),
    Attack::new(
        "hello-silent-retry",
        Strangers,
        "the same from one address, going on after a Retry",
        48_000,
        floods::silent_retry,
    )
    .per_second(RATE),
    Attack::new(
        "hello-silent-retry-many",
        Strangers,
        "the same, each from another address, going on after a Retry",
        48_000,
        floods::silent_retry_many,
    )
    .per_second(RATE),
    Attack::new(
        "hello-half",
        Strangers,
        "the first of a ClientHello's two datagrams, each from another address, going on after a Retry",
        48_000,
        floods::half,
    )
    .per_second(RATE),
    Attack::new(
        "hello-garbage",
        Strangers,
        "Initial packets in order whose TLS is none, going on after a Retry",
        48_000,
        floods::garbage,
    )
    .per_second(RATE),
    Attack::new(
        "initial-broken",
        Strangers,
        "Initial packets that cannot be decrypted, from one address",
        48_000,
        floods::broken,
    )
    .per_second(RATE),
    Attack::new(
        "initial-broken-many",
        Strangers,
        "the same, each from another address",
        48_000,
        floods::broken_many,
    )
    .per_second(RATE),
    Attack::new(
        "initial-broken-log-unread",
        Strangers,
        "the same, while nobody reads what the server logs",
        48_000,
        floods::broken_many,
    )
    .per_second(RATE)
    .at(Setting::NodeUnread),
    Attack::new(
        "initial-crypto-scattered",
        Strangers,
        "on 20 connections, Initial packets of 150 CRYPTO frames of a byte each, nowhere side by side",
        12_000,
        initials::crypto_scattered,
    )
    .per_second(4_000),
    Attack::new(
        "initial-close-reason",
        Strangers,
        "connections closed with a reason that looks like lines of a log, with control and bidi characters",
        48_000,
        initials::close_reason,
    )
    .per_second(RATE),
    Attack::new(
        "initial-token-forged",
        Strangers,
        "Initial packets with tokens that the server never gave",
        48_000,
        initials::forged_token,
    )
    .per_second(RATE),
    Attack::new(
        "handshake-no-certificate",
        Strangers,
        "handshakes to their end, without a certificate",
        4_000,
        handshakes::no_certificate,
    ),
    Attack::new(
        "handshake-other-authority",
        Strangers,
        "handshakes to their end, with a certificate of another authority",
        4_000,
        handshakes::other_authority,
    ),
    Attack::new(
        "handshake-other-protocol",
        Strangers,
        "handshakes of another protocol, waiting for the refusal",
        4_000,
        handshakes::other_protocol,
    ),
    Attack::new(
        "junk",
        Strangers,
        "datagrams of chance, 1 to 1,400 bytes",
        1_000_000,
        junk::any,
    )
    .per_second(50_000),
    Attack::new(
        "junk-short-header",
        Strangers,
        "packets of sessions that do not exist, each of which asks for a stateless reset",
        1_000_000,
        junk::short_header,
    )
    .per_second(50_000),
    Attack::new(
        "junk-version",
        Strangers,
        "Initial packets of a version that does not exist, each of which asks for the versions that do",
        1_000_000,
        junk::version,
    )
    .per_second(50_000),
    Attack::new(
        "junk-full-speed",
        Strangers,
        "packets of sessions that do not exist, as many as a core can send",
        100_000_000,
        junk::short_header,
    ),
    Attack::new(
        "known-session",
        Strangers,
        "packets of chance for a caller's session, whose connection ID is seen on the network, from everywhere",
        1_000_000,
        junk::known_session,
    )
    .per_second(50_000),
    Attack::new(
        "half-open-slow-close",
        Strangers,
        "handshakes of slow peers that close before the end: how often the idle server wakes up after that",
        20,
        slow::half_open_close,
    )
    .within(Bounds {
        kept_min: None,
        p99_max: None,
        ..Bounds::STRANGERS
    }),
    Attack::new(
        "reset-token-of-another-node",
        Strangers,
        "a session's reset token asked of another node of the same authority",
        1,
        resets::another_node,
    )
    .at(Setting::TwoNodes)
    .within(Bounds {
        kept_min: None,
        p99_max: None,
        ..Bounds::STRANGERS
    }),
];
