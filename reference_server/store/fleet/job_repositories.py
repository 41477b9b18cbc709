"""services.fleet.jobs.rows on SQLAlchemy."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import DateTime, Integer, Select, String, func, select, text, type_coerce, union
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from reference_server.services.errors import Conflict
from reference_server.services.fleet.jobs.model import Attempt, AttemptState, Job, JobQuery
from reference_server.services.fleet.planner import LOOKED_AT, QueuedJob
from reference_server.store.fleet.job_tables import IS_OPEN, WAITS, AttemptRow, JobRow
from reference_server.store.fleet.pages import page
from reference_server.store.fleet.tables import FleetPrinterRow
from reference_server.store.mapping import columns_of, copy_to, to_entity
from reference_server.store.tables import GCodeFileRow, PrinterRow, PrintRow

JOB_COLUMNS = {
    "created_at": JobRow.created_at, "updated_at": JobRow.updated_at, "started_at": JobRow.started_at,
    "completed_at": JobRow.completed_at, "name": JobRow.name, "priority": JobRow.priority, "status": JobRow.state,
}  # fmt: skip

_OPEN = text(f"fleet_attempts.{IS_OPEN}")
_WAITS = text(f"fleet_jobs.{WAITS}")


class SqlJobs:
    def __init__(self, session: Session) -> None:
        self._session = session

    # --- jobs ----------------------------------------------------------------------------------------------------

    def add(self, job: Job) -> Job:
        row = JobRow()
        copy_to(row, job)
        self._session.add(row)
        self._session.flush()
        return to_entity(row, Job)

    def save(self, job: Job) -> None:
        if (row := self._session.get(JobRow, job.id)) is not None:
            copy_to(row, job)
            self._session.flush()

    def get(self, job_id: int) -> Job | None:
        row = self._session.get(JobRow, job_id)
        return to_entity(row, Job) if row else None

    def by_public_id(self, public_id: str) -> Job | None:
        row = self._session.scalars(select(JobRow).where(JobRow.public_id == public_id)).first()
        return to_entity(row, Job) if row else None

    def find(self, query: JobQuery) -> tuple[Sequence[Job], int]:
        rows, total = page(self._session, _wanted(query), query.window, JOB_COLUMNS, JobRow.id)
        return [to_entity(row, Job) for row in rows], total

    def count_waiting(self, organization_id: int) -> int:
        query = select(func.count()).where(JobRow.organization_id == organization_id, _WAITS)
        return self._session.scalar(query) or 0

    def organizations_waiting(self) -> Sequence[int]:
        return self._session.scalars(select(JobRow.organization_id).where(_WAITS).distinct()).all()

    def queue(self, organization_id: int) -> Iterator[QueuedJob]:
        table = JobRow
        # Ten thousand rows in each round: what is stored is taken as it is, and the few sets of tags are made once.
        columns = (
            table.id, type_coerce(table.priority, Integer), type_coerce(table.created_at, DateTime), table.waiting,
            table.wanted_printer_id, table.model, table.group_id, type_coerce(table.printer_tags, String),
            table.material, table.color, table.estimated_grams,
        )  # fmt: skip
        query = select(*columns).where(table.organization_id == organization_id, _WAITS)
        sets: dict[str, frozenset[str]] = {}
        rows = self._session.execute(query.order_by(table.priority, table.created_at, table.id))
        for ident, priority, created_at, waiting, printer, model, group, tags, *wish in rows.yield_per(LOOKED_AT):
            if tags not in sets:
                sets[tags] = frozenset(json.loads(tags))
            at = created_at.replace(tzinfo=timezone.utc)
            yield QueuedJob(ident, priority, at, waiting, printer, model, group, sets[tags], *wish)

    def on_printers(self, organization_id: int) -> Mapping[int, str]:
        query = (
            select(AttemptRow.printer_id, JobRow.public_id)
            .join(JobRow, JobRow.id == AttemptRow.job_id)
            .where(_OPEN, AttemptRow.organization_id == organization_id)
        )
        return {row[0]: row[1] for row in self._session.execute(query)}

    # --- attempts ------------------------------------------------------------------------------------------------

    def add_attempt(self, attempt: Attempt) -> Attempt:
        row = AttemptRow()
        copy_to(row, attempt)
        self._session.add(row)
        try:
            self._session.flush()
        except IntegrityError:
            raise Conflict("The printer has been given a job already.") from None
        return to_entity(row, Attempt)

    def save_attempt(self, attempt: Attempt) -> None:
        if (row := self._session.get(AttemptRow, attempt.id)) is not None:
            copy_to(row, attempt)
            self._session.flush()

    def _one(self, query: Select[Any]) -> Attempt | None:
        row = self._session.scalars(query.limit(1)).first()
        return to_entity(row, Attempt) if row else None

    def _all(self, query: Select[Any]) -> Sequence[Attempt]:
        return [to_entity(row, Attempt) for row in self._session.scalars(query.order_by(AttemptRow.id))]

    def attempt(self, public_id: str) -> Attempt | None:
        return self._one(select(AttemptRow).where(AttemptRow.public_id == public_id))

    def attempts(self, job_id: int) -> Sequence[Attempt]:
        return self._all(select(AttemptRow).where(AttemptRow.job_id == job_id))

    def open_attempts(self) -> Sequence[Attempt]:
        columns = columns_of(AttemptRow, Attempt)  # hundreds in each round, and nobody changes these rows
        rows = self._session.execute(select(*columns).where(_OPEN).order_by(AttemptRow.id))
        return [Attempt(*row) for row in rows]

    def busy(self) -> Sequence[int]:
        return self._session.scalars(select(AttemptRow.printer_id).where(_OPEN)).all()

    def preload(self, job_ids: Collection[int], printer_ids: Collection[int]) -> Sequence[object]:
        session = self._session
        jobs = session.scalars(select(JobRow).where(JobRow.id.in_(job_ids))).all()
        return [
            *jobs,
            *session.scalars(select(GCodeFileRow).where(GCodeFileRow.id.in_({job.file_id for job in jobs}))),
            *session.scalars(select(PrinterRow).where(PrinterRow.id.in_(printer_ids))),
            *session.scalars(select(FleetPrinterRow).where(FleetPrinterRow.printer_id.in_(printer_ids))),
        ]

    def unwanted(self) -> Sequence[str]:
        query = (
            select(AttemptRow.public_id)
            .join(JobRow, JobRow.id == AttemptRow.job_id)
            .where(_OPEN, AttemptRow.state == AttemptState.PRINTING, JobRow.cancel_requested_at.is_not(None))
        )
        return self._session.scalars(query).all()

    def open_of_jobs(self, job_ids: Sequence[int]) -> Sequence[Attempt]:
        return self._all(select(AttemptRow).where(AttemptRow.job_id.in_(job_ids), _OPEN))

    def open_of_printer(self, printer_id: int) -> Attempt | None:
        return self._one(
            select(AttemptRow).where(AttemptRow.printer_id == printer_id, _OPEN)
        )

    def by_print(self, print_id: int) -> Attempt | None:
        return self._one(select(AttemptRow).where(AttemptRow.print_id == print_id))

    def unbound(self, printer_id: int, since: datetime) -> Attempt | None:
        return self._one(
            select(AttemptRow)
            .where(
                AttemptRow.printer_id == printer_id, AttemptRow.permitted_at >= since, AttemptRow.print_id.is_(None)
            )
            .order_by(AttemptRow.id.desc())
        )

    def lost_since(self, since: datetime) -> Sequence[Attempt]:
        return self._all(
            select(AttemptRow)
            .join(PrintRow, PrintRow.id == AttemptRow.print_id)
            .where(
                AttemptRow.ended_at >= since, AttemptRow.state == AttemptState.FAILED,
                PrintRow.finished_at.is_(None), PrintRow.cancelled_at.is_(None),
            )
        )  # fmt: skip


def _wanted(query: JobQuery) -> Select[Any]:
    table = JobRow
    wanted = select(table).where(table.organization_id == query.organization_id)
    if query.state is not None:
        wanted = wanted.where(table.state == query.state)
    if query.priority is not None:
        wanted = wanted.where(table.priority == query.priority)
    if query.since is not None:
        wanted = wanted.where(table.created_at >= query.since)
    if query.until is not None:
        wanted = wanted.where(table.created_at <= query.until)
    if query.printer_id is not None:
        tried = select(AttemptRow.job_id).where(AttemptRow.printer_id == query.printer_id)
        meant = select(table.id).where(table.wanted_printer_id == query.printer_id)
        wanted = wanted.where(table.id.in_(union(tried, meant)))
    return wanted
