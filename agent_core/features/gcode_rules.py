"""Which G-code a viewer may send, and when: an owner's terminal while the printer rests, next to nothing in a print."""

from __future__ import annotations

import re
from collections.abc import Iterable

from agent_core.errors import Rejected

MOST_LINES = 50
LONGEST_LINE = 250
"""Characters; firmwares read 96 to 256."""

EMERGENCY = "M112"

_WHILE_PRINTING = frozenset(
    {
        # Marlin's and Klipper's: temperatures without waiting, fans, speed, flow, the display, and questions.
        "M104", "M140", "M141", "M106", "M107", "M220", "M221", "M73", "M117", "M300", "M105", "M114", "M115",
        # Klipper's own.
        "SET_HEATER_TEMPERATURE", "SET_TEMPERATURE_FAN_TARGET", "SET_FAN_SPEED", "TURN_OFF_HEATERS",
    }
)  # fmt: skip
"""Nothing that moves, waits, changes modes, starts or ends a print. M118 is not here: a firmware echoes it, and a host
obeys what it then reads (`//action:cancel`)."""

_NEVER = frozenset({"RUN_SHELL_COMMAND"})
"""A Klipper extension that runs programs on the host: no part of a printer."""

_NUMBERED = re.compile(r"[GMT][0-9]+(?:\.[0-9]+)?")
_NAMED = re.compile(r"[A-Z_@][A-Z0-9_]*")


def lines_of(text: object) -> tuple[str, ...]:
    """The lines without comments and empty ones. Raises Rejected for anything that is no plain G-code."""
    if not isinstance(text, str):
        raise Rejected("G-code is wanted, as one text")
    found = tuple(line for part in text.replace("\r", "\n").split("\n") if (line := part.partition(";")[0].strip()))
    if not found:
        raise Rejected("there is no G-code in it")
    if len(found) > MOST_LINES:
        raise Rejected(f"{len(found)} lines of G-code at once, at most {MOST_LINES} are taken")
    for line in found:
        if len(line) > LONGEST_LINE:
            raise Rejected(f"a line of G-code has {len(line)} characters, at most {LONGEST_LINE} are taken")
        if not line.isprintable():
            raise Rejected("a line of G-code has characters in it that no printer reads")
        if word_of(line) in _NEVER:
            raise Rejected(f"{word_of(line)} is not taken from afar")
    return found


def word_of(line: str) -> str:
    """The command's name in capitals (`M104`, `SET_FAN_SPEED`); empty if there is none. `M0104` is not `M104`."""
    found = _NUMBERED.match(line.upper()) or _NAMED.match(line.upper())
    return found.group() if found else ""


def is_emergency(text: object) -> bool:
    """Whether an emergency stop is in it, whatever else is; never raises."""
    return isinstance(text, str) and EMERGENCY in text.upper() and any(
        word_of(line.strip()) == EMERGENCY for line in text.replace("\r", "\n").split("\n")
    )  # fmt: skip


def check_while_printing(lines: Iterable[str], why: str) -> None:
    """Raises Rejected if one of the lines could harm a print. `why`: what is under way."""
    for line in lines:
        word = word_of(line)
        if word not in _WHILE_PRINTING:
            hint = " (use M104, M140 or M141, which do not wait)" if word in {"M109", "M190", "M191"} else ""
            raise Rejected(f"refused: {why}; {word or line[:20]} could harm it{hint}")
