"""services.fleet.print_ports on SQLAlchemy.

Figures are scalar subqueries, one a bucket: SQLite runs through the bucket's part of a covering index and sorts nothing
(a GROUP BY over a join with the buckets takes twice the time). A pass over 100,000 prints takes some 40 ms.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, delete, false, literal_column, select, text, update
from sqlalchemy.orm import Session

from reference_server.services.fleet.material_model import Material, print_of
from reference_server.services.fleet.print_model import FleetPrint
from reference_server.services.fleet.print_ports import (
    EndSum,
    MaterialSum,
    OpenPrint,
    PrinterSpan,
    Scope,
    StartSum,
)
from reference_server.services.model import Print
from reference_server.store.fleet.material_tables import MaterialRow
from reference_server.store.fleet.print_tables import FleetPrintRow
from reference_server.store.fleet.tables import FleetPrinterRow
from reference_server.store.mapping import copy_to, to_entity
from reference_server.store.tables import PrinterRow, PrintRow

COMPLETED_AT_ONCE = 1_000
"""Prints that `complete_prints` reads in one go."""

_RATE = "CASE WHEN ended > started THEN seconds / (ended - started) ELSE 0 END"
_OPEN = f"sum({_RATE}), sum(({_RATE}) * (started - :origin))"
_ENDS = """
    sum(outcome = 'completed'), sum(outcome = 'failed'), sum(outcome = 'cancelled'), sum(outcome = 'unknown'),
    sum(seconds), sum(grams), sum(cost), max(seconds)
"""
_SUMS = """
    WITH buckets(number, since, until) AS MATERIALIZED (
        SELECT key, json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(:buckets)
    )
    SELECT (
        SELECT json_array({sums}) FROM fleet_prints
        WHERE user_id = :user AND {column} >= buckets.since AND {column} < buckets.until {printers}
    ) FROM buckets ORDER BY number
"""
_PRINTERS = "AND fleet_prints.printer_id IN (SELECT value FROM json_each(:printers))"
# The planner knows nothing of how the times lie: INDEXED BY tells it, and a + keeps a column out of the choice.
_ACTIVE = """
    SELECT value FROM json_each(:printers) WHERE EXISTS (
        SELECT 1 FROM fleet_prints INDEXED BY ix_fleet_prints_printer
        WHERE user_id = :user AND printer_id = value AND ended >= :since AND started < :until
    )
"""
_MATERIALS = """
    SELECT material_id, count(*), total(mm), total(grams), total(cost) FROM fleet_prints
    WHERE user_id = :user AND +ended >= :since AND +ended < :until {printers} GROUP BY material_id
"""
_FAILURES = """
    SELECT coalesce(prints.error_text, ''), count(*)
    FROM fleet_prints INDEXED BY ix_fleet_prints_failed JOIN prints ON prints.id = fleet_prints.print_id
    WHERE fleet_prints.user_id = :user AND outcome = 'failed' AND ended >= :since AND ended < :until {printers}
    GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :most
