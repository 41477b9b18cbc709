"""One simulated printer: prints what it is told to, takes its time, keeps the truth. No clock and no I/O of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

SHORTEST = 1.1
"""Seconds of a print: on the wire it is known by the second in which it began, and each needs one of its own."""

FILAMENT_AREA = math.pi * (1.75 / 2) ** 2


class Refused(ValueError):
    """In Klipper's words."""


@dataclass
class Print:
    """The truth of one print. Times in Unix seconds; `outcome`: empty while it runs, then `completed`, `cancelled` or
    `error`; `content`: the file's first line; `on_part`: it was begun over the part of an earlier one."""

    number: int
    filename: str
    content: str
    began: float
    seconds: float
    filament: float
    on_part: bool
    outcome: str = ""
    ended: float | None = None
    paused: float = 0.0


class SimPrinter:
    """`told(changed)` is called with the names of what changed: `added`, `state`, `progress`, `finished`."""

    def __init__(self, name: str, told: Callable[[str], None] = lambda _what: None) -> None:
        self.name = name
        self.prints: list[Print] = []
        self.part_on_bed = False
        self.ejects = False
        """It takes finished parts off by itself."""
        self.fail_at: float | None = None
        """How far the next print comes, 0 to 1; None: all prints go well."""
        self.told = told
        self._paused_at: float | None = None

    @property
    def job(self) -> Print | None:
        """The print under way."""
        return self.prints[-1] if self.prints and not self.prints[-1].outcome else None

    @property
    def state(self) -> str:
        """As Klipper's print_stats has it."""
        if self.job is not None:
            return "printing" if self._paused_at is None else "paused"
        return {"": "standby", "completed": "complete"}.get(self._last_outcome, self._last_outcome)

    @property
    def _last_outcome(self) -> str:
        return self.prints[-1].outcome if self.prints else ""

    def begin(self, filename: str, content: str, seconds: float, filament: float, now: float) -> None:
        """`seconds` it takes, `filament` in mm. Raises Refused."""
        if self.job is not None:
            raise Refused("SD busy")
        if self.prints:
            now = max(now, math.floor(self.prints[-1].began) + 1.0)
        self.prints.append(
            Print(len(self.prints), filename, content, now, max(SHORTEST, seconds), filament, self.part_on_bed)
        )
        self.part_on_bed = True
        self._paused_at = None
        self.told("added")

    def pause(self, now: float) -> None:
        if self.job is not None and self._paused_at is None:
            self._paused_at = now
            self.told("state")

    def resume(self, now: float) -> None:
        if self.job is not None and self._paused_at is not None:
            self.job.paused += now - self._paused_at
            self._paused_at = None
            self.told("state")

    def cancel(self, now: float) -> None:
        if self.job is not None:
            self._end(self.job, "cancelled", now)

    def clear(self) -> None:
        """Somebody takes the part off. Raises Refused: nobody reaches into a printer at work."""
        if self.job is not None:
            raise Refused("it prints")
        self.part_on_bed = False

    def progress(self, now: float) -> float:
        """0 to 1, of the newest print."""
        if not self.prints:
            return 0.0
        newest = self.prints[-1]
        return min(1.0, self.spent(now) / newest.seconds)

    def spent(self, now: float) -> float:
        """Seconds that the newest print has printed."""
        if not self.prints:
            return 0.0
        newest = self.prints[-1]
        until = newest.ended or self._paused_at or now
        return max(0.0, until - newest.began - newest.paused)

    def advance(self, now: float) -> None:
        """What has come about by now."""
        job = self.job
        if job is None or self._paused_at is not None:
            return
        progress = self.progress(now)
        if self.fail_at is not None and progress >= self.fail_at:
            self.fail_at = None
            self._end(job, "error", now)
        elif progress >= 1.0:
            self._end(job, "completed", now)
        else:
            self.told("progress")

    def _end(self, job: Print, outcome: str, now: float) -> None:
        job.ended = max(now, job.began)
        job.outcome = outcome
        self._paused_at = None
        if self.ejects:
            self.part_on_bed = False
        self.told("finished")

    def truth(self) -> dict[str, Any]:
        return {"name": self.name, "state": self.state, "part_on_bed": self.part_on_bed,
                "prints": [asdict(each) for each in self.prints]}  # fmt: skip
