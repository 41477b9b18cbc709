"""Figures by counting each print by itself: what the sums of the database are held against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from reference_server.services.fleet.analytics import Totals
from reference_server.services.fleet.print_model import FleetPrint, PrintOutcome
from reference_server.services.fleet.print_ports import EndSum, OpenPrint, StartSum


def rate(job: FleetPrint) -> float:
    return job.seconds / (job.ended - job.started) if job.ended > job.started else 0.0


def naive_totals(
    prints: Sequence[FleetPrint], going_on: Sequence[OpenPrint], since: float, until: float, now: float
) -> Totals:
    """Of [since, until)."""
    ended = [job for job in prints if since <= job.ended < until]
    counts = {outcome: sum(job.outcome is outcome for job in ended) for outcome in PrintOutcome}
    seconds = 0.0
    for job in prints:
        if job.ended > job.started:
            seconds += max(0.0, min(until, job.ended) - max(since, job.started)) * rate(job)
        elif since <= job.ended < until:
            seconds += job.seconds
    for running in going_on:
        end = now if running.ended is None else running.ended
        length = end - running.started
        if length > 0:
            share = 1.0 if running.seconds is None else running.seconds / length
            share = min(1.0, share) if running.ended is None else share
            seconds += max(0.0, min(until, end) - max(since, running.started)) * share
    return Totals(
        counts[PrintOutcome.COMPLETED], counts[PrintOutcome.FAILED], counts[PrintOutcome.CANCELLED],
        counts[PrintOutcome.UNKNOWN], seconds, sum(job.grams for job in ended), sum(job.cost for job in ended),
        max((job.seconds for job in ended), default=0.0),
    )  # fmt: skip


def ends(prints: Sequence[FleetPrint], edges: Sequence[float], origin: float) -> list[EndSum]:
    found = []
    for since, until in pairwise(edges):
        inside = [job for job in prints if since <= job.ended < until]

        def total(value: Callable[[FleetPrint], float], inside: list[FleetPrint] = inside) -> float:
            return sum(value(job) for job in inside)

        counts = {outcome: sum(job.outcome is outcome for job in inside) for outcome in PrintOutcome}
        found.append(
            EndSum(
                counts[PrintOutcome.COMPLETED], counts[PrintOutcome.FAILED], counts[PrintOutcome.CANCELLED],
                counts[PrintOutcome.UNKNOWN], total(lambda job: job.seconds), total(lambda job: job.grams),
                total(lambda job: job.cost), max((job.seconds for job in inside), default=0.0), total(rate),
                total(lambda job: rate(job) * (job.started - origin)),
            )
        )  # fmt: skip
    return found


def starts(prints: Sequence[FleetPrint], edges: Sequence[float], origin: float) -> list[StartSum]:
    found = []
    for since, until in pairwise(edges):
        inside = [job for job in prints if since <= job.started < until]
        found.append(
            StartSum(sum(rate(job) for job in inside), sum(rate(job) * (job.started - origin) for job in inside))
        )
    return found


def open_at(prints: Sequence[FleetPrint], at: float) -> list[OpenPrint]:
    return [
        OpenPrint(job.printer_id, job.started, job.ended, job.seconds)
        for job in prints
        if job.started < at <= job.ended
    ]
