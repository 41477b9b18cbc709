"""Linking without typing inside OctoPrint: owns the search (agent_core/features/search.py) while there is one.

Imports no OctoPrint. The handshake's request comes to OctoPrint's own web server (wings/nearby.py).
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from agent_core.config import DEFAULT_SERVER, Secret
from agent_core.features.discovery import Phase, Progress
from agent_core.features.handshake import Handshake
from agent_core.features.linking import Linked
from agent_core.features.search import PERSON_SECONDS
from agent_core.ports import Clock
from octoprint_obico.settings import Preferences

Keep = Callable[[str, Linked], None]
"""Takes server address and link; raises OSError."""


class RunningSearch(Protocol):
    """agent_core's Search."""

    handshake: Handshake

    @property
    def progress(self) -> Progress: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def join(self, seconds: float) -> bool: ...


Build = Callable[[str, Keep, Callable[[Progress], None], float], RunningSearch]
"""Server address, keep, on_change, seconds → a search, not yet started."""


@dataclass(frozen=True, slots=True)
class _Running:
    search: RunningSearch
    server: str
    token: Secret | None
    """The one when it began: a new one means that the printer was linked, by whatever way."""


class Finder:
    """Thread-safe; nothing here waits. `changed` tells the pages to look again."""

    def __init__(self, build: Build, keep: Keep, clock: Clock, changed: Callable[[], None]) -> None:
        self._build, self._keep, self._clock, self._changed = build, keep, clock, changed
        self._lock = threading.Lock()  # guards what follows
        self._running: _Running | None = None
        self._last: RunningSearch | None = None
        self._began_by_itself = False
        self._qr = ("", "")  # the last passlink, and its drawing

    def follow(self, chosen: Preferences | None) -> None:
        """The settings may have changed. The first search begins by itself, if the printer is not linked and somebody
        has chosen a server: to one that nobody chose nothing is told."""
        with self._lock:
            running = self._running
            if running is not None and (chosen is None or chosen.token != running.token):
                self._stop()
            if chosen is not None and chosen.token is not None:
                self._began_by_itself = True  # unlinked by hand later, it stays silent until it is told to search
            if chosen is None or self._began_by_itself:
                return
            if not chosen.discovery or chosen.server == DEFAULT_SERVER:
                return
            self._began_by_itself = True
        self.start(chosen.server, None)

    def start(self, server: str, token: Secret | None) -> None:
        """Searches for PERSON_SECONDS; one that runs is begun anew."""
        search = self._build(server, self._keep, lambda _: self._changed(), PERSON_SECONDS)
        with self._lock:
            self._stop()
            self._running, self._last = _Running(search, server, token), search
            search.start()
        self._changed()

    def stop(self) -> None:
        """Ends the search; returns at once."""
        with self._lock:
            self._stop()

    def join(self, seconds: float) -> bool:
        """After `stop`: whether its thread has ended within so long."""
        return self._last is None or self._last.join(seconds)

    def _stop(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.search.stop()

    @property
    def handshake(self) -> Handshake | None:
        running = self._running
        return None if running is None else running.search.handshake

    def status(self) -> dict[str, Any] | None:
        """For the settings page: administrators only, since whoever knows the passcode can link the printer."""
        running = self._running
        if running is None:
            return None
        progress = running.search.progress
        searching = progress.phase in {Phase.SEARCHING, Phase.LINKING}
        return {
            "state": progress.phase.value,
            "server": running.server,
            "seconds_left": max(0, int(progress.ends_at - self._clock.monotonic())) if searching else 0,
            "reached": progress.reached,
            "passcode": progress.passcode or None,
            "passlink": progress.passlink or None,
            "qr": self._drawing(progress.passlink),
            "trouble": progress.trouble,
        }

    def _drawing(self, link: str) -> str | None:
        """The QR code as the address of a picture; None if there is nothing to draw."""
        if not link:
            return None
        known, drawn = self._qr
        if known != link:
            from agent_core.features import qr

            try:
                drawn = qr.svg(qr.encode(link))
            except ValueError:
                return None
            drawn = "data:image/svg+xml;base64," + base64.b64encode(drawn.encode()).decode()
            self._qr = (link, drawn)
        return drawn
