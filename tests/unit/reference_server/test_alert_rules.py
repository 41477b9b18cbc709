"""Choice, quiet hours, retries, templates, signatures: the pure half of alerts."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_server.services.alerts.channels import changed_settings
from reference_server.services.alerts.choice import quiet_until, told_at, wants
from reference_server.services.alerts.message import Links, compose
from reference_server.services.alerts.model import AlertSettings, Channel, ChannelKind, QuietAction
from reference_server.services.alerts.template import LONGEST, BadTemplate, render
from reference_server.services.deliveries import JITTER, PAUSES, pause_after, sign
from reference_server.services.errors import Invalid
from reference_server.services.model import EndedReason, EventClass, EventKind, Print, Printer, PrinterEvent
from reference_server.services.notices import Notice, NoticeKind, kind_of

NOON = datetime(2026, 6, 1, 12, tzinfo=timezone.utc)
HOOK = Channel(1, 1, ChannelKind.WEBHOOK, "hook", True, "https://example.org/secret", NOON, "s" * 32)
SETTINGS = AlertSettings(1)
LINKS = Links("https://printers.example.org", lambda path: f"https://pic/{path}", lambda path: f"/media/{path}")


def at(hour: int, minute: int = 0, day: int = 1, zone: str = "Europe/Berlin", month: int = 6) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=ZoneInfo(zone)).astimezone(timezone.utc)


def quiet(begin: str, end: str, **more: Any) -> AlertSettings:
    return changed_settings(
        SETTINGS, {"zone": "Europe/Berlin", "quiet_hours": {"from": begin, "until": end, **more}}
    )


# --- choice ---


def test_the_users_choice_counts_unless_the_channel_has_its_own() -> None:
    assert wants(SETTINGS, HOOK, NoticeKind.PRINT_DONE)
    assert not wants(SETTINGS, HOOK, NoticeKind.PRINT_STARTED)
    own = replace(HOOK, kinds=(NoticeKind.PRINT_STARTED,))
    assert wants(SETTINGS, own, NoticeKind.PRINT_STARTED)
    assert not wants(SETTINGS, own, NoticeKind.PRINT_DONE)
    assert not wants(SETTINGS, replace(HOOK, enabled=False), NoticeKind.PRINT_DONE)


def test_every_failure_is_told_by_default() -> None:
    off = {kind for kind in NoticeKind if kind not in SETTINGS.kinds}
    assert {kind.value for kind in off} == {
        "print_started", "print_paused", "print_resumed", "heater_reached", "heater_cooled"
    }  # fmt: skip


def test_settings_change_only_what_is_named() -> None:
    new = changed_settings(SETTINGS, {"kinds": {"print_started": True, "print_done": False}})
    assert set(new.kinds) == set(SETTINGS.kinds) - {NoticeKind.PRINT_DONE} | {NoticeKind.PRINT_STARTED}
    assert new.urgent_kinds == SETTINGS.urgent_kinds
    assert quiet("22:00", "7:00", action="drop").quiet_action is QuietAction.DROP
    assert changed_settings(quiet("22:00", "7:00"), {"quiet_hours": None}).quiet_from is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kinds": {"nonsense": True}}, "kinds"), ({"kinds": {"print_done": 1}}, "kinds"), ({"kinds": []}, "kinds"),
        ({"zone": "Nowhere/Never"}, "zone"), ({"zone": "../../etc/passwd"}, "zone"), ({"zone": "Europe"}, "zone"),
        ({"quiet_hours": {"from": "24:00", "until": "07:00"}}, "quiet_hours"),
        ({"quiet_hours": {"from": "22:00"}}, "quiet_hours"),
        ({"quiet_hours": {"from": "22:00", "until": "22:00"}}, "quiet_hours"),
        ({"quiet_hours": {"from": "22:00", "until": "07:00", "action": "sing"}}, "quiet_hours"),
        ({"volume": 11}, "volume"),
    ],
)  # fmt: skip
def test_wrong_settings_are_named(body: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        changed_settings(SETTINGS, body)
    assert list(caught.value.errors) == [field]


# --- quiet hours ---


def test_quiet_hours_are_those_of_the_users_wall() -> None:
    night = quiet("22:00", "07:00")
    assert quiet_until(night, at(21, 59)) is None
    assert quiet_until(night, at(22)) == at(7, day=2)
    assert quiet_until(night, at(3, day=2)) == at(7, day=2)
    assert quiet_until(night, at(7, day=2)) is None
    noon = quiet("12:00", "13:30")
    assert quiet_until(noon, at(12, 15)) == at(13, 30)
    assert quiet_until(noon, at(13, 30)) is None
    assert quiet_until(SETTINGS, at(3)) is None


def test_quiet_hours_on_the_night_of_summer_time() -> None:
    night = quiet("22:00", "07:00")
    end = quiet_until(night, at(23, day=28, month=3))
    assert end == datetime(2026, 3, 29, 5, tzinfo=timezone.utc)  # 7:00 is two hours from UTC by then
    assert end is not None
    assert end - at(23, day=28, month=3) == timedelta(hours=7)


def test_urgent_kinds_pass_and_others_are_held_or_dropped() -> None:
    night, now = quiet("22:00", "07:00"), at(23)
    assert told_at(night, NoticeKind.FAILURE_DETECTED, now) == now
    assert told_at(night, NoticeKind.PRINT_DONE, now) == at(7, day=2)
    assert told_at(quiet("22:00", "07:00", action="drop"), NoticeKind.PRINT_DONE, now) is None
    none_urgent = changed_settings(night, {"urgent": {"failure_detected": False}})
    assert told_at(none_urgent, NoticeKind.FAILURE_DETECTED, now) == at(7, day=2)


@given(
    st.integers(0, 1439), st.integers(0, 1439), st.sampled_from(["UTC", "Europe/Berlin", "America/New_York"]),
    st.datetimes(datetime(2026, 1, 1), datetime(2026, 12, 31)),
)  # fmt: skip
def test_quiet_hours_end_soon_and_outside_of_themselves(begin: int, end: int, zone: str, naive: datetime) -> None:
    settings = replace(SETTINGS, quiet_from=begin, quiet_until=end, zone=zone)
    now = naive.replace(tzinfo=timezone.utc)
    found = quiet_until(settings, now)
    if found is not None:
        assert now <= found <= now + timedelta(hours=25)


# --- retries ---


def test_the_pauses_grow_and_end() -> None:
    assert [pause_after(tries, 0) for tries in range(1, 9)] == [10, 60, 300, 1800, 7200, 21600, 86400, None]
    assert pause_after(0, 0) is None


@given(st.integers(1, len(PAUSES)), st.floats(0, 1))
def test_jitter_only_adds(tries: int, chance: float) -> None:
    pause = pause_after(tries, chance)
    assert pause is not None
    assert PAUSES[tries - 1] <= pause <= PAUSES[tries - 1] * (1 + JITTER)


# --- messages ---

PRINTER = Printer(3, 1, 'The "big" one', "token", NOON)
JOB = Print(5, 1, 3, 1, "clip.gcode", NOON, finished_at=NOON, ended_reason=EndedReason.DONE)
NOTICE = Notice(
    9, 1, 3, 5, NoticeKind.PRINT_DONE, "Print Job Finished", "it\nis", NOON, 4, "events/3/a.jpg",
    {"ended_reason": "done"},
)  # fmt: skip


def body(channel: Channel = HOOK, notice: Notice = NOTICE, job: Print | None = JOB) -> Any:
    return json.loads(compose("uid", channel, notice, PRINTER, job, LINKS, urgent=False).body)


def test_the_standard_body() -> None:
    assert body() == {
        "id": "uid", "event": "print_done", "created_at": "2026-06-01T12:00:00.000000Z",
        "data": {
            "title": "Print Job Finished", "text": "it\nis", "url": "https://printers.example.org/#/prints/5",
            "image_url": "https://pic/events/3/a.jpg", "notice_id": 9, "printer": {"id": 3, "name": 'The "big" one'},
            "print": {"id": 5, "filename": "clip.gcode", "started_at": "2026-06-01T12:00:00.000000Z",
                      "ended_at": "2026-06-01T12:00:00.000000Z", "ended_reason": "done"},
            "details": {"ended_reason": "done"},
        },
    }  # fmt: skip
    bare = replace(NOTICE, print_id=None, image_path=None)
    assert body(notice=bare, job=None)["data"]["url"] == "https://printers.example.org/#/printers/3"


def test_the_signature_is_that_of_time_and_body() -> None:
    expected = hmac.new(b"key", b'1700000000.{"a":1}', hashlib.sha256).hexdigest()
    assert sign("key", "1700000000", b'{"a":1}') == f"v1={expected}"


def test_a_template_gives_text_in_strings_and_values_outside() -> None:
    named = '{"content": "{{data.title}}: {{ data.printer.name }}"'
    template = named + ', "print": {{data.print.id}}, "n": {{data.details}}}'
    assert body(replace(HOOK, template=template)) == {
        "content": 'Print Job Finished: The "big" one', "print": 5, "n": {"ended_reason": "done"}
    }  # fmt: skip


def test_a_template_that_no_longer_fits_gives_way() -> None:
    assert body(replace(HOOK, template="{{data.gone}}"))["event"] == "print_done"


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{{nothing}}", "no nothing"), ('{"a": {{event}}', "no JSON"), ("{" * 3, "begin a name"),
        ('{"a": "{{Event}}"}', "begin a name"), ("x" * (LONGEST + 1), "characters"), ("{{event}}" * 201, "names"),
        ('{"a": "{{data.x}}"}', "no data.x"), ("[" * 9000, "no JSON"), ("[{{event.__class__}}]", "no event"),
    ],
)  # fmt: skip
def test_a_bad_template_is_explained(template: str, words: str) -> None:
    with pytest.raises(BadTemplate, match=words):
        render(template, {"event": "x", "data": {}})


@given(st.text(), st.text())
def test_whatever_a_value_is_the_body_stays_json(title: str, name: str) -> None:
    template = '{"a": "<{{data.title}}>", "b": [{{data.title}}, "{{data.name}}{{data.title}}"]}'
    found = json.loads(render(template, {"data": {"title": title, "name": name}}))
    assert found == {"a": f"<{title}>", "b": [title, name + title]}


# --- what becomes a notice ---


def event(kind: EventKind, title: str = "x") -> PrinterEvent:
    return PrinterEvent(1, 1, 3, 5, kind, EventClass.INFO, title, "", NOON)


@pytest.mark.parametrize(
    ("kind", "title", "expected"),
    [
        (EventKind.STARTED, "", "print_started"), (EventKind.PAUSED, "", "print_paused"),
        (EventKind.RESUMED, "", "print_resumed"), (EventKind.FILAMENT_CHANGE, "camera.gcode: x", "filament_change"),
        (EventKind.PRINTER_ERROR, "Klipper has stopped", "printer_error"),
        (EventKind.PRINTER_ERROR, "Camera: no picture", "camera_trouble"),
        (EventKind.PRINTER_ERROR, "The agent's disk is full", "agent_trouble"),
        (EventKind.PRINTER_ERROR, "camera mount.gcode: resumed", "printer_error"),
        # What our agents say of cameras and of themselves (agent_core/features/watches.py, runtime/core.py).
        (EventKind.PRINTER_ERROR, "Camera Has Stopped", "camera_trouble"),
        (EventKind.PRINTER_ERROR, "Camera Is Back", "camera_trouble"),
        (EventKind.PRINTER_ERROR, "Agent Has Trouble With Its Storage", "agent_trouble"),
        (EventKind.ENDED, "", "print_done"), (EventKind.ALERT_MUTED, "", None), (EventKind.FAILURE_ALERTED, "", None),
    ],
)  # fmt: skip
def test_the_kind_of_an_event(kind: EventKind, title: str, expected: str | None) -> None:
    found = kind_of(event(kind, title), JOB)
    assert (found.value if found else None) == expected


@pytest.mark.parametrize(
    ("reason", "expected"),
    [(EndedReason.DONE, "print_done"), (EndedReason.CANCELLED, "print_cancelled"), (EndedReason.ERROR, "print_failed"),
     (EndedReason.LOST, "print_failed"), (None, "print_done")],
)  # fmt: skip
def test_the_kind_of_an_end(reason: EndedReason | None, expected: str) -> None:
    found = kind_of(event(EventKind.ENDED), replace(JOB, ended_reason=reason))
    assert found is not None
    assert found.value == expected
