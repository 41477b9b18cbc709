"""Web hooks, the pure half: what is wanted, what is sent, what can be set."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import datetime, timezone

import pytest

from reference_server.services.deliveries import sign
from reference_server.services.errors import Invalid
from reference_server.services.fleet.hooks.book import HookChange
from reference_server.services.fleet.hooks.message import compose, place_of, trial_event
from reference_server.services.fleet.hooks.model import EVENTS, PATTERNS, Webhook, wants
from reference_server.services.fleet.model import FleetEvent

NOW = datetime(2026, 10, 6, 12, tzinfo=timezone.utc)
HOOK = Webhook(1, "whk_a", 1, "https://a.example:8443/s3cr3t?key=x", ("*",), "s" * 16, True, NOW, NOW, 0)
EVENT = FleetEvent(7, "evt_a", 1, "job.completed", "job_a", NOW, {"name": "größe", "copies": 2})


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_is_wanted_by_its_name_its_kind_and_by_everything(event: str) -> None:
    wanted = {pattern for pattern in PATTERNS if wants((pattern,), event)}
    assert wanted == {event, f"{event.partition('.')[0]}.*", "*"}


def test_the_body_is_the_same_bytes_each_time() -> None:
    first, second = compose(HOOK, EVENT), compose(HOOK, EVENT)
    assert first.body == second.body
    assert first.uid == "evt_a"
    assert json.loads(first.body) == {
        "id": "evt_a", "event": "job.completed", "created_at": "2026-10-06T12:00:00Z",
        "data": {"name": "größe", "copies": 2},
    }  # fmt: skip
    assert "s3cr3t" not in repr(first)
    assert HOOK.secret not in repr(first)
    assert HOOK.secret not in repr(HOOK)


def test_the_signature_is_of_timestamp_and_body() -> None:
    expected = hmac.new(b"s" * 16, b"1790000000.{}", hashlib.sha256).hexdigest()
    assert sign("s" * 16, "1790000000", b"{}") == f"v1={expected}"


def test_a_test_says_that_it_is_one_and_a_place_tells_no_secret() -> None:
    assert json.loads(compose(HOOK, trial_event(HOOK, "evt_b", NOW)).body)["event"] == "webhook.test"
    assert place_of(HOOK) == "https://a.example"


def test_what_is_wrong_is_named_all_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        HookChange("gopher://x", ("job.*", "job.done", "x" * 99), "short").check()
    assert set(caught.value.errors) == {"url", "events", "secret"}
    assert f"'job.done', '{'x' * 50}'" in caught.value.errors["events"][0]
    HookChange("http://192.168.1.5/x", ("*",), "", enabled=False).check()
    HookChange().check()
