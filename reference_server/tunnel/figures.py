"""What passes through the tunnels, counted for /metrics. Written by the event loop only."""

from __future__ import annotations


class Figures:
    """`up`, `down`: bytes from and to visitors. `answers`: by status class."""

    def __init__(self) -> None:
        self.up = 0
        self.down = 0
        self.answers: dict[str, int] = {}

    def answered(self, status: int) -> None:
        key = f"{status // 100}xx"
        self.answers[key] = self.answers.get(key, 0) + 1
