from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import permutations
from typing import Any

import pytest

from agent_core.features.event_gate import EventGate
from agent_core.features.event_texts import Sign
from agent_core.gcode.index import GCodeIndex, index
from agent_core.model import (
    ActivePrint,
    AlertRaised,
    HostEvent,
    Job,
    NothingPrints,
    Phase,
    PrintBegan,
    PrintCancelling,
    PrintEnded,
    PrinterReported,
    PrinterUnknown,
    PrintFound,
    PrintOutcome,
    PrintPaused,
    PrintResumed,
    Temperature,
)
from octoprint_obico.parking import is_parking
from octoprint_obico.report import FileFacts, Overrides, Reading, file_facts, phase_of, report
from octoprint_obico.translate import EXPLAIN_SECONDS, RESTARTED, Translator


def data(text: str = "Printing", **more: Any) -> dict[str, Any]:
    """What OctoPrint's get_current_data tells during a print."""
    job = {
        "file": {"name": "clip.gcode", "path": "toys/clip.gcode", "display": "clip", "origin": "local",
                 "size": 1000, "date": 1767000000},
        "estimatedPrintTime": 5400.5, "averagePrintTime": None, "lastPrintTime": None,
        "filament": {"tool0": {"length": 800.0, "volume": 2.0}, "tool1": {"length": 200.0, "volume": 0.0}},
        "user": "ada",
    }  # fmt: skip
    progress = {"completion": 25.0, "filepos": 250, "printTime": 60, "printTimeLeft": 180,
                "printTimeLeftOrigin": "estimate"}  # fmt: skip
    flags = {"sdReady": True, "error": False, "printing": True}
    return {
        "state": {"text": text, "flags": flags, "error": ""},
        "job": job,
        "progress": progress,
        "currentZ": 4.2,
        **more,
    }


def reading(state_id: str = "PRINTING", **more: Any) -> Reading:
    return Reading(state_id, data(**more.pop("data", {})), **more)


class Desk:
    """A Translator with a clock of its own and everything that it posted."""

    def __init__(self) -> None:
        self.posted: list[HostEvent] = []
        self.now = 1000.0
        self.waiting: list[tuple[float, Callable[[], None]]] = []
        self.translator = Translator(
            self.posted.append, lambda: self.now, lambda *call: self.waiting.append(call)
        )

    def event(self, name: str, /, **payload: Any) -> None:
        self.translator.event(name, payload)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.posted if isinstance(event, kind)]

    def lives(self) -> list[HostEvent]:
        return [event for event in self.posted if not isinstance(event, PrinterReported)]


@pytest.mark.parametrize(
    ("state_id", "phase", "ready", "closed"),
    [
        ("OPERATIONAL", Phase.OPERATIONAL, True, False),
        ("TRANSFERING_FILE", Phase.OPERATIONAL, False, False),
        ("TRANSFERRING_FILE", Phase.OPERATIONAL, False, False),
        ("PRINTING", Phase.PRINTING, False, False),
        ("PAUSED", Phase.PAUSED, False, False),
        ("PAUSING", Phase.PAUSING, False, False),
        ("RESUMING", Phase.RESUMING, False, False),
        ("FINISHING", Phase.FINISHING, False, False),
        ("CANCELLING", Phase.CANCELLING, False, False),
        ("STARTING", Phase.STARTING, False, False),
        ("DETECT_SERIAL", Phase.CONNECTING, False, False),
        ("DETECTING", Phase.CONNECTING, False, False),
        ("CLOSED", Phase.OFFLINE, False, True),
        ("OFFLINE", Phase.OFFLINE, False, True),
        ("CLOSED_WITH_ERROR", Phase.OFFLINE, False, True),
        ("ERROR", Phase.ERROR, False, True),
        ("SOMETHING_NEW", Phase.OFFLINE, False, True),
    ],
)
def test_phase_ready_and_closed_of_each_state(state_id: str, phase: Phase, ready: bool, closed: bool) -> None:
    seen = report(reading(state_id))
    assert (seen.phase, seen.ready, seen.closed_or_error) == (phase, ready, closed)
    assert phase_of(state_id) is phase


