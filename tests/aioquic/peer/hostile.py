"""Peers that break the page's rules, or keep to them in the worst way.

Each scenario ends by holding what it has: the test then looks whether the server still serves others, and within which
memory.
"""

import os
import struct
from collections.abc import Callable

from . import wire
from .session import CHANNEL, Ended, Session, Target, hold

PROTOCOL_ERROR = 2
FLOW_CONTROL_ERROR = 0x03
STREAM_LIMIT_ERROR = 0x04
CONNECTION_ID_LIMIT_ERROR = 0x09

INLINE_FRAME_MAX = 66_560
STREAM_FRAME_MAX = 67_109_888

CALL = wire.call(1, "add", wire.encode([1, 2]))


def prefix(length: int) -> bytes:
    return struct.pack("<I", length)


def fresh(target: Target) -> Session:
    """A session on which a call has worked."""
    session = target.session()
    session.last_id = 1_000_000
    assert session.ask("add", [1, 2]) == 3
    return session


def breaks(target: Target, attack: Callable[[Session], object], code: int = PROTOCOL_ERROR) -> Ended:
    """The attack ends its session with this code, an application's where it is ours."""
    session = fresh(target)
    attack(session)
    end = session.end()
    assert end.code == code and end.by_application == (code == PROTOCOL_ERROR), end
    if end.by_application:
        assert 0 < len(end.reason.encode()) <= 512, end
    return end


def bears(target: Target, attack: Callable[[Session], object]) -> Session:
    """The attack leaves its session as good as before."""
    session = fresh(target)
    attack(session)
    assert session.ask("add", [1, 2]) == 3
    return session


def halves(target: Target) -> None:
    """A frame that is cut at any byte is read when the rest of it is there, on the channel and on streams."""
    session = fresh(target)
    for cut in range(len(CALL) + 1):
        call = wire.call(session.next_id(), "add", wire.encode([1, 2]))
        # A packet of its own for each half.
        session.write(call[:cut])
        session.drive(lambda: acknowledged(session, CHANNEL), "the acknowledgement of a half")
        assert session.last_id not in session.answers
        session.write(call[cut:])
        assert session.answer(session.last_id).value == 3

        call = wire.call(session.next_id(), "add", wire.encode([1, 2]))
        stream = session.write_body(call[:cut], end=False)
        session.drive(lambda: acknowledged(session, stream), "the acknowledgement of a half")
        session.quic.send_stream_data(stream, call[cut:], end_stream=True)
        assert session.answer(session.last_id).value == 3
    # Byte by byte.
    call = wire.call(session.next_id(), "add", wire.encode([1, 2]))
    for at in range(len(call)):
        session.write(call[at : at + 1])
        session.flush()
    assert session.answer(session.last_id).value == 3
    hold(session)


def acknowledged(session: Session, stream: int) -> bool:
    sender = session.quic._streams[stream].sender
    return sender.buffer_is_empty and sender._buffer_start == sender._buffer_stop


def never_the_rest(target: Target) -> None:
    """Frames whose rest never comes: on the channel at each cut, and on every stream that the server allows."""
    on_channels = []
    for cut in range(1, len(CALL)):
        session = fresh(target)
        session.write(CALL[:cut])
        on_channels.append(session)
    on_streams = fresh(target)
    for _ in range(16):
        call = wire.call(on_streams.next_id(), "length", wire.encode(bytes(2 << 20)))
        on_streams.write_body(call[: 1 << 20], end=False)
    on_streams.idle(0.5)
    # The channel is not held up by them.
    assert on_streams.ask("add", [1, 2]) == 3
    hold(on_streams, *on_channels)


def deaf(target: Target) -> None:
    """Calls for 20,000 results of 16 KB, by a client that gives no room for them."""
    session = target.session(target.configuration(max_data=1 << 16, max_stream_data=1 << 16))
    session.quic.grants = False
    for _ in range(20_000):
        session.call("bytes", 16_000)
    session.idle(2)
    assert session.ended is None, session.ended
    hold(session)


