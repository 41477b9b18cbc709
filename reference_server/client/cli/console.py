"""What a command is given to speak with: the terminal, the environment, the client. Made by main.py, and by tests."""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, NoReturn

DONE, REFUSED, USAGE, UNREACHABLE, NO_ACCESS, JOB_FAILED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
"""Exit statuses: done; the server refused, or something failed; wrong use; no server; no or too weak a key; a job that
was waited for did not complete; Ctrl-C."""


class Stop(Exception):
    """The end of a command, with words and an exit status."""

    def __init__(self, message: str, status: int = REFUSED) -> None:
        super().__init__(message)
        self.status = status


def usage(message: str) -> NoReturn:
    raise Stop(message, USAGE)


def _wait(seconds: float) -> None:
    threading.Event().wait(seconds)


def _size() -> tuple[int, int]:
    return shutil.get_terminal_size((100, 30))


@dataclass(frozen=True)
class Console:
    """`wait`: so many seconds, ended by Ctrl-C (KeyboardInterrupt); `clock`: monotonic s;
    `size`: columns and lines of the terminal."""

    out: IO[str] = field(default_factory=lambda: sys.stdout)
    err: IO[str] = field(default_factory=lambda: sys.stderr)
    into: IO[str] = field(default_factory=lambda: sys.stdin)
    environment: Mapping[str, str] = field(default_factory=lambda: os.environ)
    wait: Callable[[float], None] = _wait
    clock: Callable[[], float] = time.monotonic
    size: Callable[[], tuple[int, int]] = _size

    def say(self, text: str = "") -> None:
        self.out.write(f"{text}\n")
        self.out.flush()

    def warn(self, text: str) -> None:
        self.err.write(f"{text}\n")
        self.err.flush()

    @property
    def columns(self) -> int:
        return max(40, self.size()[0])

    @property
    def lines(self) -> int:
        return max(8, self.size()[1])

    def ask(self, question: str) -> bool:
        """Raises Stop where nobody can be asked."""
        if not self.into.isatty():
            usage(f"{question} Nobody is there to be asked: add --yes.")
        self.err.write(f"{question} [y/N] ")
        self.err.flush()
        return self.into.readline().strip().lower() in {"y", "yes"}
