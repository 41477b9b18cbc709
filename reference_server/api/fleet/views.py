"""Small things that all views of `/v1` share."""

from __future__ import annotations

from datetime import datetime

from reference_server.services.clock import iso


def time(value: datetime | None) -> str | None:
    """ISO 8601, UTC, as seed 004 writes it."""
    return None if value is None else iso(value)
