"""Heater tracking (wire-protocol.md §5.6), and what becomes of it in the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reference_server.app import open_database
from reference_server.services.alerts.findings import Away, Back, Doubled, Findings, Heater
from reference_server.services.alerts.heaters import HeaterNews, HeaterTracker
from reference_server.services.model import Print, Printer, User
from reference_server.services.notices import Notice, NoticeKind
from reference_server.store.database import Database

NOW = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)


def fed(tracker: HeaterTracker, *steps: tuple[float | None, float | None], name: str = "tool0") -> list[bool]:
    """Targets and actual temperatures, one after the other; `reached` of each time that it fired."""
    found: list[HeaterNews] = []
    for target, actual in steps:
        found += tracker.feed({name: {"target": target, "actual": actual}})
    return [news.reached for news in found]


def test_a_target_is_reached_once() -> None:
    assert fed(HeaterTracker(), (210, 20), (210, 209.7), (210, 209.76), (210, 210), (210, 205), (210, 210)) == [True]


def test_exactly_a_quarter_of_a_degree_is_not_there() -> None:
    assert fed(HeaterTracker(), (210, 209.75), (210, 210.25)) == []


def test_a_new_target_fires_anew_and_so_does_the_old_one_after_it() -> None:
    assert fed(HeaterTracker(), (210, 210), (215, 215), (210, 210)) == [True, True, True]


def test_cooled_down_at_35_and_not_before() -> None:
    assert fed(HeaterTracker(), (0, 200), (0, 35.1), (0, 35), (0, 30), (0, 36), (0, 35)) == [False]


def test_a_target_of_35_asks_for_no_heat() -> None:
    assert fed(HeaterTracker(), (35, 35)) == [False]
    assert fed(HeaterTracker(), (35.5, 35.4)) == [True]


def test_no_target_ends_the_tracking() -> None:
    assert fed(HeaterTracker(), (210, 210), (None, 210), (210, 210)) == [True, True]


def test_what_is_missing_or_nonsense_changes_nothing() -> None:
    tracker = HeaterTracker()
    assert fed(tracker, (210, 210)) == [True]
    odd: Any
    for odd in (None, [], {"t": None}, {"tool0": {"target": 215}}, {"tool0": {"actual": 1}},
                {"tool0": {"target": "215", "actual": 215}}, {"tool0": {"target": True, "actual": 1}},
                {"tool0": {"target": float("nan"), "actual": 1}},
                {"tool0": {"target": 210, "actual": None}}):  # fmt: skip
        assert tracker.feed(odd) == []
    assert fed(tracker, (210, 210)) == []


def test_heaters_are_counted_each_for_itself_and_are_bounded() -> None:
    tracker = HeaterTracker()
    many = {f"heater{number}": {"target": 60, "actual": 60} for number in range(100)}
    assert len(tracker.feed(many)) == 32
    assert tracker.feed(many) == []


def test_the_first_look_is_told_as_such() -> None:
    tracker = HeaterTracker()
    (cold,) = tracker.feed({"bed": {"target": 0, "actual": 21}})
    (hot,) = tracker.feed({"bed": {"target": 60, "actual": 60}})
    assert (cold.first_look, hot.first_look) == (True, False)


degrees = st.one_of(st.none(), st.sampled_from([0.0, 35.0, 60.0, 210.0]), st.floats(-50, 500))


@given(st.lists(st.tuples(degrees, degrees), max_size=40))
def test_it_follows_the_rule_whatever_comes(steps: list[tuple[float | None, float | None]]) -> None:
    """Against the rule written down a second time: a heater's state is its target and whether that was told."""
    tracker, state = HeaterTracker(), None
    for target, actual in steps:
        expected: list[bool] = []
        if target is None:
            state = None
        else:
            told = state is not None and state[0] == target and state[1]
            if not told and actual is not None:
                if target > 35 and abs(target - actual) < 0.25:
                    expected, told = [True], True
                elif target <= 35 and actual <= 35:
                    expected, told = [False], True
            state = (target, told)
        assert [n.reached for n in tracker.feed({"t": {"target": target, "actual": actual}})] == expected


