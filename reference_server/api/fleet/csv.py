"""Tables for spreadsheets: RFC 4180 with a byte order mark, which Excel needs to read UTF-8."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(value: Any) -> Any:
    """Text that a spreadsheet would take for a formula gets a ' before it: it may be a stranger's file name."""
    if isinstance(value, str) and value.lstrip(" ").startswith(_FORMULA):
        return f"'{value}"
    return value


def table(name: str, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Response:
    """`name`: of the file, without its ending."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([cell(row[column]) for column in columns])
    # Lone surrogates are no text that UTF-8 knows.
    content = "\ufeff".encode() + out.getvalue().encode("utf-8", "replace")
    return Response(
        content, media_type="text/csv", headers={"Content-Disposition": f'attachment; filename="{name}.csv"'}
    )
