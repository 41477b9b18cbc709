"""Prints (seeds 000 and 001, rest-decisions.md)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Id, Services, User_
from reference_server.api.bodies import json_object
from reference_server.api.context import Context
from reference_server.api.obico.parameters import Blank, Day, Expand, IdInBody, Limit, PrinterIds, Start, Zone
from reference_server.api.obico.views import Expansion
from reference_server.api.responses import Json, empty
from reference_server.media.timelapse import timelapse_of
from reference_server.services.history import MOST_AT_ONCE
from reference_server.services.model import Print, User
from reference_server.services.ports import PrintFilter, PrintQuery, Sorting
from reference_server.services.statistics import GroupBy, moment, zone

router = APIRouter(prefix="/api/v1", tags=["prints"])


class PrintIds(BaseModel):
    print_ids: list[IdInBody] = Field(max_length=MOST_AT_ONCE)


async def _shown(context: Context, request: Request, prints: Sequence[Print], expand: str | None) -> list[Any]:
    wanted = (expand or "").split(",")
    prints, jobs = await run_in_threadpool(context.video_jobs.of_prints, prints)
    nested = Expansion(
        shots=await run_in_threadpool(context.detection_records.shots_of, prints),
        timelapses={print_id: timelapse_of(job, context.timelapse.progress) for print_id, job in jobs.items()},
    )
    if "printer" in wanted or "g_code_file" in wanted:
        printers, files = await run_in_threadpool(context.history.related, prints)
        nested = replace(
            nested, printers=printers if "printer" in wanted else None, files=files if "g_code_file" in wanted else None
        )
    views = context.views(request)
    return [views.print(job, nested) for job in prints]


@router.get("/prints/")
async def list_prints(
    request: Request,
    context: Services,
    caller: User_,
    print_filter: Annotated[PrintFilter | None, Blank, Query(alias="filter")] = None,
    sorting: Annotated[Sorting | None, Blank, Query(description="By the start; `date_desc` if absent.")] = None,
    start: Start = None,
    limit: Limit = None,
    feedback_needed: Annotated[
        bool | None, Blank, Query(description="Only those that need an alert overwrite or a feedback to shots.")
    ] = None,
    printer_ids: PrinterIds = None,
    from_date: Day = None,
    to_date: Day = None,
    timezone: Zone = None,
    with_deleted: Annotated[bool | None, Blank, Query(description="Deleted ones too.")] = None,
    expand: Expand = None,
) -> Response:
    """The user's prints; `X-Total-Count` tells how many fit in all."""
    where = zone(timezone)
    query = PrintQuery(
        user_id=caller.user.id,
        filter=print_filter,
        sorting=sorting or Sorting.DATE_DESC,
        start=start or 0,
        limit=MOST_AT_ONCE if limit is None else min(limit, MOST_AT_ONCE),
        printer_ids=tuple(printer_ids) if printer_ids else None,
        feedback_needed=bool(feedback_needed),
        since=moment("from_date", from_date, where),
        before=moment("to_date", to_date, where, through=True),
        with_deleted=bool(with_deleted),
    )
    prints, total = await run_in_threadpool(context.history.prints, query)
    return Json(await _shown(context, request, prints, expand), headers={"X-Total-Count": str(total)})


@router.get("/prints/stats/")
async def statistics(
    context: Services,
    caller: User_,
    from_date: Day = None,
    to_date: Day = None,
    timezone: Zone = None,
    group_by: Annotated[GroupBy | None, Blank, Query(description="`day` if absent.")] = None,
    printer_ids: PrinterIds = None,
) -> Response:
    """Counts, seconds and millimetres of filament, by the period in which a print began."""
    where = zone(timezone)
    query = PrintQuery(
        user_id=caller.user.id,
        printer_ids=tuple(printer_ids) if printer_ids else None,
        since=moment("from_date", from_date, where),
        before=moment("to_date", to_date, where, through=True),
    )
    return Json(await run_in_threadpool(context.history.statistics, query, group_by or GroupBy.DAY, where))


@router.get("/prints/{print_id}/")
@router.get("/print/{print_id}/")
async def get_print(
    print_id: Id, request: Request, context: Services, caller: User_, expand: Expand = None
) -> Response:
    job = await run_in_threadpool(context.history.get, caller.user, print_id)
    return Json((await _shown(context, request, [job], expand))[0])


@router.patch("/prints/{print_id}/")
@router.put("/prints/{print_id}/")
@router.patch("/print/{print_id}/")
@router.put("/print/{print_id}/")
async def change_print(
    print_id: Id, request: Request, context: Services, caller: User_, expand: Expand = None
) -> Response:
    """Read-only fields may be repeated unchanged."""
    changes = await json_object(request)
    job = await run_in_threadpool(context.history.get, caller.user, print_id)
    before = (await _shown(context, request, [job], expand))[0]
    job = await run_in_threadpool(context.history.change, caller.user, print_id, changes, before)
    await _refresh(context, caller.user, [job.printer_id])
    return Json((await _shown(context, request, [job], expand))[0])


@router.delete("/prints/{print_id}/")
@router.delete("/print/{print_id}/")
async def delete_print(print_id: Id, context: Services, caller: User_) -> Response:
    touched = await run_in_threadpool(context.history.delete, caller.user, [print_id])
    await _refresh(context, caller.user, touched)
    return empty(200)


@router.post("/prints/bulk_delete/", status_code=204)
async def delete_prints(wanted: PrintIds, context: Services, caller: User_) -> Response:
    """All of them or, if one is not the user's, none."""
    touched = await run_in_threadpool(context.history.delete, caller.user, wanted.print_ids)
    await _refresh(context, caller.user, touched)
    return empty(204)


async def _refresh(context: Context, user: User, printer_ids: Sequence[int]) -> None:
    """A print that may be a printer's current one has changed."""
    for printer_id in printer_ids:
        record = await run_in_threadpool(context.printers.record, printer_id)
        if record is not None and record.printer.user_id == user.id:
            context.hub.update(record)
