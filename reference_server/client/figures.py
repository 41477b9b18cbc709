"""Figures, as in objects.py. Shares in percent (None: of nothing), times in s, material in g, costs in `currency`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from reference_server.client.reading import Shown


@dataclass(frozen=True, kw_only=True)
class Period(Shown):
    """`from_date` is the API's `from`, `to_date` its `to`: the last moment of it."""

    from_date: datetime = field(metadata={"json": "from"})
    to_date: datetime = field(metadata={"json": "to"})


@dataclass(frozen=True, kw_only=True)
class Metrics(Shown):
    """Of prints, whoever started them: each copy of a job is one. `success_rate`: of those whose end is known."""

    utilization_rate: float | None
    jobs_completed: int
    jobs_failed: int
    jobs_cancelled: int
    jobs_unknown: int
    success_rate: float | None
    total_print_time: int
    material_consumed: float
    estimated_cost: float
    material_cost: float
    electricity_cost: float
    machine_cost: float


@dataclass(frozen=True, kw_only=True)
class FleetMetrics(Metrics):
    """`active_printers`: those that printed in the period."""

    total_printers: int
    active_printers: int


@dataclass(frozen=True, kw_only=True)
class PrinterMetrics(Metrics):
    longest_print_time: int | None


@dataclass(frozen=True, kw_only=True)
class JobMetrics(PrinterMetrics):
    """`jobs_total`: prints that ended in the period; `jobs_printing`: under way now."""

    jobs_total: int
    jobs_printing: int
    jobs_queued: int


@dataclass(frozen=True, kw_only=True)
class Point(Metrics):
    """One step of a series."""

    from_date: datetime = field(metadata={"json": "from"})
    to_date: datetime = field(metadata={"json": "to"})


@dataclass(frozen=True, kw_only=True)
class FleetAnalytics(Shown):
    """`series`: with `interval`."""

    period: Period
    currency: str
    metrics: FleetMetrics
    series: tuple[Point, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class PrinterAnalytics(Shown):
    printer_id: str
    name: str
    period: Period
    currency: str
    metrics: PrinterMetrics
    series: tuple[Point, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Failure(Shown):
    """`reason`: the printer's own words; empty where it said nothing."""

    reason: str
    count: int


@dataclass(frozen=True, kw_only=True)
class JobAnalytics(Shown):
    """`failures`: the most frequent reasons."""

    period: Period
    currency: str
    metrics: JobMetrics
    failures: tuple[Failure, ...]
    series: tuple[Point, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class MaterialMetrics(Shown):
    """`materials_used`: spools."""

    material_consumed: float
    material_cost: float
    prints: int
    materials_used: int


@dataclass(frozen=True, kw_only=True)
class MaterialPoint(Shown):
    material_consumed: float
    material_cost: float
    from_date: datetime = field(metadata={"json": "from"})
    to_date: datetime = field(metadata={"json": "to"})


@dataclass(frozen=True, kw_only=True)
class TypeShare(Shown):
    """`type` None: no spool was in the printer."""

    type: str | None
    material_consumed: float
    material_cost: float
    prints: int


@dataclass(frozen=True, kw_only=True)
class MaterialShare(Shown):
    """What was used of one spool; `id` None: none was in the printer. `filament_length` in mm."""

    id: str | None
    type: str | None
    brand: str | None
    color: str | None
    printer_id: str | None
    archived: bool
    remaining_weight: float | None
    status: str | None
    material_consumed: float
    filament_length: float
    material_cost: float
    prints: int


@dataclass(frozen=True, kw_only=True)
class MaterialAnalytics(Shown):
    """`materials`: the most used first."""

    period: Period
    currency: str
    metrics: MaterialMetrics
    by_type: tuple[TypeShare, ...]
    materials: tuple[MaterialShare, ...]
    series: tuple[MaterialPoint, ...] | None = None
