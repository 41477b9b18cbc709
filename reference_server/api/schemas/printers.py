"""Printers and what is done to their prints (seed 002)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from pydantic import Field

from reference_server.api.schemas import examples
from reference_server.api.schemas.objects import (
    PLAN_FULL,
    SOME_TEXT,
    Acted,
    Change,
    Commanded,
    Error,
    Printer,
    PrinterChanged,
    Said,
)
from reference_server.api.schemas.parts import Answer, Body, Call, Param
from reference_server.services.model import ActionOnFailure
from reference_server.services.printer_changes import MOST_LIFT, MOST_RETRACT, NAME_LIMIT

Name = Annotated[str, Field(min_length=1, max_length=NAME_LIMIT, pattern=SOME_TEXT)]
Seconds = Annotated[int, Field(ge=-1, le=86400)]

COMPAT = Param(
    "compat", {"type": "string"},
    "`1`: three lists in `settings` as text inside JSON, as the public server has them.",
)  # fmt: skip


class NewPrinter(Said):
    name: Name


class PrinterChange(Change):
    """What may be changed. A whole Printer sent back is taken too: read-only fields must then be unchanged."""

    name: Name = ""
    action_on_failure: ActionOnFailure = ActionOnFailure.PAUSE
    watching_enabled: bool = True
    tools_off_on_pause: bool = True
    bed_off_on_pause: bool = False
    retract_on_pause: Annotated[float, Field(ge=0, le=MOST_RETRACT)] = 6.5
    """mm."""
    lift_z_on_pause: Annotated[float, Field(ge=0, le=MOST_LIFT)] = 2.5
    """mm."""
    detective_sensitivity: Annotated[float, Field(ge=0.8, le=1.2)] = 1.0
    min_timelapse_secs_on_finish: Seconds = 600
    min_timelapse_secs_on_cancel: Seconds = 300
    detection_warmup_secs: Annotated[int, Field(ge=0, le=86400)] = 0
    detection_snooze_secs: Annotated[int, Field(ge=0, le=86400)] = 0


_WITH_TOKEN = {**examples.PRINTER, "auth_token": "2cf24dba5fb0a30e26e8"}
_ONE = Answer("The printer, with its `auth_token`.", Printer, _WITH_TOKEN)
_CHANGED = {**examples.PRINTER, "succeeded": True, "printer": examples.PRINTER}
_CHANGE = Call(
    "Change a printer",
    {200: Answer("The printer, and besides `succeeded` and `printer`.", PrinterChanged, _CHANGED)},
    body=Body(PrinterChange, {"retract_on_pause": 5, "detective_sensitivity": 1.1}, required=False),
)

_REASON = {"succeeded": False, "printer": examples.PRINTER, "reason": "nothing is printing"}


def _command(what: str, text: str = "") -> Call:
    answer = Answer("Given to the agent, or `reason` says why not.", Commanded, {**_REASON, "agent": None})
    return Call(f"{what} the current print", {200: answer}, text, params=(COMPAT,))


def _by_get(what: str) -> Call:
    call = _command(what)
    refused = Answer("With a session: a link in some page must not do this.", Error, {"detail": "Use POST."},
                     headers={"Allow": "`POST`"})  # fmt: skip
    return replace(call, answers={**call.answers, 405: refused})


_FULL = Answer("No printer more: the operator's plan.", Error, PLAN_FULL)
_ARCHIVED = {204: Answer("Done.")}
_PRINTER = "/api/v1/printers/{printer_id}/"

CALLS = {
    "GET /api/v1/printers/": Call(
        "All printers",
        {200: Answer("The user's printers.", list[Printer], [examples.PRINTER])},
    ),
    "POST /api/v1/printers/": Call(
        "Make a printer",
        {201: Answer("The new printer, with its `auth_token`.", Printer, _WITH_TOKEN), 402: _FULL},
        body=Body(NewPrinter, {"name": "Workshop"}),
    ),
    f"GET {_PRINTER}": Call("One printer", {200: _ONE}),
    f"PATCH {_PRINTER}": _CHANGE,
    f"PUT {_PRINTER}": _CHANGE,
    f"DELETE {_PRINTER}": Call("Delete a printer", {200: Answer("Deleted; an empty body.")}),
    f"POST {_PRINTER}archive/": Call("Archive a printer", _ARCHIVED, "Its agent is cut off."),
    f"POST {_PRINTER}unarchive/": Call("Take a printer out of the archive", {**_ARCHIVED, 402: _FULL}),
    f"GET {_PRINTER}pause_print/": _by_get("Pause"),
    f"GET {_PRINTER}resume_print/": _by_get("Resume"),
    f"GET {_PRINTER}cancel_print/": _by_get("Cancel"),
    f"POST {_PRINTER}pause_print/": _command("Pause", "Retracts, lifts and switches heaters off as set."),
    f"POST {_PRINTER}resume_print/": _command("Resume", "An alert counts as acknowledged: no failure."),
    f"POST {_PRINTER}cancel_print/": _command("Cancel", "An alert counts as acknowledged: a failure."),
    f"POST {_PRINTER}mute_current_print/": Call(
        "Mute alerts for the rest of the print",
        {200: Answer("Done, or `reason` says why not.", Acted, _REASON)},
        params=(COMPAT,),
    ),
    f"POST {_PRINTER}acknowledge_alert/": Call(
        "Acknowledge a failure alert",
        {200: Answer("Done, or `reason` says why not.", Acted, _REASON)},
        params=(COMPAT,),
    ),
}  # fmt: skip
