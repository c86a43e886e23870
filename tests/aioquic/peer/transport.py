"""What the page promises of QUIC and TLS: retries, versions, keys, connection IDs, addresses, resets, refusals."""

import os
import time

from aioquic.quic.connection import QuicConnectionId
from aioquic.quic.packet import QuicFrameType, QuicProtocolVersion
from aioquic.tls import Epoch

from . import wire
from .session import Session, Target, hold

# The page's bounds.
RETRY_ABOVE = 64
HANDSHAKE_TIMEOUT_S = 3

# Of the form that is reserved for versions that nobody has (RFC 9000, section 15).
NO_VERSION = 0x1A2A3A4A


def is_retry(datagram: bytes) -> bool:
    return datagram[0] & 0xF0 == 0xF0 and int.from_bytes(datagram[1:5], "big") == 1


def offered(datagram: bytes) -> list[int] | None:
    """The versions of a Version Negotiation packet (RFC 9000, section 17.2.1)."""
    if not datagram[0] & 0x80 or datagram[1:5] != bytes(4):
        return None
    reader = wire.Reader(datagram[5:])
    for _ in ("destination", "source"):
        reader.take(reader.u8())
    versions = reader.rest()
    return [int.from_bytes(versions[at : at + 4], "big") for at in range(0, len(versions), 4)]


def watched(target: Target, **options) -> Session:
    """A session before its handshake, whose datagrams are kept."""
    session = target.begin(target.configuration(**options))
    session.datagrams = []
    return session


def opens(session: Session) -> None:
    session.drive(lambda: session.is_open, "the handshake")
    assert session.ask("add", [1, 2]) == 3


def retry(target: Target) -> None:
    """With 64 handshakes open, a client has to prove its address, and a proof is good for that address only."""
    first = watched(target)
    opens(first)
    assert not any(map(is_retry, first.datagrams))

    half_open = [target.begin() for _ in range(RETRY_ABOVE + 6)]
    begun = time.monotonic()
    for session in half_open:
        session.flush()

    proven = watched(target)
    opens(proven)
    assert is_retry(proven.datagrams[0]) and proven.quic._retry_count == 1
    # The ID that the Retry gave leads to the session's own, and the session is as good as any.
    assert proven.ask("length", bytes(100_000)) == 100_000

    # A token that is shown from another port opens nothing.
    thief = watched(target)
    thief.flush()
    while not thief.quic._retry_count:
        thief.turn(0.5)
    thief.move()
    thief.idle(0.5)
    assert not thief.is_open and len(thief.datagrams) == 1, thief.datagrams

    # Handshakes that nobody goes on with are forgotten, and then nobody is asked any more.
    time.sleep(max(0, begun + HANDSHAKE_TIMEOUT_S + 0.5 - time.monotonic()))
    later = watched(target)
    opens(later)
    assert not any(map(is_retry, later.datagrams))


def no_such_version(target: Target) -> None:
    """A version that nobody has is answered with a list of the one there is, and then version 1 works."""
    negotiates(target, NO_VERSION)


def version_2(target: Target) -> None:
    """A client that begins with QUIC version 2, whose packets have other numbers, is led to version 1 as well."""
    negotiates(target, QuicProtocolVersion.VERSION_2)


def negotiates(target: Target, version: int) -> None:
    known = [QuicProtocolVersion.VERSION_1, version]
    session = watched(target, original_version=version, supported_versions=known)
    opens(session)
    assert offered(session.datagrams[0]) == [QuicProtocolVersion.VERSION_1]


def key_updates(target: Target) -> None:
    """The client changes the keys time and again, with calls and bodies under way."""
    session = target.session()
    assert session.ask("add", [1, 2]) == 3
    phases = []
    for _ in range(6):
        under_way = [session.call("sleep", 50), session.call("echo", bytes(300_000)), session.call("bytes", 300_000)]
        session.flush()
        session.quic.request_key_update()
        assert session.ask("add", [1, 2]) == 3
        for id in under_way:
            assert isinstance(session.answer(id), wire.Reply)
        # An update may follow only when the last one was acknowledged (RFC 9001, section 6.1): it was, by the answers.
        phases.append(session.quic._cryptos[Epoch.ONE_RTT].recv.key_phase)
    assert phases == [1, 0] * 3, phases


def server_ids(target: Target) -> None:
    """The server issues one ID of 16 bytes, and the client has no other to go over to."""
    session = target.session()
    assert session.ask("add", [1, 2]) == 3
    session.idle(0.2)
    issued = session.quic._peer_cid
    assert len(issued.cid) == 16 and issued.sequence_number == 0
    assert session.quic._peer_cid_available == []
    # What that means for a client that tries: nothing changes, and the session goes on.
    session.quic.change_connection_id()
    assert session.ask("add", [1, 2]) == 3 and session.quic._peer_cid.cid == issued.cid


