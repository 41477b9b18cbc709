"""Web hooks, what they may be told, and deliveries. Frozen values; times are aware UTC."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from reference_server.services.deliveries import DeliveryState

EVENTS = (
    "job.created", "job.started", "job.completed", "job.failed", "job.cancelled",
    "printer.online", "printer.offline", "printer.error",
    "material.low", "material.empty",
)  # fmt: skip
"""What happens to a farm (seed 004, and a cancelled job)."""

EVERYTHING = "*"
PATTERNS = (*EVENTS, *(f"{name}.*" for name in dict.fromkeys(event.partition(".")[0] for event in EVENTS)), EVERYTHING)
"""What a web hook may ask for; `job.*` also stands for events that a later version adds."""

TEST_EVENT = "webhook.test"


def wants(patterns: Collection[str], event: str) -> bool:
    return event in patterns or EVERYTHING in patterns or f"{event.partition('.')[0]}.*" in patterns


@dataclass(frozen=True, slots=True)
class Webhook:
    """`secret`: what is signed with. `since_event`: the last event before it was made or switched on; older ones are
    not its business. `failing_since`: the first failure after the last success; `failed_at`: the last one;
    `failing_for`: seconds of failure, counted so that a clock that jumps adds no more than the longest pause."""

    id: int
    public_id: str
    organization_id: int
    url: str = field(repr=False)
    events: tuple[str, ...]
    secret: str = field(repr=False)
    enabled: bool
    created_at: datetime
    updated_at: datetime
    since_event: int
    failing_since: datetime | None = None
    failed_at: datetime | None = None
    failing_for: float = 0.0
    disabled_at: datetime | None = None
    disabled_reason: str | None = None
    last_delivered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class HookDelivery:
    """One event on its way to one web hook. `lane`: the object that it is about; those of a web hook with the same
    lane are delivered one after the other. `tries`: how many there were since it was queued (again). `noted_at`: when
    `due_at` was set, which tells a clock that was set back."""

    id: int
    public_id: str
    webhook_id: int
    event_id: int
    lane: str
    state: DeliveryState
    created_at: datetime
    due_at: datetime
    noted_at: datetime
    tries: int = 0
    ended_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class HookTry:
    """One attempt. `answer`: how the answer began; `took`: s."""

    id: int
    delivery_id: int
    at: datetime
    ok: bool
    status: int | None
    detail: str
    answer: str
    took: float
