"""Where copies are counted, what their counters make of the job, and which names are one file's: pure rules."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from reference_server.services.fleet.jobs.follower import _plain
from reference_server.services.fleet.jobs.ledger import place, settled
from reference_server.services.fleet.jobs.model import Attempt, AttemptState, Job, JobState, Priority
from reference_server.services.fleet.jobs.slots import queued
from reference_server.services.fleet.jobs.views import progress_of

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)


def job(**counts: Any) -> Job:
    made = Job(1, "job_x", 1, "x", Priority.NORMAL, JobState.PRINTING, 1, 4, NOW, NOW)
    return replace(made, **counts)


@pytest.mark.parametrize(
    ("counts", "state"),
    [
        ({"waiting": 4, "state": JobState.QUEUED}, JobState.QUEUED),
        ({"waiting": 1, "completed": 3}, JobState.PRINTING),
        ({"active": 1, "failed": 3}, JobState.PRINTING),
        ({"completed": 4}, JobState.COMPLETED),
        ({"completed": 3, "failed": 1}, JobState.FAILED),
        ({"completed": 3, "cancelled": 1}, JobState.CANCELLED),
        ({"failed": 3, "cancelled": 1}, JobState.FAILED),
        ({"failed": 3, "cancelled": 1, "cancel_requested_at": NOW}, JobState.CANCELLED),
        ({"completed": 4, "cancel_requested_at": NOW}, JobState.COMPLETED),  # the print was over before the wish
        ({"waiting": 4, "state": JobState.FAILED, "completed_at": NOW}, JobState.QUEUED),  # tried again
    ],
)
def test_the_state_that_the_counters_say(counts: dict[str, Any], state: JobState) -> None:
    later = NOW + timedelta(hours=1)
    found = settled(job(**counts), later)
    assert found.state is state
    assert (found.completed_at is not None) is state.over


def test_a_job_that_is_over_keeps_the_time_of_its_end() -> None:
    over = job(completed=4, state=JobState.COMPLETED, completed_at=NOW)
    assert settled(over, NOW + timedelta(hours=1)).completed_at == NOW


def test_each_attempt_has_one_place() -> None:
    for state in AttemptState:
        attempt = Attempt(1, "att_x", 1, 1, 1, 1, 1, state, NOW, NOW)
        assert hasattr(job(), place(attempt)) or state is AttemptState.RETURNED
        assert place(replace(attempt, requeued=True)) == "waiting"
        assert (place(attempt) == "active") is state.open


@pytest.mark.parametrize(
    ("name", "plain"),
    [("clip.gcode", "clip"), ("ObicoUpload/My Clip (2).GCODE", "my_clip_2"), ("My_Clip__2_.g", "my_clip_2"),
     ("a.b.gco", "a_b"), ("clip", "clip")],
)  # fmt: skip
def test_names_of_one_file_on_any_host(name: str, plain: str) -> None:
    assert _plain(name) == plain


def test_progress_and_what_the_planner_sees() -> None:
    assert progress_of(job(completed=1), 50.0) == 37
    wish = queued(job(waiting=2, printer_tags=("a",), material="PLA", estimated_grams=4.5, wanted_printer_id=7))
    assert (wish.waiting, wish.priority, wish.printer_id, wish.tags) == (2, 2, 7, frozenset({"a"}))
    assert (wish.material, wish.grams) == ("PLA", 4.5)
