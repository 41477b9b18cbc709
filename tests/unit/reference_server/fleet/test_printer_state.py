"""What a printer of the farm is doing, and what it calls itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from reference_server.services.clock import EPOCH
from reference_server.services.errors import Invalid
from reference_server.services.fleet.printer_fields import checked
from reference_server.services.fleet.printer_state import PrinterStatus, host_of, status_of
from reference_server.services.live import LivePrinter
from reference_server.services.model import Print, Printer, PrinterRecord
from tests.fakes.agent import idle_status, job_status

PRINTER = Printer(1, 1, "P", "t", EPOCH)
JOB = Print(5, 1, 1, 7, "a.gcode", EPOCH)


@pytest.mark.parametrize(
    ("name", "settings", "firmware"),
    [
        ("octoprint_obico", {"octoprint_version": "1.11.8"}, "OctoPrint 1.11.8"),
        ("octoprint_obico", {}, "OctoPrint"),
        ("moonraker_obico", {}, "Klipper"),
        (
            "moonraker_obico",
            {"printer_metadata": {"FIRMWARE_NAME": "Klipper", "FIRMWARE_VERSION": "v0.13.0-1"}},
            "Klipper v0.13.0-1",
        ),
        ("moonraker_obico", {"printer_metadata": {"FIRMWARE_NAME": "Klipper", "FIRMWARE_VERSION": 7}}, "Klipper"),
        ("mine", {}, "mine 1"),
        (None, {}, None),
    ],
)
def test_firmware(name: str | None, settings: dict[str, Any], firmware: str | None) -> None:
    version = "1" if name else None
    assert host_of(replace(PRINTER, agent_name=name, agent_version=version, settings=settings)) == firmware


def live(job: Print | None, status: dict[str, Any] | None, *, connected: bool = True) -> LivePrinter:
    made = LivePrinter(PrinterRecord(PRINTER, job, None, 1), agent_connected=connected)
    made.take_status(status, 0.0, may_be_old=False)
    return made


def test_status() -> None:
    closed = idle_status()
    closed["state"]["flags"]["closedOrError"] = True
    offline, idle, printing = PrinterStatus.OFFLINE, PrinterStatus.IDLE, PrinterStatus.PRINTING
    assert status_of(None) is offline
    assert status_of(live(JOB, job_status(), connected=False)) is offline
    assert status_of(live(None, None)) is offline
    assert status_of(live(None, closed)) is offline
    assert status_of(live(None, idle_status())) is idle
    assert status_of(live(replace(JOB, cancelled_at=EPOCH), idle_status())) is idle
    assert status_of(live(None, job_status())) is printing  # its start is on the way to the database
    assert status_of(live(JOB, job_status("Paused"))) is printing
    again = live(None, closed)
    again.take_status(idle_status(), 1.0, may_be_old=False)
    assert status_of(again) is idle


def test_fields() -> None:
    assert checked({"name": " a ", "tags": ["x", "y", "x"], "model": "M\0"}) == {
        "name": "a", "tags": ("x", "y"), "model": "M",
    }  # fmt: skip
    for wrong in ({"tags": ["a,b"]}, {"tags": [" "]}, {"tags": [str(n) for n in range(51)]}, {"location": "a\nb"},
                  {"model": "x" * 101}, {"name": ""}):  # fmt: skip
        with pytest.raises(Invalid) as found:
            checked(wrong)
        assert set(found.value.errors) == set(wrong)
