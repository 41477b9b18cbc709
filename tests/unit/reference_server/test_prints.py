"""Print tracking, rule by rule (wire-protocol.md §5.1, extensions.md)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent_core.wire.messages import EventType, PrintEvent, StatusMessage
from reference_server.services.model import EndedReason, EventKind, Print
from reference_server.services.prints import Observation, Outcome, is_idle, track

TS = 1_800_000_000
START = datetime.fromtimestamp(TS, timezone.utc)
NOW = START + timedelta(seconds=100)


def job(**changes: Any) -> Print:
    return replace(Print(5, 1, 2, TS, "cube.gcode", START), **changes)


def seen(ts: int | None = TS, event: EventType | None = None, **more: Any) -> Observation:
    return Observation(ts, event, **{"filename": "cube.gcode", **more})


def run(
    current: Print | None, observed: Observation, known: Print | None = None, now: datetime = NOW, **more: Any
) -> Outcome:
    return track(1, 2, current, known, observed, now, **more)


def kinds(outcome: Outcome) -> list[EventKind]:
    return [event.kind for event in outcome.events]


def test_unknown_state_touches_nothing() -> None:
    assert run(job(), seen(None)) == Outcome((), job())


def test_not_printing_without_a_print_is_nothing() -> None:
    assert run(None, seen(-1)) == Outcome((), None)


def test_not_printing_closes_the_print_as_lost() -> None:
    outcome = run(job(), seen(-1))
    (closed,) = outcome.saved
    assert (closed.finished_at, closed.cancelled_at, closed.ended_reason) == (NOW, None, EndedReason.LOST)
    assert outcome.current is None
    assert kinds(outcome) == [EventKind.ENDED]


def test_a_new_ts_opens_a_print_that_started_then() -> None:
    outcome = run(None, seen(file_id=9))
    assert outcome.current is not None
    assert (outcome.current.ext_id, outcome.current.started_at, outcome.current.g_code_file_id) == (TS, START, 9)
    assert kinds(outcome) == [EventKind.STARTED]


@pytest.mark.parametrize("ts", [5, TS + 5000, 2**52])
def test_an_absurd_ts_starts_the_print_now(ts: int) -> None:
    outcome = run(None, seen(ts))
    assert outcome.current is not None
    assert outcome.current.started_at == NOW


def test_without_a_file_name_nothing_is_opened() -> None:
    assert run(None, seen(filename=None)).saved == ()


def test_another_ts_closes_and_opens() -> None:
    later = NOW + timedelta(seconds=500)
    outcome = run(job(), seen(TS + 200), now=later)
    old, new = outcome.saved
    assert (old.id, old.ended_reason) == (5, EndedReason.LOST)
    assert old.finished_at == new.started_at == START + timedelta(seconds=200)
    assert outcome.current == new
    assert kinds(outcome) == [EventKind.ENDED, EventKind.STARTED]


@pytest.mark.parametrize(("shift", "same"), [(20, True), (21, False), (-19, True), (-20, False)])
def test_nearly_the_same_ts_of_the_same_file_is_the_same_print(shift: int, same: bool) -> None:
    outcome = run(job(), seen(TS + shift))
    assert outcome.current is not None
    assert (outcome.current.id == 5) is same
    assert outcome.current.ext_id == TS + shift


def test_nearly_the_same_ts_of_another_file_is_another_print() -> None:
    outcome = run(job(), seen(TS + 5, filename="other.gcode"))
    assert outcome.current is not None
    assert outcome.current.filename == "other.gcode"


def test_a_missing_file_link_keeps_the_old_one() -> None:
    assert run(job(g_code_file_id=7), seen()).saved == ()
    changed = run(job(g_code_file_id=7), seen(file_id=8)).current
    assert changed is not None
    assert changed.g_code_file_id == 8


def test_done_closes_with_statistics() -> None:
    outcome = run(job(), seen(event=EventType.DONE, print_time=88.0, filament_used=12.5))
    (done,) = outcome.saved
    assert (done.finished_at, done.ended_reason, done.print_time, done.filament_used) == (
        NOW, EndedReason.DONE, 88.0, 12.5,
    )  # fmt: skip
    assert outcome.current is None


def test_statistics_fall_back_to_wall_time_and_the_files_need() -> None:
    (done,) = run(job(), seen(event=EventType.DONE, completion=50.0), filament_total=40.0).saved
    assert (done.print_time, done.filament_used) == (100.0, 20.0)


def test_the_first_statistics_win() -> None:
    first = run(job(), seen(event=EventType.CANCELLING, print_time=12.0)).current
    assert first is not None
    assert first.print_time == 12.0
    second = run(first, seen(event=EventType.CANCELLED)).current
    assert second is not None
    assert second.print_time == 12.0


def test_cancelled_stays_current_until_failed() -> None:
    cancelled = run(job(), seen(event=EventType.CANCELLED)).current
    assert cancelled is not None
    assert (cancelled.cancelled_at, cancelled.ended_reason) == (NOW, EndedReason.CANCELLED)
    outcome = run(cancelled, seen(event=EventType.FAILED), now=NOW + timedelta(seconds=1))
    assert outcome.current is None
    assert outcome.events[0].target.cancelled_at == NOW
    assert outcome.events[0].target.ended_reason is EndedReason.CANCELLED
    assert outcome.events[0].target.finished_at is None


def test_failed_alone_reads_as_cancelled_and_says_why() -> None:
    outcome = run(job(), seen(event=EventType.FAILED, error="Thermal runaway"))
    (failed,) = outcome.saved
    assert (failed.cancelled_at, failed.finished_at) == (NOW, None)
    assert (failed.ended_reason, failed.error_text) == (EndedReason.ERROR, "Thermal runaway")
    assert failed.print_time is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"reason": "OctoPrint was restarted during the print"}, "OctoPrint was restarted during the print"),
        ({"reason": "error"}, "what the printer says now"),
        ({"reason": "unknown"}, "what the printer says now"),  # OctoPrint 2.0
        ({"reason": "error", "error": "Thermal runaway"}, "Thermal runaway"),
        ({}, "what the printer says now"),
    ],
)
def test_what_the_event_says_goes_before_the_present_state(data: dict[str, str], text: str) -> None:
    status = {"_ts": 1.0, "state": {"text": "Offline", "flags": {}, "error": "what the printer says now"}}
    event = PrintEvent("PrintFailed", {"name": "cube.gcode", **data})
    (failed,) = run(job(), Observation.of(StatusMessage(TS, status, event))).saved
    assert (failed.ended_reason, failed.error_text) == (EndedReason.ERROR, text)


def test_failed_with_reason_cancelled_is_a_cancel() -> None:
    (failed,) = run(job(), seen(event=EventType.FAILED, reason="cancelled")).saved
    assert failed.ended_reason is EndedReason.CANCELLED


def test_event_time_counts_and_is_kept_within_the_print() -> None:
    at = START + timedelta(seconds=30)
    (done,) = run(job(), seen(event=EventType.DONE, event_at=at)).saved
    assert done.finished_at == at
    (early,) = run(job(), seen(event=EventType.DONE, event_at=START - timedelta(hours=1))).saved
    assert early.finished_at == START
    (future,) = run(job(), seen(event=EventType.DONE, event_at=NOW + timedelta(hours=1))).saved
    assert future.finished_at == NOW


def test_pause_and_resume_are_noted_without_changing_the_print() -> None:
    for event, kind in ((EventType.PAUSED, EventKind.PAUSED), (EventType.RESUMED, EventKind.RESUMED)):
        outcome = run(job(), seen(event=event))
        assert (outcome.saved, kinds(outcome)) == ((), [kind])


def test_a_terminal_event_of_an_unseen_print_opens_and_closes_it() -> None:
    outcome = run(None, seen(event=EventType.DONE))
    (done,) = outcome.saved
    assert (done.id, done.ended_reason) == (0, EndedReason.DONE)
    assert kinds(outcome) == [EventKind.STARTED, EventKind.ENDED]
    assert all(event.target == done for event in outcome.events)


def test_a_repeated_end_is_nothing() -> None:
    over = job(finished_at=NOW, ended_reason=EndedReason.DONE)
    for observed in (seen(), seen(event=EventType.DONE), seen(event=EventType.CANCELLED), seen(active=True)):
        assert run(None, observed, known=over, now=NOW + timedelta(hours=1)) == Outcome((), None)


def test_a_deleted_print_is_not_made_again() -> None:
    assert run(None, seen(), known=job(deleted_at=NOW)) == Outcome((), None)


@pytest.mark.parametrize(
    ("event", "reason", "cancelled"),
    [
        (EventType.DONE, EndedReason.DONE, False),
        (EventType.CANCELLED, EndedReason.CANCELLED, True),
        (EventType.FAILED, EndedReason.ERROR, True),
    ],
)
def test_a_late_end_puts_a_guess_right_and_leaves_the_newer_print_alone(
    event: EventType, reason: EndedReason, cancelled: bool
) -> None:
    guessed = job(finished_at=NOW, ended_reason=EndedReason.LOST)
    newer = job(id=6, ext_id=TS + 90)
    at = START + timedelta(seconds=40)
    outcome = run(newer, seen(event=event, event_id="a", event_at=at), known=guessed)
    assert outcome.current == newer
    assert outcome.corrected is not None
    assert outcome.corrected.ended_reason is reason
    assert (outcome.corrected.cancelled_at == at, outcome.corrected.finished_at == at) == (cancelled, not cancelled)
    assert outcome.events == ()


def test_a_late_pause_is_noted_with_its_own_time() -> None:
    over = job(finished_at=NOW, ended_reason=EndedReason.DONE)
    at = START + timedelta(seconds=10)
    outcome = run(None, seen(event=EventType.PAUSED, event_id="a", event_at=at), known=over)
    assert outcome.saved == ()
    assert [(event.kind, event.at) for event in outcome.events] == [(EventKind.PAUSED, at)]


def test_a_late_end_of_a_print_nobody_knew() -> None:
    newer = job(id=6, ext_id=TS + 90, started_at=START + timedelta(seconds=90))
    at = START + timedelta(seconds=60)
    outcome = run(newer, seen(event=EventType.CANCELLED, event_id="a", event_at=at, filename="old.gcode"))
    (old,) = outcome.saved
    assert (old.ext_id, old.cancelled_at, old.ended_reason) == (TS, at, EndedReason.CANCELLED)
    assert kinds(outcome) == [EventKind.STARTED, EventKind.ENDED]
    assert outcome.events[1].at == at
    assert outcome.current == newer
    assert outcome.corrected is None


def test_a_late_start_of_a_print_nobody_knew_is_over_when_the_next_began() -> None:
    newer = job(id=6, ext_id=TS + 90, started_at=START + timedelta(seconds=90))
    (old,) = run(newer, seen(event=EventType.STARTED, event_id="a")).saved
    assert (old.ended_reason, old.finished_at) == (EndedReason.LOST, newer.started_at)


def test_a_print_given_up_too_early_goes_on() -> None:
    lost = job(finished_at=NOW, ended_reason=EndedReason.LOST)
    assert run(None, seen(active=True), known=lost, now=NOW + timedelta(seconds=20)).current is None
    again = run(None, seen(active=True), known=lost, now=NOW + timedelta(seconds=40)).current
    assert again is not None
    assert (again.id, again.finished_at, again.ended_reason) == (5, None, None)
    assert run(None, seen(), known=lost, now=NOW + timedelta(seconds=40)).current is None


def test_an_open_print_that_lost_its_place_gets_it_back() -> None:
    outcome = run(None, seen(event=EventType.DONE), known=job())
    assert [(entry.id, entry.ended_reason) for entry in outcome.saved] == [(5, EndedReason.DONE)]


def test_the_started_event_moves_the_start_back_only() -> None:
    at = START - timedelta(seconds=3)
    moved = run(job(), seen(event=EventType.STARTED, event_at=at)).current
    assert moved is not None
    assert moved.started_at == at
    assert run(job(), seen(event=EventType.STARTED, event_at=NOW)).saved == ()


@pytest.mark.parametrize(
    ("current", "observed", "idle"),
    [
        (None, seen(None), True),
        (None, seen(-1), True),
        (None, seen(filename=None), True),
        (None, seen(), False),
        (job(), seen(-1), False),
        (job(), seen(), True),
        (job(), seen(file_id=4), False),
        (job(g_code_file_id=4), seen(file_id=4), True),
        (job(), seen(TS + 1), False),
        (job(), seen(event=EventType.PAUSED), False),
    ],
)
def test_idle_means_that_tracking_would_change_nothing(
    current: Print | None, observed: Observation, idle: bool
) -> None:
    assert is_idle(current, observed) is idle
    if idle:
        assert run(current, observed) == Outcome((), current)


def test_an_observation_reads_what_it_can() -> None:
    message = StatusMessage(
        TS,
        {
            "state": {"flags": {"paused": True}, "error": ""},
            "job": {"file": {"name": "a\0b.gcode", "obico_g_code_file_id": 3}},
            "progress": {"printTime": 5, "completion": 10.5, "filamentUsed": 2.0},
        },
        PrintEvent("PrintFailed", {"reason": "error", "error": "boom"}, id="e1", at=float(TS)),
    )
    found = Observation.of(message)
    assert found == Observation(
        TS, EventType.FAILED, "e1", START, "ab.gcode", 3, 5.0, 10.5, 2.0, True, "error", "boom",
    )  # fmt: skip


def test_an_observation_of_nonsense_says_nothing() -> None:
    event = PrintEvent("PrintDone", {"name": 5}, id="x" * 65, at=1e300)
    found = Observation.of(StatusMessage(-7, {"state": 3, "job": [], "progress": "no"}, event))
    assert (found.ts, found.event_id, found.event_at, found.filename, found.active) == (None, None, None, None, False)


def test_late_statistics_of_a_guess_are_kept() -> None:
    guessed = job(finished_at=NOW, ended_reason=EndedReason.LOST)
    outcome = run(None, seen(event=EventType.CANCELLING, event_id="a", print_time=33.0), known=guessed)
    (changed,) = outcome.saved
    assert (changed.print_time, changed.ended_reason, outcome.corrected) == (33.0, EndedReason.LOST, None)


def test_a_late_event_without_a_file_name_makes_no_print() -> None:
    newer = job(id=6, ext_id=TS + 90)
    assert run(newer, seen(event=EventType.DONE, event_id="a", filename=None)) == Outcome((), newer)


@given(
    current=st.sampled_from([
        None, job(), job(g_code_file_id=1), job(cancelled_at=START, ended_reason=EndedReason.CANCELLED),
    ]),
    known=st.sampled_from([
        None,
        job(id=8),
        job(id=8, deleted_at=NOW),
        job(id=8, finished_at=NOW, ended_reason=EndedReason.LOST),
        job(id=8, finished_at=START, ended_reason=EndedReason.LOST),
        job(id=8, finished_at=NOW, ended_reason=EndedReason.DONE),
        job(id=8, cancelled_at=NOW, ended_reason=EndedReason.ERROR),
    ]),
    observed=st.builds(
        Observation,
        st.none() | st.sampled_from([-1, 0, 1, TS - 500, TS - 10, TS, TS + 10, TS + 500, 2**53]),
        st.none() | st.sampled_from(EventType),
        st.none() | st.just("id"),
        st.none() | st.datetimes(timezones=st.just(timezone.utc)),
        st.none() | st.sampled_from(["cube.gcode", "other.gcode"]),
        st.none() | st.just(2),
        st.none() | st.floats(0, 1e6),
        st.none() | st.floats(0, 100),
        st.none() | st.floats(0, 1e6),
        st.booleans(),
        st.none() | st.just("cancelled"),
    ),
)
@settings(max_examples=500, deadline=None)
def test_whatever_comes_the_books_stay_right(
    current: Print | None, known: Print | None, observed: Observation
) -> None:
    if known is not None:
        known = replace(known, ext_id=observed.ts if observed.ts is not None else TS)
    outcome = run(current, observed, known)
    assert sum(entry.id == 0 for entry in outcome.saved) <= 1
    assert len({entry.id for entry in outcome.saved}) == len(outcome.saved)
    for entry in outcome.saved:
        assert entry.started_at <= NOW
        assert entry.ended_at is None or entry.started_at <= entry.ended_at <= NOW
        assert not (entry.finished_at and entry.cancelled_at)
        assert (entry.ended_at is None) == (entry.ended_reason is None)
    if outcome.current is not None:
        assert outcome.current.finished_at is None
    # Exactly the prints that are neither current nor over before have got their ENDED event.
    ended = [event.target.id for event in outcome.events if event.kind is EventKind.ENDED]
    assert len(ended) == len(set(ended))
    if current is not None and (outcome.current is None or outcome.current.id != current.id):
        assert current.id in ended
    for event in outcome.events:
        assert event.at <= NOW
        assert event.target.id != 0 or event.target in outcome.saved
