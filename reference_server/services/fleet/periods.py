"""Periods of figures: days in the organization's time zone, or times; and their buckets (fleet-api.md §5). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone, tzinfo
from enum import Enum
from itertools import pairwise

from reference_server.services.errors import Invalid
from reference_server.services.statistics import FIRST_YEAR, LAST_YEAR, zone

DEFAULT_DAYS = 30
MOST_BUCKETS = 1_000
"""Points of a series: 41 days by the hour, 2.7 years by the day."""


class Interval(str, Enum):
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class Span:
    """[since, until), aware UTC; `last`: the last moment in it, as it is shown."""

    since: datetime
    until: datetime
    last: datetime


def zone_of(name: str) -> tzinfo:
    """The organization's; UTC where this machine does not know it."""
    try:
        return zone(name)
    except Invalid:
        return timezone.utc


def period(since: str | None, until: str | None, where: tzinfo, now: datetime) -> Span:
    """What `from` and `to` mean. A day is all of it, also as `to`; a time is that moment. Without `to` it goes up to
    now, without `from` it begins 30 days before its end, at midnight. Raises Invalid."""
    first, last = _read("from", since, where), _read("to", until, where)
    if last is None:
        end = shown = now
    elif isinstance(last, datetime):
        end = shown = last
    else:
        end = _midnight(last + timedelta(days=1), where)
        shown = end - timedelta(seconds=1)
    if first is None:
        begin = _midnight(shown.astimezone(where).date() - timedelta(days=DEFAULT_DAYS), where)
    elif isinstance(first, datetime):
        begin = first
    else:
        begin = _midnight(first, where)
    if begin > shown:
        raise Invalid.field("from" if until is None else "to", "The period ends before it begins.")
    return Span(begin.astimezone(timezone.utc), end.astimezone(timezone.utc), shown.astimezone(timezone.utc))


def _read(field: str, text: str | None, where: tzinfo) -> date | datetime | None:
    if text is None or not text.strip():
        return None
    # A + that was not escaped in the address arrives as a space.
    plain = re.sub(r" (\d\d:?\d\d)$", r"+\1", text.strip()) if "T" in text else text.strip()
    plain = re.sub(r"[zZ]$", "+00:00", plain)
    try:
        found: date | datetime
        if re.fullmatch(r"\d{4}-\d\d-\d\d", plain):
            found = date.fromisoformat(plain)
        else:
            # Before Python 3.11 a fraction has three or six digits.
            found = datetime.fromisoformat(re.sub(r"\.(\d+)", lambda digits: f".{digits[1]:0<6.6}", plain))
    except ValueError:
        raise Invalid.field(field, "A day such as 2025-10-06 or an ISO 8601 time is needed.") from None
    if not FIRST_YEAR <= found.year <= LAST_YEAR:
        raise Invalid.field(field, f"A year from {FIRST_YEAR} to {LAST_YEAR} is needed.")
    if isinstance(found, datetime) and found.tzinfo is None:
        found = found.replace(tzinfo=where)
    return found


def _midnight(day: date, where: tzinfo) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=where)


def buckets(span: Span, interval: Interval | None, where: tzinfo) -> list[Span]:
    """The period cut at the beginnings of hours, days, weeks (Mondays) or months there; None: in one piece. The first
    and the last may be shorter. Raises Invalid: too many."""
    if interval is None or span.since == span.until:
        return [span]
    edges = [span.since]
    while edges[-1] < span.until:
        if len(edges) > MOST_BUCKETS:
            raise Invalid.field("interval", f"At most {MOST_BUCKETS} points: ask for a shorter period or longer steps.")
        edges.append(min(_next(edges[-1], interval, where), span.until))
    return [
        Span(begin, end, span.last if end == span.until else end - timedelta(seconds=1))
        for begin, end in pairwise(edges)
    ]


def _next(at: datetime, interval: Interval, where: tzinfo) -> datetime:
    local = at.astimezone(where)
    if interval is Interval.HOUR:
        # By the clock's own seconds: an hour that a clock change repeats is two.
        into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        return at + timedelta(hours=1) - into
    day = local.date()
    if interval is Interval.DAY:
        day += timedelta(days=1)
    elif interval is Interval.WEEK:
        day += timedelta(days=7 - day.weekday())
    else:
        day = (day.replace(day=1) + timedelta(days=32)).replace(day=1)
    return _midnight(day, where).astimezone(timezone.utc)
