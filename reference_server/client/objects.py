"""The objects of the fleet API as frozen dataclasses. Times are aware, durations in seconds, masses in grams, shares in
percent, temperatures in °C. `raw` is the JSON as it came.

Words such as `status` are plain strings here: a newer server may know more of them. For those that you send there are
types at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from reference_server.client.reading import Shown

PrinterStatus = Literal["idle", "printing", "offline"]
JobStatus = Literal["queued", "printing", "completed", "failed", "cancelled"]
Priority = Literal["low", "normal", "high", "urgent"]
Action = Literal["pause", "resume", "cancel", "home", "cooldown", "clear_bed"]
Role = Literal["owner", "admin", "operator", "viewer"]
MaterialStatus = Literal["active", "low", "empty"]
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
    """`tool`: the one that it is in, from 0."""

    id: str
    type: str
    tool: int | None = None
    brand: str | None = None
    color: str | None = None
    remaining_weight: float | None = None
    status: str | None = None


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
class NewPrinter(Printer):
    """`linked`: its agent has come already; else `link_code` is to be typed in on its host, and `note` says what is
    left to do."""

    linked: bool
    link_code: str | None
    link_expires_at: datetime | None
    note: str | None


@dataclass(frozen=True, kw_only=True)
class Link(Shown):
    """The same of a printer that is there."""

    printer: str
    linked: bool
    link_code: str | None
    link_expires_at: datetime | None
    note: str | None


@dataclass(frozen=True, kw_only=True)
class ActionResult(Shown):
    """`state`: done, failed (`error` says why), or accepted: under way, what came of it shows on the printer."""

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
    """Of one copy, as the file says: `estimated_usage` in g, `estimated_length` in mm; None if it says nothing."""

    type: str | None
    color: str | None
    estimated_usage: float | None
    estimated_length: int | None = None


@dataclass(frozen=True, kw_only=True)
class JobFile(Shown):
    """`size`: bytes."""

    name: str | None
    size: int | None
    sha256: str | None
    thumbnail_url: str | None


@dataclass(frozen=True, kw_only=True)
class JobCounts(Shown):
    """Where the copies are: each is in one of these."""

    waiting: int
    active: int
    completed: int
    failed: int
    cancelled: int


@dataclass(frozen=True, kw_only=True)
class Attempt(Shown):
    """One try of one copy on one printer. `state`: assigned, offered, starting, printing, completed, failed, cancelled,
    or returned: it never started and went back to the queue."""

    id: str
    copy: int
    number: int
    printer_id: str | None
    state: str
    print_id: int | None
    reason: str | None
    elapsed_time: int | None
    assigned_at: datetime
    offered_at: datetime | None
    permitted_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, kw_only=True)
class Job(Shown):
    """`status`: queued, printing, completed, failed, cancelled. `progress`: percent over all copies.
    `estimated_duration` is one copy's, `elapsed_time` that of all, without pauses. `waiting_reason`: why the next copy
    waits; `reason`: why the last one failed. `attempts` are not in lists."""

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
    updated_at: datetime | None = None
    copies: int = 1
    counts: JobCounts | None = None
    retries: int = 0
    file: JobFile | None = None
    tags: tuple[str, ...] = ()
    wanted_printer_id: str | None = None
    printer_model: str | None = None
    printer_tags: tuple[str, ...] = ()
    group: str | None = None
    group_id: str | None = None
    waiting_reason: str | None = None
    reason: str | None = None
    cancelling: bool = False
    created_by: str | None = None
    attempts: tuple[Attempt, ...] = ()

    @property
    def is_over(self) -> bool:
        return self.status in {"completed", "failed", "cancelled"}


@dataclass(frozen=True, kw_only=True)
class Material(Shown):
    """A spool. `status`: active, low, empty. `diameter` in mm, `density` in g/cm³; `density_source`: given, type, or
    assumed where the type is unknown. `tool`: of the printer that it is in."""

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
    updated_at: datetime | None = None
    diameter: float | None = None
    density: float | None = None
    density_source: str | None = None
    tool: int | None = None
