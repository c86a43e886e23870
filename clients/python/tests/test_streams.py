"""Functions that stream. The cluster's address is that of its orchestrator: all items come through one."""

from __future__ import annotations

import asyncio
import datetime
import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import madrpc

#: What a function is ahead of who takes nothing: 256 items, and the one that it waits with. The rest is for the count's own sake.
AHEAD = 260


def test_all_items_come_in_order_and_then_the_result(client: madrpc.Client) -> None:
    items = client.stream("count", 100_000)
    for expected, item in enumerate(items):
        assert item == expected
        if item == 7:
            with pytest.raises(RuntimeError, match="has not ended"):
                items.result
    assert expected == 99_999
    assert items.result == "counted"
    assert items.bill.cpu_us > 0 and items.bill.slices > 1
    assert list(items) == [] and next(items, "end") == "end"
    assert isinstance(items, Iterator)


def test_a_function_that_is_no_generator_has_a_result_alone(client: madrpc.Client) -> None:
    items = client.stream("add", a=1, b=2)
    assert list(items) == []
    assert items.result == 3 and items.bill.slices >= 1
    nothing = client.stream("count", 0)
    assert list(nothing) == [] and nothing.result == "counted"


def test_a_call_of_a_function_that_streams_says_what_to_do(client: madrpc.Client) -> None:
    with pytest.raises(madrpc.JavaScriptError, match="the function streams: call it so .`stream` of a client"):
        client.call("count", 3)


def test_arguments_and_options(client: madrpc.Client) -> None:
    assert list(client.stream("slowly", n=2, ms=1, timeout=20, key="user-7")) == [0, 1]
    assert list(client.stream("slowly", {"n": 2, "ms": 1})) == [0, 1]
    with pytest.raises(TypeError, match=r"^args\.n: a set cannot travel"):
        client.stream("slowly", n={1})
    with pytest.raises(ValueError, match="timeout: 0 is no time to wait"):
        client.stream("count", 1, timeout=0)
    with pytest.raises(TypeError, match="function: a str is wanted"):
        client.stream(1)  # type: ignore[arg-type]
    with pytest.raises(madrpc.BadArguments, match="the key has"):
        next(client.stream("count", 1, key="k" * 5000))
    with pytest.raises(madrpc.NoSuchFunction):
        next(client.stream("nowhere"))


def test_an_error_comes_after_what_was_yielded_before_it(client: madrpc.Client) -> None:
    items = client.stream("breaks", 1000)
    taken = []
    with pytest.raises(madrpc.JavaScriptError, match="no more") as raised:
        for item in items:
            taken.append(item)
    assert taken == list(range(1000))
    assert raised.value.bill is not None and raised.value.data["name"] == "RangeError"
    assert list(items) == []
    with pytest.raises(RuntimeError, match="closed, or failed, before its end"):
        items.bill


def test_the_deadline_is_that_of_all_of_it(client: madrpc.Client) -> None:
    taken = []
    with pytest.raises(madrpc.DeadlineExceeded):
        for item in client.stream("slowly", n=1_000_000, ms=1, timeout=0.5):
            taken.append(item)
    assert taken == list(range(len(taken)))
    # Of one that waits for its reader too.
    items = client.with_options(timeout=0.3).stream("endless")
    time.sleep(0.6)
    taken = []
    with pytest.raises(madrpc.DeadlineExceeded):
        for item in items:
            taken.append(item)
    assert len(taken) <= AHEAD


def test_a_function_waits_for_who_takes_nothing(client: madrpc.Client) -> None:
    items = client.stream("endless")
    next(items)
    time.sleep(0.5)
    # The others are served meanwhile.
    assert client.call("echo", 1) == 1
    # Whole, as the items say it: what is made within this millisecond is none of those before.
    until = int(time.time() * 1000)
    made = 1
    while next(items) < until:
        made += 1
    assert made <= AHEAD
    # It goes on.
    assert all(next(items) >= until for _ in range(2000))


def leave(client: madrpc.Client, way: str) -> None:
    items = client.stream("alone")
    if way == "close":
        assert next(items) == 0
        items.close()
        assert list(items) == []
        items.close()
    elif way == "with":
        with items as same:
            assert same is items and next(same) == 0
        assert next(items, None) is None
    elif way == "drop":
        assert next(items) == 0
        del items
        gc.collect()
    elif way == "break":
        for _ in items:
            break
    else:
        with pytest.raises(LookupError):
            for _ in items:
                raise LookupError


@pytest.mark.parametrize("way", ["close", "with", "drop", "break", "raise"])
def test_left_early_it_gives_its_place_back(client: madrpc.Client, way: str) -> None:
    # A function that runs once at a time, and lets one wait.
    for _ in range(20):
        leave(client, way)
        # The last one's end may be on its way.
        if way == "break":
            gc.collect()
    assert next(client.stream("alone", timeout=20)) == 0