"""


class SqlFleetPrints:
    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, print_id: int) -> FleetPrint | None:
        row = self._session.get(FleetPrintRow, print_id)
        return to_entity(row, FleetPrint) if row else None

    def put(self, row: FleetPrint) -> None:
        kept = self._session.get(FleetPrintRow, row.print_id) or FleetPrintRow()
        copy_to(kept, row)
        self._session.add(kept)
        self._session.flush()

    def remove(self, print_id: int) -> None:
        row = self._session.get(FleetPrintRow, print_id)
        if row is not None:
            self._session.delete(row)
            self._session.flush()

    def price(self, material_id: int, cost_per_kg: float | None) -> None:
        table = FleetPrintRow
        self._session.execute(
            update(table)
            .where(table.material_id == material_id)
            .values(cost=table.grams * ((cost_per_kg or 0.0) / 1000))
        )

    def _run(self, statement: str, scope: Scope, **values: Any) -> Sequence[Any]:
        if scope.printer_ids is not None:
            values["printers"] = json.dumps(sorted(scope.printer_ids))
        only = "" if scope.printer_ids is None else _PRINTERS
        found = self._session.execute(text(statement.replace("{printers}", only)), {"user": scope.user_id, **values})
        return found.all()

    def _sums(self, sums: str, column: str, scope: Scope, edges: Sequence[float], **values: Any) -> list[list[Any]]:
        statement = _SUMS.replace("{sums}", sums).replace("{column}", column)
        found = self._run(statement, scope, buckets=json.dumps(list(pairwise(edges))), **values)
        return [json.loads(row[0]) for row in found]

    def ends(self, scope: Scope, edges: Sequence[float], origin: float | None) -> Sequence[EndSum]:
        if origin is None or len(edges) == 2:  # nobody asks for what is open between buckets
            found = self._sums(_ENDS, "ended", scope, edges)
        else:
            found = self._sums(f"{_ENDS}, {_OPEN}", "ended", scope, edges, origin=origin)
        return [EndSum(*(value or 0 for value in row[:4]), *(value or 0.0 for value in row[4:])) for row in found]

    def starts(self, scope: Scope, edges: Sequence[float], origin: float) -> Sequence[StartSum]:
        found = self._sums(_OPEN, "started", scope, edges, origin=origin)
        return [StartSum(*(value or 0.0 for value in row)) for row in found]

    def open_at(self, scope: Scope, at: float) -> Sequence[OpenPrint]:
        table = FleetPrintRow
        mine = select(table.started).where(table.user_id == scope.user_id)
        first = self._session.scalar(mine.order_by(table.started).limit(1))
        last = self._session.scalar(mine.order_by(table.started.desc()).limit(1))
        if first is None or last is None:
            return []
        # From the nearer end: all that had begun, or all that ended later.
        early = at < (first + last) / 2
        ended: ColumnElement[Any] = literal_column("+fleet_prints.ended" if early else "fleet_prints.ended")
        started: ColumnElement[Any] = literal_column("fleet_prints.started" if early else "+fleet_prints.started")
        query = select(table.printer_id, table.started, table.ended, table.seconds).where(
            _of(scope), ended >= at, started < at
        )
        return [OpenPrint(*row) for row in self._session.execute(query)]

    def active_printers(self, scope: Scope, since: float, until: float) -> frozenset[int]:
        if scope.printer_ids is None:
            mine = self._session.scalars(select(PrinterRow.id).where(PrinterRow.user_id == scope.user_id))
            scope = Scope(scope.user_id, frozenset(mine))
        return frozenset(row[0] for row in self._run(_ACTIVE, scope, since=since, until=until))

    def going_on(self, scope: Scope) -> Sequence[OpenPrint]:
        query = (
            select(PrintRow.printer_id, PrintRow.started_at, PrintRow.print_time, PrintRow.finished_at,
                   PrintRow.cancelled_at, PrinterRow.archived_at, PrinterRow.deleted_at)
            .join(PrinterRow, PrinterRow.current_print_id == PrintRow.id)
            .where(PrinterRow.user_id == scope.user_id, PrintRow.id.not_in(select(FleetPrintRow.print_id).where(
                FleetPrintRow.print_id == PrintRow.id)))
        )  # fmt: skip
        if scope.printer_ids is not None:
            query = query.where(PrinterRow.id.in_(scope.printer_ids) if scope.printer_ids else false())
        found = []
        for printer_id, started, seconds, *ends in self._session.execute(query):
            ended = min((at.timestamp() for at in ends if at is not None), default=None)
            found.append(OpenPrint(printer_id, started.timestamp(), ended, seconds))
        return found

    def materials(self, scope: Scope, since: float, until: float) -> Sequence[MaterialSum]:
        return [MaterialSum(*row) for row in self._run(_MATERIALS, scope, since=since, until=until)]

    def failures(self, scope: Scope, since: float, until: float, limit: int) -> Sequence[tuple[str, int]]:
        found = self._run(_FAILURES, scope, since=since, until=until, most=limit)
        return [(row[0], row[1]) for row in found]

    def printers(self, user_id: int) -> Sequence[PrinterSpan]:
        query = (
            select(PrinterRow.id, FleetPrinterRow.group_id, PrinterRow.created_at, PrinterRow.archived_at,
                   PrinterRow.deleted_at)
            .join(FleetPrinterRow, FleetPrinterRow.printer_id == PrinterRow.id)
            .where(PrinterRow.user_id == user_id)
        )  # fmt: skip
        found = []
        for number, group_id, created, archived, deleted in self._session.execute(query):
            gone = [at.timestamp() for at in (archived, deleted) if at is not None]
            found.append(PrinterSpan(number, group_id, created.timestamp(), min(gone, default=None)))
        return found


def _of(scope: Scope) -> ColumnElement[bool]:
    mine = FleetPrintRow.user_id == scope.user_id
    if scope.printer_ids is None:
        return mine
    return mine & (FleetPrintRow.printer_id.in_(scope.printer_ids) if scope.printer_ids else false())


def complete_prints(session: Session) -> int:
    """Ended prints that came another way (an import, an older version) get their rows; how many there were."""
    made, last = 0, 0
    while True:
        query = (
            select(PrintRow)
            .outerjoin(FleetPrintRow, FleetPrintRow.print_id == PrintRow.id)
            .where(
                PrintRow.id > last, FleetPrintRow.print_id.is_(None),
                PrintRow.finished_at.is_not(None) | PrintRow.cancelled_at.is_not(None),
                PrintRow.id.not_in(select(PrinterRow.current_print_id).where(PrinterRow.current_print_id.is_not(None))),
            )
            .order_by(PrintRow.id)
            .limit(COMPLETED_AT_ONCE)
        )  # fmt: skip
        jobs = [to_entity(row, Print) for row in session.scalars(query)]
        for job in jobs:
            if job.ended_at is not None:
                row = FleetPrintRow()
                copy_to(row, print_of(job, job.ended_at, job.ended_at, None)[1])
                session.add(row)
        session.flush()
        session.expunge_all()
        made += len(jobs)
        if len(jobs) < COMPLETED_AT_ONCE:
            return made
        last = jobs[-1].id


def rebuild_prints(session: Session) -> int:
    """Writes all rows anew from the prints; which spool it was, and what was taken off it, stays. How many rows changed
    (0: nothing had drifted)."""
    changed = complete_prints(session)
    last = 0
    while True:
        query = (
            select(PrintRow, FleetPrintRow)
            .join(FleetPrintRow, FleetPrintRow.print_id == PrintRow.id)
            .where(PrintRow.id > last)
            .order_by(PrintRow.id)
            .limit(COMPLETED_AT_ONCE)
        )
        pairs = session.execute(query).all()
        for job_row, row in pairs:
            changed += _renewed(session, to_entity(job_row, Print), row)
        if len(pairs) < COMPLETED_AT_ONCE:
            break
        last = pairs[-1][0].id
        session.flush()
        session.expunge_all()
    session.flush()
    return changed


def _renewed(session: Session, job: Print, row: FleetPrintRow) -> bool:
    before = to_entity(row, FleetPrint)
    if job.ended_at is None:
        session.execute(delete(FleetPrintRow).where(FleetPrintRow.print_id == job.id))
        return True
    if before.material_id is not None and before.mm == job.filament_used:
        plain = print_of(job, job.ended_at, before.noted_at, None)[1]
        new = FleetPrint(
            job.id, job.user_id, job.printer_id, plain.started, plain.ended, plain.seconds, plain.outcome,
            before.noted_at, before.mm, before.grams, before.cost, before.taken, before.material_id,
        )  # fmt: skip
    else:
        material = session.get(MaterialRow, before.material_id) if before.material_id is not None else None
        spool = to_entity(material, Material) if material is not None else None
        new = replace(
            print_of(job, job.ended_at, before.noted_at, spool)[1], taken=before.taken, noted_at=before.noted_at
        )
    copy_to(row, new)
    return new != before
