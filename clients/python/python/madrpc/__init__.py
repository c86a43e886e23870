"""Calls JavaScript functions on a fleet of machines.

>>> import madrpc
>>> client = madrpc.connect("127.0.0.1:8080")
>>> client.call("greet", name="world")
'hello, world'
"""

from . import aio
from ._client import Client, Reply, connect
from ._cluster import Cluster
from ._errors import (
    BadArguments,
    Bill,
    Cancelled,
    CpuLimit,
    DeadlineExceeded,
    Error,
    InternalError,
    JavaScriptError,
    MemoryLimit,
    NoSuchFunction,
    Overloaded,
    PayloadTooLarge,
    ProtocolError,
    StackLimit,
    Unauthorized,
    Unavailable,
)
from ._executor import Executor
from ._stream import Stream

__all__ = [
    "BadArguments",
    "Bill",
    "Cancelled",
    "Client",
    "Cluster",
    "CpuLimit",
    "DeadlineExceeded",
    "Error",
    "Executor",
    "InternalError",
    "JavaScriptError",
    "MemoryLimit",
    "NoSuchFunction",
    "Overloaded",
    "PayloadTooLarge",
    "ProtocolError",
    "Reply",
    "StackLimit",
    "Stream",
    "Unauthorized",
    "Unavailable",
    "aio",
    "connect",
]
