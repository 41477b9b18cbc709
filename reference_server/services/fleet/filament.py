"""From the millimetres of filament that a host counts to the grams that a spool has lost. Pure.

Densities in g/cm³: PLA, PETG, ASA, TPU, PA, PC, PVA and PP as UltiMaker's generic material files have them
(github.com/Ultimaker/fdm_materials, generic_*.xml.fdm_material, `<density>`); ABS and HIPS, whose files there are of
another grade or a placeholder, as their resins' data sheets have them (1.04). A brand's own differs by some per cent:
a material may carry its own.
"""

from __future__ import annotations

import math
import re

DENSITIES = {
    "PLA": 1.24, "PETG": 1.27, "ABS": 1.04, "ASA": 1.06, "TPU": 1.22, "PC": 1.19, "PA": 1.14, "PVA": 1.23,
    "HIPS": 1.04, "PP": 0.89,
}  # fmt: skip

ASSUMED_DENSITY = 1.24
"""Of a type that is not in the table: PLA's, the most common."""

DEFAULT_DIAMETER = 1.75  # mm

_OTHER_NAMES = {"NYLON": "PA", "PET": "PETG", "TPE": "TPU", "FLEX": "TPU"}


def density_of_type(kind: str) -> float | None:
    """Of `PLA+`, `PETG-CF` or `PA6` that of PLA, PETG, PA: a filler changes it less than the printer's flow does. None:
    the type is unknown."""
    found = re.match(r"[A-Z]+", kind.strip().upper())
    name = found[0] if found else ""
    return DENSITIES.get(_OTHER_NAMES.get(name, name))


def grams(length: float, density: float = ASSUMED_DENSITY, diameter: float = DEFAULT_DIAMETER) -> float:
    """What `length` mm of filament weigh; `density` g/cm³, `diameter` mm."""
    return math.pi / 4 * diameter**2 * length * density / 1000