def test_text_printing_from_sd_is_printing_and_only_telling_texts_are_kept() -> None:
    assert report(Reading("PRINTING", data("Printing from SD"))).text is None
    assert report(Reading("DETECT_SERIAL", data("Detecting serial connection"))).text == "Detecting serial connection"
    offline = report(Reading("CLOSED_WITH_ERROR", data("Offline after error")))
    assert (offline.text, offline.error_flag) == ("Offline after error", True)


def test_job_progress_and_heaters() -> None:
    facts = FileFacts(
        "toys/clip.gcode", "local", hash="ab12", max_z=19.2, average_print_time=50.0, last_print_time=51.0
    )
    heat = {"tool0": {"actual": 200.1, "target": 210.0, "offset": 5},
            "bed": {"actual": None, "target": None, "offset": 0},
            "chamber": {"actual": None, "target": None, "offset": 0},
            "ambient": {"actual": 20.0, "target": None}, "toolbox": {"actual": 1.0}, "tool1": "rubbish"}  # fmt: skip
    seen = report(Reading("PRINTING", data(), heat, Overrides(speed_factor=1.5, message="hi"), facts))
    assert seen.temperatures == {"tool0": Temperature(200.1, 210.0, 5.0), "bed": Temperature(None, None, 0.0)}
    assert (seen.job.name, seen.job.path, seen.job.signature) == ("clip.gcode", "toys/clip.gcode", "md5:ab12")
    assert (seen.job.average_print_time, seen.job.last_print_time, seen.object_height) == (50.0, 51.0, 19.2)
    # A quarter of what all tools need, not the whole file's estimate.
    assert seen.progress.filament_used == 250.0
    assert (seen.z, seen.speed_factor, seen.message, seen.sd_ready) == (4.2, 1.5, "hi", True)


def test_a_file_without_a_hash_is_recognised_by_its_date() -> None:
    seen = report(Reading("PRINTING", data(), facts=FileFacts("toys/clip.gcode", "local")))
    assert (seen.job.hash, seen.job.signature) == (None, "ts:1767000000")


def test_facts_of_another_file_do_not_count() -> None:
    seen = report(Reading("PRINTING", data(), facts=FileFacts("other.gcode", "local", hash="zz", max_z=1.0)))
    assert (seen.job.hash, seen.job.signature, seen.object_height) == (None, None, None)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"state": None, "job": [], "progress": "x", "currentZ": float("nan")},
        {"state": {"flags": 3}, "job": {"file": {"size": "big", "name": 7}, "filament": {"tool0": None}}},
        {"progress": {"completion": float("inf"), "printTime": True}},
    ],
)
def test_foreign_values_of_wrong_kinds_read_as_unknown(wrong: Mapping[str, Any]) -> None:
    seen = report(Reading("OPERATIONAL", wrong))
    assert (seen.phase, seen.job.name, seen.job.size) == (Phase.OPERATIONAL, None, None)
    assert (seen.progress.completion, seen.progress.print_time, seen.z) == (None, None, None)


def test_metadata_are_read_with_care() -> None:
    found = file_facts(
        "a", "local",
        {"hash": "h", "analysis": {"printingArea": {"maxZ": 3}}, "statistics": {"lastPrintTime": {"p": 9.5}}}, "p",
    )  # fmt: skip
    assert (found.hash, found.max_z, found.last_print_time, found.average_print_time) == ("h", 3.0, 9.5, None)
    assert file_facts("a", "local", {"analysis": 3, "hash": 4}, "p") == FileFacts("a", "local")


