"""How calls are made, besides their functions and arguments."""

from __future__ import annotations

import atexit
import math
import numbers
import os
import sys
import weakref
from dataclasses import dataclass, replace
from typing import Any

from . import _native

#: Seconds until the deadline of calls that name none.
DEFAULT_TIMEOUT = 30.0


@dataclass(frozen=True)
class Target:
    """Whom a client calls, and as whom."""

    address: str
    tls_dir: str | os.PathLike[str] | None
    tls_ca: str | os.PathLike[str] | None
    tls_cert: str | os.PathLike[str] | None
    tls_key: str | os.PathLike[str] | None
    connections: int | None

    def open(self) -> _native.Client:
        return _native.Client(
            self.address, self.tls_dir, self.tls_ca, self.tls_cert, self.tls_key, self.connections
        )


class Sessions:
    """The sessions of a client and all that were made of it. A fork opens its own, at its first call."""

    def __init__(self, target: Target) -> None:
        self._target = target
        #: The calls of an event loop.
        self.pump: Any = None
        self._open(target.open())

    def _open(self, native: _native.Client) -> None:
        self._native: _native.Client | None = native
        self._process = os.getpid()
        _OPEN.add(self)

    def get(self) -> _native.Client:
        if self._native is None:
            raise RuntimeError("the client is closed")
        if self._process != os.getpid():
            self._open(self._target.open())
        return self._native

    def close(self) -> None:
        native, self._native = self._native, None
        if native is not None and self._process == os.getpid():
            native.close()

    @property
    def address(self) -> str:
        return self._target.address


_OPEN: weakref.WeakSet[Sessions] = weakref.WeakSet()


@atexit.register
def _say_goodbye() -> None:
    for sessions in list(_OPEN):
        sessions.close()


@dataclass(frozen=True)
class Options:
    """What `with_options` sets."""

    timeout: float = DEFAULT_TIMEOUT
    key: bytes | None = None
    traceparent: str | None = None
    idempotent: bool = False

    def changed(self, changes: dict[str, Any]) -> Options:
        for name in changes.keys() - {"timeout", "key", "traceparent", "idempotent"}:
            raise TypeError(f"with_options: there is no option {name}; there are timeout, key, traceparent and idempotent")
        if "timeout" in changes:
            changes["timeout"] = seconds(changes["timeout"])
        if "key" in changes:
            changes["key"] = key(changes["key"])
        if "traceparent" in changes:
            changes["traceparent"] = traceparent(changes["traceparent"])
        if "idempotent" in changes:
            changes["idempotent"] = idempotent(changes["idempotent"])
        return replace(self, **changes)

    def chosen(self, timeout: float | None, key: str | bytes | None) -> Options:
        """Those of one call, which may choose its own."""
        given = {"timeout": timeout, "key": key}
        return self.changed({name: value for name, value in given.items() if value is not None})

    @property
    def native(self) -> tuple[float, bytes | None, str | None, bool]:
        return self.timeout, self.key, self.traceparent, self.idempotent


def seconds(timeout: float | None) -> float:
    if timeout is None:
        return DEFAULT_TIMEOUT
    if not isinstance(timeout, numbers.Real):
        raise TypeError(f"timeout: a number of seconds is wanted, not {type(timeout).__name__}")
    if not timeout > 0:
        raise ValueError(f"timeout: {timeout} is no time to wait; give seconds, as in timeout=2.5")
    try:
        return float(timeout)
    except OverflowError:
        return math.inf


def key(key: str | bytes | None) -> bytes | None:
    if isinstance(key, str):
        return key.encode()
    if key is None or isinstance(key, bytes):
        return key
    raise TypeError(f"key: a str is wanted, not {type(key).__name__}")


def traceparent(text: str | None) -> str | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise TypeError(f"traceparent: a str is wanted, not {type(text).__name__}")
    _native.check_traceparent(text)
    return text


def idempotent(may_repeat: bool) -> bool:
    # A text would be true, whatever it says.
    if not isinstance(may_repeat, bool):
        raise TypeError(f"idempotent: a bool is wanted, not {type(may_repeat).__name__}")
    return may_repeat


def bound(concurrency: int) -> int:
    if not isinstance(concurrency, numbers.Integral):
        raise TypeError(f"concurrency: a whole number is wanted, not {type(concurrency).__name__}")
    if concurrency < 1:
        raise ValueError(f"concurrency: {concurrency}; at least 1 call has to be under way")
    return min(int(concurrency), sys.maxsize)
