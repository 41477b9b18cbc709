"""Whether a camera still sees what it should: told when it is black, frozen, blocked or was moved during a print.

Off unless switched on, and then only where the extra `vision` is installed: OpenCV and numpy are imported with the
first picture that is looked at. One picture of a camera in ten seconds at most, each on a thread that ends with it, and
none while the machine is short of time. A picture is judged by 192 small blocks of a grey miniature; what moves in it
anyway (head, bed) is learnt first and does not count.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from types import ModuleType
from typing import Any

from agent_core.features.jpeg import inspect
from agent_core.model import AlertRaised
from agent_core.ports import Clock
from agent_core.runtime.crew import Crew
from agent_core.runtime.worker import Worker

_log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
CAMERAS_KEPT = 16

WIDTH, HEIGHT, BLOCK = 160, 120, 10
"""Pixels of the miniature and of a block's side."""

DARK_MEAN, DARK_PEAK = 14.0, 45.0
"""Grey levels (0-255): a picture below both shows nothing."""
TEXTURED = 6.0
"""Standard deviation from which a block shows something that can be recognised."""
LEARN_LOOKS = 12
"""Pictures of a print in which it is learnt what stands still."""
STILL_SHARE, LIKE = 0.8, 0.6
"""A block stands still that was like the first picture's (correlation) in so many of them."""
ANCHORS_LEAST = 8
"""With fewer blocks that stand still nothing is said of moving or blocking."""
UNLIKE, MOVED_SHARE = 0.35, 0.75
BLOCKED_SHARE = 0.25
"""Of the blocks that showed something, so many still do: fewer, and something is in front of the camera."""
LOOKS_LEAST, SECONDS_LEAST = 3, 25.0
"""A trouble counts when so many pictures in a row show it, for so long: a hand in the picture is none."""
FROZEN_LOOKS, FROZEN_SECONDS = 6, 110.0
"""The same picture again, to the last bit: no camera does that while something prints."""

MISSING = (
    'watch_cameras is on, but the extra `vision` is not installed: pip install "OctoPrint-Obico[vision]"; '
    "nobody looks at the cameras"
)


class Trouble(Enum):
    """Title of the event, and what is said."""

    BLACK = ("Camera Is Black", "shows nothing but black; is there light, is its cap on?")
    FROZEN = ("Camera Picture Is Frozen", "gives the same picture again and again; restart it")
    BLOCKED = ("Camera Is Blocked", "is blocked: something stands or hangs in front of it")
    MOVED = ("Camera Was Moved", "was moved or turned; nobody may see the print through it any more")


@dataclass(slots=True)
class Eye:
    """What is known of one camera during one print. `small` are miniatures: numpy arrays of float32."""

    looked_at: float = float("-inf")
    first: Any = None
    looks: int = 0
    likes: Any = None
    anchors: Any = None
    last: Any = None
    same: tuple[int, float] = (0, 0.0)
    showing: dict[Trouble, tuple[int, float]] = field(default_factory=dict)
    told: set[Trouble] = field(default_factory=set)


class PictureJudge:
    """The rules, on miniatures; `np` is numpy. Not for two threads at once."""

    def __init__(self, np: ModuleType) -> None:
        self.np = np

    def look(self, eye: Eye, small: Any, now: float) -> list[Trouble]:
        """The troubles that begin to count with this picture, each once a print."""
        seen = self._seen(eye, small, now)
        found = []
        for trouble in Trouble:
            if trouble not in seen:
                eye.showing.pop(trouble, None)
                continue
            looks, since = eye.showing.get(trouble, (0, now))
            eye.showing[trouble] = (looks + 1, since)
            lasting = looks + 1 >= LOOKS_LEAST and now - since >= SECONDS_LEAST
            if trouble not in eye.told and (lasting or trouble is Trouble.FROZEN):
                eye.told.add(trouble)
                found.append(trouble)
        return found

    def _seen(self, eye: Eye, small: Any, now: float) -> set[Trouble]:
        np = self.np
        repeated = eye.last is not None and bool(np.array_equal(eye.last, small))
        eye.last = small
        eye.same = (eye.same[0] + 1, eye.same[1]) if repeated else (0, now)
        if float(small.mean()) < DARK_MEAN and float(np.percentile(small, 99)) < DARK_PEAK:
            return {Trouble.BLACK}
        if repeated:
            frozen = eye.same[0] >= FROZEN_LOOKS and now - eye.same[1] >= FROZEN_SECONDS
            return {Trouble.FROZEN} if frozen else set()
        if eye.first is None:
            eye.first, eye.likes = small, np.zeros(_blocks(small).shape[0])
            return set()
        like, textured, shown = self._compared(eye.first, small)
        if eye.anchors is None:
            self._learn(eye, like, textured)
            return set()
        anchors = eye.anchors
        count = int(anchors.sum())
        if count < ANCHORS_LEAST:
            return set()
        if float((shown & anchors).sum()) < BLOCKED_SHARE * count:
            return {Trouble.BLOCKED}
        unlike = float(((like < UNLIKE) & anchors).sum()) / count
        if unlike > MOVED_SHARE:
            return {Trouble.MOVED}
        if unlike < 1 - STILL_SHARE:
            eye.first = eye.first * 0.9 + small * 0.1  # the sun moves on
        return set()

    def _learn(self, eye: Eye, like: Any, textured: Any) -> None:
        eye.looks += 1
        eye.likes = eye.likes + (like > LIKE)
        if eye.looks >= LEARN_LOOKS:
            eye.anchors = (eye.likes >= STILL_SHARE * eye.looks) & textured

    def _compared(self, before: Any, after: Any) -> tuple[Any, Any, Any]:
        """For each block: its correlation with the one before, whether that one and whether this one show something."""
        np = self.np
        old, new = _blocks(before), _blocks(after)
        old_spread, new_spread = old.std(axis=1), new.std(axis=1)
        product = ((old - old.mean(axis=1, keepdims=True)) * (new - new.mean(axis=1, keepdims=True))).mean(axis=1)
        like = product / np.maximum(old_spread * new_spread, 1.0)
        return like, old_spread > TEXTURED, new_spread > TEXTURED


