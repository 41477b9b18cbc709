"""Layers on Klipper, with real Moonraker and the agent as it runs: right at random moments of prints whose files do not
tell their layers. The agent reads such a file through once, by a process of its own."""

from __future__ import annotations

import os
from typing import Any

import pytest

from agent_core.gcode.index import index
from demo.processes import wait_for
from moonraker_obico.cli import status_socket
from moonraker_obico.config import load
from tests.e2e.conftest import Fleet
from tests.e2e.rig import KlipperPrinter
from tests.unit.agent_core.test_gcode_index import HEADS

pytestmark = pytest.mark.moonraker

LAYERS, MOVES, LOOKS = 60, 8, 10
STYLES = tuple(HEADS) if os.environ.get("LAYER_STYLES") == "all" else ("Cura", "KISSlicer")
"""`LAYER_STYLES=all pytest …` takes them all (100 s). Every run's: one with the slicer's own numbers, one without."""


def sliced(style: str) -> bytes:
    text = "PRINT_START BED=60 EXTRUDER=205\nG90\nM83\nG92 E0\n"
    for number in range(1, LAYERS + 1):
        z = number * 0.2
        facts = {"z": z, "number": number, "zero_based": number - 1, "percent": number, "minutes": LAYERS - number + 1}
        text += HEADS[style].format(**facts) + f"G1 Z{z:.2f} F600\n"
        text += "".join(f"G1 X{step % 2 * 10 + 20} Y{number + 10} E0.3 F90\n" for step in range(MOVES))
    return (text + "PRINT_END\n").encode()


@pytest.fixture
def klipper(fleet: Fleet) -> Any:
    printer = fleet.get("klipper")
    assert isinstance(printer, KlipperPrinter)
    yield printer
    printer.settle()


def job_of(printer: KlipperPrinter) -> dict[str, Any]:
    """What the running agent sees of its print."""
    told = status_socket.ask(load(printer.agent.config).status_path) or {}
    return dict(told.get("print") or {})


def test_layers_at_random_moments(klipper: KlipperPrinter) -> None:
    for style in STYLES:
        content = sliced(style)
        expected = index([content])
        assert expected.layer_count == LAYERS
        name = f"layers-{style}.gcode"
        klipper.klipper.upload(name, content)
        klipper.klipper.print(name)

        def layered(name: str = name) -> dict[str, Any] | None:
            job = job_of(klipper)
            return job if job.get("file") == name and job["layer"] else None

        seen: dict[int, int] = {}

        def another(seen: dict[int, int] = seen, look: Any = layered) -> bool:
            job = look()
            return job is not None and job["position"] not in seen

        for _ in range(LOOKS):
            wait_for(another, 40, f"layers of {style}", every=0.02)
            job = layered()
            assert job is not None, f"the print of {style} was over too soon"
            seen[job["position"]] = job["layer"]
            assert job["layers"] == LAYERS
        assert seen == {position: expected.at(position).layer for position in seen}, style
        assert len(set(seen.values())) > 2, "several layers were looked at"
        klipper.host_cancel()
        klipper.settle()
