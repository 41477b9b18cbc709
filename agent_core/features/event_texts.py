"""What a printer's own words mean to a person: firmware lines, Klipper's complaints, OctoPrint's errors. Pure.

Sources: payload-mapping.md §9 for the filament change; for the rest the messages of Marlin, Prusa's firmware and
Klipper. A line costs a microsecond or two; a print has a million of them.
"""

from __future__ import annotations

import re
from enum import Enum

from agent_core.model import AGAIN_SECONDS, AlertRaised

FILAMENT_SECONDS = 600.0
"""Between two events of a filament change (wire-protocol.md §3.6)."""

TEXT_LIMIT = 300


class Sign(Enum):
    """What a line is about; the most urgent first, for a line may match several."""

    THERMAL = "thermal"
    BOARD = "board"
    HOMING = "homing"
    IDLE = "idle"
    RUN_OUT = "run_out"
    CHANGE = "change"
    PAUSED_ITSELF = "paused_itself"
    """The printer has paused by itself, and most do that for filament."""


_PATTERNS = {
    Sign.THERMAL: r"thermal runaway|temp(?:erature)? ?runaway|not heating at expected rate|heating failed"
    r"|preheat ?error|\bmin ?temp\b|\bmax ?temp\b|adc out of range|verify_heater|temperature malfunction|thermistor"
    r"|heater_fault|reading temperature.*(?:failed|error)|outside of (?:the )?(?:temperature )?range",
    Sign.BOARD: r"lost communication with mcu|mcu '[^']*' (?:shutdown|disconnected)|unable to connect to mcu"
    r"|timer too close|missed scheduling|serial connection closed|communication timeout with|no response from mcu",
    Sign.HOMING: r"must home|home (?:all )?(?:axis|axes|xyz?) first|not homed|homing failed"
    r"|no trigger on \w+ after full",
    Sign.IDLE: r"(?:heat|nozzle|hotend|bed)[^.]*(?:off|disabled|timed? ?out)[^.]*(?:time|inactiv|safety|idle)"
    r"|(?:heater|nozzle|idle|bed) ?time-?out|safety timer|heating disabled",
    Sign.RUN_OUT: r"filament (?:has )?(?:run ?out|ran out|not detected|missing)|(?:run ?out|out) of filament"
    r"|no filament|filament_?(?:switch|motion)_sensor|runout (?:detected|triggered)"
    r"|filament sensor[^.]*(?:runout|triggered|no filament)",
    Sign.CHANGE: r"\bm600\b|\bm70[12]\b|(?:change|insert|load|unload|replace|eject)(?:ing)? (?:the )?filament"
    r"|filament change|paused for user",
    Sign.PAUSED_ITSELF: r"//\s*action:\s*paused\b",
}

_EACH = {sign: re.compile(pattern) for sign, pattern in _PATTERNS.items()}

LINE_LIMIT = 300
"""Characters of a line that are looked at; a longer one is no message for people."""

_HINTS = ("filament", "paused", "m600", "m701", "m702", "runout", "out", "timer", "disabled")
"""One of these stands in every line of small talk that says something; all others cost no more than this look."""

_IN_A_LINE = frozenset({Sign.RUN_OUT, Sign.CHANGE, Sign.PAUSED_ITSELF, Sign.IDLE})
"""What a line of the printer's small talk may be about; the rest only means something in an error."""

_TOLD = {
    Sign.THERMAL: ("Heater Trouble", "PRINTER_ERROR", "ERROR", "thermal"),
    Sign.BOARD: ("Controller Board Lost", "PRINTER_ERROR", "ERROR", "board"),
    Sign.HOMING: ("Printer Has Lost Its Position", "PRINTER_ERROR", "ERROR", "homing"),
    Sign.IDLE: ("Heaters Turned Off in the Pause", "PRINTER_ERROR", "WARNING", "idle"),
    Sign.RUN_OUT: ("Filament Has Run Out", "FILAMENT_CHANGE", "WARNING", "filament"),
    Sign.CHANGE: ("Filament Change Required", "FILAMENT_CHANGE", "WARNING", "filament"),
    Sign.PAUSED_ITSELF: ("Filament Change Required", "FILAMENT_CHANGE", "WARNING", "filament"),
}
"""Title, type, class, topic."""


def small_talk(line: str) -> Sign | None:
    """What a line that the printer says by the way is about, if a person should know."""
    said = line[:LINE_LIMIT].lower()
    if not any(hint in said for hint in _HINTS):
        return None
    return next((sign for sign in Sign if sign in _IN_A_LINE and _EACH[sign].search(said)), None)


def complaint(text: str) -> Sign | None:
    """What an error is about."""
    said = text[:LINE_LIMIT].lower()
    return next((sign for sign in Sign if sign is not Sign.PAUSED_ITSELF and _EACH[sign].search(said)), None)


def told(sign: Sign, text: str, at: float) -> AlertRaised:
    """The event for it, with the words that it was read from."""
    title, kind, event_class, topic = _TOLD[sign]
    every = FILAMENT_SECONDS if kind == "FILAMENT_CHANGE" else AGAIN_SECONDS
    return AlertRaised(title, text[:TEXT_LIMIT], at, kind, event_class, topic=topic, every=every)


def error(text: str, at: float, title: str) -> AlertRaised:
    """An error that the printer reports; `title` if nothing better is known."""
    sign = complaint(text)
    if sign is None:
        return AlertRaised(title, text[:TEXT_LIMIT], at, event_class="ERROR")
    return told(sign, text, at)