def _blocks(small: Any) -> Any:
    """192 rows of 100 pixels."""
    rows, columns = HEIGHT // BLOCK, WIDTH // BLOCK
    return small.reshape(rows, BLOCK, columns, BLOCK).swapaxes(1, 2).reshape(rows * columns, BLOCK * BLOCK)


class PictureWatch:
    """`offer` is called by the snapshots worker with each picture; `tell` is called on a thread of its own and must
    return at once.
    """

    def __init__(self, clock: Clock, tell: Callable[[AlertRaised], None]) -> None:
        self._clock = clock
        self._tell = tell
        self._crew = Crew("watch")
        self._busy = threading.Lock()
        self._eyes: dict[str, Eye] = {}
        self._modules: tuple[ModuleType, PictureJudge] | None = None
        self._missing = False

    @property
    def workers(self) -> list[Worker]:
        return self._crew.workers

    def begin(self) -> None:
        """Another print (or the print goes on): what stands still is learnt anew."""
        self._eyes = {}

    def offer(self, name: str, picture: bytes) -> None:
        """Looks at it, unless the last look was just now or is not over."""
        now = self._clock.monotonic()
        eye = self._eyes.get(name)
        if self._missing or (eye is not None and now - eye.looked_at < LOOK_SECONDS * 0.9):
            return
        if eye is None:
            if len(self._eyes) >= CAMERAS_KEPT:
                return
            eye = self._eyes[name] = Eye()
        if not self._busy.acquire(blocking=False):
            return
        eye.looked_at = now
        known = eye

        def work() -> None:
            try:
                self._work(name, known, picture, now)
            finally:
                self._busy.release()

        self._crew.start(work)

    def _work(self, name: str, eye: Eye, picture: bytes, now: float) -> None:
        modules = self._load()
        if modules is None:
            return
        cv2, judge = modules
        small = miniature(cv2, judge.np, picture)
        if small is None:
            return
        for trouble in judge.look(eye, small, now):
            title, text = trouble.value
            called = f"The camera {name}" if name else "The camera"
            self._tell(AlertRaised(title, f"{called} {text}.", self._clock.now(), topic=f"watch {trouble.name} {name}"))

    def _load(self) -> tuple[ModuleType, PictureJudge] | None:
        if self._modules is None:
            try:
                import cv2
                import numpy as np
            except ImportError:
                self._missing = True
                _log.warning("%s", MISSING)
                return None
            cv2.setNumThreads(1)
            self._modules = (cv2, PictureJudge(np))
        return self._modules


def miniature(cv2: ModuleType, np: ModuleType, picture: bytes) -> Any:
    """The JPEG in grey, WIDTH by HEIGHT; None if OpenCV cannot read it."""
    size = inspect(picture)
    # The decoder itself leaves out what is not needed: a tenth of the time for a large picture.
    large = min(size.width // WIDTH, size.height // HEIGHT)
    reduced = {8: cv2.IMREAD_REDUCED_GRAYSCALE_8, 4: cv2.IMREAD_REDUCED_GRAYSCALE_4, 2: cv2.IMREAD_REDUCED_GRAYSCALE_2}
    flag = next((reduced[by] for by in (8, 4, 2) if large >= by), cv2.IMREAD_GRAYSCALE)
    image = cv2.imdecode(np.frombuffer(picture, dtype=np.uint8), flag)
    if image is None:
        return None
    return cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.float32)
