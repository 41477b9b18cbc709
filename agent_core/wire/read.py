"""Tolerant readers of foreign JSON values: each returns a value of the wanted type, or None.

A peer may be older or newer than we are (wire-protocol.md §10, trap 9): a wrong type is read as "not said", never
as an exception three layers in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]

# Exactly representable in a double, thus in every peer's JSON number.
_LARGEST_INTEGER = 2**53


def text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def number(value: object) -> float | None:
    """A finite number; booleans are none (Python counts them as integers)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        return None
    return float(value) if math.isfinite(value) else None


def integer(value: object) -> int | None:
    """A whole number, also when a peer wrote it as 12.0."""
    found = number(value)
    return int(found) if found is not None and found.is_integer() and abs(found) <= _LARGEST_INTEGER else None


def mapping(value: object) -> Json | None:
    return value if isinstance(value, dict) else None


def items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
