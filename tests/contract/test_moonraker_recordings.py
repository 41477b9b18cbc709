"""Every recording of a real Klipper and Moonraker reduces to the state, event and text of its README's table."""

from __future__ import annotations

import pytest

from agent_core.model import (
    ActivePrint,
    PrintBegan,
    PrintEnded,
    PrinterReported,
    PrintFound,
    PrintOutcome,
)
from tests.contract.moonraker_replay import RECORDINGS, Replay

IDLE = ["state Operational", "nothing prints"]
AWAY = ["state unknown"]  # the recording's end: the socket closes


def began(name: str) -> list[str]:
    return ["state Printing", f"began {name}"]


PAUSED = ["state Paused", "paused"]
RESUMED = ["state Printing", "resumed"]
DONE = ["ended done", *IDLE]
CANCELLED = ["ended cancelled", *IDLE]


def failed(text: str) -> list[str]:
    """A line of the file was refused: told as an alert, and as why the print failed."""
    return [f"alert: {text}", f"ended failed: {text}", *IDLE]


def stopped(text: str) -> list[str]:
    """Klipper shut down, or does not start: an error with its reason; nothing prints for certain."""
    return [f"alert: {text}", f"state Error: {text}", "nothing prints"]


def broken(text: str) -> list[str]:
    """The same in mid-print."""
    return [f"alert: {text}", f"ended failed: {text}", f"state Error: {text}", "nothing prints"]


def whole(name: str) -> list[str]:
    return [*began(name), *PAUSED, *RESUMED, *DONE]


RESTARTED = "ended failed: Klipper was stopped or restarted during the print"
MOTORS = (
    "The motors were switched off in the pause: Klipper no longer knows where x, y, z is. "
    "The print cannot be resumed as it is."
)
MCU = "Can not update MCU 'mcu' config as it is shutdown"
RANGE = "Move out of range: 999.000 100.000 0.600 [93.591]"
AREA = "Move exceeds maximum extrusion (0.962mm^2 vs 0.640mm^2)"

CURA, PRUSA, SHORT = "bracket_cura.gcode", "two_cubes_prusaslicer.gcode", "short_three_layers.gcode"
ABS, REL, REL91, ABS91 = "m82_g90.gcode", "m83_g90.gcode", "m83_g91.gcode", "m82_g91.gcode"

