from __future__ import annotations

from octoprint_obico.report import Overrides
from octoprint_obico.sent import SentGcode


def sent(*lines: str) -> SentGcode:
    found = SentGcode()
    for line in lines:
        code = line.split()[0]
        found.sent("T" if code.startswith("T") else code, line)
    return found


def test_speed_flow_fan_and_message() -> None:
    found = sent("M220 S150", "M221 S90", "M106 S127.5", "M117 Layer 3 of 9 ; no comment on displays").overrides
    assert found == Overrides(1.5, 0.9, 0.5, "Layer 3 of 9 ; no comment on displays")


def test_fans_other_than_the_parts_do_not_count() -> None:
    assert sent("M106 P1 S255", "M107 P1").overrides.fan_speed is None
    assert sent("M106").overrides.fan_speed == 1.0
    assert sent("M106 S255", "M107").overrides.fan_speed == 0.0


def test_what_is_no_number_changes_nothing() -> None:
    assert sent("M220", "M220 Sx", "M106 S999").overrides == Overrides(fan_speed=1.0)
    assert sent("M117 " + "x" * 999).overrides.message == "x" * 200
    assert sent("M117 a", "M117").overrides.message is None


def test_flow_follows_the_tool() -> None:
    assert sent("M221 S80", "T1", "M221 S120", "T0").overrides.flow_factor == 0.8


def test_modes_and_the_last_feed_rate() -> None:
    modes = sent("G90", "M83", "G1 X1 F1200", "G1 X2", "G0 Y1 F6000", "G28").modes
    assert (modes.modes, modes.feedrate, modes.z_homed) == (("G90", "M83"), 6000.0, True)


def test_a_new_connection_knows_nothing() -> None:
    found = sent("G91", "M220 S50", "M104 S200")
    found.reset()
    assert (found.modes.modes, found.overrides, found.fresh_targets()) == ((), Overrides(), {})


def test_targets_are_fresh_for_ten_seconds() -> None:
    now = 100.0
    found = SentGcode(lambda: now)
    found.sent("M104", "M104 T1 S205")
    found.sent("M190", "M190 R60")
    found.sent("M109", "M109")
    assert found.fresh_targets() == {"tool1": 205.0, "bed": 60.0}
    now = 111.0
    assert found.fresh_targets() == {}


def test_other_lines_cost_a_look_and_no_more() -> None:
    found = SentGcode()
    before = found.modes
    for gcode, line in ((None, "@pause"), ("M105", "M105"), ("G1", "G1 X1 Y2 E0.1")):
        found.sent(gcode, line)
    assert found.modes is before
