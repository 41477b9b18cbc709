"""Alerts: channels, wishes, notices, deliveries."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from reference_server.api.schemas.objects import Change, Error, Number, Object, Said, Time, Url
from reference_server.api.schemas.parts import Answer, Body, Call
from reference_server.services.alerts.channels import LONGEST_SECRET, LONGEST_TARGET, SHORTEST_SECRET
from reference_server.services.alerts.model import ChannelKind, QuietAction
from reference_server.services.alerts.template import LONGEST
from reference_server.services.deliveries import DeliveryState
from reference_server.services.notices import NoticeKind

Name = Annotated[str, Field(min_length=1, max_length=100)]
Target = Annotated[str, Field(min_length=1, max_length=LONGEST_TARGET)]
Secret = Annotated[str, Field(max_length=LONGEST_SECRET, pattern=rf"^$|^[ -~]{{{SHORTEST_SECRET},}}$")]
Template = Annotated[str, Field(min_length=1, max_length=LONGEST)]
Clock = Annotated[str, Field(pattern=r"^([01]?[0-9]|2[0-3]):[0-5][0-9]$", examples=["22:00"])]


class Channel(Object):
    """A way to tell you."""

    id: int
    kind: ChannelKind
    name: str
    enabled: bool
    target: str
    """Of an e-mail channel the address; of others no more than where it leads: the rest may be a secret."""
    secret: str | None
    """What a web hook is signed with; null but in the answer to the call that set it."""
    template: str | None
    """A web hook's own body."""
    kinds: list[NoticeKind] | None
    """What it tells; null: as your settings say."""
    created_at: Time
    delivered_at: Time | None
    failing_since: Time | None
    """The first failure after the last success; after three days of it the channel is switched off."""
    disabled_at: Time | None
    disabled_reason: str | None


class ChannelChange(Change):
    name: Name = ""
    enabled: bool = True
    target: Target = ""
    """E-mail address, Apprise address (`ntfy://…`, `tgram://…`) or a web hook's URL."""
    secret: Secret | None = None
    """Empty: a new one is made; null: as it is."""
    template: Template | None = None
    """JSON with `{{data.title}}` and the like in it; null: the standard body."""
    kinds: list[NoticeKind] | None = None


class NewChannel(ChannelChange):
    kind: ChannelKind


class TestResult(Object):
    """What came back. `status`: of a web hook's answer."""

    delivered: bool
    status: int | None
    detail: str
    seconds: Number


KindFlags = Annotated[
    dict[str, bool],
    Field(json_schema_extra={"propertyNames": {"enum": [kind.value for kind in NoticeKind]}}),
]


class QuietHours(Change):
    """May reach over midnight. `hold`: told when they end; `drop`: not at all."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="forbid", populate_by_name=True)

    begin: Annotated[Clock, Field(alias="from")]
    until: Clock
    action: QuietAction = QuietAction.HOLD


class NotificationSettings(Object):
    kinds: KindFlags
    """What is told."""
    urgent: KindFlags
    """What is told in quiet hours too."""
    quiet_hours: QuietHours | None
    zone: str
    """Of the quiet hours: an IANA name."""


class SettingsChange(Change):
    """Kinds that are not named stay as they are."""

    kinds: KindFlags = Field(default_factory=dict)
    urgent: KindFlags = Field(default_factory=dict)
    quiet_hours: QuietHours | None = None
    zone: Annotated[str, Field(min_length=1, max_length=64)] = ""


class Details(Said):
    """What belongs to its kind: `heater`, `target` and `actual` (°C), `ended_reason`, …"""


class Notice(Object):
    """Something that you may want to be told."""

    id: int
    kind: NoticeKind
    title: str
    text: str
    created_at: Time
    printer: int | None
    print: int | None
    printer_event: int | None
    image_url: Url | None
    data: Details


class Try(Object):
    at: Time
    ok: bool
    status: int | None
    detail: str
    seconds: Number


class Delivery(Object):
    """One notice on its way through one channel."""

    id: int
    uid: str
    """The same for every try: `X-Webhook-Id`, and the mail's Message-ID."""
    channel: int
    notice: Notice | None
    state: DeliveryState
    created_at: Time
    due_at: Time
    """When it is tried next, or was last to be."""
    ended_at: Time | None
    reason: str | None
    """Why the last try, or all of it, has failed."""
    tries: list[Try]


