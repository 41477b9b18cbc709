"""What classical vision can say of a print without a model: camera faults, nothing printed, a part that moved, strands.

It compares a print with its own past. A picture is made small, put on top of the earlier ones (a camera
shakes), and its brightness fitted to theirs (a lamp is switched on). The median of the last pictures leaves out what
moves, the nozzle above all. What differs from the empty bed and has stayed as it is while the print went on is the
part. Then:

    camera      black, covered, or the same picture to the last pixel again and again
    nothing     the print goes on, and no part appears, or one that grew steadily grows no more
    moved       where the part was there is something else
    strands     fine clutter grows faster than the print did so far

It cannot judge a bed that moves in the picture (it says so and judges the camera only), nor a part that looks like the
bed. Its confidences are chosen for the rules of wire-protocol.md §5.4: camera faults and "nothing" come to an alert,
never to a pause; the other two may pause when they are plain.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

MOST_PRINTS = 24
"""Each costs about 6 MB."""

WIDTH = 192
"""Pixels of the small picture; its height follows from the picture's shape."""

RECENT = 9
"""Pictures whose median is looked at; strands and a part that moved show in the middle of the last SHORT of them."""

SHORT = 5
DIFFERENT = 16.0
"""Levels of grey (of 256) that make a pixel another one."""

BLACK_MEAN, BLACK_BRIGHTEST = 12.0, 40.0
FLAT = 5.0
"""Standard deviation of a picture that shows nothing, such as a hand or a cloth before the camera."""

FROZEN_AFTER = 5
"""Pictures that are the same to the last pixel; noise makes that impossible for a camera that lives."""

STEP = 1.0
"""Percent of the print from one remembered state to the next."""

LAG = 8.0
"""Percent of the print that lie between the two states that are compared."""

MOST_STATES = 40
FRAMES_PER_STEP = 4
"""Where the printer does not say how far it is: pictures that count as one percent."""

SMALLEST_PART, ANY_PART = 0.0025, 0.0012
"""Of the picture; a smaller part is not watched, and less than the other is no part."""

GROWTH, FEWEST_GROWTH = 7.0, 0.0008
"""Percent of the print, and by how much (of the picture) the part must have grown in them to be expected to go on."""

EMPTY_UNTIL = 1.0
"""Percent of the print until which the bed is believed to be empty."""

ELSEWHERE = 0.12
"""Of the rest of the picture; where more changed it was the light or the camera."""

NOTHING_FROM = 20.0
"""Percent of the print when a part must be there."""

UNSTEADY = 0.10
"""Of the picture that differs between the last pictures: the bed moves, or the camera does."""

BUSY = 0.3
"""Share of the pictures in which a pixel changes; more often, and it is a clock, a fan or the nozzle."""

PATIENCE = 4
"""Pictures in a row before something counts."""

RELEARN = 180
"""Pictures after which what seemed wrong is taken for the way it is."""

CAMERA_CONFIDENCE, NOTHING_CONFIDENCE, MOVED_CONFIDENCE = 0.55, 0.55, 0.9

Rows = list[list[Any]]


@dataclass(slots=True)
class State:
    """The print at `percent`: the median picture, and the part as it was then (a mask)."""

    percent: float
    picture: Any
    part: Any = None
    area: float = 0.0


@dataclass(slots=True)
class Suspicion:
    """Something seems wrong since some pictures; then nothing new is learned."""

    patience: int = PATIENCE
    count: int = 0

    def seen(self, wrong: bool) -> bool:
        """True once it has lasted."""
        self.count = min(self.count + 1, RELEARN + 1) if wrong else max(0, self.count - 2)
        return self.patience <= self.count <= RELEARN


