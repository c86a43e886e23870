"""Calls, their options, and their errors."""

from __future__ import annotations

import pickle
import socket
import subprocess
import threading
import time
from typing import Any

import numpy as np
import pytest

import madrpc
from madrpc._cluster import command


def test_the_bill(client: madrpc.Client) -> None:
    reply = client.call_with_bill("echo", 7)
    assert reply.result == 7
    assert reply.bill.slices >= 1
    assert reply.bill.heap_peak_bytes > 0
    assert reply.bill.node.startswith("127.0.0.1:")


def test_options_are_apart_from_arguments(client: madrpc.Client) -> None:
    hasty = client.with_options(timeout=0.05, key="user-7")
    with pytest.raises(madrpc.DeadlineExceeded) as raised:
        hasty.call("sleep", 20_000)
    assert isinstance(raised.value, TimeoutError)
    # The one that it was made of is as it was.
    assert client.call("sleep", 100) == 100
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="timeout: "):
            client.with_options(timeout=wrong)
    with pytest.raises(TypeError, match="timeout: a number of seconds"):
        client.with_options(timeout="1")
    with pytest.raises(TypeError, match="with_options: there is no option retries; there are timeout, key, traceparent and idempotent"):
        client.with_options(retries=1)
    with pytest.raises(TypeError, match="key: a str is wanted, not int"):
        client.with_options(key=7)
    for no_bool in ("false", 1, None):
        with pytest.raises(TypeError, match=f"idempotent: a bool is wanted, not {type(no_bool).__name__}"):
            client.with_options(idempotent=no_bool)
    assert client.with_options(idempotent=True).call("echo", 1) == 1
    for long in (float("inf"), 10**400, np.int64(60), np.float32(60)):
        assert client.with_options(timeout=long, key=b"7").call("echo", 1) == 1
    with pytest.raises(madrpc.BadArguments, match="the key has 257 bytes"):
        client.with_options(key="x" * 257).call("echo", 1)


def test_a_call_belongs_to_a_trace(client: madrpc.Client) -> None:
    traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa01902b71-01"
    traced = client.with_options(traceparent=traceparent)
    assert traced.call("trace") == traceparent
    assert list(traced.map("trace", [1, 2])) == [traceparent] * 2
    assert traced.with_options(traceparent=None).call("trace") is None
    with pytest.raises(ValueError, match="traceparent: no traceparent"):
        client.with_options(traceparent=traceparent.upper())
    with pytest.raises(TypeError, match="traceparent: a str is wanted, not int"):
        client.with_options(traceparent=7)


def test_names_and_numbers_that_are_none(client: madrpc.Client) -> None:
    wrong: Any = 7
    for call in (client.call, client.call_with_bill, lambda name: list(client.map(name, [1]))):
        with pytest.raises(TypeError, match="function: a str is wanted, not int"):
            call(wrong)
    with madrpc.Executor(client) as executor, pytest.raises(TypeError, match="function: a str is wanted"):
        executor.submit(wrong).result()
    with pytest.raises(TypeError, match="address: a str is wanted, not int"):
        madrpc.connect(wrong)
    wrong = 1.5
    with pytest.raises(TypeError, match="concurrency: a whole number is wanted, not float"):
        client.map("echo", [1], concurrency=wrong)
    with pytest.raises(ValueError, match="concurrency: 0"):
        client.map("echo", [1], concurrency=0)
    many: Any
    for many in (10**30, np.int64(7)):
        assert list(client.map("echo", [1], concurrency=many)) == [1]


def test_what_javascript_throws(client: madrpc.Client) -> None:
    with pytest.raises(madrpc.JavaScriptError) as raised:
        client.call("fail", code=7)
    error = raised.value
    assert str(error) == error.message == "RangeError: out of range"
    assert error.kind == "JavaScript"
    assert error.data == {"name": "RangeError", "message": "out of range", "code": 7}
    assert error.stack is not None and "script.js:" in error.stack
    assert error.may_have_run
    assert error.retry_after is None
    assert error.bill is not None and error.bill.slices >= 1
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.data, again.bill) == (type(error), error.data, error.bill)


