"""What is reported of a Klipper (payload-mapping.md, column M, *Better*)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from agent_core.gcode.index import GCodeIndex, index
from agent_core.model import Phase, PrintObjects, Temperature
from moonraker_obico.heaters import klipper_names, public_name, temperatures
from moonraker_obico.objects import merge, readings, subscription
from moonraker_obico.report import FileFacts, fraction_done, ready_report, time_left
from tests.unit.agent_core.test_gcode_index import HEADS, made
from tests.unit.moonraker_obico.test_translate import T0, Told, full

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


@pytest.mark.parametrize("style", HEADS)
def test_layers_at_ten_moments_of_each_slicers_style(style: str) -> None:
    """Layer and total of the place that is read, whatever the height is at that moment."""
    data, begins = made(style, 25)
    found = index([data])
    told = Told(index_of=lambda path: found if path == "/gcodes/a.gcode" else None)
    told.ready(full(), T0 - 1)
    told.printing()
    told.translator.metadata("a.gcode", {"size": len(data)})
    chance = random.Random(style)
    for number, position in enumerate(sorted(chance.sample(range(300, len(data)), 10))):
        now = T0 + 5.0 + 2 * number
        lifted = [0.0, 0.0, chance.uniform(0.0, 40.0), 0.0]
        told.take(
            told.translator.status_changed(
                {
                    "virtual_sdcard": {"file_path": "/gcodes/a.gcode", "file_position": position},
                    "gcode_move": {"gcode_position": lifted},
                    "print_stats": {"print_duration": 5.0 + number},
                },
                now,
            )
        )
        report = told.reports[-1].report
        true = sum(begin <= position for begin in begins)
        assert (report.progress.filepos, report.layer, report.total_layers) == (position, true, 25), style


def test_what_the_file_itself_tells_comes_first() -> None:
    """SET_PRINT_STATS_INFO; then no file is read at all."""
    asked: list[str] = []

    def index_of(path: str) -> GCodeIndex | None:
        asked.append(path)
        return None

    told = Told(index_of=index_of)
    told.ready(full(), T0 - 1)
    told.printing()
    info = {"info": {"current_layer": 3, "total_layer": 9}, "print_duration": 5.0}
    told.take(told.translator.status_changed({"print_stats": info, "virtual_sdcard": {"file_path": "/a"}}, T0 + 5))
    report = told.reports[-1].report
    assert (report.layer, report.total_layers, asked) == (3, 9, [])


def test_the_index_of_another_file_of_that_name_is_not_used() -> None:
    found = index([made("Cura")[0]])
    told = Told(index_of=lambda _: found)
    told.ready(full(), T0 - 1)
    told.printing()
    told.translator.metadata("a.gcode", {"size": found.size + 1})
    told.take(told.translator.status_changed({"virtual_sdcard": {"file_path": "/a", "file_position": 900}}, T0 + 5))
    told.take(told.translator.status_changed({"print_stats": {"print_duration": 5.0}}, T0 + 7))
    assert told.reports[-1].report.layer is None


def test_m73_is_the_slicers_own_share_of_the_time() -> None:
    def left(shown: float) -> float | None:
        figures = status(display_status={"progress": shown}, virtual_sdcard={"progress": 0.3})
        return ready_report(figures, Phase.PRINTING, FACTS, 0.6).progress.print_time_left

    assert left(0.3) == ready_report(status(), Phase.PRINTING, FACTS, 0.6).progress.print_time_left
    # 100 s printed, and half of the time by the file's own word: the pace says 100 s more, the slicer 263 s.
    assert left(0.5) == pytest.approx(0.5 * 263 + 0.5 * 100, abs=1)


def test_objects_on_the_plate() -> None:
    plate = {
        "current_object": "CUBE_ID_1",
        "objects": [{"name": "CUBE_ID_0", "center": [1, 2]}, {"name": "CUBE_ID_1"}, {"polygon": []}, 5],
        "excluded_objects": [{"name": "CUBE_ID_0"}],
    }
    with_objects = {**status(), "exclude_object": plate}
    found = ready_report(with_objects, Phase.PRINTING, FACTS, 0.6).objects
    assert found == PrintObjects("CUBE_ID_1", ("CUBE_ID_0", "CUBE_ID_1"), ("CUBE_ID_0",))
    assert ready_report(with_objects, Phase.OPERATIONAL, FACTS, 0.6).objects is None
    assert ready_report(status(), Phase.PRINTING, FACTS, 0.6).objects is None
    many = {**plate, "objects": [{"name": "x" * 500} for _ in range(500)]}
    bounded = ready_report({**status(), "exclude_object": many}, Phase.PRINTING, FACTS, 0.6).objects
    assert bounded is not None
    assert (len(bounded.names), len(bounded.names[0])) == (100, 80)
