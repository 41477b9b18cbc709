"""The printer's terminal for whoever looks at it (wire-protocol.md §3.2, §8 `gcode_hooks.toggle_terminal_feed`).

A printing host says hundreds of lines a second; they go out only while somebody watches and has switched them on, and
no faster than a person or a link can take. What is left out is counted and said.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

from agent_core.errors import Rejected
from agent_core.passthru import Route
from agent_core.ports import Clock
from agent_core.wire.messages import PassthruCall, TerminalFeed

LINES_PER_SECOND = 20.0
BURST = 100.0
LONGEST_LINE = 500
"""Characters; the rest of a longer one is left out and said so."""

FORGET_SECONDS = 600.0
"""After nobody watched for so long, the next viewer finds the switch as it was at first."""

_SECRET = re.compile(r"\bM58[678]\b", re.IGNORECASE)
"""Firmwares' commands for Wi-Fi names and passwords."""


class Terminal:
    """`line` may be called from any thread at any rate and returns at once; `watched` is the core thread's. `tell`
    takes what goes out. `on`: whether it is switched on at first (Klipper's clients know no switch, OctoPrint's do).
    """

    def __init__(self, clock: Clock, tell: Callable[[TerminalFeed], None], *, on: bool) -> None:
        self._clock = clock
        self._tell = tell
        self._first = on
        # Guards everything below; held for a few instructions.
        self._lock = threading.Lock()
        self._on = on
        self._viewing = False
        self._left_at = clock.monotonic()
        self._live = False
        self._room = BURST
        self._filled_at = 0.0
        self._dropped = 0

    def routes(self) -> dict[str, Route]:
        return {"gcode_hooks.toggle_terminal_feed": Route(self._toggle)}

    @property
    def live(self) -> bool:
        """Whether lines are wanted just now."""
        return self._live

    def watched(self, viewing: bool) -> None:
        with self._lock:
            if viewing == self._viewing:
                return
            now = self._clock.monotonic()
            self._viewing = viewing
            if not viewing:
                self._left_at = now
            elif now - self._left_at > FORGET_SECONDS:
                self._on = self._first
            self._settle()

    def line(self, text: str) -> None:
        if not self._live:
            return
        now = self._clock.monotonic()
        with self._lock:
            self._room = min(BURST, self._room + (now - self._filled_at) * LINES_PER_SECOND)
            self._filled_at = now
            if self._room < 1.0:
                self._dropped += 1
                return
            self._room -= 1.0
            dropped, self._dropped = self._dropped, 0
        at = self._clock.now()
        if dropped:
            self._tell(TerminalFeed(f"({dropped} lines left out)", at))
        self._tell(TerminalFeed(shown(text), at))

    def _toggle(self, call: PassthruCall) -> bool:
        wanted = call.args[0] if len(call.args) == 1 else "get" if not call.args else None
        if wanted not in ("on", "off", "get"):
            raise Rejected("the terminal feed is switched on or off, or asked for (get)")
        with self._lock:
            if wanted != "get":
                self._on = wanted == "on"
                self._settle()
            return self._on

    def _settle(self) -> None:
        live = self._on and self._viewing
        if live and not self._live:
            self._room, self._filled_at, self._dropped = BURST, self._clock.monotonic(), 0
        self._live = live


def shown(line: str) -> str:
    """The line as it goes out: printable, bounded, without passwords."""
    secret = _SECRET.search(line)
    if secret:
        line = f"{line[: secret.end()]} ***"
    text = "".join(char if char.isprintable() or char == "\t" else " " for char in line[: LONGEST_LINE + 1]).rstrip()
    return text if len(line) <= LONGEST_LINE else f"{text[:LONGEST_LINE]} … ({len(line)} characters)"