def test_a_print_from_start_to_done() -> None:
    desk = Desk()
    desk.event("PrintStarted", name="clip.gcode", origin="local")
    desk.translator.reading(reading())
    desk.now = 1100.4
    desk.event("PrintPaused")
    desk.event("PrintResumed")
    desk.event("PrintDone", time=90.0)
    desk.event("PrintFailed", reason="error")
    assert [type(event) for event in desk.lives()] == [PrintBegan, PrintPaused, PrintResumed, PrintEnded]
    (began,), (ended,) = desk.of(PrintBegan), desk.of(PrintEnded)
    assert (began.ts, began.filename) == (1000, "clip.gcode")
    assert (ended.outcome, ended.at) == (PrintOutcome.DONE, 1100.4)
    last = ended.report.progress
    assert (last.completion, last.print_time, last.print_time_left, last.filament_used) == (100.0, 90.0, 0.0, 1000.0)


def test_a_cancel_is_told_once_with_the_last_figures() -> None:
    desk = Desk()
    desk.event("PrintStarted", name="clip.gcode", origin="local")
    desk.translator.reading(reading())
    desk.event("PrintCancelling")
    desk.event("PrintCancelled", time=61.0)
    desk.event("PrintFailed", reason="cancelled")
    assert [type(event) for event in desk.lives()] == [PrintBegan, PrintCancelling, PrintEnded]
    (ended,) = desk.of(PrintEnded)
    assert (ended.outcome, ended.report.progress.completion, ended.report.progress.print_time) == (
        PrintOutcome.CANCELLED, 25.0, 61.0,
    )  # fmt: skip


def test_two_prints_within_a_second_have_two_identities() -> None:
    desk = Desk()
    for _ in range(3):
        desk.event("PrintStarted", name="a", origin="local")
        desk.event("PrintFailed", reason="error", error="x")
    assert [event.ts for event in desk.of(PrintBegan)] == [1000, 1001, 1002]


@pytest.mark.parametrize("state", ["PAUSED", "PRINTING"])
def test_a_lost_connection_ends_a_streamed_print_with_the_printers_own_words(state: str) -> None:
    desk = Desk()
    desk.event("PrintStarted", name="a", origin="local")
    desk.translator.reading(reading(state))
    desk.event("Error", error="MINTEMP triggered", reason="firmware")
    desk.event("Disconnected")
    desk.event("PrintFailed", reason="error", error="MINTEMP triggered")
    (ended,) = desk.of(PrintEnded)
    assert (ended.outcome, ended.reason) == (PrintOutcome.FAILED, "MINTEMP triggered")
    (alert,) = desk.of(AlertRaised)
    assert (alert.kind, alert.text, alert.title) == ("PRINTER_ERROR", "MINTEMP triggered", "Heater Trouble")


FAILED = ("PrintFailed", {"reason": "error", "error": "unknown"})
GONE: tuple[str, dict[str, Any]] = ("Disconnected", {})
ERROR = ("Error", {"error": "MINTEMP triggered", "reason": "firmware"})


@pytest.mark.parametrize("order", [*permutations([FAILED, GONE, ERROR]), (FAILED, ERROR), (ERROR, FAILED)])
def test_the_reason_of_a_failure_is_found_in_whatever_order_its_events_come(
    order: tuple[tuple[str, dict[str, Any]], ...],
) -> None:
    desk = Desk()
    desk.event("PrintStarted", name="a", origin="local")
    for name, payload in order:
        desk.event(name, **payload)
        desk.now += 0.4
    assert [(end.outcome, end.reason) for end in desk.of(PrintEnded)] == [(PrintOutcome.FAILED, "MINTEMP triggered")]
    for _, call in desk.waiting:
        call()
    assert len(desk.of(PrintEnded)) == 1


def test_a_failure_without_a_reason_is_told_after_a_moment_with_its_own_time() -> None:
    desk = Desk()
    desk.event("PrintStarted", name="a", origin="local")
    desk.event(FAILED[0], **FAILED[1])
    assert desk.of(PrintEnded) == []
    desk.now = 1003.0
    ((seconds, give_up),) = desk.waiting
    give_up()
    give_up()
    (ended,) = desk.of(PrintEnded)
    assert (seconds, ended.at, ended.reason) == (EXPLAIN_SECONDS, 1000.0, "OctoPrint gave no reason")


