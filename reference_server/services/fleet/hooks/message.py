"""What a web hook is sent: the same bytes at every try of the same event. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from reference_server.services.clock import iso
from reference_server.services.fleet.hooks.model import TEST_EVENT, Webhook
from reference_server.services.fleet.model import FleetEvent


@dataclass(frozen=True, slots=True)
class HookParcel:
    """`uid`: `X-Webhook-Id`, the event's id; `target`: the URL."""

    uid: str
    target: str = field(repr=False)
    secret: str = field(repr=False)
    body: str


def compose(hook: Webhook, event: FleetEvent) -> HookParcel:
    body = {"id": event.public_id, "event": event.name, "created_at": iso(event.created_at), "data": dict(event.data)}
    return HookParcel(event.public_id, hook.url, hook.secret, json.dumps(body, separators=(",", ":")))


def trial_event(hook: Webhook, public_id: str, now: datetime) -> FleetEvent:
    """It is told, but not kept."""
    words = "This is a test of your web hook. If you can read it and its signature is right, all is well."
    data = {"webhook_id": hook.public_id, "message": words}
    return FleetEvent(0, public_id, hook.organization_id, TEST_EVENT, hook.public_id, now, data)


def place_of(hook: Webhook) -> str:
    """What may be told of its address to whoever sees alerts and logs: the path may hold a secret."""
    parts = urlsplit(hook.url)
    return f"{parts.scheme}://{parts.hostname}"