@dataclass(slots=True)
class Watch:
    """What is known of one camera in one print."""

    frames: int = 0
    same: int = 0
    last: Any = None
    recent: deque[Any] = field(default_factory=lambda: deque(maxlen=RECENT))
    states: deque[State] = field(default_factory=lambda: deque(maxlen=MOST_STATES))
    bed: Any = None
    bed_empty: bool = False
    busy: Any = None
    stalled: float | None = None
    restless: float = 0.0
    clutter_usual: float = 0.0
    clutter_count: int = 0
    moved: Suspicion = field(default_factory=Suspicion)
    strands: Suspicion = field(default_factory=Suspicion)
    nothing: Suspicion = field(default_factory=lambda: Suspicion(3 * PATIENCE))

    def look(self, pixels: Any, masks: Sequence[Any], expected: Any) -> tuple[Rows, list[str]]:
        """Boxes (label, confidence, x, y, width, height in pixels) and findings of the next picture."""
        height, width = pixels.shape[:2]
        scale = width / WIDTH
        self.frames += 1
        small = _small(pixels)
        fault = self._camera_fault(_grey(small).astype(np.uint8))
        if fault:
            return [["camera", CAMERA_CONFIDENCE, width / 2, height / 2, width, height]], [fault]
        seen = _visible(small.shape[:2], masks)
        if seen.mean() < 0.05:
            return [], ["masks hide the whole picture: only the camera is judged"]
        fitted = self._fitted(small, seen)
        if self.recent:
            changed = (_apart(fitted, self.recent[-1]) > DIFFERENT / 2).astype(np.float32)
            self.busy = changed if self.busy is None else 0.95 * self.busy + 0.05 * changed
            seen = seen & (self.busy < BUSY)
        self.recent.append(_bytes(fitted))
        if len(self.recent) < RECENT:
            return [], []
        slow = np.median(np.stack(self.recent), axis=0)
        percent = self._percent(expected)
        if self.bed is None:
            self.bed, self.bed_empty = slow, percent <= EMPTY_UNTIL
        if self._unsteady(seen):
            return [], ["the view is not steady: only the camera is judged"]
        rows, findings = self._judge(slow, seen, percent)
        return [[label, sure, *(float(number * scale) for number in box)] for label, sure, *box in rows], findings

    # --- the camera -----------------------------------------------------------------------------------------------

    def _camera_fault(self, small: Any) -> str | None:
        unchanged = self.last is not None and self.last.shape == small.shape and bool((self.last == small).all())
        self.same = self.same + 1 if unchanged else 0
        if self.last is not None and self.last.shape != small.shape:
            self._forget()
        self.last = small
        if small.mean() < BLACK_MEAN and np.percentile(small, 99) < BLACK_BRIGHTEST:
            return "camera: the picture is black"
        if small.std() < FLAT:
            return "camera: the picture shows nothing; is it covered?"
        if self.same >= FROZEN_AFTER:
            return f"camera: the same picture {self.same + 1} times in a row"
        return None

    def _forget(self) -> None:
        self.recent.clear()
        self.states.clear()
        self.bed = self.busy = self.stalled = None
        self.clutter_usual, self.clutter_count = 0.0, 0

    def _fitted(self, small: Any, seen: Any) -> Any:
        """The picture moved and brightened to lie on the first ones."""
        if not self.recent:
            return small
        first = self.bed if self.bed is not None else self.recent[0]
        # One lamp more makes every pixel brighter by the same factor, but for the few that show something new.
        small = small * float(np.median((_grey(first)[seen] + 4) / (_grey(small)[seen] + 4)))
        (across, down), _ = cv2.phaseCorrelate(_edges(_grey(first)), _edges(_grey(small)), _window(seen.shape))
        if 0.2 < max(abs(across), abs(down)) < 0.05 * WIDTH:
            shift = np.array([[1, 0, -across], [0, 1, -down]], np.float32)
            moved = cv2.warpAffine(small, shift, small.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
            if _distance(moved, first, seen) < _distance(small, first, seen):
                return moved
        return small

    def _unsteady(self, seen: Any) -> bool:
        """A bed that moves makes pictures differ from each other for ever, most so at its edges."""
        stack = np.stack(list(self.recent)[-SHORT:])
        spread = np.abs(stack - np.median(stack, axis=0)).mean(axis=0).max(axis=2)
        share = float((spread[seen] > DIFFERENT / 2).mean())
        self.restless = 0.9 * self.restless + 0.1 * share if self.frames > RECENT + 1 else share
        return self.restless > UNSTEADY

    def _percent(self, expected: Any) -> float:
        completion = expected.get("completion") if isinstance(expected, dict) else None
        if isinstance(completion, int | float):
            return float(completion)
        layer, count = (expected.get(name) if isinstance(expected, dict) else None for name in ("layer", "layer_count"))
        if isinstance(layer, int) and isinstance(count, int) and count > 0:
            return 100.0 * layer / count
        return min(99.0, self.frames / FRAMES_PER_STEP)

    # --- the print ------------------------------------------------------------------------------------------------

    def _judge(self, slow: Any, seen: Any, percent: float) -> tuple[Rows, list[str]]:
        if self.states and percent < self.states[-1].percent - 5.0:
            self._forget()  # another print
            return [], []
        suspicious = self.moved.count >= PATIENCE or self.strands.count >= PATIENCE
        if not suspicious and (not self.states or percent >= self.states[-1].percent + STEP):
            self._remember(State(percent, _bytes(slow)), seen)
        then = self._state_before(percent)
        if then is None:
            return [], []
        quick = np.median(np.stack(list(self.recent)[-SHORT:]), axis=0)
        rows: Rows = []
        findings: list[str] = []
        for judged in (
            self._moved(slow, seen, percent),
            self._strands(quick, then, seen),
            self._nothing(slow, percent),
        ):
            if judged is not None:
                rows.append(judged[0])
                findings.append(judged[1])
        return rows, findings

    def _remember(self, state: State, seen: Any) -> None:
        then = self._state_before(state.percent)
        if then is not None and self.bed is not None:
            stayed = _apart(state.picture, then.picture) < 2 * DIFFERENT
            both = (_apart(state.picture, self.bed) > DIFFERENT) & (_apart(then.picture, self.bed) > DIFFERENT)
            state.part = _largest(_without_beams((stayed & both & seen).astype(np.uint8)))
            state.area = float(state.part.mean())
        self.states.append(state)

    def _state_before(self, percent: float, lag: float = LAG) -> State | None:
        """The newest that is so much older."""
        older = [state for state in self.states if state.percent <= percent - lag]
        return older[-1] if older else None

    def _moved(self, slow: Any, seen: Any, percent: float) -> tuple[list[Any], str] | None:
        """Where the part was for long there is something else now."""
        then = self._state_before(percent, LAG / 2)
        if then is None or then.part is None or then.area < SMALLEST_PART:
            self.moved.seen(wrong=False)
            return None
        core = cv2.erode(then.part, np.ones((3, 3), np.uint8)).astype(bool)
        if core.sum() < 12:
            core = then.part.astype(bool)
        changed = _apart(slow, then.picture) > DIFFERENT
        gone = float(changed[core].mean())
        around = cv2.dilate(then.part, np.ones((25, 25), np.uint8)).astype(bool)
        elsewhere = float(changed[seen & ~around].mean()) if (seen & ~around).any() else 0.0
        if not self.moved.seen(wrong=gone > 0.5 and elsewhere < ELSEWHERE):
            return None
        return ["moved", MOVED_CONFIDENCE, *_box_of(then.part)], _whither(slow, then.picture, then.part)

    def _strands(self, quick: Any, then: State, seen: Any) -> tuple[list[Any], str] | None:
        """Fine detail where there was none, beside the part."""
        if then.part is None or then.area < ANY_PART:
            self.strands.seen(wrong=False)
            return None
        fine = (_detail(quick) > 7.0) & (cv2.dilate(_detail(then.picture), np.ones((5, 5), np.uint8)) < 7.0) & seen
        clutter = _without_beams(fine.astype(np.uint8))
        clutter[:, _columns(then.part)] = 0
        share = float(clutter.mean())
        ready = self.clutter_count >= 6
        limit = 2.5 * self.clutter_usual + 0.002
        lasting = self.strands.seen(wrong=ready and share > limit)
        if self.strands.count == 0:
            self.clutter_count += 1
            self.clutter_usual += (share - self.clutter_usual) / min(self.clutter_count, 30)
        if not lasting:
            return None
        sure = float(np.clip(0.5 + 0.4 * (share - limit) / limit, 0.5, 0.95))
        return ["strands", sure, *_box_of(clutter)], "fine clutter grows beside the part: loose strands?"

    def _nothing(self, slow: Any, percent: float) -> tuple[list[Any], str] | None:
        """No part where one must be, or one that grew with each percent and grows no more."""
        newest = self.states[-1]
        if newest.part is None or not self.bed_empty or self.moved.count or self.strands.count:
            return None
        missing = percent >= NOTHING_FROM and newest.area < ANY_PART and self._fresh(slow) < 2 * SMALLEST_PART
        ended = self._growth_ended()
        if not self.nothing.seen(wrong=missing or ended):
            return None
        height, width = newest.picture.shape[:2]
        words = "the part grows no more" if ended else "no part to be seen"
        box = _box_of(newest.part) if ended else [width / 2, height / 2, width / 2, height / 2]
        return ["nothing", NOTHING_CONFIDENCE, *box], f"{words} at {percent:.0f} % of the print"

    def _fresh(self, slow: Any) -> float:
        """What differs from the empty bed, whether it stays or not: a bed that moves smears its part."""
        differs = (_apart(slow, self.bed) > DIFFERENT).astype(np.uint8)
        return float(_largest(_without_beams(differs)).mean())

    def _growth_ended(self) -> bool:
        """The part grew in each of two stretches of GROWTH percent and hardly in the one after them."""
        newest = self.states[-1]
        if self.stalled is not None:
            if newest.area < self.stalled:
                return True
            self.stalled = None
        points = [self._state_before(newest.percent, GROWTH * stretches) for stretches in (1, 2, 3)]
        if any(point is None or point.part is None for point in points):
            return False
        last, middle, first = (point.area for point in points if point is not None)
        before = min(middle - first, last - middle)
        if before > FEWEST_GROWTH and newest.area - last < 0.08 * before:
            self.stalled = last + 0.3 * before
            return True
        return False


class Watches:
    """A Watch a print and camera; the ones that were not asked for longest are forgotten."""

    def __init__(self) -> None:
        self._watches: OrderedDict[tuple[Any, ...], Watch] = OrderedDict()

    def look(self, key: tuple[Any, ...], pixels: Any, masks: Sequence[Any], expected: Any) -> tuple[Rows, list[str]]:
        watch = self._watches.pop(key, None) or Watch()
        self._watches[key] = watch
        while len(self._watches) > MOST_PRINTS:
            self._watches.popitem(last=False)
        return watch.look(pixels, masks, expected)


# --- pixels -----------------------------------------------------------------------------------------------------------


def _small(pixels: Any) -> Any:
    height, width = pixels.shape[:2]
    size = (WIDTH, max(16, round(height * WIDTH / width)))
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.float32)


