"""What values are on the other side, and that they come back."""

from __future__ import annotations

import array
import datetime
import enum
import math
import pathlib
import subprocess
import sys
from collections import OrderedDict, deque, namedtuple
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import madrpc


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -1, 2**53, -(2**53), 2**53 + 1, 2**63, -(2**64), 10**4000, 0.5, -0.0, math.inf, 1e300,
        "", "text", "é\0😀", b"", b"\0\xff", [], [1, [2, [3]]], {}, {"a": {"b": [None]}}, {"": 1, "__proto__": 2, "a b": 3},
        datetime.datetime(2024, 2, 29, 12, 30, 0, 125000, tzinfo=datetime.timezone.utc),
        datetime.datetime(1, 1, 1, tzinfo=datetime.timezone.utc),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_a_value_comes_back_as_it_was(client: madrpc.Client, value: Any) -> None:
    back = client.call("echo", value)
    assert back == value
    assert type(back) is type(value)


class Color(enum.IntEnum):
    RED = 1


Point = namedtuple("Point", "x y")
RELEASED = memoryview(b"x")
RELEASED.release()
EAST = datetime.timezone(datetime.timedelta(hours=2))


@pytest.mark.parametrize(
    "value, back",
    [
        ((1, 2), [1, 2]),
        (Point(1, 2), [1, 2]),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (Color.RED, 1),
        (np.float64(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(2**60), 2**60),
        (np.bool_(True), True),
        (np.array(1.5), 1.5),
        (np.array({"a": np.array([1], "O")[0]}), {"a": 1}),
        (3.0, 3),
        (datetime.datetime(1970, 1, 1, 2, tzinfo=EAST), datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)),
    ],
)
def test_a_value_comes_back_as_what_it_is_in_javascript(client: madrpc.Client, value: Any, back: Any) -> None:
    assert client.call("echo", value) == back


def test_a_number_that_is_none_comes_back(client: madrpc.Client) -> None:
    assert math.isnan(client.call("echo", math.nan))
    assert list(client.call("echo", {"b": 1, "a": 2})) == ["b", "a"]


@pytest.mark.parametrize(
    "value, kind",
    [
        (None, "null"), (2**53, "Number"), (2**53 + 1, "BigInt"), (1.5, "Number"), (b"x", "ArrayBuffer"),
        (bytearray(b"x"), "Uint8Array"), (memoryview(b"x"), "Uint8Array"), (array.array("d", [1]), "Float64Array"),
        (datetime.datetime.now(datetime.timezone.utc), "Date"), ((), "Array"),
        *((np.zeros(3, dtype), kind) for dtype, kind in [
            ("i1", "Int8Array"), ("u1", "Uint8Array"), ("i2", "Int16Array"), ("u2", "Uint16Array"), ("i4", "Int32Array"),
            ("u4", "Uint32Array"), ("f2", "Float16Array"), ("f4", "Float32Array"), ("f8", "Float64Array"),
            ("i8", "BigInt64Array"), ("u8", "BigUint64Array"),
        ]),
    ],
)  # fmt: skip
def test_what_it_is_in_javascript(client: madrpc.Client, value: Any, kind: str) -> None:
    assert client.call("kind", value) == kind


def test_arguments(client: madrpc.Client) -> None:
    assert client.call("kind") == "Undefined"
    assert client.call("add", a=1, b=2) == 3
    assert client.call("add", {"a": 1, "b": 2}) == 3
    assert client.call("echo", function="f", timeout=1) == {"function": "f", "timeout": 1}
    for args, kwargs in [((1, 2), {}), ((1,), {"a": 2})]:
        with pytest.raises(TypeError, match="a function takes one argument"):
            client.call("echo", *args, **kwargs)


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "u4", "f2", "f4", "f8", "i8", "u8"])
def test_arrays_come_back(client: madrpc.Client, dtype: str) -> None:
    whole = np.arange(100).astype(dtype)
    for sent in (whole, whole[::3], whole[::-1], whole[:0]):
        back = client.call("echo", sent)
        assert back.dtype == dtype
        np.testing.assert_array_equal(back, sent)
        assert back.flags.writeable


def test_arrays_of_javascript(client: madrpc.Client) -> None:
    clamped, half, big = client.call("arrays")
    assert (clamped.dtype, half.dtype, big.dtype) == ("u1", "f2", "u8")
    assert (list(clamped), list(half), list(big)) == ([1, 2], [0.5], [2**63])


def test_a_large_array_comes_back(client: madrpc.Client) -> None:
    sent = np.random.default_rng(1).random(1_000_000)
    np.testing.assert_array_equal(client.call("echo", {"a": sent})["a"], sent)


