"""A caller that keeps to the page, and what it is promised there."""

import math
import os
import time

from . import wire
from .session import CHANNEL, Target, hold
from .wire import UNDEFINED, Big, Date, Typed


def same(one: object, other: object) -> bool:
    """Whether two values are the same in kind and content: NaN is NaN, and 0 is not -0."""
    if type(one) is not type(other):
        return False
    match one:
        case float():
            alike = one == other and math.copysign(1, one) == math.copysign(1, other)
            return alike or (math.isnan(one) and math.isnan(other))
        case Date():
            return same(one.ms, other.ms)
        case list():
            return len(one) == len(other) and all(map(same, one, other))
        case dict():
            return list(one) == list(other) and all(map(same, one.values(), other.values()))
    return one == other


VALUES = [
    UNDEFINED,
    None,
    True,
    False,
    *(0, 1, -1, 63, 64, -64, -65, 2**31 - 1, 2**31, -(2**31) - 1, 2**53, -(2**53)),
    *(0.5, -0.0, 1e300, 5e-324, math.inf, -math.inf, math.nan, 2.0**60),
    *(Big(0), Big(1), Big(-256), Big(2**64), Big(-(2**32768) + 1)),
    *("", "é!", "\0", "😀" * 100, "x" * 127, "x" * 128, "x" * 16_384),
    *(b"", b"\0\xff", bytes(range(256)) * 100),
    *(Typed(kind, bytes(range(16))) for kind in range(11)),
    *(Typed(kind, b"") for kind in range(11)),
    *(Date(0.0), Date(1000.0), Date(-8.64e15), Date(math.nan)),
    *([], [None, []], list(range(300)), {}),
    {"z": 1, "a": {"b": [UNDEFINED, {"": Big(7)}]}, "__proto__": 1},
]


def values(target: Target) -> None:
    """Values of every kind come back as they were."""
    session = target.session()
    for value in VALUES:
        echo = session.ask("echo", value)
        assert same(echo, value), f"{value!r} came back as {echo!r}"
    # What JavaScript makes of numbers.
    for value, expected in [(2.0, 2), (2**53 + 1, 2**53), (2**63 - 1, float(2**63)), (-(2**63), -float(2**63))]:
        echo = session.ask("echo", value)
        assert same(echo, expected), f"{value!r} came back as {echo!r}"
    nested = UNDEFINED
    for _ in range(128):
        nested = [nested]
    assert same(session.ask("echo", nested), nested)
    # Of a key that is there twice, the last one counts.
    twice = b"\x0b\x02" + wire.text("k") + wire.encode(1) + wire.text("k") + wire.encode(2)
    session.write(wire.call(session.next_id(), "echo", twice))
    assert session.answer(session.last_id).value == {"k": 2}
    # No body is undefined, and a longer spelling of a varint is read.
    session.write(wire.call(session.next_id(), "echo", b""))
    assert session.answer(session.last_id).value is UNDEFINED
    session.write(wire.call(session.next_id(), "echo", b"\x03\x82\x80\x00"))
    assert session.answer(session.last_id).value == 1


def kinds(target: Target) -> None:
    """A function sees each kind as the JavaScript type that the page names."""
    session = target.session()
    names = "Int8 Uint8 Uint8Clamped Int16 Uint16 Int32 Uint32 Float32 Float64 BigInt64 BigUint64".split()
    expected = [
        (UNDEFINED, "Undefined"),
        (None, "Null"),
        (True, "Boolean"),
        (1, "Number"),
        (0.5, "Number"),
        (Big(1), "BigInt"),
        ("", "String"),
        (b"", "ArrayBuffer"),
        *((Typed(number, bytes(8)), f"{name}Array") for number, name in enumerate(names)),
        (Date(0.0), "Date"),
        ([], "Array"),
        ({}, "Object"),
    ]
    for value, name in expected:
        assert session.ask("what", value) == name, f"{value!r} is no {name}"


def example(target: Target) -> None:
    """The page's example works, byte by byte."""
    session = target.session()
    session.write(bytes.fromhex("12000000 00 07 03616464 8087a70e 00 00 0a0203020304"))
    reply = session.answer(7)
    assert reply.body == bytes.fromhex("0306"), reply
    bill = reply.bill
    assert bill.slices == 1 and bill.shard == 0 and bill.heap_peak_bytes > 0, bill
    assert bill.node == f"{target.host}:{target.port}", bill
    # With an account, which counts for nothing.
    session.write(bytes.fromhex("19000000 00 08 03616464 8087a70e 00 01ffffffff0f0500 0a0203020304"))
    assert session.answer(8).body == bytes.fromhex("0306")


