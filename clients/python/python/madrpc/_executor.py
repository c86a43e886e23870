"""Calls as `concurrent.futures`."""

from __future__ import annotations

import concurrent.futures
import os
import queue
import threading
from typing import Any

from . import _native
from ._client import Client
from ._options import bound

#: How long the thread waits at most before it looks whether the program is about to end.
_LOOK_SECONDS = 0.25

_Job = tuple["concurrent.futures.Future[Any]", str, tuple[Any, ...], dict[str, Any]]


class Executor(concurrent.futures.Executor):
    """An executor whose `submit` takes the name of a function and what it is called with.

    At most `concurrency` calls are under way, and the rest wait here. A future that waits can be cancelled. Calls that nobody has
    waited for when the program ends are cancelled: use it in a ``with``, or call `shutdown`.
    """

    def __init__(self, client: Client, concurrency: int = 512) -> None:
        self._client = client
        self._concurrency = bound(concurrency)
        self._is_shut = False
        self._gives_up = False
        self._forget()

    def _forget(self) -> None:
        """What was submitted before a fork is the other process's."""
        self._process = os.getpid()
        self._lock = threading.Lock()
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._waiting: _native.Thread | None = None

    def submit(self, function: str, /, *args: Any, **kwargs: Any) -> concurrent.futures.Future[Any]:  # type: ignore[override]
        """Calls a function; arguments and errors are those of `Client.call`."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        if self._process != os.getpid():
            self._forget()
        calls = self._client._sessions.get().calls
        with self._lock:
            if self._is_shut:
                raise RuntimeError("cannot submit after shutdown")
            self._jobs.put((future, function, args, kwargs))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, args=(calls(),), name="madrpc-executor")
                self._thread.start()
            waiting = self._waiting
        if waiting is not None:
            waiting.wake()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more; waits for the calls that were submitted, or cancels those that are not begun."""
        if self._process != os.getpid():
            self._forget()
        with self._lock:
            self._is_shut = True
            self._gives_up |= cancel_futures
            thread, waiting = self._thread, self._waiting
        if waiting is not None:
            waiting.wake()
        if wait and thread is not None:
            thread.join()

    def _run(self, calls: _native.Calls) -> None:
        futures: dict[int, concurrent.futures.Future[Any]] = {}
        number = 0
        with self._lock:
            self._waiting = _native.this_thread()
        while True:
            if self._gives_up or not threading.main_thread().is_alive():
                self._cancel_waiting()
                if not threading.main_thread().is_alive():
                    for future in futures.values():
                        future.set_exception(concurrent.futures.CancelledError())
                    return
            while len(futures) < self._concurrency and (job := self._next()) is not None:
                future, function, args, kwargs = job
                if not future.set_running_or_notify_cancel():
                    continue
                number += 1
                try:
                    calls.begin(number, function, args, kwargs, self._client._options.native)
                    futures[number] = future
                except BaseException as error:
                    future.set_exception(error)
            if not futures:
                with self._lock:
                    if self._jobs.empty():
                        self._thread = self._waiting = None
                        return
                continue
            for ended, returned, payload, _ in calls.wait(_LOOK_SECONDS):
                future = futures.pop(ended)
                if returned:
                    future.set_result(payload)
                else:
                    future.set_exception(payload)

    def _next(self) -> _Job | None:
        try:
            return self._jobs.get_nowait()
        except queue.Empty:
            return None

    def _cancel_waiting(self) -> None:
        while (job := self._next()) is not None:
            job[0].cancel()
            job[0].set_running_or_notify_cancel()
