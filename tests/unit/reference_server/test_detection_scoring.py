"""§5.4 as numbers: made-up detections and what a public server's scoring made of them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from reference_server.services.detection import scoring
from reference_server.services.detection.port import Box, Mask
from reference_server.services.detection.scoring import Level, Scores

VECTORS = Path(__file__).parents[2] / "data" / "detection" / "vectors.json.gz"
CASES: list[dict[str, Any]] = json.loads(gzip.decompress(VECTORS.read_bytes()))["cases"]


def box(confidence: float, x: float = 10, y: float = 10) -> Box:
    return Box("failure", confidence, x, y, 4, 4)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_reproduces_the_recorded_scores(case: dict[str, Any]) -> None:
    scores = Scores(lifetime=case["lifetime_frames_before"], long=case["rolling_mean_long_before"])
    for number, (confidences, ewm, short, long, normalized, level) in enumerate(case["frames"], 1):
        scores = scoring.after(scores, scoring.of_boxes(box(value) for value in confidences))
        found = (scores.ewm, scores.short, scores.long, scoring.normalized(scores, case["sensitivity"]))
        assert found == pytest.approx((ewm, short, long, normalized), abs=1e-9), number
        assert scoring.level(scores, case["sensitivity"]).value == level, number


def test_the_recordings_reach_every_level() -> None:
    levels = {frame[5] for case in CASES for frame in case["frames"]}
    assert levels == {level.value for level in Level}


def test_a_new_print_keeps_what_belongs_to_the_printer() -> None:
    scores = Scores()
    for _ in range(40):
        scores = scoring.after(scores, 0.5)
    begun = scoring.new_print(scores)
    assert begun == Scores(lifetime=40, long=scores.long)
    assert scoring.level(begun, 1.2) is Level.NONE


def test_nothing_fails_before_thirty_frames() -> None:
    scores = Scores()
    for number in range(1, 31):
        scores = scoring.after(scores, 0.2 if number < 10 else 5.0)
        assert (scoring.level(scores, 1.0) is Level.NONE) == (number < 30)


def test_a_box_counts_unless_its_centre_is_masked() -> None:
    left = Mask("", ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0)))
    boxes = (box(0.5, x=20), box(0.4, x=90))
    assert scoring.unmasked(boxes, (left,), 100, 50) == (boxes[1],)
    assert scoring.unmasked(boxes, (), 100, 50) == boxes
    notched = Mask("", ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.5, 0.2), (0.0, 1.0)))  # a V is cut out from below
    assert not scoring.contains(notched, 0.5, 0.6)
    assert scoring.contains(notched, 0.1, 0.6)
    assert scoring.contains(notched, 0.9, 0.6)
