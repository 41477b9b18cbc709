"""One-time codes and printer events (wire-protocol.md §2.1, §6.4)."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Id, Services, User_
from reference_server.api.obico.printers import look
from reference_server.api.obico.query import choices, ids, whole
from reference_server.api.responses import Json
from reference_server.services.errors import Invalid
from reference_server.services.history import MOST_AT_ONCE
from reference_server.services.model import EventClass, EventKind
from reference_server.services.ports import EventQuery

router = APIRouter(prefix="/api/v1", tags=["others"])


@router.get("/onetimeverificationcodes/")
async def code(request: Request, context: Services, caller: User_) -> Response:
    """One object, not a list: the user's code for that printer, or for a new one."""
    wanted = ids(request.query_params, "printer_id")
    if wanted is not None and len(wanted) != 1:
        raise Invalid.field("printer_id", "One id is needed.")
    found = await run_in_threadpool(context.linking.code, caller.user, wanted[0] if wanted else None)
    return await _code(request, context, caller, found.id)


@router.get("/onetimeverificationcodes/{code_id}/")
async def code_by_id(code_id: Id, request: Request, context: Services, caller: User_) -> Response:
    return await _code(request, context, caller, code_id)


async def _code(request: Request, context: Services, caller: User_, code_id: Id) -> Response:
    found, record = await run_in_threadpool(context.linking.code_by_id, caller.user, code_id)
    views = context.views(request)
    printer = views.printer(record, await look(context, record)) if record is not None else None
    return Json(views.code(found, printer))


@router.get("/printer_events/")
async def events(request: Request, context: Services, caller: User_) -> Response:
    params = request.query_params
    printer_ids = ids(params, "printer_id")
    query = EventQuery(
        user_id=caller.user.id,
        kinds=_kinds(request),
        classes=choices(params, "filter_by_classes[]", EventClass),
        printer_id=printer_ids[0] if printer_ids else None,
        start=whole(params, "start", 0, 2**31),
        limit=whole(params, "limit", 12, MOST_AT_ONCE),
    )
    views = context.views(request)
    return Json([views.event(event) for event in await run_in_threadpool(context.history.events, query)])


_ALIASES = {
    "ALERT": (EventKind.FAILURE_ALERTED, EventKind.ALERT_MUTED, EventKind.ALERT_UNMUTED),
    "PAUSE_RESUME": (EventKind.PAUSED, EventKind.RESUMED),
}


def _kinds(request: Request) -> tuple[EventKind, ...] | None:
    words: list[EventKind] = []
    for text in request.query_params.getlist("filter_by_types[]")[:100]:
        if text in _ALIASES:
            words.extend(_ALIASES[text])
        elif text in set(EventKind):
            words.append(EventKind(text))
        elif text:
            known = ", ".join((*_ALIASES, *(kind.value for kind in EventKind)))
            raise Invalid.field("filter_by_types[]", f"One of {known} is needed.")
    return tuple(words) or None
