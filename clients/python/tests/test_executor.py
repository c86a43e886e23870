"""Calls as futures."""

from __future__ import annotations

import concurrent.futures
import threading
import time

import pytest

import madrpc


def test_futures(client: madrpc.Client) -> None:
    with madrpc.Executor(client) as executor:
        futures = [executor.submit("echo", number) for number in range(2000)]
        assert [future.result() for future in futures] == list(range(2000))
        assert executor.submit("add", a=1, b=2).result() == 3
        assert list(executor.map("echo", range(100))) == list(range(100))  # type: ignore[arg-type]
        slow, quick = executor.submit("sleep", 400), executor.submit("sleep", 1)
        assert next(concurrent.futures.as_completed([slow, quick])) is quick
        with pytest.raises(madrpc.JavaScriptError):
            executor.submit("fail", code=1).result()
        with pytest.raises(TypeError, match="a set cannot travel"):
            executor.submit("echo", {1}).result()
    # It waits for them.
    assert slow.done()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit("echo", 1)


def test_a_client_that_is_closed(cluster: madrpc.Cluster) -> None:
    client = cluster.connect()
    executor = madrpc.Executor(client)
    assert executor.submit("echo", 1).result() == 1
    slow = executor.submit("sleep", 25_000)
    while not slow.running():
        time.sleep(0.01)
    time.sleep(0.1)
    client.close()
    with pytest.raises(madrpc.Error):
        slow.result(20)
    with pytest.raises(RuntimeError, match="the client is closed"):
        executor.submit("echo", 1)


def test_one_after_the_other(client: madrpc.Client) -> None:
    with madrpc.Executor(client, concurrency=1) as executor:
        for number in range(20):
            assert executor.submit("echo", number).result() == number


def test_a_future_that_waits_is_cancelled(client: madrpc.Client) -> None:
    executor = madrpc.Executor(client, concurrency=1)
    first = executor.submit("sleep", 300)
    waiting = [executor.submit("sleep", 20_000) for _ in range(3)]
    while not first.running():
        time.sleep(0.01)
    assert waiting[0].cancel()
    executor.shutdown(cancel_futures=True)
    assert first.result() == 300
    assert all(future.cancelled() for future in waiting)


def test_threads_submit_together(client: madrpc.Client) -> None:
    results: list[int] = []
    with madrpc.Executor(client, concurrency=16) as executor:

        def submit(first: int) -> None:
            futures = [executor.submit("echo", first + number) for number in range(200)]
            results.extend(future.result() for future in futures)

        threads = [threading.Thread(target=submit, args=(first * 1000,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(results) == [first * 1000 + number for first in range(4) for number in range(200)]
