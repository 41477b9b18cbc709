"""The farm's side of a print that has ended: when, how, and what it took of which spool. Times in Unix seconds, so that
the database can reckon with them; `fleet_prints` has one row for every ended row of `prints`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from reference_server.services.model import EndedReason, Print


class PrintOutcome(str, Enum):
    """UNKNOWN: it was over when we looked again, and nobody has told how (EndedReason.LOST)."""

    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    UNKNOWN = "unknown"


_OUTCOMES: Mapping[EndedReason | None, PrintOutcome] = {
    EndedReason.DONE: PrintOutcome.COMPLETED, EndedReason.ERROR: PrintOutcome.FAILED,
    EndedReason.CANCELLED: PrintOutcome.CANCELLED, EndedReason.LOST: PrintOutcome.UNKNOWN,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class FleetPrint:
    """`seconds`: printing, without pauses where the host said so; `mm` None: nobody has said; `grams` of the spool
    `material_id` (None: there was none, and PLA of 1.75 mm is assumed); `taken`: the part of them by which the spool's
    rest was made less; `cost` of them in the organization's currency; `noted_at`: when we heard of the end."""

    print_id: int
    user_id: int
    printer_id: int
    started: float
    ended: float
    seconds: float
    outcome: PrintOutcome
    noted_at: datetime
    mm: float | None = None
    grams: float = 0.0
    cost: float = 0.0
    taken: float = 0.0
    material_id: int | None = None


def outcome_of(job: Print) -> PrintOutcome:
    if job.ended_reason is None:  # from before reasons were kept
        return PrintOutcome.CANCELLED if job.cancelled_at is not None else PrintOutcome.COMPLETED
    return _OUTCOMES[job.ended_reason]


def seconds_of(job: Print, ended_at: datetime) -> float:
    """What the host said, else by the clock."""
    by_clock = max(0.0, (ended_at - job.started_at).total_seconds())
    return by_clock if job.print_time is None else max(0.0, job.print_time)
