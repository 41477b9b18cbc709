"""The main job on real OctoPrint (both versions) and real Moonraker: what is printed is what the server records."""

from __future__ import annotations

import itertools
import time

import pytest

from demo.processes import wait_for
from tests.e2e.rig import KlipperPrinter, OctoPrintPrinter, Printer, Watcher, unix

pytestmark = pytest.mark.timeout(180)

_number = itertools.count(1)


def fresh_name() -> str:
    return f"journey_{next(_number)}.gcode"


def begin(printer: Printer) -> tuple[str, int]:
    """A print under way that the server knows: its file name and the Print's id."""
    name = fresh_name()
    printer.start(name)
    current = printer.current()
    assert current["filename"] == name
    return name, int(current["id"])


def test_linked(printer: Printer) -> None:
    """By six-digit code, through the plugin's API or the command line: the server knows agent and version."""
    seen = printer.wait_state("Operational")
    assert seen["agent_name"] == ("moonraker_obico" if isinstance(printer, KlipperPrinter) else "octoprint_obico")
    assert seen["agent_version"].startswith("3.")
    assert seen["status"]["state"]["flags"]["operational"] is True


def test_start_pause_resume_done(printer: Printer) -> None:
    watcher = Watcher(printer.rest, printer.number)
    began = time.time()
    try:
        name, number = begin(printer)
        printer.wait_state("Printing")
        assert printer.act("pause_print") == "done"
        printer.wait_state("Paused")
        assert printer.act("resume_print") == "done"
        printer.wait_state("Printing")
        printer.finish()
        found = printer.ended(number)
        printer.wait_state("Operational")
    finally:
        watcher.close()
    assert found["filename"] == name
    assert (found["ended_reason"], found["cancelled_at"], found["error_text"]) == ("done", None, None)
    assert found["finished_at"] == found["ended_at"]
    assert began - 1 <= unix(found["started_at"]) <= unix(found["ended_at"]) <= time.time() + 1
    assert 0 < found["print_time"] <= unix(found["ended_at"]) - unix(found["started_at"]) + 1
    assert printer.events(number) == ["STARTED", "PAUSED", "RESUMED", "ENDED"]
    known = [state for state in watcher.states if state in {"Printing", "Paused", "Operational"}]
    assert _in_order(known, ["Printing", "Paused", "Printing", "Operational"]), watcher.states
    assert watcher.frames[-1]["current_print"] is None


def _in_order(seen: list[str], wanted: list[str]) -> bool:
    rest = iter(seen)
    return all(word in rest for word in wanted)


@pytest.mark.parametrize("where", ["server", "host"])
def test_cancel(printer: Printer, where: str) -> None:
    _, number = begin(printer)
    if where == "server":
        assert printer.act("cancel_print") == "done"
    else:
        printer.host_cancel()
    found = printer.ended(number)
    assert (found["ended_reason"], found["finished_at"]) == ("cancelled", None)
    assert found["cancelled_at"] == found["ended_at"]
    assert printer.events(number) == ["STARTED", "ENDED"]


def test_cancel_in_a_pause(printer: Printer) -> None:
    _, number = begin(printer)
    assert printer.act("pause_print") == "done"
    assert printer.act("cancel_print") == "done"
    found = printer.ended(number)
    assert found["ended_reason"] == "cancelled"
    assert printer.events(number) == ["STARTED", "PAUSED", "ENDED"]


def test_error(printer: Printer) -> None:
    _, number = begin(printer)
    why = printer.fail()
    found = printer.ended(number)
    assert found["ended_reason"] == "error"
    assert why in found["error_text"]
    assert found["finished_at"] is None
    assert printer.events(number) == ["STARTED", "ENDED"]
    printer.mend()
    printer.wait_state("Operational")


def test_agent_restarted_in_mid_print(printer: Printer) -> None:
    _, number = begin(printer)
    for how in ("term", "kill"):
        printer.reconnect(lambda: printer.restart_agent(how))  # noqa: B023
        assert printer.current()["id"] == number
    printer.finish()
    assert printer.ended(number)["ended_reason"] == "done"
    assert printer.events(number) == ["STARTED", "ENDED"]


def test_agent_restarted_in_a_pause(printer: Printer) -> None:
    _, number = begin(printer)
    assert printer.act("pause_print") == "done"
    printer.reconnect(lambda: printer.restart_agent("kill"))
    printer.wait_state("Paused")
    assert printer.act("resume_print") == "done"
    printer.finish()
    assert printer.ended(number)["ended_reason"] == "done"
    assert printer.events(number) == ["STARTED", "PAUSED", "RESUMED", "ENDED"]


def test_host_restarted_in_mid_print(printer: Printer) -> None:
    """OctoPrint takes its print down with it; Moonraker does not, and the Print goes on."""
    _, number = begin(printer)
    if isinstance(printer, OctoPrintPrinter):
        printer.host.stop()
        printer.host.start()
        found = printer.ended(number)
        assert found["ended_reason"] == "error"
        assert "restarted" in found["error_text"]
        assert printer.events(number) == ["STARTED", "ENDED"]
    elif isinstance(printer, KlipperPrinter):
        printer.klipper.moonraker.stop()
        printer.klipper.start_moonraker()
        printer.wait_state("Printing")
        assert printer.current()["id"] == number
        printer.finish()
        assert printer.ended(number)["ended_reason"] == "done"
        assert printer.events(number) == ["STARTED", "ENDED"]


def test_host_killed_in_mid_print(printer: Printer) -> None:
    """Power cut for OctoPrint, crash of Klipper's host process: the Print ends as an error, once."""
    _, number = begin(printer)
    if isinstance(printer, OctoPrintPrinter):
        printer.host.kill()
        printer.wait(lambda p: not p["agent_connected"] and p["status"] is None, 30, "the printer offline")
        printer.host.start()
    elif isinstance(printer, KlipperPrinter):
        printer.klipper.kill_klippy()
        printer.wait(lambda p: not p["status"] or not p["status"]["state"]["flags"]["operational"], 30, "Klipper gone")
        printer.klipper.start_klippy()
    found = printer.ended(number)
    assert found["ended_reason"] == "error"
    assert found["error_text"]
    assert printer.events(number) == ["STARTED", "ENDED"]
    if isinstance(printer, KlipperPrinter):
        wait_for(printer.idle, 60, "Klipper to be ready")
    printer.wait_state("Operational", 60)
