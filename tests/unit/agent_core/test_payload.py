"""Every row of payload-mapping.md that payload.py is responsible for."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from agent_core import payload, reducer
from agent_core.config import AgentConfig, Secret
from agent_core.model import (
    ActivePrint,
    CameraInfo,
    Download,
    FilamentNeed,
    HostSettings,
    Job,
    Phase,
    PrinterReport,
    Progress,
    Temperature,
)
from agent_core.reducer import AgentState, EmitPrintEvent
from agent_core.wire import status as tree
from agent_core.wire.codec import encode
from agent_core.wire.messages import EventType

GOLDEN = Path(__file__).parents[2] / "golden"
CONFIG = AgentConfig("moonraker_obico", "3.0.0", "http://127.0.0.1:3334", Secret("t"), "data")

CLIP = PrinterReport(
    phase=Phase.PRINTING,
    sd_ready=True,
    job=Job(
        name="clip.gcode", path="toys/clip.gcode", display="clip.gcode", origin="local", size=812345, date=1766990000,
        estimated_print_time=5400.0, filament={"tool0": FilamentNeed(4120.5, 9.91)}, signature="ts:1766990000.1",
    ),
    progress=Progress(
        completion=32.4, filepos=263200, print_time=2000.0, print_time_includes_pauses=True, print_time_left=3690.0,
        print_time_left_origin="analysis", filament_used=1310.2,
    ),
    temperatures={
        "tool0": Temperature(214.8, 215.0), "bed": Temperature(60.0, 60.0), "enclosure": Temperature(31.2, None)
    },
    z=6.2, layer=31, total_layers=96, object_height=19.2, speed_factor=1.0, flow_factor=1.0, fan_speed=0.6,
)  # fmt: skip
PRINT = ActivePrint(1767000000, "clip.gcode", began_at=1767000000.0, paused_seconds=200.0, g_code_file_id=31)
STATE = AgentState(report=CLIP, print=PRINT, print_known=True)


def test_the_example_of_the_spec() -> None:
    """payload-mapping.md §10, with heaters named by architecture.md decision 4."""
    message = payload.status_message(STATE, 1767001800.4)
    expected = json.loads((GOLDEN / "status_clip.json").read_text(encoding="utf-8"))
    assert json.loads(str(encode(message))) == expected


def test_the_ts_is_null_minus_one_or_the_print() -> None:
    assert payload.current_print_ts(STATE) == 1767000000
    assert payload.current_print_ts(replace(STATE, print_known=False)) is None
    assert payload.current_print_ts(replace(STATE, print=None)) == -1
    assert "current_print_ts" not in payload.status_message(replace(STATE, print_known=False), 1.0).to_wire()


@pytest.mark.parametrize("phase", list(Phase))
def test_flags_of_each_phase(phase: Phase) -> None:
    flags = payload.flags(PrinterReport(phase=phase), phase)
    assert flags.printing == (phase is Phase.PRINTING)
    assert flags.paused == (phase is Phase.PAUSED)
    assert flags.operational == (phase is Phase.OPERATIONAL or phase.active)
    assert flags.ready == (phase is Phase.OPERATIONAL)
    assert flags.closed_or_error == (phase in {Phase.OFFLINE, Phase.ERROR})
    assert [flags.pausing, flags.resuming, flags.cancelling, flags.finishing] == [
        phase is Phase.PAUSING, phase is Phase.RESUMING, phase is Phase.CANCELLING, phase is Phase.FINISHING
    ]  # fmt: skip


def test_printing_is_never_true_in_a_pause() -> None:
    """Trap 12: OctoPrint 2.x sets the flag while paused."""
    report = PrinterReport(phase=Phase.PAUSED, printing=True)
    assert not payload.flags(report, Phase.PAUSED).printing
    assert payload.flags(PrinterReport(phase=Phase.STARTING, printing=True), Phase.STARTING).printing


def test_a_transitional_text_hides_layers_and_the_hosts_own_words() -> None:
    report = replace(CLIP, text="Printing from SD", ready=True)
    pausing = reducer.command_began(replace(STATE, report=report), Phase.PAUSING)
    status = payload.status(pausing, 1.0)
    assert (status.state.text, status.current_layer, status.total_layers) == ("Pausing", None, None)
    assert status.state.flags.pausing
    assert not status.state.flags.ready
    assert payload.status(replace(STATE, report=report), 1.0).state.text == "Printing from SD"


def test_print_time_excludes_pauses_running_and_past() -> None:
    paused = replace(STATE, print=replace(PRINT, paused_at=1767001900.0))
    assert payload.status(paused, 1767001950.0).progress.print_time == 2000.0 - 200.0 - 50.0
    own = replace(CLIP, progress=replace(CLIP.progress, print_time_includes_pauses=False))
    assert payload.status(replace(STATE, report=own), 1.0).progress.print_time == 2000.0


def test_what_is_not_a_number_becomes_null() -> None:
    broken = replace(
        CLIP, z=math.nan, progress=Progress(completion=math.inf), temperatures={"bed": Temperature(math.nan, None)}
    )  # fmt: skip
    status = json.loads(str(encode(payload.status_message(replace(STATE, report=broken), 1.0))))["status"]
    assert status["currentZ"] is None
    assert status["progress"]["completion"] is None
    assert status["temperatures"]["bed"] == {"actual": None, "target": None, "offset": 0}


def test_a_printers_endless_words_are_clipped() -> None:
    text = payload.status(replace(STATE, report=replace(CLIP, error="x" * 10_000)), 1.0).state.error
    assert text is not None
    assert len(text) == 500


def test_an_event_is_true_however_late_it_is_sent() -> None:
    effect = EmitPrintEvent(EventType.DONE, PRINT, 1767002000.5, CLIP, {"name": "clip.gcode"})
    wire = payload.event_message(effect, "id-1").to_wire()
    assert wire["current_print_ts"] == PRINT.ts
    assert wire["event"] == {
        "event_type": "PrintDone", "data": {"name": "clip.gcode"}, "id": "id-1", "at": 1767002000.5
    }  # fmt: skip
    assert wire["status"]["_ts"] == 1767002000.5
    assert wire["status"]["job"]["file"]["obico_g_code_file_id"] == 31


def test_a_pause_event_says_paused_even_if_the_report_lags() -> None:
    effect = EmitPrintEvent(EventType.PAUSED, PRINT, 1.0, CLIP)
    flags = payload.event_message(effect, "x").to_wire()["status"]["state"]["flags"]
    assert (flags["paused"], flags["printing"]) == (True, False)


def test_settings_repeat_the_agent_and_leave_out_what_is_not_known() -> None:
    assert payload.settings(CONFIG, HostSettings()).to_wire() == {
        "agent": {"name": "moonraker_obico", "version": "3.0.0"}
    }  # fmt: skip
    known = HostSettings(
        cameras=(CameraInfo("nozzle", primary=True, flip_h=True, rotation=90, ratio="16:9"),),
        temperature_profiles=({"name": "PLA", "bed": 60},),
        platform_uname=("Linux", ""),
        installed_plugins=("timelapse",),
        printer_metadata={"FIRMWARE_NAME": "Klipper"},
        extra={"octoprint_version": "1.11.8"},
    )
    wire = payload.settings(CONFIG, known).to_wire()
    assert wire["webcams"] == [
        {
            "name": "nozzle", "is_primary_camera": True, "is_nozzle_camera": False, "flipH": True, "flipV": False,
            "rotation": 90, "streamRatio": "16:9", "stream_mode": None, "stream_id": None,
        }
    ]  # fmt: skip
    assert wire["temperature"] == {"profiles": [{"name": "PLA", "bed": 60}]}
    assert wire["platform_uname"] == ["Linux", ""]
    assert wire["installed_plugins"] == ["timelapse"]
    assert wire["printer_metadata"] == {"FIRMWARE_NAME": "Klipper"}
    assert wire["octoprint_version"] == "1.11.8"


@pytest.mark.parametrize(
    ("viewing", "active", "ours", "period"),
    [
        (False, False, True, payload.QUIET_SECONDS), (False, False, False, payload.QUIET_SECONDS),
        (False, True, True, payload.ACTIVE_SECONDS), (False, True, False, payload.ACTIVE_ELSEWHERE_SECONDS),
        (True, True, True, payload.WATCHED_SECONDS), (True, False, True, payload.WATCHED_SECONDS),
        (True, True, False, payload.WATCHED_ELSEWHERE_SECONDS),
    ],
)  # fmt: skip
def test_the_first_status_goes_at_once_then_by_need(viewing: bool, active: bool, ours: bool, period: float) -> None:
    schedule = payload.Schedule()
    assert schedule.due(viewing=viewing, active=active, ours=ours) == 0.0
    assert schedule.sent(100.0).due(viewing=viewing, active=active, ours=ours) == 100.0 + period


@pytest.mark.parametrize(
    ("changes", "due"), [([150.0], 145.0), ([120.0], 120.0), ([100.01, 100.05], 100.0 + payload.URGENT_SECONDS)]
)
def test_urgent_changes_go_at_once_but_not_in_bursts(changes: list[float], due: float) -> None:
    schedule = payload.Schedule().sent(100.0)
    for change in changes:
        schedule = schedule.wanted(change)
    assert schedule.due(viewing=False, active=False, ours=True) == due


def test_pictures_are_taken_while_it_prints_only() -> None:
    assert payload.printing_for_pictures(STATE)
    assert not payload.printing_for_pictures(replace(STATE, report=PrinterReport(phase=Phase.PAUSED, printing=True)))


def test_a_download_is_shown_over_operational_only() -> None:
    idle = AgentState(report=PrinterReport(phase=Phase.OPERATIONAL, message="M117"), print_known=True)
    shown = payload.status(replace(idle, download=Download("clip.gcode", 1_000, 3_000)), 1.0).to_wire()
    assert shown["state"]["text"] == "G-Code Downloading"
    assert (shown["state"]["flags"]["operational"], shown["state"]["flags"]["ready"]) == (False, False)
    assert shown["display_status"]["message"] == "Downloading clip.gcode: 33 %"
    assert shown["download"] == {"name": "clip.gcode", "done": 1_000, "total": 3_000, "completion": 33.3}
    assert tree.Status.from_wire(shown).download == tree.Download("clip.gcode", 1_000, 3_000)
    unknown = payload.status(replace(idle, download=Download("clip.gcode", 5)), 1.0).to_wire()
    assert unknown["display_status"]["message"] == "Downloading clip.gcode"
    assert unknown["download"]["completion"] is None
    for other in (idle, replace(idle, report=CLIP, download=Download("clip.gcode"))):
        told = payload.status(other, 1.0).to_wire()
        assert "download" not in told
        assert told["state"]["text"] != "G-Code Downloading"
