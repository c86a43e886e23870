"""A cluster of one's own, for notebooks and tests."""

from __future__ import annotations

import atexit
import contextlib
import os
import pathlib
import re
import shutil
import subprocess
import sys
import threading
import weakref
from collections import deque
from typing import Any

from ._client import Client, connect

_START_SECONDS = 60
#: What is of use at a terminal only.
_HINT = re.compile(r"madrpc: (try|and): ")
_READY = re.compile(r"ready: orchestrator (\S+?);")
_STARTED: weakref.WeakSet[Cluster] = weakref.WeakSet()


def command() -> str:
    """The command `madrpc`: what ``MADRPC_COMMAND`` names, that of this package, or the one in ``PATH``."""
    named = os.environ.get("MADRPC_COMMAND")
    ours = pathlib.Path(__file__).with_name("bin") / "madrpc"
    found = named or (str(ours) if os.access(ours, os.X_OK) else shutil.which("madrpc"))
    if found is None:
        raise FileNotFoundError(
            "there is no command madrpc: install it (make build), and name it in MADRPC_COMMAND or have it in PATH"
        )
    return found


class Cluster:
    """An orchestrator and its nodes on this machine, which run a script, until it is closed.

    ``with madrpc.Cluster("script.js") as cluster: cluster.connect().call(…)``. It is `madrpc dev`, a process of its own: what it
    logs is written to stderr, and a script that is saved is loaded anew. `log=False` keeps the log to itself. Should the program be
    killed, it ends too.
    """

    def __init__(self, script: str | os.PathLike[str], nodes: int = 1, *, log: bool = True) -> None:
        self._process = subprocess.Popen(
            [command(), "dev", os.fspath(script), "--nodes", str(nodes), "--until-stdin-ends"],
            # It ends with this program, however that ends.
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            # Ctrl-C is for the program, which closes it.
            start_new_session=True,
        )
        atexit.register(self.close)
        _STARTED.add(self)
        self._owner = os.getpid()
        self._log = log
        self._last: deque[str] = deque(maxlen=20)
        self._is_ready = threading.Event()
        self.address = ""
        """Where it can be called."""
        self._reader = threading.Thread(target=self._read, name="madrpc-cluster", daemon=True)
        self._reader.start()
        self._is_ready.wait(_START_SECONDS)
        if not self.address:
            self.close()
            last = "".join(self._last).rstrip() or f"it said nothing, and ended with {self._process.returncode}"
            raise RuntimeError("the cluster did not start:\n" + last)

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            for line in lines:
                self._last.append(line)
                ready = _READY.search(line)
                if ready is not None and not self.address:
                    self.address = ready[1]
                    self._is_ready.set()
                elif self._log and self.address and not _HINT.match(line):
                    # One that is closed takes nothing. The cluster goes on, and would wait for who reads its log.
                    with contextlib.suppress(OSError, ValueError):
                        sys.stderr.write(line)
        self._is_ready.set()

    def _let_go(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()

    def connect(self, **options: Any) -> Client:
        """A client of it; options as those of `madrpc.connect`."""
        return connect(self.address, **options)

    def close(self) -> None:
        """Ends it: calls under way have half a second."""
        atexit.unregister(self.close)
        self._log = False
        if self._process.poll() is None and self._owner == os.getpid():
            self._process.terminate()
            try:
                self._process.wait(0.5)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._owner == os.getpid():
            self._let_go()
            self._reader.join()

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<madrpc.Cluster at {self.address}>"


def _in_fork() -> None:
    """A fork that outlives the program holds no cluster of it."""
    for cluster in list(_STARTED):
        cluster._let_go()


os.register_at_fork(after_in_child=_in_fork)
