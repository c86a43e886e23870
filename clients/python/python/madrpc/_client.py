"""The client that waits."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import Any, NamedTuple

from ._errors import Bill
from ._options import Options, Sessions, Target, bound
from ._progress import Bar
from ._stream import Stream


class Reply(NamedTuple):
    """What came back for a call."""

    result: Any
    bill: Bill


class Client:
    """Calls functions. Threads can share it; `connect` makes one.

    A call takes keywords, which are the properties of the function's argument, or one value, which is the argument itself, or
    nothing, which is ``undefined``.
    """

    def __init__(self, sessions: Sessions, options: Options) -> None:
        self._sessions = sessions
        self._options = options

    def call(self, function: str, /, *args: Any, **kwargs: Any) -> Any:
        """Calls a function, and waits for its result.

        Raises `Error`, by its kind, and `TypeError` where a value cannot travel, with the way to it.
        """
        return self._sessions.get().call(function, args, kwargs, self._options.native, False)

    def call_with_bill(self, function: str, /, *args: Any, **kwargs: Any) -> Reply:
        """As `call`, with what the call cost."""
        reply = self._sessions.get().call(function, args, kwargs, self._options.native, True)
        return Reply(*reply)

    def map(
        self,
        function: str,
        items: Iterable[Any],
        /,
        *,
        concurrency: int = 512,
        ordered: bool = True,
        progress: bool = False,
        return_exceptions: bool = False,
    ) -> Generator[Any, None, None]:
        """Calls a function for each item, and gives the results, in the order of the items or as they come.

        Nothing is begun before the first result is asked for. At most `concurrency` calls are under way; items are taken as
        there is room, and in order at most eight times as many are ahead of the result that comes next. The first error ends
        it, unless `return_exceptions` gives errors in the place of results. Left early, it cancels what is under way.
        `progress` shows a bar, where tqdm is installed.
        """
        concurrency = bound(concurrency)
        return self._map(function, items, concurrency, ordered, progress, return_exceptions)

    def _map(
        self,
        function: str,
        items: Iterable[Any],
        concurrency: int,
        ordered: bool,
        progress: bool,
        return_exceptions: bool,
    ) -> Generator[Any, None, None]:
        native = self._sessions.get().map(
            function, iter(items), self._options.native, concurrency, ordered, return_exceptions
        )
        try:
            with Bar(function, items, progress) as bar:
                while (batch := native.next_batch()) is not None:
                    yield from batch
                    bar.update(len(batch))
        finally:
            native.cancel()

    def stream(
        self,
        function: str,
        /,
        *args: Any,
        timeout: float | None = None,
        key: str | bytes | None = None,
        **kwargs: Any,
    ) -> Stream:
        """Calls a function that streams, a generator, and gives its items as they come.

        Arguments are those of `call`; `timeout` and `key` are the options of `with_options`, for this stream, and the deadline is
        that of all of it. A property of such a name has to be given in a dict. The function begins at once, and is at most 256
        items, or 4 MiB of large ones, ahead of who takes them.
        """
        options = self._options.chosen(timeout, key)
        return Stream(self._sessions.get().stream(function, args, kwargs, options.native))

    def with_options(self, **options: Any) -> Client:
        """The same client with other options: `timeout`, in seconds until the deadline of each call, `key`: calls of the
        same key go to the same node, where the orchestrator balances by keys, `traceparent`: the trace that its calls belong
        to (W3C Trace Context), and `idempotent`: its calls may run twice, whatever their functions were registered as, so that
        those of an orchestrator that is lost go to another of those given."""
        return Client(self._sessions, self._options.changed(options))

    def close(self) -> None:
        """Ends the sessions, and the calls that are under way. At the end of the program that comes by itself."""
        self._sessions.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<madrpc.Client of {self._sessions.address}>"


def connect(
    address: str,
    *,
    tls_dir: Any = None,
    tls_ca: Any = None,
    tls_cert: Any = None,
    tls_key: Any = None,
    timeout: float | None = None,
    connections: int | None = None,
) -> Client:
    """A client of the orchestrator or node at `address`, ``"HOST:PORT"``, or of several with commas in between.

    It calls as this user, or with the certificates in `tls_dir` (``ca.pem``, ``cert.pem``, ``key.pem``) or in the files `tls_ca`,
    `tls_cert` and `tls_key`. `timeout` is the time until the deadline of calls, in seconds, 30 by default; `connections` how many
    sessions there are with each server, from 1 to 10,000, by default one for each shard of the server. The first call opens them:
    whether anybody is there is not known before.
    """
    target = Target(address, tls_dir, tls_ca, tls_cert, tls_key, connections)
    return Client(Sessions(target), Options().changed({"timeout": timeout}))
