"""The items of a function that streams."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import _native
from ._errors import Bill


class Ended:
    """What a stream has when it has ended."""

    def __init__(self, native: _native.Stream) -> None:
        self._native = native

    @property
    def result(self) -> Any:
        """What the function returned after its last item; all of it where the function is no generator. `RuntimeError` before the
        end, and where there was none: the stream failed, or was closed."""
        return self._native.reply()[0]

    @property
    def bill(self) -> Bill:
        """What the call cost, as `result`; the bill of one that failed is its error's."""
        return self._native.reply()[1]


class Stream(Ended, Iterator[Any]):
    """The items of a call, as they come. `Client.stream` makes one.

    An error of the call is raised after the items before it. Closed, dropped or left by an exception of its own, as Ctrl-C's, it
    cancels the call on the node; one that is only not read has the function wait, until its deadline. One thread at a time takes
    items, and no fork does.
    """

    def __next__(self) -> Any:
        return self._native.next()

    def close(self) -> None:
        """Cancels the call, where it has not ended; there are no more items."""
        self._native.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
