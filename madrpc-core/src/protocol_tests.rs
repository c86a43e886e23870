//! The protocol's page says what the code does: its examples byte by byte, its numbers, and its bounds.

use crate::call::frame::{self, Header};
use crate::call::{Bill, CallError, ErrorKind, Exception};
use crate::limits;
use crate::session::{Goodbye, PROTOCOL, REASON_MAX_BYTES};
use crate::value::{BigInteger, TypedArray, TypedArrayKind, Value, wire};

const PAGE: &str = include_str!("protocol.md");

/// The page's block of bytes with this number, as lines of their hexadecimal. A line of words goes on with the bytes
/// above it.
fn block(number: usize) -> Vec<Vec<u8>> {
    let mut blocks = PAGE.split("```text\n").skip(1);
    let text = blocks.nth(number).unwrap();
    let (text, _) = text.split_once("```").unwrap();
    let bytes = |line: &str| -> Vec<u8> {
        let hex = line.split("  ").next().unwrap().split(' ');
        let hex = hex.filter(|byte| !byte.is_empty());
        hex.map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect()
    };
    let lines = text.lines().map(bytes);
    lines.filter(|bytes| !bytes.is_empty()).collect()
}

fn encoded(header: &Header<'_>, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::write(&mut out, header, body);
    out
}

fn body(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out, usize::MAX).unwrap();
    out
}

fn error() -> CallError {
    CallError::thrown(Exception {
        name: "TypeError".into(),
        message: "no good".into(),
        stack: "at f (s.js:1:9)\n".into(),
        value: body(&Value::object(
            [("code", 5)].map(|(key, n)| (key, Value::from(n))),
        )),
    })
}

#[test]
fn the_frames_are_the_pages() {
    let call = Header::Call {
        id: 7,
        function: "add",
        timeout_us: 30_000_000,
        depth: 0,
        account: None,
    };
    let arguments = Value::Array(vec![1.into(), 2.into()]);
    assert_eq!(block(1).concat(), encoded(&call, &body(&arguments)));

    let bill = Bill {
        queue_us: 12,
        cpu_us: 301,
        slices: 1,
        heap_peak_bytes: 262_144,
        shard: 0,
        node: "n1:9001",
    };
    let reply = Header::Reply { id: 7, bill };
    assert_eq!(block(2).concat(), encoded(&reply, &body(&3.into())));

    let failure = Header::Failure {
        id: 7,
        kind: ErrorKind::JavaScript,
        bill: Bill {
            slices: 1,
            ..Bill::default()
        },
    };
    let error = postcard::to_stdvec(&error()).unwrap();
    assert_eq!(block(3).concat(), encoded(&failure, &error));
}

#[test]
fn the_values_are_the_pages() {
    let values = [
        Value::Undefined,
        Value::Null,
        true.into(),
        (-1).into(),
        i64::MIN.into(),
        1.5.into(),
        BigInteger::from(-256_i64).into(),
        "é!".into(),
        Value::Bytes(vec![0, 255]),
        TypedArray::from([1_i16, -2].as_slice()).into(),
        Value::Date(1000.0),
        Value::Array(vec![Value::Null, Value::Array(Vec::new())]),
        Value::object([("a", false.into())]),
    ];
    let lines = block(4);
    assert_eq!(lines.len(), values.len());
    for (line, value) in lines.iter().zip(values) {
        assert_eq!(*line, body(&value), "{value:?}");
        assert_eq!(Value::decode(line), Ok(value));
    }
}

/// A row of a table that begins so.
fn row(cells: &[&str]) {
    let row = format!("\n| {} |", cells.join(" | "));
    assert!(PAGE.contains(&row), "no such row: {row}");
}

#[test]
#[cfg_attr(
    miri,
    ignore = "the page is long, and looking through it takes minutes"
)]
fn the_numbers_are_the_pages() {
    for kind in ErrorKind::ALL {
        row(&[&kind.number().to_string(), &format!("`{kind}`")]);
    }
    for kind in TypedArrayKind::ALL {
        let name = kind.name().trim_end_matches("Array");
        let words = format!("{} {name}", kind.number());
        assert!(
            PAGE.replace('\n', " ").contains(&words),
            "no `{words}` on the page"
        );
    }
    let bill = Bill::default();
    let headers = [
        (
            "Call",
            Header::Call {
                id: 1,
                function: "",
                timeout_us: 1,
                depth: 0,
                account: None,
            },
        ),
        ("Cancel", Header::Cancel { id: 1 }),
        ("Reply", Header::Reply { id: 1, bill }),
        (
            "Failure",
            Header::Failure {
                id: 1,
                kind: ErrorKind::Internal,
                bill,
            },
        ),
        ("GoAway", Header::GoAway { taken: 0 }),
        (
            "Welcome",
            Header::Welcome {
                shards: 1,
                instance: 1,
            },
        ),
        ("Taken", Header::Taken { frames: 1 }),
        ("Functions", Header::Functions { script: 1 }),
    ];
    for (name, header) in headers {
        let number = encoded(&header, b"")[frame::PREFIX_BYTES];
        row(&[&number.to_string(), &format!("`{name}`")]);
    }
    let mut goodbye = Some(Goodbye::Done);
    while let Some(one) = goodbye {
        // Each names the next: one that is added is not forgotten here.
        let (words, next) = match one {
            Goodbye::Done => ("nothing is left to say", Some(Goodbye::Draining)),
            Goodbye::Draining => ("the server stops", Some(Goodbye::Protocol)),
            Goodbye::Protocol => (
                "the client has broken this protocol",
                Some(Goodbye::Unauthorized),
            ),
            Goodbye::Unauthorized => ("the certificate names no role", Some(Goodbye::Overloaded)),
            Goodbye::Overloaded => ("the client has too many sessions open", None),
        };
        let start = format!("\n| {} | {words}", one as u64);
        assert!(PAGE.contains(&start), "no row for {one:?}");
        goodbye = next;
    }
    assert!(PAGE.contains(&format!("`{}`", String::from_utf8_lossy(PROTOCOL))));
}

