"""Small things that all views of `/v1` share."""

from __future__ import annotations

from datetime import datetime, timezone


def time(value: datetime | None) -> str | None:
    """ISO 8601, UTC, as seed 004 writes it."""
    if value is None:
        return None
    whole = value.astimezone(timezone.utc)
    text = whole.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{whole.microsecond // 1000:03d}Z" if whole.microsecond >= 1000 else f"{text}Z"
