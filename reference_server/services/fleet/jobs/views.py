"""A job as everybody sees it (seed 004), as plain values: answers and events are made of the same."""

from __future__ import annotations

from collections.abc import Sequence
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


class Names:
    """What jobs of one organization name, looked up once for all of a page."""

    def __init__(self, tx: Transaction, jobs: Sequence[Job]) -> None:
        printers = {each for job in jobs for each in (job.printer_id, job.wanted_printer_id) if each is not None}
        people = {job.created_by for job in jobs if job.created_by is not None}
        self._printers = tx.fleet.printers.public_ids(printers) if printers else {}
        self._people = {each: tx.fleet.organizations.of_member(each)[1].public_id for each in people}
        organizations = {job.organization_id for job in jobs if job.group_id is not None}
        self._groups = {group.id: group for each in organizations for group in tx.fleet.groups.all(each)}

    def printer(self, printer_id: int | None) -> str | None:
        return self._printers.get(printer_id) if printer_id is not None else None

    def group(self, job: Job) -> Group | None:
        return self._groups.get(job.group_id) if job.group_id is not None else None

    def person(self, job: Job) -> str | None:
        return self._people.get(job.created_by) if job.created_by is not None else None


def progress_of(job: Job, active: float = 0.0) -> int:
    """Whole percent over all copies; `active`: the sum of those that print, in percent."""
    return int((100 * job.completed + active) / job.copies)


def job_view(job: Job, names: Names, file: GCodeFile | None = None) -> dict[str, Any]:
    """What is stored; progress and elapsed time of a print that runs, and the file's address, are the API's to add."""
    group = names.group(job)
    return {
        "id": job.public_id,
        "name": job.name,
        "status": job.state.value,
        "priority": job.priority.word,
        "printer_id": names.printer(job.printer_id if job.printer_id is not None else job.wanted_printer_id),
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
        "wanted_printer_id": names.printer(job.wanted_printer_id),
        "printer_model": job.model,
        "group": group.name if group is not None else None,
        "group_id": group.public_id if group is not None else None,
        "tags": list(job.tags),
        "printer_tags": list(job.printer_tags),
        "waiting_reason": None,
        "reason": job.reason,
        "cancelling": job.cancel_requested_at is not None and not job.state.over,
        "created_by": names.person(job),
        "created_at": when(job.created_at),
        "updated_at": when(job.updated_at),
        "started_at": when(job.started_at),
        "completed_at": when(job.completed_at),
    }  # fmt: skip


def attempt_views(tx: Transaction, attempts: Sequence[Attempt]) -> list[dict[str, Any]]:
    printers = tx.fleet.printers.public_ids({attempt.printer_id for attempt in attempts}) if attempts else {}
    return [_attempt_view(attempt, printers.get(attempt.printer_id)) for attempt in attempts]


def _attempt_view(attempt: Attempt, printer: str | None) -> dict[str, Any]:
    return {
        "id": attempt.public_id,
        "copy": attempt.copy,
        "number": attempt.number,
        "printer_id": printer,
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


def cards(tx: Transaction, jobs: Sequence[Job], active: Sequence[Attempt] = ()) -> list[JobCard]:
    """`active`: the open attempts of any of them."""
    names = Names(tx, jobs)
    files = {file.id: file for file in tx.files.of_ids({job.file_id for job in jobs})} if jobs else {}
    of_job: dict[int, list[Attempt]] = {}
    for attempt in active:
        of_job.setdefault(attempt.job_id, []).append(attempt)
    found = []
    for job in jobs:
        file = files.get(job.file_id)
        found.append(JobCard(job, job_view(job, names, file), file, tuple(of_job.get(job.id, ()))))
    return found