@pytest.mark.parametrize(
    "function, kind",
    [
        ("nobody", madrpc.NoSuchFunction),
        ("forever", madrpc.CpuLimit),
        ("fill", madrpc.MemoryLimit),
        ("recurse", madrpc.StackLimit),
        ("big", madrpc.PayloadTooLarge),
    ],
)
def test_kinds_of_errors(client: madrpc.Client, function: str, kind: type[madrpc.Error]) -> None:
    with pytest.raises(kind) as raised:
        client.call(function)
    assert isinstance(raised.value, madrpc.Error)
    assert type(raised.value).__name__.startswith(raised.value.kind)


def test_one_who_comes_when_others_wait(client: madrpc.Client) -> None:
    with pytest.raises(madrpc.Overloaded) as raised:
        list(client.map("one", [500] * 20))
    assert not raised.value.may_have_run


def test_nobody_there(authority: None) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        client = madrpc.connect(f"127.0.0.1:{silent.getsockname()[1]}", timeout=0.3)
        with pytest.raises((madrpc.DeadlineExceeded, madrpc.Unavailable)) as raised:
            client.call("echo", 1)
        assert not raised.value.may_have_run


def test_an_address_that_is_none(authority: None) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        madrpc.connect("nowhere")


def test_connections_that_are_too_many(cluster: madrpc.Cluster) -> None:
    for wrong in (0, -1, 10_001, 2**70):
        with pytest.raises(ValueError, match="connections: from 1 to 10000 with each server"):
            cluster.connect(connections=wrong)
    with pytest.raises(TypeError):
        cluster.connect(connections=1.5)
    with cluster.connect(connections=3) as client:
        assert client.call("echo", 1) == 1


def test_certificates(cluster: madrpc.Cluster, tmp_path: object) -> None:
    ca, out = f"{tmp_path}/ca", f"{tmp_path}/out"
    subprocess.run([command(), "tls", "init", ca, "--name", "another fleet"], check=True, capture_output=True)
    subprocess.run([command(), "tls", "issue", "client", "me", "--ca", ca, "--out", out], check=True, capture_output=True)
    files = {f"tls_{name}": f"{out}/client/{name}.pem" for name in ("ca", "cert", "key")}
    for stranger in (cluster.connect(tls_dir=f"{out}/client"), cluster.connect(**files)):
        with pytest.raises(madrpc.Unauthorized), stranger:
            stranger.call("echo", 1)
    with pytest.raises(OSError, match="nothing-there"):
        cluster.connect(tls_dir=f"{tmp_path}/nothing-there")
    with pytest.raises(ValueError, match="give tls_dir, or tls_ca, tls_cert and tls_key together"):
        cluster.connect(tls_ca=files["tls_ca"])


def test_others_run_while_a_call_is_waited_for(client: madrpc.Client) -> None:
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(client.call("sleep", 300))) for _ in range(8)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    turns = 0
    while time.monotonic() < begun + 0.2:
        turns += 1
    # Whoever held the GIL would leave none.
    assert turns > 100
    for thread in threads:
        thread.join()
    assert results == [300] * 8
    # One after the other, they would take 2.4 s.
    assert time.monotonic() - begun < 2


def test_a_client_that_is_closed(cluster: madrpc.Cluster) -> None:
    with cluster.connect() as client:
        assert client.call("echo", 1) == 1
    client.close()
    with pytest.raises(RuntimeError, match="the client is closed"):
        client.call("echo", 1)


def test_beside_another_tls_library(program: object) -> None:
    text = """
        import hashlib, ssl
        context = ssl.create_default_context()
        assert c.call("echo", 1) == 1
        print(hashlib.sha256(b"").hexdigest()[:8], context.verify_mode.name, ssl.OPENSSL_VERSION.split()[0])
    """
    assert program.run(text) == (0, "e3b0c442 CERT_REQUIRED OpenSSL\n", "")  # type: ignore[attr-defined]