EXPECTED: dict[str, list[str]] = {
    "01_connect_idle": [*IDLE, *AWAY],
    # start, pause, resume, cancel
    "02_upload_start_pause_resume_cancel": [*IDLE, *began(PRUSA), *PAUSED, *RESUMED, *CANCELLED, *AWAY],
    # complete
    "03_upload_and_print_to_completion": [*IDLE, *began(CURA), *DONE, *AWAY],
    # error in file with on_error_gcode: CANCEL_PRINT; unknown command in file: the print goes on
    "04_print_errors": [
        *IDLE, *began("err_move_out_of_range.gcode"), *failed("Move out of range: 999.000 100.000 0.600 [879.314]"),
        *began("err_unknown_command.gcode"), *CANCELLED, *AWAY,
    ],
    # error in file, default on_error_gcode: the text stays in the state
    "04b_print_error_default_on_error_gcode": [
        *AWAY, *IDLE, *began("err_move_out_of_range.gcode"), f"alert: {RANGE}", f"ended failed: {RANGE}",
        f"state Operational: {RANGE}", "nothing prints", *AWAY,
    ],
    # RESTART and FIRMWARE_RESTART in mid-print
    "05_restart_firmware_restart_mid_print": [
        *IDLE, *began(CURA), *AWAY, RESTARTED, *IDLE, *began(CURA), *AWAY, RESTARTED, *IDLE, *AWAY,
    ],
    # klippy killed
    "06_klippy_process_killed": [
        *IDLE, *began(CURA), *AWAY, "ended failed: Klipper stopped during the print", *stopped(MCU), *AWAY,
    ],
    "06b_after_kill_firmware_restart": [f"state Error: {MCU}", "nothing prints", *AWAY, *IDLE, *AWAY],
    # emergency_stop; `paused` afterwards is no pause; printer.restart ends in error
    "07_emergency_stop": [
        *IDLE, *began(CURA), *broken("Shutdown due to webhooks request"), *AWAY, *stopped(MCU), *AWAY, *IDLE, *AWAY,
    ],
    # server.restart, then Moonraker killed: one print throughout
    "08_moonraker_restarted_with_client": [
        *IDLE, *began(CURA), *AWAY, "state Printing", f"found {CURA}", *CANCELLED, *AWAY,
    ],
    "09_webcams_history_database_files": [*IDLE, *AWAY],
    "10_unexpected_mcu_shutdown_mid_print": [
        *IDLE, *began(PRUSA), *broken("MCU 'mcu' shutdown: Stepper too far in past"),
    ],
    "11_pause_matrix": [
        *AWAY, *IDLE, *whole(ABS), *whole(ABS), *whole(REL), *whole(REL), *whole(REL91), *whole(REL91),
        *began(ABS91), *failed(AREA), *began(ABS91),
    ],
    "11b_pause_matrix": [
        *AWAY, *IDLE, *whole(ABS), *whole(ABS), *whole(REL), *whole(REL), *whole(REL91), *whole(REL91),
        *AWAY, *IDLE, *whole(ABS), *whole(REL91), *AWAY, *IDLE, *whole(ABS), *AWAY, *IDLE, *whole(ABS), *AWAY,
    ],
    "12_pause_and_cancel_while_heating": [
        *IDLE, *began(CURA), *PAUSED, *RESUMED, *CANCELLED, *began(CURA), *CANCELLED, *AWAY,
    ],
    "13_pause_heaters_limits": [
        *IDLE, *whole(ABS), *AWAY, *IDLE, *whole(ABS), *AWAY, *IDLE,  # H1, H2
        *began(ABS), *PAUSED, *failed("Extrude below minimum temp"),  # H3
        *whole(ABS),  # H4
        *began(ABS), *PAUSED, "alert: Move out of range: 60.000 58.000 500.400 [23.200]",  # H5
        "alert: Extrude only move too long (-150.000mm vs 100.000mm)", *RESUMED, *DONE,
        *AWAY, *IDLE, *whole(ABS), *AWAY, *IDLE,  # H6
        *began(ABS), *PAUSED, f"alert: {MOTORS}", *failed("Must home axis first: 60.000 60.000 0.400 [4.000]"),  # H7
        *AWAY, *IDLE,
        *began(ABS), *PAUSED, *RESUMED, *failed("Move exceeds maximum extrusion (5.773mm^2 vs 0.640mm^2)"),  # H8
        *began(ABS), *PAUSED, *CANCELLED, *AWAY,  # H9
    ],
    # config error
    "14_klippy_config_error": [
        *IDLE, *AWAY, *stopped("Section 'no_such_module' is not a valid config section"), *AWAY, *IDLE, *AWAY,
    ],
    # a second subscription finds the print again; SDCARD_RESET_FILE in mid-print; a stale is_paused is no pause
    "15_conflicts_while_printing": [
        *IDLE, *began(CURA), f"found {CURA}", *CANCELLED, *began(SHORT), *CANCELLED, *AWAY,
    ],
    # MCU lost
    "16_mcu_lost_mid_print": [
        *IDLE, *began(CURA), *broken("Lost communication with MCU 'mcu'"), *AWAY, *IDLE, *AWAY,
    ],
    "17_leftover_relative_mode_ruins_next_print": [
        *IDLE, *began(CURA), *failed("Move out of range: 300.000 270.000 15.200 [928.864]"),
    ],
    "18_recommended_sequence_and_races": [
        *AWAY, *IDLE, *whole(ABS), *AWAY, *IDLE, *whole(REL91), *AWAY, *IDLE,
        *whole(ABS), *whole(ABS), *whole(ABS), *whole(REL91), *AWAY,
    ],
    "19_prusaslicer_print_layers_exclude_object": [*IDLE, *whole(PRUSA), *AWAY],
    # the raw socket of Klippy, as far as Moonraker passes it on
    "20_klippy_uds_moonraker_side": [
        *AWAY, *IDLE, *whole(SHORT), *AWAY, *IDLE, *stopped("Shutdown due to webhooks request"), *AWAY, *IDLE, *AWAY,
    ],
    "20_ws_client_during_uds_recording": [
        *IDLE, *whole(SHORT), *AWAY, *IDLE, *stopped("Shutdown due to webhooks request"), *AWAY, *IDLE, *AWAY,
    ],
}  # fmt: skip

