"""Frames and values of madrpc/2, byte by byte as the protocol's page says (the crate doc of madrpc-core)."""

from __future__ import annotations

import struct
from dataclasses import dataclass


class Undefined:
    """JavaScript's `undefined`; there is one, UNDEFINED."""

    def __repr__(self) -> str:
        return "undefined"


UNDEFINED = Undefined()


class Big(int):
    """A BigInt."""


@dataclass(frozen=True)
class Date:
    """Milliseconds since 1970-01-01 UTC."""

    ms: float


@dataclass(frozen=True)
class Typed:
    """A typed array: its kind by number, its elements as little-endian bytes."""

    kind: int
    data: bytes


class Malformed(Exception):
    """Bytes that are not what the page says."""


def varint(number: int) -> bytes:
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def block(data: bytes) -> bytes:
    return varint(len(data)) + data


def text(string: str) -> bytes:
    return block(string.encode())


def encode(value: object) -> bytes:
    match value:
        case Undefined():
            return b"\x00"
        case None:
            return b"\x01"
        case bool():
            return bytes([2, value])
        case Big():
            size = (abs(value).bit_length() + 7) // 8
            return bytes([5, value < 0]) + block(abs(int(value)).to_bytes(size, "big"))
        case int():
            return b"\x03" + varint(2 * value if value >= 0 else -2 * value - 1)
        case float():
            return b"\x04" + struct.pack("<d", value)
        case str():
            return b"\x06" + text(value)
        case bytes():
            return b"\x07" + block(value)
        case Typed():
            return bytes([8, value.kind]) + block(value.data)
        case Date():
            return b"\x09" + struct.pack("<d", value.ms)
        case list():
            return b"\x0a" + varint(len(value)) + b"".join(map(encode, value))
        case dict():
            entries = (text(key) + encode(item) for key, item in value.items())
            return b"\x0b" + varint(len(value)) + b"".join(entries)
    raise TypeError(f"no value of the protocol: {value!r}")


class Reader:
    """Takes one thing after the other from bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self.data):
            raise Malformed(f"cut off at byte {self.at} of {len(self.data)}")
        taken = self.data[self.at : end]
        self.at = end
        return taken

    def rest(self) -> bytes:
        return self.take(len(self.data) - self.at)

    def u8(self) -> int:
        return self.take(1)[0]

    def bool(self) -> bool:
        byte = self.u8()
        if byte > 1:
            raise Malformed(f"a bool of {byte}")
        return byte == 1

    def varint(self, bits: int = 64) -> int:
        number = 0
        for shift in range(0, bits, 7):
            byte = self.u8()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                if number >> bits:
                    break
                return number
        raise Malformed(f"a varint of more than {bits} bits")

    def f64(self) -> float:
        return struct.unpack("<d", self.take(8))[0]

    def block(self) -> bytes:
        return self.take(self.varint())

    def text(self) -> str:
        try:
            return self.block().decode()
        except UnicodeDecodeError as error:
            raise Malformed("not UTF-8") from error

    def value(self) -> object:
        kind = self.u8()
        match kind:
            case 0:
                return UNDEFINED
            case 1:
                return None
            case 2:
                return self.bool()
            case 3:
                number = self.varint()
                return -(number >> 1) - 1 if number & 1 else number >> 1
            case 4:
                return self.f64()
            case 5:
                negative, magnitude = self.bool(), int.from_bytes(self.block(), "big")
                return Big(-magnitude if negative else magnitude)
            case 6:
                return self.text()
            case 7:
                return self.block()
            case 8:
                return Typed(self.u8(), self.block())
            case 9:
                return Date(self.f64())
            case 10:
                return [self.value() for _ in range(self.varint())]
            case 11:
                return {self.text(): self.value() for _ in range(self.varint())}
        raise Malformed(f"no kind of value has the number {kind}")


def decode(data: bytes) -> object:
    """The one value that these bytes are."""
    reader = Reader(data)
    value = reader.value()
    if reader.at != len(data):
        raise Malformed("bytes after the value")
    return value


HAS_FIELDS = 1 << 31


def field(number: int, content: bytes) -> bytes:
    return varint(number) + block(content)


def frame(header: bytes, body: bytes = b"", fields: bytes = b"") -> bytes:
    content = header + (block(fields) if fields else b"") + body
    return struct.pack("<I", len(content) | (HAS_FIELDS if fields else 0)) + content


NO_ACCOUNT = b"\x00"


def call(id: int, function: str, body: bytes, timeout_s: float = 30, depth: int = 0, fields: bytes = b"") -> bytes:
    timeout_us = int(timeout_s * 1_000_000)
    header = varint(0) + varint(id) + text(function) + varint(timeout_us) + bytes([depth]) + NO_ACCOUNT
    return frame(header, body, fields)


def cancel(id: int) -> bytes:
    return frame(varint(1) + varint(id))


@dataclass(frozen=True)
class Bill:
    queue_us: int
    cpu_us: int
    slices: int
    heap_peak_bytes: int
    shard: int
    node: str


@dataclass(frozen=True)
class Reply:
    id: int
    bill: Bill
    body: bytes

    @property
    def value(self) -> object:
        return decode(self.body)


@dataclass(frozen=True)
class Thrown:
    name: str
    message: str
    stack: str
    value: bytes


@dataclass(frozen=True)
class Failure:
    id: int
    bill: Bill
    kind: int
    message: str
    may_have_run: bool
    exception: Thrown | None

    def __str__(self) -> str:
        return f"failure of kind {self.kind}: {self.message}"


@dataclass(frozen=True)
class GoAway:
    taken: int


@dataclass(frozen=True)
class Welcome:
    shards: int
    instance: int


@dataclass(frozen=True)
class Functions:
    script: int
    body: bytes

    @property
    def value(self) -> object:
        return decode(self.body)


@dataclass(frozen=True)
class Unknown:
    number: int


NO_SUCH_FUNCTION = 1
BAD_ARGUMENTS = 2
JAVASCRIPT = 3
DEADLINE_EXCEEDED = 4
CANCELLED = 5
UNAVAILABLE = 10
PAYLOAD_TOO_LARGE = 11


def read_bill(reader: Reader) -> Bill:
    return Bill(
        queue_us=reader.varint(),
        cpu_us=reader.varint(),
        slices=reader.varint(32),
        heap_peak_bytes=reader.varint(),
        shard=reader.varint(16),
        node=reader.text(),
    )


def read_frame(content: bytes) -> Reply | Failure | GoAway | Welcome | Functions | Unknown:
    """The server's frame that has this content: header, fields and body."""
    reader = Reader(content)
    number = reader.varint(32)
    match number:
        case 2:
            id, bill = reader.varint(), read_bill(reader)
            return Reply(id, bill, reader.rest())
        case 3:
            id, kind, bill = reader.varint(), reader.u8(), read_bill(reader)
            if reader.u8() != kind:
                raise Malformed("the error's kind is not the header's")
            message, may_have_run = reader.text(), reader.bool()
            exception = None
            if reader.bool():
                exception = Thrown(reader.text(), reader.text(), reader.text(), reader.block())
            return Failure(id, bill, kind, message, may_have_run, exception)
        case 4:
            return GoAway(reader.varint())
        case 5:
            return Welcome(reader.varint(16), reader.varint())
        case 7:
            return Functions(reader.varint(), reader.rest())
    return Unknown(number)
