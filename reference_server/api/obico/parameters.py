"""Query parameters as OpenAPI knows them: types, limits and words are declared where they are read.

An empty value (`?filter=`) is the same as none: clients of the public server send such.
"""

from __future__ import annotations

import re
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import Query
from pydantic import BeforeValidator, Field

from reference_server.services.history import MOST_AT_ONCE

LARGEST = 2**53
"""Larger whole numbers are not the same everywhere in JSON."""


def _absent(value: Any) -> Any:
    return None if value == "" else value


def _without_blanks(value: Any) -> Any:
    return [entry for entry in value if entry != ""] if isinstance(value, list) else value


def _written_out(value: Any) -> Any:
    """Numbers, which pydantic would take for Unix seconds or milliseconds by their size, are no dates."""
    if isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+", value.strip()):
        raise ValueError("A date or an ISO-8601 time is needed.")
    return _absent(value)


def _whole(value: Any) -> Any:
    """In JSON 5.0 is a whole number too."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Blank = BeforeValidator(_absent)
Blanks = BeforeValidator(_without_blanks)

# The limits stand inside: outside, pydantic would try them on the None that Blank makes.
Count = Annotated[int, Field(ge=0, le=LARGEST)]
One = Annotated[int, Field(ge=1, le=LARGEST)]
IdInBody = Annotated[int, Field(ge=1, le=LARGEST, strict=True), BeforeValidator(_whole)]
Start = Annotated[Count | None, Blank, Query(description="How many to skip; 0 if absent.")]
Limit = Annotated[
    Count | None, Blank, Query(description=f"How many at most; never more than {MOST_AT_ONCE} are sent at once.")
]
PrinterIds = Annotated[
    list[One] | None, Blanks,
    Query(alias="filter_by_printer_ids[]", max_length=500, description="Only those of these printers."),
]  # fmt: skip
Day = Annotated[
    date | datetime | None, BeforeValidator(_written_out),
    Query(description="A date (that whole day in `timezone`) or an ISO-8601 time."),
]  # fmt: skip
Zone = Annotated[str | None, Query(max_length=64, description="An IANA name such as Europe/Berlin; UTC if absent.")]
Expand = Annotated[
    str | None,
    Query(max_length=100, description="What to nest instead of an id: `printer`, `g_code_file`, or both with a comma."),
]
Compat = Annotated[
    str | None,
    Query(max_length=10, description="`1`: settings in the public server's form, with texts inside the JSON."),
]
