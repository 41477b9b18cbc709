"""One JSON line a figure."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence


def figure(name: str, value: float, unit: str, **more: object) -> None:
    """Prints `{"figure", "value", "unit"}`; `more` are keys beside (a baseline of the same run, a count)."""
    print(json.dumps({"figure": name, "value": round(value, 3), "unit": unit, **more}), flush=True)


def median(values: Sequence[float]) -> float:
    return statistics.median(values)
