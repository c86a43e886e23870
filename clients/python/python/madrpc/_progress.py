"""A bar for those who wait."""

from __future__ import annotations

from types import TracebackType
from typing import Any


class Bar:
    """tqdm's, where it is asked for and installed."""

    def __init__(self, function: str, items: Any, wanted: bool) -> None:
        self._bar: Any = None
        if wanted:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                return
            total = len(items) if hasattr(items, "__len__") else None
            self._bar = tqdm(total=total, desc=function, unit=" calls")

    def update(self, done: int) -> None:
        if self._bar is not None:
            self._bar.update(done)

    def __enter__(self) -> Bar:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
