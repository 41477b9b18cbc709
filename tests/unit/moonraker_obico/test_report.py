"""What is reported of a Klipper (payload-mapping.md, column M, *Better*)."""

from __future__ import annotations

from typing import Any

import pytest

from agent_core.model import Phase, Temperature
from moonraker_obico.heaters import klipper_names, public_name, temperatures
from moonraker_obico.objects import merge, readings, subscription
from moonraker_obico.report import FileFacts, fraction_done, ready_report, time_left

METADATA: dict[str, Any] = {
    "size": 52894, "modified": 1795197654.7686727, "gcode_start_byte": 1000, "gcode_end_byte": 51000,
    "layer_count": 24, "object_height": 4.8, "estimated_time": 363.0, "layer_height": 0.2, "first_layer_height": 0.2,
    "filament_total": 724.73,
}  # fmt: skip


def status(**changes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    base: dict[str, dict[str, Any]] = {
        "print_stats": {
            "state": "printing", "filename": "toys/clip.gcode", "message": "", "total_duration": 200.0,
            "print_duration": 100.0, "filament_used": 30.5, "info": {"total_layer": None, "current_layer": None},
        },
        "virtual_sdcard": {"progress": 0.3, "file_position": 11000, "is_active": True},
        "display_status": {"message": "hello"},
        "gcode_move": {"speed_factor": 1.0, "extrude_factor": 0.9, "gcode_position": [1.0, 2.0, 0.6, 3.0]},
        "fan": {"speed": 0.6},
        "heaters": {
            "available_heaters": ["extruder", "extruder1", "heater_bed", "heater_generic chamber", "heater_generic _x"],
            "available_sensors": [
                "extruder", "temperature_sensor chamber", "temperature_sensor board", "temperature_fan f",
            ],
        },
        "extruder": {"temperature": 214.8123, "target": 215.0},
        "extruder1": {"temperature": None, "target": 0.0},
        "heater_bed": {"temperature": 60.0, "target": 60.0},
        "heater_generic chamber": {"temperature": 40.0, "target": 45.0},
        "temperature_sensor chamber": {"temperature": 39.0},
        "temperature_sensor board": {"temperature": 31.2},
    }  # fmt: skip
    for name, fields in changes.items():
        base[name] = {**base[name], **fields}
    return base


FACTS = FileFacts("toys/clip.gcode", METADATA, average_time=5000.0, last_time=4900.0, user="maker")


def test_a_printing_printer() -> None:
    report = ready_report(status(), Phase.PRINTING, FACTS, 0.6)
    assert (report.job.name, report.job.path, report.job.origin) == ("clip.gcode", "toys/clip.gcode", "local")
    assert (report.job.size, report.job.date, report.job.user) == (52894, 1795197654, "maker")
    assert report.job.signature == "ts:1795197654.7686727"
    assert (report.job.estimated_print_time, report.job.average_print_time, report.job.last_print_time) == (
        363.0, 5000.0, 4900.0,
    )  # fmt: skip
    assert report.job.filament["tool0"].length == 724.73
    assert report.job.filament["tool0"].volume == pytest.approx(1.74, abs=0.005)
    assert (report.progress.completion, report.progress.filepos) == (20.0, 11000)
    assert (report.progress.print_time, report.progress.print_time_includes_pauses) == (200.0, True)
    assert report.progress.print_time_left_origin == "mixed-analysis"
    assert report.progress.filament_used == 30.5
    assert (report.z, report.layer, report.total_layers, report.object_height) == (0.6, 3, 24, 4.8)
    assert (report.speed_factor, report.flow_factor, report.fan_speed, report.message) == (1.0, 0.9, 0.6, "hello")
    assert report.sd_ready


def test_heaters_have_the_names_that_every_payload_uses() -> None:
    assert temperatures(status()) == {
        "tool0": Temperature(214.81, 215.0),
        "tool1": Temperature(None, 0.0),
        "bed": Temperature(60.0, 60.0),
        "chamber": Temperature(40.0, 45.0),
        "chamber_sensor": Temperature(39.0, None),
        "board": Temperature(31.2, None),
    }
    names = klipper_names(status()["heaters"])
    assert (names["tool0"], names["bed"], names["chamber"]) == ("extruder", "heater_bed", "heater_generic chamber")
    assert names["heater_bed"] == "heater_bed"
    assert public_name("heater_generic _hidden") is None
    assert public_name("extruder_stepper e") == "e"


def test_nothing_is_made_up_without_facts() -> None:
    report = ready_report(
        {"print_stats": {"state": "printing", "filename": "a.gcode"}}, Phase.PRINTING, FileFacts(), None
    )  # fmt: skip
    assert (report.job.name, report.job.size, report.job.signature, report.job.filament) == ("a.gcode", None, None, {})
    assert (report.progress.completion, report.progress.print_time_left) == (None, None)
    assert (report.layer, report.total_layers, report.z, report.temperatures) == (None, None, None, {})


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"done": 0.01, "printed": 10.0, "estimated": 363.0, "speed": 1.0}, (353.0, "analysis")),
        ({"done": 0.5, "printed": 100.0, "estimated": 300.0, "speed": 1.0}, (150.0, "mixed-analysis")),
        ({"done": 0.9, "printed": 900.0, "estimated": 300.0, "speed": 1.0}, (100.0, "linear")),
        ({"done": 0.25, "printed": 100.0, "estimated": None, "speed": 1.0}, (300.0, "linear")),
        ({"done": 0.0, "printed": 0.0, "estimated": None, "speed": None}, (None, None)),
        ({"done": None, "printed": None, "estimated": 100.0, "speed": 2.0}, (50.0, "analysis")),
        ({"done": 0.0, "printed": 500.0, "estimated": 100.0, "speed": 1.0}, (1.0, "analysis")),
    ],
)
def test_time_left_trusts_the_slicer_first(given: dict[str, Any], expected: tuple[float | None, str | None]) -> None:
    left, origin = time_left(**given)
    assert (left if left is None else pytest.approx(left), origin) == expected


