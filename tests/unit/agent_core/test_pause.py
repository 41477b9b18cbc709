"""The plan of a pause and of a resume, its settings, its words and its record."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from agent_core.errors import Rejected
from agent_core.pause import (
    Machine,
    PausePlan,
    PauseSettings,
    is_bed,
    is_hot,
    number,
    outstanding,
    plan_pause,
    plan_resume,
    told_pause,
    told_resume,
)
from agent_core.pause_record import PauseRecord, Step

HOT = Machine(
    tool="extruder",
    targets={"extruder": 200.0, "heater_bed": 60.0},
    temperatures={"extruder": 200.0, "heater_bed": 60.0},
    can_extrude=True,
    max_retract=50.0,
    z_homed=True,
    z=10.0,
    z_max=180.0,
)
WISH = PauseSettings(6.5, 2.5, True, False)


def record(**changes: Any) -> PauseRecord:
    base = PauseRecord(
        filename="a.gcode", at=1000.0, tool="extruder", ts=77, print_clock=50.0, retract=6.5, retract_step=Step.DONE,
        e_before=100.0, lift=2.5, lift_step=Step.DONE, targets={"extruder": 200.0, "heater_bed": 60.0},
        extrude_target=200.0, heaters_off=("extruder",), idle_timeout=600.0, idle_prolonged=86400.0, idle_set_at=1001.0,
        warm_since=1000.0, e_value=7.2, flow=90.0, modes=("M83", "G90"), feedrate=900.0,
    )  # fmt: skip
    return base.but(**changes)


# --- settings


def test_settings_are_taken_and_absent_means_off() -> None:
    args = {"retract": 6.5, "lift_z": 2.5, "tools_off": True, "bed_off": False, "unknown": 1}
    assert PauseSettings.from_args(args) == WISH
    assert PauseSettings.from_args({}) == PauseSettings.from_args(None) == PauseSettings(0.0, 0.0, False, False)
    assert PauseSettings.from_args({"retract": None, "bed_off": None}) == PauseSettings()
    assert PauseSettings.from_args({"retract": 50, "lift_z": 100}) == PauseSettings(50.0, 100.0)


@pytest.mark.parametrize(
    "args",
    [
        {"retract": -0.1}, {"retract": 50.1}, {"lift_z": 100.5}, {"lift_z": -1}, {"retract": math.nan},
        {"lift_z": math.inf}, {"retract": "6.5"}, {"retract": True}, {"lift_z": [1]}, {"tools_off": 1},
        {"bed_off": "yes"}, [], "x",
    ],
)  # fmt: skip
def test_absurd_settings_are_rejected_before_anything_moves(args: Any) -> None:
    with pytest.raises(Rejected, match="pause: "):
        PauseSettings.from_args(args)


@pytest.mark.parametrize(
    ("value", "text"),
    [(6.5, "6.5"), (200, "200"), (1e-7, "0"), (-0.0, "0"), (1e5, "100000"), (0.1 + 0.2, "0.3"), (7.222222, "7.22222")],
)
def test_numbers_are_plain(value: float, text: str) -> None:
    assert number(value) == text


# --- pause


def test_a_hot_machine_gets_all_that_was_wished() -> None:
    plan = plan_pause(HOT, WISH)
    assert plan == PausePlan(6.5, 2.5, ("extruder",), {})
    assert told_pause(plan, {}) == "paused; retracted 6.5 mm; lifted 2.5 mm; extruder off"


def test_only_heaters_that_are_on_and_wished_go_off() -> None:
    machine = Machine(tool="tool1", targets={"tool0": 0.0, "tool1": 210.0, "tool2": 180.0, "bed": 60.0})
    assert plan_pause(machine, PauseSettings(tools_off=True)).heaters_off == ("tool1", "tool2")
    assert plan_pause(machine, PauseSettings(bed_off=True)).heaters_off == ("bed",)
    assert plan_pause(machine, PauseSettings()).heaters_off == ()
    assert plan_pause(Machine("extruder", {"heater_generic chamber": 60.0}), PauseSettings(tools_off=True, bed_off=True)
                      ).heaters_off == ()  # fmt: skip
    assert is_bed("heater_bed")
    assert not is_bed("extruder")


def test_promise_5_cold_is_safe_in_the_plan() -> None:
    cold = Machine(tool="extruder", can_extrude=False, z_homed=False, z=1.0, z_max=2.0)
    plan = plan_pause(cold, WISH)
    assert (plan.retract, plan.lift) == (0.0, 0.0)
    assert told_pause(plan, {}) == "paused; not retracted: the nozzle is too cold; not lifted: Z is not homed"


def test_promise_10_the_outcome_is_told() -> None:
    near = Machine(tool="extruder", can_extrude=True, z_homed=True, z=178.8, z_max=180.0)
    plan = plan_pause(near, WISH)
    assert plan.lift == pytest.approx(1.2)
    assert told_pause(plan, {}) == "paused; retracted 6.5 mm; lifted 1.2 of 2.5 mm: axis limit"
    assert told_pause(plan, {"retract": "not retracted: Extrude below minimum temp"}) == (
        "paused; lifted 1.2 of 2.5 mm: axis limit; not retracted: Extrude below minimum temp"
    )
    assert told_pause(PausePlan(heaters_off=("bed", "tool0")), {"heaters": "x"}) == "paused; x"
    top = Machine(tool="extruder", z_homed=True, z=180.0, z_max=180.0)
    assert told_pause(plan_pause(top, PauseSettings(lift_z=5)), {}) == "paused; not lifted: the axis limit is reached"
    assert told_pause(plan_pause(top, PauseSettings()), {}) == "paused"


def test_a_retraction_beyond_the_printers_own_limit_is_clamped() -> None:
    machine = Machine(tool="extruder", can_extrude=True, max_retract=5.0)
    plan = plan_pause(machine, PauseSettings(retract=6.5))
    assert plan.retract == 5.0
    assert told_pause(plan, {}) == "paused; retracted 5 of 6.5 mm: max_extrude_only_distance"


def test_without_known_modes_nothing_moves() -> None:
    machine = Machine(tool="tool0", can_extrude=True, z_homed=True, extrusion_mode_known=False, move_mode_known=False)
    plan = plan_pause(machine, WISH)
    assert (plan.retract, plan.lift) == (0.0, 0.0)
    assert set(plan.notes) == {"retract", "lift"}


def test_without_a_known_limit_the_lift_is_as_wished() -> None:
    assert plan_pause(Machine(tool="tool0", z_homed=True), PauseSettings(lift_z=3)).lift == 3


# --- resume


def test_resume_restores_only_what_was_switched_off() -> None:
    off = Machine(tool="extruder", targets={"extruder": 0.0, "heater_bed": 0.0})
    plan = plan_resume(record(), off)
    assert (plan.heat, plan.wait, plan.unretract, plan.lower) == ({"extruder": 200.0}, {"extruder": 200.0}, 6.5, 2.5)
    assert told_resume(plan) == "resumed; extruder back at 200 °C; pushed back 6.5 mm"
    assert told_resume(plan, pushed=False, extra=["why"]) == "resumed; extruder back at 200 °C; why"


def test_a_target_that_somebody_set_meanwhile_counts() -> None:
    plan = plan_resume(record(), Machine(tool="extruder", targets={"extruder": 215.0}))
    assert (plan.heat, plan.wait) == ({}, {"extruder": 215.0})


def test_a_tool_on_stand_by_is_heated_for_the_push() -> None:
    stand_by = record(targets={"extruder": 150.0}, extrude_target=200.0)
    plan = plan_resume(stand_by, Machine(tool="extruder", targets={"extruder": 0.0}))
    assert plan.heat == plan.wait == {"extruder": 200.0}
    only_macro = record(heaters_off=(), targets={}, extrude_target=200.0)
    plan = plan_resume(only_macro, Machine(tool="extruder", targets={"extruder": 0.0}))
    assert plan.heat == {"extruder": 200.0}


def test_nothing_is_heated_where_no_target_is_known() -> None:
    plan = plan_resume(record(targets={}, extrude_target=0.0), Machine(tool="extruder"))
    assert (plan.heat, plan.wait) == ({}, {})


def test_another_tool_is_not_pushed() -> None:
    plan = plan_resume(record(), Machine(tool="extruder1"))
    assert plan.refusal is not None
    assert "activate extruder" in plan.refusal
    fine = plan_resume(record(retract_step=Step.NONE), Machine(tool="extruder1"))
    assert fine.refusal is None


def test_promise_2_only_what_was_done_is_undone() -> None:
    plan = plan_resume(record(retract_step=Step.NONE, lift_step=Step.NONE, heaters_off=()), HOT)
    assert (plan.heat, plan.wait, plan.unretract, plan.lower) == ({}, {}, 0.0, 0.0)
    assert told_resume(plan) == "resumed"


@pytest.mark.parametrize(
    ("step", "e_now", "length", "doubts"),
    [
        (Step.NONE, None, 0.0, False),
        (Step.UNDONE, 93.5, 0.0, False),
        (Step.DONE, 300.0, 6.5, False),
        (Step.INTENDED, 93.5, 6.5, False),
        (Step.INTENDED, 100.0, 0.0, False),
        (Step.INTENDED, 97.0, 0.0, True),
        (Step.INTENDED, None, 0.0, True),
        (Step.UNDOING, 93.5, 6.5, False),
        (Step.UNDOING, 100.0, 0.0, False),
    ],
)
def test_promise_8_a_step_cut_off_is_settled_by_the_extruders_position(
    step: Step, e_now: float | None, length: float, doubts: bool
) -> None:
    found, words = outstanding(record(retract_step=step), e_now)
    assert (found, bool(words)) == (length, doubts)
    assert plan_resume(record(retract_step=step), HOT, e_now=e_now).unretract == length


def test_hot_is_two_degrees_below_at_most() -> None:
    assert is_hot({"extruder": 200.0}, {"extruder": 198.0})
    assert is_hot({"extruder": 200.0}, {"extruder": 230.0})
    assert not is_hot({"extruder": 200.0}, {"extruder": 197.9})
    assert not is_hot({"extruder": 200.0}, {})
    assert is_hot({}, {})


# --- record


def test_promise_8_the_record_survives_as_it_was() -> None:
    full = record(homing_alerted=True, cooled=True)
    assert PauseRecord.from_json(full.to_json()) == full
    bare = PauseRecord(filename="", at=0.0, tool="tool0")
    assert PauseRecord.from_json(bare.to_json()) == bare
    assert not bare.moved
    assert full.moved
    assert record(heaters_off=(), lift_step=Step.NONE).moved


@pytest.mark.parametrize(
    "damage",
    [
        {"filename": 5}, {"tool": "extruder\nM112"}, {"retract": -1}, {"retract": 1e9}, {"retract": math.nan},
        {"retract": "6.5"}, {"retract_step": "maybe"}, {"heaters_off": "extruder"}, {"heaters_off": ["a"] * 33},
        {"targets": []}, {"targets": {"extruder": 9999}}, {"targets": {"x;M112": 1}}, {"modes": ["M112"]},
        {"cooled": 1}, {"ts": True}, {"flow": 0}, {"at": None}, {"e_before": "x"},
    ],
)  # fmt: skip
def test_promise_8_a_damaged_record_is_none(damage: dict[str, Any]) -> None:
    assert PauseRecord.from_json({**record().to_json(), **damage}) is None


def test_promise_8_a_heater_name_may_have_a_space_as_klippers_own() -> None:
    kept = record(heaters_off=("heater_generic Chamber-2",), targets={"heater_generic Chamber-2": 60.0})
    assert PauseRecord.from_json(json.loads(json.dumps(kept.to_json()))) == kept


def test_promise_5_a_nozzle_that_was_set_too_low_in_the_pause_is_heated_to_print() -> None:
    nothing_retracted = record(retract_step=Step.NONE)
    low = Machine("extruder", {"extruder": 120.0}, {"extruder": 120.0})
    assert plan_resume(nothing_retracted, low).heat == {"extruder": 200.0}


def test_a_chamber_is_set_back_but_not_waited_for() -> None:
    chamber = record(heaters_off=("heater_generic chamber",), targets={"heater_generic chamber": 60.0})
    plan = plan_resume(chamber.but(retract_step=Step.NONE), HOT)
    assert (plan.heat, plan.wait) == ({"heater_generic chamber": 60.0}, {})
    assert told_resume(plan) == "resumed; chamber set back at 60 °C"


def test_promise_8_a_record_that_is_no_object_or_incomplete_is_none() -> None:
    assert PauseRecord.from_json([]) is None
    wire = record().to_json()
    for key in wire:
        assert PauseRecord.from_json({name: value for name, value in wire.items() if name != key}) is None


def test_promise_8_another_print_is_told_apart() -> None:
    kept = record()
    assert kept.same_print("a.gcode", ts=77, print_clock=60.0)
    assert kept.same_print("a.gcode")
    assert not kept.same_print("b.gcode", ts=77)
    assert not kept.same_print("a.gcode", ts=78)
    assert not kept.same_print("a.gcode", print_clock=3.0)  # the same file, started again
