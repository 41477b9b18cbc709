"""Layers, heights, filament and time by position, in every slicer's style; nothing a file holds does harm."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.gcode.index import GCodeIndex, index

RECORDED = Path(__file__).parents[2] / "data/recordings/moonraker/gcode"
START = "; made by a slicer\nG28\nM83\nG1 Z5 F3000\nG1 X0 Y0\nG1 E-1\nG1 E1\n"
HOP = "G1 E-0.8 F2400\nG1 Z{hop:.2f}\nG0 X50 Y50 ; travel E9 Z99\nG1 Z{z:.2f}\nG1 E0.8\n"
PRINTED = "G1 X10 Y10 E0.5\nG1 X20 Y10 E.5\nG2 X30 Y10 I5 J0 E0.25\n"
PER_LAYER = 1.25  # mm

HEADS = {
    "PrusaSlicer": ";LAYER_CHANGE\n;Z:{z:.2f}\n;HEIGHT:0.2\nM73 P{percent} R{minutes}\n",
    "OrcaSlicer": ";LAYER_CHANGE\n;Z:{z:.2f}\n;HEIGHT:0.2\n;BEFORE_LAYER_CHANGE\n;{z:.2f}\nM73 P{percent} R{minutes}\n",
    "SuperSlicer": ";LAYER_CHANGE\n;Z:{z:.2f}\n;HEIGHT:0.2\nM73 P{percent} R{minutes}\nM73 Q{percent} S{minutes}\n",
    "BambuStudio": "; CHANGE_LAYER\n; Z_HEIGHT: {z:.2f}\n; LAYER_HEIGHT: 0.2\nM73 P{percent} R{minutes}\n",
    "Cura": ";LAYER:{zero_based}\n",
    "Simplify3D": "; layer {number}, Z = {z:.3f}\n",
    "ideaMaker": ";LAYER:{zero_based}\n;Z:{z:.3f}\n",
    "KISSlicer": "; BEGIN_LAYER_OBJECT z={z:.2f}\n",
    "no comments": "",
}


def made(style: str, layers: int = 10, *, absolute: bool = False) -> tuple[bytes, list[int]]:
    """A file, and where its layers begin."""
    text, begins, e = START, [], 0.0
    for number in range(1, layers + 1):
        z = number * 0.2
        begins.append(len(text))
        facts = {"z": z, "number": number, "zero_based": number - 1, "percent": number, "minutes": layers - number + 1}
        text += HEADS[style].format(**facts) + f"G1 Z{z:.2f}\n" + PRINTED + HOP.format(hop=z + 1, z=z)
    if absolute:
        lines = []
        for line in text.replace("M83", "M82\nG92 E0").splitlines():
            code, mark, comment = line.partition(";")
            head, found, value = code.partition("E")
            if code.startswith("G") and not code.startswith("G92") and found:
                e += float(value.split()[0])
                code = f"{head}E{e:.5f}"
            lines.append(code + mark + comment)
        text = "\n".join(lines) + "\n"
        begins = []
    return text.encode(), begins


@pytest.mark.parametrize("style", HEADS)
def test_every_style_tells_its_layers(style: str) -> None:
    data, begins = made(style)
    found = index([data])
    assert found.layer_count == 10
    assert [round(height, 3) for height in found.heights] == [round(0.2 * number, 3) for number in range(1, 11)]
    assert list(found.offsets) == begins
    assert found.max_z == pytest.approx(2.0)
    assert found.total_filament == pytest.approx(10 * PER_LAYER)
    assert [round(used, 6) for used in found.filaments] == [number * PER_LAYER for number in range(10)]
    for number, begin in enumerate(begins, 1):
        assert found.at(begin - 1).layer == number - 1
        assert found.at(begin).layer == number
        assert found.at(begin).filament == pytest.approx((number - 1) * PER_LAYER)
    assert found.at(10**12).layer == 10
    assert found.at(-5).layer == 0


@pytest.mark.parametrize("style", HEADS)
def test_absolute_extrusion_counts_the_same(style: str) -> None:
    data, _ = made(style, absolute=True)
    found = index([data])
    assert found.layer_count == 10
    assert found.total_filament == pytest.approx(10 * PER_LAYER, abs=1e-3)


def test_time_left_runs_between_its_marks() -> None:
    data, begins = made("PrusaSlicer")
    found = index([data])
    first = found.time_offsets[0]
    assert found.at(first).time_left == 600
    assert found.at(0).time_left == 600
    middle = (found.time_offsets[3] + found.time_offsets[4]) // 2
    assert found.at(middle).time_left == pytest.approx(60 * 6.5, abs=2)
    assert found.at(len(data)).time_left == 0
    assert index([made("no comments")[0]]).at(begins[4]).time_left is None


def test_cura_counts_time_from_the_start() -> None:
    data = b";TIME:100\n;LAYER:0\nG1 X1 Z0.2 E1\n;TIME_ELAPSED:40\n;LAYER:1\nG1 X1 Z0.4 E2\n;TIME_ELAPSED:100\n"
    found = index([data])
    assert [round(left) for left in found.times_left] == [60, 0]
    assert list(found.heights) == [0.2, 0.4]


def test_line_ends_of_every_kind() -> None:
    data, _ = made("PrusaSlicer")
    windows = index([data.replace(b"\n", b"\r\n")])
    assert windows.layer_count == 10
    assert windows.total_filament == pytest.approx(10 * PER_LAYER)


@pytest.mark.parametrize(
    ("name", "layers", "top", "filament"),
    [("two_cubes_prusaslicer", 20, 4.0, 664.39), ("bracket_cura", 24, 4.8, 722.725)],
)
def test_files_of_real_slicers(name: str, layers: int, top: float, filament: float) -> None:
    """What the slicers themselves say in these files (Cura's own figure includes what it did not write)."""
    found = index([(RECORDED / f"{name}.gcode").read_bytes()])
    assert (found.layer_count, found.max_z) == (layers, top)
    assert found.total_filament == pytest.approx(filament, abs=0.01)


def same(one: GCodeIndex, other: GCodeIndex) -> bool:
    near = all(math.isclose(a, b, abs_tol=1e-6) for a, b in zip(one.filaments, other.filaments, strict=True))
    return (one.size, one.offsets, one.time_offsets) == (other.size, other.offsets, other.time_offsets) and near


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[begin : begin + size] for begin in range(0, len(data), size))


