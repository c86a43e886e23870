"""Dates: JavaScript counts milliseconds since 1970."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MS = timedelta(milliseconds=1)


def to_ms(date: datetime) -> float | None:
    """None where the datetime has no time zone."""
    return None if date.utcoffset() is None else (date - _EPOCH) // _MS


def from_ms(ms: float) -> datetime:
    return _EPOCH + ms * _MS
