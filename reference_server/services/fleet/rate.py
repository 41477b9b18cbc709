"""How many calls a key may make: a token bucket each, in memory, bounded."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from reference_server.services.clock import Now

MOST_BUCKETS = 10_000
"""The ones not used for longest go first: whoever comes back finds a full one."""


@dataclass(frozen=True, slots=True)
class RateState:
    """`reset`: Unix seconds when the bucket is full again; `retry_after`: s until a call is possible, 0 if it is."""

    limit: int
    remaining: int
    reset: int
    retry_after: int = 0


class RateLimits:
    """`per_hour` calls, all at once or spread, refilled evenly. Only the event loop uses it. `clock`: monotonic s."""

    def __init__(self, per_hour: int, clock: Callable[[], float], now: Now) -> None:
        self._limit, self._rate = per_hour, per_hour / 3600
        self._clock, self._now = clock, now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, credential: str) -> RateState:
        """Takes one call if there is one: see `retry_after`."""
        clock = self._clock()
        level, at = self._buckets.pop(credential, (float(self._limit), clock))
        level = min(float(self._limit), level + max(0.0, clock - at) * self._rate)
        allowed = level >= 1
        if allowed:
            level -= 1
        self._buckets[credential] = (level, clock)
        while len(self._buckets) > MOST_BUCKETS:
            self._buckets.popitem(last=False)
        full = math.ceil(self._now().timestamp() + (self._limit - level) / self._rate)
        wait = 0 if allowed else max(1, math.ceil((1 - level) / self._rate - 1e-6))
        return RateState(self._limit, int(level), full, wait)
