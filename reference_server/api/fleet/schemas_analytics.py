"""Figures as the OpenAPI document shows them. Times in s, material in g, ratios in percent with one decimal (null: of
nothing), costs in the organization's currency."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from reference_server.api.fleet.schemas import Shown

Percent = Annotated[float | None, Field(ge=0)]


class Period(Shown):
    from_: Annotated[datetime, Field(alias="from")]
    to: Annotated[datetime, Field(description="The last moment of it.")]


class Metrics(Shown):
    """Of prints, whoever started them: each copy of a job is one."""

    utilization_rate: Annotated[
        Percent, Field(description="Printing time ÷ (printers x the period, as far as it has passed).")
    ]
    jobs_completed: int
    jobs_failed: int
    jobs_cancelled: int
    jobs_unknown: Annotated[int, Field(description="Nobody has told how they ended; no part of `success_rate`.")]
    success_rate: Annotated[Percent, Field(description="Completed ÷ (completed + failed + cancelled).")]
    total_print_time: Annotated[int, Field(description="s within the period; prints under way count up to now.")]
    material_consumed: Annotated[float, Field(description="g, of prints that ended in the period.")]
    estimated_cost: Annotated[float, Field(description="Material, electricity and machine hours.")]
    material_cost: float
    electricity_cost: float
    machine_cost: float


class FleetMetrics(Metrics):
    total_printers: Annotated[int, Field(description="That there were in the period.")]
    active_printers: Annotated[int, Field(description="That printed in it.")]


class PrinterMetrics(Metrics):
    longest_print_time: int | None


class JobMetrics(PrinterMetrics):
    jobs_total: Annotated[int, Field(description="Prints that ended in the period.")]
    jobs_printing: Annotated[int, Field(description="Under way now.")]
    jobs_queued: Annotated[int, Field(description="Jobs with copies that wait now, for whatever printer.")]


class Point(Metrics):
    from_: Annotated[datetime, Field(alias="from")]
    to: datetime


class FleetAnalyticsShown(Shown):
    period: Period
    currency: str
    metrics: FleetMetrics
    series: Annotated[list[Point] | None, Field(description="With `interval`.")] = None


class PrinterAnalyticsShown(Shown):
    printer_id: str
    name: str
    period: Period
    currency: str
    metrics: PrinterMetrics
    series: Annotated[list[Point] | None, Field(description="With `interval`.")] = None


class Failure(Shown):
    reason: Annotated[str, Field(description="The printer's own words; empty: it has said nothing.")]
    count: int


class JobAnalyticsShown(Shown):
    period: Period
    currency: str
    metrics: JobMetrics
    failures: Annotated[list[Failure], Field(description="The ten most frequent reasons.")]
    series: Annotated[list[Point] | None, Field(description="With `interval`.")] = None


class MaterialMetrics(Shown):
    material_consumed: float
    material_cost: float
    prints: int
    materials_used: Annotated[int, Field(description="Spools.")]


class MaterialPoint(Shown):
    from_: Annotated[datetime, Field(alias="from")]
    to: datetime
    material_consumed: float
    material_cost: float


class TypeShare(Shown):
    type: Annotated[str | None, Field(description="null: no spool was in the printer.")]
    material_consumed: float
    material_cost: float
    prints: int


class MaterialShare(Shown):
    id: Annotated[
        str | None, Field(description="null: no spool was in the printer; reckoned as 1.75 mm of 1.24 g/cm³.")
    ]
    type: str | None
    brand: str | None
    color: str | None
    printer_id: str | None
    archived: bool
    remaining_weight: float | None
    status: Annotated[str | None, Field(json_schema_extra={"enum": ["active", "low", "empty", None]})]
    material_consumed: float
    filament_length: Annotated[float, Field(description="mm")]
    material_cost: float
    prints: int


class MaterialAnalyticsShown(Shown):
    period: Period
    currency: str
    metrics: MaterialMetrics
    by_type: list[TypeShare]
    materials: Annotated[list[MaterialShare], Field(description="The most used first.")]
    series: Annotated[list[MaterialPoint] | None, Field(description="With `interval`.")] = None


