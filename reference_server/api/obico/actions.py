"""What a user does to a print: pause, resume, cancel, mute, acknowledge (seed 002, rest-decisions.md)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response

from agent_core.wire.messages import CommandName
from reference_server.api.auth import Caller, Id, Services, User_
from reference_server.api.bodies import json_object
from reference_server.api.context import Context
from reference_server.api.obico.parameters import Blank
from reference_server.api.obico.printers import look, shown
from reference_server.api.responses import Json
from reference_server.services.commands import CommandOutcome, CommandState
from reference_server.services.errors import Invalid
from reference_server.services.model import AlertOverwrite
from reference_server.services.watching import is_downloading

router = APIRouter(prefix="/api/v1/printers/{printer_id}", tags=["printers"])

OFFLINE = "printer offline"
NOTHING_PRINTS = "nothing is printing"

_TOLD = frozenset({CommandState.ACCEPTED, CommandState.DONE, CommandState.FAILED, CommandState.REJECTED})
_REFUSED = frozenset({CommandState.FAILED, CommandState.REJECTED})


BY_GET = "The same by GET, for programs with a key: a link in some page must not stop a logged-in person's print."


async def _command(
    printer_id: int,
    name: CommandName,
    request: Request,
    context: Context,
    caller: Caller,
    verdict: AlertOverwrite | None = None,
) -> Response:
    """`verdict`: what the action says about an alert (resume: no failure; cancel: failure; §5.4)."""
    if request.method == "GET" and caller.by_cookie:
        raise HTTPException(405, "Use POST.", {"Allow": "POST"})
    record = await run_in_threadpool(context.printers.get, caller.user, printer_id)
    live = await look(context, record)
    outcome: CommandOutcome | None = None
    reason: str | None = None
    job = live.record.current_print
    if job is None and not (name is CommandName.CANCEL and is_downloading(live.status)):
        reason = NOTHING_PRINTS
    else:
        outcome = await context.desk.send(live, name, caller.initiator)
        if outcome is None:
            reason = OFFLINE
        elif outcome.state in _REFUSED:
            reason = outcome.error or f"the agent {outcome.state.value} it"
    if reason is None and verdict is not None and job is not None:
        record, _ = await run_in_threadpool(
            context.printers.acknowledge, caller.user, printer_id, verdict, job.id
        )
        context.hub.update(record)
    agent = None
    if outcome is not None and outcome.state in _TOLD:
        agent = {"state": outcome.state.value, "error": outcome.error, "text": outcome.text}
    return Json({
        "succeeded": reason is None,
        "printer": await shown(request, context, live.record),
        "reason": reason,
        "agent": agent,
    })  # fmt: skip


@router.post("/pause_print/")
@router.get("/pause_print/", description=BY_GET)
async def pause_print(printer_id: Id, request: Request, context: Services, caller: User_) -> Response:
    return await _command(printer_id, CommandName.PAUSE, request, context, caller)


@router.post("/resume_print/")
@router.get("/resume_print/", description=BY_GET)
async def resume_print(printer_id: Id, request: Request, context: Services, caller: User_) -> Response:
    return await _command(printer_id, CommandName.RESUME, request, context, caller, AlertOverwrite.NOT_FAILED)


@router.post("/cancel_print/")
@router.get("/cancel_print/", description=BY_GET)
async def cancel_print(printer_id: Id, request: Request, context: Services, caller: User_) -> Response:
    return await _command(printer_id, CommandName.CANCEL, request, context, caller, AlertOverwrite.FAILED)


async def _answer(request: Request, context: Context, record: Any, done: bool) -> Response:
    live = context.hub.update(record)
    return Json({
        "succeeded": done,
        "printer": await shown(request, context, live.record),
        "reason": None if done else NOTHING_PRINTS,
    })  # fmt: skip


@router.post("/mute_current_print/")
async def mute_current_print(
    printer_id: Id,
    request: Request,
    context: Services,
    caller: User_,
    mute_alert: Annotated[bool | None, Blank, Query(description="`false` unmutes.")] = None,
) -> Response:
    muted = mute_alert is not False
    record, done = await run_in_threadpool(context.printers.mute, caller.user, printer_id, muted)
    return await _answer(request, context, record, done)


@router.post("/acknowledge_alert/")
async def acknowledge_alert(
    printer_id: Id,
    request: Request,
    context: Services,
    caller: User_,
    alert_overwrite: Annotated[
        AlertOverwrite | None, Blank, Query(description="Whether there was a failure; may be in a JSON body instead.")
    ] = None,
) -> Response:
    overwrite = alert_overwrite
    if overwrite is None and (word := (await json_object(request)).get("alert_overwrite")) is not None:
        try:
            overwrite = AlertOverwrite(word)
        except ValueError:
            raise Invalid.field("alert_overwrite", "FAILED or NOT_FAILED is needed.") from None
    record, done = await run_in_threadpool(context.printers.acknowledge, caller.user, printer_id, overwrite)
    return await _answer(request, context, record, done)
