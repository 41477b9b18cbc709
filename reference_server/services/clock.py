"""Time as an argument."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone

Now = Callable[[], datetime]

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def utc_now() -> datetime:
    return datetime.now(timezone.utc)


def from_unix(seconds: float) -> datetime | None:
    """The time of Unix seconds; None if it is no time that a calendar has."""
    try:
        return EPOCH + timedelta(seconds=seconds)
    except (OverflowError, ValueError):
        return None


def iso(value: datetime) -> str:
    """ISO 8601, UTC, as seed 004 writes it."""
    whole = value.astimezone(timezone.utc)
    text = whole.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{whole.microsecond // 1000:03d}Z" if whole.microsecond >= 1000 else f"{text}Z"


def clamp(value: datetime, earliest: datetime, latest: datetime) -> datetime:
    return max(earliest, min(value, latest)) if earliest <= latest else latest
