"""Who is told of what, where and when: channels, wishes, deliveries. Frozen values; times are aware UTC."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from reference_server.services.deliveries import DeliveryState
from reference_server.services.notices import NoticeKind


class ChannelKind(str, Enum):
    EMAIL = "email"
    APPRISE = "apprise"
    WEBHOOK = "webhook"


class QuietAction(str, Enum):
    """What becomes of a notice in quiet hours: told when they end, or not at all."""

    HOLD = "hold"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class Channel:
    """A way to tell a user. `target`: e-mail address, Apprise URL or web hook's URL. `secret`: what web hooks are
    signed with. `template`: a web hook's own body. `kinds` None: as the user's settings say. `failing_since`: the
    first failure after the last success."""

    id: int
    user_id: int
    kind: ChannelKind
    name: str
    enabled: bool
    target: str = field(repr=False)
    created_at: datetime
    secret: str = field(default="", repr=False)
    template: str | None = None
    kinds: tuple[NoticeKind, ...] | None = None
    failing_since: datetime | None = None
    disabled_at: datetime | None = None
    disabled_reason: str | None = None
    delivered_at: datetime | None = None


QUIET_KINDS = frozenset(
    {
        NoticeKind.PRINT_STARTED, NoticeKind.PRINT_PAUSED, NoticeKind.PRINT_RESUMED, NoticeKind.HEATER_REACHED,
        NoticeKind.HEATER_COOLED,
    }
)  # fmt: skip
"""Not told unless a user asks for them."""

URGENT_KINDS = frozenset(
    {
        NoticeKind.FAILURE_DETECTED, NoticeKind.PAUSED_BY_DETECTION, NoticeKind.PRINT_FAILED,
        NoticeKind.PRINTER_ERROR, NoticeKind.PRINTER_OFFLINE,
    }
)  # fmt: skip
"""Told in quiet hours too, unless a user wants otherwise."""


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """A user's wishes. `kinds`: what is told; `quiet_from`, `quiet_until`: minutes since midnight in `zone` (an IANA
    name), both None = no quiet hours, may reach over midnight; `urgent_kinds` are told in them all the same."""

    user_id: int
    kinds: tuple[NoticeKind, ...] = tuple(kind for kind in NoticeKind if kind not in QUIET_KINDS)
    quiet_from: int | None = None
    quiet_until: int | None = None
    zone: str = "UTC"
    urgent_kinds: tuple[NoticeKind, ...] = tuple(kind for kind in NoticeKind if kind in URGENT_KINDS)
    quiet_action: QuietAction = QuietAction.HOLD


@dataclass(frozen=True, slots=True)
class Delivery:
    """One notice on its way through one channel. `uid`: the same for every try. `lane`: those of a channel with the
    same lane are delivered one after the other. `tries`: how many there were."""

    id: int
    uid: str
    user_id: int
    channel_id: int
    notice_id: int
    lane: str
    state: DeliveryState
    created_at: datetime
    due_at: datetime
    tries: int = 0
    ended_at: datetime | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class DeliveryTry:
    """One attempt; `status`: of a web hook's answer; `took`: seconds."""

    id: int
    delivery_id: int
    at: datetime
    ok: bool
    status: int | None
    detail: str
    took: float
