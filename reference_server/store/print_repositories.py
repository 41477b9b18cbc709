"""Prints and printer events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, func, or_, select
from sqlalchemy.orm import Session

from reference_server.services.model import EventKind, Print, PrinterEvent
from reference_server.services.ports import EventQuery, PrintFigures, PrintFilter, PrintQuery, Sorting
from reference_server.store.detection_tables import ShotRow
from reference_server.store.mapping import copy_to, to_entity
from reference_server.store.tables import AppliedEventRow, KeptAnswerRow, PrinterEventRow, PrintRow

APPLIED_EVENTS_KEPT = 4096
"""Per printer; an agent's outbox holds at most 2,000 events, so none that can come again is forgotten."""

ANSWERS_KEPT = 1024
"""Per printer."""


class SqlPrints:
    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, print_id: int) -> Print | None:
        row = self._session.get(PrintRow, print_id)
        return to_entity(row, Print) if row and row.deleted_at is None else None

    def by_ext_id(self, printer_id: int, ext_id: int) -> Print | None:
        query = select(PrintRow).where(PrintRow.printer_id == printer_id, PrintRow.ext_id == ext_id)
        row = self._session.scalars(query).first()
        return to_entity(row, Print) if row else None

    def add(self, job: Print) -> Print:
        row = PrintRow()
        copy_to(row, job)
        self._session.add(row)
        self._session.flush()
        return to_entity(row, Print)

    def save(self, job: Print) -> None:
        if row := self._session.get(PrintRow, job.id):
            copy_to(row, job)
            self._session.flush()

    def find(self, query: PrintQuery) -> tuple[Sequence[Print], int]:
        wanted = _filtered(select(PrintRow), query)
        total = self._session.scalar(select(func.count()).select_from(wanted.subquery())) or 0
        if query.sorting is Sorting.DATE_DESC:
            wanted = wanted.order_by(PrintRow.started_at.desc(), PrintRow.id.desc())
        else:
            wanted = wanted.order_by(PrintRow.started_at, PrintRow.id)
        page = wanted.offset(query.start).limit(query.limit)
        return [to_entity(row, Print) for row in self._session.scalars(page)], total


    def of_file(self, file_id: int, limit: int) -> Sequence[Print]:
        query = select(PrintRow).where(PrintRow.g_code_file_id == file_id, PrintRow.deleted_at.is_(None))
        newest = query.order_by(PrintRow.id.desc()).limit(limit)
        return [to_entity(row, Print) for row in self._session.scalars(newest)]

    def figures(self, query: PrintQuery) -> Sequence[PrintFigures]:
        columns: list[Any] = [getattr(PrintRow, field.name) for field in fields(PrintFigures)]
        wanted = _filtered(select(*columns), query).order_by(PrintRow.started_at, PrintRow.id)
        return [PrintFigures(*row) for row in self._session.execute(wanted)]


def _needs_overwrite() -> ColumnElement[bool]:
    return PrintRow.alert_overwrite.is_(None)


def _needs_shot_feedback() -> ColumnElement[bool]:
    """There are shots, and none is answered (rest-decisions.md)."""
    shots = select(ShotRow.id).where(ShotRow.print_id == PrintRow.id, ShotRow.chosen)
    return and_(shots.exists(), ~shots.where(ShotRow.answer.is_not(None)).exists())


def _filtered(statement: Select[Any], query: PrintQuery) -> Select[Any]:
    statement = statement.where(PrintRow.user_id == query.user_id)
    if not query.with_deleted:
        statement = statement.where(PrintRow.deleted_at.is_(None))
    if query.printer_ids is not None:
        statement = statement.where(PrintRow.printer_id.in_(query.printer_ids))
    if query.since is not None:
        statement = statement.where(PrintRow.started_at >= query.since)
    if query.before is not None:
        statement = statement.where(PrintRow.started_at < query.before)
    if query.feedback_needed:
        statement = statement.where(or_(_needs_overwrite(), _needs_shot_feedback()))
    if query.filter is PrintFilter.CANCELLED:
        return statement.where(PrintRow.cancelled_at.is_not(None))
    if query.filter is PrintFilter.FINISHED:
        return statement.where(PrintRow.finished_at.is_not(None))
    if query.filter is PrintFilter.NEED_ALERT_OVERWRITE:
        return statement.where(_needs_overwrite())
    if query.filter is PrintFilter.NEED_PRINT_SHOT_FEEDBACK:
        return statement.where(_needs_shot_feedback())
    return statement


class SqlEvents:
    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, event: PrinterEvent) -> PrinterEvent:
        row = PrinterEventRow()
        copy_to(row, event)
        self._session.add(row)
        self._session.flush()
        return to_entity(row, PrinterEvent)

    def ended(self, print_id: int) -> PrinterEvent | None:
        query = select(PrinterEventRow).where(
            PrinterEventRow.print_id == print_id, PrinterEventRow.event_type == EventKind.ENDED
        )
        row = self._session.scalars(query.order_by(PrinterEventRow.id.desc())).first()
        return to_entity(row, PrinterEvent) if row else None

    def save(self, event: PrinterEvent) -> None:
        if row := self._session.get(PrinterEventRow, event.id):
            copy_to(row, event)

    def find(self, query: EventQuery) -> Sequence[PrinterEvent]:
        wanted = select(PrinterEventRow).where(PrinterEventRow.user_id == query.user_id)
        if query.kinds is not None:
            wanted = wanted.where(PrinterEventRow.event_type.in_(query.kinds))
        if query.classes is not None:
            wanted = wanted.where(PrinterEventRow.event_class.in_(query.classes))
        if query.printer_id is not None:
            wanted = wanted.where(PrinterEventRow.printer_id == query.printer_id)
        if query.print_id is not None:
            wanted = wanted.where(PrinterEventRow.print_id == query.print_id)
        page = wanted.order_by(PrinterEventRow.id.desc()).offset(query.start).limit(query.limit)
        return [to_entity(row, PrinterEvent) for row in self._session.scalars(page)]

    def is_applied(self, printer_id: int, event_id: str) -> bool:
        query = select(AppliedEventRow.id).where(
            AppliedEventRow.printer_id == printer_id, AppliedEventRow.event_id == event_id
        )
        return self._session.scalar(query) is not None

    def mark_applied(self, printer_id: int, event_id: str, now: datetime) -> None:
        self._session.add(AppliedEventRow(printer_id=printer_id, event_id=event_id, created_at=now))
        self._session.flush()
        self._forget(AppliedEventRow, printer_id, APPLIED_EVENTS_KEPT)

    def answer(self, printer_id: int, key: str) -> str | None:
        query = select(KeptAnswerRow.answer).where(KeptAnswerRow.printer_id == printer_id, KeptAnswerRow.key == key)
        return self._session.scalar(query)

    def keep_answer(self, printer_id: int, key: str, answer: str, now: datetime) -> None:
        self._session.add(KeptAnswerRow(printer_id=printer_id, key=key, answer=answer, created_at=now))
        self._session.flush()
        self._forget(KeptAnswerRow, printer_id, ANSWERS_KEPT)

    def _forget(self, table: type[AppliedEventRow | KeptAnswerRow], printer_id: int, keep: int) -> None:
        newest_to_go = (
            select(table.id).where(table.printer_id == printer_id).order_by(table.id.desc()).offset(keep).limit(1)
        )
        oldest = self._session.scalar(newest_to_go)
        if oldest is not None:
            self._session.execute(delete(table).where(table.printer_id == printer_id, table.id <= oldest))
