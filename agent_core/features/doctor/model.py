"""Findings, checks, and how checks are run: one after the other, each no longer than it may take."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any

from agent_core.runtime.worker import Worker

SECONDS = 20.0
"""What a check may take, unless it says otherwise."""


class Level(str, Enum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One checked thing: what was seen, and what to do about it. Each is one line without secrets."""

    level: Level
    subject: str
    seen: str
    advice: str = ""

    @property
    def text(self) -> str:
        return f"{self.seen}: {self.advice}" if self.advice else self.seen

    def to_json(self) -> dict[str, Any]:
        return {"level": self.level.value, "subject": self.subject, "text": self.text, "advice": self.advice}


@dataclass(frozen=True, slots=True)
class Check:
    """`run` may take `seconds`; what it found until then counts. It must not raise."""

    subject: str
    run: Callable[[], Iterable[Finding]]
    seconds: float = SECONDS


def run(checks: Iterable[Check]) -> Iterator[Finding]:
    """The findings, as they come. `checks` is asked for the next one only when the last is over, so that a check may
    build on what another found.

    A check that hangs (a resolver that does not answer) is left behind on a thread of its own, which ends with it.
    """
    for check in checks:
        turn = _Turn(check)
        worker = Worker(f"doctor-{check.subject}", limit=1)
        worker.start()
        worker.submit(turn.work)
        in_time = turn.over.wait(check.seconds)
        worker.stop()
        if in_time:
            worker.join(1.0)
        yield from list(turn.found)
        if not in_time:
            waited = f"no result within {check.seconds:.0f} s"
            yield Finding(Level.FAIL, check.subject, waited, "something there hangs; look at it by hand")
        elif turn.broke:
            yield Finding(Level.FAIL, check.subject, "the check itself failed", "please report this, with the log")


class _Turn:
    """One check at work, on its own thread."""

    def __init__(self, check: Check) -> None:
        self._check = check
        self.found: list[Finding] = []
        self.over = threading.Event()
        self.broke = True

    def work(self) -> None:
        try:
            self.found.extend(self._check.run())
            self.broke = False
        finally:
            self.over.set()
