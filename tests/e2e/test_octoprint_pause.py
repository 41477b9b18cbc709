"""The pause contract on real OctoPrint with its virtual printer: what the printer received, interpreted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from demo.octoprint_host import OctoPrintHost, wait_until
from tests.e2e.gcode_position import Position
from tests.e2e.octoprint import VERSIONS, complaints, octoprint

pytestmark = pytest.mark.octoprint

SPY = (Path(__file__).parent / "octoprint_spy.py").read_text(encoding="utf-8")

FILES = ("m82_g90", "m82_g91", "m83_g90", "m83_g91")

# Relative all through: OctoPrint does not always know its pause_position (after 10 s it waits for it no longer).
USER_SCRIPTS = {
    "afterPrintPaused": "M83\nG1 E-1 F1500\nG91\nG1 Z5 F900\nG1 X-10 Y-10 F6000\nG90\n",
    "beforePrintResumed": "G91\nG1 X10 Y10 F6000\nG1 Z-5 F900\nG90\nM83\nG1 E1 F1500\n",
}

WISH: Mapping[str, Any] = {"retract": 6.5, "lift_z": 2.5, "tools_off": True, "bed_off": True}


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


@dataclass
class Bench:
    """An OctoPrint that several tests use, one after the other; `mark`: lines that the printer got before this test."""

    host: OctoPrintHost
    mark: int

    def lines(self) -> list[str]:
        return self.host.received_lines()[self.mark :]

    def print(self, modes: str, text: str, lines: int = 60) -> None:
        self.host.upload(f"{modes}.gcode", text.encode(), start=True)
        wait_until(lambda: len(self.lines()) > lines, 30, "the print to get going")

    def run(self, name: str, args: Mapping[str, Any] | None = None) -> None:
        self.host.post("/api/plugin/spy", {"command": "run", "name": name, "args": args or {}})

    def outcome(self, name: str) -> str:
        seen = self.host.get
        return str(wait_until(lambda: seen("/api/plugin/spy")["outcome"].get(name), 60, f"the end of {name}"))

    def pause(self) -> str:
        self.run("pause", WISH)
        return self.outcome("pause")

    def nozzle(self) -> float:
        return float(self.host.get("/api/plugin/spy")["temperatures"]["tool0"]["actual"])

    def finish(self) -> list[str]:
        """Waits for the end of the print; all lines of this test."""
        self.host.wait_for_state("OPERATIONAL", 60)
        assert complaints(self.host) == []
        return self.lines()


class Benches:
    """One OctoPrint of each version; the user's own scripts (or none) and how warm the printer is when its heaters are
    off are set before each test, where they differ.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hosts: dict[str, OctoPrintHost] = {}
        self._scripts: dict[str, bool] = {}
        self._ambient: dict[str, float] = {}
        self.stack = ExitStack()

    def __call__(self, version: str, *, scripts: bool = False, ambient: float = 190.0) -> Bench:
        if version not in self._hosts:
            self._hosts[version] = self.stack.enter_context(
                octoprint(
                    version,
                    self._folder / version,
                    plugins={"spy": SPY},
                    scripts=USER_SCRIPTS if scripts else {},
                    virtual_printer={"ambientTemperature": ambient, "throttle": 0.01},
                )
            )
            self._scripts[version], self._ambient[version] = scripts, ambient
        host = self._hosts[version]
        if scripts is not self._scripts[version]:
            wanted = {name: text if scripts else "" for name, text in USER_SCRIPTS.items()}
            host.post("/api/settings", {"scripts": {"gcode": wanted}})
            self._scripts[version] = scripts
        if ambient != self._ambient[version]:
            host.disconnect()
            host.wait_for_state("OFFLINE")
            host.post("/api/settings", {"plugins": {"virtual_printer": {"ambientTemperature": ambient}}})
            host.connect()  # the virtual printer reads its settings when it is switched on
            host.wait_for_state("OPERATIONAL", 60)
            self._ambient[version] = ambient
        wait_until(lambda: "tool0" in host.get("/api/plugin/spy")["temperatures"], 20, "the first temperatures")
        return Bench(host, len(host.received_lines()))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Benches]:
    benches = Benches(tmp_path_factory.mktemp("octoprint"))
    with benches.stack:
        yield benches


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("user_scripts", [False, True], ids=["plain", "user-scripts"])
@pytest.mark.parametrize("modes", FILES)
def test_promise_1_the_print_returns_exactly(bench: Benches, version: str, user_scripts: bool, modes: str) -> None:
    octo, text = bench(version, scripts=user_scripts), gcode(modes)
    octo.print(modes, text)
    assert octo.pause() == "done: paused; retracted 6.5 mm; lifted 2.5 mm; bed and tool0 off"
    octo.run("resume")
    said = "done: resumed; bed back at 60 °C and tool0 back at 195 °C; pushed back 6.5 mm"
    assert octo.outcome("resume") == said
    lines = octo.finish()
    paused = lines.index("M400")
    first = next(at for at in range(paused, len(lines)) if re.fullmatch(r"G1 X.* F3600", lines[at]))
    for g90_governs_e in (False, True):
        # Before the first line of the file after the resume, the printer is where it was, in the same modes …
        at_pause = Position(g90_governs_e).run(lines[:paused])
        at_resume = Position(g90_governs_e).run(lines[:first])
        assert at_resume.where == at_pause.where
        assert at_resume.modes == at_pause.modes
        # … and in the end where the file alone would have brought it.
        expected = Position(g90_governs_e).run(text.splitlines())
        got = Position(g90_governs_e).run(lines)
        assert got.where == expected.where
        assert got.modes == expected.modes


