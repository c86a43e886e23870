from collections.abc import Iterator
from typing import Any, TypeAlias, final

from ._errors import Bill

__all__ = ["Calls", "Client", "Map", "Thread", "check_traceparent", "this_thread"]

_Path: TypeAlias = Any
_Options: TypeAlias = tuple[float, bytes | None, str | None]
_Told: TypeAlias = tuple[int, bool, Any, Bill | None]

def check_traceparent(text: str) -> None: ...
@final
class Client:
    def __new__(
        cls,
        address: str,
        tls_dir: _Path | None,
        tls_ca: _Path | None,
        tls_cert: _Path | None,
        tls_key: _Path | None,
        connections: int | None,
    ) -> Client: ...
    def call(
        self,
        function: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        options: _Options,
        with_bill: bool,
    ) -> Any: ...
    def calls(self) -> Calls: ...
    def map(
        self,
        function: str,
        input: Iterator[Any] | None,
        options: _Options,
        concurrency: int,
        ordered: bool,
        return_exceptions: bool,
    ) -> Map: ...
    def close(self) -> None: ...

@final
class Calls:
    def begin(
        self,
        tag: int,
        function: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any] | None,
        options: _Options,
    ) -> None: ...
    def cancel(self, tag: int) -> None: ...
    def __len__(self) -> int: ...
    def wait(self, timeout: float) -> list[_Told]: ...
    def fileno(self) -> int: ...
    def poll(self) -> list[_Told]: ...

@final
class Map:
    def next_batch(self) -> list[Any] | None: ...
    def fileno(self) -> int: ...
    def poll(self) -> tuple[list[Any], bool] | None: ...
    def wants(self) -> int: ...
    def push(self, item: Any) -> None: ...
    def finish(self, error: BaseException | None = None) -> None: ...
    def cancel(self) -> None: ...

@final
class Thread:
    def wake(self) -> None: ...

def this_thread() -> Thread: ...
