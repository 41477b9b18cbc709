"""When a delivery that failed is tried again (fleet-api.md §6). Pure."""

from __future__ import annotations

from datetime import timedelta

PAUSES = (10.0, 60.0, 300.0, 1800.0, 2 * 3600.0, 6 * 3600.0, 24 * 3600.0)
"""Seconds before the second, third, … try."""

JITTER = 0.2
"""Each pause is up to so much longer, so that what failed together is not tried together."""

DISABLED_AFTER = timedelta(days=3)
"""A channel at which nothing but failures happened for so long is switched off."""


def pause_after(tries: int, chance: float) -> float | None:
    """Seconds to wait after that many tries; None: that was the last. `chance`: from 0 to 1."""
    if not 1 <= tries <= len(PAUSES):
        return None
    return PAUSES[tries - 1] * (1 + JITTER * chance)
