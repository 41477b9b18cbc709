"""The server goes and comes back in mid-print, for all printers at once: nothing is lost, nothing is told twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from demo.parts import Server
from demo.processes import wait_for
from tests.e2e.rig import KlipperPrinter, OctoPrintPrinter, Printer, database_is_sound, unix

pytestmark = [pytest.mark.octoprint, pytest.mark.moonraker, pytest.mark.timeout(240)]

AWAY_SECONDS = 20.0
CLOSE = 1.0
"""s between the true end of a print and what the server records."""


def begin_all(printers: list[OctoPrintPrinter | KlipperPrinter], name: str) -> dict[Printer, int]:
    """A print under way on each; the Prints' ids."""
    for printer in printers:
        printer.start(name)
    return {printer: int(printer.current()["id"]) for printer in printers}


def test_server_killed_in_mid_print(server: Server, printers: list[OctoPrintPrinter | KlipperPrinter]) -> None:
    numbers = begin_all(printers, "killed.gcode")
    server.kill()
    assert database_is_sound(server.database)
    server.start()
    for printer in printers:
        printer.wait_connected(60)
        assert printer.current()["id"] == numbers[printer]
        assert printer.act("pause_print") == "done"
    for printer in printers:
        assert printer.act("resume_print") == "done"
        printer.finish()
    for printer in printers:
        assert printer.ended(numbers[printer])["ended_reason"] == "done"
        assert printer.events(numbers[printer]) == ["STARTED", "PAUSED", "RESUMED", "ENDED"]


def test_server_away_while_the_prints_end(
    server: Server, printers: list[OctoPrintPrinter | KlipperPrinter], capsys: pytest.CaptureFixture[str]
) -> None:
    """20 s without a server: one print ends well, one is cancelled; both ends are learnt, with their times."""
    numbers = begin_all(printers, "away.gcode")
    assert server.stop() == 0
    gone = time.monotonic()
    wanted: dict[Printer, str] = {}
    ends: dict[Printer, float] = {}
    for number, printer in enumerate(printers):
        wanted[printer] = "cancelled" if number == 1 else "done"
        (printer.host_cancel if number == 1 else printer.finish)()
    for printer in printers:
        wait_for(idle_of(printer), 40, f"{printer.name} to be idle", every=0.05)
        ends[printer] = end_of(printer)
    threading.Event().wait(max(0.0, gone + AWAY_SECONDS - time.monotonic()))
    server.start()
    back = time.time()
    for printer in printers:
        found = printer.ended(numbers[printer], 60)
        late = unix(found["ended_at"]) - ends[printer]
        with capsys.disabled():
            print(f"\n  {printer.name}: {wanted[printer]}, recorded {late:+.2f} s from the true end, "
                  f"{back - ends[printer]:.0f} s before the server was back")  # fmt: skip
        assert found["ended_reason"] == wanted[printer]
        assert abs(late) < CLOSE
        assert back - unix(found["ended_at"]) > 5, "the end must have been in the outage"
        assert printer.events(numbers[printer]) == ["STARTED", "ENDED"]
    for printer in printers:
        printer.wait_state("Operational", 60)


def idle_of(printer: OctoPrintPrinter | KlipperPrinter) -> Callable[[], bool]:
    if isinstance(printer, OctoPrintPrinter):
        host = printer.host
        return lambda: host.state() == "OPERATIONAL"
    return printer.idle


def end_of(printer: OctoPrintPrinter | KlipperPrinter) -> float:
    """Unix time of the end of the print, as its host has it."""
    if isinstance(printer, KlipperPrinter):
        wait_for(lambda: printer.klipper.job().get("end_time"), 10, "Moonraker's history to have the end")
        return float(printer.klipper.job()["end_time"])
    return printer.ended_at_host()
