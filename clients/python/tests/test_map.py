"""A call for each item."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import madrpc


def test_results_are_in_order(client: madrpc.Client) -> None:
    assert list(client.map("random", range(30), concurrency=8)) == list(range(30))
    assert list(client.map("echo", range(5000))) == list(range(5000))
    assert list(client.map("echo", [])) == []
    assert list(client.map("echo", range(10), concurrency=1)) == list(range(10))


def test_results_come_as_they_are_there(client: madrpc.Client) -> None:
    assert next(client.map("sleep", [20_000, 1, 1], ordered=False)) == 1
    assert sorted(client.map("echo", range(5000), ordered=False)) == list(range(5000))


def test_items_are_taken_as_there_is_room(client: madrpc.Client) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in itertools.count():
            taken += 1
            yield number

    results = client.map("echo", items(), concurrency=4)
    assert taken == 0
    assert [next(results) for _ in range(100)] == list(range(100))
    # Eight for each under way, and those of the batch that was given.
    assert taken <= 100 + 4 * 8 + 1024
    slow = client.map("sleep", itertools.chain([500], itertools.repeat(0, 1000)), concurrency=4)
    assert next(slow) == 500
    slow.close()


def test_ordered_results_are_held_for_a_bounded_number(client: madrpc.Client) -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in [700] + [0] * 10_000:
            taken += 1
            yield number

    results = client.map("sleep", items(), concurrency=4)
    assert next(results) == 700
    assert taken <= 4 * 8 + 4 * 8
    results.close()


def test_slow_items_hold_no_result_back(client: madrpc.Client) -> None:
    def items() -> Iterator[int]:
        yield 1
        time.sleep(0.3)
        yield 2
        raise AssertionError("it was asked for more than there was need for")

    results = client.map("echo", items())
    begun = time.monotonic()
    assert next(results) == 1
    assert time.monotonic() - begun < 20
    with pytest.raises(AssertionError):
        assert list(results) == [2]


@pytest.mark.parametrize("ordered", [True, False])
def test_the_first_error_ends_it(client: madrpc.Client, ordered: bool) -> None:
    results = client.map("odd", [1, 3, 5, 6, 7], ordered=ordered, concurrency=1)
    assert [next(results) for _ in range(3)] == [1, 3, 5]
    with pytest.raises(madrpc.JavaScriptError, match="6 is even"):
        next(results)
    assert list(results) == []


@pytest.mark.parametrize("ordered", [True, False])
def test_errors_as_results(client: madrpc.Client, ordered: bool) -> None:
    results = list(client.map("odd", [1, 2, {3}, 5], return_exceptions=True, ordered=ordered))
    if ordered:
        assert [type(result) for result in results] == [int, madrpc.JavaScriptError, TypeError, int]
    assert sorted(type(result).__name__ for result in results) == ["JavaScriptError", "TypeError", "int", "int"]


@pytest.mark.parametrize("ordered", [True, False])
def test_items_that_cannot_travel_or_be_had(client: madrpc.Client, ordered: bool) -> None:
    results = client.map("echo", [1, {"a": {2}}], ordered=ordered)
    with pytest.raises(TypeError, match=r"^item 1: args\.a: a set cannot travel"):
        list(results)

    def items() -> Iterator[int]:
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(client.map("echo", items(), ordered=ordered))
    with pytest.raises(TypeError, match="not iterable"):
        list(client.map("echo", 7))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="concurrency: 0"):
        client.map("echo", [], concurrency=0)
    assert client.call("echo", 1) == 1


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("where", ["items", "item"])
def test_an_interrupt_is_no_result_and_waits_for_none(client: madrpc.Client, ordered: bool, where: str) -> None:
    class Scalar:
        dtype, ndim = 1, 0

        def item(self) -> int:
            raise KeyboardInterrupt

    def items() -> Iterator[Any]:
        yield 25_000
        if where == "items":
            raise KeyboardInterrupt
        yield Scalar()

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        list(client.map("sleep", items(), ordered=ordered, return_exceptions=True))
    assert time.monotonic() - begun < 20


def test_one_that_is_left_early_cancels(client: madrpc.Client) -> None:
    # One is begun before the result before it is given. The function takes one at a time, and lets one wait.
    for _ in range(3):
        results = client.map("one", [0, 20_000], concurrency=1)
        assert next(results) == 0
        results.close()
    assert client.with_options(timeout=15).call("one", 1) == 1


def test_a_bar(client: madrpc.Client, capfd: pytest.CaptureFixture[str]) -> None:
    assert list(client.map("echo", range(100), progress=True)) == list(range(100))
    assert "echo: 100%" in capfd.readouterr().err


def test_arrays(client: madrpc.Client) -> None:
    arrays = [np.full(10_000, number) for number in range(20)]
    for sent, back in zip(arrays, client.map("echo", arrays), strict=True):
        np.testing.assert_array_equal(sent, back)
