"""Klipper's status to facts, plans to scripts; and the scripts on an interpreter of its position (promises 1, 2, 5)."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core import pause_klipper as klipper
from agent_core.pause import Machine, PauseSettings, plan_pause, plan_resume
from agent_core.pause_record import PauseRecord, Step
from agent_core.pause_watch import RENEW_AFTER, Turn, turn
from tests.fakes.gcode_machines import PAUSE_CASES, E, KlipperMachine, Refused, Z

PAUSED: dict[str, dict[str, Any]] = {
    "webhooks": {"state": "ready", "state_message": "Printer is ready"},
    "print_stats": {"state": "paused", "filename": "a.gcode", "total_duration": 60.0},
    "pause_resume": {"is_paused": True},
    "toolhead": {
        "extruder": "extruder", "homed_axes": "xyz", "axis_maximum": [200, 200, 180.0, 0], "position": [1, 2, 3.5, 4.5],
    },
    "gcode_move": {"extrude_factor": 0.9},
    "extruder": {"temperature": 199.0, "target": 200.0, "can_extrude": True},
    "extruder1": {"temperature": 150.0, "target": 150.0, "can_extrude": False},
    "extruder_stepper left": {"motion_queue": "extruder"},
    "heater_bed": {"temperature": 60.0, "target": 0.0},
    "idle_timeout": {"state": "Ready", "idle_timeout": 600.0},
    "configfile": {"settings": {"extruder": {"min_extrude_temp": 180.0, "max_extrude_only_distance": 40.0}}},
}  # fmt: skip


def status(**changes: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {**PAUSED, **{name: {**PAUSED.get(name, {}), **fields} for name, fields in changes.items()}}


def test_facts_are_read_off_the_status() -> None:
    assert klipper.machine(PAUSED) == Machine(
        tool="extruder",
        targets={"extruder": 200.0, "extruder1": 150.0},
        temperatures={"extruder": 199.0, "extruder1": 150.0, "heater_bed": 60.0},
        can_extrude=True,
        min_extrude=180.0,
        max_retract=40.0,
        z_homed=True,
        z=3.5,
        z_max=180.0,
    )
    assert klipper.heaters(PAUSED) == ["extruder", "extruder1", "heater_bed"]
    assert klipper.extruder_position(PAUSED) == 4.5
    assert klipper.extrude_factor(PAUSED) == 0.9
    assert klipper.idle_timeout(PAUSED) == 600.0
    assert klipper.print_clock(PAUSED) == 60.0
    assert klipper.filename(PAUSED) == "a.gcode"


def test_nonsense_in_the_status_reads_as_the_careful_answer() -> None:
    odd: dict[str, dict[str, Any]] = {
        "toolhead": {"position": "x", "homed_axes": None, "axis_maximum": [1]},
        "gcode_move": {"extrude_factor": 0},
    }
    machine = klipper.machine(odd)
    assert (machine.tool, machine.can_extrude, machine.z_homed, machine.max_retract) == ("extruder", False, False, None)
    assert machine.min_extrude == 170.0
    assert klipper.extrude_factor(odd) == 1.0
    assert klipper.extruder_position(odd) is None
    assert klipper.idle_timeout({"idle_timeout": {"idle_timeout": True}, "configfile": {"settings": []}}) is None
    assert klipper.idle_timeout({"configfile": {"settings": {"idle_timeout": {"timeout": 900}}}}) == 900
    assert klipper.print_clock({"print_stats": {"total_duration": float("nan")}}) is None
    assert not klipper.unhomed({})


def test_a_paused_print_in_a_shutdown_is_no_pause() -> None:
    down = status(webhooks={"state": "shutdown", "state_message": "MCU lost\nmore"})
    assert klipper.is_paused(PAUSED)
    assert not klipper.is_paused(down)
    assert klipper.not_ready(down) == "Klipper is not ready (shutdown): MCU lost"
    assert klipper.not_ready({"webhooks": {"state": "startup"}}) == "Klipper is not ready (startup)"
    assert klipper.not_ready({}) == "Moonraker or Klipper is not connected"
    assert not klipper.is_paused(status(pause_resume={"is_paused": False}))
    assert klipper.is_printing(status(print_stats={"state": "printing"}))


def test_scripts_are_those_of_the_recorded_sequence() -> None:
    assert klipper.retract(6.5, 1.0) == (
        "SAVE_GCODE_STATE NAME=obico_agent\nM83\nG1 E-6.5 F1800\nRESTORE_GCODE_STATE NAME=obico_agent"
    )
    assert "G1 E-7.22222 F1800" in klipper.retract(6.5, 0.9)
    assert "G1 E7.22222 F1800" in klipper.unretract(6.5, 0.9)
    assert klipper.lift(2.5) == (
        "SAVE_GCODE_STATE NAME=obico_agent\nG91\nG1 Z2.5 F600\nRESTORE_GCODE_STATE NAME=obico_agent"
    )
    assert klipper.heaters_off(["heater_bed", "extruder"]) == (
        "SET_HEATER_TEMPERATURE HEATER=extruder TARGET=0\nSET_HEATER_TEMPERATURE HEATER=heater_bed TARGET=0"
    )
    assert klipper.set_idle_timeout(86400.0) == "SET_IDLE_TIMEOUT TIMEOUT=86400"
    assert klipper.repair() == "RESTORE_GCODE_STATE NAME=obico_agent"


# --- the watch


RECORD = PauseRecord(
    filename="a.gcode", at=1000.0, tool="extruder", print_clock=50.0, idle_timeout=600.0, idle_set_at=1000.0,
    warm_since=1000.0,
)  # fmt: skip


COLD = status(extruder={"target": 0}, extruder1={"target": 0}, heater_bed={"target": 0})


@pytest.mark.parametrize(
    ("objects", "now", "expected"),
    [
        (PAUSED, 1001.0, None),
        ({}, 1001.0, None),
        (status(webhooks={"state": "shutdown"}), 1e9, None),
        (status(print_stats={"state": "printing"}), 1001.0, Turn.RESUMED_ELSEWHERE),
        (status(print_stats={"state": "cancelled"}), 1001.0, Turn.OVER),
        (status(print_stats={"state": ""}), 1001.0, None),
        (status(print_stats={"filename": "b.gcode"}), 1001.0, Turn.OVER),
        (status(print_stats={"total_duration": 5.0, "state": "printing"}), 1001.0, Turn.OVER),
        (status(toolhead={"homed_axes": ""}), 1001.0, Turn.HOMING_LOST),
        (PAUSED, 1601.0, Turn.COOL),
        (PAUSED, 1000.0 - 120.0, Turn.COOL),  # the clock was set back
        (COLD, 1601.0, Turn.COOLED),
    ],
)
def test_promise_9_what_a_pause_needs_while_it_lasts(objects: Any, now: float, expected: Turn | None) -> None:
    assert turn(RECORD, objects, now=now) is expected


def test_promise_9_without_an_idle_timeout_of_ours_nothing_is_due() -> None:
    assert turn(RECORD.but(idle_timeout=None), PAUSED, now=1e9) is None
    cooled = RECORD.but(cooled=True)
    assert turn(cooled, COLD, now=1601.0) is None
    assert turn(cooled, COLD, now=1001.0 + RENEW_AFTER) is Turn.RENEW_IDLE
    assert turn(cooled, COLD, now=999.0 - RENEW_AFTER) is Turn.RENEW_IDLE
    assert turn(cooled, PAUSED, now=1601.0) is Turn.WARMED
    assert turn(cooled, {**COLD, "heater_generic chamber": {"target": 60.0}}, now=1601.0) is Turn.WARMED
    lost = status(toolhead={"homed_axes": "z"})
    assert turn(RECORD.but(homing_alerted=True), lost, now=1001.0) is None
    assert turn(RECORD, PAUSED, now=1001.0, ts=5) is None
    assert turn(RECORD.but(ts=4), PAUSED, now=1001.0, ts=5) is Turn.OVER


# --- the property


FILE_LINES = st.lists(
    st.one_of(
        st.sampled_from(["G90", "G91", "M82", "M83", "G92 E0", "G92 E12.5", "G1 X10 F900", "G1 Y3 E0.4", "G1 Z1 F600"]),
        st.integers(10, 200).map(lambda percent: f"M221 S{percent}"),
        st.integers(10, 300).map(lambda percent: f"M220 S{percent}"),
        st.integers(-3, 9).map(lambda tenths: f"SET_GCODE_OFFSET Z={tenths / 10}"),
    ),
    max_size=8,
)
MACROS = st.sampled_from(
    [
        ([], []),
        (["M83", "G1 E-1 F2100", "G91", "G1 Z2 F600", "G90", "G1 X0 Y190 F6000"], ["M83", "G1 E1 F2100"]),
        (["G91", "M82", "G1 F60"], ["G90"]),
    ]
)
Kill = st.sampled_from([None, None, "retract before", "retract after", "push before", "push after"])


def facts_of(machine: KlipperMachine) -> Machine:
    """What a status would say of it."""
    return Machine(
        tool="extruder",
        targets=dict(machine.heaters),
        can_extrude=machine.can_extrude,
        max_retract=machine.max_extrude_only,
        z_homed="z" in machine.homed,
        z=machine.position[Z],
        z_max=machine.z_max,
    )


def restarted(record: PauseRecord) -> PauseRecord:
    back = PauseRecord.from_json(json.loads(json.dumps(record.to_json())))
    assert back is not None
    return back


def careful(machine: KlipperMachine, script: str) -> bool:
    try:
        machine.script(script)
    except Refused:
        with contextlib.suppress(Refused):
            machine.script(klipper.repair())
        return False
    return True


@dataclass
class Journey:
    """A pause of ours on the interpreter's machine, with the record on disk before each step."""

    machine: KlipperMachine
    record: PauseRecord
    kill: str | None

    def retract(self, length: float) -> None:
        self.record = restarted(self.record.but(retract=length, retract_step=Step.INTENDED))
        if self.kill == "retract before":
            return
        before = self.machine.position[E]
        done = careful(self.machine, klipper.retract(length, self.machine.extrude_factor))
        assert before - self.machine.position[E] == pytest.approx(length if done else 0.0, abs=2e-4)
        if self.kill != "retract after":
            self.record = self.record.but(retract_step=Step.DONE if done else Step.NONE)

    def lift(self, height: float) -> None:
        before = self.machine.position[Z]
        done = careful(self.machine, klipper.lift(height))
        assert self.machine.position[Z] == pytest.approx(before + height if done else before, abs=1e-5)

    def push_back(self) -> None:
        plan = plan_resume(restarted(self.record), facts_of(self.machine), e_now=self.machine.position[E])
        assert plan.refusal is None
        assert not plan.notes or self.record.retract < 0.02
        if not plan.unretract:
            return
        e_before = self.machine.position[E] + plan.unretract
        self.record = restarted(self.record.but(retract_step=Step.UNDOING, e_before=e_before))
        if self.kill != "push before":
            assert careful(self.machine, klipper.unretract(plan.unretract, self.machine.extrude_factor))
        if self.kill in ("push before", "push after"):
            again = plan_resume(restarted(self.record), facts_of(self.machine), e_now=self.machine.position[E])
            if again.unretract:
                assert careful(self.machine, klipper.unretract(again.unretract, self.machine.extrude_factor))


