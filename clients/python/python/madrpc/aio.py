"""The same for asyncio: nothing here blocks the loop. It needs a loop with ``add_reader``, as all of Unix have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterable
from typing import Any

from . import _native
from ._client import Reply
from ._options import Options, Sessions, Target, bound
from ._progress import Bar
from ._stream import Ended

__all__ = ["Client", "Stream", "connect"]

#: Items that a loop is given in a row before its others have their turn.
_TURN = 64


class _Pump:
    """The calls of a client that one loop has under way."""

    def __init__(self, native: _native.Client, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.native = native
        self._calls = native.calls()
        self._futures: dict[int, asyncio.Future[Reply]] = {}
        self._number = 0
        self._file: int | None = None

    async def call(
        self, function: str, args: tuple[Any, ...], kwargs: dict[str, Any], options: Options
    ) -> Reply:
        number = self._number = self._number + 1
        self._calls.begin(number, function, args, kwargs, options.native)
        future: asyncio.Future[Reply] = self.loop.create_future()
        self._futures[number] = future
        try:
            if self._file is None:
                file = self._calls.fileno()
                self.loop.add_reader(file, self._deliver)
                self._file = file
            # The descriptor tells of what was looked for before.
            if len(self._futures) == 1:
                self._deliver()
            return await future
        finally:
            if self._futures.pop(number, None) is not None:
                self._calls.cancel(number)
            if not self._futures:
                self.stop()

    def _deliver(self) -> None:
        while told := self._calls.poll():
            for number, returned, payload, bill in told:
                future = self._futures.pop(number, None)
                if future is None or future.done():
                    continue
                if returned and bill is not None:
                    future.set_result(Reply(payload, bill))
                else:
                    future.set_exception(payload)

    def stop(self) -> None:
        """No loop is held by a client that does nothing."""
        if self._file is not None:
            self.loop.remove_reader(self._file)
            self._file = None


class Stream(Ended, AsyncIterator[Any]):
    """The items of a call, as `madrpc.Stream`, for ``async for``. A task that is cancelled where it waits for one cancels the call."""

    def __init__(self, native: _native.Stream) -> None:
        super().__init__(native)
        self._heard: asyncio.Future[None] | None = None
        self._is_waited_for = False
        self._taken = 0

    async def __anext__(self) -> Any:
        if self._is_waited_for:
            raise RuntimeError("another task waits for the next item of this stream")
        self._is_waited_for = True
        try:
            self._taken += 1
            if self._taken % _TURN == 0:
                await asyncio.sleep(0)
            while (item := self._native.poll()) is None:
                await self._hear()
            return item[0]
        except asyncio.CancelledError:
            self._native.close()
            raise
        finally:
            self._is_waited_for = False

    async def _hear(self) -> None:
        loop, file = asyncio.get_running_loop(), self._native.fileno()
        self._heard = loop.create_future()
        # For that time only: a loop that held it would keep a stream that nobody has.
        loop.add_reader(file, self._wake)
        try:
            await self._heard
        finally:
            loop.remove_reader(file)
            self._heard = None

    def _wake(self) -> None:
        if self._heard is not None and not self._heard.done():
            self._heard.set_result(None)

    async def aclose(self) -> None:
        """Cancels the call, where it has not ended; there are no more items."""
        self._native.close()
        self._wake()

    async def __aenter__(self) -> Stream:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class Client:
    """Calls functions in an event loop. `connect` makes one; the calls of several loops do not mix.

    A task that is cancelled cancels its call, on the node too.
    """

    def __init__(self, sessions: Sessions, options: Options) -> None:
        self._sessions = sessions
        self._options = options

    def _of_loop(self) -> _Pump:
        loop, native = asyncio.get_running_loop(), self._sessions.get()
        pump: _Pump | None = self._sessions.pump
        if pump is None or pump.loop is not loop or pump.native is not native:
            pump = self._sessions.pump = _Pump(native, loop)
        return pump

    async def call(self, function: str, /, *args: Any, **kwargs: Any) -> Any:
        """Calls a function; the result is awaited. Arguments and errors are those of `madrpc.Client.call`."""
        return (await self._of_loop().call(function, args, kwargs, self._options)).result

    async def call_with_bill(self, function: str, /, *args: Any, **kwargs: Any) -> Reply:
        """As `call`, with what the call cost."""
        return await self._of_loop().call(function, args, kwargs, self._options)

    async def map(
        self,
        function: str,
        items: Iterable[Any] | AsyncIterable[Any],
        /,
        *,
        concurrency: int = 512,
        ordered: bool = True,
        progress: bool = False,
        return_exceptions: bool = False,
    ) -> AsyncGenerator[Any, None]:
        """As `madrpc.Client.map`, for ``async for``; the items may come asynchronously too."""
        concurrency = bound(concurrency)
        pushed = aiter(items) if isinstance(items, AsyncIterable) else None
        given = None if isinstance(items, AsyncIterable) else iter(items)
        native = self._sessions.get().map(
            function, given, self._options.native, concurrency, ordered, return_exceptions
        )
        loop = asyncio.get_running_loop()
        heard, file = asyncio.Event(), native.fileno()
        loop.add_reader(file, heard.set)
        feeder: asyncio.Task[None] | None = None
        room = asyncio.Event()

        async def feed(source: AsyncIterator[Any]) -> None:
            try:
                async for item in source:
                    native.push(item)
                    heard.set()
                    while native.wants() == 0:
                        room.clear()
                        await room.wait()
                native.finish()
            except Exception as error:
                native.finish(error)
            except BaseException as error:
                # As CancelledError, which is the source's own where nobody has cancelled this task.
                native.finish(error)
                raise
            finally:
                heard.set()

        try:
            if pushed is not None:
                feeder = asyncio.create_task(feed(pushed))
            with Bar(function, items, progress) as bar:
                while True:
                    heard.clear()
                    polled = native.poll()
                    if polled is None:
                        return
                    results, is_more = polled
                    room.set()
                    for result in results:
                        yield result
                    bar.update(len(results))
                    if is_more:
                        # The loop's others have their turn.
                        await asyncio.sleep(0)
                    else:
                        await heard.wait()
        finally:
            loop.remove_reader(file)
            native.cancel()
            if feeder is not None:
                feeder.cancel()

    def stream(
        self,
        function: str,
        /,
        *args: Any,
        timeout: float | None = None,
        key: str | bytes | None = None,
        **kwargs: Any,
    ) -> Stream:
        """As `madrpc.Client.stream`, for ``async for``."""
        options = self._options.chosen(timeout, key)
        return Stream(self._sessions.get().stream(function, args, kwargs, options.native))

    def with_options(self, **options: Any) -> Client:
        """The same client with other options: `timeout`, `key`, `traceparent` and `idempotent`, see `madrpc.Client.with_options`."""
        return Client(self._sessions, self._options.changed(options))

    async def close(self) -> None:
        """Ends the sessions, and the calls that are under way."""
        await asyncio.to_thread(self._sessions.close)

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<madrpc.aio.Client of {self._sessions.address}>"


async def connect(
    address: str,
    *,
    tls_dir: Any = None,
    tls_ca: Any = None,
    tls_cert: Any = None,
    tls_key: Any = None,
    timeout: float | None = None,
    connections: int | None = None,
) -> Client:
    """As `madrpc.connect`, for asyncio."""
    options = Options().changed({"timeout": timeout})
    target = Target(address, tls_dir, tls_ca, tls_cert, tls_key, connections)
    return Client(await asyncio.to_thread(Sessions, target), options)
