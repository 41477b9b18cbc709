"""How much material a file needs, from what its slicer wrote (fleet-api.md §3)."""

from __future__ import annotations

from agent_core.wire import read
from reference_server.services.fleet.filament import ASSUMED_DENSITY, density_of_type, grams
from reference_server.services.model import GCodeFile


def grams_of(file: GCodeFile, material: str | None) -> float | None:
    """The slicer's own figure, else from the length; None: the file tells neither."""
    details = file.details or {}
    weight = read.number(details.get("filament_weight"))
    if weight is not None and weight > 0:
        return weight
    if file.filament_total is None:
        return None
    kind = material or read.text(details.get("filament_type")) or ""
    return grams(file.filament_total, density_of_type(kind) or ASSUMED_DENSITY)
