"""Sent G-code to modes, plans to lines; and the lines on an interpreter of Marlin's position (promises 1, 2, 5)."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core.model import Temperature
from agent_core.pause import PauseSettings, is_hot
from agent_core.pause_marlin import (
    Lines,
    MarlinFacts,
    MotionModes,
    after_pause_lines,
    after_resume_lines,
    before_resume_lines,
    heat_lines,
    machine,
    resume_plan,
)
from agent_core.pause_record import PauseRecord, Step
from tests.fakes.gcode_machines import PAUSE_CASES, MarlinMachine, Z

HEATERS = {"tool0": Temperature(200.0, 200.0, 5.0), "bed": Temperature(60.0, 60.0), "chamber": Temperature(30.0, 40.0)}
COLD = {"tool0": Temperature(30.0, 0.0), "bed": Temperature(30.0, 0.0)}
SEEN = MotionModes().after_all(["G28", "G90", "M82", "G1 X1 F900"])
WISH = PauseSettings(6.5, 2.5, True, True)


def facts(modes: MotionModes = SEEN, heaters: dict[str, Temperature] = HEATERS, **more: object) -> MarlinFacts:
    return MarlinFacts(modes, heaters, **more)  # type: ignore[arg-type]


def paused(its: MarlinFacts, wish: PauseSettings = WISH) -> Lines:
    return after_pause_lines(its, wish, filename="a.gcode", ts=7, at=1000.0)


def kept(lines: Lines) -> PauseRecord:
    assert lines.record is not None
    back = PauseRecord.from_json(json.loads(json.dumps(lines.record.to_json())))
    assert back == lines.record
    return back


# --- modes


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("G90", ("G90",)),
        ("g91 ; relative", ("G91",)),
        ("N12 M83*34", ("M83",)),
        ("M082", ("M82",)),
        ("G90.1", ()),
        ("M8", ()),
        ("; G91", ()),
        ("", ()),
        ("M117 G91", ()),
    ],
)
def test_modes_are_read_off_sent_lines(line: str, expected: tuple[str, ...]) -> None:
    assert MotionModes().after(line).modes == expected


def test_the_order_of_the_modes_is_kept() -> None:
    assert MotionModes().after_all(["M83", "G91", "G90"]).modes == ("M83", "G90")
    assert MotionModes().after_all(["G90", "M83"]).modes == ("G90", "M83")
    once = MotionModes().after("G90")
    assert once.after("G90") is once
    assert MotionModes().after_all(["G90", "M82", "G90"]).modes == ("M82", "G90")


def test_feed_rate_flow_tool_and_homing_are_tracked() -> None:
    modes = MotionModes()
    assert modes.after("G1 X1 Y2") is modes
    assert modes.after("G1 X1 F0") is modes
    assert modes.after("G1 X1 ; F900") is modes
    assert modes.after("G0 X1 F3600").feedrate == 3600.0
    assert modes.after("G2 X1 f120.5").feedrate == 120.5
    assert modes.after("M221 S95").flow == 95.0
    assert modes.after("M221 T1 S90").flow == 100.0
    assert modes.after_all(["M221 T1 S90", "T1"]).flow == 90.0
    assert modes.after("M221") is modes
    assert modes.after("M221 S0") is modes
    many = modes.after_all([f"M221 T{tool} S90" for tool in range(40)])
    assert len(many.flows) == 32
    assert modes.after("T?") is modes
    assert modes.z_homed is None
    assert modes.after("G28").z_homed is True
    assert modes.after("G28 Z").z_homed is True
    assert modes.after("G28 X Y") is modes
    assert modes.after("M84").z_homed is False
    assert modes.after("M18 Z").z_homed is False
    assert modes.after("M84 X") is modes
    assert modes.after("M84 S600") is modes
    assert modes.after("M105") is modes


# --- lines


def test_promise_3_order_of_the_lines() -> None:
    lines = paused(facts())
    assert lines.lines == (
        "G91", "M83", "G1 E-6.5 F1800", "G1 Z2.5 F600", "G90", "M82", "G1 F900", "M140 S0", "M104 S0",
    )  # fmt: skip
    assert lines.told == "paused; retracted 6.5 mm; lifted 2.5 mm; bed and tool0 off"
    back = before_resume_lines(kept(lines), facts(heaters=COLD))
    assert back.lines == (
        "M190 S60", "M109 S200", "G91", "M83", "G1 Z-2.5 F600", "G1 E6.5 F1800", "G90", "M82", "G1 F900",
    )  # fmt: skip
    assert back.told == "resumed; bed back at 60 °C and tool0 back at 200 °C; pushed back 6.5 mm"
    assert after_resume_lines(kept(lines)) == ("G90", "M82", "G1 F900")


def test_promise_7_heating_can_be_watched_before_the_resume() -> None:
    record = kept(paused(facts()))
    plan = resume_plan(record, facts(heaters=COLD))
    assert heat_lines(plan, facts(heaters=COLD)) == ("M140 S60", "M104 S200")
    assert not is_hot(plan.wait, machine(facts(heaters=COLD)).temperatures)
    assert is_hot(plan.wait, machine(facts()).temperatures)


def test_every_tool_is_handled_unless_the_nozzle_is_shared() -> None:
    two = {"tool0": Temperature(200.0, 200.0), "tool1": Temperature(210.0, 210.0), "toolX": Temperature(1.0, 1.0)}
    lines = paused(facts(SEEN.after("T1"), two), PauseSettings(tools_off=True))
    assert lines.lines == ("M104 T0 S0", "M104 T1 S0")
    cold = {name: Temperature(20.0, 0.0) for name in two}
    assert before_resume_lines(kept(lines), facts(SEEN.after("T1"), cold)).lines == ("M109 T0 S200", "M109 T1 S210")
    shared = facts(SEEN.after("T1"), two, shared_nozzle=True)
    lines = paused(shared, PauseSettings(retract=6.5, tools_off=True))
    assert lines.lines[-1] == "M104 S0"
    assert kept(lines).tool == "tool1"
    back = before_resume_lines(kept(lines), facts(SEEN.after("T1"), cold, shared_nozzle=True))
    assert back.lines[0] == "M109 S200"
    assert "G1 E6.5 F1800" in back.lines


def test_promise_2_a_wrong_tool_is_not_pushed_but_heat_and_height_come_back() -> None:
    for shared in (False, True):
        record = kept(paused(facts(shared_nozzle=shared)))
        back = before_resume_lines(record, facts(SEEN.after("T1"), COLD, shared_nozzle=shared))
        assert back.lines[:2] == ("M190 S60", "M109 S200")
        assert "G1 Z-2.5 F600" in back.lines
        assert not any(" E" in line for line in back.lines)
        assert "activate tool0" in back.told


def test_promise_5_cold_is_safe_on_marlin() -> None:
    lines = paused(facts(heaters=COLD), PauseSettings(retract=6.5))
    assert lines == Lines((), None, "paused; not retracted: the nozzle is too cold")
    record = kept(paused(facts(), PauseSettings(retract=6.5))).but(targets={}, extrude_target=0.0)
    back = before_resume_lines(record, facts(heaters=COLD))
    assert back.lines == ()
    assert back.told == "resumed; not pushed back 6.5 mm: nozzle too cold"


def test_promise_5_no_lift_beyond_the_limit_or_with_the_motors_off() -> None:
    assert "G1 Z1.2 F600" in paused(facts(z=178.8, z_max=180.0)).lines
    off = paused(facts(SEEN.after("M84")), PauseSettings(lift_z=5))
    assert off == Lines((), None, "paused; not lifted: Z is not homed")


def test_only_what_was_seen_is_restored() -> None:
    only_m83 = MotionModes().after("M83")
    assert paused(facts(only_m83)).lines[:6] == ("G91", "M83", "G1 E-6.5 F1800", "G1 Z2.5 F600", "G90", "M83")
    only_g90 = MotionModes().after("G90")
    lines = paused(facts(only_g90), PauseSettings(6.5, 2.5))
    assert lines.lines == ("G91", "G1 Z2.5 F600", "G90")
    assert "not retracted: the file never said M82 or M83" in lines.told
    nothing = paused(facts(MotionModes()), PauseSettings(6.5, 2.5))
    assert nothing.lines == ()
    assert paused(facts(only_m83), PauseSettings(retract=1)).lines == ("M83", "G1 E-1 F1800", "M83")
    assert after_resume_lines(PauseRecord(filename="a", at=0.0, tool="tool0")) == ()


def test_a_flow_that_changed_in_the_pause_is_put_around_the_push() -> None:
    record = kept(paused(facts(SEEN.after("M221 S90")), PauseSettings(retract=6.5)))
    assert record.e_value == pytest.approx(7.22222)
    back = before_resume_lines(record, facts(SEEN.after("M221 S110")))
    assert back.lines == ("M109 S200", "M221 S90", "M83", "G1 E7.22222 F1800", "G90", "M82", "G1 F900", "M221 S110")


def test_promise_6_without_a_record_nothing_is_added() -> None:
    nothing = paused(facts(), PauseSettings())
    assert nothing == Lines((), None, "paused")


# --- the property


FILE_LINES = st.lists(
    st.one_of(
        st.sampled_from(
            ["G90", "G91", "M82", "M83", "G92 E0", "G92 E12.5", "G1 X10 F900", "G1 Y3 E0.4", "G1 Z1 F600", "T0", "T1"]
        ),
        st.integers(10, 200).map(lambda percent: f"M221 S{percent}"),
        st.integers(10, 200).map(lambda percent: f"M221 T1 S{percent}"),
    ),
    max_size=10,
)
USER_SCRIPTS = st.sampled_from(
    [
        ([], []),
        (["G91", "G1 Z5 F300", "G90"], ["G91", "G1 Z-5 F300", "G90"]),
        (["M83", "G1 E-2 F1200", "M82"], ["M83", "G1 E2 F1200", "M82"]),
        (["G91", "M83"], ["M82", "G90"]),
    ]
)


class Host:
    """Sends lines to two printers: one paused with our lines, one plainly; and tracks what the first was sent."""

    def __init__(self, marlin2: bool, z: float) -> None:
        self.ours, self.plain = MarlinMachine(g90_governs_e=marlin2), MarlinMachine(g90_governs_e=marlin2)
        for printer in (self.ours, self.plain):
            printer.temps.update(tool0=200.0, tool1=210.0, bed=60.0)
            printer.targets.update(tool0=200.0, tool1=210.0, bed=60.0)
            printer.logical = [50.0, 60.0, z, 5.0]
        self.tracker = MotionModes()

    def both(self, lines: list[str]) -> None:
        self.plain.run(lines)
        self.only_ours(lines)

    def only_ours(self, lines: list[str] | tuple[str, ...]) -> None:
        self.ours.run(lines)
        self.tracker = self.tracker.after_all(lines)

    def facts(self, modes: MotionModes | None = None, *, known_limit: bool = True) -> MarlinFacts:
        printer = self.ours
        heaters = {name: Temperature(printer.temps[name], printer.targets[name]) for name in ("tool0", "tool1", "bed")}
        z_max = printer.z_max if known_limit else None
        return MarlinFacts(modes or self.tracker, heaters, z=printer.logical[Z], z_max=z_max)


@settings(max_examples=PAUSE_CASES, deadline=None)
@given(
    first=st.sampled_from([["G90", "M82"], ["M83", "G90"], ["M83"], ["G91"], [], ["M82"]]),
    lines=FILE_LINES,
    marlin2=st.booleans(),
    scripts=USER_SCRIPTS,
    wish=st.builds(
        PauseSettings,
        st.one_of(st.just(0.0), st.floats(0.001, 50)),
        st.one_of(st.just(0.0), st.floats(0.001, 100)),
        st.booleans(),
        st.booleans(),
    ),
    z=st.floats(0.2, 180),
    cold=st.booleans(),
    flow_in_pause=st.sampled_from([None, None, 50, 133]),
    jogged=st.booleans(),
    known_limit=st.booleans(),
    clamps=st.booleans(),
)
def test_promise_1_exact_return_on_marlin(
    first: list[str], lines: list[str], marlin2: bool, scripts: tuple[list[str], list[str]], wish: PauseSettings,
    z: float, cold: bool, flow_in_pause: int | None, jogged: bool, known_limit: bool, clamps: bool,
) -> None:  # fmt: skip
    """Any modes, factors, user scripts and refusals: at the end all is as after a plain pause, to the hundredth.

    `jogged`: somebody used OctoPrint's extrude button to and fro in the pause, which leaves M82 and G90 behind.
    `clamps`: the firmware shortens our lift without a word, where OctoPrint does not know the limit.
    """
    host = Host(marlin2, z)
    host.ours.clamps = clamps = clamps and "G1 Z5 F300" not in scripts[0]
    host.both([*first, "G1 F1200", *lines])
    if cold:
        for printer in (host.ours, host.plain):
            printer.temps.update(tool0=100.0, tool1=100.0)
    file_modes, paused_at = host.ours.modes(), round(host.ours.logical[Z], 2)
    host.both(scripts[0])
    bad_before, height, tool = (host.ours.cold_moves, host.ours.above_limit), host.ours.logical[Z], host.ours.tool
    left, filament = host.ours.modes(), host.ours.filament[tool]
    pause = after_pause_lines(host.facts(known_limit=known_limit), wish, filename="a", ts=1, at=1.0)
    host.only_ours(pause.lines)
    assert host.ours.cold_moves == bad_before[0]
    assert not known_limit or host.ours.above_limit == bad_before[1]
    assert host.ours.modes() == left
    record = kept(pause) if pause.record is not None else None
    assert filament - host.ours.filament[tool] == pytest.approx(record.retract if record else 0.0, abs=1e-3)
    lifted = host.ours.logical[Z] - height
    assert lifted == pytest.approx(record.lift if record else 0.0, abs=1e-4) or (clamps and not known_limit)

    if jogged and not cold and not wish.tools_off:
        host.both(["G91", "M83", "G1 E3 F300", "M82", "G90", "G91", "M83", "G1 E-3 F300", "M82", "G90"])
    if flow_in_pause is not None:
        host.both([f"M221 S{flow_in_pause}"])
    bad_before = (host.ours.cold_moves, host.ours.above_limit)
    if record is not None:
        sunk = paused_at + record.lift - round(host.ours.logical[Z], 2)
        host.only_ours(before_resume_lines(record, replace(host.facts(), sunk=sunk)).lines)
    assert (host.ours.cold_moves, host.ours.above_limit) == bad_before
    assert host.ours.modes() == host.plain.modes()
    assert host.ours.logical == pytest.approx(host.plain.logical, abs=0.021 if clamps and not known_limit else 0.01)
    assert host.ours.filament == pytest.approx(host.plain.filament, abs=0.01)

    if record is not None:
        host.only_ours(after_resume_lines(record))
        if not scripts[0] and host.tracker.moves_seen and host.tracker.extrusion_seen:
            assert host.ours.modes()[:3] == file_modes[:3]
    assert host.ours.odd_numbers == []


def test_steps_on_octoprint_are_done_once_handed_out() -> None:
    record = kept(paused(facts()))
    assert (record.retract_step, record.lift_step) == (Step.DONE, Step.DONE)
    assert record.targets == {"tool0": 200.0, "bed": 60.0}
