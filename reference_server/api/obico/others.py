"""One-time codes and printer events (wire-protocol.md §2.1, §6.4)."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Id, Services, User_
from reference_server.api.obico.parameters import Blank, Blanks, Limit, One, Start
from reference_server.api.obico.printers import look
from reference_server.api.responses import Json
from reference_server.services.history import MOST_AT_ONCE
from reference_server.services.model import EventClass, EventKind
from reference_server.services.ports import EventQuery

router = APIRouter(prefix="/api/v1", tags=["others"])


@router.get("/onetimeverificationcodes/")
async def code(
    request: Request,
    context: Services,
    caller: User_,
    printer_id: Annotated[One | None, Blank, Query(description="To link that printer anew.")] = None,
) -> Response:
    """One object, not a list: the user's code for that printer, or for a new one."""
    found = await run_in_threadpool(context.linking.code, caller.user, printer_id)
    return await _code(request, context, caller, found.id)


@router.get("/onetimeverificationcodes/{code_id}/")
async def code_by_id(code_id: Id, request: Request, context: Services, caller: User_) -> Response:
    return await _code(request, context, caller, code_id)


async def _code(request: Request, context: Services, caller: User_, code_id: Id) -> Response:
    found, record = await run_in_threadpool(context.linking.code_by_id, caller.user, code_id)
    views = context.views(request)
    printer = views.printer(record, await look(context, record)) if record is not None else None
    return Json(views.code(found, printer))


class EventGroup(str, Enum):
    """Words of `filter_by_types[]` that mean several types."""

    ALERT = "ALERT"
    PAUSE_RESUME = "PAUSE_RESUME"


_GROUPS = {
    EventGroup.ALERT: (EventKind.FAILURE_ALERTED, EventKind.ALERT_MUTED, EventKind.ALERT_UNMUTED),
    EventGroup.PAUSE_RESUME: (EventKind.PAUSED, EventKind.RESUMED),
}


@router.get("/printer_events/")
async def events(
    request: Request,
    context: Services,
    caller: User_,
    kinds: Annotated[
        list[EventKind | EventGroup] | None, Blanks,
        Query(alias="filter_by_types[]", max_length=100, description="Only these; the last two words mean several."),
    ] = None,
    classes: Annotated[list[EventClass] | None, Blanks, Query(alias="filter_by_classes[]", max_length=100)] = None,
    printer_id: Annotated[One | None, Blank, Query()] = None,
    print_id: Annotated[One | None, Blank, Query()] = None,
    start: Start = None,
    limit: Limit = None,
) -> Response:  # fmt: skip
    """The newest first; 12 without a `limit`."""
    query = EventQuery(
        user_id=caller.user.id,
        kinds=_kinds(kinds or []),
        classes=tuple(classes) if classes else None,
        printer_id=printer_id,
        print_id=print_id,
        start=start or 0,
        limit=12 if limit is None else min(limit, MOST_AT_ONCE),
    )
    views = context.views(request)
    return Json([views.event(event) for event in await run_in_threadpool(context.history.events, query)])


def _kinds(words: list[EventKind | EventGroup]) -> tuple[EventKind, ...] | None:
    found: list[EventKind] = []
    for word in words:
        found.extend(_GROUPS[word] if isinstance(word, EventGroup) else (word,))
    return tuple(found) or None
