"""The arithmetic of figures, against counting each print by itself; periods and their buckets."""

from __future__ import annotations

from datetime import datetime, timezone, tzinfo
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reference_server.services.clock import EPOCH
from reference_server.services.errors import Invalid
from reference_server.services.fleet.analytics import Rates, Totals, added, metrics, percent, success_rate, totals
from reference_server.services.fleet.periods import MOST_BUCKETS, Interval, buckets, period, zone_of
from reference_server.services.fleet.print_model import FleetPrint, PrintOutcome
from reference_server.services.fleet.print_ports import OpenPrint
from tests.unit.reference_server.fleet.naive import ends, naive_totals, open_at, starts

UTC = timezone.utc
BERLIN = ZoneInfo("Europe/Berlin")
NOW = datetime(2026, 11, 22, 12, 34, 56, 789_000, tzinfo=UTC)

# Whole numbers meet each other and the edges often: those are the cases that go wrong.
moments = st.integers(0, 60).map(float)


@st.composite
def some_prints(draw: st.DrawFn) -> FleetPrint:
    started = draw(moments)
    ended = started + draw(st.integers(0, 40))
    outcome = draw(st.sampled_from(PrintOutcome))
    seconds = draw(st.floats(0, 60))
    return FleetPrint(0, 1, 1, started, ended, seconds, outcome, EPOCH, 1.0, draw(st.floats(0, 9)), 0.25)


running = st.builds(
    OpenPrint, st.just(1), moments, st.one_of(st.none(), st.just(75.0)), st.one_of(st.none(), st.floats(0, 50))
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(some_prints(), max_size=12), st.lists(running, max_size=3),
    st.sets(st.integers(-10, 90), min_size=2, max_size=9),
)  # fmt: skip
def test_sums_say_what_counting_each_print_says(
    prints: list[FleetPrint], going_on: list[OpenPrint], where: set[int]
) -> None:
    edges, now = [float(edge) for edge in sorted(where)], 80.0
    origin = edges[0]
    found = totals(
        edges, ends(prints, edges, origin), starts(prints, edges[:-1], origin), open_at(prints, edges[0]),
        open_at(prints, edges[-1]), going_on, now,
    )  # fmt: skip
    for part, since, until in zip(found, edges, edges[1:], strict=False):
        wanted = naive_totals(prints, going_on, since, until, now)
        assert part.seconds == pytest.approx(wanted.seconds, abs=0.06)
        assert part.longest == wanted.longest
        assert (part.completed, part.failed, part.cancelled, part.unknown) == (
            wanted.completed, wanted.failed, wanted.cancelled, wanted.unknown,
        )  # fmt: skip
        assert (part.grams, part.material_cost) == pytest.approx((wanted.grams, wanted.material_cost))
    # One bucket says what many say together.
    whole = totals(
        [edges[0], edges[-1]], ends(prints, [edges[0], edges[-1]], origin), (), open_at(prints, edges[0]),
        open_at(prints, edges[-1]), going_on, now,
    )  # fmt: skip
    assert whole[0].seconds == pytest.approx(added(found).seconds, abs=0.06 * len(edges))
    assert whole[0].ended == added(found).ended


def test_metrics_as_the_specification_defines_them() -> None:
    total = Totals(completed=7, failed=2, cancelled=1, unknown=4, seconds=36_000, grams=1234.56, material_cost=24.689)
    found = metrics(total, 10, 24 * 3600, Rates(machine_per_hour=0.5, watts=200, per_kwh=0.3))
    assert found["utilization_rate"] == 4.2  # 10 h of 240
    assert found["success_rate"] == 70.0
    counts = [found[f"jobs_{name}"] for name in ("completed", "failed", "cancelled", "unknown")]
    assert counts == [7, 2, 1, 4]
    assert (found["total_print_time"], found["material_consumed"]) == (36_000, 1234.6)
    assert (found["material_cost"], found["machine_cost"], found["electricity_cost"]) == (24.69, 5.0, 0.6)
    assert found["estimated_cost"] == 30.29


def test_an_empty_period_has_zeros_and_no_ratios() -> None:
    found = metrics(Totals(), 10, 24 * 3600, Rates(1, 1, 1))
    assert {name for name, value in found.items() if value is None} == {"utilization_rate", "success_rate"}
    assert {value for value in found.values() if value is not None} == {0}
    assert percent(1, 0) is None
    assert success_rate(Totals(unknown=3)) is None
    assert metrics(Totals(seconds=5), 0, 60, Rates())["utilization_rate"] is None


