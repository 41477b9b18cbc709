"""The pause contract on real OctoPrint with its virtual printer: what the printer received, interpreted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from demo.octoprint_host import OctoPrintHost, wait_until
from tests.e2e.gcode_position import Position
from tests.e2e.octoprint import VERSIONS, complaints, octoprint

pytestmark = pytest.mark.octoprint

SPY = (Path(__file__).parent / "octoprint_spy.py").read_text(encoding="utf-8")

FILES = ("m82_g90", "m82_g91", "m83_g90", "m83_g91")

USER_SCRIPTS = {
    "afterPrintPaused": "M83\nG1 E-1 F1500\nG91\nG1 Z5 F900\nG90\nG1 X5 Y5 F6000\n",
    "beforePrintResumed": "G90\nG1 X{{ pause_position.x }} Y{{ pause_position.y }} F6000\nG91\nG1 Z-5 F900\nG90\n"
    "M83\nG1 E1 F1500\n",
}

WISH = {"retract": 6.5, "lift_z": 2.5, "tools_off": True, "bed_off": True}


def gcode(modes: str, moves: int = 400) -> str:
    """A square that is drawn again and again, in the extrusion and move modes of its name; with a G92 on its way."""
    relative_e, relative = modes.startswith("m83"), modes.endswith("g91")
    lines = ["M104 S195", "M140 S60", "G28", "G92 E0", "G90", "M83", "G1 Z0.4 F600", "G1 X50 Y50 F6000"]
    if relative:
        lines.append("G91")
    lines.append("M83" if relative_e else "M82")
    x, y, e = 50.0, 50.0, 0.0
    for number in range(moves):
        step = ((1, 0), (0, 1), (-1, 0), (0, -1))[number % 4]
        x, y, e = x + step[0], y + step[1], e + 0.04
        if number == moves // 2:
            lines.append("G92 E0")
            e = 0.04
        where = f"X{step[0]} Y{step[1]}" if relative else f"X{x:g} Y{y:g}"
        lines.append(f"G1 {where} E{0.04 if relative_e else round(e, 5):g} F3600")
    return "\n".join([*lines, "G90", "M83", "G1 E-1 F1800", ""])


@contextmanager
def printer(
    version: str, basedir: Path, *, scripts: dict[str, str] | None = None, ambient: float = 190.0
) -> Iterator[OctoPrintHost]:
    """An OctoPrint with a printer that is warm from the start, so that heating takes no time."""
    with octoprint(
        version,
        basedir,
        plugins={"spy": SPY},
        scripts=scripts or {},
        virtual_printer={"ambientTemperature": ambient, "throttle": 0.01},
    ) as host:
        wait_until(lambda: "tool0" in host.get("/api/plugin/spy")["temperatures"], 20, "the first temperatures")
        yield host


def run(host: OctoPrintHost, name: str, args: dict[str, object] | None = None) -> None:
    host.post("/api/plugin/spy", {"command": "run", "name": name, "args": args or {}})


def outcome(host: OctoPrintHost, name: str, seconds: float = 40.0) -> str:
    return str(wait_until(lambda: host.get("/api/plugin/spy")["outcome"].get(name), seconds, f"the end of {name}"))


def received(host: OctoPrintHost) -> list[str]:
    """What moved or changed something: no temperature polls, no line number resets."""
    return [line for line in host.received_lines() if not re.match(r"M105|M110|M27|M155|M115|M20|M21|M400|M114", line)]


def print_until(host: OctoPrintHost, name: str, text: str, lines: int = 60) -> None:
    host.upload(name, text.encode(), start=True)
    wait_until(lambda: len(received(host)) > lines, 30, "the print to get going")


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("user_scripts", [False, True], ids=["plain", "user-scripts"])
def test_promise_1_the_print_returns_exactly(version: str, user_scripts: bool, tmp_path: Path) -> None:
    with printer(version, tmp_path, scripts=USER_SCRIPTS if user_scripts else None) as host:
        for modes in FILES:
            before = len(host.received_lines())
            text = gcode(modes)
            host.upload(f"{modes}.gcode", text.encode(), start=True)
            wait_until(lambda: len(host.received_lines()) > before + 60, 30, "the print to get going")  # noqa: B023
            run(host, "pause", WISH)
            assert outcome(host, "pause") == "done: paused; retracted 6.5 mm; lifted 2.5 mm; bed and tool0 off"
            run(host, "resume")
            assert outcome(host, "resume").startswith("done: resumed; bed back at 60 °C and tool0 back at 195 °C")
            host.wait_for_state("OPERATIONAL", 60)
            lines = host.received_lines()[before:]
            for semantics in (False, True):
                expected = Position(semantics).run(text.splitlines())
                got = Position(semantics).run(lines)
                assert (modes, got.where) == (modes, expected.where)
                assert got.modes == expected.modes
            _assert_return(lines)
        assert complaints(host) == []


def _assert_return(lines: list[str]) -> None:
    """Before the first line of the file after the resume, the printer is where it was, in the same modes."""
    paused = lines.index("M400")
    first = next(number for number in range(paused, len(lines)) if lines[number].endswith("F3600"))
    at_pause, at_resume = Position().run(lines[:paused]), Position().run(lines[:first])
    assert at_resume.where == at_pause.where
    assert at_resume.modes == at_pause.modes


@pytest.mark.parametrize("version", VERSIONS)
def test_promise_3_order_and_numbers_of_the_lines(version: str, tmp_path: Path) -> None:
    with printer(version, tmp_path, scripts=USER_SCRIPTS) as host:
        print_until(host, "order.gcode", gcode("m83_g90"))
        run(host, "pause", WISH)
        outcome(host, "pause")
        lines = host.received_lines()
        paused = lines[lines.index("M400") :]
        own, ours = paused.index("G1 X5 Y5 F6000"), paused.index("G1 E-6.5 F1800")
        assert own < ours < paused.index("G1 Z2.5 F600") < paused.index("M140 S0")
        assert "M104 S0" in paused
        run(host, "resume")
        outcome(host, "resume")
        lines = host.received_lines()
        back = lines[len(lines) - lines[::-1].index("M104 S195") - 1 :]
        order = ["M104 S195", "M190 S60", "M109 S195", "G1 Z-2.5 F600", "G1 E6.5 F1800", "G1 Z-5 F900"]
        found = [back.index(line) for line in order]
        assert found == sorted(found)


@pytest.mark.parametrize("version", VERSIONS)
def test_promise_6_the_pause_of_somebody_else_is_his(version: str, tmp_path: Path) -> None:
    with printer(version, tmp_path) as host:
        print_until(host, "foreign.gcode", gcode("m83_g90"))
        host.job("pause", action="pause")
        host.wait_for_state("PAUSED")
        run(host, "pause", WISH)
        assert outcome(host, "pause") == "Rejected: the print is paused already"
        host.job("pause", action="resume")
        host.wait_for_state("OPERATIONAL", 60)
        lines = host.received_lines()
        assert not [line for line in lines if "6.5" in line or "Z2.5" in line or line in {"M104 S0", "M140 S0"}]


@pytest.mark.parametrize("version", VERSIONS)
def test_promise_6_our_pause_resumed_by_somebody_else_is_undone(version: str, tmp_path: Path) -> None:
    with printer(version, tmp_path) as host:
        text = gcode("m82_g90")
        print_until(host, "ours.gcode", text)
        run(host, "pause", WISH)
        outcome(host, "pause")
        host.job("pause", action="resume")
        host.wait_for_state("OPERATIONAL", 60)
        lines = host.received_lines()
        assert lines.index("M190 S60") < lines.index("M109 S195") < lines.index("G1 E6.5 F1800")
        assert Position().run(lines).where == Position().run(text.splitlines()).where


@pytest.mark.parametrize("version", VERSIONS)
def test_promise_7_cancel_while_heating_for_a_resume(version: str, tmp_path: Path) -> None:
    with printer(version, tmp_path, ambient=150.0) as host:
        print_until(host, "heating.gcode", "M109 S195\n" + gcode("m83_g90", 2000), 100)
        run(host, "pause", WISH)
        outcome(host, "pause")
        wait_until(
            lambda: host.get("/api/plugin/spy")["temperatures"]["tool0"]["actual"] < 180, 60, "the nozzle to cool"
        )
        run(host, "resume")
        wait_until(lambda: host.received_lines()[-200:].count("M104 S195") > 0, 10, "heating to begin")
        host.post("/api/plugin/spy", {"command": "interrupt"})
        assert outcome(host, "resume") == "CommandFailed: not resumed: the print is being cancelled"
        run(host, "cancel")
        assert outcome(host, "cancel") == "done: cancelled"
        host.wait_for_state("OPERATIONAL")
        lines = host.received_lines()
        assert "G1 E6.5 F1800" not in lines  # nothing is pushed into a print that is over
        heats = [line for line in lines if line.startswith(("M104", "M140"))]
        assert heats[-1].endswith("S0")
        assert [line for line in heats if line.startswith("M104")][-1].endswith("S0")


@pytest.mark.parametrize("version", VERSIONS)
def test_promise_7_cancel_at_octoprint_while_it_waits_for_heat(version: str, tmp_path: Path) -> None:
    with printer(version, tmp_path, ambient=150.0) as host:
        print_until(host, "foreign_heat.gcode", "M109 S195\n" + gcode("m83_g90", 2000), 100)
        run(host, "pause", WISH)
        outcome(host, "pause")
        wait_until(
            lambda: host.get("/api/plugin/spy")["temperatures"]["tool0"]["actual"] < 180, 60, "the nozzle to cool"
        )
        host.job("pause", action="resume")
        wait_until(lambda: "M109 S195" in host.received_lines()[-20:], 10, "OctoPrint to wait for the heater")
        host.job("cancel")
        host.wait_for_state("OPERATIONAL", 60)
        assert "G1 E6.5 F1800" not in host.received_lines()


@pytest.mark.parametrize("version", VERSIONS)
def test_promise_2_and_5_a_cold_nozzle_is_paused_plainly(version: str, tmp_path: Path) -> None:
    with printer(version, tmp_path, ambient=25.0) as host:
        text = gcode("m83_g90").replace("M104 S195", "M104 S0")
        print_until(host, "cold.gcode", text)
        run(host, "pause", WISH)
        said = outcome(host, "pause")
        assert said == "done: paused; not retracted: the nozzle is too cold; lifted 2.5 mm; bed off"
        run(host, "resume")
        outcome(host, "resume")
        host.wait_for_state("OPERATIONAL", 60)
        lines = host.received_lines()
        assert not [line for line in lines if "E6.5" in line or "E-6.5" in line]
        assert Position().run(lines).where == Position().run(text.splitlines()).where


@pytest.mark.parametrize("version", VERSIONS)
def test_promise_8_the_agent_is_restarted_in_the_pause(version: str, tmp_path: Path) -> None:
    with printer(version, tmp_path) as host:
        text = gcode("m82_g91")
        print_until(host, "restart.gcode", text)
        run(host, "pause", WISH)
        outcome(host, "pause")
        host.post("/api/plugin/spy", {"command": "stop"})
        host.post("/api/plugin/spy", {"command": "begin"})
        run(host, "resume")
        assert "pushed back 6.5 mm" in outcome(host, "resume")
        host.wait_for_state("OPERATIONAL", 60)
        assert Position().run(host.received_lines()).where == Position().run(text.splitlines()).where
