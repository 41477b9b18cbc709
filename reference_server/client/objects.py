"""The objects of the fleet API as frozen dataclasses. Times are aware, durations in seconds, masses in grams, shares in
percent, temperatures in °C. `raw` is the JSON as it came.

Words such as `status` are plain strings here: a newer server may know more of them. For those that you send there are
types at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from reference_server.client.reading import Shown

PrinterStatus = Literal["idle", "printing", "offline"]
JobStatus = Literal["queued", "printing", "completed", "failed", "cancelled"]
Priority = Literal["low", "normal", "high", "urgent"]
Action = Literal["pause", "resume", "cancel", "home", "cooldown", "clear_bed"]
Role = Literal["owner", "admin", "operator", "viewer"]
Interval = Literal["hour", "day", "week", "month"]


@dataclass(frozen=True, kw_only=True)
class Temperatures(Shown):
    """°C, measured; None: not known."""

    hotend: float | None
    bed: float | None


@dataclass(frozen=True, kw_only=True)
class Heater(Shown):
    """°C. `target` None: a sensor; 0: off."""

    actual: float | None = None
    target: float | None = None


@dataclass(frozen=True, kw_only=True)
class LoadedMaterial(Shown):
    id: str
    type: str
    color: str | None = None
    remaining_weight: float | None = None


@dataclass(frozen=True, kw_only=True)
class Printer(Shown):
    """`status`: idle, printing (paused included), offline; `state` is the printer's own word. `bed_clear` False: the
    bed may hold a part, and nothing is started on it until the action `clear_bed`."""

    id: str
    name: str
    status: str
    model: str | None
    firmware: str | None
    temperatures: Temperatures
    current_job: str | None
    progress: int | None
    group: str | None
    tags: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    state: str | None = None
    group_id: str | None = None
    location: str | None = None
    heaters: Mapping[str, Heater] = field(default_factory=dict)
    materials: tuple[LoadedMaterial, ...] = ()
    bed_clear: bool = True
    auto_continue: bool = False
    agent_connected: bool | None = None
    last_seen_at: datetime | None = None
    obico_id: int | None = None
    print_id: int | None = None


@dataclass(frozen=True, kw_only=True)
class ActionResult(Shown):
    """`state`: accepted, done, failed (`error` says why)."""

    printer: str
    action: str
    state: str
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Group(Shown):
    id: str
    name: str
    printers: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, kw_only=True)
class JobMaterial(Shown):
    """`estimated_usage`: g, from the file; None if it says nothing."""

    type: str | None
    color: str | None
    estimated_usage: float | None


@dataclass(frozen=True, kw_only=True)
class Job(Shown):
    """`status`: queued, printing, completed, failed, cancelled. `progress`: percent over all copies. `elapsed_time`: s,
    without pauses."""

    id: str
    name: str
    status: str
    priority: str
    printer_id: str | None
    progress: int
    file_url: str | None
    estimated_duration: int | None
    elapsed_time: int | None
    material: JobMaterial
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
    copies: int = 1
    tags: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        return self.status in {"completed", "failed", "cancelled"}


@dataclass(frozen=True, kw_only=True)
class Material(Shown):
    """A spool. `status`: active, low, empty."""

    id: str
    type: str
    brand: str | None
    color: str | None
    spool_weight: float
    remaining_weight: float
    cost_per_kg: float | None
    printer_id: str | None
    reorder_threshold: float | None
    status: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Period(Shown):
    """`from_date` is the API's `from`, `to_date` its `to`."""

    from_date: datetime = field(metadata={"json": "from"})
    to_date: datetime = field(metadata={"json": "to"})


@dataclass(frozen=True, kw_only=True)
class FleetMetrics(Shown):
    total_printers: int
    active_printers: int
    utilization_rate: float | None
    jobs_completed: int
    success_rate: float | None
    total_print_time: float
    material_consumed: float
    estimated_cost: float | None


@dataclass(frozen=True, kw_only=True)
class FleetAnalytics(Shown):
    period: Period
    metrics: FleetMetrics


@dataclass(frozen=True, kw_only=True)
class Webhook(Shown):
    id: str
    url: str
    events: tuple[str, ...]
    enabled: bool
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class Organization(Shown):
    id: str
    name: str
    currency: str
    timezone: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class User(Shown):
    id: str
    name: str
    role: str
    created_at: datetime


@dataclass(frozen=True, kw_only=True)
class ApiKey(Shown):
    id: str
    name: str
    scopes: tuple[str, ...]
    created_by: str | None
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class NewApiKey(ApiKey):
    """`key` is shown this once; it is in no repr."""

    key: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class AuditEntry(Shown):
    id: int
    at: datetime
    user_name: str
    via: str
    address: str
    action: str
    subject: str
    ok: bool


JsonObject = Mapping[str, Any]