FILES = {path.name.split(".jsonl")[0]: path for path in sorted(RECORDINGS.glob("*.jsonl*"))}


def test_every_recording_has_its_expectation() -> None:
    assert set(FILES) == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_recording_reduces_to_its_table(name: str) -> None:
    assert Replay(FILES[name]).run().told == EXPECTED[name]


@pytest.mark.parametrize("name", ["02_upload_start_pause_resume_cancel", "08_moonraker_restarted_with_client"])
def test_a_print_keeps_the_start_time_of_its_history_entry(name: str) -> None:
    replay = Replay(FILES[name]).run()
    identities = {event.ts for _, event in replay.events if isinstance(event, PrintBegan | PrintFound)}
    entries = {job.ts for job in replay.jobs}
    assert len(identities) == 1
    assert identities <= entries


def test_an_agent_that_starts_after_moonraker_restarted_knows_the_print_by_the_closed_entry() -> None:
    replay = Replay(FILES["08_moonraker_restarted_with_client"])
    lines_before = 70.5  # Moonraker is back then; the agent starts only now
    replay.run_from(lines_before)
    found = [event for _, event in replay.events if isinstance(event, PrintFound)]
    assert [event.ts for event in found] == [1795198940]
    assert not any(isinstance(event, PrintBegan) for _, event in replay.events)


@pytest.mark.parametrize(
    ("name", "start", "outcome", "reason"),
    [
        ("07_emergency_stop", 75.0, PrintOutcome.FAILED, MCU),
        ("05_restart_firmware_restart_mid_print", 70.0, PrintOutcome.FAILED, RESTARTED.split(": ", 1)[1]),
    ],
)
def test_an_agent_away_at_the_end_tells_the_true_end_and_time(
    name: str, start: float, outcome: PrintOutcome, reason: str
) -> None:
    whole_run = Replay(FILES[name]).run()
    first = next(event for _, event in whole_run.events if isinstance(event, PrintBegan))
    late = Replay(FILES[name], remembered=ActivePrint(first.ts, first.filename, first.at))
    late.run_from(start)
    ended = next(event for _, event in late.events if isinstance(event, PrintEnded))
    truth = next(job for job in late.jobs if job.ts == first.ts)
    assert (ended.outcome, ended.reason, ended.at) == (outcome, reason, truth.end_time)
    assert ended.report is not None
    assert ended.report.progress.print_time == truth.total_duration


def test_layers_come_from_print_stats_where_the_slicer_sends_them() -> None:
    reports = [
        event.report
        for _, event in Replay(FILES["19_prusaslicer_print_layers_exclude_object"]).run().events
        if isinstance(event, PrinterReported)
    ]
    layers = [report.layer for report in reports if report.layer is not None]
    assert layers == sorted(layers)
    assert layers[-1] == 20
    assert {report.total_layers for report in reports if report.layer is not None} == {20}


def test_layers_are_estimated_from_the_height_without_its_hops() -> None:
    reports = [
        event.report
        for _, event in Replay(FILES["03_upload_and_print_to_completion"]).run().events
        if isinstance(event, PrinterReported)
    ]
    layers = [report.layer for report in reports if report.layer is not None]
    assert layers == sorted(layers)
    assert layers[-1] == 24


def test_progress_counts_gcode_bytes_only_and_never_goes_back() -> None:
    replay = Replay(FILES["03_upload_and_print_to_completion"]).run()
    done = [
        event.report.progress.completion
        for _, event in replay.events
        if isinstance(event, PrinterReported) and event.report.progress.completion is not None
    ]
    assert done[0] < 1.0  # the thumbnails at the file's start, a tenth of it, are no progress
    assert done == sorted(done)
    ended = next(event for _, event in replay.events if isinstance(event, PrintEnded))
    assert ended.report is not None
    assert ended.report.progress.completion == 100.0


def test_a_cancelled_print_keeps_the_figures_it_had() -> None:
    replay = Replay(FILES["02_upload_start_pause_resume_cancel"]).run()
    ended = next(event for _, event in replay.events if isinstance(event, PrintEnded))
    assert ended.report is not None
    assert ended.report.job.name == PRUSA
    assert ended.report.progress.completion is not None
    assert ended.report.progress.completion > 1.0
    assert ended.report.progress.filament_used is not None
