"""What is no `Exception` comes while something is decoded: it is nobody's result."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

import madrpc

NOW = datetime.datetime(2024, 2, 29, tzinfo=datetime.timezone.utc)


class Stop(BaseException):
    """As a handler of a signal might raise."""


@contextlib.contextmanager
def raised_in(function: str, stop: type[BaseException]) -> Iterator[None]:
    """Raised where this function of Python's is called first."""

    def profile(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_name == function:
            sys.setprofile(None)
            raise stop

    sys.setprofile(profile)
    try:
        yield
    finally:
        sys.setprofile(None)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, Stop])
@pytest.mark.parametrize(
    "wait",
    [
        lambda client: client.call("dates"),
        lambda client: client.call("fail", code=NOW),
        lambda client: list(client.map("echo", [NOW], return_exceptions=True)),
        lambda client: list(client.map("echo", [NOW], return_exceptions=True, ordered=False)),
    ],
    ids=["call", "error", "map", "unordered map"],
)
def test_it_is_raised(client: madrpc.Client, stop: type[BaseException], wait: Callable[[Any], Any]) -> None:
    with pytest.raises(stop), raised_in("from_ms", stop):
        wait(client)
    assert client.call("echo", NOW) == NOW


def test_calls_of_a_loop_are_told_the_next_time(cluster: madrpc.Cluster) -> None:
    raised: list[Any] = []

    async def main() -> list[Any]:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context["exception"]))
        client = await madrpc.aio.connect(cluster.address)
        with raised_in("from_ms", Stop):
            return list(await asyncio.gather(client.call("echo", 1), client.call("echo", NOW)))

    assert asyncio.run(main()) == [1, NOW]
    assert [type(error) for error in raised] == [Stop]
