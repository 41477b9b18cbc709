"""Reports of faults: off by default, without secrets, and harmless to everybody else's Sentry."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import sentry_sdk
from sentry_sdk.transport import Transport

from agent_core.config import Secret
from agent_core.features import sentry
from agent_core.features.scrub import Scrubber, ScrubFilter
from tests.fakes.secrets import API_KEY, CAMERA_PASSWORD, PLANTED, TOKEN

DSN = Secret("https://0123456789abcdef@sentry.example/1")
LOGGER = "tests.sentry"


class Kept(Transport):  # type: ignore[misc]  # the package may be absent, as an extra may
    """Instead of the network."""

    events: list[dict[str, Any]]

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        type(self).events = []

    def capture_envelope(self, envelope: Any) -> None:
        for item in envelope.items:
            self.events.append(item.payload.json if item.payload.json is not None else json.loads(item.get_bytes()))


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger(LOGGER)
    yield found
    assert found.handlers == []


def started(scrubber: Scrubber) -> sentry.FaultReports:
    reports = sentry.start(
        DSN, release="3.0.0", agent="moonraker_obico", scrubber=scrubber, loggers=[LOGGER], transport=Kept
    )
    assert reports is not None
    return reports


def fail(logger: logging.Logger, text: str) -> None:
    local = f"a local {TOKEN}"
    try:
        raise ValueError(text if local else "")
    except ValueError:
        logger.exception("worker snapshots: a task failed: %s", text)


def fail_at(number: int, logger: logging.Logger) -> None:
    """Each number is a line of its own."""
    try:
        exec(compile("\n" * number + "1 / 0", "somewhere", "exec"), {})
    except ZeroDivisionError:
        logger.exception("elsewhere")


def test_off_by_default() -> None:
    assert sentry.start(None, release="3", agent="a", scrubber=Scrubber(), loggers=[LOGGER]) is None


def test_a_report_tells_where_and_no_secret(logger: logging.Logger) -> None:
    scrubber = Scrubber([TOKEN, API_KEY, CAMERA_PASSWORD])
    found = []
    for planted in PLANTED:
        reports = started(scrubber)
        fail(logger, planted.text)
        (event,) = Kept.events
        found.append(event)
        sentry.stop(reports, [LOGGER])
        assert planted.secret not in json.dumps(event), planted.kind
    event = found[0]
    (error,) = event["exception"]["values"]
    assert error["type"] == "ValueError"
    (frame,) = error["stacktrace"]["frames"]
    assert frame == {"filename": "agent_core/test_sentry.py", "function": "fail", "lineno": frame["lineno"]}
    assert event["logentry"]["formatted"].startswith("worker snapshots: a task failed: ")
    assert (event["release"], event["environment"]) == ("3.0.0", "moonraker_obico")
    assert "a local" not in json.dumps(found)
    assert set(event) <= {
        "event_id", "timestamp", "level", "platform", "release", "environment", "logger", "sdk", "logentry",
        "exception",
    }  # fmt: skip


def test_what_the_package_adds_does_not_go_along() -> None:
    event = {
        "event_id": "0" * 32, "request": {"data": TOKEN, "cookies": "a=b"}, "user": {"email": "jane@example.org"},
        "server_name": "pi", "breadcrumbs": [TOKEN], "extra": {"x": TOKEN}, "modules": {"a": "1"},
        "exception": {"values": [{"type": "E", "value": TOKEN, "stacktrace": {"frames": [{"vars": {"t": TOKEN}}]}}]},
    }  # fmt: skip
    left = sentry.cleaned(event, Scrubber([TOKEN]))
    assert left["event_id"] == "0" * 32
    assert set(left) == {"event_id", "logentry", "exception"}
    assert TOKEN not in json.dumps(left)
    assert "vars" not in json.dumps(left)


def test_a_fault_is_reported_once_an_hour_and_ten_at_most(logger: logging.Logger) -> None:
    reports = started(Scrubber())
    for _ in range(5):
        fail(logger, "again")
    assert len(Kept.events) == 1
    for number in range(40):
        fail_at(number, logger)
    assert len(Kept.events) == sentry.MOST_AN_HOUR
    logger.error("no exception, no report")
    sentry.stop(reports, [LOGGER])


def test_it_comes_before_the_handler_that_scrubs_and_leaves_others_alone(
    logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(ScrubFilter(Scrubber([TOKEN])))
    logger.addHandler(handler)
    reports = started(Scrubber([TOKEN]))
    fail(logger, TOKEN)
    assert len(Kept.events) == 1
    assert not sentry_sdk.get_client().is_active()
    sentry.stop(reports, [LOGGER])
    logger.removeHandler(handler)
    shown = capsys.readouterr().out
    assert "ValueError: ***" in shown
    assert TOKEN not in shown


def test_without_the_package_it_is_said(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    assert sentry.start(DSN, release="3", agent="a", scrubber=Scrubber(), loggers=[LOGGER]) is None
    assert "sentry-sdk is not installed" in caplog.text


def test_an_address_that_cannot_be_used_is_said(caplog: pytest.LogCaptureFixture) -> None:
    wrong = Secret("no address")
    assert sentry.start(wrong, release="3", agent="a", scrubber=Scrubber(), loggers=[LOGGER]) is None
    assert "sentry_dsn cannot be used" in caplog.text
    assert "no address" not in caplog.text


def test_nothing_is_imported_unless_it_is_switched_on() -> None:
    code = (
        "import sys, moonraker_obico.app, moonraker_obico.cli.run; from agent_core.features.scrub import Scrubber; "
        "from agent_core.features import sentry; sentry.start(None, release='', agent='', scrubber=Scrubber(), "
        "loggers=['']); print('sentry_sdk' in sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert found.stdout.strip() == "False", found.stderr
