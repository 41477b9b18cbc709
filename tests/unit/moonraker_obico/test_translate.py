"""What the recordings do not show: time-lapse frames, prints back to back, unseen ends, a clock that is set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent_core.gcode.index import GCodeIndex
from agent_core.model import (
    ActivePrint,
    AlertRaised,
    HostEvent,
    NothingPrints,
    Phase,
    PrintBegan,
    PrintEnded,
    PrinterReported,
    PrinterUnknown,
    PrintFound,
    PrintOutcome,
    PrintPaused,
    PrintResumed,
)
from moonraker_obico.history import HistoryJob, read_job, read_jobs
from moonraker_obico.klippy import Klippy, Want
from moonraker_obico.objects import TIMELAPSE_MACRO
from moonraker_obico.translate import Translator

T0 = 1_795_000_000.0
A, B = "a.gcode", "b.gcode"


def full(state: str = "standby", filename: str = "", duration: float = 0.0) -> dict[str, Any]:
    return {
        "webhooks": {"state": "ready", "state_message": "Printer is ready"},
        "print_stats": {
            "state": state, "filename": filename, "message": "", "total_duration": duration, "print_duration": duration,
            "filament_used": 1.0, "info": {},
        },
        "virtual_sdcard": {"progress": 0.1, "file_position": 10, "is_active": state == "printing"},
        TIMELAPSE_MACRO: {"is_paused": False},
    }  # fmt: skip


def job(filename: str, start: float, status: str = "in_progress", end: float | None = None) -> HistoryJob:
    return HistoryJob(filename, status, start, end, total_duration=100.0, filament_used=5.0)


class Told:
    """A Translator, and the events so far without reports."""

    def __init__(
        self, remembered: ActivePrint | None = None, index_of: Callable[[str], GCodeIndex | None] = lambda _: None
    ) -> None:
        self.translator = Translator(remembered, index_of)
        self.events: list[HostEvent] = []
        self.reports: list[PrinterReported] = []

    def take(self, events: list[HostEvent]) -> list[HostEvent]:
        new: list[HostEvent] = [event for event in events if not isinstance(event, PrinterReported)]
        self.reports += [event for event in events if isinstance(event, PrinterReported)]
        self.events += new
        return new

    def ready(self, status: dict[str, Any], now: float) -> list[HostEvent]:
        self.take(self.translator.klippy_changed(Klippy.READY, None, now))
        return self.take(self.translator.subscribed(status, now))

    def stats(self, now: float, **fields: Any) -> list[HostEvent]:
        return self.take(self.translator.status_changed({"print_stats": fields}, now))

    def printing(self, filename: str = A, now: float = T0) -> PrintBegan:
        self.ready(full(), now - 1)
        self.stats(now, state="printing", filename=filename, total_duration=0.1)
        (event,) = self.take(self.translator.history_changed("added", job(filename, now), now + 0.01))
        assert isinstance(event, PrintBegan)
        self.events.clear()
        return event


def test_a_print_waits_for_its_history_entry_and_takes_its_identity() -> None:
    told = Told()
    told.ready(full(), T0)
    assert told.stats(T0 + 1, state="printing", filename=A, total_duration=0.2) == []
    assert told.translator.take_wants() == {Want.HISTORY, Want.METADATA, Want.DIAMETER}
    # Asked too early: the entry of the print before is the newest yet.
    assert told.take(told.translator.history_listed([job(A, T0 - 500, "completed", T0 - 400)], T0 + 1.01)) == []
    assert told.take(told.translator.history_changed("added", job(A, T0 + 1.3), T0 + 1.02)) == [
        PrintBegan(int(T0 + 1), A, T0 + 1)
    ]


def test_without_a_history_klippers_own_clock_counts() -> None:
    told = Told()
    told.ready(full(), T0)
    told.stats(T0 + 10, state="printing", filename=A, total_duration=3.0)
    assert told.take(told.translator.history_listed(None, T0 + 10.1)) == [PrintBegan(int(T0 + 7), A, T0 + 7)]


def test_a_lost_history_entry_delays_a_start_by_one_second_only() -> None:
    told = Told()
    told.ready(full(), T0)
    told.stats(T0 + 10, state="printing", filename=A, total_duration=0.0)
    due = told.translator.due()
    assert due == T0 + 11
    (began,) = told.take(told.translator.tick(due))
    assert isinstance(began, PrintBegan)
    # An entry without a name, or for the same print later, begins nothing (recording 04b).
    assert told.take(told.translator.history_changed("added", job("", T0 + 60), T0 + 60)) == []
    assert told.take(told.translator.history_changed("added", job(A, T0 + 61), T0 + 61)) == []


def test_time_lapse_frames_are_no_pauses() -> None:
    told = Told()
    told.printing()
    status = told.translator.status_changed
    told.take(status({TIMELAPSE_MACRO: {"is_paused": True}, "print_stats": {"state": "paused"}}, T0 + 5))
    told.take(status({TIMELAPSE_MACRO: {"is_paused": False}}, T0 + 6))
    told.take(status({"print_stats": {"state": "printing"}}, T0 + 6.25))
    assert told.events == []
    assert told.reports[-1].report.phase is Phase.PRINTING


def test_a_pause_that_outlasts_the_frame_is_one() -> None:
    told = Told()
    told.printing()
    status = told.translator.status_changed
    told.take(status({TIMELAPSE_MACRO: {"is_paused": True}, "print_stats": {"state": "paused"}}, T0 + 5))
    told.take(status({TIMELAPSE_MACRO: {"is_paused": False}}, T0 + 6))
    told.take(status({"virtual_sdcard": {"progress": 0.2}}, T0 + 8.5))
    assert told.events == [PrintPaused(T0 + 8.5)]


def test_pause_and_resume() -> None:
    told = Told()
    told.printing()
    told.stats(T0 + 5, state="paused")
    told.stats(T0 + 9, state="printing")
    assert told.events == [PrintPaused(T0 + 5), PrintResumed(T0 + 9)]
    assert [report.urgent for report in told.reports[-2:]] == [True, True]


def test_prints_back_to_back_within_one_tick_are_two() -> None:
    told = Told()
    told.printing()
    assert told.stats(T0 + 100, filename=B, total_duration=0.1) == []
    jobs = [job(B, T0 + 100), job(A, T0, "completed", T0 + 99.9)]
    told.take(told.translator.history_listed(jobs, T0 + 100.1))
    ended, began = told.events
    assert isinstance(ended, PrintEnded)
    assert (ended.outcome, ended.at) == (PrintOutcome.DONE, T0 + 99.9)
    assert began == PrintBegan(int(T0 + 100), B, T0 + 100)


def test_the_same_file_again_within_one_tick_is_another_print() -> None:
    told = Told()
    told.printing()
    told.stats(T0 + 50, total_duration=50.0)
    told.stats(T0 + 60, total_duration=0.1)
    jobs = [job(A, T0 + 60), job(A, T0, "cancelled", T0 + 59.9)]
    told.take(told.translator.history_listed(jobs, T0 + 60.1))
    ended, began = told.events
    assert isinstance(ended, PrintEnded)
    assert ended.outcome is PrintOutcome.CANCELLED
    assert began == PrintBegan(int(T0 + 60), A, T0 + 60)


def test_an_error_line_just_before_a_cancel_is_why() -> None:
    told = Told()
    told.printing()
    assert told.take(told.translator.gcode_line("!! Move out of range: 999", T0 + 5)) == [
        AlertRaised("Klipper Reports an Error", "Move out of range: 999", T0 + 5, event_class="ERROR")
    ]
    assert told.take(told.translator.gcode_line("!! Move out of range: 999", T0 + 5.1)) == []  # once
    ended = told.stats(T0 + 6, state="cancelled")[0]
    assert isinstance(ended, PrintEnded)
    assert (ended.outcome, ended.reason) == (PrintOutcome.FAILED, "Move out of range: 999")


def test_an_old_or_harmless_error_line_is_not_why() -> None:
    for line, wait in (("!! Unknown thing", 10.0), ("!! SD busy", 0.1)):
        told = Told()
        told.printing()
        told.take(told.translator.gcode_line(line, T0 + 5))
        ended = told.stats(T0 + 5 + wait, state="cancelled")[0]
        assert isinstance(ended, PrintEnded)
        assert ended.outcome is PrintOutcome.CANCELLED


def test_klipper_that_comes_back_printing_never_stopped() -> None:
    """Klippy throws out a Moonraker that does not read; the print goes on."""
    told = Told()
    told.printing()
    told.take(told.translator.klippy_changed(Klippy.DISCONNECTED, None, T0 + 50))
    told.take(
        told.translator.history_changed("finished", job(A, T0, "klippy_disconnect", T0 + 50), T0 + 50)
    )  # fmt: skip
    told.ready(full("printing", A, 51.0), T0 + 51)
    told.take(told.translator.history_listed([job(A, T0, "klippy_disconnect", T0 + 50)], T0 + 51.1))
    assert [type(event) for event in told.events] == [PrinterUnknown, PrintFound]
    assert told.translator.print_ts == int(T0)


def test_klipper_gone_for_long_ends_the_print() -> None:
    told = Told()
    told.printing()
    told.take(told.translator.klippy_changed(Klippy.DISCONNECTED, None, T0 + 50))
    assert told.translator.due() == T0 + 60
    told.take(told.translator.tick(T0 + 60))
    assert told.translator.take_wants() >= {Want.HISTORY}
    told.take(told.translator.history_listed([job(A, T0, "klippy_disconnect", T0 + 50.1)], T0 + 60.1))
    ended = told.events[-1]
    assert isinstance(ended, PrintEnded)
    assert (ended.outcome, ended.at) == (PrintOutcome.FAILED, T0 + 50.1)
    assert told.translator.due() is None


def test_a_socket_lost_says_nothing_of_the_print() -> None:
    told = Told()
    told.printing()
    assert told.take(told.translator.socket_lost("away", T0 + 9)) == [PrinterUnknown("away", T0 + 9)]
    assert told.translator.due() is None
    assert told.translator.print_ts == int(T0)


def test_a_print_that_ended_while_we_were_away_has_its_true_end() -> None:
    remembered = ActivePrint(int(T0), A, T0)
    for status, outcome in (
        ("completed", PrintOutcome.DONE), ("cancelled", PrintOutcome.CANCELLED), ("error", PrintOutcome.FAILED),
        ("klippy_shutdown", PrintOutcome.FAILED),
    ):  # fmt: skip
        told = Told(remembered)
        assert told.ready(full("standby"), T0 + 500) == []
        told.take(told.translator.history_listed([job(A, T0, status, T0 + 200)], T0 + 500.1))
        ended, nothing = told.events
        assert isinstance(ended, PrintEnded)
        assert (ended.outcome, ended.at) == (outcome, T0 + 200)
        assert ended.report is not None
        assert ended.report.progress.print_time == 100.0
        assert isinstance(nothing, NothingPrints)


def test_an_end_that_no_history_tells_of_is_read_from_print_stats() -> None:
    for state, outcome in (
        ("complete", PrintOutcome.DONE), ("cancelled", PrintOutcome.CANCELLED), ("error", PrintOutcome.FAILED),
        ("standby", PrintOutcome.FAILED),
    ):  # fmt: skip
        told = Told(ActivePrint(int(T0), A, T0))
        told.ready(full(state, A), T0 + 500)
        told.take(told.translator.history_listed([job(A, T0, "server_exit", T0 + 20)], T0 + 500.1))
        ended = told.events[0]
        assert isinstance(ended, PrintEnded)
        assert (ended.outcome, ended.at) == (outcome, T0 + 500.1)


def test_another_print_found_after_ours_ended() -> None:
    told = Told(ActivePrint(int(T0), A, T0))
    told.ready(full("printing", A, 10.0), T0 + 40)
    told.take(
        told.translator.history_listed([job(A, T0 + 30), job(A, T0, "cancelled", T0 + 20)], T0 + 40.1)
    )  # fmt: skip
    ended, found = told.events
    assert isinstance(ended, PrintEnded)
    assert (ended.outcome, ended.at) == (PrintOutcome.CANCELLED, T0 + 20)
    assert found == PrintFound(int(T0 + 30), A, T0 + 40.1)


def test_a_late_history_entry_does_not_make_two_prints_of_one() -> None:
    told = Told()
    told.ready(full(), T0)
    told.stats(T0 + 1, state="printing", filename=A, total_duration=0.0)
    told.take(told.translator.tick(T0 + 2))
    told.take(told.translator.socket_lost("away", T0 + 20))
    told.ready(full("printing", A, 24.0), T0 + 25)
    told.take(told.translator.history_listed([job(A, T0 + 4)], T0 + 25.1))
    assert [event.ts for event in told.events if isinstance(event, PrintBegan | PrintFound)] == [int(T0 + 1)] * 2
    assert not [event for event in told.events if isinstance(event, PrintEnded)]


def test_a_clock_that_is_set_delays_nothing() -> None:
    told = Told()
    told.printing()
    told.take(told.translator.klippy_changed(Klippy.DISCONNECTED, None, T0 + 50))
    told.translator.clock_set(-86400.0)
    assert told.translator.due() == T0 + 60 - 86400.0


def test_reports_are_coalesced_and_phases_are_not() -> None:
    told = Told()
    told.printing()
    before = len(told.reports)
    for tick in range(40):  # ten seconds of temperatures
        told.take(told.translator.status_changed({"extruder": {"temperature": 200.0 + tick}}, T0 + 1 + tick / 4))
    assert 9 <= len(told.reports) - before <= 11
    told.stats(T0 + 11.05, state="paused")
    assert told.reports[-1].report.phase is Phase.PAUSED


def test_a_printer_is_busy_while_it_prints_or_heats() -> None:
    heaters = {"heaters": {"available_heaters": ["extruder"]}}
    for state, target, busy in (("standby", 0.0, False), ("standby", 200.0, True), ("paused", 0.0, True)):
        told = Told()
        told.ready({**full(state, A), **heaters, "extruder": {"temperature": 25.0, "target": target}}, T0)
        assert told.translator.busy is busy


def test_foreign_input_harms_nothing() -> None:
    told = Told()
    told.printing()
    strange: list[Any] = [
        None,
        5,
        "x",
        [],
        {"print_stats": None},
        {"print_stats": {"state": 7}},
        {"webhooks": {"state": []}},
    ]
    for rubbish in strange:
        told.take(told.translator.status_changed(rubbish, T0 + 5))
    assert read_job({"start_time": "x"}) is None
    assert read_job(None) is None
    assert read_jobs({"jobs": [None, {"filename": A}]}) == []
    told.take(told.translator.subscribed(None, T0 + 6))


def test_the_same_file_again_within_a_second_has_an_identity_of_its_own() -> None:
    """Else the server would take the second print for the first, which is over."""
    told = Told()
    told.printing(A, T0 + 0.1)
    told.stats(T0 + 0.4, state="cancelled", total_duration=0.3)
    told.stats(T0 + 0.6, state="printing", total_duration=0.0)
    (second,) = told.take(told.translator.history_changed("added", job(A, T0 + 0.6), T0 + 0.61))
    assert isinstance(second, PrintBegan)
    assert second.ts == int(T0) + 1
    # Seen anew after a break it is still itself.
    told.take(told.translator.socket_lost("away", T0 + 5))
    told.ready(full("printing", A, 9.4), T0 + 10)
    jobs = [job(A, T0 + 0.6), job(A, T0 + 0.1, "cancelled", T0 + 0.4)]
    (found,) = told.take(told.translator.history_listed(jobs, T0 + 10.1))
    assert isinstance(found, PrintFound)
    assert found.ts == second.ts


def _figures(told: Told) -> tuple[PrintOutcome, float | None, float | None]:
    (ended,) = [event for event in told.events if isinstance(event, PrintEnded)]
    assert ended.report is not None
    return ended.outcome, ended.report.progress.filament_used, ended.report.progress.print_time


@pytest.mark.parametrize(
    ("state", "outcome"),
    [("complete", PrintOutcome.DONE), ("cancelled", PrintOutcome.CANCELLED), ("error", PrintOutcome.FAILED)],
)
def test_filament_at_the_end_is_klippers_last_word(state: str, outcome: PrintOutcome) -> None:
    """A farm takes it off the spool. Klipper tells the last of it together with the end, or before it."""
    told = Told()
    told.printing()
    told.stats(T0 + 50, filament_used=415.0, total_duration=50.0)  # the end retracts
    told.stats(T0 + 60, state=state, filament_used=412.5, total_duration=60.2)
    assert _figures(told) == (outcome, 412.5, 60.2)
    told = Told()
    told.printing()
    told.stats(T0 + 60, filament_used=412.5, total_duration=60.2)
    told.stats(T0 + 60.1, state=state)
    assert _figures(told) == (outcome, 412.5, 60.2)


def test_a_macro_that_resets_the_file_leaves_the_figures_of_the_print() -> None:
    told = Told()
    told.printing()
    told.stats(T0 + 60, filament_used=412.5, total_duration=60.2)
    told.stats(T0 + 60.1, state="standby", filename="", filament_used=0.0, total_duration=0.0)
    assert _figures(told)[1:] == (412.5, 60.2)


def test_a_klipper_that_stops_leaves_the_figures_of_the_print() -> None:
    told = Told()
    told.printing()
    told.stats(T0 + 60, filament_used=412.5, total_duration=60.2)
    told.take(told.translator.klippy_changed(Klippy.SHUTDOWN, "MCU lost", T0 + 61))
    assert _figures(told) == (PrintOutcome.FAILED, 412.5, 60.2)


@pytest.mark.parametrize(
    ("state", "outcome"),
    [("error", PrintOutcome.FAILED), ("complete", PrintOutcome.DONE), ("cancelled", PrintOutcome.CANCELLED)],
)
def test_a_print_that_lived_within_one_tick_is_told(state: str, outcome: PrintOutcome) -> None:
    told = Told()
    told.ready(full(), T0)
    message = "Extrude below minimum temp" if state == "error" else ""
    began, ended, nothing = told.stats(T0 + 10, state=state, filename=A, message=message, total_duration=0.2)
    assert began == PrintBegan(int(T0 + 9), A, T0 + 9)
    assert isinstance(ended, PrintEnded)
    assert (ended.outcome, ended.at, ended.reason) == (outcome, T0 + 10, message or None)
    assert nothing == NothingPrints(T0 + 10)
    # Its history comes after it, and makes no second one of it.
    told.take(told.translator.history_changed("added", job(A, T0 + 9.8), T0 + 10.1))
    told.take(told.translator.history_changed("finished", job(A, T0 + 9.8, "error", T0 + 10), T0 + 10.1))
    assert told.stats(T0 + 11, total_duration=0.2) == []
    # Another try of another file in the same way is another print.
    again, *_ = told.stats(T0 + 10.5, filename=B, total_duration=0.0)
    assert isinstance(again, PrintBegan)
    assert again.ts > began.ts


def test_a_file_that_is_reset_is_no_print() -> None:
    told = Told()
    told.ready(full("complete", A, 100.0), T0)
    assert told.stats(T0 + 1, state="standby", filename="", total_duration=0.0) == []
    assert told.stats(T0 + 2, filename=B) == []
    assert told.stats(T0 + 3, state="error", filename="") == []