@settings(max_examples=PAUSE_CASES, deadline=None)
@given(
    lines=FILE_LINES,
    macros=MACROS,
    retract=st.one_of(st.just(0.0), st.floats(0.001, 50)),
    lift=st.one_of(st.just(0.0), st.floats(0.001, 100)),
    z=st.floats(0.2, 180),
    cold=st.booleans(),
    unhomed=st.booleans(),
    limit=st.sampled_from([1.0, 5.0, 50.0]),
    stale=st.booleans(),
    in_pause=st.sampled_from(["M117", "M221 S50", "M221 S133", "G91", "M82", "M220 S10"]),
    kill=Kill,
)
def test_promise_1_exact_return_on_klipper(
    lines: list[str], macros: tuple[list[str], list[str]], retract: float, lift: float, z: float, cold: bool,
    unhomed: bool, limit: float, stale: bool, in_pause: str, kill: str | None,
) -> None:  # fmt: skip
    """Any modes, factors, offsets, macros, refusals and restarts: X, Y, Z, E and modes come back, filament net zero.

    `stale`: the facts were read before the nozzle cooled and the homing was lost, so it is Klipper that refuses.
    """
    machine = KlipperMachine(max_extrude_only=limit, macro_pause=macros[0], macro_resume=macros[1])
    machine.script(f"G1 X50 Y60 Z{z:.3f} E1 F900")
    for line in lines:
        with contextlib.suppress(Refused):
            machine.script(line)
    machine.can_extrude = not cold or stale
    before, modes, position = machine.gcode_position(), machine.modes(), list(machine.position)
    try:
        machine.pause()
    except Refused:
        return  # the user's own macro does not work on this machine: nothing of ours is sent
    e_paused, modes_paused = machine.position[E], machine.modes()
    facts = facts_of(machine) if stale else None
    machine.can_extrude, machine.homed = not cold, "xy" if unhomed else "xyz"
    plan = plan_pause(facts or facts_of(machine), PauseSettings(retract, lift))
    assert plan.lift <= max(0.0, machine.z_max - machine.position[Z]) + 1e-9
    if not stale:
        assert not (cold and plan.retract)
        assert not (unhomed and plan.lift)
    record = PauseRecord(filename="a", at=1.0, tool="extruder", e_before=e_paused)
    journey = Journey(machine, record, kill)
    if plan.retract:
        journey.retract(plan.retract)
    if plan.lift:
        journey.lift(plan.lift)
    assert machine.modes() == modes_paused
    with contextlib.suppress(Refused):
        machine.script(in_pause)

    machine.can_extrude, machine.homed = True, "xyz"
    journey.push_back()
    assert machine.position[E] == pytest.approx(e_paused, abs=0.01)
    if macros[1] and (cold or in_pause.startswith("M221")):
        return  # his own macros do not undo each other there, with or without us
    machine.resume()
    assert machine.gcode_position() == pytest.approx(before, abs=0.01)
    assert machine.position == pytest.approx(position, abs=0.01)
    assert machine.modes() == modes
