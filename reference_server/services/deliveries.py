"""What alerts and the farm's web hooks have in common: when a delivery is tried again, what came of a try, how it is
signed (fleet-api.md §6). Pure."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

PAUSES = (10.0, 60.0, 300.0, 1800.0, 2 * 3600.0, 6 * 3600.0, 24 * 3600.0)
"""Seconds before the second, third, … try."""

JITTER = 0.2
"""Each pause is up to so much longer, so that what failed together is not tried together."""

DISABLED_AFTER = timedelta(days=3)
"""What nothing but failures happened to for so long is switched off."""

LONGEST_REASON = 500  # characters


class DeliveryState(str, Enum):
    QUEUED = "queued"
    DELIVERED = "delivered"
    FAILED = "failed"  # given up; the tries say why


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came of it. `status`: of a web hook's answer; `took`: s; `final`: trying again will not help; `answer`: how
    a web hook's answer begins."""

    ok: bool
    detail: str
    status: int | None = None
    took: float = 0.0
    final: bool = False
    answer: str = ""


def pause_after(tries: int, chance: float) -> float | None:
    """Seconds to wait after that many tries; None: that was the last. `chance`: from 0 to 1."""
    if not 1 <= tries <= len(PAUSES):
        return None
    return PAUSES[tries - 1] * (1 + JITTER * chance)


def sign(secret: str, timestamp: str, body: bytes) -> str:
    """`X-Webhook-Signature`: HMAC-SHA256 of `<timestamp>.<body>` with the receiver's secret."""
    return "v1=" + hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
