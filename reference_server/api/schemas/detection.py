"""Detection: predictions, decisions, masks, shots."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from reference_server.api.schemas import examples
from reference_server.api.schemas.objects import (
    Change,
    Error,
    FeedbackAnswer,
    Number,
    Object,
    Prediction,
    PredictionFields,
    PrintShotFeedback,
    Time,
    Url,
)
from reference_server.api.schemas.parts import Answer, Body, Call
from reference_server.services.detection.model import Action, Sent
from reference_server.services.detection.records import MOST_CORNERS, MOST_MASKS
from reference_server.services.detection.scoring import Level

Fraction = Annotated[float, Field(ge=0, le=1)]
Point = Annotated[list[Fraction], Field(min_length=2, max_length=2)]


class Mask(Change):
    """A part of a camera's picture that is not judged."""

    camera: Annotated[str, Field(max_length=200)] = ""
    """The camera's name; empty: whichever is the primary one."""
    points: Annotated[list[Point], Field(min_length=3, max_length=MOST_CORNERS)]
    """Its corners as [x, y], fractions of width and height."""


class StoredMask(Object):
    """A part of a camera's picture that is not judged."""

    camera: str
    points: list[Point]


class FrameScore(Object):
    """`p`: the sum of the confidences."""

    frame: int
    p: Number


class Decision(Object):
    """What was decided, and why."""

    id: int
    print: int
    printer: int
    at: Time
    level: Level
    action: Action
    """`none`: nothing was done; `reason` says why."""
    cause: str
    """The reason as one word."""
    rule: str
    """The comparison that gave the level, with its numbers."""
    reason: str
    """Why this action."""
    scores: PredictionFields
    sensitivity: Number
    detector: str
    findings: list[str]
    camera: str
    frame: int
    """The frame that decided."""
    frames: list[FrameScore]
    """The last frames that led to it."""
    image_url: Url | None
    command: Sent
    """What became of the order to the printer."""
    outcome: str | None
    """In the agent's words."""


class ShotAnswer(Change):
    answer: FeedbackAnswer | None
    """null takes an answer back."""


class Answered(PrintShotFeedback):
    """The shot's own fields, and besides what the public server answers."""

    instance: PrintShotFeedback
    credited_dhs: int


_AT = "2026-11-20T18:10:09.000000Z"
_SCORES = {
    "current_frame_num": 41, "lifetime_frame_num": 9041, "current_p": 0.31, "ewm_mean": 0.22,
    "rolling_mean_short": 0.12, "rolling_mean_long": 0.1, "normalized_p": 0.11,
}  # fmt: skip
_FRAME = {"model": "app.printerprediction", "pk": 1, "fields": {**_SCORES, "created_at": _AT, "updated_at": _AT}}
_DECISION = {
    "id": 3, "print": 5, "printer": 1, "at": _AT, "level": "pause", "action": "pause", "cause": "wished",
    "rule": "quick mean 0.912 less the printer's usual 0.020, times sensitivity 1, is 0.892: above the pause threshold"
    " 0.665 (alert threshold 0.380)",
    "reason": "the printer's action on failure: the print is to be paused", "scores": _SCORES, "sensitivity": 1.0,
    "detector": "remote", "findings": [], "camera": "", "frame": 41, "frames": [{"frame": 41, "p": 0.31}],
    "image_url": None, "command": "sent", "outcome": "paused, retracted 6.5 mm, lifted 2.5 mm",
}  # fmt: skip
_MASKS = [{"camera": "", "points": [[0.0, 0.0], [0.2, 0.0], [0.2, 1.0], [0.0, 1.0]]}]
_SHOT = {"id": 9, "print_id": 5, "image_url": None, "answer": None, "answered_at": None}
_GOOD = {**_SHOT, "answer": "LOOKS_OK", "answered_at": _AT}
_ANSWER = Call(
    "Say whether a shot shows a failure",
    {200: Answer("The shot, also as `instance`.", Answered, {**_GOOD, "instance": _GOOD, "credited_dhs": 0})},
    body=Body(ShotAnswer, {"answer": "LOOKS_OK"}),
)

CALLS = {
    "GET /api/v1/prints/{print_id}/prediction_json/": Call(
        "The detection of a print, frame by frame", {200: Answer("One entry a frame.", list[Prediction], [_FRAME])}
    ),
    "GET /api/v1/prints/{print_id}/decisions/": Call(
        "What detection decided, and why", {200: Answer("Newest first.", list[Decision], [_DECISION])}
    ),
    "GET /api/v1/printers/{printer_id}/masks/": Call(
        "What is not judged", {200: Answer("The masks.", list[StoredMask], _MASKS)}
    ),
    "PUT /api/v1/printers/{printer_id}/masks/": Call(
        "Set what is not judged",
        {200: Answer("The masks.", list[StoredMask], _MASKS)},
        body=Body(Annotated[list[Mask], Field(max_length=MOST_MASKS)], _MASKS),
    ),
    "GET /api/v1/printshotfeedbacks/": Call(
        "Shots of a print to say something about",
        {
            200: Answer("The shots.", list[PrintShotFeedback], [_SHOT]),
            404: Answer("There is no such print.", Error, examples.ERROR),
        },
    ),
    "GET /api/v1/printshotfeedbacks/{shot_id}/": Call("One shot", {200: Answer("The shot.", PrintShotFeedback, _SHOT)}),
    "PUT /api/v1/printshotfeedbacks/{shot_id}/": _ANSWER,
    "PATCH /api/v1/printshotfeedbacks/{shot_id}/": _ANSWER,
}  # fmt: skip

