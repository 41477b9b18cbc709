"""When pictures are due (wire-protocol.md §3.6)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.features import cadence
from agent_core.features.cadence import Health, Shot, Turns, Wants

WELL = Health()


@pytest.mark.parametrize(
    ("wants", "seconds"),
    [
        (Wants(), None),
        (Wants(viewing=True, should_watch=True), None),
        (Wants(printing=True), 120.0),
        (Wants(printing=True, viewing=True), 10.0),
        (Wants(printing=True, should_watch=True), 10.0),
    ],
)
def test_interval(wants: Wants, seconds: float | None) -> None:
    assert cadence.interval(wants) == seconds


def test_first_picture_at_once_then_by_the_interval() -> None:
    printing = Wants(printing=True)
    assert cadence.due(Turns(), printing, WELL, 5.0) == 5.0
    turns, shots = cadence.turn(Turns(), (0,), 5.0)
    assert shots == (Shot(0, boosted=False),)
    assert cadence.due(turns, printing, WELL, 6.0) == 125.0
    # Somebody comes to watch: what is over-due is due now.
    assert cadence.due(turns, Wants(printing=True, viewing=True), WELL, 6.0) == 15.0
    assert cadence.due(turns, Wants(printing=True, viewing=True), WELL, 60.0) == 60.0


def test_none_when_idle_but_a_viewer_gets_one() -> None:
    idle = Wants(viewing=True)
    assert cadence.due(Turns(), idle, WELL, 5.0) is None
    turns = cadence.boosted(Turns(), 5.0)
    assert cadence.due(turns, idle, WELL, 5.5) == 5.5
    turns, shots = cadence.turn(turns, (1, 0), 5.5)
    assert shots == (Shot(1, boosted=True), Shot(0, boosted=True))
    assert cadence.due(turns, idle, WELL, 6.0) is None


def test_boosts_close_together_are_one() -> None:
    turns, _ = cadence.turn(cadence.boosted(Turns(), 5.0), (0,), 5.0)
    assert not cadence.boosted(turns, 7.9).boost
    assert cadence.boosted(turns, 8.0).boost


def test_a_boost_does_not_put_off_the_picture_for_detection() -> None:
    watched = Wants(printing=True, should_watch=True)
    turns, _ = cadence.turn(Turns(), (0,), 0.0)
    turns, shots = cadence.turn(cadence.boosted(turns, 9.0), (0,), 9.0)
    assert shots[0].boosted
    assert cadence.due(turns, watched, WELL, 9.5) == 10.0


def test_other_cameras_come_along_every_fourth_turn_in_turn() -> None:
    turns, taken = Turns(), []
    for number in range(12):
        turns, shots = cadence.turn(turns, (2, 0, 1), number * 10.0)
        taken.append([shot.camera for shot in shots])
    assert taken == [[2], [2], [2], [2, 0], [2], [2], [2], [2, 1], [2], [2], [2], [2, 0]]


def test_a_resting_server_is_left_alone() -> None:
    resting = cadence.server_failed(WELL, 100.0, 30.0)
    assert cadence.due(Turns(), Wants(printing=True), resting, 101.0) == 130.0
    assert cadence.due(cadence.boosted(Turns(), 101.0), Wants(), resting, 101.0) == 130.0


def test_rests_of_the_server_double_up_to_the_longest() -> None:
    health, rests = WELL, []
    for _ in range(40):
        health = cadence.server_failed(health, 0.0, None)
        rests.append(health.not_before)
    assert rests[:5] == [10.0, 20.0, 40.0, 80.0, 120.0]
    assert max(rests) == 120.0


def test_a_camera_rests_after_its_third_failure() -> None:
    health = WELL
    rests = []
    for _ in range(4):
        health = cadence.camera_failed(health, 50.0)
        rests.append(health.not_before)
    assert rests == [0.0, 0.0, 80.0, 80.0]


@given(st.lists(st.tuples(st.floats(0.01, 30), st.booleans(), st.booleans(), st.booleans()), max_size=60))
def test_never_more_often_than_allowed(steps: list[tuple[float, bool, bool, bool]]) -> None:
    now, turns = 0.0, Turns()
    regular: list[float] = []
    boosts: list[float] = []
    for seconds, printing, viewing, boost in steps:
        now += seconds
        if boost:
            turns = cadence.boosted(turns, now)
        begin = cadence.due(turns, Wants(printing, viewing), WELL, now)
        if begin is not None and begin <= now:
            turns, shots = cadence.turn(turns, (0,), now)
            (boosts if shots[0].boosted else regular).append(now)
    assert all(later - earlier >= 10.0 for earlier, later in pairwise(regular))
    assert all(later - earlier >= cadence.BOOST_GAP - 1e-6 for earlier, later in pairwise(boosts))
