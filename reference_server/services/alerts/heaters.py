"""Heaters that reach their target or cool down (wire-protocol.md §5.6). Pure; memory only, no SQL."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

COLD = 35.0
"""°C: a target up to this asks for no heat, and a heater up to this is cold."""

NEAR = 0.25
"""°C: nearer to its target than this a heater has reached it."""

MOST_HEATERS = 32
"""Of one printer; more are not looked at."""


@dataclass(frozen=True, slots=True)
class HeaterNews:
    """A heater has reached its target (`reached`) or has cooled down; °C. `first_look`: it was so when we first
    looked, so it may have been so for long."""

    heater: str
    target: float
    actual: float
    reached: bool
    first_look: bool


@dataclass(slots=True)
class _Tracker:
    target: float
    told: bool = False


class HeaterTracker:
    """One printer's heaters. Feed it each status; it fires once per target value."""

    def __init__(self) -> None:
        self._heaters: dict[str, _Tracker] = {}

    def feed(self, temperatures: object) -> list[HeaterNews]:
        """`temperatures`: `status.temperatures`, such as `{"tool0": {"actual": 20.1, "target": 210}}`. A heater that is
        absent, or has not both keys, is left as it was; a target of null ends its tracking."""
        if not isinstance(temperatures, dict):
            return []
        found: list[HeaterNews] = []
        for name, values in temperatures.items():
            if isinstance(values, dict) and "target" in values and "actual" in values:
                news = self._take(str(name), values)
                if news is not None:
                    found.append(news)
        return found

    def _take(self, name: str, values: Mapping[str, Any]) -> HeaterNews | None:
        if values["target"] is None:
            self._heaters.pop(name, None)
            return None
        target, actual = _degrees(values["target"]), _degrees(values["actual"])
        if target is None:
            return None
        tracker = self._heaters.get(name)
        first_look = tracker is None
        if tracker is None or tracker.target != target:
            if tracker is None and len(self._heaters) >= MOST_HEATERS:
                return None
            tracker = self._heaters[name] = _Tracker(target)
        if tracker.told or actual is None:
            return None
        hot = target > COLD
        if not (abs(target - actual) < NEAR if hot else actual <= COLD):
            return None
        tracker.told = True
        return HeaterNews(name[:100], target, actual, hot, first_look)


def _degrees(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None
