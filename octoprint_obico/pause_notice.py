"""What OctoPrint's own page says of a pause that the server made by itself: why, with a picture, and what can be done.

At most one pause is on. Its picture is fetched by a Worker that lives as long as that takes; nobody waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from agent_core.errors import AgentError
from agent_core.features.pause_reason import PauseReason
from agent_core.runtime.worker import Worker

_log = logging.getLogger("octoprint.plugins.obico")

ENDING_EVENTS = frozenset(
    {"PrintResumed", "PrintStarted", "PrintCancelled", "PrintDone", "PrintFailed", "Disconnected"}
)
"""OctoPrint's events after which a pause is no longer on."""


@dataclass(frozen=True, slots=True)
class Pause:
    """`id` tells one pause from the next; `trouble`: why a resume from the page failed."""

    id: int
    filename: str
    reason: PauseReason
    picture: bytes | None = None
    muted: bool = False
    resuming: bool = False
    trouble: str | None = None


class PauseNotice:
    """Thread-safe. `fetch` gives the picture of a pause (it may wait for the network, and raises AgentError);
    `changed` tells the pages."""

    def __init__(self, fetch: Callable[[PauseReason], bytes | None], changed: Callable[[], None]) -> None:
        self._fetch = fetch
        self._changed = changed
        # Guards what follows; held for a few lines without I/O.
        self._lock = threading.Lock()
        self._last_id = 0
        self._pause: Pause | None = None
        self._worker: Worker | None = None

    @property
    def pause(self) -> Pause | None:
        return self._pause

    def begin(self, reason: PauseReason, filename: str) -> None:
        """Returns at once; the picture follows."""
        worker = Worker("notice", limit=1)
        with self._lock:
            self._last_id += 1
            self._pause = pause = Pause(self._last_id, filename, reason)
            before, self._worker = self._worker, worker
        if before is not None:
            before.stop()
        worker.start()
        worker.submit(lambda: self._look(pause, worker))
        self._changed()

    def _look(self, pause: Pause, worker: Worker) -> None:
        try:
            picture = self._fetch(pause.reason)
            if picture is not None:
                self._change(pause.id, lambda now: replace(now, picture=picture))
        except AgentError as error:
            _log.info("no picture of this pause: %s", error)
        finally:
            worker.stop()

    def muted(self) -> None:
        self._change(self._last_id, lambda now: replace(now, muted=True))

    def resuming(self) -> None:
        self._change(self._last_id, lambda now: replace(now, resuming=True, trouble=None))

    def failed(self, trouble: str) -> None:
        """What somebody asked for on the page did not come off."""
        self._change(self._last_id, lambda now: replace(now, resuming=False, trouble=trouble))

    def _change(self, ident: int, change: Callable[[Pause], Pause]) -> None:
        with self._lock:
            known = self._pause
            if known is None or known.id != ident:
                return
            self._pause = change(known)
        self._changed()

    def over(self) -> None:
        """The print goes on, or has ended."""
        with self._lock:
            known, self._pause = self._pause, None
        if known is not None:
            self._changed()

    def stop(self, seconds: float) -> bool:
        """False if the picture is still waited for."""
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is None:
            return True
        worker.stop()
        return worker.join(seconds)

    def picture(self, ident: int) -> bytes | None:
        """The picture of that pause, if it is still on."""
        known = self._pause
        return known.picture if known is not None and known.id == ident else None

    def shown(self) -> dict[str, Any] | None:
        """For the page; the picture itself is fetched from there by the id."""
        known = self._pause
        if known is None:
            return None
        reason = known.reason
        return {
            "id": known.id,
            "at": reason.at,
            "filename": known.filename,
            "server": reason.server,
            "by": reason.by,
            "text": reason.text,
            "score": reason.score,
            "page": reason.page_url,
            "picture": known.picture is not None,
            "can_mute": reason.explained,
            "muted": known.muted,
            "resuming": known.resuming,
            "trouble": known.trouble,
        }
