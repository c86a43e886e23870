"""What a call cost, and why it has no result."""

from __future__ import annotations

from typing import Any, NamedTuple


class Bill(NamedTuple):
    """What a call cost, and where it ran."""

    queue_us: int
    """Time between the call's arrival at the node and its start, in microseconds."""
    cpu_us: int
    """Time that the function held the core, in microseconds."""
    slices: int
    """How often it was given the core."""
    heap_peak_bytes: int
    """The most heap that its lane held while it ran, with what the script holds."""
    shard: int
    """The shard that ran it."""
    node: str
    """The name of the node that ran it; empty where no node did."""


class Error(Exception):
    """A call has no result. The subclass, and ``kind``, say why."""

    kind: str = "Internal"
    """The name of the kind, the same in every language."""

    def __init__(
        self,
        message: str = "",
        may_have_run: bool = True,
        retry_after: float | None = None,
        stack: str | None = None,
        data: Any = None,
        bill: Bill | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        """One line: what, where, what to do."""
        self.may_have_run = may_have_run
        """Whether the function may have started. ``False`` is certain: the call can be made again."""
        self.retry_after = retry_after
        """When it is worth while to try again, in seconds, where the server has said so."""
        self.stack = stack
        """The JavaScript stack, a line for each frame, where the function threw."""
        self.data = data
        """What was thrown, as a value: of an error a dict of its name, message, cause and own properties."""
        self.bill = bill
        """What the call cost nevertheless, where a server answered."""

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        fields = (self.message, self.may_have_run, self.retry_after, self.stack, self.data, self.bill)
        return type(self), fields


class NoSuchFunction(Error):
    """No function of that name is registered."""

    kind = "NoSuchFunction"


class BadArguments(Error):
    """The function cannot be given these arguments."""

    kind = "BadArguments"


class JavaScriptError(Error):
    """The function threw: ``stack`` says where, ``data`` what."""

    kind = "JavaScript"


class DeadlineExceeded(Error, TimeoutError):
    """The call's deadline passed."""

    kind = "DeadlineExceeded"


class Cancelled(Error):
    """The call was given up."""

    kind = "Cancelled"


class CpuLimit(Error):
    """The call used more time on the core than it may."""

    kind = "CpuLimit"


class MemoryLimit(Error):
    """The call used more heap than it may."""

    kind = "MemoryLimit"


class StackLimit(Error):
    """The call nested deeper than the stack allows."""

    kind = "StackLimit"


class Overloaded(Error):
    """Too many calls are waiting already; ``retry_after`` may say when there is room."""

    kind = "Overloaded"


class Unavailable(Error, ConnectionError):
    """Nobody can be reached who would run the call."""

    kind = "Unavailable"


class PayloadTooLarge(Error):
    """The arguments or the result are larger than the limit."""

    kind = "PayloadTooLarge"


class Unauthorized(Error, PermissionError):
    """The certificate does not allow it."""

    kind = "Unauthorized"


class ProtocolError(Error):
    """The server does not keep to the protocol."""

    kind = "Protocol"


class InternalError(Error):
    """A defect of madrpc."""

    kind = "Internal"


_KINDS: dict[str, type[Error]] = {
    kind.kind: kind
    for kind in (
        NoSuchFunction,
        BadArguments,
        JavaScriptError,
        DeadlineExceeded,
        Cancelled,
        CpuLimit,
        MemoryLimit,
        StackLimit,
        Overloaded,
        Unavailable,
        PayloadTooLarge,
        Unauthorized,
        ProtocolError,
        InternalError,
    )
}


def of_call(
    kind: str,
    message: str,
    may_have_run: bool,
    retry_after: float | None,
    stack: str | None,
    data: Any,
    bill: Bill | None,
) -> Error:
    """The exception of a call; the extension makes them by this."""
    error = _KINDS.get(kind, InternalError)
    return error(message, may_have_run, retry_after, stack, data, bill)
