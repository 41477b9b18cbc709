"""Deliveries of web hooks: only those that the server signed, lately, are taken."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest

from reference_server.client import SignatureInvalid, verify_signature

BODY = json.dumps({
    "id": "evt_1", "event": "job.completed", "created_at": "2026-01-02T03:04:05Z", "data": {"id": "job_1"}
}).encode()  # fmt: skip


def headers(body: bytes = BODY, stamp: str = "1000", secret: str = "secret") -> dict[str, str]:
    digest = hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return {"X-Webhook-Id": "evt_1", "X-WEBHOOK-Timestamp": stamp, "x-webhook-signature": f"v1={digest}"}


def test_a_delivery_is_read() -> None:
    event = verify_signature(BODY, headers(), "secret", now=lambda: 1200.0)
    assert (event.id, event.event, event.data) == ("evt_1", "job.completed", {"id": "job_1"})
    assert event.created_at.year == 2026
    assert verify_signature(BODY.decode(), headers(), "secret", now=lambda: 1000.0).id == "evt_1"


@pytest.mark.parametrize(
    ("body", "given", "now"),
    [
        (BODY + b" ", headers(), 1000.0),
        (BODY, headers(secret="other"), 1000.0),
        (BODY, {**headers(), "X-WEBHOOK-Timestamp": "1001"}, 1000.0),
        (BODY, headers(), 1301.0),
        (BODY, headers(), 699.0),
        (BODY, {}, 1000.0),
        (BODY, headers(stamp="now"), 1000.0),
        (b"[]", headers(b"[]"), 1000.0),
        (b"{}", headers(b"{}"), 1000.0),
        (BODY, {**headers(), "x-webhook-signature": "v1=ü"}, 1000.0),
    ],
)
def test_anything_else_is_not(body: bytes, given: dict[str, str], now: float) -> None:
    with pytest.raises(SignatureInvalid):
        verify_signature(body, given, "secret", now=lambda: now)
