"""Heaters as an exact first-order model: a steady rise, an exponential fall. Nothing has to be stepped."""

from __future__ import annotations

import math

from demo.klippy.errors import GcodeError

AMBIENT = 25.0


class Heater:
    """One heater. Temperatures in °C, `rise` in °C/s, `tau` (cooling) in s; `speed` makes both that much faster."""

    def __init__(self, name: str, rise: float, tau: float, max_temp: float, speed: float) -> None:
        self.name = name
        self.max_temp = max_temp
        self.target = 0.0
        self.powered = True
        self._rise = rise
        self._tau = tau
        self._speed = speed
        self._at = 0.0
        self._from = AMBIENT

    def temperature(self, now: float) -> float:
        elapsed = max(0.0, now - self._at) * self._speed
        target = self.target if self.powered else 0.0
        if self._from < target:
            return min(target, self._from + self._rise * elapsed)
        return max(target, AMBIENT + (self._from - AMBIENT) * math.exp(-elapsed / self._tau))

    def power(self, now: float) -> float:
        if not self.powered or self.target <= 0.0:
            return 0.0
        if self.temperature(now) < self.target - 0.01:
            return 1.0
        return round(min(1.0, max(0.0, self.target - AMBIENT) / 400.0), 2)

    def set_target(self, target: float, now: float) -> None:
        """Raises GcodeError if out of range."""
        if target and not 0.0 <= target <= self.max_temp:
            raise GcodeError(f"Requested temperature ({target:.1f}) out of range (-20.0:{self.max_temp:.1f})")
        self.force(self.temperature(now), now)
        self.target = target

    def force(self, temperature: float, now: float) -> None:
        """The sensor reads `temperature` from now on."""
        self._from = temperature
        self._at = now

    def set_speed(self, speed: float, now: float) -> None:
        self.force(self.temperature(now), now)
        self._speed = speed

    def switch_off(self, now: float) -> None:
        """The micro-controller cut the power (a shutdown); the host keeps the target that it last wanted."""
        self.force(self.temperature(now), now)
        self.powered = False

    def reached_at(self, now: float, *, wait_for_cooling: bool) -> float:
        """Monotonic time at which a wait for the target ends, `now` if it need not wait."""
        current = self.temperature(now)
        if self.target <= 0.0:
            return now
        if current < self.target - 0.01:
            return now + (self.target - current) / self._rise / self._speed
        if not wait_for_cooling or current <= self.target + 1.0:
            return now
        if self.target + 1.0 <= AMBIENT:
            return now + 1.0
        seconds = self._tau * math.log((current - AMBIENT) / (self.target + 1.0 - AMBIENT))
        return now + seconds / self._speed