def deaf_with_room(target: Target) -> None:
    """The same by one that has room for some, and then for all: nothing is lost."""
    session = target.session(target.configuration(max_data=1 << 16, max_stream_data=1 << 16))
    session.quic.grants = False
    ids = [session.call("bytes", 16_000) for _ in range(2000)]
    session.idle(0.5)
    assert len(session.answers) < 10
    hold(session)
    session.quic.grants = True
    for id in ids:
        assert len(session.answer(id).value) == 16_000
    hold(session)


def one_packet_unacknowledged(target: Target) -> None:
    """
    As many results again, of which the client acknowledges all packets but one.

    The server has to keep whatever follows that one: it may keep only so much, and loses nothing.
    """
    session = target.session()
    session.quic.unacknowledged = 100_000
    ids = [session.call("bytes", 16_000) for _ in range(2000)]
    before = -1
    while before < len(session.answers):
        before = len(session.answers)
        session.idle(1.5)
    assert session.ended is None, session.ended
    assert 10 < before < 1500, before
    hold(session)
    session.quic.unacknowledged = None
    for id in ids:
        assert len(session.answer(id).value) == 16_000
    hold(session)


def lengths_on_the_channel(target: Target) -> None:
    """A length that is no frame's ends the session, at once where it is too long."""
    for length in (INLINE_FRAME_MAX + 1, 1 << 24, (1 << 31) - 1):
        end = breaks(target, lambda session: session.write(prefix(length)))
        assert str(length) in end.reason, end
    # Shorter than the header, by any number of bytes.
    header = len(CALL) - 4 - len(wire.encode([1, 2]))
    for length in range(1, header):
        breaks(target, lambda session: session.write(prefix(length) + CALL[4:]))
    # Longer than what was meant: the next call is taken for the rest of the first one's argument.
    session = fresh(target)
    session.write(prefix(len(CALL) - 4 + 1) + CALL[4:])
    session.write(CALL[:1])
    assert session.failure(1).kind == wire.BAD_ARGUMENTS
    # The longest that there may be, and those of length 0 in between, are nothing wrong.
    session = fresh(target)
    header = wire.varint(0) + wire.varint(1) + wire.text("add") + wire.varint(1_000_000) + b"\0"
    session.write(bytes(4000) + wire.frame(header, bytes(INLINE_FRAME_MAX - len(header))) + bytes(400))
    assert session.failure(1).kind == wire.BAD_ARGUMENTS
    assert session.ask("add", [1, 2]) == 3
    hold(session)


def stuffed(target: Target) -> None:
    """As much in fields as there may be, beside a body that just fits: whoever passes it on adds to it, and it fits all the same."""
    other = fresh(target)
    body = wire.encode(bytes(65_532))
    assert len(body) == 65_536
    for size in (400, 505, 509, 510, 511, 512):
        fields = wire.field(99, bytes(size - 3))
        assert len(fields) in (size - 1, size), len(fields)

        def stuff(session: Session) -> None:
            for function in ("length", "n" * 256):
                # The longest number that there is.
                session.last_id = 2**63 + size + len(function)
                session.write(wire.call(session.next_id(), function, body, fields=fields))
                session.answer(session.last_id)

        bears(target, stuff)
        # It is one of many whose calls go the same way.
        assert other.ask("add", [1, 2]) == 3
    breaks(target, lambda session: session.write(wire.call(1, "add", body, fields=wire.field(99, bytes(511)))))
    assert other.ask("add", [1, 2]) == 3
    hold(other)