@pytest.mark.parametrize("version", VERSIONS)
def test_promise_3_order_and_numbers_of_the_lines(bench: Benches, version: str) -> None:
    octo = bench(version, scripts=True)
    octo.print("order", gcode("m83_g90"))
    octo.pause()
    lines = octo.lines()
    paused = lines[lines.index("M400") :]
    own, ours = paused.index("G1 X-10 Y-10 F6000"), paused.index("G1 E-6.5 F1800")
    assert own < ours < paused.index("G1 Z2.5 F600") < paused.index("M140 S0")
    assert "M104 S0" in paused
    octo.run("resume")
    octo.outcome("resume")
    lines = octo.finish()
    back = lines[len(lines) - lines[::-1].index("M104 S195") - 1 :]
    order = ["M104 S195", "M190 S60", "M109 S195", "G1 Z-2.5 F600", "G1 E6.5 F1800", "G1 Z-5 F900"]
    found = [back.index(line) for line in order]
    assert found == sorted(found)


@pytest.mark.parametrize("version", VERSIONS)
def test_promise_6_the_pause_of_somebody_else_is_his(bench: Benches, version: str) -> None:
    octo = bench(version)
    octo.print("foreign", gcode("m83_g90"))
    octo.host.job("pause", action="pause")
    octo.host.wait_for_state("PAUSED")
    assert octo.pause() == "Rejected: the print is paused already"
    octo.host.job("pause", action="resume")
    lines = octo.finish()
    assert not [line for line in lines if "6.5" in line or "Z2.5" in line or line in {"M104 S0", "M140 S0"}]


@pytest.mark.parametrize("version", VERSIONS)
def test_promise_6_our_pause_resumed_by_somebody_else_is_undone(bench: Benches, version: str) -> None:
    octo, text = bench(version), gcode("m82_g90")
    octo.print("ours", text)
    octo.pause()
    octo.host.job("pause", action="resume")
    lines = octo.finish()
    assert lines.index("M190 S60") < lines.index("M109 S195") < lines.index("G1 E6.5 F1800")
    assert Position().run(lines).where == Position().run(text.splitlines()).where


@pytest.mark.parametrize("version", VERSIONS)
def test_promise_7_cancel_while_heating_for_a_resume(bench: Benches, version: str) -> None:
    octo = bench(version, ambient=150.0)
    octo.print("heating", "M109 S195\n" + gcode("m83_g90", 2000), 100)
    octo.pause()
    wait_until(lambda: octo.nozzle() < 180, 60, "the nozzle to cool")
    octo.run("resume")
    wait_until(lambda: "M104 S195" in octo.lines()[-20:], 10, "heating to begin")
    octo.host.post("/api/plugin/spy", {"command": "interrupt"})
    assert octo.outcome("resume") == "CommandFailed: not resumed: the print is being cancelled"
    octo.run("cancel")
    assert octo.outcome("cancel") == "done: cancelled"
    lines = octo.finish()
    assert "G1 E6.5 F1800" not in lines  # nothing is pushed into a print that is over
    assert [line for line in lines if line.startswith("M104")][-1].endswith(" S0")  # of OctoPrint's own script
    assert [line for line in lines if line.startswith("M140")][-1] == "M140 S0"


@pytest.mark.parametrize("version", VERSIONS)
def test_promise_7_cancel_at_octoprint_while_it_waits_for_heat(bench: Benches, version: str) -> None:
    octo = bench(version, ambient=150.0)
    octo.print("foreign_heat", "M109 S195\n" + gcode("m83_g90", 2000), 100)
    octo.pause()
    wait_until(lambda: octo.nozzle() < 180, 60, "the nozzle to cool")
    octo.host.job("pause", action="resume")
    wait_until(lambda: "M109 S195" in octo.lines()[-20:], 10, "OctoPrint to wait for the heater")
    octo.host.job("cancel")
    assert "G1 E6.5 F1800" not in octo.finish()


@pytest.mark.parametrize("version", VERSIONS)
def test_promise_2_and_5_a_cold_nozzle_is_paused_plainly(bench: Benches, version: str) -> None:
    octo, text = bench(version, ambient=25.0), gcode("m83_g90").replace("M104 S195", "M104 S0")
    octo.print("cold", text)
    assert octo.pause() == "done: paused; not retracted: the nozzle is too cold; lifted 2.5 mm; bed off"
    octo.run("resume")
    octo.outcome("resume")
    lines = octo.finish()
    assert not [line for line in lines if "E6.5" in line or "E-6.5" in line]
    assert Position().run(lines).where == Position().run(text.splitlines()).where


@pytest.mark.parametrize("version", VERSIONS)
def test_promise_8_the_agent_is_restarted_in_the_pause(bench: Benches, version: str) -> None:
    octo, text = bench(version), gcode("m82_g91")
    octo.print("restart", text)
    octo.pause()
    octo.host.post("/api/plugin/spy", {"command": "stop"})
    octo.host.post("/api/plugin/spy", {"command": "begin"})
    octo.run("resume")
    assert "pushed back 6.5 mm" in octo.outcome("resume")
    octo.host.wait_for_state("OPERATIONAL", 60)
    assert Position().run(octo.lines()).where == Position().run(text.splitlines()).where
