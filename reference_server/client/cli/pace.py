"""How often a program that goes on for hours may ask, within what its key is allowed."""

from __future__ import annotations

from reference_server.client import RateLimit

SHARE = 0.5
"""Of the calls an hour, for one program that watches: the rest stays for others with the same key."""


def pause(rate: RateLimit | None, calls: int, wished: float) -> float:
    """Seconds between rounds of so many calls. While more than half of the calls are left, as wished; below that as
    slowly as can go on for ever."""
    if rate is None or rate.limit <= 0 or rate.remaining > rate.limit * (1 - SHARE) + calls:
        return wished
    return max(wished, calls * 3600 / rate.limit)
