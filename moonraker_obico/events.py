"""What a person should know of Klipper beside the life of a print: run-out, heaters off in a pause, a lost position.

Read from the status as it changes; nothing is asked and nothing is touched. Times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent_core.features.event_texts import FILAMENT_SECONDS, TEXT_LIMIT, Sign, complaint, error, small_talk, told
from agent_core.model import AlertRaised
from moonraker_obico.objects import field, heater_names, is_filament_sensor, number, text

IDLE_SECONDS = 5.0
"""Klipper says `Idle` when the macro of its idle_timeout has ended, thus shortly after the heaters went off."""

_MOTION = "filament_motion_sensor"


class KlipperEvents:
    """Used by the Translator alone: `prime` with each full status, `look` with each change."""

    def __init__(self) -> None:
        self._filament: dict[str, bool] = {}
        self._state = ""
        self._homed = ""
        self._message = ""
        self._hot = False
        self._cooled_at: float | None = None

    def prime(self, status: Mapping[str, Mapping[str, Any]]) -> None:
        """What is found now may have come about unseen: it is known, and no news."""
        self._remember(status)
        self._hot = _hot(status)
        self._cooled_at = None

    def look(self, status: Mapping[str, Mapping[str, Any]], now: float) -> list[AlertRaised]:
        """What this change of the status tells, while a print is under way."""
        state = text(status, "print_stats", "state")
        found: list[AlertRaised] = []
        if state in {"printing", "paused"} and self._state in {"printing", "paused"}:
            found += self._run_out(status, now)
            found += self._display(status, now)
            if state == "paused":
                found += self._gone_cold(status, now)
                found += self._position(status, now)
        if state != "paused":
            self._hot, self._cooled_at = _hot(status), None
        self._remember(status)
        return found

    def line(self, line: str, now: float) -> list[AlertRaised]:
        """A line of Klipper's that is no complaint (`!!`)."""
        sign = small_talk(line)
        if sign is None or self._state != "printing":
            return []
        return [told(sign, f"Klipper says: {line.removeprefix('//').strip()}", now)]

    def _remember(self, status: Mapping[str, Mapping[str, Any]]) -> None:
        self._filament = {name: field(status, name, "filament_detected") is True for name in _sensors(status)}
        self._state = text(status, "print_stats", "state")
        self._homed = text(status, "toolhead", "homed_axes")
        self._message = text(status, "display_status", "message")

    def _run_out(self, status: Mapping[str, Mapping[str, Any]], now: float) -> list[AlertRaised]:
        """A sensor that no longer feels filament. Not in a pause: who changes it takes it out."""
        if self._state != "printing":
            return []
        found = []
        for name in _sensors(status):
            kind, _, sensor = name.partition(" ")
            gone = self._filament.get(name) is True and field(status, name, "filament_detected") is False
            if not gone or field(status, name, "enabled") is not True:
                continue
            title = "Filament Does Not Move" if kind == _MOTION else "Filament Has Run Out"
            what = "feels no filament moving: it is jammed, or has run out" if kind == _MOTION else "feels no filament"
            found.append(
                AlertRaised(title, f"The filament sensor {sensor} {what}."[:TEXT_LIMIT], now, "FILAMENT_CHANGE",
                            topic="filament", every=FILAMENT_SECONDS)
            )  # fmt: skip
        return found

    def _display(self, status: Mapping[str, Mapping[str, Any]], now: float) -> list[AlertRaised]:
        """M117 is how macros of a filament change speak to people."""
        shown = text(status, "display_status", "message")
        if shown == self._message or self._state != "printing":
            return []
        sign = small_talk(shown)
        return [told(sign, f"The printer's display says: {shown}", now)] if sign in _OF_FILAMENT else []

    def _gone_cold(self, status: Mapping[str, Mapping[str, Any]], now: float) -> list[AlertRaised]:
        """Klipper's idle_timeout has switched the heaters off: the part cools down and may come off."""
        hot = _hot(status)
        if self._hot and not hot:
            self._cooled_at = now
        self._hot = hot
        idle = text(status, "idle_timeout", "state") == "Idle"
        if not idle or hot or self._cooled_at is None or not 0 <= now - self._cooled_at <= IDLE_SECONDS:
            return []
        self._cooled_at = None
        words = (
            "The pause was longer than Klipper's idle_timeout, so the heaters are off. The part cools down and may "
            "come off the bed."
        )
        return [told(Sign.IDLE, words, now)]

    def _position(self, status: Mapping[str, Mapping[str, Any]], now: float) -> list[AlertRaised]:
        homed = text(status, "toolhead", "homed_axes")
        lost = [axis for axis in self._homed if axis not in homed]
        if not lost or self._state != "paused":
            return []
        words = (
            f"The motors were switched off in the pause: Klipper no longer knows where {', '.join(lost)} is. "
            "The print cannot be resumed as it is."
        )
        return [told(Sign.HOMING, words, now)]


_OF_FILAMENT = frozenset({Sign.RUN_OUT, Sign.CHANGE})


def complained(said: str, now: float) -> AlertRaised:
    """A `!!` line in a print."""
    return error(said, now, "Klipper Reports an Error")


def stopped(reason: str, now: float) -> AlertRaised:
    """Klipper has shut down; `reason` without the advice that follows it."""
    sign = complaint(reason)
    if sign in {Sign.THERMAL, Sign.BOARD}:
        return told(sign, reason, now)
    return AlertRaised("Klipper Has Stopped", reason[:TEXT_LIMIT], now, event_class="ERROR")


def _sensors(status: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [name for name in status if is_filament_sensor(name)]


def _hot(status: Mapping[str, Mapping[str, Any]]) -> bool:
    return any(number(status, name, "target") for name in heater_names(status.get("heaters", {})))