def lengths_on_streams(target: Target) -> None:
    """Lengths on streams: too long a frame is refused and the session goes on, what does not fit ends it."""
    header = wire.varint(0) + wire.varint(1) + wire.text("length") + wire.varint(60_000_000) + b"\0"
    for length in (STREAM_FRAME_MAX + 1, (1 << 31) - 1):

        def lies(session: Session) -> None:
            session.write_body(prefix(length) + header + bytes(3000))
            refused = session.failure(1)
            assert refused.kind == wire.PAYLOAD_TOO_LARGE and not refused.may_have_run, refused

        bears(target, lies)

        def lies_on(session: Session) -> None:
            stream = session.write_body(prefix(length) + header + bytes(3000), end=False)
            assert session.failure(1).kind == wire.PAYLOAD_TOO_LARGE
            # More than the windows have room for: it is read on, and thrown away.
            session.quic.send_stream_data(stream, bytes(10 << 20), end_stream=True)
            session.drive(lambda: acknowledged_all(session, stream), "the rest of the body")

        bears(target, lies_on)
        breaks(target, lambda session: session.write_body(prefix(length) + b"\xff" * 3000))
        breaks(target, lambda session: session.write_body(prefix(length)))
    for data in [
        b"",
        b"\0",
        bytes(4),
        bytes(8),
        prefix(1),
        prefix(len(CALL)) + CALL[4:],
        CALL[:-1],
        CALL + b"\0",
        CALL * 2,
    ]:
        breaks(target, lambda session: session.write_body(data))
    # What is too much shows before the end.
    breaks(target, lambda session: session.write_body(CALL + CALL, end=False))
    hold()


def acknowledged_all(session: Session, stream: int) -> bool:
    return stream not in session.quic._streams or acknowledged(session, stream)


def headers(target: Target) -> None:
    """A header that cannot be read ends the session; one that came later, and a server's own, sent by a client, are ignored."""
    for number in (8, 99, 127, 128, 300, 2**32 - 1):
        bears(target, lambda session: session.write(wire.frame(wire.varint(number), bytes(20))))
        bears(target, lambda session: session.write_body(wire.frame(wire.varint(number), bytes(20))))
    call = wire.varint(0) + wire.varint(1)
    for header in [
        # Varints that are too long, for a u32 and a u64.
        b"\x80" * 5 + b"\x00",
        b"\xff\xff\xff\xff\x1f",
        b"\x00" + b"\xff" * 10 + b"\x01",
        b"\x00" + b"\xff" * 9 + b"\x02",
        # A name that is not UTF-8, and one that is longer than the frame.
        call + b"\x02\xc3\x28" + bytes(10),
        call + wire.varint(2**40) + bytes(10),
        call + wire.varint(2**64 - 1) + b"\0",
    ]:
        breaks(target, lambda session: session.write(wire.frame(header)))
    bill = bytes(6)
    for frame in [
        wire.frame(b"\x02\x01" + bill, wire.encode(1)),
        wire.frame(b"\x03\x01\x03" + bill, bytes(3)),
        wire.frame(b"\x03\x01\xff" + bill, b""),
        wire.frame(b"\x04\x00"),
        wire.frame(b"\x04\xff\x01", bytes(100)),
        wire.frame(b"\x05\x07\x01"),
        wire.frame(b"\x07\x07", bytes(100)),
        wire.frame(b"\x06\x07"),
        wire.frame(b"\x01\x05", bytes(100)),
    ]:
        bears(target, lambda session: session.write(frame))
        bears(target, lambda session: session.write_body(frame))
    hold()


def channel_ends(target: Target) -> None:
    """FIN, RESET_STREAM and STOP_SENDING on the channel end the session."""
    breaks(target, lambda session: session.write(b"", end=True))
    breaks(target, lambda session: session.write(CALL, end=True))
    breaks(target, lambda session: session.write(CALL[:9], end=True))
    breaks(target, lambda session: session.quic.reset_stream(CHANNEL, 7))

    def stops(session: Session) -> None:
        session.quic.stop_stream(CHANNEL, 7)
        session.idle(0.1)
        session.call("add", [1, 2])

    breaks(target, stops)
    hold()


def too_many_streams(target: Target) -> None:
    """A second bidirectional stream, and a 17th unidirectional one, are errors of QUIC."""
    breaks(target, lambda session: session.craft(0x0A, b"\x04\x01\x00"), STREAM_LIMIT_ERROR)
    # 16 are 2 to 62; the next is 66.
    breaks(target, lambda session: session.craft(0x0A, b"\x40\x42\x01\x00"), STREAM_LIMIT_ERROR)
    bears(target, lambda session: session.craft(0x0A, b"\x3e\x01\x00"))
    hold()


