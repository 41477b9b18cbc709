"""How many messages one connection may send: a token bucket that slows the peer down instead of dropping anything."""

from __future__ import annotations

import asyncio

AGENT_BURST, AGENT_RATE = 2500, 200.0
"""An agent back from an outage may bring 2,000 events and 1,000 statuses at once; else it sends a few a second."""

WEB_BURST, WEB_RATE = 200, 20.0


class RateGuard:
    """`burst` messages at once, `rate` a second in the long run."""

    def __init__(self, burst: int, rate: float) -> None:
        self._burst, self._rate = float(burst), rate
        self._left, self._at = float(burst), 0.0

    def is_spent(self, clock: float) -> bool:
        """True if another message would have to wait."""
        return self._left + (clock - self._at if self._at else 0.0) * self._rate < 1

    def take(self, clock: float) -> float:
        """Take one message at `clock` (monotonic seconds); the seconds to wait before the next is read."""
        if self._at:
            self._left = min(self._burst, self._left + (clock - self._at) * self._rate)
        self._at = clock
        self._left -= 1
        return max(0.0, -self._left / self._rate)


async def hold_back(seconds: float, closing: asyncio.Event) -> None:
    """Let the peer wait, unless the connection closes before: its frames pile up on its own side meanwhile."""
    if seconds <= 0:
        return
    try:
        await asyncio.wait_for(closing.wait(), seconds)
    except (TimeoutError, asyncio.TimeoutError):
        return