@pytest.mark.parametrize(
    "value, why",
    [
        ({"rows": [0, 1, 2, {"total": {1}}]}, "args.rows[3].total: a set cannot travel: give a list"),
        ({"a b": {3: 1}}, 'args["a b"]: the key 3 is of the type int, and keys are str'),
        ([object()], "args[0]: a object cannot travel"),
        (np.zeros((2, 2)), "args: an array of 2 dimensions"),
        ([np.array([True])], 'args[0]: an array of elements "?"'),
        (np.zeros(2, ">f8"), 'args: an array of elements ">d"'),
        (np.zeros(2, "c16"), 'args: an array of elements "Zd"'),
        (np.array([None]), 'args: an array of elements "O"'),
        (np.array(["a"]), 'args: an array of elements "1w" of 4 bytes, which no typed array has: give its tolist()'),
        *(
            (date, f"args: a numpy {kind}64 cannot travel: give milliseconds")
            for kind in ("datetime", "timedelta") for unit in ("D", "s", "ns")
            for date in (np.zeros(2, f"{kind}64[{unit}]"), np.array(1, f"{kind}64[{unit}]"), np.ones(1, f"{kind}64[{unit}]")[0])
        ),
        (np.ma.array([1, 2], mask=[False, True]), "args: a masked array cannot travel: give its filled()"),
        ([np.ma.masked], "args[0]: a masked array cannot travel"),
        (np.longdouble(1), "args: a numpy.longdouble cannot travel: give numpy.asarray() of it, converted"),
        (np.complex64(1), "args: a complex cannot travel: give a list of its real and its imag"),
        (np.float64, "args: a type cannot travel"),
        (range(3), "args: a range cannot travel: give a list"),
        (deque([1]), "args: a collections.deque cannot travel: give a list"),
        (pathlib.Path("/"), "args: a pathlib.PosixPath cannot travel: give its str()"),
        ({(1,) * 1000: 1}, f"args: the key {str((1,) * 1000)[:200]}… is of the type tuple, and keys are str"),
        (Decimal(1), "args: a decimal.Decimal cannot travel: give a float or a str"),
        (datetime.date(2024, 1, 1), "args: a datetime.date cannot travel: give a datetime"),
        (datetime.datetime(2024, 1, 1), "args: a datetime without a time zone"),
        ({"a": RELEASED}, "args.a: a memoryview cannot travel: operation forbidden on released memoryview object"),
        (iter([]), "args: a list_iterator cannot travel: give a list, or use map"),
        ("\ud800", "args: a str with half of a surrogate pair"),
        ({"\ud800": 1}, "args: a str with half of a surrogate pair"),
        ([1 << 40_000], "args[0]: a big integer has more than 4096 bytes"),
    ],
)
def test_what_cannot_travel_is_told_with_the_way_to_it(client: madrpc.Client, value: Any, why: str) -> None:
    with pytest.raises(TypeError) as raised:
        client.call("echo", value)
    assert str(raised.value).startswith(why)
    assert client.call("echo", 1) == 1


class Itself:
    """As a scalar of numpy's."""

    dtype, ndim = 1, 0

    def item(self) -> Any:
        return self


class Endless(Itself):
    def item(self) -> Any:
        return AlsoEndless()


class AlsoEndless(Itself):
    def item(self) -> Any:
        return Endless()


@pytest.mark.parametrize("value", [Itself(), Endless()])
def test_a_scalar_is_asked_once_for_what_is_inside(client: madrpc.Client, value: Any) -> None:
    with pytest.raises(TypeError, match=r"args: a \S*(Itself|Endless) cannot travel"):
        client.call("echo", value)
    inside = np.array(None)
    inside[()] = [inside]
    with pytest.raises(TypeError, match="more than 128 lists and dicts are inside each other"):
        client.call("echo", inside)


def test_what_is_too_deep_or_too_large(client: madrpc.Client) -> None:
    deep: list[Any] = []
    deep.append(deep)
    with pytest.raises(TypeError, match="more than 128 lists and dicts are inside each other") as raised:
        client.call("echo", deep)
    assert len(str(raised.value)) < 300
    with pytest.raises(madrpc.PayloadTooLarge, match="larger than 67108864 bytes") as too_large:
        client.call("echo", bytes(65 << 20))
    assert not too_large.value.may_have_run


def test_a_dict_that_changes_while_it_is_read_does_no_harm(client: madrpc.Client) -> None:
    values: dict[str, Any] = {}

    class Scalar(np.ndarray):
        def item(self, *args: Any) -> Any:
            values.update((str(number), 1) for number in range(100))
            return 5

    values.update(a=np.array(1).view(Scalar), b=2)
    assert client.call("echo", values) == {"a": 5, "b": 2}


def test_dates(client: madrpc.Client) -> None:
    assert client.call("dates") == [datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc), None]
    with pytest.raises(ValueError, match="a date came back that datetime has not"):
        client.call("far")


def test_without_numpy(cluster: madrpc.Cluster) -> None:
    text = f"""
import sys; sys.modules["numpy"] = None
import array, madrpc, pickle
c = madrpc.connect({cluster.address!r})
for format in "bBhHiIfdqQ":
    sent = array.array(format, [1, 2])
    back = c.call("echo", sent)
    assert type(back) is array.array and back.typecode == format and back == sent, back
    assert pickle.loads(pickle.dumps(back)) == back
assert c.call("echo", bytearray(b"x")) == array.array("B", b"x")
try: c.call("arrays")
except ImportError as error: assert "Float16Array" in str(error)
else: assert False
"""
    subprocess.run([sys.executable, "-c", text], check=True, timeout=30)
