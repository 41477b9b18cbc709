"""From level to action (§5.4): suppression, acknowledgement, one pause; which shots are asked about (§5.5)."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from reference_server.services.detection import rules, scoring
from reference_server.services.detection.model import Action, Shot
from reference_server.services.detection.rules import Wish
from reference_server.services.detection.scoring import Level, Scores
from reference_server.services.model import ActionOnFailure, Print

NOW = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
PAUSE, NONE, CANCEL = ActionOnFailure.PAUSE, ActionOnFailure.NONE, ActionOnFailure.CANCEL


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def job(**changes: Any) -> Print:
    return Print(1, 1, 1, 7, "a.gcode", ago(7200), **changes)


CASES: list[tuple[str, Level, Print, ActionOnFailure, dict[str, Any], Action, str]] = [
    ("nothing wrong", Level.NONE, job(), PAUSE, {}, Action.NONE, "fine"),
    ("first alert", Level.ALERT, job(), PAUSE, {}, Action.ALERT, "alert"),
    ("alerted just now", Level.ALERT, job(alerted_at=ago(89)), PAUSE, {}, Action.NONE, "alerted"),
    ("not answered", Level.ALERT, job(alerted_at=ago(600)), PAUSE, {}, Action.NONE, "unanswered"),
    (
        "answered, and again", Level.ALERT, job(alerted_at=ago(600), alert_acknowledged_at=ago(300)), PAUSE, {},
        Action.ALERT, "alert",
    ),
    ("pause", Level.PAUSE, job(), PAUSE, {}, Action.PAUSE, "wished"),
    ("pause in spite of an open alert", Level.PAUSE, job(alerted_at=ago(10)), PAUSE, {}, Action.PAUSE, "wished"),
    ("cancel", Level.PAUSE, job(), CANCEL, {}, Action.CANCEL, "wished"),
    ("alert only", Level.PAUSE, job(), NONE, {}, Action.ALERT, "alert"),
    (
        "answered just now", Level.PAUSE, job(alerted_at=ago(100), alert_acknowledged_at=ago(89)), PAUSE, {},
        Action.NONE, "answered",
    ),
    ("once only", Level.PAUSE, job(paused_at=ago(500)), PAUSE, {}, Action.ALERT, "alert"),
    ("once only, cancelled", Level.PAUSE, job(), CANCEL, {"acted_at": ago(500)}, Action.ALERT, "alert"),
    (
        "once only, and alerted just now", Level.PAUSE, job(paused_at=ago(50), alerted_at=ago(50)), PAUSE, {},
        Action.NONE, "alerted",
    ),
    ("muted", Level.PAUSE, job(alert_muted_at=ago(1)), PAUSE, {}, Action.NONE, "muted"),
    ("snoozed", Level.PAUSE, job(), PAUSE, {"resumed_at": ago(59), "snooze": 60}, Action.NONE, "snoozed"),
    ("snoozed long enough", Level.PAUSE, job(), PAUSE, {"resumed_at": ago(60), "snooze": 60}, Action.PAUSE, "wished"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("level", "of", "action", "more", "wanted", "cause"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_is_done(
    level: Level, of: Print, action: ActionOnFailure, more: dict[str, Any], wanted: Action, cause: str
) -> None:
    wish = Wish(action, more.get("snooze", 0))
    verdict = rules.decide(level, of, wish, more.get("acted_at"), more.get("resumed_at"), NOW)
    assert (verdict.action, verdict.cause) == (wanted, cause)
    assert verdict.reason


def test_the_rule_is_told_with_its_numbers() -> None:
    scores = Scores(n=40, lifetime=9000, p=2.0, ewm=1.2, short=0.3, long=0.2)
    assert rules.rule_text(scores, 1.1, scoring.level(scores, 1.1)) == (
        "quick mean 1.200 less the printer's usual 0.200, times sensitivity 1.1, is 1.100: above the pause threshold "
        "0.665 (alert threshold 0.380)"
    )
    assert "only 29 frames; 30 are needed" in rules.rule_text(Scores(n=29, ewm=3), 1, Level.NONE)


def shot(p: float, seconds: float) -> Shot:
    return Shot(0, 1, "x.jpg", p, NOW + timedelta(seconds=seconds))


def test_the_highest_are_chosen_two_minutes_apart() -> None:
    candidates = [shot(0.5, 0), shot(0.9, 100), shot(0.8, 219), shot(0.7, 220), shot(0.6, 1000)]
    assert rules.chosen(candidates) == [1, 3, 4]
    many = [shot(1 - n / 100, n * 120) for n in range(20)]
    assert rules.chosen(many) == list(range(7))


@pytest.mark.parametrize(
    ("changes", "asks"),
    [
        ({"finished_at": ago(0)}, True), ({"finished_at": ago(6700)}, False), ({"cancelled_at": ago(6700)}, True),
        ({"cancelled_at": ago(7000)}, False), ({}, False),
    ],
)  # fmt: skip
def test_only_prints_of_some_length_are_asked_about(changes: dict[str, Any], asks: bool) -> None:
    assert rules.asks_for_feedback(job(**changes), 600, 300) is asks
    assert not rules.asks_for_feedback(job(**changes), -1, -1)
