"""The built-in detector on drawn prints: quiet where all is well, and words for what is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np

from reference_server.detectors.child.heuristics import FROZEN_AFTER, MOST_PRINTS, Watch, Watches

HEIGHT, WIDTH = 240, 320
FRAMES = 100
Draw = Callable[[Any, int], None]


@dataclass
class Bench:
    """A print of FRAMES pictures: a block grows on a bed, a nozzle moves about above it."""

    watch: Watch = field(default_factory=Watch)
    dice: Any = field(default_factory=lambda: np.random.default_rng(3))

    def scene(self, number: int, left: int = 120, grown: int | None = None) -> Any:
        pixels: Any = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
        cv2.rectangle(pixels, (20, 190), (300, 230), (80, 75, 70), cv2.FILLED)
        height = (number if grown is None else grown) * 120 // FRAMES
        if height:
            cv2.rectangle(pixels, (left, 200 - height), (left + 60, 200), (40, 120, 220), cv2.FILLED)
        nozzle = 40 + (number * 67) % 220
        cv2.rectangle(pixels, (nozzle, 170 - number), (nozzle + 8, 196 - number), (90, 170, 200), cv2.FILLED)
        return pixels

    def show(self, pixels: Any, number: int) -> tuple[list[str], list[str]]:
        """Labels and findings."""
        noise: Any = self.dice.normal(0, 2, pixels.shape)
        noisy = np.clip(pixels + noise, 0, 255).astype(np.uint8)
        boxes, findings = self.watch.look(noisy, [], {"completion": 100 * max(0, number) / FRAMES})
        return [box[0] for box in boxes], findings

    def print_until(self, number: int) -> list[str]:
        """The labels seen, from the empty bed on."""
        seen = []
        for step in range(-12, number):
            seen += self.show(self.scene(max(0, step)), step)[0]
        return seen


def test_a_good_print_is_quiet() -> None:
    assert Bench().print_until(FRAMES) == []


def test_a_part_that_moved() -> None:
    bench = Bench()
    bench.print_until(50)
    said = [bench.show(bench.scene(number, left=200, grown=50), number) for number in range(50, 66)]
    # What lies beside its place looks like strands at first.
    assert sum(bool({"moved", "strands"} & set(labels)) for labels, _ in said) >= 6


def test_strands_beside_the_part() -> None:
    bench = Bench()
    bench.print_until(40)
    labels: list[str] = []
    for number in range(40, 70):
        pixels = bench.scene(number, grown=40)
        strands = np.random.default_rng(9)
        for _ in range((number - 40) * 6):
            x, y = strands.uniform(40, 280), strands.uniform(100, 220)
            turns = np.cumsum(strands.normal(0, 6, (8, 2)), axis=0)
            cv2.polylines(pixels, [(turns + np.array([x, y])).astype(np.int32)], False, (40, 130, 230), 2)
        labels += bench.show(pixels, number)[0]
    assert labels.count("strands") > 10


def test_nothing_printed_from_the_beginning() -> None:
    bench = Bench()
    labels: list[str] = []
    for number in range(-12, 60):
        labels += bench.show(bench.scene(number, grown=0), number)[0]
    assert labels.count("nothing") > 10
    assert set(labels) == {"nothing"}


def test_a_part_that_grows_no_more() -> None:
    bench = Bench()
    assert bench.print_until(50) == []
    said = [bench.show(bench.scene(number, grown=50), number) for number in range(50, 90)]
    assert any("grows no more" in finding for _, findings in said for finding in findings)


def test_a_lamp_that_is_switched_on_is_a_matter_of_moments() -> None:
    bench = Bench()
    bench.print_until(50)
    said = [bench.show(bench.scene(number).astype(float) * 1.4, number) for number in range(50, 80)]
    assert sum(bool(labels) for labels, _ in said) <= 5  # §5.4 wants more for an alert


def test_a_black_picture_a_covered_camera_and_a_frozen_one() -> None:
    bench = Bench()
    bench.print_until(20)
    assert bench.show(np.zeros((HEIGHT, WIDTH, 3), np.uint8), 20) == (["camera"], ["camera: the picture is black"])
    assert "covered" in bench.show(np.full((HEIGHT, WIDTH, 3), 120, np.uint8), 21)[1][0]
    same = bench.scene(22)
    said = [bench.watch.look(same, [], None)[1] for _ in range(FROZEN_AFTER + 1)]
    assert said[:-1] == [[]] * FROZEN_AFTER
    assert "times in a row" in said[-1][0]


def test_what_a_mask_hides_is_not_judged() -> None:
    bench = Bench()
    everything = [[[0, 0], [1, 0], [1, 1], [0, 1]]]
    for number in range(60):
        pixels = bench.scene(number, left=120 if number < 40 else 200)
        boxes, _ = bench.watch.look(pixels, everything, {"completion": number})
        assert boxes == []


def test_only_so_many_prints_are_remembered() -> None:
    watches = Watches()
    for number in range(MOST_PRINTS + 10):
        watches.look((1, number, ""), np.full((48, 64, 3), 40, np.uint8), [], None)
    assert len(watches._watches) == MOST_PRINTS
