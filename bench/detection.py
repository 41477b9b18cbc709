"""The built-in detector and the rules of wire-protocol.md §5.4 over whole prints, drawn by demo/scene.py.

Good prints and failing ones alternate; shape, place, camera, light, noise and shaking are drawn by lot (from a fixed
seed). One picture stands for 10 seconds. The pictures are drawn, not photographed: the figures say what the detector
does with what it is made for, and not how often it will be right in a workshop.
"""

from __future__ import annotations

import asyncio
import math
import os
import random
import statistics
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from bench.proc import rss_mb
from bench.report import figure
from demo.scene import Failure, Fault, Look, Progress, picture
from reference_server.detectors.eyes import BuiltinDetector
from reference_server.detectors.vision import VisionProcess
from reference_server.services.detection import scoring
from reference_server.services.detection.port import ExpectedPart, Frame
from reference_server.services.detection.scoring import Level, Scores

PRINTS = int(os.environ.get("BENCH_PRINTS", "40"))
"""Good ones, and as many failing ones."""

GOOD_SEEDS, FAILING_SEEDS = 50_000, 60_000
"""The detector's limits were chosen on other seeds (0 to 11, 10,000 to 10,011)."""

EVERY = 10.0
"""Seconds from one picture to the next."""

SIZE = (640, 480)
BEGUN = 1_800_000_000.0


@dataclass(frozen=True, slots=True)
class Conditions:
    """A print, its camera and its light. `heating`: pictures before
    the first layer; `noise`: levels of grey (standard deviation); `shake`: pixels;
    `daylight`: how much the light comes and goes; `lamp`: when a lamp is switched on, as a fraction of the print."""

    look: Look
    frames: int
    heating: int
    noise: float
    shake: float
    brightness: float
    daylight: float
    lamp: float | None
    seed: int


def by_lot(seed: int) -> Conditions:
    dice = random.Random(seed)
    radius = dice.uniform(0.06, 0.14)
    look = Look(
        radius=radius, bulge=dice.uniform(0, 0.4) * radius, turns=dice.uniform(0, 8), phase=dice.uniform(0, 6),
        height=dice.choice([0.15, 0.3, 0.45, 0.6]), middle=dice.uniform(0.35, 0.65), ground=dice.uniform(0.75, 0.86),
        tilt=dice.choice([0.12, 0.22, 0.35, 0.55]), gantry=dice.random() < 0.6,
        slide=dice.uniform(0.02, 0.06) if dice.random() < 0.15 else 0.0,
        colour=dice.choice([(1.0, 0.5, 0.19), (0.3, 0.55, 1.0), (0.95, 0.95, 0.95), (0.4, 0.9, 0.4), (0.75, 0.2, 0.2)]),
        text=dice.random() < 0.3, seed=seed,
    )  # fmt: skip
    return Conditions(
        look, dice.randint(150, 320), dice.randint(12, 40), dice.uniform(1, 6), dice.choice([0.0, 1.0, 2.5]),
        dice.uniform(0.6, 1.2), dice.uniform(0, 0.25), dice.uniform(0.1, 0.9) if dice.random() < 0.3 else None, seed,
    )  # fmt: skip


def fraction_at(print_: Conditions, number: int) -> float:
    return max(0, number - print_.heating) / (print_.frames - print_.heating)


def shoot(print_: Conditions, number: int, fault: Fault | None, noise: Any) -> bytes:
    """The JPEG of picture `number`."""
    fraction = fraction_at(print_, number)
    image = picture(Progress(fraction), SIZE, "bench", BEGUN + number * EVERY, print_.look, fault)
    pixels: Any = cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR)
    if fault is not None and fault.failure is Failure.BLACK:
        light = 1.0
    else:
        light = print_.brightness * (1 + print_.daylight * math.sin(fraction * 5 + print_.seed))
        light *= 1.3 if print_.lamp is not None and fraction > print_.lamp else 1.0
    shift = noise.normal(0, print_.shake, 2) if print_.shake else (0.0, 0.0)
    moved = cv2.warpAffine(
        pixels, np.array([[1, 0, shift[0]], [0, 1, shift[1]]]), SIZE, borderMode=cv2.BORDER_REPLICATE
    )
    grain: Any = np.empty(moved.shape, np.int16)
    cv2.randn(grain, 0, print_.noise)
    bright = np.clip(moved.astype(np.float32) * light + grain, 0, 255).astype(np.uint8)
    return bytes(cv2.imencode(".jpg", bright, [cv2.IMWRITE_JPEG_QUALITY, 80])[1])


