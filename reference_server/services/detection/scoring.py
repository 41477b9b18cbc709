"""Scores and levels of a print's pictures (wire-protocol.md §5.4), as pure functions.

A picture's `p` is the sum of its confidences. Three means follow it: a quick one (`ewm`), the print's own baseline
(`short`) and the printer's (`long`). What counts is how far the quick one has risen above the printer's usual noise,
and no picture counts before a print has shown FEWEST_FRAMES.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from reference_server.services.detection.port import Box, Mask

ALPHA = 2 / 13
SHORT_WINDOW, LONG_WINDOW = 310, 7200
"""Frames; at one each 10 s about 52 minutes and 20 hours."""

FEWEST_FRAMES = 30
LOW, HIGH = 0.38, 0.78
"""Below LOW nothing fails; above HIGH everything does."""

RISE = 3.8
"""Between LOW and HIGH: how many times the print's own rise above the printer's noise must be exceeded."""

PAUSE_FACTOR = 1.75

BOX_SHOWN = 0.2
"""Boxes with more confidence are drawn."""

SHOT_WANTED = 0.076
"""Pictures with a greater `p` may be shown to the user for feedback."""


class Level(str, Enum):
    NONE = "none"
    ALERT = "alert"
    PAUSE = "pause"


@dataclass(frozen=True, slots=True)
class Scores:
    """After a frame. `n`: frames of this print; `lifetime`: of the printer; `p`: of the last frame."""

    n: int = 0
    lifetime: int = 0
    p: float = 0.0
    ewm: float = 0.0
    short: float = 0.0
    long: float = 0.0


def of_boxes(boxes: Iterable[Box]) -> float:
    """`p` of one picture; it may exceed 1."""
    return sum(box.confidence for box in boxes)


def new_print(scores: Scores) -> Scores:
    """A print begins: what belongs to the printer stays."""
    return Scores(lifetime=scores.lifetime, long=scores.long)


def after(scores: Scores, p: float) -> Scores:
    """The scores after one more frame."""
    n, lifetime = scores.n + 1, scores.lifetime + 1
    return Scores(
        n=n,
        lifetime=lifetime,
        p=p,
        ewm=ALPHA * p + (1 - ALPHA) * scores.ewm,
        short=_mean(scores.short, p, n, SHORT_WINDOW),
        long=_mean(scores.long, p, lifetime, LONG_WINDOW),
    )


def _mean(mean: float, p: float, count: int, window: int) -> float:
    return mean + (p - mean) / (window if window <= count else count + 1)


def is_failing(scores: Scores, sensitivity: float, factor: float) -> bool:
    if scores.n < FEWEST_FRAMES:
        return False
    excess = (scores.ewm - scores.long) * sensitivity / factor
    if excess < LOW:
        return False
    if excess > HIGH:
        return True
    return excess > RISE * (scores.short - scores.long)


def level(scores: Scores, sensitivity: float) -> Level:
    if is_failing(scores, sensitivity, PAUSE_FACTOR):
        return Level.PAUSE
    return Level.ALERT if is_failing(scores, sensitivity, 1.0) else Level.NONE


def threshold(scores: Scores) -> float:
    """What the excess must pass for an alert; PAUSE_FACTOR times that for a pause."""
    return min(max(RISE * (scores.short - scores.long), LOW), HIGH)


def excess(scores: Scores, sensitivity: float) -> float:
    """How far the quick mean stands above the printer's usual noise, weighted with the sensitivity."""
    return (scores.ewm - scores.long) * sensitivity


def normalized(scores: Scores, sensitivity: float) -> float:
    """`normalized_p`, 0 to 1: a third each for nothing, alert and pause (before the first FEWEST_FRAMES, too)."""
    alert = threshold(scores)
    pause = PAUSE_FACTOR * alert
    q = excess(scores, sensitivity)
    if q > pause:
        return _scaled(q, pause, pause * 1.5, 2 / 3, 1.0)
    if q > alert:
        return _scaled(q, alert, pause, 1 / 3, 2 / 3)
    return _scaled(q, 0.0, alert, 0.0, 1 / 3)


def _scaled(value: float, low: float, high: float, out_low: float, out_high: float) -> float:
    found = out_low + (value - low) / (high - low) * (out_high - out_low)
    return min(max(found, out_low), out_high)


# --- masks -------------------------------------------------------------------------------------------------------


def unmasked(boxes: Iterable[Box], masks: Iterable[Mask], width: int, height: int) -> tuple[Box, ...]:
    """The boxes whose centre lies in no mask. Without a size nothing is left out."""
    masks = tuple(masks)
    if not masks or width <= 0 or height <= 0:
        return tuple(boxes)
    return tuple(box for box in boxes if not any(contains(mask, box.x / width, box.y / height) for mask in masks))


def contains(mask: Mask, x: float, y: float) -> bool:
    """Even-odd rule; x and y as fractions of the picture."""
    inside = False
    points = mask.points
    for (x1, y1), (x2, y2) in zip(points, (*points[1:], *points[:1]), strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
    return inside


