"""Figures over a user's prints, grouped by day, week, month or year (wire-protocol.md §6.2, `/prints/stats/`). Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta, timezone, tzinfo
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from reference_server.services.errors import Invalid
from reference_server.services.ports import PrintFigures


class GroupBy(str, Enum):
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"


FIRST_YEAR, LAST_YEAR = 1970, 2200
"""What counts as a time here: enough for prints, and no zone's offset leads out of the calendar."""


def zone(name: str | None) -> tzinfo:
    """The zone of an IANA name such as `Europe/Berlin`; None: UTC. Raises Invalid."""
    if not name or name == "UTC":
        return timezone.utc
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise Invalid.field("timezone", "A time zone such as Europe/Berlin is needed.") from None


def moment(field: str, value: date | datetime | None, where: tzinfo, *, through: bool = False) -> datetime | None:
    """The time that `from_date` or `to_date` means. A plain date is the beginning of that day in `where`, or with
    `through` its end; a time without a zone is one in `where`. Raises Invalid."""
    if value is None:
        return None
    if not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise Invalid.field(field, f"A year from {FIRST_YEAR} to {LAST_YEAR} is needed.")
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=where)
    day = value + timedelta(days=1) if through else value
    return datetime(day.year, day.month, day.day, tzinfo=where)


def _group(at: datetime, where: tzinfo, by: GroupBy) -> str:
    day = at.astimezone(where).date()
    if by is GroupBy.WEEK:
        day -= timedelta(days=day.weekday())
    elif by is GroupBy.MONTH:
        day = day.replace(day=1)
    elif by is GroupBy.YEAR:
        day = day.replace(month=1, day=1)
    return day.isoformat()


def _seconds(job: PrintFigures) -> float:
    """What the agent said, else by the clock; a print that goes on counts nothing yet."""
    if job.print_time is not None:
        return job.print_time
    ended = job.finished_at or job.cancelled_at
    return max(0.0, (ended - job.started_at).total_seconds()) if ended else 0.0


def summary(prints: Iterable[PrintFigures], by: GroupBy, where: tzinfo) -> dict[str, Any]:
    """Counts, seconds and millimetres; a group's key is the first day of its period (weeks begin on Monday)."""
    counts: dict[str, int] = {}
    seconds: dict[str, float] = {}
    filament: dict[str, float] = {}
    finished = cancelled = 0
    longest = 0.0
    for job in prints:
        key, spent = _group(job.started_at, where, by), _seconds(job)
        counts[key] = counts.get(key, 0) + 1
        seconds[key] = seconds.get(key, 0.0) + spent
        filament[key] = filament.get(key, 0.0) + (job.filament_used or 0.0)
        finished += job.finished_at is not None
        cancelled += job.cancelled_at is not None
        longest = max(longest, spent)
    total = sum(counts.values())
    all_seconds = sum(seconds.values())
    return {
        "print_count_groups": _pairs(counts),
        "print_time_groups": _pairs(seconds),
        "filament_used_groups": _pairs(filament),
        "total_print_count": total,
        "total_finished_print_count": finished,
        "total_cancelled_print_count": cancelled,
        "total_print_time": all_seconds,
        "total_filament_used": sum(filament.values()),
        "longest_print_time": longest,
        "average_print_time": all_seconds / total if total else 0.0,
    }


def _pairs(groups: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": groups[key]} for key in sorted(groups)]
