"""The smaller pure parts: watching, event texts, commands, settings, changes, throttle, live state."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone
from typing import Any

import pytest

from agent_core.wire.messages import AckState, CommandAck, CommandName
from reference_server.logs import JsonFormatter, TextFormatter, redact
from reference_server.realtime.peers import AckSupport, expected_acks
from reference_server.realtime.rate import RateGuard
from reference_server.services import agent_settings, event_text
from reference_server.services.commands import OUTCOMES_KEPT, CommandLog, CommandOutcome, CommandState, build
from reference_server.services.errors import Invalid, Throttled
from reference_server.services.live import CAMERAS_KEPT, STATUS_LIFE, LivePrinter, LivePrinters, Picture
from reference_server.services.model import ActionOnFailure, EventClass, EventKind, Print, Printer, PrinterRecord
from reference_server.services.printer_changes import changed
from reference_server.services.text import clean
from reference_server.services.throttle import Throttle, address_key
from reference_server.services.watching import not_watching_reason, should_watch

NOW = datetime(2026, 11, 20, tzinfo=timezone.utc)
PRINTING = {"state": {"flags": {"printing": True}}}


def printer(**changes: Any) -> Printer:
    return Printer(**{"id": 2, "user_id": 1, "name": "P", "auth_token": "t", "created_at": NOW, **changes})


def job(**changes: Any) -> Print:
    return Print(**{
        "id": 5, "user_id": 1, "printer_id": 2, "ext_id": 7, "filename": "a.gcode", "started_at": NOW, **changes,
    })  # fmt: skip


def record(current: Print | None = None, balance: float | None = None, sequence: int = 1, **more: Any) -> PrinterRecord:
    return PrinterRecord(printer(**more), current, balance, sequence)


@pytest.mark.parametrize(
    ("found", "status", "reason", "watch"),
    [
        (record(job(), watching_enabled=False), PRINTING, "AI failure detection is disabled", False),
        (record(job(), 0.0), PRINTING, "You have run out of AI Detection Hours", False),
        (record(None), PRINTING, "Printer is not actively printing", False),
        (record(job()), None, "Printer is not actively printing", True),
        (record(job()), {"state": "odd"}, "Printer is not actively printing", True),
        (record(job(alert_muted_at=NOW)), PRINTING, "Alerts are muted for current print", False),
        (record(job(), 3.0), PRINTING, None, True),
    ],
)
def test_watching(found: PrinterRecord, status: Any, reason: str | None, watch: bool) -> None:
    assert not_watching_reason(found, status) == reason
    assert should_watch(found) is watch


def test_event_titles_follow_the_spec() -> None:
    assert event_text.title_and_class(EventKind.ENDED, job()) == ("Print Job Finished", EventClass.SUCCESS)
    assert event_text.title_and_class(EventKind.ENDED, job(cancelled_at=NOW)) == (
        "Print Job Canceled", EventClass.WARNING,
    )  # fmt: skip
    assert event_text.title_and_class(EventKind.PAUSED, None) == ("Print Job Paused", EventClass.INFO)
    assert event_text.title_and_class(EventKind.FILAMENT_CHANGE, None)[0] == "Filament Change Required"
    assert "&lt;b&gt;" in event_text.text(printer(name="<b>"), job())


def test_pause_names_heaters_only_when_they_are_to_go_off() -> None:
    on = build(CommandName.PAUSE, printer(bed_off_on_pause=True), "web", "i").to_wire()
    assert on == {
        "cmd": "pause", "args": {"retract": 6.5, "lift_z": 2.5, "tools_off": True, "bed_off": True},
        "initiator": "web", "id": "i",
    }  # fmt: skip
    off = build(CommandName.PAUSE, printer(tools_off_on_pause=False), "api", None).to_wire()
    assert off == {"cmd": "pause", "args": {"retract": 6.5, "lift_z": 2.5}, "initiator": "api"}
    assert build(CommandName.CANCEL, printer(), "api", None).args == {}


def test_command_log_keeps_the_last_answers() -> None:
    log = CommandLog()
    for number in range(OUTCOMES_KEPT + 5):
        log.add(CommandOutcome(str(number), CommandName.PAUSE, "web", NOW))
    assert log.get("4") is None
    assert log.get("5") is not None
    last = str(OUTCOMES_KEPT + 4)
    assert log.apply(CommandAck(last, AckState.ACCEPTED)) is not None
    failed = log.apply(CommandAck(last, AckState.FAILED, "axis limit"))
    assert failed is not None
    assert (failed.state, failed.error) == (CommandState.FAILED, "axis limit")
    assert log.apply(CommandAck(last, AckState.DONE)) is None
    assert log.apply(CommandAck("nobody's", AckState.DONE)) is None
    log.give_up_all()
    other = log.get("7")
    assert other is not None
    assert other.state is CommandState.UNKNOWN
    late = log.apply(CommandAck("7", AckState.DONE))
    assert late is not None
    assert late.state is CommandState.DONE


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("octoprint_obico", "2.6.1", AckSupport.NO),
        ("moonraker_obico", "3.0.0.dev0", AckSupport.YES),
        ("moonraker_obico", "x", AckSupport.UNTRIED),
        ("other", "9.0", AckSupport.UNTRIED),
        (None, None, AckSupport.UNTRIED),
    ],
)
def test_what_an_agents_version_promises(name: str | None, version: str | None, expected: AckSupport) -> None:
    assert expected_acks(name, version) is expected


def test_settings_merge_by_key_and_survive_nonsense() -> None:
    first = agent_settings.merged(printer(), {
        "agent": {"name": "moonraker_obico", "version": "3.0.0"},
        "webcams": [{"name": "a", "is_primary_camera": True, "rotation": 270, "streamRatio": "4:3", "flipV": True}],
        "temperature": {"profiles": [{"name": "PLA", "bed": 60, "odd": [1]}, 5]},
        "platform_uname": ["Linux", 5], "printer_metadata": {"k": {"deep": 1}}, "data_channel_id": 3,
    })  # fmt: skip
    second = agent_settings.merged(first, {"webcams": None, "agent": 5, "installed_plugins": ["x"], "temperature": 1})
    shown = agent_settings.shown(second)
    assert (shown["agent_name"], shown["agent_version"]) == ("moonraker_obico", "3.0.0")
    assert (shown["webcam_rotation"], shown["webcam_rotate90"], shown["webcam_flipV"]) == (270, True, True)
    assert (shown["webcam_streamRatio"], shown["ratio169"]) == ("4:3", False)
    assert shown["temp_profiles"] == [{"name": "PLA", "bed": 60.0, "odd": None}]
    assert shown["platform_uname"] == ["Linux"]
    assert shown["printer_metadata"] == {"k": None}
    as_text = agent_settings.shown(second, as_text=True)
    assert (as_text["installed_plugins"], as_text["data_channel_id"]) == ('["x"]', "3")
    legacy = agent_settings.merged(printer(), {"webcam": {"flipH": True}})
    assert agent_settings.shown(legacy)["webcam_flipH"] is True


SHOWN = {"id": 2, "created_at": "then", "name": "P", "status": {"a": 1}, "auth_token": None, "archived_at": None}


def test_changes_are_checked_field_by_field() -> None:
    done = changed(printer(), {"name": " Q ", "action_on_failure": "NONE", "retract_on_pause": 0}, SHOWN)
    assert (done.name, done.action_on_failure, done.retract_on_pause) == ("Q", ActionOnFailure.NONE, 0)
    with pytest.raises(Invalid) as caught:
        changed(printer(), {
            "name": "", "retract_on_pause": float("nan"), "lift_z_on_pause": 101, "detective_sensitivity": 1.3,
            "watching_enabled": 1, "min_timelapse_secs_on_finish": 1.5, "action_on_failure": "X", "foo": 1,
            "status": {}, "id": 3,
        }, SHOWN)  # fmt: skip
    assert set(caught.value.errors) == {
        "name", "retract_on_pause", "lift_z_on_pause", "detective_sensitivity", "watching_enabled",
        "min_timelapse_secs_on_finish", "action_on_failure", "foo", "status", "id",
    }  # fmt: skip


def test_a_whole_object_sent_back_is_accepted_though_it_has_aged() -> None:
    body = {**SHOWN, "status": {"a": 0}, "auth_token": "secret", "name": "Q", "succeeded": True, "printer": {}}
    assert changed(printer(), body, SHOWN).name == "Q"
    with pytest.raises(Invalid):
        changed(printer(), {**SHOWN, "archived_at": "now"}, SHOWN)


def test_throttle_refills_and_forgets() -> None:
    clock = [0.0]
    throttle = Throttle(2, 10, lambda: clock[0])
    throttle.take("a")
    throttle.take("a")
    throttle.take("b")
    with pytest.raises(Throttled) as caught:
        throttle.take("a")
    assert caught.value.retry_after == 5
    clock[0] = 5.0
    throttle.take("a")
    with pytest.raises(Throttled):
        throttle.check("a")
    throttle.forget("a")
    throttle.check("a")


def test_addresses_of_one_household_count_as_one() -> None:
    assert address_key("2001:db8::1") == address_key("2001:db8::ffff") != address_key("2001:db8:0:1::1")
    assert address_key("10.0.0.1") == "10.0.0.1"
    assert address_key("unknown") == "unknown"


def picture(camera: str = "", primary: bool = True, path: str = "p") -> Picture:
    return Picture(camera, path, 1, 1, NOW, primary, is_nozzle=False)


def test_live_status_rules() -> None:
    live = LivePrinter(record())
    assert live.take_status({"_ts": 10}, 0.0, may_be_old=False) is True
    assert live.take_status({"_ts": 9}, 1.0, may_be_old=True) is False
    assert live.take_status(None, 1.0, may_be_old=True) is False
    assert live.take_status({"a": 1}, 1.0, may_be_old=False) is False
    assert live.status == {"_ts": 10}
    assert live.take_status({"_ts": 9}, 1.0, may_be_old=False) is True
    assert live.expire_status(STATUS_LIFE) is False
    assert live.expire_status(STATUS_LIFE + 1) is True
    assert live.take_status(None, 1.0, may_be_old=False) is False


def test_pictures_are_bounded_and_one_is_primary() -> None:
    live = LivePrinter(record())
    live.take_picture(picture("a", path="one"))
    assert live.take_picture(picture("b", path="two")) == ["one"]
    for number in range(CAMERAS_KEPT + 2):
        live.take_picture(picture(f"c{number}", primary=False, path=f"x{number}"))
    assert len(live.pictures) == CAMERAS_KEPT
    assert live.primary_picture is not None
    assert live.primary_picture.path == "two"


def test_an_older_record_never_replaces_a_newer() -> None:
    live = LivePrinters()
    live.put(record(sequence=5, name="new"))
    assert live.put(record(sequence=4, name="old")).record.printer.name == "new"
    assert live.put(record(sequence=5, name="same")).record.printer.name == "same"


def test_rate_guard_lets_bursts_through_and_then_slows_down() -> None:
    guard = RateGuard(3, 2.0)
    assert [guard.take(1.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert guard.take(3.0) == 0


def test_foreign_text_is_made_fit() -> None:
    assert clean(" a\0\ud800b ", 10) == "a?b"
    assert clean("abcdef", 3) == "abc"


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer SECRETSECRET", "GET /api/v1/octo/verify/?code=SECRET",
        "/media/a.jpg?expires=1&digest=SECRET",
        "/ws/token/web/SECRET/", "http://h/setup#SECRET", "http://me:SECRET@host/", "SECRET@example.org wrote",
    ],
)  # fmt: skip
def test_no_secret_reaches_a_log(text: str) -> None:
    assert "SECRET" not in redact(text)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_log_lines_carry_no_secret_even_in_a_traceback(log_format: str) -> None:
    formatter = JsonFormatter() if log_format == "json" else TextFormatter()
    try:
        raise ValueError("Bearer SECRETSECRET")
    except ValueError:
        record_ = logging.LogRecord("n", logging.INFO, "p", 1, "code %s", ("?code=SECRET",), sys.exc_info())
    line = formatter.format(record_)
    assert "SECRET" not in line
    assert "ValueError" in line
    if log_format == "json":
        assert json.loads(line)["message"] == "code ?code=***"
