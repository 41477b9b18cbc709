"""Analytics: what a caller asks for, the sums of the database, the figures (fleet-api.md §5)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from reference_server.services.clock import Now
from reference_server.services.fleet.analytics import Rates, Totals, added, metrics, overlap, totals
from reference_server.services.fleet.group_choice import group_named_or_invalid
from reference_server.services.fleet.keys import Identity
from reference_server.services.fleet.material_model import Material
from reference_server.services.fleet.periods import Interval, Span, buckets, period, zone_of
from reference_server.services.fleet.print_ports import OpenPrint, PrinterSpan, Scope
from reference_server.services.fleet.printers import fleet_printer_named
from reference_server.services.ports import Store, Transaction

MOST_FAILURES = 10

LiveSeconds = Callable[[int], float | None]
"""How long the print under way on a printer has printed, without pauses, as its agent says; None: unknown."""


def unknown(printer_id: int) -> float | None:  # noqa: ARG001 - there is nobody to ask
    return None


@dataclass(frozen=True, slots=True)
class Query:
    """What every endpoint takes, as it was sent. `live`: what agents say of prints under way."""

    since: str | None = None
    until: str | None = None
    group: str | None = None
    interval: Interval | None = None
    live: LiveSeconds = unknown


@dataclass(frozen=True, slots=True)
class Figures:
    """`points`: one for each bucket of a series, with its metrics; empty without `interval`."""

    span: Span
    currency: str
    metrics: dict[str, Any]
    points: tuple[tuple[Span, dict[str, Any]], ...] = ()


@dataclass(frozen=True, slots=True)
class PrinterFigures:
    public_id: str
    name: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class JobFigures:
    figures: Figures
    failures: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class MaterialShare:
    """`material` None: prints without a spool in their printer; `printer`: where it is loaded now (public id)."""

    material: Material | None
    printer: str | None
    prints: int
    mm: float
    grams: float
    cost: float


@dataclass(frozen=True, slots=True)
class MaterialFigures:
    figures: Figures
    shares: Sequence[MaterialShare]


@dataclass(frozen=True, slots=True)
class _Asked:
    """A query that is understood. `printers`: those that there were in the period."""

    span: Span
    pieces: Sequence[Span]
    scope: Scope
    printers: Sequence[PrinterSpan]
    now: float
    live: LiveSeconds

    def seconds(self, span: Span) -> float:
        """Of a time, so far."""
        return min(_unix(span.until), self.now) - _unix(span.since)


def _unix(at: datetime) -> float:
    return at.astimezone(timezone.utc).timestamp()


class FleetAnalytics:
    def __init__(self, store: Store, now: Now) -> None:
        self._store, self._now = store, now

    def fleet(self, caller: Identity, query: Query) -> Figures:
        """Raises Invalid."""
        with self._store.read() as tx:
            asked = self._asked(tx, caller, query)
            parts, going_on = self._parts(tx, asked)
            found = self._figures(caller, asked, parts)
            active = tx.fleet.prints.active_printers(asked.scope, _unix(asked.span.since), _unix(asked.span.until))
        since, until = _unix(asked.span.since), _unix(asked.span.until)
        working = {job.printer_id for job in going_on if overlap(job, since, until, asked.now) > 0}
        counts = {"total_printers": len(asked.printers), "active_printers": len(active | working)}
        return replace(found, metrics={**counts, **found.metrics})

    def printer(self, caller: Identity, public_id: str, query: Query) -> PrinterFigures:
        """Raises NotFound, Invalid."""
        with self._store.read() as tx:
            printer, fleet = fleet_printer_named(tx, caller, public_id)
            asked = self._asked(tx, caller, replace(query, group=None))
            only = [span for span in asked.printers if span.printer_id == printer.id]
            asked = replace(asked, printers=only, scope=replace(asked.scope, printer_ids=frozenset({printer.id})))
            parts, _ = self._parts(tx, asked)
        found = self._figures(caller, asked, parts)
        found = replace(found, metrics={**found.metrics, **_lengths(parts)})
        return PrinterFigures(fleet.public_id, printer.name, found)

    def jobs(self, caller: Identity, query: Query) -> JobFigures:
        """Raises Invalid."""
        with self._store.read() as tx:
            asked = self._asked(tx, caller, query)
            parts, going_on = self._parts(tx, asked)
            failures = tx.fleet.prints.failures(
                asked.scope, _unix(asked.span.since), _unix(asked.span.until), MOST_FAILURES
            )
            queued = tx.fleet.jobs.count_waiting(caller.organization.id)
        found = self._figures(caller, asked, parts)
        more = {
            "jobs_total": added(parts).ended, "jobs_printing": sum(job.ended is None for job in going_on),
            "jobs_queued": queued,
        }  # fmt: skip
        return JobFigures(replace(found, metrics={**more, **found.metrics, **_lengths(parts)}), failures)

    def materials(self, caller: Identity, query: Query) -> MaterialFigures:
        """Raises Invalid."""
        with self._store.read() as tx:
            asked = self._asked(tx, caller, query)
            edges = _edges(asked.pieces)
            ends = tx.fleet.prints.ends(asked.scope, edges, None) if query.interval is not None else ()
            sums = tx.fleet.prints.materials(asked.scope, edges[0], edges[-1])
            spools = {spool.id: spool for spool in tx.fleet.materials.all(caller.organization.id)}
            names = {row.printer_id: row.public_id for row in tx.fleet.printers.of_account(caller.account.id)}
        shares = [
            MaterialShare(
                spool := spools.get(each.material_id or 0),
                names.get(spool.printer_id) if spool is not None and spool.printer_id is not None else None,
                each.prints, each.mm, each.grams, each.cost,
            )
            for each in sorted(sums, key=lambda each: (-each.grams, each.material_id or 0))
        ]  # fmt: skip
        points = [
            (piece, {"material_consumed": round(end.grams, 1), "material_cost": round(end.cost, 2)})
            for piece, end in zip(asked.pieces, ends, strict=False)
        ]
        whole = {
            "material_consumed": round(math.fsum(each.grams for each in sums), 1),
            "material_cost": round(math.fsum(each.cost for each in sums), 2),
            "prints": sum(each.prints for each in sums),
            "materials_used": sum(each.material_id is not None for each in sums),
        }
        figures = Figures(asked.span, caller.organization.currency, whole, tuple(points))
        return MaterialFigures(figures, shares)

    def _asked(self, tx: Transaction, caller: Identity, query: Query) -> _Asked:
        where, now = zone_of(caller.organization.timezone), self._now()
        span = period(query.since, query.until, where, now)
        pieces = buckets(span, query.interval, where)
        group = group_named_or_invalid(tx, caller, query.group) if query.group else None
        since, until = _unix(span.since), _unix(span.until)
        there = [
            printer
            for printer in tx.fleet.prints.printers(caller.account.id)
            if (group is None or printer.group_id == group.id)
            and printer.since < until
            and (printer.until is None or printer.until > since)
        ]
        ids = None if group is None else frozenset(printer.printer_id for printer in there)
        return _Asked(span, pieces, Scope(caller.account.id, ids), there, now.timestamp(), query.live)

    def _parts(self, tx: Transaction, asked: _Asked) -> tuple[list[Totals], list[OpenPrint]]:
        prints, scope, edges = tx.fleet.prints, asked.scope, _edges(asked.pieces)
        going_on = [_timed(job, asked.live) for job in prints.going_on(scope)]
        parts = totals(
            edges, prints.ends(scope, edges, edges[0]),
            prints.starts(scope, edges[:-1], edges[0]) if len(edges) > 2 else (),
            prints.open_at(scope, edges[0]), prints.open_at(scope, edges[-1]), going_on, asked.now,
        )  # fmt: skip
        return parts, going_on

    @staticmethod
    def _figures(caller: Identity, asked: _Asked, parts: Sequence[Totals]) -> Figures:
        org = caller.organization
        rates = Rates(
            org.machine_cost_per_hour or 0.0, org.average_power_watts or 0.0, org.electricity_cost_per_kwh or 0.0
        )
        printers = len(asked.printers)
        points = [
            (piece, metrics(part, printers, asked.seconds(piece), rates))
            for piece, part in zip(asked.pieces, parts, strict=True)
        ]
        whole = metrics(added(parts), printers, asked.seconds(asked.span), rates)
        return Figures(asked.span, org.currency, whole, tuple(points) if asked.pieces != [asked.span] else ())


def _timed(job: OpenPrint, live: LiveSeconds) -> OpenPrint:
    if job.ended is not None or job.seconds is not None:
        return job
    return replace(job, seconds=live(job.printer_id))


def _edges(pieces: Sequence[Span]) -> list[float]:
    return [_unix(pieces[0].since), *(_unix(piece.until) for piece in pieces)]


def _lengths(parts: Sequence[Totals]) -> dict[str, Any]:
    """How long prints that ended take; None of none."""
    total = added(parts)
    return {"longest_print_time": round(total.longest) if total.ended else None}
