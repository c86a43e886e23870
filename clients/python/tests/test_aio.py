"""The same for asyncio."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

import madrpc


def test_calls(cluster: madrpc.Cluster) -> None:
    async def main() -> None:
        async with await madrpc.aio.connect(cluster.address) as client:
            assert await client.call("add", a=1, b=2) == 3
            assert (await client.call_with_bill("echo", 1)).bill.slices >= 1
            many = await asyncio.gather(*(client.call("echo", number) for number in range(2000)))
            assert many == list(range(2000))
            with pytest.raises(madrpc.JavaScriptError, match="out of range"):
                await client.call("fail", code=1)
            with pytest.raises(TypeError, match=r"^args\[0\]: a set cannot travel"):
                await client.call("echo", [{1}])
            with pytest.raises(madrpc.DeadlineExceeded):
                await client.with_options(timeout=0.05).call("sleep", 20_000)

    asyncio.run(main())


def test_nothing_blocks_the_loop(cluster: madrpc.Cluster) -> None:
    async def main() -> int:
        client = await madrpc.aio.connect(cluster.address)
        call = asyncio.create_task(client.call("sleep", 300))
        turns = 0
        while not call.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert asyncio.run(main()) > 100


def test_a_task_that_is_cancelled_cancels_its_call(cluster: madrpc.Cluster) -> None:
    async def main() -> None:
        client = await madrpc.aio.connect(cluster.address)
        for _ in range(4):
            # A function that takes one at a time, and lets one wait.
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.call("one", 20_000), 0.2)
        assert await client.with_options(timeout=15).call("one", 1) == 1

    asyncio.run(main())


def test_a_client_goes_from_loop_to_loop(cluster: madrpc.Cluster) -> None:
    client = asyncio.run(madrpc.aio.connect(cluster.address))
    for number in range(3):
        assert asyncio.run(client.call("echo", number)) == number


@pytest.mark.parametrize("ordered", [True, False])
def test_map(cluster: madrpc.Cluster, ordered: bool) -> None:
    async def items(count: int) -> AsyncIterator[int]:
        for number in range(count):
            if number % 100 == 0:
                await asyncio.sleep(0.001)
            yield number

    async def broken() -> AsyncIterator[int]:
        yield 1
        raise LookupError("no more")

    async def main() -> None:
        client = await madrpc.aio.connect(cluster.address)
        for given in (range(3000), items(3000)):
            results = [result async for result in client.map("echo", given, ordered=ordered, concurrency=64)]
            assert sorted(results) == list(range(3000))
            assert not ordered or results == list(range(3000))
        assert [result async for result in client.map("echo", items(0))] == []
        with pytest.raises(LookupError):
            async for result in client.map("echo", broken(), ordered=ordered):
                assert result == 1
        with pytest.raises(madrpc.JavaScriptError):
            async for _ in client.map("odd", [1, 2], ordered=ordered):
                pass
        both = [result async for result in client.map("odd", [1, 2], return_exceptions=True)]
        assert [type(result) for result in both] == [int, madrpc.JavaScriptError]

    asyncio.run(main())


@pytest.mark.parametrize("ordered", [True, False])
def test_a_source_that_was_cancelled_ends_its_map(cluster: madrpc.Cluster, ordered: bool) -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        gone = asyncio.get_running_loop().create_future()
        gone.cancel()
        await gone

    async def main() -> None:
        client = await madrpc.aio.connect(cluster.address)
        begun = time.monotonic()
        with pytest.raises(asyncio.CancelledError):
            async with asyncio.timeout(20):
                async for _ in client.map("echo", source(), ordered=ordered):
                    pass
        assert time.monotonic() - begun < 15
        assert await client.call("echo", 1) == 1

    asyncio.run(main())


def test_a_call_that_cannot_begin_leaves_nothing_on_the_loop(cluster: madrpc.Cluster) -> None:
    async def main() -> None:
        client = await madrpc.aio.connect(cluster.address)
        loop = asyncio.get_running_loop()
        readers: list[Any] = []
        loop.add_reader = lambda *reader: readers.append(reader)  # type: ignore[method-assign]
        with pytest.raises(TypeError):
            await client.call("echo", {1})
        assert readers == []

    asyncio.run(main())


def test_a_map_that_is_cancelled_cancels_its_calls(cluster: madrpc.Cluster) -> None:
    async def main() -> None:
        client = await madrpc.aio.connect(cluster.address)

        async def wait() -> None:
            async for _ in client.map("one", [20_000, 20_000]):
                pass

        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wait(), 0.2)
        assert await client.with_options(timeout=15).call("one", 1) == 1

    begun = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - begun < 19