def beyond_the_windows(target: Target) -> None:
    """Bytes for which there is no room are errors of QUIC."""

    def stream_frame(stream: int, offset: int) -> bytes:
        return bytes([stream]) + (offset | 2 << 30).to_bytes(4, "big") + b"\x01\x00"

    # A single byte far behind a gap; the windows are 256 KiB on the channel and 512 KiB on a stream.
    breaks(target, lambda session: session.craft(0x0E, stream_frame(CHANNEL, 300 << 10)), FLOW_CONTROL_ERROR)
    breaks(target, lambda session: session.craft(0x0E, stream_frame(2, 512 << 10)), FLOW_CONTROL_ERROR)
    bears(target, lambda session: session.craft(0x0E, stream_frame(2, (256 << 10) - 1)))
    # Each within its own window, but not all together.
    session = fresh(target)
    for stream in range(2, 2 + 4 * 3, 4):
        session.craft(0x0E, stream_frame(stream, (256 << 10) - 1))
    end = session.end()
    assert end.code == FLOW_CONTROL_ERROR and not end.by_application, end
    hold()


def resets(target: Target) -> None:
    """Hundreds of bodies that are begun and taken back cost their client nothing but the time."""
    session = fresh(target)
    for _ in range(60):
        streams = []
        for _ in range(10):
            call = wire.call(session.next_id(), "length", wire.encode(bytes(1 << 20)))
            streams.append(session.write_body(call[: 64 << 10], end=False))
        session.flush()
        for stream in streams:
            session.quic.reset_stream(stream, 7)
        assert session.ask("add", [1, 2]) == 3
    assert session.ask("length", bytes(1 << 20)) == 1 << 20
    hold(session)


def stops(target: Target) -> None:
    """Large results that nobody wants to read any more are dropped, and nothing else is."""
    session = fresh(target)
    for _ in range(100):
        session.call("bytes", 4 << 20)
        session.drive(lambda: session.bodies, "the beginning of the result")
        (stream,) = session.bodies
        session.quic.stop_stream(stream, 7)
        session.drive(lambda: stream not in session.quic._streams, "the end of the stream")
        session.bodies.clear()
        assert session.ask("add", [1, 2]) == 3
    assert len(session.ask("bytes", 4 << 20)) == 4 << 20
    hold(session)


def cancel_storm(target: Target) -> None:
    """Thousands of calls that are given up at once: each is over, and the number of lanes is what it was."""
    session = fresh(target)
    ids = []
    for _ in range(2000):
        id = session.call("sleep", 20_000)
        session.write(wire.cancel(id))
        ids.append(id)
    session.idle(0.5)
    assert session.ask("add", [1, 2]) == 3
    hold(session)


def quic_frames(target: Target) -> None:
    """Frames that QUIC does not have, or not from a client, or not with such content, end their session."""
    reset_token = bytes(16)
    for kind, content, code in [
        # Types that nobody has defined (RFC 9000, section 12.4).
        (0x21, b"", 0x07),
        (0x40FF, bytes(8), 0x07),
        # Those of a server: HANDSHAKE_DONE, NEW_TOKEN.
        (0x1E, b"", 0x0A),
        (0x07, b"\x04abcd", 0x0A),
        # RETIRE_CONNECTION_ID of the only ID there is, and of one that was never issued.
        (0x19, b"\x00", 0x0A),
        (0x19, b"\x05", 0x0A),
        # NEW_CONNECTION_ID of 21 bytes, and one that retires itself.
        (0x18, b"\x09\x00\x15" + bytes(21) + reset_token, 0x07),
        (0x18, b"\x09\x0a\x08" + bytes(8) + reset_token, 0x07),
        # STREAM on a server's streams, which it has not opened.
        (0x0A, b"\x01\x01\x00", 0x05),
        (0x0A, b"\x03\x01\x00", 0x05),
        # MAX_STREAMS beyond 2^60.
        (0x12, b"\xd0" + bytes(6) + b"\x01", 0x07),
        # MAX_STREAM_DATA, STOP_SENDING and RESET_STREAM on streams that have no such direction, or are not there.
        (0x11, b"\x03\x40\x40", 0x05),
        (0x05, b"\x02\x00", 0x05),
        (0x04, b"\x03\x00\x00", 0x05),
        # DATAGRAM, which was not agreed on.
        (0x31, b"\x01\x00", 0x0A),
    ]:
        session = fresh(target)
        session.craft(kind, content)
        end = session.end()
        assert end.code == code and not end.by_application, (hex(kind), content, end)
    hold()


