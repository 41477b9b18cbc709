"""Prints (seeds 000 and 001, rest-decisions.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Id, Services, User_
from reference_server.api.bodies import json_object
from reference_server.api.context import Context
from reference_server.api.obico.query import choice, ids, whole
from reference_server.api.obico.views import NOTHING, Expansion
from reference_server.api.responses import Json, empty
from reference_server.services.errors import Invalid
from reference_server.services.history import MOST_AT_ONCE
from reference_server.services.model import Print, User
from reference_server.services.ports import PrintFilter, PrintQuery, Sorting

router = APIRouter(prefix="/api/v1", tags=["prints"])


async def _shown(request: Request, context: Context, prints: Sequence[Print]) -> list[dict[str, Any]]:
    wanted = request.query_params.get("expand", "").split(",")
    expand = NOTHING
    if "printer" in wanted or "g_code_file" in wanted:
        printers, files = await run_in_threadpool(context.history.related, prints)
        expand = Expansion(
            printers if "printer" in wanted else None, files if "g_code_file" in wanted else None
        )  # fmt: skip
    views = context.views(request)
    return [views.print(job, expand) for job in prints]


@router.get("/prints/")
async def list_prints(request: Request, context: Services, caller: User_) -> Response:
    params = request.query_params
    query = PrintQuery(
        user_id=caller.user.id,
        filter=choice(params, "filter", PrintFilter),
        sorting=choice(params, "sorting", Sorting) or Sorting.DATE_DESC,
        start=whole(params, "start", 0, 2**31),
        limit=whole(params, "limit", MOST_AT_ONCE, MOST_AT_ONCE),
        printer_ids=ids(params, "filter_by_printer_ids[]"),
    )
    prints, total = await run_in_threadpool(context.history.prints, query)
    return Json(await _shown(request, context, prints), headers={"X-Total-Count": str(total)})


@router.get("/prints/{print_id}/")
@router.get("/print/{print_id}/")
async def get_print(print_id: Id, request: Request, context: Services, caller: User_) -> Response:
    job = await run_in_threadpool(context.history.get, caller.user, print_id)
    return Json((await _shown(request, context, [job]))[0])


@router.patch("/prints/{print_id}/")
@router.put("/prints/{print_id}/")
@router.patch("/print/{print_id}/")
@router.put("/print/{print_id}/")
async def change_print(print_id: Id, request: Request, context: Services, caller: User_) -> Response:
    body = await json_object(request)
    job = await run_in_threadpool(context.history.get, caller.user, print_id)
    before = (await _shown(request, context, [job]))[0]
    job = await run_in_threadpool(context.history.change, caller.user, print_id, body, before)
    await _refresh(context, caller.user, [job.printer_id])
    return Json((await _shown(request, context, [job]))[0])


@router.delete("/prints/{print_id}/")
@router.delete("/print/{print_id}/")
async def delete_print(print_id: Id, context: Services, caller: User_) -> Response:
    touched = await run_in_threadpool(context.history.delete, caller.user, [print_id])
    await _refresh(context, caller.user, touched)
    return empty(200)


@router.post("/prints/bulk_delete/")
async def delete_prints(request: Request, context: Services, caller: User_) -> Response:
    print_ids = (await json_object(request)).get("print_ids")
    is_list = isinstance(print_ids, list) and len(print_ids) <= MOST_AT_ONCE
    if not is_list or not all(type(entry) is int and 0 < entry < 2**53 for entry in print_ids or []):
        raise Invalid.field("print_ids", f"A list of at most {MOST_AT_ONCE} ids is needed.")
    touched = await run_in_threadpool(context.history.delete, caller.user, list(print_ids or []))
    await _refresh(context, caller.user, touched)
    return empty(204)


@router.get("/prints/{print_id}/prediction_json/")
async def get_prediction(print_id: Id, context: Services, caller: User_) -> Response:
    """The frame-by-frame predictions of a print (wire-protocol.md §5.5); there are none yet."""
    await run_in_threadpool(context.history.get, caller.user, print_id)
    return Json([])


async def _refresh(context: Context, user: User, printer_ids: Sequence[int]) -> None:
    """A print that may be a printer's current one has changed."""
    for printer_id in printer_ids:
        record = await run_in_threadpool(context.printers.record, printer_id)
        if record is not None and record.printer.user_id == user.id:
            context.hub.update(record)