def test_the_state_tells_why_before_the_error_does() -> None:
    desk = Desk()
    desk.event("PrintStarted", name="a", origin="local")
    desk.event(*GONE[:1])
    state = {"text": "Offline after error", "flags": {}, "error": "MINTEMP triggered"}
    desk.translator.reading(reading("CLOSED_WITH_ERROR", data={"state": state}))
    assert [end.reason for end in desk.of(PrintEnded)] == ["MINTEMP triggered"]


def test_the_next_print_waits_for_no_reason_of_the_last() -> None:
    desk = Desk()
    desk.event("PrintStarted", name="a", origin="local")
    desk.event(FAILED[0], **FAILED[1])
    desk.event("PrintStarted", name="b", origin="local")
    assert [type(event) for event in desk.lives()] == [PrintBegan, PrintEnded, PrintBegan]
    for _, call in desk.waiting:
        call()
    assert len(desk.of(PrintEnded)) == 1


@pytest.mark.parametrize("origin", ["sdcard", "printer"])
def test_a_print_from_the_card_may_go_on_without_octoprint(origin: str) -> None:
    desk = Desk()
    desk.event("PrintStarted", name="a", origin=origin)
    desk.event("Disconnected")
    desk.event("PrintFailed", reason="error")
    assert desk.of(PrintEnded) == []
    assert len(desk.of(PrinterUnknown)) == 1
    desk.now = 1300.0
    desk.event("PrintStarted", name="a", origin=origin)
    (found,) = desk.of(PrintFound)
    assert found.ts == desk.of(PrintBegan)[0].ts


def test_offline_says_nothing_of_prints_and_operational_says_that_there_is_none() -> None:
    desk = Desk()
    desk.translator.begin(None, reading("CLOSED"))
    assert desk.lives() == []
    desk.translator.reading(reading("OPERATIONAL"))
    desk.translator.reading(reading("OPERATIONAL"))
    assert [type(event) for event in desk.lives()] == [NothingPrints]


def test_an_idle_printer_ends_a_print_whose_end_was_missed_but_not_at_once() -> None:
    desk = Desk()
    desk.event("PrintStarted", name="a", origin="local")
    desk.translator.reading(reading("OPERATIONAL"))
    desk.now += 5
    desk.translator.reading(reading("OPERATIONAL"))
    assert desk.of(NothingPrints) == []
    desk.now += 6
    desk.translator.reading(reading("OPERATIONAL"))
    assert len(desk.of(NothingPrints)) == 1
    assert desk.translator.current is None


def test_a_print_that_was_on_when_octoprint_was_restarted_has_failed() -> None:
    desk = Desk()
    desk.translator.begin(ActivePrint(990, "clip.gcode", 990.0), reading("CLOSED"))
    (ended,) = desk.of(PrintEnded)
    assert (ended.outcome, ended.reason) == (PrintOutcome.FAILED, RESTARTED)


def test_an_agent_restarted_in_mid_print_finds_the_same_print() -> None:
    desk = Desk()
    desk.translator.begin(ActivePrint(700, "clip.gcode", 700.0), reading("PAUSED"))
    assert desk.lives() == [PrintFound(700, "clip.gcode", 1000.0, paused=True)]
    assert desk.translator.current == (700, "clip.gcode")


def test_a_print_that_nobody_remembers_is_dated_by_its_own_clock() -> None:
    desk = Desk()
    desk.translator.begin(None, reading("PRINTING"))
    assert desk.lives() == [PrintFound(940, "clip.gcode", 1000.0)]


def test_a_print_whose_start_was_missed_is_found() -> None:
    desk = Desk()
    for _ in range(12):
        desk.translator.reading(reading("PRINTING"))
        desk.now += 1
    assert [event.filename for event in desk.of(PrintFound)] == ["clip.gcode"]