def opening(target: Target) -> None:
    """Nothing comes before the client has opened the channel; then Welcome is first, and what can be called."""
    session = target.session()
    session.idle(0.3)
    assert session.frames == []
    session.write(bytes(4))
    session.drive(lambda: session.frames, "a frame")
    session.write(bytes(12))
    assert session.ask("add", [1, 2]) == 3
    welcome, functions, reply = session.frames
    assert isinstance(welcome, wire.Welcome) and isinstance(reply, wire.Reply)
    assert isinstance(functions, wire.Functions)
    assert ["add", {}] in [[name, {}] for name, _ in functions.value], functions.value


def shards(target: Target) -> None:
    """The first two bytes of the first connection ID choose the shard, and the server's own IDs lead there too."""
    for prefix in (0, 1, 2, 3, 1000, 1001, 65_534, 65_535):
        session = target.session(first_id=prefix.to_bytes(2, "big") + os.urandom(6))
        reply = session.answer(session.call("add", [1, 2]))
        welcome = session.frames[0]
        assert isinstance(welcome, wire.Welcome) and welcome.shards == 2, session.frames
        assert reply.bill.shard == prefix % 2, (prefix, reply.bill)
        issued = session.quic._peer_cid.cid
        assert len(issued) == 16 and int.from_bytes(issued[:2], "big") % 2 == prefix % 2


def large(target: Target) -> None:
    """Large bodies go both ways on streams of their own, small ones on the channel or on one."""
    session = target.session()
    megabytes = os.urandom(4 << 20)
    id = session.call("echo", megabytes)
    assert session.answer(id).value == megabytes
    assert session.came_on[id] == 3
    # With the byte for the kind and three for the length, 65,536 bytes exactly, and one more.
    for size, is_large in [(65_532, False), (65_533, True)]:
        id = session.call("bytes", size)
        assert len(session.answer(id).body) == size + 4
        assert (session.came_on[id] != CHANNEL) == is_large, size
    id = session.next_id()
    session.write_body(wire.call(id, "add", wire.encode([1, 2])))
    assert session.answer(id).value == 3
    assert session.came_on[id] == CHANNEL
    # More than 16 streams in the life of a session, and more than fits through the windows.
    ids = [session.call("length", bytes(1 << 20)) for _ in range(40)]
    assert [session.answer(id).value for id in ids] == [1 << 20] * 40


def errors(target: Target) -> None:
    """Each kind of failure is told by its number, with words, and with what is certain."""
    session = target.session()
    thrown = session.fails("fail")
    assert thrown.kind == wire.JAVASCRIPT and thrown.may_have_run, thrown
    assert thrown.message == "TypeError: no good", thrown
    assert (thrown.exception.name, thrown.exception.message) == ("TypeError", "no good")
    assert "script.js:" in thrown.exception.stack, thrown.exception

    unfit = session.fails("unfit")
    assert unfit.kind == wire.JAVASCRIPT and unfit.exception is None, unfit

    for name in ("nobody", "", "é", "n" * 256, "n" * 257, "n" * 5000, "n" * 60_000, "madrpc.nothing"):
        missing = session.fails(name)
        assert missing.kind == wire.NO_SUCH_FUNCTION and not missing.may_have_run, missing

    # On a stream too.
    body = wire.encode(bytes(100_000))
    session.write_body(wire.call(session.next_id(), "n" * 5000, body))
    assert session.failure(session.last_id).kind == wire.NO_SUCH_FUNCTION

    deep = b"\x0a\x01" * 129 + b"\x00"
    for body in [
        *(b"\x0c", b"\xff", b"\x02\x02", b"\x03", b"\x03" + b"\x80" * 10 + b"\x01", b"\x03" + b"\xff" * 9 + b"\x02"),
        *(b"\x04\0", b"\x05\x02\x00", b"\x05\x00" + wire.block(b"\x01" * 4097), b"\x06\x02\xc3\x28", b"\x06\x05a"),
        *(b"\x08\x0c\x00", b"\x08\x08\x01\x00", b"\x0a\x02\x00", b"\x0a\xff\xff\xff\xff\x0f", b"\x0b\x01\x01a"),
        *(b"\x00\x00", wire.encode([1, 2]) + b"\x00", deep),
    ]:
        session.write(wire.call(session.next_id(), "add", body))
        bad = session.failure(session.last_id)
        assert bad.kind == wire.BAD_ARGUMENTS and not bad.may_have_run, (body[:20], bad)
    assert session.ask("add", [1, 2]) == 3


