"""Prints (seeds 000 and 001)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from reference_server.api.schemas import examples
from reference_server.api.schemas.objects import Change, Error, Object, Print, Time
from reference_server.api.schemas.parts import Answer, Body, Call
from reference_server.services.model import AlertOverwrite


class PrintChange(Change):
    """What may be changed. A whole Print sent back is taken too: read-only fields must then be unchanged."""

    alert_overwrite: AlertOverwrite | None = None
    access_consented_at: Time | None = None


_ONE = Call("One print", {200: Answer("The print.", Print, examples.PRINT)})
_CHANGE = Call(
    "Change a print",
    {200: Answer("The print.", Print, {**examples.PRINT, "alert_overwrite": "NOT_FAILED"})},
    body=Body(PrintChange, {"alert_overwrite": "NOT_FAILED"}, required=False),
)
_DELETE = Call("Delete a print", {200: Answer("Deleted; an empty body.")})


class Figure(Object):
    """`key`: the first day of the period."""

    key: Annotated[str, Field(json_schema_extra={"format": "date"})]
    value: float


class PrintStatistics(Object):
    """Figures of the user's prints, by the period in which they began."""

    print_count_groups: list[Figure]
    print_time_groups: list[Figure]
    """Seconds."""
    filament_used_groups: list[Figure]
    """mm."""
    total_print_count: int
    total_finished_print_count: int
    total_cancelled_print_count: int
    total_print_time: float
    total_filament_used: float
    longest_print_time: float
    average_print_time: float


_STATISTICS = {
    "print_count_groups": [{"key": "2026-11-20", "value": 2}],
    "print_time_groups": [{"key": "2026-11-20", "value": 7290.0}],
    "filament_used_groups": [{"key": "2026-11-20", "value": 5120.5}],
    "total_print_count": 2, "total_finished_print_count": 1, "total_cancelled_print_count": 1,
    "total_print_time": 7290.0, "total_filament_used": 5120.5, "longest_print_time": 5490.0,
    "average_print_time": 3645.0,
}  # fmt: skip

CALLS = {
    "GET /api/v1/prints/stats/": Call(
        "Statistics of prints", {200: Answer("The figures.", PrintStatistics, _STATISTICS)}
    ),
    "GET /api/v1/prints/": Call(
        "A user's prints",
        {
            200: Answer(
                "The prints.", list[Print], [examples.PRINT], headers={"X-Total-Count": "How many there are in all."}
            )
        },
    ),
    "GET /api/v1/prints/{print_id}/": _ONE,
    "GET /api/v1/print/{print_id}/": _ONE,
    "PATCH /api/v1/prints/{print_id}/": _CHANGE,
    "PUT /api/v1/prints/{print_id}/": _CHANGE,
    "PATCH /api/v1/print/{print_id}/": _CHANGE,
    "PUT /api/v1/print/{print_id}/": _CHANGE,
    "DELETE /api/v1/prints/{print_id}/": _DELETE,
    "DELETE /api/v1/print/{print_id}/": _DELETE,
    "POST /api/v1/prints/bulk_delete/": Call(
        "Delete several prints",
        {
            204: Answer("Deleted."),
            404: Answer("One of them is not the user's: nothing was deleted.", Error, examples.ERROR),
        },
    ),
}  # fmt: skip
