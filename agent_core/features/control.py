"""Moving and heating by a viewer's call: `_printer.jog`, `home`, `set_temperature` (wire-protocol.md §8), both hosts.

Nothing of a viewer's text ever reaches the printer: axes and heaters come out of lists, numbers are checked numbers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from agent_core.errors import Rejected
from agent_core.passthru import Route
from agent_core.wire.messages import PassthruCall

AXES = ("x", "y", "z")

MOST_JOG = 1000.0
"""mm, whatever the printer; a host knows its own volume and refuses more than that."""

HOME_SECONDS = 58.0
"""Homing may take its time; a client gives up after 60 s."""

_HOTTEST = {"tool": 500.0, "bed": 200.0}
_HOTTEST_OTHER = 200.0
"""°C beyond which a number must be a slip of the finger; the firmware's own limits are lower, and hold as well."""

_KLIPPER_TOOL = re.compile(r"extruder([0-9]{0,2})")


class ControlPort(Protocol):
    """The host's hands for a viewer's call, on the call's own thread, one call at a time. Each raises Rejected where
    nothing was done (also while a print is under way or the printer is away), CommandFailed or Unreachable after.
    """

    def heaters(self) -> Iterable[str]:
        """By the names of every payload: `tool0`, `tool1`, `bed`, `chamber`, others by their own."""
        ...

    def jog(self, moves: Mapping[str, float]) -> None:
        """Moves by so many mm on each axis (x, y, z), as the printer's owner sees its directions."""
        ...

    def home(self, axes: Sequence[str]) -> None: ...

    def set_temperature(self, heater: str, target: float) -> None:
        """`heater` is one of `heaters()`, `target` °C, 0 for off. Does not wait; allowed while printing."""
        ...


def control_routes(port: ControlPort) -> dict[str, Route]:
    def jog(call: PassthruCall) -> None:
        port.jog(moves_of(call))

    def home(call: PassthruCall) -> None:
        port.home(axes_of(_only(call, 1)[0]))

    def set_temperature(call: PassthruCall) -> None:
        name, target = _only(call, 2)
        heater = heater_of(name, port.heaters())
        port.set_temperature(heater, target_of(heater, target))

    return {
        "_printer.jog": Route(jog, while_printing=False),
        "_printer.home": Route(home, seconds=HOME_SECONDS, while_printing=False),
        "_printer.set_temperature": Route(set_temperature),
    }


def moves_of(call: PassthruCall) -> dict[str, float]:
    """mm by axis, of `[{"x": 10}]`. Raises Rejected."""
    (wanted,) = _only(call, 1, allowed={"relative": True})
    if not isinstance(wanted, Mapping) or not wanted:
        raise Rejected('a jog names its axes and millimetres: {"x": 10}')
    moves: dict[str, float] = {}
    for axis, value in wanted.items():
        distance = number_of(value, f"the distance on {str(axis)[:10]!r}")
        if abs(distance) > MOST_JOG:
            raise Rejected(f"a jog of {distance:g} mm is too far: at most {MOST_JOG:g}")
        moves[axis_of(axis)] = distance
    if not any(moves.values()):
        raise Rejected("a jog of 0 mm")
    return {axis: distance for axis, distance in moves.items() if distance}


def axes_of(wanted: object) -> tuple[str, ...]:
    """The axes of `"z"` or `["x", "y"]`, each once, in the order x, y, z. Raises Rejected."""
    listed = [wanted] if isinstance(wanted, str) else wanted
    if not isinstance(listed, (list, tuple)) or not listed:
        raise Rejected('homing names its axes: ["x", "y", "z"]')
    found = {axis_of(axis) for axis in listed}
    return tuple(axis for axis in AXES if axis in found)


def axis_of(value: object) -> str:
    axis = value.lower() if isinstance(value, str) else ""
    if axis not in AXES:
        raise Rejected(f"no such axis: {str(value)[:20]!r}; there are x, y and z")
    return axis


def heater_of(value: object, heaters: Iterable[str]) -> str:
    """The heater by the name of every payload or by Klipper's own (`extruder1`, `heater_bed`). Raises Rejected."""
    known = list(heaters)
    if isinstance(value, str):
        klipper = _KLIPPER_TOOL.fullmatch(value)
        names = [value, value.removeprefix("heater_generic ").strip()]
        if klipper:
            names.append(f"tool{klipper[1] or 0}")
        elif value == "heater_bed":
            names.append("bed")
        names += [name.lower() for name in names]
        for name in names:
            if name in known:
                return name
    raise Rejected(f"no such heater: {str(value)[:40]!r}; there are {', '.join(known) or 'none'}")


def target_of(heater: str, value: object) -> float:
    target = number_of(value, "a temperature")
    hottest = next((most for kind, most in _HOTTEST.items() if heater.startswith(kind)), _HOTTEST_OTHER)
    if not 0.0 <= target <= hottest:
        raise Rejected(f"{target:g} °C is no temperature for {heater}: 0 to {hottest:g} are taken")
    return target


def number_of(value: object, what: str) -> float:
    """A finite number. Raises Rejected."""
    if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e12 and math.isfinite(value):
        return float(value)
    raise Rejected(f"{what} is no number: {str(value)[:20]!r}")


def plain(value: float) -> str:
    """For G-code: `6.5`, never `6.500000` or an exponent; to a thousandth."""
    return f"{round(value, 3):.3f}".rstrip("0").rstrip(".") or "0"


def _only(call: PassthruCall, count: int, allowed: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
    """Exactly so many arguments; no named one but those `allowed`, with that very value: what is not understood is
    not guessed at (an absolute move taken for a relative one ends in the bed)."""
    for name, value in call.kwargs.items():
        if name not in (allowed or {}) or value is not (allowed or {})[name]:
            raise Rejected(f"{call.func} does not take {name[:20]}={str(value)[:20]!r} here")
    if len(call.args) != count:
        raise Rejected(f"{call.func} takes {count} argument{'s' if count > 1 else ''}, {len(call.args)} came")
    return call.args