def deadlines(target: Target) -> None:
    """A call ends at its deadline, with the kind that says so, and no deadline is too large."""
    session = target.session()
    begun = time.monotonic()
    late = session.fails("spin", timeout_s=0.2)
    assert late.kind == wire.DEADLINE_EXCEEDED and late.may_have_run, late
    assert 0.2 <= time.monotonic() - begun < 5
    assert session.fails("sleep", 10_000, timeout_s=0.1).kind == wire.DEADLINE_EXCEEDED
    assert session.fails("spin", timeout_s=0).kind == wire.DEADLINE_EXCEEDED
    for timeout_s in (25 * 3600, (2**64 - 1) / 1_000_000 - 4096):
        assert session.ask("add", [1, 2], timeout_s) == 3
    header = wire.varint(0) + b"\x63" + wire.text("add") + wire.varint(2**64 - 1) + b"\0\0"
    session.write(wire.frame(header, wire.encode([1, 2])))
    assert session.answer(0x63).value == 3


def order(target: Target) -> None:
    """Calls are answered when they are done, and each by its number, whatever the number is."""
    session = target.session()
    slow = session.call("sleep", 300)
    quick = session.call("add", [1, 2])
    session.answer(slow)
    assert [frame.id for frame in session.frames if isinstance(frame, wire.Reply)] == [quick, slow]
    for id in (0, 2**32, 2**64 - 1):
        session.write(wire.call(id, "add", wire.encode([id % 1000, 1])))
        assert session.answer(id).value == id % 1000 + 1
    # Many at once, most of them in one datagram with others.
    ids = [session.call("add", [number, 1]) for number in range(3000)]
    assert [session.answer(id).value for id in ids] == [number + 1 for number in range(3000)]


def cancels(target: Target) -> None:
    """A call that is given up ends, whether it runs, sleeps or is still arriving; anything else is left alone."""
    session = target.session()
    for function, value in [("spin", UNDEFINED), ("sleep", 20_000)]:
        id = session.call(function, value)
        session.idle(0.1)
        session.write(wire.cancel(id))
        assert session.failure(id).kind == wire.CANCELLED
        # Once more, for nothing.
        session.write(wire.cancel(id))
    session.write(wire.cancel(12_345))
    # Both lanes are free again.
    assert session.ask("sleep", 1) == "slept"
    # A body that is taken back was never sent: nothing runs, and its number can be used.
    id = session.next_id()
    call = wire.call(id, "length", wire.encode(bytes(1 << 20)))
    stream = session.write_body(call[: 1 << 19], end=False)
    session.idle(0.1)
    session.quic.reset_stream(stream, 0)
    session.idle(0.1)
    assert id not in session.answers
    session.write(wire.call(id, "add", wire.encode([1, 2])))
    assert session.answer(id).value == 3


def later_versions(target: Target) -> None:
    """Fields and frames of which the server does not know are no hindrance, and those that it knows are read beside them."""
    session = target.session()
    known = wire.field(1, b"\x01") + wire.field(3, bytes(range(1, 26))) + wire.field(4, b"somebody") + wire.field(5, b"key")
    for fields in [
        known,
        wire.field(1_000_000, bytes(200)) + known + wire.field(77, b""),
        # What cannot be read counts as not there.
        wire.field(3, b"short") + wire.field(4, b"\xff") + wire.field(1, b""),
        b"\xff\xff\xff",
    ]:
        session.write(wire.frame(wire.varint(200), bytes(30), wire.field(1, b"x")))
        id = session.next_id()
        session.write(wire.call(id, "add", wire.encode([1, 2]), fields=fields))
        assert session.answer(id).value == 3, fields


def cancels_while_queued(target: Target) -> None:
    """A call that is given up before it has begun is answered as any other."""
    session = target.session()
    busy = [session.call("spin") for _ in range(2)]
    # All of it in one packet: a call that has had the core for a few slices is in nobody's way.
    queued = session.call("spin")
    session.write(wire.cancel(queued))
    given_up = session.failure(queued)
    assert given_up.kind == wire.CANCELLED and not given_up.may_have_run, given_up
    for id in busy:
        session.write(wire.cancel(id))
        assert session.failure(id).kind == wire.CANCELLED


def catalogue(target: Target) -> None:
    """`madrpc.functions` says what can be called."""
    session = target.session()
    listed = session.ask("madrpc.functions")
    assert listed["role"] == "node" and listed["silent"] == [], listed
    assert "add" in [function["name"] for function in listed["functions"]], listed
    assert all(isinstance(function["options"], dict) for function in listed["functions"]), listed


def goes_away(target: Target) -> None:
    """A server that stops says so, answers what is under way, refuses what is new, and closes with code 1."""
    session = target.session()
    slow = session.call("sleep", 2500)
    session.idle(0.1)
    hold(session)
    # The one call that there was.
    session.drive(lambda: wire.GoAway(1) in session.frames, "GoAway")
    late = session.fails("add", [1, 2])
    assert late.kind == wire.UNAVAILABLE and not late.may_have_run, late
    assert session.answer(slow).value == "slept"
    end = session.end()
    assert end.by_application and end.code == 1 and "stopping" in end.reason, end
