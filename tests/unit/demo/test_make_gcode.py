"""The demo's G-code files: the same every time, printable, and ending where they say."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest

from demo import make_gcode
from demo.klippy.options import Options
from demo.klippy.simulation import Simulation

RECORDED = Path(__file__).parents[2] / "data" / "recordings" / "moonraker" / "gcode"


def printed(folder: Path, name: str) -> Simulation:
    printer = Simulation(Options(folder))
    assert printer.print_file(name) is None
    printer.until(lambda: printer.status("print_stats")["state"] != "printing")
    printer.settle()
    return printer


def test_the_files_are_the_same_every_time_and_small() -> None:
    assert make_gcode.files() == make_gcode.files()
    assert all(len(text) < 300_000 for text in make_gcode.files().values())


@pytest.mark.parametrize("name", ["m82_g90", "m82_g91", "m83_g90", "m83_g91"])
def test_the_small_files_are_those_of_the_recordings(name: str) -> None:
    assert make_gcode.files()[f"{name}.gcode"] == (RECORDED / f"{name}.gcode").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["m82_g90", "m83_g90", "m83_g91"])
def test_the_small_files_end_where_they_say(tmp_path: Path, name: str) -> None:
    make_gcode.write(tmp_path)
    printer = printed(tmp_path, f"{name}.gcode")
    assert printer.status("print_stats")["state"] == "complete"
    assert printer.status("toolhead")["position"] == pytest.approx(make_gcode.ZIGZAG_END, abs=1e-9)


@pytest.mark.parametrize("name", ["vase_marlin.gcode", "vase_klipper.gcode"])
def test_a_vase_prints_to_its_end_without_a_complaint(tmp_path: Path, name: str) -> None:
    make_gcode.write(tmp_path)
    printer = printed(tmp_path, name)
    assert printer.status("print_stats")["state"] == "complete"
    assert [r for r in printer.responses if r.startswith(("!!", "//"))] == []
    extruded = printer.status("toolhead")["position"][3]
    filament = sum(r.length for r in make_gcode.vase(40)) * make_gcode.E_PER_MM
    assert extruded == pytest.approx(filament, abs=3.0)
    assert printer.status("extruder")["target"] == 0.0


def test_the_klipper_file_counts_its_layers(tmp_path: Path) -> None:
    make_gcode.write(tmp_path, layers=7)
    printer = printed(tmp_path, "vase_klipper.gcode")
    assert printer.status("print_stats")["info"] == {"total_layer": 7, "current_layer": 7}


def test_the_marlin_file_has_cura_s_comments() -> None:
    text = make_gcode.marlin(layers=5)
    assert ";LAYER_COUNT:5\n" in text
    assert [int(n) for n in re.findall(r";LAYER:(\d+)\n", text)] == [0, 1, 2, 3, 4]
    assert re.search(r"^;TIME:\d+$", text, re.MULTILINE)


def test_the_thumbnails_are_pngs_of_their_size() -> None:
    text = make_gcode.klipper(layers=1)
    found = re.findall(r"; thumbnail begin (\d+)x\d+ (\d+)\n(.*?)\n; thumbnail end", text, re.DOTALL)
    assert [int(side) for side, _, _ in found] == [32, 300]
    for side, length, body in found:
        encoded = body.replace("; ", "").replace("\n", "")
        assert len(encoded) == int(length)
        png = base64.b64decode(encoded)
        assert png.startswith(b"\x89PNG")
        assert int.from_bytes(png[16:20], "big") == int(side)
