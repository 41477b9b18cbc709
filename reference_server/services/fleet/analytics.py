"""The figures of the farm, from the sums that the database makes (fleet-api.md §5). Pure.

Printing time of a print is spread evenly between its start and end, so that a print that reaches over a border counts
on both sides. With r = seconds / (end - start), what prints had done before a moment t is the sum of
r x (min(t, end) - start); a bucket's printing time is the difference of that sum at its two edges. Prints that ended in
it count whole, those open at an edge (begun before, ended later) are added at its end and taken off at its beginning.
So each print is read twice, where it began and where it ended, however many buckets it reaches over. tests/unit holds
it against counting each print by itself.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from reference_server.services.fleet.print_ports import EndSum, OpenPrint, StartSum


@dataclass(frozen=True, slots=True)
class Rates:
    """What an hour of printing costs beside its material: the machine's, and its power (W) at a price a kWh."""

    machine_per_hour: float = 0.0
    watts: float = 0.0
    per_kwh: float = 0.0

    def machine(self, seconds: float) -> float:
        return seconds / 3600 * self.machine_per_hour

    def electricity(self, seconds: float) -> float:
        return seconds / 3600 * self.watts / 1000 * self.per_kwh


@dataclass(frozen=True, slots=True)
class Totals:
    """Of a period: prints that ended in it, by outcome, with their grams and those grams' cost, and all seconds of
    printing in it, whoever they belong to."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    unknown: int = 0
    seconds: float = 0.0
    grams: float = 0.0
    material_cost: float = 0.0
    longest: float = 0.0

    @property
    def ended(self) -> int:
        return self.completed + self.failed + self.cancelled + self.unknown

    @property
    def nothing(self) -> bool:
        return not self.ended and self.seconds <= 0


def rate_of(job: OpenPrint, now: float) -> float:
    """Seconds of printing a second; one that goes on and says nothing prints all the time."""
    length = (now if job.ended is None else job.ended) - job.started
    if length <= 0:
        return 0.0
    if job.seconds is None:
        return 1.0
    return min(1.0, job.seconds / length) if job.ended is None else job.seconds / length


def overlap(job: OpenPrint, since: float, until: float, now: float) -> float:
    """Seconds of printing within a time."""
    ended = now if job.ended is None else job.ended
    return max(0.0, min(until, ended) - max(since, job.started)) * rate_of(job, now)


def totals(
    edges: Sequence[float], ends: Sequence[EndSum], starts: Sequence[StartSum], open_first: Sequence[OpenPrint],
    open_last: Sequence[OpenPrint], going_on: Sequence[OpenPrint], now: float,
) -> list[Totals]:  # fmt: skip
    """One for each bucket [edges[k], edges[k + 1]). `starts`: of all buckets but the last, their origin edges[0];
    `open_first`, `open_last`: ended prints that were open at the first and last edge."""
    origin = edges[0]
    rate = sum(rate_of(job, now) for job in open_first)
    moment = sum(rate_of(job, now) * (job.started - origin) for job in open_first)
    done = [_done(open_first, edges[0], now)]
    for k, began in enumerate(starts):
        rate += began.rate - ends[k].rate
        moment += began.moment - ends[k].moment
        done.append(rate * (edges[k + 1] - origin) - moment)
    done.append(_done(open_last, edges[-1], now))
    found, running = [], _running(edges, going_on, now)
    for k, end in enumerate(ends):
        seconds = end.seconds + done[k + 1] - done[k] + running[k]
        if seconds < 0.05:  # what is left of a difference of large numbers
            seconds = 0.0
        found.append(
            Totals(
                end.completed, end.failed, end.cancelled, end.unknown, seconds, end.grams, end.cost, end.longest
            )
        )
    return found


def _running(edges: Sequence[float], going_on: Sequence[OpenPrint], now: float) -> list[float]:
    """Seconds of printing of prints under way, by bucket; each is looked at only where it was."""
    found = [0.0] * (len(edges) - 1)
    for job in going_on:
        ended = now if job.ended is None else job.ended
        k = max(0, bisect_right(edges, job.started) - 1)
        while k < len(found) and edges[k] < ended:
            found[k] += overlap(job, edges[k], edges[k + 1], now)
            k += 1
    return found


def _done(prints: Sequence[OpenPrint], at: float, now: float) -> float:
    """Seconds that prints which are open then have printed before."""
    return sum(rate_of(job, now) * (at - job.started) for job in prints)


def added(parts: Sequence[Totals]) -> Totals:
    return Totals(
        sum(part.completed for part in parts), sum(part.failed for part in parts),
        sum(part.cancelled for part in parts), sum(part.unknown for part in parts),
        math.fsum(part.seconds for part in parts), math.fsum(part.grams for part in parts),
        math.fsum(part.material_cost for part in parts), max((part.longest for part in parts), default=0.0),
    )  # fmt: skip


def percent(part: float, whole: float) -> float | None:
    """With one decimal; None of nothing."""
    return round(100 * part / whole, 1) if whole > 0 else None


def success_rate(total: Totals) -> float | None:
    """Completed of those whose end is known."""
    return percent(total.completed, total.completed + total.failed + total.cancelled)


def metrics(total: Totals, printers: int, seconds: float, rates: Rates) -> dict[str, Any]:
    """What seed 004 shows and more, without the printers. `printers`: how many there are; `seconds`: of the period so
    far. A period in which nothing happened has zeros, and ratios that are None."""
    machine, electricity = rates.machine(total.seconds), rates.electricity(total.seconds)
    return {
        "utilization_rate": None if total.nothing else percent(total.seconds, printers * max(0.0, seconds)),
        "jobs_completed": total.completed,
        "jobs_failed": total.failed,
        "jobs_cancelled": total.cancelled,
        "jobs_unknown": total.unknown,
        "success_rate": success_rate(total),
        "total_print_time": round(total.seconds),
        "material_consumed": round(total.grams, 1),
        "estimated_cost": round(total.material_cost + machine + electricity, 2),
        "material_cost": round(total.material_cost, 2),
        "electricity_cost": round(electricity, 2),
        "machine_cost": round(machine, 2),
    }
