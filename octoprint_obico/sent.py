"""What the G-code on its way to the printer tells: modes, speed, flow, fan, display text.

Called for every line of a print on OctoPrint's send thread: a dictionary look-up for most lines, and no lock (whole
values are replaced, so that a reader on another thread never sees half of one).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from agent_core.pause_marlin import MotionModes
from octoprint_obico.report import Overrides

MESSAGE_LIMIT = 200
"""Characters of an M117 text; no display is wider."""

REPORT_LAG_SECONDS = 10.0
"""OctoPrint asks for temperatures every 5 s at the slowest, and an answer may be under way while a target is sent."""

_MAX_HEATERS = 32

_NUMBER = re.compile(r"\s([STPR])\s*([0-9]*\.?[0-9]+)", re.IGNORECASE)

_MOVES = frozenset({"G0", "G1", "G2", "G3", "G00", "G01", "G02", "G03"})


class SentGcode:
    """The newest of each, since the printer was connected."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._modes = MotionModes()
        self._last_move: str | None = None
        self._overrides = Overrides()
        self._targets: dict[str, tuple[float, float]] = {}

    @property
    def overrides(self) -> Overrides:
        return self._overrides

    @property
    def modes(self) -> MotionModes:
        move = self._last_move
        return self._modes if move is None else self._modes.after(move)

    def reset(self) -> None:
        """A new connection: the printer was reset, or another one is there."""
        self._modes, self._last_move, self._overrides, self._targets = MotionModes(), None, Overrides(), {}

    def fresh_targets(self) -> dict[str, float]:
        """Heater targets (°C by `tool<n>`, `bed`) sent so lately that the printer's own report may still be older."""
        oldest = self._monotonic() - REPORT_LAG_SECONDS
        return {name: target for name, (target, at) in self._targets.copy().items() if at >= oldest}

    def sent(self, gcode: str | None, line: str) -> None:
        """`gcode` as OctoPrint names it: `G1`, `M117`, `T`; None for anything else."""
        if gcode in _MOVES:
            if "F" in line:
                # Read only when somebody asks: most lines are moves, and only the last feed rate counts.
                self._last_move = line
            return
        handler = _HANDLERS.get(gcode) if gcode is not None else None
        if handler is not None:
            handler(self, line)

    def _mode(self, line: str) -> None:
        self._modes = self._modes.after(line)

    def _speed(self, line: str) -> None:
        percent = _words(line).get("S")
        if percent is not None:
            self._overrides = replace(self._overrides, speed_factor=percent / 100.0)

    def _flow(self, line: str) -> None:
        self._mode(line)
        self._overrides = replace(self._overrides, flow_factor=self._modes.flow / 100.0)

    def _tool(self, line: str) -> None:
        self._mode(line)
        if self._overrides.flow_factor is not None:
            self._overrides = replace(self._overrides, flow_factor=self._modes.flow / 100.0)

    def _fan(self, line: str) -> None:
        words = _words(line)
        if words.get("P", 0.0) == 0.0:
            self._overrides = replace(self._overrides, fan_speed=min(words.get("S", 255.0), 255.0) / 255.0)

    def _fan_off(self, line: str) -> None:
        if _words(line).get("P", 0.0) == 0.0:
            self._overrides = replace(self._overrides, fan_speed=0.0)

    def _heat_tool(self, line: str) -> None:
        words = _words(line)
        self._heat(f"tool{int(words.get('T', self._modes.tool))}", words)

    def _heat_bed(self, line: str) -> None:
        self._heat("bed", _words(line))

    def _heat(self, name: str, words: Mapping[str, float]) -> None:
        target = words.get("S", words.get("R"))
        if target is not None and (name in self._targets or len(self._targets) < _MAX_HEATERS):
            self._targets = {**self._targets, name: (target, self._monotonic())}

    def _message(self, line: str) -> None:
        self._overrides = replace(self._overrides, message=line[4:].strip()[:MESSAGE_LIMIT] or None)


def _words(line: str) -> dict[str, float]:
    return {letter.upper(): float(value) for letter, value in _NUMBER.findall(line)}


_HANDLERS: Mapping[str, Callable[[SentGcode, str], None]] = {
    "G28": SentGcode._mode,
    "G90": SentGcode._mode,
    "G91": SentGcode._mode,
    "M18": SentGcode._mode,
    "M82": SentGcode._mode,
    "M83": SentGcode._mode,
    "M84": SentGcode._mode,
    "M104": SentGcode._heat_tool,
    "M106": SentGcode._fan,
    "M107": SentGcode._fan_off,
    "M109": SentGcode._heat_tool,
    "M117": SentGcode._message,
    "M140": SentGcode._heat_bed,
    "M190": SentGcode._heat_bed,
    "M220": SentGcode._speed,
    "M221": SentGcode._flow,
    "T": SentGcode._tool,
}