@dataclass(frozen=True, slots=True)
class Outcome:
    """`alert`, `pause`: seconds from the print's begin; `since`: when the failure began; `seconds`: the whole print."""

    failure: Failure | None
    since: float | None
    alert: float | None
    pause: float | None
    seconds: float
    findings: tuple[tuple[str, int], ...] = ()

    @property
    def false_alarm(self) -> bool:
        return self.alert is not None and (self.since is None or self.alert < self.since)

    @property
    def delay(self) -> float | None:
        """Seconds from the failure to its alert."""
        return None if self.alert is None or self.since is None or self.false_alarm else self.alert - self.since


class Run:
    def __init__(self, process: VisionProcess) -> None:
        self._detector = BuiltinDetector(process)
        self.milliseconds: list[float] = []

    async def print_through(self, print_: Conditions, failure: Failure | None) -> Outcome:
        """Until the alert that a person would answer, or to the end."""
        noise = np.random.default_rng(print_.seed)
        begins = round(random.Random(print_.seed + 1).uniform(0.25, 0.6) * print_.frames) if failure else None
        scores = Scores()
        alert = pause = None
        findings: Counter[str] = Counter()
        frozen: bytes | None = None
        for number in range(1, print_.frames + 1):
            fault = None
            if failure is not None and begins is not None and number >= begins:
                fault = Fault(failure, fraction_at(print_, begins), (number - begins) * EVERY)
            jpeg = frozen or shoot(print_, number, fault, noise)
            if fault is not None and fault.failure is Failure.FROZEN:
                frozen = jpeg
            part = ExpectedPart(None, None, 100 * fraction_at(print_, number), None)
            frame = Frame(1, print_.seed, "", "", jpeg, (), 1.0, part)
            start = time.perf_counter()
            judgement = await self._detector.judge(frame, 60)
            self.milliseconds.append((time.perf_counter() - start) * 1000)
            findings.update(finding.split(" at ")[0].split(" by ")[0][:60] for finding in judgement.findings)
            scores = scoring.after(scores, scoring.of_boxes(judgement.boxes))
            level = scoring.level(scores, 1.0)
            if level is not Level.NONE and alert is None:
                alert = number * EVERY
            if level is Level.PAUSE and pause is None:
                pause = number * EVERY
        since = begins * EVERY if begins is not None else None
        return Outcome(failure, since, alert, pause, print_.frames * EVERY, tuple(findings.items()))


async def measure(prints: int = PRINTS) -> tuple[list[Outcome], list[float], float]:
    process = VisionProcess()
    run_ = Run(process)
    outcomes = []
    largest = 0.0
    try:
        for number in range(prints):
            failure = list(Failure)[number % len(Failure)]
            for which, seed in ((None, GOOD_SEEDS + number), (failure, FAILING_SEEDS + number)):
                outcome = await run_.print_through(by_lot(seed), which)
                outcomes.append(outcome)
                if os.environ.get("BENCH_VERBOSE"):
                    print(seed, replace(by_lot(seed).look, colour=(0, 0, 0)), outcome, flush=True)
                largest = max(largest, rss_mb(process.pid) if process.pid else 0.0)
    finally:
        await process.close()
    return outcomes, run_.milliseconds, largest


def run() -> None:
    outcomes, milliseconds, memory = asyncio.run(measure())
    failing = [outcome for outcome in outcomes if outcome.failure]
    found = [outcome for outcome in failing if outcome.delay is not None]
    false_alarms = [outcome for outcome in outcomes if outcome.false_alarm]
    hours = sum(outcome.since if outcome.since is not None else outcome.seconds for outcome in outcomes) / 3600
    alerts = len(found) + len(false_alarms)
    count = {"prints": len(outcomes), "failing": len(failing)}
    figure("detection.precision", len(found) / alerts if alerts else 0.0, "", alerts=alerts, **count)
    figure("detection.recall", len(found) / len(failing), "", **count)
    figure("detection.false_alarms_per_hour", len(false_alarms) / hours, "1/h", hours=round(hours, 1))
    delays = [outcome.delay for outcome in found if outcome.delay is not None]
    middle = statistics.median(delays) if delays else math.nan
    figure("detection.time_to_alert", middle, "s", longest=max(delays, default=0))
    for failure in Failure:
        of_kind = [outcome for outcome in failing if outcome.failure is failure]
        kind_delays = [outcome.delay for outcome in of_kind if outcome.delay is not None]
        figure(
            f"detection.recall_{failure.value}", len(kind_delays) / len(of_kind), "", prints=len(of_kind),
            time_to_alert=statistics.median(kind_delays) if kind_delays else None,
            pauses=sum(outcome.pause is not None for outcome in of_kind),
        )  # fmt: skip
    good = [outcome for outcome in outcomes if outcome.failure is None]
    figure("detection.pauses_of_good_prints", sum(outcome.pause is not None for outcome in good), "", prints=len(good))
    slowest = sorted(milliseconds)[int(len(milliseconds) * 0.99)]
    figure("detection.time_per_picture", statistics.median(milliseconds), "ms", p99=round(slowest, 1))
    figure("detection.child_rss", memory, "MB")
