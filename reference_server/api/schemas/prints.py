"""Prints (seeds 000 and 001)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from reference_server.api.schemas import examples
from reference_server.api.schemas.objects import Change, Prediction, Print, Time
from reference_server.api.schemas.parts import COUNT, ID, Answer, Body, Call, many, one_of, query
from reference_server.services.history import MOST_AT_ONCE
from reference_server.services.model import AlertOverwrite
from reference_server.services.ports import PrintFilter, Sorting


class PrintChange(Change):
    """What may be changed. A whole Print sent back is taken too: read-only fields must then be unchanged."""

    alert_overwrite: AlertOverwrite | None = None
    access_consented_at: Time | None = None


class PrintIds(Change):
    print_ids: Annotated[list[Annotated[int, Field(ge=1, lt=2**53)]], Field(max_length=MOST_AT_ONCE)]


EXPAND = query(
    "expand", {"type": "string", "enum": ["printer", "g_code_file", "printer,g_code_file"]},
    "Nest these objects in the place of their ids.",
)  # fmt: skip

_ONE = Call("One print", {200: Answer("The print.", Print, examples.PRINT)}, params=(EXPAND,))
_CHANGE = Call(
    "Change a print",
    {200: Answer("The print.", Print, {**examples.PRINT, "alert_overwrite": "NOT_FAILED"})},
    params=(EXPAND,),
    body=Body(PrintChange, {"alert_overwrite": "NOT_FAILED"}),
)
_DELETE = Call("Delete a print", {200: Answer("Deleted; an empty body.")})

_FRAME = {
    "model": "app.printerprediction", "pk": 1,
    "fields": {
        "current_frame_num": 41, "lifetime_frame_num": 9041, "current_p": 0.31, "ewm_mean": 0.22,
        "rolling_mean_short": 0.12, "rolling_mean_long": 0.1, "normalized_p": 0.11,
        "created_at": "2026-11-20T18:10:09.000000Z", "updated_at": "2026-11-20T18:10:09.000000Z",
    },
}  # fmt: skip

CALLS = {
    "GET /api/v1/prints/": Call(
        "A user's prints",
        {
            200: Answer(
                "The prints.", list[Print], [examples.PRINT], headers={"X-Total-Count": "How many there are in all."}
            )
        },
        params=(
            one_of("filter", PrintFilter, "`cancelled` or `finished` ones; those without a word of the user about "
                   "their alert; those with feedback shots of which none is answered.", "finished"),
            one_of("sorting", Sorting, "By `started_at`, then id; newest first without this."),
            query("start", COUNT, "How many to skip."),
            query("limit", COUNT, f"How many to return; without this up to {MOST_AT_ONCE}.", 20),
            many("filter_by_printer_ids[]", ID, "Of these printers only."),
            EXPAND,
        ),
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
        "Delete several prints", {204: Answer("Deleted.")}, "All or none: an unknown id deletes nothing (404).",
        body=Body(PrintIds, {"print_ids": [5, 6]}),
    ),
    "GET /api/v1/prints/{print_id}/prediction_json/": Call(
        "The detection of a print, frame by frame", {200: Answer("One entry a frame.", list[Prediction], [_FRAME])}
    ),
}  # fmt: skip
