"""Why the file paused its own print: M600 and its kin are macros on Klipper, and no status tells that one has run.

The file does: Klipper stops reading behind the line that paused it. So the last line before its position is looked at,
a few hundred bytes through Moonraker's file server.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from urllib.parse import quote

from agent_core.errors import AgentError
from agent_core.features.event_texts import Sign, small_talk, told
from agent_core.model import AlertRaised
from agent_core.ports import Clock, Http, HttpRequest
from agent_core.runtime.crew import Crew
from moonraker_obico.klipper_api import Objects
from moonraker_obico.moonraker_socket import Address
from moonraker_obico.objects import as_whole, field, text

_log = logging.getLogger(__name__)

LOOK_BACK = 512
"""Bytes before the position; a line of G-code has some dozens."""

_OF_FILAMENT = frozenset({Sign.CHANGE, Sign.RUN_OUT})


class PauseCause:
    """`paused` may be called by one thread at a time and returns at once; the look is a thread's own while it lasts."""

    def __init__(
        self,
        address: Address,
        http: Http,
        clock: Clock,
        objects: Callable[[], Objects],
        post: Callable[[AlertRaised], None],
    ) -> None:
        self._address = address
        self._http = http
        self._clock = clock
        self._objects = objects
        self._post = post
        self.crew = Crew("pause-cause")

    def paused(self) -> None:
        """The print under way was paused."""
        at, objects = self._clock.now(), self._objects()
        filename = text(objects, "print_stats", "filename")
        position = as_whole(field(objects, "virtual_sdcard", "file_position"))
        if filename and position:
            self.crew.start(lambda: self._look(filename, position, at))

    def _look(self, filename: str, position: int, at: float) -> None:
        line = last_line(self._before(filename, position))
        if small_talk(line.replace("_", " ")) in _OF_FILAMENT:
            self._post(told(Sign.CHANGE, f"The print was paused by its file: {line}", at))

    def _before(self, filename: str, position: int) -> bytes:
        """The bytes that end at `position`; none if Moonraker does not hand them out."""
        key = self._address.api_key
        request = HttpRequest(
            "GET",
            f"http://{self._address.bracketed}/server/files/gcodes/{quote(filename)}",
            headers={
                "Range": f"bytes={max(0, position - LOOK_BACK)}-{position - 1}",
                **({"X-Api-Key": key.reveal()} if key is not None else {}),
            },
            timeout=5.0,
            limit=64 * 1024,
        )
        try:
            answer = self._http.send(request)
        except AgentError as error:
            _log.debug("why the print paused is not known: %s", error)
            return b""
        return answer.body[-LOOK_BACK:] if answer.status == 206 else b""


def last_line(gcode: bytes) -> str:
    """The last command, without its comment; empty if there is none."""
    for raw in reversed(gcode.decode("utf-8", "replace").splitlines()):
        line = raw.partition(";")[0].strip()
        if line:
            return line[:100]
    return ""
