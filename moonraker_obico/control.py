"""The Klipper hands for viewers' calls (agent_core.features.control.ControlPort)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress

from agent_core import pause_klipper as klipper
from agent_core.errors import CommandFailed, Rejected, Unreachable
from agent_core.features.control import AXES, HOME_SECONDS, plain
from moonraker_obico.heaters import klipper_names, public_name
from moonraker_obico.klipper_api import KlipperApi, Objects
from moonraker_obico.objects import as_number

STATE_NAME = "obico_jog"
"""Of our SAVE_GCODE_STATE; the pause has one of its own."""

XY_FEED, Z_FEED = 6000, 600
"""mm/min: 100 and 10 mm/s (wire-protocol.md §8)."""

SCRIPT_SECONDS = 28.0
"""Klipper answers a script when it has been carried out; the call itself is answered within 30 s."""

_POSITION = {"toolhead": ("homed_axes", "axis_minimum", "axis_maximum", "position")}


class KlipperControl:
    """`command`: the pause, resume or cancel of ours that runs, None if none does."""

    def __init__(self, api: KlipperApi, command: Callable[[], str | None]) -> None:
        self._api = api
        self._command = command

    def heaters(self) -> Iterable[str]:
        return [name for name, own in self._names().items() if public_name(own) == name]

    def jog(self, moves: Mapping[str, float]) -> None:
        self.check_rest()
        self._check_reach(moves)
        words = " ".join(f"{axis.upper()}{plain(distance)}" for axis, distance in moves.items())
        feed = Z_FEED if "z" in moves else XY_FEED
        try:
            self._script(f"SAVE_GCODE_STATE NAME={STATE_NAME}\nG91\nG0 {words} F{feed}\n{_restore()}")
        except CommandFailed:
            # A script ends at its failing line, and the mode would stay relative for whatever comes next.
            with suppress(CommandFailed, Unreachable):
                self._script(_restore())
            raise

    def home(self, axes: Sequence[str]) -> None:
        self.check_rest()
        self._script("G28" if set(axes) == set(AXES) else f"G28 {' '.join(axis.upper() for axis in axes)}",
                     seconds=HOME_SECONDS - 2)  # fmt: skip

    def set_temperature(self, heater: str, target: float) -> None:
        self._ready()
        own = self._names().get(heater)
        if own is None:
            raise Rejected(f"Klipper has no heater {heater} any more")
        self._script(f"SET_HEATER_TEMPERATURE HEATER={own.split()[-1]} TARGET={plain(target)}")

    def check_rest(self) -> None:
        """Raises Rejected while the printer must be let alone."""
        why = self.why_busy()
        if why is not None:
            raise Rejected(f"refused: {why}")

    def why_busy(self) -> str | None:
        """What is under way, None if nothing is. Raises Rejected while Klipper is away."""
        return self._why_busy(self._ready())

    def why_busy_if_up(self) -> str | None:
        """The same for what makes sense without Klipper too: power, and a restart after an emergency stop. None where
        Klipper is down; Rejected while it is up and its state not known yet. May ask Moonraker.
        """
        objects = self._api.objects()
        if objects:
            return None if klipper.not_ready(objects) else self._why_busy(objects)
        info = self._api.call("server.info", timeout=SCRIPT_SECONDS)
        if isinstance(info, dict) and info.get("klippy_state") == "ready":
            raise Rejected("what the printer does is not known yet; try again in a moment")
        return None

    def _why_busy(self, objects: Objects) -> str | None:
        command, state = self._command(), klipper.print_state(objects)
        if command is not None:
            return f"a {command} is under way"
        if state == "paused":
            return "a print is paused; its place must not be lost"
        return "a print is under way" if state == "printing" else None

    def _ready(self) -> Objects:
        objects = self._api.objects()
        why = klipper.not_ready(objects)
        if why is not None:
            raise Rejected(why)
        return objects

    def _check_reach(self, moves: Mapping[str, float]) -> None:
        """Klipper would refuse as well, but half-way through our script."""
        toolhead = self._api.query(_POSITION).get("toolhead", {})
        homed = str(toolhead.get("homed_axes") or "").lower()
        lost = [axis for axis in moves if axis not in homed]
        if lost:
            raise Rejected(f"home {', '.join(lost).upper()} first")
        for axis, distance in moves.items():
            index = AXES.index(axis)
            here, least, most = (_at(toolhead.get(key), index) for key in ("position", "axis_minimum", "axis_maximum"))
            if here is None or least is None or most is None:
                continue
            if not least - 0.001 <= here + distance <= most + 0.001:
                reach = f"{plain(least)} to {plain(most)} mm"
                raise Rejected(f"{axis.upper()} would go to {plain(here + distance)} mm; it reaches {reach}")

    def _names(self) -> dict[str, str]:
        return klipper_names(self._api.objects().get("heaters", {}))

    def _script(self, text: str, *, seconds: float = SCRIPT_SECONDS) -> None:
        self._api.call("printer.gcode.script", {"script": text}, timeout=seconds)


def _restore() -> str:
    return f"RESTORE_GCODE_STATE NAME={STATE_NAME}"


def _at(vector: object, index: int) -> float | None:
    return as_number(vector[index]) if isinstance(vector, (list, tuple)) and len(vector) > index else None
