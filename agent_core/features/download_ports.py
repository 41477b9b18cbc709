"""What a download needs from the outside: the host's files and start button, and the agent around it."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from agent_core.config import AgentConfig
from agent_core.model import AlertRaised, Download, ExpectedPrint
from agent_core.ports import Clock, Http, Interrupt, Store

BUSY = "Printer busy!"
"""The one word that clients know (wire-protocol.md §8)."""

ORDERS_KEY = "orders"
"""The store's record of a farm's orders (order_ledger.py)."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of the host: its path in the host's own terms, and the signature that the host's reports will give it."""

    path: str
    signature: str | None = None


class FilePort(Protocol):
    """The host's files and its start button. Called by the download's worker and by callers of passthru, never by a
    host's own thread; may block. Raises AgentError in words for a person. Paths are relative to the host's folder of
    G-code files.
    """

    @property
    def copies(self) -> int:
        """How often a file lies on the working folder's disk while it is taken in."""
        ...

    @property
    def answers_mismatch(self) -> bool:
        """A file that is not what was meant: told in the reply's `ret` (OctoPrint) or as its error (Klipper; §8)."""
        ...

    def check_idle(self) -> None:
        """By what the printer says right now: raises Rejected (BUSY where it prints) unless a print can be started."""
        ...

    def work_folder(self) -> Path:
        """Where a file grows, on the same disk as its target if there is any choice."""
        ...

    def path_for(self, name: str) -> str:
        """The path of a downloaded file of that name, as the host would store it."""
        ...

    def size(self, path: str) -> int | None:
        """Bytes; None if there is no such file."""
        ...

    def digest(self, path: str, interrupt: Interrupt) -> str:
        """SHA-256 of a file that is there, in hex."""
        ...

    def take(self, part: Path, path: str, sha256: str, interrupt: Interrupt) -> None:
        """Makes the host's own file out of `part`, which may be gone then. Never overwrites."""
        ...

    def stored(self, path: str) -> StoredFile: ...

    def matches(self, path: str, signature: str) -> bool | None:
        """Whether the file is the one that the signature was made of; None if there is no such file."""
        ...

    def thumbnail(self, path: str) -> bytes | None:
        """The largest picture that the slicer put into the file, PNG or JPEG (thumbnails.MOST_BYTES); None: none."""
        ...

    def start(self, path: str) -> None:
        """Begins to print; returns when the host has really begun. Raises CommandFailed with its own words, and
        StartUnclear or Unreachable where it may begin yet."""
        ...

    def mark(self, path: str) -> str | None:
        """Where the host's history stands now, in its own terms; None if it keeps none. Raises Unreachable."""
        ...

    def printed(self, path: str, mark: str | None) -> bool:
        """Whether the host prints that file now, or its history tells a print of it that began after `mark`.

        Raises AgentError where it cannot be asked just now.
        """
        ...

    def abort(self) -> None:
        """From any thread: ends what `take` and `digest` wait for."""
        ...


class Signal(Protocol):
    """An Interrupt, or an event of threading's."""

    def wait(self, seconds: float, /) -> bool: ...

    def is_set(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a download needs besides the host. `tell(download)` shows the progress (None: over), `alert` tells people,
    `expect(order, print)` says what will begin in a moment (None: it will not); each returns at once. `new_http` makes
    a client that only the download uses, so that it can be cut off alone. `wait`: for a signal, some seconds at most.
    """

    config: AgentConfig
    http: Http
    new_http: Callable[[], Http]
    clock: Clock
    store: Store
    tell: Callable[[Download | None], None]
    alert: Callable[[AlertRaised], None]
    uniform: Callable[[], float] = random.random
    expect: Callable[[str, ExpectedPrint | None], None] = lambda _order, _expected: None
    wait: Callable[[Signal, float], bool] = lambda signal, seconds: signal.wait(seconds)
