"""From a level to what is done about it (wire-protocol.md §5.4), as a pure function; each way out gives its reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from reference_server.services.detection import scoring
from reference_server.services.detection.model import Action
from reference_server.services.detection.scoring import Level, Scores
from reference_server.services.model import ActionOnFailure, Print

QUIET = timedelta(seconds=90)
"""After an alert, and before a pause after an acknowledgement."""

SHOTS_KEPT = 178
"""Candidates for feedback during a print."""

SHOTS_ASKED = 7
SHOTS_APART = timedelta(seconds=120)


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user wants: the printer's `action_on_failure`, and seconds of peace after a resume."""

    action: ActionOnFailure
    snooze: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`cause`: the reason as one word, by which two verdicts are told to be alike; `reason`: in plain words."""

    action: Action
    cause: str
    reason: str


_ORDERS = {ActionOnFailure.PAUSE: Action.PAUSE, ActionOnFailure.CANCEL: Action.CANCEL}
_DONE = {Action.PAUSE: "paused", Action.CANCEL: "cancelled"}


def decide(
    level: Level, job: Print, wish: Wish, acted_at: datetime | None, resumed_at: datetime | None, now: datetime
) -> Verdict:
    """`acted_at`: when this print was paused or cancelled by detection; `resumed_at`: its last resume."""
    if level is Level.NONE:
        return Verdict(Action.NONE, "fine", "nothing looks wrong")
    if job.alert_muted_at is not None:
        return Verdict(Action.NONE, "muted", "alerts are muted for this print")
    if resumed_at is not None and now - resumed_at < timedelta(seconds=wish.snooze):
        peace = f"resumed {_ago(now, resumed_at)} ago; no alerts for {wish.snooze:g} s after that"
        return Verdict(Action.NONE, "snoozed", peace)
    order = _ORDERS.get(wish.action)
    note = "the printer's action on failure is to alert only"
    if level is Level.ALERT:
        note = "below the level for more than an alert"
    elif order is not None and (acted_at or job.paused_at) is not None:
        note = "this print was paused or cancelled once already"
    elif order is not None:
        answered = job.alert_acknowledged_at
        if answered is not None and now - answered < QUIET:
            return Verdict(Action.NONE, "answered", f"an alert was acknowledged {_ago(now, answered)} ago")
        return Verdict(order, "wished", f"the printer's action on failure: the print is to be {_DONE[order]}")
    return suppressed(job, now) or Verdict(Action.ALERT, "alert", note)


def suppressed(job: Print, now: datetime) -> Verdict | None:
    """Why no alert is due just now, if that is so."""
    if job.alerted_at is None:
        return None
    since = _ago(now, job.alerted_at)
    if now - job.alerted_at < QUIET:
        return Verdict(Action.NONE, "alerted", f"alerted {since} ago")
    if job.alert_acknowledged_at is None or job.alerted_at > job.alert_acknowledged_at:
        return Verdict(Action.NONE, "unanswered", f"the alert of {since} ago was not acknowledged yet")
    return None


def rule_text(scores: Scores, sensitivity: float, level: Level) -> str:
    """The comparison that gave the level, with its numbers."""
    if scores.n < scoring.FEWEST_FRAMES:
        return f"only {scores.n} frames; {scoring.FEWEST_FRAMES} are needed"
    limit = scoring.threshold(scores)
    rise = scoring.excess(scores, sensitivity)
    sums = (
        f"quick mean {scores.ewm:.3f} less the printer's usual {scores.long:.3f}, times sensitivity {sensitivity:g}, "
        f"is {rise:.3f}"
    )
    pause = limit * scoring.PAUSE_FACTOR
    if level is Level.PAUSE:
        return f"{sums}: above the pause threshold {pause:.3f} (alert threshold {limit:.3f})"
    if level is Level.ALERT:
        return f"{sums}: above the alert threshold {limit:.3f}, not above the pause threshold {pause:.3f}"
    return f"{sums}: not above the alert threshold {limit:.3f}"


def _ago(now: datetime, then: datetime) -> str:
    return f"{max(0, round((now - then).total_seconds()))} s"


class Candidate(Protocol):
    @property
    def p(self) -> float: ...
    @property
    def at(self) -> datetime: ...


def chosen(candidates: Sequence[Candidate]) -> list[int]:
    """Indexes of those to ask about: the highest first, none within SHOTS_APART of another (§5.5)."""
    order = sorted(range(len(candidates)), key=lambda index: (-candidates[index].p, candidates[index].at))
    found: list[int] = []
    for index in order:
        at = candidates[index].at
        if len(found) < SHOTS_ASKED and all(abs(at - candidates[other].at) >= SHOTS_APART for other in found):
            found.append(index)
    return found


def asks_for_feedback(job: Print, on_finish: int, on_cancel: int) -> bool:
    """Whether the ended print was long enough to be asked about; limits in seconds, -1 = never (§5.5)."""
    least = on_cancel if job.cancelled_at is not None else on_finish
    ended = job.ended_at
    return ended is not None and least >= 0 and (ended - job.started_at).total_seconds() >= least
