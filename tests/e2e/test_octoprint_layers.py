"""Layers on real OctoPrint: told rightly at random moments of prints in several slicers' styles."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest

from agent_core.gcode.index import index
from demo.octoprint_host import wait_until
from tests.e2e.octoprint import VERSIONS, complaints, octoprint
from tests.unit.agent_core.test_gcode_index import HEADS

pytestmark = pytest.mark.octoprint

SPY = (Path(__file__).parent / "octoprint_spy.py").read_text(encoding="utf-8")
SETTINGS = {"auth_token": "a1b2c3d4e5f60718293a", "endpoint_prefix": "http://127.0.0.1:1"}
LAYERS, MOVES, LOOKS = 30, 8, 10


def sliced(style: str) -> bytes:
    text = "G28\nG90\nM83\nG92 E0\n"
    for number in range(1, LAYERS + 1):
        z = number * 0.2
        facts = {"z": z, "number": number, "zero_based": number - 1, "percent": number, "minutes": LAYERS - number + 1}
        text += HEADS[style].format(**facts) + f"G1 Z{z:.2f}\n"
        text += "".join(f"G1 X{step % 2 * 10 + 20} Y{number + 10} E0.05 F500\n" for step in range(MOVES))
    return text.encode()


def styles(version: str) -> tuple[str, ...]:
    """`LAYER_STYLES=all pytest …` takes them all. Every run's: on 1.11 those with marks of their own (OrcaSlicer and
    SuperSlicer mark layers as PrusaSlicer does), on 2.0, which gives the same figures by the same way, a few."""
    if os.environ.get("LAYER_STYLES") == "all":
        return tuple(HEADS)
    if version == "1.11":
        return tuple(style for style in HEADS if style not in {"OrcaSlicer", "SuperSlicer"})
    return ("Cura", "no comments")


@pytest.mark.parametrize("version", VERSIONS)
def test_layers_at_random_moments(version: str, tmp_path: Path) -> None:
    with octoprint(
        version, tmp_path, plugin_settings=SETTINGS, plugins={"spy": SPY}, virtual_printer={"sendWait": False}
    ) as host:

        def status() -> dict[str, Any]:
            return dict((host.get("/api/plugin/spy")["status"] or {}).get("status") or {})

        for style in styles(version):
            content = sliced(style)
            expected = index([content])
            assert expected.layer_count == LAYERS
            name = f"{style.replace(' ', '_')}.gcode"
            host.upload(name, content, start=True)

            def layered(name: str = name) -> Any:
                found = status()
                mine = found and found["job"]["file"]["name"] == name and found["state"]["text"] == "Printing"
                return found if mine and found.get("currentLayerHeight") else None

            seen = set()
            for _ in range(LOOKS):
                found = wait_until(layered, 30, f"layers of {style}")
                position = found["progress"]["filepos"]
                assert found["currentLayerHeight"] == expected.at(position).layer, style
                assert found["file_metadata"]["obico"]["totalLayerCount"] == LAYERS
                assert found["progress"]["filamentUsed"] == pytest.approx(expected.at(position).filament, abs=0.01)
                seen.add(position)
                moment = position + random.randint(20, 90)
                wait_until(lambda: _past(status(), moment), 30, "the print to go on")  # noqa: B023
            assert len(seen) > 1, "more than one moment was looked at"
            host.job("cancel")
            host.wait_for_state("OPERATIONAL", 30)
        assert [line for line in complaints(host) if "127.0.0.1:1" not in line] == []


def _past(found: dict[str, Any], position: int) -> bool:
    return (found["progress"]["filepos"] or 0) >= position or found["state"]["text"] != "Printing"