def _grey(picture: Any) -> Any:
    return cv2.cvtColor(picture.astype(np.float32), cv2.COLOR_BGR2GRAY)


def _apart(one: Any, other: Any) -> Any:
    """How far each pixel's colours are apart, in levels of the channel that differs most."""
    return np.abs(one.astype(np.float32) - other.astype(np.float32)).max(axis=2)


def _bytes(picture: Any) -> Any:
    """A quarter of the memory."""
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


def _distance(one: Any, other: Any, seen: Any) -> float:
    """Between two pictures; what is new in one of them counts little."""
    return float(np.minimum(_apart(one, other)[seen], 2 * DIFFERENT).mean())


def _visible(shape: tuple[int, int], masks: Sequence[Any]) -> Any:
    """False where a mask (corners as fractions) lies."""
    hidden: Any = np.zeros(shape, np.uint8)
    for points in masks:
        corners = np.array([[x * shape[1], y * shape[0]] for x, y in points])
        cv2.fillPoly(hidden, [np.round(corners).astype(np.int32)], 1)
    return hidden == 0


def _edges(picture: Any) -> Any:
    smooth = cv2.GaussianBlur(picture, (3, 3), 0)
    return cv2.magnitude(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))


def _window(shape: tuple[int, int]) -> Any:
    return cv2.createHanningWindow(shape[::-1], cv2.CV_32F)


