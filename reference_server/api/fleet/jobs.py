"""Jobs: `/v1/jobs` (seed 004, fleet-api.md §3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Services
from reference_server.api.context import Context
from reference_server.api.fleet.auth import FleetCaller, JobsRead, JobsWrite
from reference_server.api.fleet.job_intake import Intake, disk_failed, intake, take_form
from reference_server.api.fleet.job_views import shown
from reference_server.api.fleet.lists import List
from reference_server.api.fleet.route import FleetRoute, once_of
from reference_server.api.fleet.schemas import Page
from reference_server.api.fleet.schemas_jobs import (
    JobChange,
    JobForm,
    JobGiven,
    JobShown,
    JobStatus,
    JobWhole,
    PriorityWord,
)
from reference_server.api.responses import Json
from reference_server.services.errors import Invalid
from reference_server.services.fleet.jobs.desk import Wish
from reference_server.services.fleet.jobs.model import PRIORITIES, JobQuery, JobState
from reference_server.services.fleet.jobs.slots import readiness_of
from reference_server.services.fleet.jobs.views import JobCard
from reference_server.services.fleet.once import Once

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=FleetRoute)

SORTABLE = ("created_at", "priority", "status", "name", "updated_at", "started_at", "completed_at")

Given_ = TypeVar("Given_", bound=BaseModel)


async def _shown(
    request: Request, context: Context, caller: FleetCaller, cards: Sequence[JobCard]
) -> list[dict[str, Any]]:
    views, account = context.views(request), caller.identity.account.id
    why: Mapping[int, str] = {}
    if any(card.job.waiting for card in cards):
        ready = {
            live.record.printer.id: readiness_of(live)
            for live in context.hub.live.all() if live.record.printer.user_id == account
        }  # fmt: skip
        jobs = [card.job for card in cards]
        why = await run_in_threadpool(context.fleet.jobs.why_waiting, caller.identity, jobs, ready)
    return [shown(card, context.hub, views, why.get(card.job.id)) for card in cards]


async def _answer(
    request: Request, context: Context, caller: FleetCaller, card: JobCard, status: int = 200
) -> Response:
    return Json((await _shown(request, context, caller, [card]))[0], status)


def _time(field: str, text: str | None, *, end: bool = False) -> datetime | None:
    """A day or a time, UTC unless it says otherwise; a day as the end means all of it. Raises Invalid."""
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace(" ", "+"))
    except ValueError:
        raise Invalid.field(field, "An ISO 8601 date or time is needed.") from None
    found = found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)
    return found + timedelta(days=1, microseconds=-1) if end and len(text.strip()) == 10 else found


@router.get("", response_model=Page[JobShown], summary="List jobs")
async def list_jobs(
    request: Request,
    context: Services,
    caller: JobsRead,
    paging: List,
    status: Annotated[JobStatus | None, Query()] = None,
    printer_id: Annotated[str | None, Query(max_length=20, description="Tried on that printer, or for it.")] = None,
    priority: Annotated[PriorityWord | None, Query()] = None,
    since: Annotated[
        str | None, Query(alias="from", max_length=40, description="Created at or after: ISO 8601.")
    ] = None,
    until: Annotated[
        str | None, Query(alias="to", max_length=40, description="Created at or before; a day counts whole.")
    ] = None,
) -> Response:
    """The newest first unless `sort` says otherwise; `sort=priority`: the most urgent first."""
    query = JobQuery(
        caller.identity.organization.id, paging.window(SORTABLE), JobState(status) if status else None, None,
        PRIORITIES[priority] if priority else None, _time("from", since), _time("to", until, end=True),
    )  # fmt: skip
    cards, total = await run_in_threadpool(context.fleet.jobs.query, caller.identity, query, printer_id)
    return paging.answer(await _shown(request, context, caller, cards), total, JobShown.model_fields)


# --- new ones ------------------------------------------------------------------------------------------------------


def _document(model: type[BaseModel], **more: Any) -> dict[str, Any]:
    found = model.model_json_schema()
    found["properties"] = {**more, **found["properties"]}
    return found


_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": _document(JobGiven)},
            "multipart/form-data": {
                "schema": {
                    **_document(JobForm, file={"type": "string", "format": "binary"}), "required": ["file"],
                }
            },
        },
    }
}  # fmt: skip


def _read(model: type[Given_], value: Any) -> Given_:
    """Raises RequestValidationError."""
    try:
        return model.model_validate(value) if not isinstance(value, bytes) else model.model_validate_json(value)
    except ValidationError as error:
        errors = [{**entry, "loc": ("body", *entry["loc"])} for entry in error.errors(include_url=False)]
        raise RequestValidationError(errors) from None


def _wish(given: JobGiven | JobForm) -> Wish:
    return Wish(
        given.name or None, PRIORITIES[given.priority], given.printer_id or None, given.printer_model,
        given.group, given.material, given.color, given.copies, given.retries, tuple(given.tags),
        None if given.printer_tags is None else tuple(given.printer_tags),
    )  # fmt: skip


@router.post("", status_code=201, response_model=JobWhole, summary="Create a job", openapi_extra=_BODY)
async def create_job(request: Request, context: Services, caller: JobsWrite) -> Response:
    """JSON with `file_url`, or a form with `file`. Redirects of `file_url` are followed, three at most, each address
    checked like the first."""
    once = once_of(request)
    made = await run_in_threadpool(context.fleet.jobs.made_before, caller.identity, once)
    if made is None:
        is_form = request.headers.get("content-type", "").lower().startswith("multipart/form-data")
        made = await (_from_form if is_form else _from_address)(request, context, caller, once)
    context.fleet.changed.set()
    return await _answer(request, context, caller, made, 201)


async def _from_address(request: Request, context: Context, caller: FleetCaller, once: Once) -> JobCard:
    given = _read(JobGiven, await request.body())

    def create() -> JobCard:
        wish = _wish(given)
        context.fleet.jobs.check(caller.identity, wish)
        with intake(context, caller.identity.account) as file:
            return _create(context, caller, wish, file, file.fetch(given.file_url), once)

    return await run_in_threadpool(create)


async def _from_form(request: Request, context: Context, caller: FleetCaller, once: Once) -> JobCard:
    account = caller.identity.account
    file: Intake | None = None
    try:
        file = await run_in_threadpool(Intake, context, account)
        form = await take_form(request, file)
        given = _read(JobForm, {key: value for key, value in form.fields.items() if value != ""})
        if not form.filename:
            raise Invalid.field("file", "A file is needed.")
        return await run_in_threadpool(_create, context, caller, _wish(given), file, form.filename, once)
    except OSError as error:
        raise disk_failed(error) from None
    finally:
        if file is not None:
            await run_in_threadpool(file.discard)


def _create(
    context: Context, caller: FleetCaller, wish: Wish, file: Intake, name: str, once: Once
) -> JobCard:
    context.fleet.jobs.check(caller.identity, wish)
    return context.fleet.jobs.create(caller.identity, wish, file.keep(name), once)


# --- one -----------------------------------------------------------------------------------------------------------


@router.get("/{job_id}", response_model=JobWhole, summary="One job, with its attempts")
async def get_job(job_id: str, request: Request, context: Services, caller: JobsRead) -> Response:
    card = await run_in_threadpool(context.fleet.jobs.get, caller.identity, job_id)
    return await _answer(request, context, caller, card)


@router.patch("/{job_id}", response_model=JobWhole, summary="Change a job that waits")
async def change_job(
    job_id: str, request: Request, context: Services, caller: JobsWrite, change: JobChange
) -> Response:
    changes = _changes(change.model_dump(exclude_unset=True))
    card = await run_in_threadpool(context.fleet.jobs.change, caller.identity, job_id, changes)
    context.fleet.changed.set()
    return await _answer(request, context, caller, card)


def _changes(given: Mapping[str, Any]) -> dict[str, Any]:
    names = {"printer_model": "model"}
    found = {names.get(key, key): value for key, value in given.items()}
    if "priority" in found:
        found["priority"] = PRIORITIES[found["priority"]]
    for key in ("tags", "printer_tags"):
        if key in found:
            found[key] = tuple(found[key])
    return found


@router.delete("/{job_id}", response_model=JobWhole, summary="Cancel a job, on its printers too")
async def cancel_job(job_id: str, request: Request, context: Services, caller: JobsWrite) -> Response:
    """The job is kept. A copy that prints is cancelled on its printer; until that is done `cancelling` is true."""
    card = await run_in_threadpool(context.fleet.jobs.cancel, caller.identity, job_id)
    context.fleet.changed.set()
    return await _answer(request, context, caller, card)


@router.post("/{job_id}/retry", response_model=JobWhole, summary="Queue the copies again that failed")
async def retry_job(job_id: str, request: Request, context: Services, caller: JobsWrite) -> Response:
    card = await run_in_threadpool(context.fleet.jobs.retry, caller.identity, job_id, once_of(request))
    context.fleet.changed.set()
    return await _answer(request, context, caller, card)
