"""Which events are worth telling again: the same trouble is told once in a while, not at each of its signs. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from agent_core.model import AlertRaised

KNOWN = 50
"""Topics that are remembered; our own code has about as many."""

BURST = 30
"""Events within BURST_SECONDS, of whatever topics: more tell nobody anything."""
BURST_SECONDS = 3600.0


class EventGate:
    """Owned by the core thread. Times are Unix seconds, for the memory outlives a restart (`to_json`)."""

    def __init__(self, remembered: Mapping[str, Any] | None = None) -> None:
        self._told: OrderedDict[str, float] = OrderedDict()
        for key, at in list((remembered or {}).items())[:KNOWN]:
            if isinstance(key, str) and isinstance(at, (int, float)):
                self._told[key] = float(at)

    def lets(self, alert: AlertRaised, print_ts: int | None, now: float) -> bool:
        """Whether it is to be told; it counts as told then. A clock that was set back closes no gate for long."""
        key = f"{print_ts or 0}:{alert.topic or alert.title}"[:200]
        last = self._told.get(key)
        if last is not None and 0 <= now - last < alert.every:
            return False
        if sum(0 <= now - at < BURST_SECONDS for at in self._told.values()) >= BURST:
            return False
        self._told[key] = now
        self._told.move_to_end(key)
        while len(self._told) > KNOWN:
            self._told.popitem(last=False)
        return True

    def to_json(self) -> dict[str, Any]:
        return dict(self._told)
