"""What the server keeps of detection, as frozen values. Scores as in wire-protocol.md §5.4; times are aware UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from reference_server.services.detection.port import Box, Mask
from reference_server.services.detection.scoring import Level, Scores


class Action(str, Enum):
    """What a decision did. NONE: nothing, for the reason that it gives."""

    NONE = "none"
    ALERT = "alert"
    PAUSE = "pause"
    CANCEL = "cancel"


class Sent(str, Enum):
    """What became of the command of a decision. UNSENT: it is still to be sent."""

    NOTHING = "nothing"
    UNSENT = "unsent"
    SENT = "sent"
    FAILED = "failed"


class Answer(str, Enum):
    """What the user says of a shot. UNANSWERED (seed) and UNDECIDED (public server) mean the same."""

    LOOKS_BAD = "LOOKS_BAD"
    LOOKS_OK = "LOOKS_OK"
    UNANSWERED = "UNANSWERED"
    UNDECIDED = "UNDECIDED"


@dataclass(frozen=True, slots=True)
class PrinterState:
    """What outlasts a print: frames ever judged and their mean; the parts of pictures that are not judged."""

    printer_id: int
    lifetime: int = 0
    long: float = 0.0
    masks: tuple[Mask, ...] = ()


@dataclass(frozen=True, slots=True)
class CameraScores:
    """Of one camera in one print."""

    n: int = 0
    p: float = 0.0
    ewm: float = 0.0
    short: float = 0.0


class Stage(int, Enum):
    """How far the work after a print is."""

    OPEN = 0
    CHOSEN = 1  # shots are chosen and predictions packed; pictures that nobody needs are still to be removed
    DONE = 2


@dataclass(frozen=True, slots=True)
class PrintState:
    """`frames`: judged so far, of all cameras; `acted_at`: the one automatic pause or cancel of the print;
    `trouble`: what the user was told is wrong, None = all is well."""

    print_id: int
    printer_id: int
    cameras: Mapping[str, CameraScores] = field(default_factory=dict)
    frames: int = 0
    normalized_p: float = 0.0
    judged_at: datetime | None = None
    acted_at: datetime | None = None
    trouble: str | None = None
    stage: Stage = Stage.OPEN

    def scores(self, camera: str, printer: PrinterState) -> Scores:
        found = self.cameras.get(camera, CameraScores())
        return Scores(found.n, printer.lifetime, found.p, found.ewm, found.short, printer.long)


@dataclass(frozen=True, slots=True)
class Prediction:
    """One judged frame: the scores after it, and what was found."""

    id: int
    print_id: int
    camera: str
    at: datetime
    scores: Scores
    normalized_p: float
    boxes: tuple[Box, ...] = ()
    findings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided and why, for a person to read. `frames`: (number, p) of the last frames that count; `rule` and
    `reason`: plain words; `outcome`: what became of the command, in the agent's words."""

    id: int
    printer_id: int
    print_id: int
    at: datetime
    camera: str
    frame: int
    level: Level
    action: Action
    cause: str
    rule: str
    reason: str
    scores: Scores
    normalized_p: float
    sensitivity: float
    detector: str
    findings: tuple[str, ...] = ()
    frames: tuple[tuple[int, float], ...] = ()
    image_path: str | None = None
    sent: Sent = Sent.NOTHING
    outcome: str | None = None


@dataclass(frozen=True, slots=True)
class Shot:
    """A picture that the user may be asked about. `chosen`: he is; before the print has ended nobody knows."""

    id: int
    print_id: int
    image_path: str
    p: float
    at: datetime
    chosen: bool = False
    answer: Answer | None = None
    answered_at: datetime | None = None
