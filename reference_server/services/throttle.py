"""Limits on tries: a token bucket per key, in memory, bounded."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from reference_server.services.errors import Throttled

MOST_KEYS = 10_000
"""Buckets kept; the ones that were not used for longest go first."""


class Throttle:
    """At most `burst` tries at once, refilled evenly over `period` seconds. `clock`: monotonic seconds."""

    def __init__(self, burst: int, period: float, clock: Callable[[], float]) -> None:
        self._burst, self._rate = float(burst), burst / period
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = Lock()

    def check(self, key: str) -> None:
        """Raises Throttled if the key has no try left; takes none."""
        left = self._level(key)
        if left < 1:
            raise Throttled((1 - left) / self._rate)

    def take(self, key: str) -> None:
        """Take one try. Raises Throttled if there is none."""
        self.check(key)
        with self._lock:
            self._buckets[key] = (self._level(key) - 1, self._clock())
            self._buckets.move_to_end(key)
            while len(self._buckets) > MOST_KEYS:
                self._buckets.popitem(last=False)

    def forget(self, key: str) -> None:
        with self._lock:
            self._buckets.pop(key, None)

    def _level(self, key: str) -> float:
        level, at = self._buckets.get(key, (self._burst, self._clock()))
        return min(self._burst, level + (self._clock() - at) * self._rate)


def address_key(address: str) -> str:
    """What counts as one caller: an IPv4 address, or an IPv6 /64, which is one household's."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False)) if parsed.version == 6 else str(parsed)
