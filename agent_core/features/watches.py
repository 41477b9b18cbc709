"""Troubles that show only over time: a camera that stays away, a heater that drifts from its target. Pure.

`now` is monotonic seconds, `at` Unix seconds for the event. Neither watch touches anything: what to do is the person's
choice and the firmware's own protection.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent_core.model import AlertRaised, Phase, PrinterReport

CAMERA_SECONDS = 120.0
"""So long a camera that worked may fail in a print before it is told: a reboot of an IP camera takes a minute."""

CAMERAS_KEPT = 16

REACHED_BAND = 5.0
"""°C from its target at which a heater counts as there."""
FAR = 15.0
"""°C from its target that no opened door, fan or cold filament explains for long."""
FAR_SECONDS = 60.0

HEATERS_KEPT = 20


@dataclass(slots=True)
class _Camera:
    worked: bool = False
    failing_since: float | None = None
    reason: str = ""
    told: bool = False


class CameraWatch:
    """A camera that gave pictures and gives none any more, while something prints."""

    def __init__(self) -> None:
        self._cameras: dict[str, _Camera] = {}

    def state(self, name: str, works: bool, reason: str | None, now: float, at: float) -> AlertRaised | None:
        """What the snapshots worker says of a camera."""
        if name not in self._cameras and len(self._cameras) >= CAMERAS_KEPT:
            return None
        camera = self._cameras.setdefault(name, _Camera())
        if not works:
            camera.failing_since = now if camera.failing_since is None else camera.failing_since
            camera.reason = reason or "no reason is known"
            return None
        told = camera.told
        self._cameras[name] = _Camera(worked=True)
        if not told:
            return None
        text = f"{_called(name)} gives pictures again."
        return AlertRaised("Camera Is Back", text, at, event_class="INFO", topic=f"camera back {name}")

    def look(self, phase: Phase, now: float, at: float) -> list[AlertRaised]:
        found = []
        for name, camera in self._cameras.items():
            since = camera.failing_since
            if not camera.worked or camera.told or since is None or phase is not Phase.PRINTING:
                continue
            if now - since >= CAMERA_SECONDS:
                camera.told = True
                text = (
                    f"{_called(name)} has given no picture for {now - since:.0f} s: {camera.reason}. "
                    "Nobody watches through it."
                )
                found.append(AlertRaised("Camera Has Stopped", text, at, topic=f"camera {name}"))
        return found

    def forget(self) -> None:
        """Other cameras from now on."""
        self._cameras.clear()


@dataclass(slots=True)
class _Heater:
    target: float
    reached: bool = False
    far_since: float | None = None


class ThermalWatch:
    """A heater that had reached its target and is far from it, while something prints."""

    def __init__(self) -> None:
        self._heaters: dict[str, _Heater] = {}

    def look(self, report: PrinterReport, phase: Phase, now: float, at: float) -> list[AlertRaised]:
        if phase is not Phase.PRINTING:
            self._heaters.clear()  # a pause may cool down on purpose; resuming heats up again
            return []
        found = []
        for name, read in list(report.temperatures.items())[:HEATERS_KEPT]:
            if not (name.startswith("tool") or name == "bed") or not read.target or read.actual is None:
                self._heaters.pop(name, None)
                continue
            heater = self._heaters.get(name)
            if heater is None or heater.target != read.target:
                heater = self._heaters[name] = _Heater(read.target)
            off = abs(read.actual - read.target)
            heater.reached = heater.reached or off <= REACHED_BAND
            if off <= FAR or not heater.reached:
                heater.far_since = None
                continue
            if heater.far_since is None:
                heater.far_since = now
            elif now - heater.far_since >= FAR_SECONDS:
                heater.far_since = now  # the gate sees to it that it is not told each minute
                text = (
                    f"{name} is at {read.actual:.0f} °C for over {FAR_SECONDS:.0f} s, though its target is "
                    f"{read.target:.0f} °C. Look at the printer now."
                )
                found.append(AlertRaised("Heater Far From Its Target", text, at, event_class="ERROR",
                                         topic=f"heater {name}"))  # fmt: skip
        return found


def _called(name: str) -> str:
    return f"The camera {name}" if name else "The camera"
