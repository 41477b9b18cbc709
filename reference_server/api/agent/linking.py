"""Agents that have no token yet (wire-protocol.md §2)."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.audit import Note, note
from reference_server.api.auth import Services
from reference_server.api.bodies import json_object
from reference_server.api.context import caller_address
from reference_server.api.responses import Json
from reference_server.realtime.web_socket import printer_credential
from reference_server.services.throttle import address_key

router = APIRouter(prefix="/api/v1/octo", tags=["agent"])

CODE_LIMIT = 64


@router.get("/verify/")
@router.post("/verify/")
async def verify(request: Request, context: Services) -> Response:
    """Hand in a six-digit code, in the query string; the answer holds the printer with its token."""
    address = caller_address(request)
    context.anonymous_throttle.take(address_key(address))
    code = request.query_params.get("code")
    problem = None
    if code is None:
        problem = "This field may not be null."
    elif not code.strip():
        problem = "This field may not be blank."
    elif len(code) > CODE_LIMIT:
        problem = f"Ensure this field has no more than {CODE_LIMIT} characters."
    if problem is not None or code is None:
        return Json({"code": [problem]}, status_code=400)
    linked = await run_in_threadpool(context.linking.verify, code.strip(), address)
    printer_id = linked.record.printer.id
    action = "printers.relinked" if linked.relinked else "printers.linked"
    owner = await run_in_threadpool(context.accounts.user, linked.record.printer.user_id)
    note(request, Note(action, owner, via="agent", subject=f"printers {printer_id}"))
    if linked.relinked:
        context.hub.drop_agent(printer_id, "the printer was linked anew: the token has changed")
        context.hub.revoke(printer_credential(printer_id), "the printer was linked anew: the token has changed")
        live = context.hub.update(linked.record)
    else:
        live = context.hub.live.put(linked.record)
        await announce(context, linked.record.printer.user_id)
    context.fleet.arrivals.linked(printer_id)
    views = context.views(request)
    return Json(views.code(linked.code, views.printer(linked.record, live, token=True)))


async def announce(context: Services, user_id: int) -> None:
    """Tell the user's open pages which printers there are now."""
    records = await run_in_threadpool(context.printers.all_of, user_id)
    context.hub.printers_changed(user_id, [context.hub.live.put(record) for record in records])


@router.post("/unlinked/")
async def unlinked(request: Request, context: Services) -> Response:
    """An agent that waits to be linked announces itself (§2.2); with a `one_time_passcode`, also an empty one, it takes
    part in §2.3."""
    address = caller_address(request)
    context.announce_throttle.take(address_key(address))
    body = await json_object(request)
    answer: dict[str, object] = {"messages": context.discovery.announce(address, body)}
    if isinstance(body.get("one_time_passcode"), str):
        passcode, code = context.discovery.passcode(body["one_time_passcode"][:100])
        answer |= {
            "one_time_passcode": passcode,
            "one_time_passlink": f"{context.base(request)}/#/link?passcode={passcode}",
            "verification_code": code,
        }
    return Json(answer)
