"""A session: one QUIC connection of aioquic's, a socket, and the frames on it.

Driven by hand and without threads, so that a scenario decides what is sent when, and what is not.
"""

from __future__ import annotations

import select
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aioquic.buffer import Buffer
from aioquic.quic import events
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.packet import QuicProtocolVersion
from aioquic.quic.rangeset import RangeSet
from aioquic.tls import Epoch

from . import wire

CHANNEL = 0
PROTOCOL = "madrpc/2"
ANY_SERVER = "server.madrpc.internal"
TOKEN_BYTES = 16
RESET_MIN_BYTES = 21

# How long a scenario waits for anything; far more than it takes.
PATIENCE_S = 15.0

# The client's own word that it is there while it waits.
PING_EVERY_S = 1.0


class Connection(QuicConnection):
    """aioquic's, and on demand QUIC frames that aioquic would not send, no grants of flow control, or acknowledgements held back."""

    def __init__(self, configuration: QuicConfiguration) -> None:
        super().__init__(configuration=configuration)
        self.crafted: list[tuple[int, bytes]] = []
        self.grants = True
        # The packets that carry this byte of the channel are read, and not acknowledged.
        self.unacknowledged: int | None = None
        self.has_come = False

    def receive_datagram(self, data, addr, now) -> None:
        if self.unacknowledged is None:
            super().receive_datagram(data, addr, now)
            return
        space = self._spaces[Epoch.ONE_RTT]
        before = list(space.ack_queue)
        self.has_come = False
        super().receive_datagram(data, addr, now)
        if self.has_come:
            space.ack_queue = RangeSet(before)

    def _handle_stream_frame(self, context, frame_type: int, buf: Buffer) -> None:
        start = buf.tell()
        stream = buf.pull_uint_var()
        offset = buf.pull_uint_var() if frame_type & 4 else 0
        length = buf.pull_uint_var() if frame_type & 2 else buf.capacity - buf.tell()
        buf.seek(start)
        if stream == CHANNEL and self.unacknowledged in range(offset, offset + length):
            self.has_come = True
        super()._handle_stream_frame(context, frame_type, buf)

    def _write_connection_limits(self, builder, space) -> None:
        while self.crafted:
            kind, content = self.crafted.pop(0)
            buffer = builder.start_frame(kind, capacity=1 + len(content))
            buffer.push_bytes(content)
        if self.grants:
            super()._write_connection_limits(builder, space)

    def _write_stream_limits(self, builder, space, stream) -> None:
        if self.grants:
            super()._write_stream_limits(builder, space, stream)


@dataclass(frozen=True)
class Ended:
    """Why a session is over; `frame_type` is None where an application's code closed it."""

    code: int
    frame_type: int | None
    reason: str

    @property
    def by_application(self) -> bool:
        return self.frame_type is None


@dataclass(frozen=True)
class Target:
    """A server, and who its caller is."""

    host: str
    port: int
    identity: Path
    # An identity of another authority.
    stranger: Path

    def configuration(self, **options) -> QuicConfiguration:
        usual = {
            "alpn_protocols": [PROTOCOL],
            "server_name": ANY_SERVER,
            "supported_versions": [QuicProtocolVersion.VERSION_1],
        }
        configuration = QuicConfiguration(is_client=True, **(usual | options))
        configuration.load_verify_locations(cafile=str(self.identity / "ca.pem"))
        configuration.load_cert_chain(self.identity / "cert.pem", self.identity / "key.pem")
        return configuration

    def begin(self, configuration: QuicConfiguration | None = None, **options) -> Session:
        """A session whose first packet has not been sent."""
        return Session(self, configuration or self.configuration(), **options)

    def session(self, configuration: QuicConfiguration | None = None, **options) -> Session:
        """A session whose handshake is over."""
        session = self.begin(configuration, **options)
        session.drive(lambda: session.is_open, "the handshake")
        return session