# --- in the database ---


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = open_database(tmp_path / "server.sqlite3")
    yield found
    found.close()


class Desk:
    """One printer in mid-print, and a clock that a test turns."""

    def __init__(self, database: Database) -> None:
        self.database, self.now = database, NOW
        self.findings = Findings(database, lambda: self.now)
        with database.write() as tx:
            user = tx.users.add(User(0, "ada", "", True, NOW), "hash")
            self.printer = tx.printers.add(Printer(0, user.id, "Prusa", "token", NOW))
        self.job: Print | None = self.new_print(1)

    def new_print(self, ext_id: int) -> Print:
        from dataclasses import replace

        with self.database.write() as tx:
            printer = self.printer
            self.job = tx.prints.add(Print(0, printer.user_id, printer.id, ext_id, "clip.gcode", self.now))
            self.printer = replace(printer, current_print_id=self.job.id)
            tx.printers.save(self.printer)
            return self.job

    def heater(self, reached: bool, *, target: float = 210.0, first_look: bool = False) -> Notice | None:
        actual = target if reached else 30.0
        return self.findings.write(
            Heater(self.printer.id, HeaterNews("tool0", target, actual, reached, first_look))
        )


def words(notice: Notice | None) -> tuple[NoticeKind, str] | None:
    return (notice.kind, notice.text) if notice is not None else None


def test_a_heater_that_is_hot_is_a_notice_with_its_first_target(database: Database) -> None:
    desk = Desk(database)
    first, second = desk.heater(True), desk.heater(True, target=215)
    assert words(first) == (NoticeKind.HEATER_REACHED, "Prusa: clip.gcode: tool0 has reached 210 °C")
    assert first is not None
    assert second is not None
    assert first.data == {"heater": "tool0", "target": 210.0, "actual": 210.0, "first_target": 210.0}
    assert (second.data["target"], second.data["first_target"]) == (215.0, 210.0)
    desk.new_print(2)
    third = desk.heater(True, target=230)
    assert third is not None
    assert third.data["first_target"] == 230.0


def test_what_was_told_before_a_restart_is_not_told_again(database: Database) -> None:
    desk = Desk(database)
    assert desk.heater(False, target=0, first_look=True) is None, "a cold printer is no news"
    assert desk.heater(True, first_look=True) is not None
    assert desk.heater(True, first_look=True) is None
    assert desk.heater(False, target=0, first_look=True) is not None, "it cooled down while nobody looked"
    assert desk.heater(False, target=0, first_look=True) is None
    assert desk.heater(True, first_look=True) is not None


def test_offline_and_back_are_told_once_each(database: Database) -> None:
    desk = Desk(database)
    away = Away(desk.printer.id, NOW - timedelta(seconds=130))
    assert desk.findings.write(Back(desk.printer.id)) is None, "nobody was told that it was away"
    text = "Prusa: clip.gcode: no connection to its agent for 2 minutes; it may well go on printing"
    assert words(desk.findings.write(away)) == (NoticeKind.PRINTER_OFFLINE, text)
    assert desk.findings.write(away) is None
    assert desk.findings.away_before() == ((desk.printer.id,), (desk.printer.id,))
    assert words(desk.findings.write(Back(desk.printer.id))) is not None
    assert desk.findings.write(Back(desk.printer.id)) is None
    assert desk.findings.write(away) is not None
    assert words(desk.findings.write(Doubled(desk.printer.id))) is not None


def test_away_without_a_print_is_nobodys_business(database: Database) -> None:
    from dataclasses import replace

    desk = Desk(database)
    with database.write() as tx:
        tx.printers.save(replace(desk.printer, current_print_id=None))
    assert desk.findings.write(Away(desk.printer.id, NOW)) is None
    missing: Any = 999
    assert desk.findings.write(Back(missing)) is None