def client_ids(target: Target) -> None:
    """The client retires its IDs with calls under way, and the server goes over to the one that is left."""
    session = target.session()
    assert session.ask("add", [1, 2]) == 3
    for _ in range(3):
        slow, body = session.call("sleep", 100), session.call("bytes", 300_000)
        session.flush()
        old = [known.cid for known in session.quic._host_cids]
        new = QuicConnectionId(os.urandom(8), session.quic._host_cid_seq, os.urandom(16), was_sent=True)
        session.quic._host_cids.append(new)
        session.quic._host_cid_seq += 1
        content = 2 * quic_varint(new.sequence_number) + bytes([len(new.cid)]) + new.cid + new.stateless_reset_token
        session.craft(QuicFrameType.NEW_CONNECTION_ID, content)
        assert session.answer(slow).value == "slept"
        assert len(session.answer(body).value) == 300_000
        session.drive(lambda: are_retired(session, old), "the retirement of the old IDs")
        session.datagrams = []
        assert session.ask("add", [1, 2]) == 3
        assert session.datagrams and all(datagram[1:9] == new.cid for datagram in session.datagrams)


def are_retired(session: Session, ids: list[bytes]) -> bool:
    return not any(known.cid in ids for known in session.quic._host_cids)


def quic_varint(number: int) -> bytes:
    """QUIC's own variable-length integer (RFC 9000, section 16), of two bytes."""
    return (number | 0x4000).to_bytes(2, "big")


def id_lengths(target: Target) -> None:
    """A client's own IDs may have any length, and none."""
    for length in (4, 20, 0):
        session = target.begin(target.configuration(connection_id_length=length), first_id=os.urandom(8))
        if length == 0:
            # There can be no second one.
            session.quic._replenish_connection_ids = lambda: None
        opens(session)
        assert session.ask("length", bytes(100_000)) == 100_000
    # The first ID that the client gives to its server may be long, too, but not shorter than 8 bytes.
    opens(target.begin(first_id=os.urandom(20)))
    short = target.begin(first_id=os.urandom(7))
    short.datagrams = []
    short.idle(0.3)
    assert short.datagrams == []


def moves(target: Target) -> None:
    """A client whose port changes under it keeps its session and its calls."""
    session = target.session()
    assert session.ask("add", [1, 2]) == 3
    for _ in range(5):
        slow = session.call("sleep", 100)
        session.flush()
        session.move()
        assert session.ask("add", [1, 2]) == 3
        assert session.answer(slow).value == "slept"
        assert len(session.ask("bytes", 300_000)) == 300_000


def silence(target: Target) -> None:
    """After the client's idle time the session is over, and packets for it are answered with a reset."""
    session = target.session(target.configuration(idle_timeout=1.0))
    assert session.ask("add", [1, 2]) == 3
    # What the client says keeps it open.
    for _ in range(3):
        session.idle(0.5)
        assert session.ask("add", [1, 2]) == 3
    # The client itself is made to forget it.
    session.quic._configuration.idle_timeout = 60.0
    session.quic._remote_max_idle_timeout = 60.0
    assert session.ask("add", [1, 2]) == 3
    time.sleep(1.5)
    is_reset(session)


def restarts(target: Target) -> None:
    """A server that was killed and started anew tells the client by the token that it gave in its former life."""
    session = target.session()
    slow = session.call("sleep", 20_000)
    assert session.ask("add", [1, 2]) == 3
    hold()
    is_reset(session)
    assert slow not in session.answers
    opens(target.begin())


def is_reset(session: Session) -> None:
    session.call("add", [1, 2])
    session.drive(lambda: session.resets, "a reset", patience_s=5)
    assert 21 <= len(session.resets[0]) <= 42, session.resets


def no_certificate(target: Target) -> None:
    """A client without a certificate is told so, and nothing that it asked for has run."""
    configuration = target.configuration()
    configuration.certificate = configuration.private_key = None
    is_refused(target.begin(configuration), 0x174)


def strangers_certificate(target: Target) -> None:
    """A certificate of another authority is refused."""
    configuration = target.configuration()
    configuration.load_cert_chain(target.stranger / "cert.pem", target.stranger / "key.pem")
    is_refused(target.begin(configuration), 0x130)


def strangers_key(target: Target) -> None:
    """Somebody else's certificate is of no use without its key."""
    configuration = target.configuration()
    configuration.load_cert_chain(target.identity / "cert.pem", target.stranger / "key.pem")
    is_refused(target.begin(configuration), 0x133)


def other_protocol(target: Target) -> None:
    """No common application protocol: refused, also where none is named."""
    for protocols in (["madrpc/1"], ["h3", "madrpc"], None):
        session = target.begin(target.configuration(alpn_protocols=protocols))
        is_refused(session, 0x178)
        assert not session.is_open


def is_refused(session: Session, code: int) -> None:
    def call_at_once() -> bool:
        if session.is_open and not session.last_id:
            session.call("add", [1, 2])
        return session.ended is not None

    session.drive(call_at_once, "the refusal", until_end=True)
    assert session.ended.code == code and not session.ended.by_application, session.ended
    assert session.frames == []


def other_names(target: Target) -> None:
    """A node is taken for a node, and for any server; for an orchestrator it is not."""
    for name in ("server.madrpc.internal", "node.madrpc.internal"):
        session = target.session(target.configuration(server_name=name))
        assert session.ask("add", [1, 2]) == 3
    for name in ("orchestrator.madrpc.internal", "localhost"):
        session = target.begin(target.configuration(server_name=name))
        end = session.end()
        assert end.code == 0x12A and not session.is_open, end