def at(*parts: int, where: tzinfo = UTC) -> datetime:
    return datetime(*parts, tzinfo=where)  # type: ignore[misc,arg-type] # year, month, day, …


@pytest.mark.parametrize(
    ("since", "until", "where", "begin", "end", "last"),
    [
        ("2025-10-01", "2025-10-06", UTC, at(2025, 10, 1), at(2025, 10, 7), at(2025, 10, 6, 23, 59, 59)),
        ("2025-10-26", "2025-10-26", BERLIN, at(2025, 10, 25, 22), at(2025, 10, 26, 23), at(2025, 10, 26, 22, 59, 59)),
        ("2025-10-01T08:00:00Z", "2025-10-01T09:30:00.5+02:00", UTC, None, None, None),
        ("2025-10-01T08:00", "2025-10-01T09:30:00.5 02:00", BERLIN, at(2025, 10, 1, 6),
         at(2025, 10, 1, 7, 30, 0, 500_000), at(2025, 10, 1, 7, 30, 0, 500_000)),
        (None, None, UTC, at(2026, 10, 23), NOW, NOW),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", UTC, at(2026, 1, 1), at(2026, 1, 1), at(2026, 1, 1)),
        (None, "2026-01-31", UTC, at(2026, 1, 1), at(2026, 2, 1), at(2026, 1, 31, 23, 59, 59)),
        ("2026-11-22", "", UTC, at(2026, 11, 22), NOW, NOW),
    ],
)  # fmt: skip
def test_periods(
    since: str | None, until: str | None, where: tzinfo, begin: datetime | None, end: datetime | None,
    last: datetime | None,
) -> None:  # fmt: skip
    if begin is None:
        with pytest.raises(Invalid):
            period(since, until, where, NOW)
        return
    found = period(since, until, where, NOW)
    assert (found.since, found.until, found.last) == (begin, end, last)


@pytest.mark.parametrize(
    ("since", "until", "field"),
    [
        ("yesterday", None, "from"), ("2025-13-01", None, "from"), (None, "1", "to"),
        ("2025-10-07", "2025-10-06", "to"), ("2027-01-01", None, "from"), ("0001-01-01", None, "from"),
        (None, "9999-12-31", "to"), ("20251001", "x", "to"),
    ],
)  # fmt: skip
def test_periods_that_are_none(since: str | None, until: str | None, field: str) -> None:
    with pytest.raises(Invalid) as refusal:
        period(since, until, UTC, NOW)
    assert set(refusal.value.errors) == {field}


@pytest.mark.parametrize(
    ("interval", "since", "until", "where", "hours"),
    [
        (Interval.DAY, "2025-10-25", "2025-10-27", BERLIN, [24, 25, 24]),
        (Interval.HOUR, "2025-10-26T02:30:00+02:00", "2025-10-26T03:00:00+01:00", BERLIN, [0.5, 1]),
        (Interval.WEEK, "2025-10-01", "2025-10-14", UTC, [5 * 24, 7 * 24, 2 * 24]),
        (Interval.MONTH, "2025-01-31", "2025-03-01", UTC, [24, 28 * 24, 24]),
        (Interval.DAY, "2025-10-01T12:00:00Z", "2025-10-03T00:00:00Z", UTC, [12, 24]),
        (Interval.DAY, "2025-10-01T12:00:00Z", "2025-10-01T12:00:00Z", UTC, [0]),
    ],
)
def test_buckets(interval: Interval, since: str, until: str, where: tzinfo, hours: list[float]) -> None:
    span = period(since, until, where, NOW)
    found = buckets(span, interval, where)
    assert [round((piece.until - piece.since).total_seconds() / 3600, 3) for piece in found] == hours
    assert (found[0].since, found[-1].until, found[-1].last) == (span.since, span.until, span.last)
    assert all(a.until == b.since for a, b in pairwise(found))


def test_too_many_buckets_and_odd_zones() -> None:
    whole = period("2025-01-01", "2025-12-31", UTC, NOW)
    with pytest.raises(Invalid, match=str(MOST_BUCKETS)):
        buckets(whole, Interval.HOUR, UTC)
    assert len(buckets(whole, Interval.DAY, UTC)) == 365
    assert buckets(whole, None, UTC) == [whole]
    assert zone_of("Nowhere/Town") is UTC
    assert zone_of("Asia/Kolkata") == ZoneInfo("Asia/Kolkata")