_AT = "2026-11-20T18:10:09.000000Z"
_CHANNEL: dict[str, Any] = {
    "id": 1, "kind": "webhook", "name": "Home Assistant", "enabled": True, "target": "http://192.168.1.5:8123/***",
    "secret": None, "template": None, "kinds": None, "created_at": _AT, "delivered_at": _AT, "failing_since": None,
    "disabled_at": None, "disabled_reason": None,
}  # fmt: skip
_NOTICE: dict[str, Any] = {
    "id": 12, "kind": "print_done", "title": "Print Job Finished", "text": "Workshop: clip.gcode", "created_at": _AT,
    "printer": 1, "print": 5, "printer_event": 31, "image_url": None, "data": {"ended_reason": "done"},
}  # fmt: skip
_DELIVERY: dict[str, Any] = {
    "id": 40, "uid": "7f0c2a4e-5f0e-4c26-9d3a-1e0f5f8a2b11", "channel": 1, "notice": _NOTICE, "state": "delivered",
    "created_at": _AT, "due_at": _AT, "ended_at": _AT, "reason": None,
    "tries": [{"at": _AT, "ok": True, "status": 204, "detail": "it answered 204", "seconds": 0.04}],
}  # fmt: skip
_SETTINGS: dict[str, Any] = {
    "kinds": {"print_done": True, "print_started": False}, "urgent": {"failure_detected": True},
    "quiet_hours": {"from": "22:00", "until": "07:00", "action": "hold"}, "zone": "Europe/Berlin",
}  # fmt: skip
_TOTAL = {"X-Total-Count": "How many there are in all."}

CALLS = {
    "GET /api/v1/notification_channels/": Call(
        "Your channels", {200: Answer("The channels.", list[Channel], [_CHANNEL])}
    ),
    "POST /api/v1/notification_channels/": Call(
        "Add a channel",
        {
            201: Answer("The channel; of a web hook with its secret.", Channel, {**_CHANNEL, "secret": "5e" * 32}),
            409: Answer("There are too many.", Error, {"detail": "There are 20 channels already; remove one first."}),
        },
        body=Body(NewChannel, {"kind": "apprise", "name": "Phone", "target": "ntfy://my-topic"}),
    ),
    "GET /api/v1/notification_channels/{channel_id}/": Call(
        "One channel", {200: Answer("The channel.", Channel, _CHANNEL)}
    ),
    "PATCH /api/v1/notification_channels/{channel_id}/": Call(
        "Change a channel", {200: Answer("The channel.", Channel, _CHANNEL)},
        body=Body(ChannelChange, {"enabled": False}, required=False),
    ),
    "DELETE /api/v1/notification_channels/{channel_id}/": Call("Remove a channel", {204: Answer("It is gone.")}),
    "POST /api/v1/notification_channels/{channel_id}/test/": Call(
        "Send a test message now",
        {200: Answer("What came back.", TestResult,
                     {"delivered": True, "status": 204, "detail": "it answered 204", "seconds": 0.04})},
        throttled=True,
    ),
    "GET /api/v1/notification_settings/": Call(
        "What you want to be told, and when", {200: Answer("Your settings.", NotificationSettings, _SETTINGS)}
    ),
    "PATCH /api/v1/notification_settings/": Call(
        "Change what you want to be told, and when",
        {200: Answer("Your settings.", NotificationSettings, _SETTINGS)},
        body=Body(SettingsChange, {"kinds": {"print_started": True}, "zone": "Europe/Berlin"}, required=False),
    ),
    "GET /api/v1/notices/": Call(
        "What there was to tell", {200: Answer("The notices.", list[Notice], [_NOTICE], headers=_TOTAL)}
    ),
    "GET /api/v1/notification_deliveries/": Call(
        "What became of each message", {200: Answer("The deliveries.", list[Delivery], [_DELIVERY], headers=_TOTAL)}
    ),
}  # fmt: skip
