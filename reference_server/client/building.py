"""What all resources make their calls of."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from enum import Enum
from typing import Any, Final
from urllib.parse import quote

from reference_server.client.reading import write_time

When = str | date | datetime
"""A day (`2026-10-01`) or a time; as text ISO 8601."""


class Unset(Enum):
    """What a change leaves as it is; None empties a field."""

    UNSET = "unset"

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset.UNSET


def path_id(text: str) -> str:
    """An id as a part of a path, whatever is in it."""
    return quote(text, safe="") if text not in {"", ".", ".."} else "%2E"


def params(**values: str | int | bool | When | None) -> dict[str, str | int]:
    """Of a query, without those that are None; `from_date` is the API's `from`, `to_date` its `to`."""
    found: dict[str, str | int] = {}
    for name, value in values.items():
        if value is not None:
            wire = {"from_date": "from", "to_date": "to"}.get(name, name)
            found[wire] = value if isinstance(value, int) else str(write_time(value))
    return found


def given(**values: object) -> dict[str, Any]:
    """A body: what is UNSET is left out."""
    return {name: value for name, value in values.items() if value is not UNSET}


def several(value: Sequence[str] | Unset) -> object:
    """Of a tuple or list a list; a mere text would be taken apart into letters: ValueError."""
    if isinstance(value, str):
        raise ValueError("a list of texts is needed, not one text")  # noqa: TRY004 - as all wrong values
    return value if isinstance(value, Unset) else [*value]
