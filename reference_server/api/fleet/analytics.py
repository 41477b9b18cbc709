"""Figures: `/v1/analytics/…`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Annotated, Any

from fastapi import APIRouter, Depends
from fastapi import Query as Parameter
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from agent_core.wire import read
from reference_server.api.auth import Services
from reference_server.api.context import Context
from reference_server.api.fleet.auth import AnalyticsRead, FleetCaller
from reference_server.api.fleet.csv import table
from reference_server.api.fleet.route import FleetRoute
from reference_server.api.fleet.schemas_analytics import (
    FleetAnalyticsShown,
    FleetMetrics,
    JobAnalyticsShown,
    JobMetrics,
    MaterialAnalyticsShown,
    MaterialPoint,
    MaterialShare,
    Point,
    PrinterAnalyticsShown,
    PrinterMetrics,
)
from reference_server.api.fleet.views import time
from reference_server.api.responses import Json
from reference_server.services.fleet import figures
from reference_server.services.fleet.figures import Figures, LiveSeconds, Query
from reference_server.services.fleet.periods import Interval, Span
from reference_server.services.packed import unpack

router = APIRouter(prefix="/analytics", tags=["analytics"], route_class=FleetRoute)

CSV: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}


class Format(str, Enum):
    JSON = "json"
    CSV = "csv"


Since = Annotated[
    str | None,
    Parameter(alias="from", max_length=40, description="A day in the organization's time zone, or an ISO 8601 time; "
              "left out: 30 days before `to`.", examples=["2025-10-01"]),
]  # fmt: skip
Until = Annotated[
    str | None,
    Parameter(alias="to", max_length=40, description="Inclusive: a day counts whole; left out: now.",
              examples=["2025-10-06"]),
]  # fmt: skip
Group = Annotated[str | None, Parameter(max_length=100, description="Only the printers of this group (id or name).")]
Steps = Annotated[Interval | None, Parameter(description="A series beside: at most 1,000 points.")]
Kind = Annotated[Format, Parameter(alias="format", description="csv: the series, else the table or the metrics.")]


async def _query(
    context: Services, caller: AnalyticsRead, since: Since = None, until: Until = None, group: Group = None,
    interval: Steps = None,
) -> Query:  # fmt: skip
    return Query(since, until, group, interval, _live(context, caller))


async def _query_of_one(
    context: Services, caller: AnalyticsRead, since: Since = None, until: Until = None, interval: Steps = None
) -> Query:
    return Query(since, until, None, interval, _live(context, caller))


def _live(context: Context, caller: FleetCaller) -> LiveSeconds:
    """How long prints under way have printed, by the newest statuses: gathered here on the event loop, to which they
    belong, and read later where somebody counts."""
    account = caller.identity.account.id
    packed = {
        live.record.printer.id: live.packed
        for live in context.hub.live.all()
        if live.packed is not None and live.record.printer.user_id == account
    }

    def seconds(printer_id: int) -> float | None:
        text = packed.get(printer_id)
        progress = read.mapping(unpack(text).get("progress")) if text is not None else None
        return read.number(progress.get("printTime")) if progress else None

    return seconds


Asked = Annotated[Query, Depends(_query)]
AskedOfOne = Annotated[Query, Depends(_query_of_one)]


def _period(span: Span) -> dict[str, Any]:
    return {"from": time(span.since), "to": time(span.last)}


def _answer(found: Figures, more: Mapping[str, Any], query: Query) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "period": _period(found.span), "currency": found.currency, "metrics": found.metrics, **more
    }  # fmt: skip
    if query.interval is not None:
        shown["series"] = _series(found, MaterialPoint if "materials" in more else Point)
    return shown


def _series(found: Figures, point: type[BaseModel]) -> list[dict[str, Any]]:
    """A series of one point is the whole period, whose metrics have more than a point shows."""
    points = found.points or ((found.span, found.metrics),)
    return [
        {**_period(span), **{name: value for name, value in values.items() if name in point.model_fields}}
        for span, values in points
    ]


def _columns(model: type[BaseModel]) -> list[str]:
    """By their names in the API, the period first."""
    names = [field.alias or name for name, field in model.model_fields.items()]
    period = [name for name in ("from", "to") if name in names]
    return period + [name for name in names if name not in period]


def _sheet(
    name: str, found: Figures, query: Query, whole: type[BaseModel], point: type[BaseModel] = Point
) -> Response:
    """The series; without one the metrics in one row."""
    if query.interval is not None:
        return table(name, _columns(point), _series(found, point))
    return table(name, ["from", "to", *_columns(whole)], [{**_period(found.span), **found.metrics}])


@router.get("/fleet", response_model=FleetAnalyticsShown, summary="The farm", responses=CSV)
async def fleet(context: Services, caller: AnalyticsRead, query: Asked, kind: Kind = Format.JSON) -> Response:
    found = await run_in_threadpool(context.fleet.analytics.fleet, caller.identity, query)
    if kind is Format.CSV:
        return _sheet("fleet", found, query, FleetMetrics)
    return Json(_answer(found, {}, query))


@router.get("/printers/{printer_id}", response_model=PrinterAnalyticsShown, summary="One printer", responses=CSV)
async def printer(
    printer_id: str, context: Services, caller: AnalyticsRead, query: AskedOfOne, kind: Kind = Format.JSON
) -> Response:
    found = await run_in_threadpool(context.fleet.analytics.printer, caller.identity, printer_id, query)
    if kind is Format.CSV:
        return _sheet(found.public_id, found.figures, query, PrinterMetrics)
    head = {"printer_id": found.public_id, "name": found.name}
    return Json({**head, **_answer(found.figures, {}, query)})


@router.get("/jobs", response_model=JobAnalyticsShown, summary="Jobs, by their prints", responses=CSV)
async def jobs(context: Services, caller: AnalyticsRead, query: Asked, kind: Kind = Format.JSON) -> Response:
    """Each copy of a job is a print; so is what was started at the printer itself."""
    found = await run_in_threadpool(context.fleet.analytics.jobs, caller.identity, query)
    if kind is Format.CSV:
        return _sheet("jobs", found.figures, query, JobMetrics)
    failures = [{"reason": reason, "count": count} for reason, count in found.failures]
    return Json(_answer(found.figures, {"failures": failures}, query))


@router.get("/materials", response_model=MaterialAnalyticsShown, summary="Materials used", responses=CSV)
async def materials(context: Services, caller: AnalyticsRead, query: Asked, kind: Kind = Format.JSON) -> Response:
    found = await run_in_threadpool(context.fleet.analytics.materials, caller.identity, query)
    shares = [_share(share) for share in found.shares]
    if kind is Format.CSV:
        if query.interval is not None:
            return table("materials", _columns(MaterialPoint), _series(found.figures, MaterialPoint))
        return table("materials", _columns(MaterialShare), shares)
    return Json(_answer(found.figures, {"by_type": _by_type(found.shares), "materials": shares}, query))


def _share(share: figures.MaterialShare) -> dict[str, Any]:
    spool = share.material
    return {
        "id": spool.public_id if spool else None, "type": spool.type if spool else None,
        "brand": spool.brand if spool else None, "color": spool.color if spool else None,
        "printer_id": share.printer, "archived": spool is not None and spool.archived_at is not None,
        "remaining_weight": round(spool.remaining_weight, 2) if spool else None,
        "status": spool.status.value if spool else None, "material_consumed": round(share.grams, 1),
        "filament_length": round(share.mm, 1), "material_cost": round(share.cost, 2), "prints": share.prints,
    }  # fmt: skip


def _by_type(shares: Sequence[figures.MaterialShare]) -> list[dict[str, Any]]:
    sums: dict[str | None, list[float]] = {}
    for share in shares:
        one = sums.setdefault(share.material.type if share.material else None, [0.0, 0.0, 0])
        one[0] += share.grams
        one[1] += share.cost
        one[2] += share.prints
    return [
        {"type": kind, "material_consumed": round(weight, 1), "material_cost": round(cost, 2), "prints": int(count)}
        for kind, (weight, cost, count) in sorted(sums.items(), key=lambda item: (-item[1][0], item[0] or ""))
    ]
