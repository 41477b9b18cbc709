"""pause-contract.md from the server's REST call to the printer's own position: 0.00 mm in X, Y, Z and E."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo import gcode_position
from demo.klippy_control import StandinState
from demo.parts import Server
from demo.processes import wait_for
from tests.e2e import rig
from tests.e2e.conftest import Fleet

pytestmark = pytest.mark.timeout(180)

MODES = ("m82_g90", "m82_g91", "m83_g90", "m83_g91")
HERE = "_MARK HERE=1"
RETRACT, LIFT = 6.5, 2.5

_number = itertools.count(1)


def klipper_text(modes: str, *, factors: bool) -> str:
    """Sixty moves with a mark in the middle. Klipper takes E as relative in G91, whatever M82 says.

    `factors`: speed, flow and Z offset are not the usual ones.
    """
    absolute_e, absolute = modes.startswith("m82"), modes.endswith("g90")
    lines = ["G90", "M83", "M140 S60", "M104 S200", "G28", "M190 S60", "M109 S200"]
    lines += ["G1 Z0.4 F600", "G1 X50 Y50 F6000"]
    if factors:
        lines += ["M220 S85", "M221 S93", "SET_GCODE_OFFSET Z=0.15"]
    lines += ["G92 E0", "M82" if absolute_e else "M83", "G90" if absolute else "G91"]
    x, y, e = 50.0, 50.0, 0.0
    for number in range(60):
        if number == 30:
            lines.append(HERE)
        dx, dy = ((10.0, 0.0), (0.0, 2.0), (-10.0, 0.0), (0.0, 2.0))[number % 4]
        x, y, e = x + dx, y + dy, e + 0.4
        where = (x, y) if absolute else (dx, dy)
        pushed = e if absolute_e and absolute else 0.4
        lines.append(f"G1 X{where[0]:.3f} Y{where[1]:.3f} E{pushed:.4f} F1200")
    return "\n".join([*lines, "M220 S100", "M221 S100", "SET_GCODE_OFFSET Z=0", "G90", ""])


def modes_of(state: StandinState) -> list[float]:
    return [
        state.absolute_coordinates, state.absolute_extrude, state.speed, state.speed_factor, state.extrude_factor,
        *state.homing_origin, *state.gcode_position, state.extruder.target, state.heater_bed.target,
    ]  # fmt: skip


@pytest.fixture(scope="module", params=["plain", "client"])
def kept(
    request: pytest.FixtureRequest, server: Server, fleet: Fleet, short_folder: Path
) -> Iterator[rig.KlipperPrinter]:
    """Klipper with its built-in PAUSE, or with macros that retract, lift and park themselves."""
    if request.param == "plain":
        found = fleet.get("klipper")
        assert isinstance(found, rig.KlipperPrinter)
        yield found
        return
    if not Fleet.possible("klipper"):
        pytest.skip("there is no Moonraker here (make envs)")
    printer = rig.KlipperPrinter(server, short_folder / "macros", macros="client")
    printer.name = "Klipper with macros"
    with rig.running(printer):
        yield printer


@pytest.fixture
def klipper(kept: rig.KlipperPrinter) -> Iterator[rig.KlipperPrinter]:
    yield kept
    kept.settle()


def pushed(end: StandinState, begin: StandinState) -> tuple[float, ...]:
    """Where it ended: X, Y, Z, and the filament pushed since `begin` (the stand-in's own E never restarts)."""
    return (*end.position[:3], end.position[3] - begin.position[3])


def print_klipper(printer: rig.KlipperPrinter, text: str) -> int:
    """Starts it, with a stop at the mark; the Print's id."""
    name = f"pause_{next(_number)}.gcode"
    printer.klipper.upload(name, text.encode())
    printer.klipper.control.hold("_MARK")
    printer.klipper.print(name)
    printer.klipper.control.wait_for(lambda s: s.held and not s.moving, 60)
    return int(printer.current()["id"])


def end_klipper(printer: rig.KlipperPrinter, number: int) -> StandinState:
    printer.klipper.control.release()
    assert printer.ended(number)["ended_reason"] == "done"
    return printer.klipper.control.wait_for(lambda s: not s.moving, 30)


@pytest.mark.moonraker
@pytest.mark.parametrize("factors", [False, True], ids=["", "M220-M221-offset"])
@pytest.mark.parametrize("modes", MODES)
def test_promise_1_klipper_returns_exactly(klipper: rig.KlipperPrinter, modes: str, factors: bool) -> None:
    text = klipper_text(modes, factors=factors)
    control = klipper.klipper.control
    number = print_klipper(klipper, text)
    begin = control.state()
    undisturbed = pushed(end_klipper(klipper, number), begin)

    number = print_klipper(klipper, text)
    before = control.state()
    assert klipper.act("pause_print") == "done"
    paused = control.wait_for(lambda s: s.is_paused and not s.moving, 30)
    if klipper.name == "Klipper":  # no macros that move by themselves
        assert paused.position[:2] == before.position[:2]
        assert paused.position[2] - before.position[2] == pytest.approx(LIFT, abs=0.001)
        assert before.position[3] - paused.position[3] == pytest.approx(RETRACT, abs=0.001)
    else:
        assert paused.position[2] - before.position[2] >= LIFT
        assert before.position[3] - paused.position[3] >= RETRACT
    assert paused.extruder.target == 0
    assert paused.heater_bed.target == before.heater_bed.target, "bed_off is not set"
    assert klipper.act("resume_print") == "done"
    after = control.wait_for(lambda s: s.print_state == "printing" and s.held and not s.moving, 60)
    assert gcode_position.distance(after.position, before.position) < 0.005
    assert modes_of(after) == pytest.approx(modes_of(before))
    end = pushed(end_klipper(klipper, number), before)
    assert gcode_position.distance(end, undisturbed) < 0.005


@pytest.mark.moonraker
def test_promise_1_klipper_paused_in_mid_motion(klipper: rig.KlipperPrinter) -> None:
    """Not held anywhere: paused wherever it happens to be, the file ends where it ends undisturbed."""
    text = klipper_text("m82_g90", factors=True).replace(HERE + "\n", "")
    ends = []
    for pauses in (0, 1):
        name = f"pause_{next(_number)}.gcode"
        klipper.klipper.upload(name, text.encode())
        control = klipper.klipper.control
        control.hold("X50.000 Y52.000")
        control.set_speed(20)
        klipper.klipper.print(name)
        begin = control.wait_for(lambda s: s.held and not s.moving, 60)
        number = int(klipper.current()["id"])
        control.set_speed(1)  # slow, so that a busy machine does not come too late with its pause
        control.release()
        for _ in range(pauses):
            assert klipper.act("pause_print") == "done"
            control.set_speed(60)
            assert klipper.act("resume_print") == "done"
        control.set_speed(60)
        assert klipper.ended(number)["ended_reason"] == "done"
        assert klipper.events(number).count("PAUSED") == pauses
        ends.append(pushed(control.wait_for(lambda s: not s.moving, 30), begin))
    assert gcode_position.distance(*ends) < 0.005


def octoprint_text(modes: str) -> str:
    """As OctoPrint's own kind of printer takes it: M82 and M83 count in G91 too."""
    relative_e, relative = modes.startswith("m83"), modes.endswith("g91")
    lines = ["M104 S195", "M140 S50", "G28", "G92 E0", "G90", "M83", "G1 Z0.4 F600", "G1 X50 Y50 F6000"]
    lines += [*(["G91"] if relative else []), "M83" if relative_e else "M82"]
    x, y, e = 50.0, 50.0, 0.0
    for number in range(240):
        dx, dy = ((1, 0), (0, 1), (-1, 0), (0, -1))[number % 4]
        x, y, e = x + dx, y + dy, e + 0.04
        where = f"X{dx} Y{dy}" if relative else f"X{x:g} Y{y:g}"
        lines.append(f"G1 {where} E{0.04 if relative_e else round(e, 5):g} F300")
    return "\n".join([*lines, "G90", "M83", "G1 E-1 F1800", ""])


@pytest.fixture(params=["octoprint-1.11", "octoprint-2.0"])
def octoprint(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[rig.OctoPrintPrinter]:
    found = fleet.get(request.param)
    assert isinstance(found, rig.OctoPrintPrinter)
    yield found
    found.settle()


@pytest.mark.octoprint
@pytest.mark.parametrize("modes", MODES)
def test_promise_1_octoprint_returns_exactly(octoprint: rig.OctoPrintPrinter, modes: str) -> None:
    """What the virtual printer received, beside what the file alone would have sent it."""
    printer = octoprint
    host, text = printer.host, octoprint_text(modes)
    file = gcode_position.file_lines(text)
    begin = len(host.received_lines())

    def followed() -> gcode_position.Followed:
        return gcode_position.follow(file, host.received_lines()[begin:])

    def sent(lines: int) -> Callable[[], bool]:
        return lambda: followed().sent > lines

    host.upload(f"pause_{next(_number)}.gcode", text.encode(), start=True)
    wait_for(sent(40), 30, "the print to get going")
    number = int(printer.current()["id"])
    # Right after connecting OctoPrint knows no temperature yet, and an unknown nozzle is not pulled at.
    wait_for(lambda: (host.get("/api/printer")["temperature"].get("tool0") or {}).get("actual", 0) > 180, 10, "heat")
    assert printer.act("pause_print") == "done"
    wait_for(lambda: followed().most_z > 0, 10, "the lift to arrive at the printer")
    paused = followed()
    assert paused.least_e == pytest.approx(-RETRACT, abs=0.005)
    assert paused.most_z == pytest.approx(LIFT, abs=0.005)
    assert printer.act("resume_print") == "done"
    printer.finish()
    assert printer.ended(number)["ended_reason"] == "done"
    wait_for(sent(len(file) - 1), 10, "the file's last line")
    whole = followed()
    assert whole.sent == len(file)
    assert whole.worst < 0.005
    assert whole.modes_kept