def _detail(picture: Any) -> Any:
    smooth = cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 0.8)
    return np.abs(smooth - cv2.blur(smooth, (7, 7))).max(axis=2)


def _without_beams(mask: Any) -> Any:
    """Without what is long and straight across: the beam that carries the nozzle."""
    beams = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((1, 3 * WIDTH // 4), np.uint8))
    return mask & ~cv2.dilate(beams, np.ones((3, 3), np.uint8))


def _box_of(mask: Any) -> list[float]:
    """Centre and size of what holds most of the mask."""
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return [mask.shape[1] / 2, mask.shape[0] / 2, float(mask.shape[1]), float(mask.shape[0])]
    top, bottom = np.percentile(rows, [3, 97])
    left, right = np.percentile(columns, [3, 97])
    return [(left + right + 1) / 2, (top + bottom + 1) / 2, right - left + 1, bottom - top + 1]


def _whither(now: Any, before: Any, part: Any) -> str:
    x, y, width, height = _box_of(part)
    left, top = int(max(0, x - width / 2)), int(max(0, y - height / 2))
    patch = before[top : top + int(height) + 1, left : left + int(width) + 1].astype(np.float32)
    if min(patch.shape[:2]) >= 6:
        found = cv2.matchTemplate(now.astype(np.float32), patch, cv2.TM_CCOEFF_NORMED)
        _, likeness, _, (new_left, new_top) = cv2.minMaxLoc(found)
        way = float(np.hypot(new_left - left, new_top - top)) / WIDTH * 100
        if likeness > 0.6 and way > 1.5:
            return f"the part has moved by {way:.0f} % of the picture's width"
    return "the part is no longer where it was"


def _largest(mask: Any) -> Any:
    """The largest piece of a mask, small gaps closed."""
    count, labels, statistics, _ = cv2.connectedComponentsWithStats(
        cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    )
    if count < 2:
        return mask
    return mask & (labels == 1 + int(np.argmax(statistics[1:, cv2.CC_STAT_AREA]))).astype(np.uint8)


def _columns(part: Any) -> slice:
    """Where the part is and may grow, across."""
    columns = np.nonzero(part)[1]
    left, right = np.percentile(columns, [1, 99])
    beside = 0.02 * WIDTH
    return slice(max(0, int(left - beside)), int(right + beside) + 1)