/// A number with a comma before every third digit.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let (head, tail) = digits.split_at(first);
    let groups = tail.as_bytes().chunks(3).map(String::from_utf8_lossy);
    let groups = [head.into()].into_iter().chain(groups);
    let groups: Vec<_> = groups.filter(|group| !group.is_empty()).collect();
    groups.join(",")
}

#[test]
#[cfg_attr(
    miri,
    ignore = "the page is long, and looking through it takes minutes"
)]
fn the_bounds_are_the_pages() {
    let bytes = |bytes: usize| format!("{} bytes", grouped(bytes as u64));
    let seconds = |time: std::time::Duration| format!("{} s", time.as_secs());
    let on_a_stream = limits::HEADER_MAX_BYTES + limits::BODY_MAX_BYTES;
    for (what, bound) in [
        (
            "`length` on the channel",
            bytes(limits::INLINE_FRAME_MAX_BYTES),
        ),
        (
            "body of a call or a result",
            bytes(limits::BODY_MAX_BYTES) + "; less where the node or the function says so",
        ),
        ("`length` on a stream", bytes(on_a_stream)),
        ("function name", bytes(limits::FUNCTION_NAME_MAX_BYTES)),
        ("nesting of a value", wire::MAX_DEPTH.to_string()),
        ("big integer", bytes(BigInteger::MAX_BYTES)),
        (
            "streams for bodies",
            format!("{} at a time", limits::BODY_STREAMS_MAX),
        ),
        (
            "time until the deadline",
            format!("{} h", limits::TIMEOUT_MAX.as_secs() / 3600),
        ),
        ("depth of calls of calls", limits::DEPTH_MAX.to_string()),
        (
            "first datagrams of a session",
            format!("at least {}", bytes(limits::INITIAL_MIN_BYTES)),
        ),
        (
            "the client's first connection ID",
            format!("at least {}", bytes(limits::FIRST_ID_MIN_BYTES)),
        ),
        ("handshake", seconds(limits::HANDSHAKE_TIMEOUT)),
        (
            "open handshakes",
            format!("{} on a shard", grouped(limits::HANDSHAKES_MAX as u64)),
        ),
        ("Retry token", seconds(limits::RETRY_TOKEN_MAX_AGE)),
        ("silence", seconds(limits::CLIENT_IDLE_TIMEOUT)),
        (
            "silence with calls under way",
            seconds(limits::CALLER_SILENCE_MAX),
        ),
        (
            "the header of a body on a stream",
            seconds(limits::BODY_HEADER_TIMEOUT),
        ),
        (
            "bodies half there",
            format!(
                "{} in which less than {} of any body come on the session, while the server reads",
                seconds(limits::BODY_STALL_TIMEOUT),
                bytes(limits::BODY_STALL_BYTES)
            ),
        ),
        (
            "more than a client's part of the server's memory, and nothing of it taken",
            seconds(limits::STUCK_TIMEOUT),
        ),
        ("reason in a CONNECTION_CLOSE", bytes(REASON_MAX_BYTES)),
        (
            "`initial_max_streams_uni`",
            limits::BODY_STREAMS_MAX.to_string(),
        ),
        (
            "`initial_max_stream_data_bidi_remote`",
            bytes(limits::CHANNEL_WINDOW_BYTES as usize),
        ),
        (
            "`initial_max_stream_data_uni`",
            bytes(limits::BODY_WINDOW_BYTES as usize),
        ),
        (
            "`initial_max_data`",
            bytes(limits::SESSION_WINDOW_BYTES as usize),
        ),
        ("`max_udp_payload_size`", bytes(limits::DATAGRAM_MAX_BYTES)),
        (
            "`active_connection_id_limit`",
            limits::PEER_PATHS_MAX.to_string(),
        ),
    ] {
        row(&[what, &bound]);
    }
    let words = PAGE.replace('\n', " ");
    for words_of in [
        format!(
            "more than {} has a stream of its own",
            bytes(limits::INLINE_BODY_MAX_BYTES)
        ),
        format!(
            "has {} of answers waiting",
            bytes(limits::OUTBOX_HIGH_BYTES)
        ),
        format!(
            "While {} handshakes or more are open on a shard, and until there are less than {}",
            limits::RETRY_ABOVE,
            limits::RETRY_BELOW
        ),
        format!(
            "nor more than {} in a second",
            grouped(limits::RESETS_PER_SECOND.into())
        ),
        format!("from the first {}", bytes(limits::HEADER_MAX_BYTES)),
        format!(
            "gaps before them | {} of the server's memory",
            bytes(2 * limits::SESSION_WINDOW_MAX_BYTES as usize)
        ),
        format!(
            "where that is short, {} |",
            grouped(2 * limits::SESSION_WINDOW_BYTES)
        ),
        format!("own client says {}", seconds(limits::DEFAULT_TIMEOUT)),
    ] {
        assert!(words.contains(&words_of), "no `{words_of}` on the page");
    }
}
