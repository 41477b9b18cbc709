"""A camera that is black, frozen, blocked or moved is told once a print; everything a printer does is not."""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from agent_core.features.vision_watch import HEIGHT, WIDTH, Eye, PictureJudge, PictureWatch, Trouble, miniature
from agent_core.model import AlertRaised
from tests.fakes.clock import FakeClock

Frame = Callable[[int], Any]


def room(seed: int = 3) -> Any:
    """A workshop: things of all sizes that stand still, as grey levels."""
    random = np.random.default_rng(seed)
    picture: Any = np.full((HEIGHT * 2, WIDTH * 2), 110, np.uint8)
    for _ in range(220):
        x, y = int(random.integers(WIDTH * 2)), int(random.integers(HEIGHT * 2))
        size, shade = int(random.integers(5, 45)), int(random.integers(20, 230))
        cv2.rectangle(picture, (x, y), (x + size, y + size // 2), shade, -1)
    return picture


ROOM = room()
NOISE: Any = np.random.default_rng(1).normal(0, 4, ROOM.shape).astype(np.int16)
GRAIN = itertools.count()


def noisy(picture: Any) -> Any:
    """No two pictures of a camera are alike."""
    grain = np.roll(NOISE, (next(GRAIN) * 7) % 239, 0)
    return np.clip(picture.astype(np.int16) + grain, 0, 255).astype(np.uint8)


def printing(number: int) -> Any:
    """The bed fills a third of the picture and moves to and fro, the head goes about."""
    picture = ROOM.copy()
    bed = 20 * (number % 7)
    picture[150:230, 30 + bed : 180 + bed] = np.arange(80, dtype=np.uint8)[:, None] + (np.arange(150) % 20 > 10) * 60
    head = (49 * number) % 250
    picture[90:130, head : head + 45] = 30
    return noisy(picture)


def shifted(number: int) -> Any:
    return np.roll(printing(number), (19, 31), (0, 1))


def covered(number: int) -> Any:
    picture = printing(number)
    picture[:] = 150
    return noisy(picture)


def dimmed(number: int) -> Any:
    """The light goes down; everything is still to be seen."""
    return (printing(number) * 0.45).astype(np.uint8)


def told(*frames: Frame, each: int = 16) -> list[tuple[int, Trouble]]:
    """One look in ten seconds: `each` pictures of the first, then of the next, …"""
    judge, eye, found = PictureJudge(np), Eye(), []
    for number in range(each * len(frames)):
        small = cv2.resize(frames[number // each](number), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
        found += [(number, trouble) for trouble in judge.look(eye, small.astype(np.float32), number * 10.0)]
    return found


@pytest.mark.parametrize(
    ("after", "trouble"),
    [
        (lambda number: noisy(np.zeros_like(ROOM)), Trouble.BLACK),
        (lambda _number: ROOM, Trouble.FROZEN),
        (covered, Trouble.BLOCKED),
        (shifted, Trouble.MOVED),
    ],
)
def test_each_trouble_is_told_once_and_not_at_once(after: Frame, trouble: Trouble) -> None:
    (only,) = told(printing, after, after)
    assert only[1] is trouble
    assert 19 <= only[0] <= 29  # pictures, ten seconds each, since the 16th


def test_what_a_print_looks_like_is_no_trouble() -> None:
    assert told(printing, printing, dimmed, printing, each=20) == []


def test_a_hand_in_the_picture_is_none() -> None:
    assert told(lambda number: covered(number) if number in {14, 15} else printing(number), printing) == []


def test_a_camera_that_sees_nothing_that_stands_still_is_left_alone() -> None:
    def bed_only(number: int) -> Any:
        return noisy(np.roll(ROOM, (15 * number, 27 * number), (0, 1)))

    assert told(bed_only, bed_only) == []


def test_light_that_went_out_is_black_even_at_the_first_picture() -> None:
    (only,) = told(lambda number: noisy(np.zeros_like(ROOM)))
    assert only == (3, Trouble.BLACK)


@pytest.mark.parametrize("size", [(160, 120), (640, 480), (1920, 1080)])
def test_the_miniature(size: tuple[int, int]) -> None:
    coded = cv2.imencode(".jpg", cv2.resize(ROOM, size))[1].tobytes()
    small = miniature(cv2, np, coded)
    assert small.shape == (HEIGHT, WIDTH)
    assert abs(float(small.mean()) - float(ROOM.mean())) < 5


# --- at work ----------------------------------------------------------------------------------------------------------


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.told: list[AlertRaised] = []
        self.watch = PictureWatch(self.clock, self.told.append)

    def offer(self, picture: Any, seconds: float = 10.0) -> None:
        self.clock.advance(seconds)
        self.watch.offer("Bed", cv2.imencode(".jpg", picture)[1].tobytes())
        for worker in self.watch.workers:
            assert worker.join(10)


def test_it_becomes_an_event() -> None:
    bench = Bench()
    bench.watch.begin()
    for number in range(13):
        bench.offer(printing(number))
    for _ in range(6):
        bench.offer(np.zeros_like(ROOM))
    (alert,) = bench.told
    assert (alert.title, alert.event_class) == ("Camera Is Black", "WARNING")
    assert alert.text.startswith("The camera Bed shows nothing but black")
    bench.watch.begin()  # another print: told again
    for _ in range(6):
        bench.offer(np.zeros_like(ROOM))
    assert len(bench.told) == 2
    assert not [thread for thread in threading.enumerate() if thread.name == "obico-watch"]


def test_looks_are_ten_seconds_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    looks: list[float] = []

    def look(_judge: PictureJudge, _eye: Eye, _small: object, now: float) -> list[Trouble]:
        looks.append(now)
        return []

    monkeypatch.setattr(PictureJudge, "look", look)
    for _ in range(50):
        bench.offer(ROOM, 1.0)
    assert len(looks) in {5, 6}


def test_without_the_extra_it_is_said_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    monkeypatch.setitem(sys.modules, "cv2", None)
    for _ in range(3):
        bench.clock.advance(10)
        bench.watch.offer("Bed", b"")
        for worker in bench.watch.workers:
            assert worker.join(10)
    assert caplog.text.count("the extra `vision` is not installed") == 1