def test_reports_are_at_most_one_a_second_and_only_of_changes_but_a_phase_is_told_at_once() -> None:
    desk = Desk()
    for _ in range(5):
        desk.translator.reading(reading("PRINTING"))
        desk.now += 0.5
    assert len(desk.of(PrinterReported)) == 1
    desk.translator.reading(reading("PRINTING", data={"currentZ": 5.0}))
    desk.now += 0.5
    desk.translator.reading(reading("PRINTING", data={"currentZ": 6.0}))
    assert [event.report.z for event in desk.of(PrinterReported)] == [4.2, 5.0]
    desk.translator.reading(reading("PAUSING"))
    assert desk.of(PrinterReported)[-1].urgent is True


def test_a_filament_change_is_told_in_a_print_only_and_at_most_every_ten_minutes() -> None:
    desk = Desk()
    desk.event("FilamentChange")
    desk.translator.small_talk(Sign.RUN_OUT, "The printer says: filament runout")
    assert desk.of(AlertRaised) == []
    desk.event("PrintStarted", name="a", origin="local")
    desk.event("FilamentChange")
    desk.translator.small_talk(Sign.CHANGE, "M600 was sent to the printer.")
    desk.translator.reading(reading("PAUSED"))
    desk.translator.small_talk(Sign.PAUSED_ITSELF, "The printer says: //action:paused")  # of our own pause
    desk.translator.small_talk(Sign.IDLE, "The printer says: Heating disabled by safety timer.")
    told = desk.of(AlertRaised)
    assert [alert.kind for alert in told] == ["FILAMENT_CHANGE", "FILAMENT_CHANGE", "PRINTER_ERROR"]
    gate = EventGate()
    assert [gate.lets(alert, 1, desk.now) for alert in told] == [True, False, True]
    assert gate.lets(told[1], 1, desk.now + 600)


def test_octolapse_s_stops_are_no_pauses() -> None:
    desk = Desk()
    desk.event("PrintStarted", name="a", origin="local")
    desk.translator.reading(reading())
    for _ in range(3):
        desk.translator.parked()
        desk.event("PrintPaused")
        desk.translator.reading(reading("PAUSED"))
        desk.now += 2.0
        desk.translator.reading(reading("RESUMING"))
        desk.event("PrintResumed")
        desk.translator.reading(reading())
        desk.now += 10.0
    assert desk.of(PrintPaused) == desk.of(PrintResumed) == []
    assert {event.report.phase for event in desk.of(PrinterReported)} == {Phase.PRINTING}


def test_a_pause_that_outlasts_octolapse_is_one() -> None:
    desk = Desk()
    desk.event("PrintStarted", name="a", origin="local")
    desk.translator.parked()
    desk.now += 1.0
    began = desk.now
    desk.event("PrintPaused")
    desk.translator.reading(reading("PAUSED"))
    desk.now += 3.0
    desk.translator.reading(reading("PAUSED"))
    desk.translator.reading(reading("PAUSED"))
    assert desk.of(PrintPaused) == [PrintPaused(began)]
    assert desk.of(PrinterReported)[-1].report.phase is Phase.PAUSED
    desk.event("PrintResumed")
    assert len(desk.of(PrintResumed)) == 1


def test_whose_lines_are_parking() -> None:
    assert is_parking({"plugin:octolapse", "snapshot_gcode"})
    assert not is_parking({"source:file", "filepos:1", "x:octolapse"})
    assert not is_parking({"trigger:printer.commands"})
    assert not is_parking(None)


def test_events_that_say_nothing_of_a_print_are_ignored() -> None:
    desk = Desk()
    for name in ("ZChange", "PrinterStateChanged", "PrintCancelled", "PrintDone", ""):
        desk.event(name)
    assert desk.posted == []


