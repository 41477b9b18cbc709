"""A job and its attempts, as frozen values. Times are aware UTC; durations s, filament mm, material g; `id` 0 = not
stored yet.

Of a job's copies each is in exactly one place: `waiting` for a printer, `active` on one (assigned, offered, starting or
printing), or `completed`, `failed`, `cancelled`. An attempt is one try of one copy on one printer.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum

from reference_server.services.fleet.ports import Window

MOST_COPIES = 1_000
MOST_RETRIES = 3
MOST_MISSES = 3
"""Starts of a copy that did not show, one after the other, until the copy has failed (fleet-api.md §3)."""


class JobState(str, Enum):
    """QUEUED until its first print begins (again after a retry), PRINTING until every copy has come to an end."""

    QUEUED = "queued"
    PRINTING = "printing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def over(self) -> bool:
        return self not in {JobState.QUEUED, JobState.PRINTING}


class Priority(IntEnum):
    """The smaller, the sooner."""

    URGENT = 0
    HIGH = 1
    NORMAL = 2
    LOW = 3

    @property
    def word(self) -> str:
        return self.name.lower()


PRIORITIES = {priority.word: priority for priority in Priority}


class AttemptState(str, Enum):
    """ASSIGNED: a printer was chosen. OFFERED: its agent was asked. STARTING: it was permitted to start and may do so
    at any moment. RETURNED: it never started, and the copy went back to the queue."""

    ASSIGNED = "assigned"
    OFFERED = "offered"
    STARTING = "starting"
    PRINTING = "printing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RETURNED = "returned"

    @property
    def open(self) -> bool:
        return self in OPEN

    @property
    def may_be_taken_back(self) -> bool:
        """Nothing starts without a permit, and none was given."""
        return self in {AttemptState.ASSIGNED, AttemptState.OFFERED}


OPEN = (AttemptState.ASSIGNED, AttemptState.OFFERED, AttemptState.STARTING, AttemptState.PRINTING)


@dataclass(frozen=True, slots=True)
class Job:
    """`wanted_printer_id`, `model`, `group_id`, `material`, `color`, `printer_tags` narrow the choice of printers;
    `tags` are labels. `printer_id`: where the newest attempt is or was. `elapsed`: of prints that have ended, without
    pauses. `retries`: how often a copy that failed goes back to the queue by itself."""

    id: int
    public_id: str
    organization_id: int
    name: str
    priority: Priority
    state: JobState
    file_id: int
    copies: int
    created_at: datetime
    updated_at: datetime
    created_by: int | None = None
    retries: int = 0
    wanted_printer_id: int | None = None
    model: str | None = None
    group_id: int | None = None
    material: str | None = None
    color: str | None = None
    tags: tuple[str, ...] = ()
    printer_tags: tuple[str, ...] = ()
    waiting: int = 0
    active: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    printer_id: int | None = None
    elapsed: float = 0.0
    estimated_duration: float | None = None
    estimated_grams: float | None = None
    estimated_filament: float | None = None
    reason: str | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    cancel_requested_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """`copy` counts from 1, `number` the tries of that copy from 1. `requeued`: its copy went back to the queue, so it
    says nothing about the copy any more. `missed`: it counts as a start that did not show. `by_order`: the agent asks
    for permission before it starts. `agent_clock`: the agent's Unix seconds when it asked. `elapsed` s."""

    id: int
    public_id: str
    job_id: int
    organization_id: int
    copy: int
    number: int
    printer_id: int
    state: AttemptState
    created_at: datetime
    updated_at: datetime
    by_order: bool = True
    requeued: bool = False
    missed: bool = False
    offered_at: datetime | None = None
    start_by: datetime | None = None
    permitted_at: datetime | None = None
    agent_clock: float | None = None
    print_id: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    elapsed: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class JobQuery:
    """None: any. `printer_id`: wanted for it, or tried on it. Times are those of creation, both inclusive."""

    organization_id: int
    window: Window
    state: JobState | None = None
    printer_id: int | None = None
    priority: Priority | None = None
    since: datetime | None = None
    until: datetime | None = None