def test_progress_by_bytes_of_gcode() -> None:
    assert fraction_done(status(virtual_sdcard={"file_position": 500}), FACTS) == 0.0
    assert fraction_done(status(virtual_sdcard={"file_position": 52000}), FACTS) == 1.0
    assert fraction_done(status(), FileFacts("toys/clip.gcode")) == 0.3


@pytest.mark.parametrize(
    ("info", "metadata", "z", "expected"),
    [
        ({"total_layer": 20, "current_layer": 7}, METADATA, 9.0, (7, 20)),
        ({"total_layer": None, "current_layer": None}, METADATA, 0.2, (1, 24)),
        ({"total_layer": None, "current_layer": None}, METADATA, 99.0, (24, 24)),
        ({}, {"layer_height": 0.2, "first_layer_height": 0.3, "object_height": 4.3}, 0.5, (2, 21)),
        ({}, {}, 0.5, (None, None)),
        (None, METADATA, None, (None, None)),
    ],
)
def test_layers(info: Any, metadata: dict[str, Any], z: float | None, expected: tuple[int | None, int | None]) -> None:
    report = ready_report(
        status(print_stats={"info": info}), Phase.PRINTING, FileFacts("toys/clip.gcode", metadata), z
    )  # fmt: skip
    assert (report.layer, report.total_layers) == expected


def test_no_layers_before_the_first_extrusion_nor_when_idle() -> None:
    assert ready_report(status(print_stats={"print_duration": 0.0}), Phase.PRINTING, FACTS, 0.2).layer is None
    assert ready_report(status(print_stats={"state": "complete"}), Phase.OPERATIONAL, FACTS, 0.2).layer is None


def test_a_head_above_the_object_has_no_height_to_tell() -> None:
    lifted = status(gcode_move={"gcode_position": [0.0, 0.0, 10.0, 0.0]})
    assert ready_report(lifted, Phase.PAUSED, FACTS, 0.6).z is None


def test_after_the_end() -> None:
    done = ready_report(status(print_stats={"state": "complete"}), Phase.OPERATIONAL, FACTS, None)
    assert (done.progress.completion, done.progress.print_time_left) == (100.0, 0)
    cancelled = ready_report(status(print_stats={"state": "cancelled"}), Phase.OPERATIONAL, FACTS, None)
    assert cancelled.progress.completion is None
    failed = ready_report(
        status(print_stats={"state": "error", "message": "Move out of range"}), Phase.OPERATIONAL, FACTS, None
    )  # fmt: skip
    assert (failed.error, failed.error_flag) == ("Move out of range", True)


@pytest.mark.parametrize("rubbish", [None, 3, "x", float("nan"), float("inf"), True, [], {}])
def test_foreign_values_never_break_a_report(rubbish: Any) -> None:
    strange = {name: dict.fromkeys(fields, rubbish) for name, fields in status().items()}
    report = ready_report(strange, Phase.PRINTING, FileFacts("", dict.fromkeys(METADATA, rubbish)), None)
    assert report.phase is Phase.PRINTING


def test_only_named_fields_of_known_objects_are_subscribed() -> None:
    wanted = subscription(["print_stats", "extruder", "toolhead", "fan"], status()["heaters"])
    assert wanted["extruder"] == ["temperature", "target", "can_extrude"]
    assert wanted["temperature_sensor board"] == ["temperature"]
    assert "temperature_fan f" not in wanted
    assert "virtual_sdcard" not in wanted
    assert "estimated_print_time" not in wanted["toolhead"]


def test_an_idle_printers_sensors_are_looked_at_not_followed() -> None:
    heaters = status()["heaters"]
    wanted = subscription(["print_stats"], heaters, temperatures=False)
    assert wanted["extruder"] == ["target", "can_extrude"]
    assert wanted["heater_bed"] == ["target"]
    assert "temperature_sensor board" not in wanted
    assert readings(heaters)["temperature_sensor board"] == ["temperature"]


def test_merging_takes_changed_fields_and_leaves_rubbish() -> None:
    merged: dict[str, dict[str, Any]] = {"a": {"x": 1, "y": 2}}
    merge(merged, {"a": {"y": 3}, "b": {"z": 4}, "c": None, "d": 5})
    merge(merged, None)
    assert merged == {"a": {"x": 1, "y": 3}, "b": {"z": 4}}
