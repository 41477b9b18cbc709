"""The simulated printer's own record: what a crash test takes for the truth must be true itself."""

from __future__ import annotations

import pytest

from agent_core.gcode.metadata import read_metadata
from demo.farm.parts import gcode
from demo.farm.printer import Refused, SimPrinter


def _begun(printer: SimPrinter, now: float, seconds: float = 10.0) -> None:
    printer.begin("a.gcode", "job 1", seconds, 2000.0, now)


def test_a_print_takes_its_time_and_leaves_its_part() -> None:
    told: list[str] = []
    printer = SimPrinter("Sim-01", told.append)
    assert printer.state == "standby"
    _begun(printer, 100.0)
    with pytest.raises(Refused, match="SD busy"):
        _begun(printer, 101.0)
    with pytest.raises(Refused):
        printer.clear()
    printer.advance(105.0)
    assert (printer.state, printer.progress(105.0)) == ("printing", 0.5)
    printer.advance(110.0)
    assert (printer.state, printer.part_on_bed) == ("complete", True)
    assert told == ["added", "progress", "finished"]
    _begun(printer, 120.0)
    printer.cancel(121.0)
    printer.clear()
    _begun(printer, 122.0)
    assert [each.on_part for each in printer.prints] == [False, True, False]
    assert [each.outcome for each in printer.prints] == ["completed", "cancelled", ""]


def test_a_pause_takes_no_printing_time() -> None:
    printer = SimPrinter("Sim-01")
    _begun(printer, 100.0)
    printer.pause(104.0)
    printer.advance(200.0)
    assert (printer.state, printer.progress(200.0)) == ("paused", 0.4)
    printer.resume(204.0)
    printer.advance(209.0)
    assert printer.state == "printing"
    printer.advance(210.0)
    assert printer.state == "complete"


def test_a_print_fails_where_it_is_told_to_and_only_that_one() -> None:
    printer = SimPrinter("Sim-01")
    printer.fail_at, printer.ejects = 0.5, True
    _begun(printer, 100.0)
    printer.advance(105.0)
    _begun(printer, 106.0)
    printer.advance(116.0)
    assert [each.outcome for each in printer.prints] == ["error", "completed"]
    assert not printer.part_on_bed


def test_no_two_prints_begin_in_one_second() -> None:
    """Their identity on the wire (wire-protocol.md §3)."""
    printer = SimPrinter("Sim-01")
    for _ in range(3):
        _begun(printer, 100.2)
        printer.cancel(100.3)
    assert [int(each.began) for each in printer.prints] == [100, 101, 102]


def test_its_files_say_what_a_slicer_says() -> None:
    content = gcode("job 17", 90, grams=12.5)
    facts = read_metadata([content])
    assert content.startswith(b"; job 17\n")
    assert (facts.estimated_time, facts.filament_weight, facts.filament_type) == (90, 12.5, "PLA")
