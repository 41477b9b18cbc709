"""A job as everybody sees it (seed 004), as plain values: answers and events are made of the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from reference_server.services.fleet.jobs.model import Attempt, Job
from reference_server.services.fleet.model import Group
from reference_server.services.model import GCodeFile
from reference_server.services.ports import Transaction


@dataclass(frozen=True, slots=True)
class JobCard:
    """A job with what its view needs besides; `active`: its open attempts."""

    job: Job
    view: dict[str, Any]
    file: GCodeFile | None
    active: tuple[Attempt, ...] = ()


def when(value: datetime | None) -> str | None:
    """ISO 8601, UTC, as seed 004 writes it."""
    if value is None:
        return None
    whole = value.astimezone(timezone.utc)
    text = whole.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{whole.microsecond // 1000:03d}Z" if whole.microsecond >= 1000 else f"{text}Z"


def _printer(tx: Transaction, printer_id: int | None) -> str | None:
    found = tx.fleet.printers.get(printer_id) if printer_id is not None else None
    return found.public_id if found is not None else None


def _group(tx: Transaction, job: Job) -> Group | None:
    if job.group_id is None:
        return None
    return next((group for group in tx.fleet.groups.all(job.organization_id) if group.id == job.group_id), None)


def _person(tx: Transaction, job: Job) -> str | None:
    if job.created_by is None:
        return None
    return tx.fleet.organizations.of_member(job.created_by)[1].public_id


def progress_of(job: Job, active: float = 0.0) -> int:
    """Whole percent over all copies; `active`: the sum of those that print, in percent."""
    return int((100 * job.completed + active) / job.copies)


def job_view(tx: Transaction, job: Job, file: GCodeFile | None = None) -> dict[str, Any]:
    """What is stored; progress and elapsed time of a print that runs, and the file's address, are the API's to add."""
    group = _group(tx, job)
    return {
        "id": job.public_id,
        "name": job.name,
        "status": job.state.value,
        "priority": job.priority.word,
        "printer_id": _printer(tx, job.printer_id if job.printer_id is not None else job.wanted_printer_id),
        "progress": progress_of(job),
        "file_url": None,
        "file": {
            "name": file.filename if file else None,
            "size": file.num_bytes if file else None,
            "sha256": file.sha256 if file else None,
            "thumbnail_url": None,
        },
        "estimated_duration": round(job.estimated_duration) if job.estimated_duration is not None else None,
        "elapsed_time": round(job.elapsed),
        "material": {
            "type": job.material,
            "color": job.color,
            "estimated_usage": round(job.estimated_grams, 1) if job.estimated_grams is not None else None,
            "estimated_length": round(job.estimated_filament) if job.estimated_filament is not None else None,
        },
        "copies": job.copies,
        "counts": {
            "waiting": job.waiting, "active": job.active, "completed": job.completed, "failed": job.failed,
            "cancelled": job.cancelled,
        },
        "retries": job.retries,
        "wanted_printer_id": _printer(tx, job.wanted_printer_id),
        "printer_model": job.model,
        "group": group.name if group is not None else None,
        "group_id": group.public_id if group is not None else None,
        "tags": list(job.tags),
        "printer_tags": list(job.printer_tags),
        "waiting_reason": None,
        "reason": job.reason,
        "cancelling": job.cancel_requested_at is not None and not job.state.over,
        "created_by": _person(tx, job),
        "created_at": when(job.created_at),
        "updated_at": when(job.updated_at),
        "started_at": when(job.started_at),
        "completed_at": when(job.completed_at),
    }  # fmt: skip


def attempt_view(tx: Transaction, attempt: Attempt) -> dict[str, Any]:
    return {
        "id": attempt.public_id,
        "copy": attempt.copy,
        "number": attempt.number,
        "printer_id": _printer(tx, attempt.printer_id),
        "state": attempt.state.value,
        "print_id": attempt.print_id,
        "reason": attempt.reason,
        "elapsed_time": round(attempt.elapsed) if attempt.elapsed is not None else None,
        "assigned_at": when(attempt.created_at),
        "offered_at": when(attempt.offered_at),
        "permitted_at": when(attempt.permitted_at),
        "started_at": when(attempt.started_at),
        "ended_at": when(attempt.ended_at),
    }


def card(tx: Transaction, job: Job, active: tuple[Attempt, ...] = ()) -> JobCard:
    file = tx.files.get(job.file_id)
    return JobCard(job, job_view(tx, job, file), file, active)
