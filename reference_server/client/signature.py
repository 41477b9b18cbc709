"""Whether a web hook's delivery comes from the server, unchanged and new (fleet-api.md §6)."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from reference_server.client.errors import SignatureInvalid, UnexpectedAnswer
from reference_server.client.reading import Shown, read_object

TOLERANCE = 300.0
"""Seconds between our clock and the time that was signed: an old delivery that somebody recorded is not taken again."""


@dataclass(frozen=True, kw_only=True)
class Event(Shown):
    """What a delivery tells. `id` stays the same when it is delivered again: keep those that you have dealt with."""

    id: str
    event: str
    created_at: datetime
    data: Mapping[str, Any]


def verify_signature(
    body: bytes | str, headers: Mapping[str, str], secret: str, *, tolerance: float = TOLERANCE,
    now: Callable[[], float] = time.time,
) -> Event:  # fmt: skip
    """The event of a delivery, whose `body` must be as it came (not parsed and written anew). Header names in any case.
    Raises SignatureInvalid.

        event = verify_signature(request.body, request.headers, "webhook_secret_key")
        if event.event == "job.completed": …
    """
    found = {name.lower(): value for name, value in headers.items()}
    stamp, signatures = found.get("x-webhook-timestamp", ""), found.get("x-webhook-signature", "")
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 12):
        raise SignatureInvalid("X-Webhook-Timestamp is missing, or no time in Unix seconds.")
    content = body.encode("utf-8") if isinstance(body, str) else bytes(body)
    wanted = "v1=" + hmac.new(secret.encode("utf-8"), f"{stamp}.".encode() + content, hashlib.sha256).hexdigest()
    given = [word.strip() for word in signatures.split(",")]
    if not any(hmac.compare_digest(wanted.encode(), word.encode("utf-8", "replace")) for word in given):
        raise SignatureInvalid("The signature is not that of this body and secret.")
    if abs(now() - int(stamp)) > tolerance:
        raise SignatureInvalid(f"It was signed more than {tolerance:.0f} s ago (or this machine's clock is wrong).")
    try:
        return read_object(Event, json.loads(content), "event")
    except (ValueError, UnexpectedAnswer):
        raise SignatureInvalid("The body is no event.") from None