def test_nothing_is_left_of_a_stream_that_was_closed(client: madrpc.Client) -> None:
    items = client.stream("count", 10)
    items.close()
    assert list(items) == []
    with pytest.raises(RuntimeError, match="closed, or failed, before its end"):
        items.result
    # One that has ended keeps what it has.
    with client.stream("count", 10) as ended:
        assert len(list(ended)) == 10
    assert ended.result == "counted"


def test_typed_arrays_are_numpy_arrays(client: madrpc.Client) -> None:
    items = client.stream("blocks", 50)
    for at, item in enumerate(items):
        assert item["at"] == at and item["block"].dtype == np.float64
        assert (item["block"] == np.full(50, at)).all()
    assert items.result.tolist() == [50]
    large = list(client.stream("blocks", 1000))
    assert [item["block"][-1] for item in large] == list(range(1000))


def test_an_item_that_python_cannot_hold_ends_it(client: madrpc.Client) -> None:
    items = client.stream("oddDates")
    assert next(items) == datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    with pytest.raises(ValueError, match="a date came back that datetime has not"):
        next(items)
    assert list(items) == []
    items = client.stream("farDate")
    assert next(items) == 1
    with pytest.raises(ValueError, match="a date came back that datetime has not"):
        next(items)
    assert next(items, "end") == "end"


def test_others_run_while_one_waits(client: madrpc.Client) -> None:
    items = client.stream("slowly", n=1, ms=700)
    thread = threading.Thread(target=lambda: list(items))
    thread.start()
    turns = 0
    while thread.is_alive():
        turns += 1
        time.sleep(0.001)
        if turns == 20:
            with pytest.raises(RuntimeError, match="another thread waits for the next item"):
                items.close()
    assert turns > 20


def test_many_at_once(client: madrpc.Client) -> None:
    streams = [client.stream("count", 2000) for _ in range(8)]
    for expected in range(2000):
        assert [next(items) for items in streams] == [expected] * 8
    assert all(next(items, None) is None and items.result == "counted" for items in streams)


def test_a_loop(cluster: madrpc.Cluster) -> None:
    async def main() -> None:
        async with await madrpc.aio.connect(cluster.address) as client:
            items = client.stream("count", 20_000)
            assert [item async for item in items] == list(range(20_000))
            assert items.result == "counted" and items.bill.cpu_us > 0
            assert [item async for item in items] == []
            assert [item async for item in client.stream("slowly", n=3, ms=20)] == [0, 1, 2]
            plain = client.stream("echo", 5)
            assert [item async for item in plain] == [] and plain.result == 5
            taken = []
            with pytest.raises(madrpc.JavaScriptError, match="no more"):
                async for item in client.stream("breaks", 300):
                    taken.append(item)
            assert taken == list(range(300))
            with pytest.raises(madrpc.DeadlineExceeded):
                async for item in client.stream("slowly", n=1, ms=20_000, timeout=0.2):
                    pass
            async with client.stream("endless") as endless:
                assert await anext(endless) > 0
            assert [item async for item in endless] == []

    asyncio.run(main())


def test_others_of_the_loop_have_their_turn(cluster: madrpc.Cluster) -> None:
    async def main() -> int:
        client = await madrpc.aio.connect(cluster.address)
        turns = 0

        async def turn() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        others = asyncio.create_task(turn())
        async for item in client.stream("count", 20_000):
            pass
        others.cancel()
        return turns

    assert asyncio.run(main()) >= 20_000 // 64


def test_a_task_that_is_cancelled_cancels_its_stream(cluster: madrpc.Cluster) -> None:
    async def take(items: Any) -> None:
        async for _ in items:
            pass

    async def main() -> None:
        client = await madrpc.aio.connect(cluster.address)
        for _ in range(5):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(take(client.stream("alone")), 0.1)
        waits = client.stream("slowly", n=1, ms=20_000)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(waits), 0.1)
        assert [item async for item in waits] == []
        assert await anext(client.stream("alone", timeout=20)) == 0

    asyncio.run(main())


def test_who_waits_is_told_that_it_was_closed(cluster: madrpc.Cluster) -> None:
    async def main() -> None:
        client = await madrpc.aio.connect(cluster.address)
        items = client.stream("slowly", n=1, ms=20_000)
        waits = asyncio.create_task(anext(items, "end"))
        await asyncio.sleep(0.1)
        with pytest.raises(RuntimeError, match="another task waits"):
            await anext(items)
        await items.aclose()
        async with asyncio.timeout(10):
            assert await waits == "end"

    asyncio.run(main())