def new_id(sequence: int, retire_prior_to: int) -> bytes:
    """The content of NEW_CONNECTION_ID (RFC 9000, section 19.15)."""
    numbers = b"".join((number | 0x4000).to_bytes(2, "big") for number in (sequence, retire_prior_to))
    return numbers + b"\x08" + os.urandom(8) + os.urandom(16)


def too_many_ids(target: Target) -> None:
    """A client that issues more than 64 IDs, or retires them faster than the server can say, harms itself alone."""
    session = fresh(target)
    for sequence in range(8, 80):
        session.craft(0x18, new_id(sequence, 0))
    end = session.end()
    assert end.code == CONNECTION_ID_LIMIT_ERROR and not end.by_application, end

    session = fresh(target)
    for sequence in range(8, 4000):
        session.craft(0x18, new_id(sequence, sequence))
    # Whatever becomes of it: it sends to none of these IDs.
    session.idle(1)
    hold(session)


def moves_too_often(target: Target) -> None:
    """After some 60 changes of its address a session is closed, and with its reason."""
    session = fresh(target)
    moves = 0
    while session.ended is None and moves < 100:
        session.move()
        moves += 1
        id = session.call("add", [1, 2])
        session.drive(lambda: id in session.answers or session.ended, "an answer, or the end", until_end=True)
    end = session.ended
    assert end and end.by_application and end.code == 0 and "address" in end.reason, end
    assert 50 <= moves <= 64, moves
    hold()


def ids_twice(target: Target) -> None:
    """A number that is under way already ends the session, wherever the call is; one that was answered is free."""
    session = fresh(target)
    for _ in range(3):
        session.write(wire.call(1, "add", wire.encode([1, 2])))
        assert session.answer(1).value == 3
        del session.answers[1]
    once = wire.call(1, "sleep", wire.encode(20_000))
    again = wire.call(1, "add", wire.encode([1, 2]))

    def at_once(session: Session) -> None:
        session.write(once + again)

    def later(session: Session) -> None:
        session.write(once)
        session.idle(0.1)
        session.write(again)

    def on_a_stream(session: Session) -> None:
        session.write(once)
        session.idle(0.1)
        session.write_body(again)

    def many_times(session: Session) -> None:
        session.write(200 * once)

    for attack in (at_once, later, on_a_stream, many_times):
        breaks(target, attack)
    hold()


def deaf_to_large_results(target: Target) -> None:
    """Calls for 400 results of 1 MiB, by a client that gives no room for them."""
    session = target.session(target.configuration(max_data=1 << 16, max_stream_data=1 << 16))
    session.quic.grants = False
    for _ in range(400):
        session.call("bytes", 1 << 20)
    session.idle(2)
    hold(session)


def deaf_to_late_results(target: Target) -> None:
    """The same, and all calls are under way before the first has its result: 500 of 512 KiB."""
    session = target.session(target.configuration(max_data=1 << 16, max_stream_data=1 << 16))
    session.quic.grants = False
    for _ in range(500):
        session.call("late", 512 << 10)
    session.idle(3)
    hold(session)


def gaps(target: Target) -> None:
    """Half a million single bytes, within the windows, and gaps between them that are never closed."""
    session = fresh(target)
    for stream in range(2, 2 + 4 * 8, 4):
        for offset in range(1, 1 << 20, 16):
            content = bytes([stream]) + (offset | 2 << 30).to_bytes(4, "big") + b"\x01\x00"
            session.quic.crafted.append((0x0E, content))
        # As fast as the server acknowledges them; it may end the session.
        while session.quic.crafted and not session.ended:
            session.quic.send_ping(0)
            session.flush()
            session.turn(0.05)
    hold(session)