@pytest.mark.parametrize("style", HEADS)
@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_pieces_of_any_size_give_the_same(style: str, size: int) -> None:
    data, _ = made(style, layers=4)
    assert same(index(cut(data, size)), index([data]))


LINES = st.sampled_from([
    b"G1 X1 Y1 E1", b"G1 Z1", b"G1 Z-1.2.3 E-.", b"G92 E0", b"M82", b"M83", b"G91", b"G90", b";LAYER:1", b";LAYER:",
    b";LAYER_CHANGE", b";Z:", b";Z:1..2", b"M73 P1 R9", b"; layer 1, Z = .", b"", b"\xff\x00", b";TIME:9",
    b";TIME_ELAPSED:4",
])  # fmt: skip


@given(st.lists(LINES | st.binary(max_size=30), max_size=40), st.integers(1, 50), st.integers(-10, 2000))
def test_no_bytes_do_harm(lines: list[bytes], size: int, position: int) -> None:
    data = b"\n".join(lines)
    found = index(cut(data, size))
    place = found.at(position)
    assert 0 <= place.layer <= found.layer_count
    assert found.size == len(data)
    assert math.isfinite(place.filament)


def test_a_line_without_end_costs_no_memory() -> None:
    found = index(b"G1 X" + b"1" * 1_000_000 for _ in range(20))
    assert found.layer_count == 0


@pytest.mark.parametrize("data", [b"[" * 100_000 + b"\n", b'{"format": "gcode index 1", "lengths": 1e999}\n'])
def test_a_damaged_index_is_none(data: bytes) -> None:
    assert GCodeIndex.from_bytes(data) is None