class Session:
    def __init__(
        self,
        target: Target,
        configuration: QuicConfiguration,
        first_id: bytes | None = None,
    ) -> None:
        self.server = (target.host, target.port)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((target.host, 0))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.quic = Connection(configuration)
        if first_id is not None:
            # aioquic chooses this by itself, and has no other way to be told.
            self.quic._peer_cid.cid = first_id
            self.quic._original_destination_connection_id = first_id
        self.is_open = False
        self.resets: list[bytes] = []
        # Every datagram that has come, where a scenario wants to see them.
        self.datagrams: list[bytes] | None = None
        self.channel = bytearray()
        self.bodies: dict[int, bytearray] = {}
        self.frames: list[object] = []
        self.answers: dict[int, wire.Reply | wire.Failure] = {}
        # On which stream each answer came.
        self.came_on: dict[int, int] = {}
        self.last_id = 0
        self.last_ping = time.monotonic()
        self.quic.connect(self.server, now=time.monotonic())

    # What goes out.

    def write(self, data: bytes, end: bool = False) -> None:
        """Puts bytes on the channel."""
        self.quic.send_stream_data(CHANNEL, data, end)

    def write_body(self, data: bytes, end: bool = True) -> int:
        """Puts bytes on a new stream of their own, and says which."""
        stream = self.quic.get_next_available_stream_id(is_unidirectional=True)
        self.quic.send_stream_data(stream, data, end)
        return stream

    def craft(self, kind: int, content: bytes) -> None:
        """Sends a QUIC frame of this type and content."""
        self.quic.crafted.append((kind, content))
        # What has nothing else to say sends no packet.
        self.quic.send_ping(0)

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def call(self, function: str, value: object = wire.UNDEFINED, timeout_s: float = 30) -> int:
        """Calls a function, on the channel or a stream of its own as the page says; gives the call's number."""
        body = wire.encode(value)
        call = wire.call(self.next_id(), function, body, timeout_s)
        if len(body) > 65_536:
            self.write_body(call)
        else:
            self.write(call)
        return self.last_id

    def ask(self, function: str, value: object = wire.UNDEFINED, timeout_s: float = 30) -> object:
        """The result of a function; a failure is an error of the scenario."""
        answer = self.answer(self.call(function, value, timeout_s))
        if isinstance(answer, wire.Failure):
            raise AssertionError(f"{function}: {answer}")
        return answer.value

    def fails(self, function: str, value: object = wire.UNDEFINED, timeout_s: float = 30) -> wire.Failure:
        """The failure of a function; a result is an error of the scenario."""
        return self.failure(self.call(function, value, timeout_s))

    # What comes in.

    @property
    def ended(self) -> Ended | None:
        # The event comes only after the draining period.
        event = self.quic._close_event
        return event and Ended(event.error_code, event.frame_type, event.reason_phrase)

    def answer(self, id: int) -> wire.Reply | wire.Failure:
        """Waits for the answer to a call."""
        self.drive(lambda: id in self.answers, f"the answer to call {id}")
        return self.answers[id]

    def failure(self, id: int) -> wire.Failure:
        answer = self.answer(id)
        assert isinstance(answer, wire.Failure), f"call {id} has the result {answer.value!r}"
        return answer

    def end(self) -> Ended:
        """Waits until the server has ended the session."""
        self.drive(lambda: self.ended is not None, "the end of the session", until_end=True)
        return self.ended

    def drive(
        self,
        done: Callable[[], bool],
        what: str,
        patience_s: float = PATIENCE_S,
        until_end: bool = False,
    ) -> None:
        """Exchanges datagrams until it is done; that it takes too long, or the session ends, is an error."""
        limit = time.monotonic() + patience_s
        while True:
            self.flush()
            if done():
                return
            if self.ended and not until_end:
                raise AssertionError(f"waiting for {what}: {self.ended}")
            now = time.monotonic()
            if now > limit:
                raise AssertionError(f"{what} did not come about within {patience_s} s")
            if self.is_open and now > self.last_ping + PING_EVERY_S:
                self.last_ping = now
                self.quic.send_ping(0)
            self.turn(limit - now)

    def idle(self, seconds: float) -> None:
        """Exchanges datagrams for so long, and wants nothing."""
        limit = time.monotonic() + seconds
        while (now := time.monotonic()) < limit:
            self.flush()
            self.turn(limit - now)

    def turn(self, wait_s: float) -> None:
        """Takes in what comes within this time, or before the next timer."""
        timer = self.quic.get_timer()
        if timer is not None:
            wait_s = min(wait_s, timer - time.monotonic())
        ready, _, _ = select.select([self.socket], [], [], max(0, min(wait_s, 0.5)))
        while ready:
            data, source = self.socket.recvfrom(65_535)
            self.receive(data, source)
            ready, _, _ = select.select([self.socket], [], [], 0)
        timer = self.quic.get_timer()
        if timer is not None and time.monotonic() >= timer:
            self.quic.handle_timer(now=time.monotonic())
        self.take_events()

    def flush(self) -> None:
        for data, to in self.quic.datagrams_to_send(now=time.monotonic()):
            self.socket.sendto(data, to)
        self.take_events()

    def receive(self, data: bytes, source: tuple[str, int]) -> None:
        if self.datagrams is not None:
            self.datagrams.append(data)
        token = self.quic._peer_cid.stateless_reset_token
        if token and len(data) >= RESET_MIN_BYTES and data[-TOKEN_BYTES:] == token:
            # aioquic does not look for resets.
            self.resets.append(data)
            return
        self.quic.receive_datagram(data, source, now=time.monotonic())

    def take_events(self) -> None:
        while event := self.quic.next_event():
            match event:
                case events.HandshakeCompleted():
                    assert event.alpn_protocol == PROTOCOL
                    self.is_open = True
                case events.StreamDataReceived(stream_id=0):
                    self.channel += event.data
                    assert not event.end_stream, "the server has ended the channel"
                    self.read_channel()
                case events.StreamDataReceived():
                    self.read_body(event)

    def read_channel(self) -> None:
        while len(self.channel) >= 4:
            end = 4 + int.from_bytes(self.channel[:4], "little")
            if len(self.channel) < end:
                return
            content = bytes(self.channel[4:end])
            del self.channel[:end]
            if content:
                self.take(wire.read_frame(content), CHANNEL)

    def read_body(self, event: events.StreamDataReceived) -> None:
        assert event.stream_id % 4 == 3, f"a stream {event.stream_id} of the server's"
        body = self.bodies.setdefault(event.stream_id, bytearray())
        body += event.data
        if event.end_stream:
            announced = int.from_bytes(body[:4], "little")
            assert len(body) == 4 + announced, f"{len(body)} bytes, announced {announced}"
            content = bytes(self.bodies.pop(event.stream_id)[4:])
            self.take(wire.read_frame(content), event.stream_id)

    def take(self, frame: object, stream: int) -> None:
        self.frames.append(frame)
        if isinstance(frame, wire.Reply | wire.Failure):
            assert frame.id not in self.answers, f"call {frame.id} is answered twice"
            self.answers[frame.id] = frame
            self.came_on[frame.id] = stream

    # The address.

    def move(self) -> None:
        """Goes on from another port, as a NAT would have it."""
        self.socket.close()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((self.server[0], 0))


def hold(*sessions: Session) -> None:
    """Says that it has come so far, and keeps the sessions going until it is told to go on by a line on stdin."""
    print("so far.", flush=True)
    while not select.select([sys.stdin], [], [], 0)[0]:
        for session in sessions:
            session.flush()
            session.turn(0.01)
        if not sessions:
            time.sleep(0.01)
    sys.stdin.readline()
