"""What the core needs from the outside, as Protocols: hosts and transports implement them, tests fake them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from agent_core.pause import PauseSettings


class Clock(Protocol):
    def now(self) -> float:
        """Unix seconds; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; for deadlines."""
        ...


class Store(Protocol):
    """Small records that survive a restart. Safe to call from any thread."""

    def load(self, key: str) -> Mapping[str, Any] | None:
        """The record, None if there is none or it is damaged."""
        ...

    def save(self, key: str, value: Mapping[str, Any]) -> None:
        """On disk when it returns. Raises OSError if it cannot be kept."""
        ...

    def remove(self, key: str) -> None: ...


@dataclass(frozen=True, slots=True)
class HttpResponse:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class BodySoFar(Protocol):
    """What has come of an answer's body."""

    def __len__(self) -> int: ...

    def find(self, wanted: bytes, start: int = 0) -> int:
        """Where `wanted` first begins at or after `start`; -1 if nowhere (yet)."""
        ...

    def piece(self, start: int, end: int) -> bytes:
        """The bytes from `start` up to `end`, as far as they have come."""
        ...


@dataclass(frozen=True, slots=True)
class FileOnDisk:
    """What is sent from the disk, piece by piece; `size` in bytes, less than 2 GiB."""

    path: str
    size: int

    def __len__(self) -> int:
        return self.size


@dataclass(frozen=True, slots=True)
class Upload:
    """A file part of a multipart form."""

    filename: str
    content: bytes | FileOnDisk
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One request. `form` with `files` goes as multipart, without as urlencoded; `json` as JSON; at most one kind.

    `limit`: bytes of the answer that are read, more raises ServerTrouble. `timeout`: seconds for the whole exchange.
    `until`, given the answer's headers and what has come of its body: True as soon as that is all that is wanted (one
    frame of an endless stream); the rest is not read and the connection closed.

    For large bodies: `receive`, given the answer's status and headers, returns what takes the body piece by piece (the
    answer's `body` is then empty) or None to have it as usual; either may raise an AgentError, which ends the exchange.
    `stall`: seconds that may pass without a byte moving. `peer_allowed`, given the numeric address that a host's name
    stands for: whether it may be dialled; it is asked for each new connection that no proxy makes.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    files: Mapping[str, Upload] = field(default_factory=dict)
    json: Any = None
    timeout: float = 15.0
    limit: int = 1024 * 1024
    verify_tls: bool = True
    until: Callable[[Mapping[str, str], BodySoFar], bool] | None = None
    receive: Callable[[int, Mapping[str, str]], Callable[[bytes], None] | None] | None = None
    stall: float | None = None
    peer_allowed: Callable[[str], bool] | None = None


class Http(Protocol):
    def send(self, request: HttpRequest) -> HttpResponse:
        """Any answer, whatever its status; no redirect is followed. Raises Unreachable, TlsRefused, ServerTrouble."""
        ...

    def close(self) -> None:
        """For good, from any thread: exchanges under way end at once (Unreachable), later ones are refused."""
        ...


class Camera(Protocol):
    """One camera; called by the snapshots worker only."""

    def fetch(self) -> bytes:
        """One JPEG within 5 s and 7 MB. Raises CameraFault with the reason."""
        ...


class Interrupt:
    """Handed to a running command: set when it should give up (a cancel came, the agent stops)."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.reason = ""

    def set(self, reason: str) -> None:
        self.reason = reason
        self._event.set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Waits at most so long; True as soon as the command should give up."""
        return self._event.wait(seconds)


class PrinterPort(Protocol):
    """The host's hands. Called by the command worker only, one call at a time; may block, as long as it heeds
    `interrupt`. Each returns a sentence on what was really done (`paused; retracted 6.5 mm, lifted 1.2 of 2.5 mm: axis
    limit`). Raises Rejected before anything moved, CommandFailed after. pause-contract.md is the contract.
    """

    def check(self, command: str) -> None:
        """At once and without I/O: raises Rejected if `pause`, `resume` or `cancel` makes no sense now."""
        ...

    def pause(self, settings: PauseSettings, interrupt: Interrupt) -> str: ...

    def resume(self, interrupt: Interrupt) -> str: ...

    def cancel(self, interrupt: Interrupt) -> str: ...