def test_layers_filament_and_time_come_from_the_files_index() -> None:
    gcode = b"".join(
        b";LAYER_CHANGE\n;Z:%.1f\nM73 P1 R%d\nM83\nG1 X1 E2\n" % (number * 0.2, 10 - number) for number in range(1, 6)
    )
    found = index([gcode])
    posted: list[HostEvent] = []
    asked: list[str | None] = []

    def index_of(job: Job) -> GCodeIndex:
        asked.append(job.path)
        return found

    translator = Translator(posted.append, lambda: 1000.0, lambda *_: None, index_of)
    begins = list(found.offsets)
    translator.reading(reading(data={"progress": {"filepos": begins[2], "completion": 40.0, "printTimeLeft": 5}}))
    seen = [event for event in posted if isinstance(event, PrinterReported)][-1].report
    assert (seen.layer, seen.total_layers, seen.z, seen.object_height) == (3, 5, 4.2, 1.0)
    assert seen.progress.filament_used == pytest.approx(4.0)
    assert seen.progress.print_time_left == pytest.approx(7 * 60, rel=0.2)
    assert len(asked) == 1
    translator.reading(reading("OPERATIONAL"))
    assert len(asked) == 1, "nothing prints: nothing is read"


def _one_print(name: str, **payload: Any) -> tuple[list[HostEvent], GCodeIndex]:
    """A print whose last reading was some bytes before its end, of a file that OctoPrint has not analysed."""
    found = index([b"M83\n", b";LAYER_CHANGE\n" + b"G1 X1 E2\n" * 50, b";LAYER_CHANGE\n" + b"G1 X1 E1\n" * 50])
    posted: list[HostEvent] = []
    translator = Translator(posted.append, lambda: 1000.0, lambda *_: None, lambda _: found)
    bare = {**data()["job"], "filament": None}
    bare["file"] = {**bare["file"], "size": found.size}
    progress = {"filepos": found.size // 2, "completion": 50.0, "printTime": 60}
    translator.event("PrintStarted", {"name": "clip.gcode", "origin": "local"})
    translator.reading(reading(data={"job": bare, "progress": progress}))
    if name == "PrintCancelled":
        translator.event("PrintCancelling", {})
        # OctoPrint clears its figures first.
        translator.reading(reading("CANCELLING", data={"job": bare, "progress": {}}))
    translator.event(name, {"time": 61.0, **payload})
    return posted, found


def test_filament_at_the_end_is_the_files_own_up_to_the_byte_of_the_end() -> None:
    """A farm takes it off the spool; without an analysis of OctoPrint's, which a new file does not have."""
    posted, found = _one_print("PrintDone")
    (ended,) = [event for event in posted if isinstance(event, PrintEnded)]
    assert ended.report is not None
    assert ended.report.progress.filament_used == found.total_filament == 150.0
    for name, more in (("PrintCancelled", {}), ("PrintFailed", {"reason": "error", "error": "x"})):
        at = int(found.size * 0.75)
        posted, found = _one_print(name, fileposition=at, **more)
        (ended,) = [event for event in posted if isinstance(event, PrintEnded)]
        assert ended.report is not None
        assert ended.report.progress.filepos == at
        assert ended.report.progress.filament_used == pytest.approx(found.at(at).filament)
        assert 100.0 < (ended.report.progress.filament_used or 0.0) < 150.0
        assert ended.report.progress.completion == 50.0
        # A position that cannot be is none; then the last one counts.
        for odd in (None, -1, found.size + 1, "x", True):
            posted, found = _one_print(name, fileposition=odd, **more)
            (ended,) = [event for event in posted if isinstance(event, PrintEnded)]
            assert ended.report is not None
            assert ended.report.progress.filament_used == pytest.approx(found.at(found.size // 2).filament)


def test_the_newest_figures_are_told_before_the_cancel() -> None:
    desk = Desk()
    desk.event("PrintStarted", name="clip.gcode", origin="local")
    desk.translator.reading(reading())
    desk.now += 0.5
    desk.translator.reading(reading(data={"progress": {"completion": 26.0, "filepos": 260, "printTime": 61}}))
    desk.event("PrintCancelling")
    told = [event.report.progress.filepos for event in desk.posted if isinstance(event, PrinterReported)]
    assert told == [250, 260], "the second came within a second of the first, and waited"
    assert isinstance(desk.posted[-1], PrintCancelling)
