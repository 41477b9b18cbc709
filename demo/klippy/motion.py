"""The tool head: limits, homing, queued motion, and where the nozzle really is."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from demo.klippy.errors import GcodeError

FILAMENT_AREA = math.pi * (1.75 / 2.0) ** 2
BUFFER_SECONDS = 1.0  # Klipper reads about this much motion ahead of the nozzle

Position = tuple[float, float, float, float]
ORIGIN: Position = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Machine:
    """The printer of `config/printer.cfg` in the recordings. Lengths in mm, speeds in mm/s, areas in mm²."""

    axis_minimum: tuple[float, float, float] = (0.0, 0.0, 0.0)
    axis_maximum: tuple[float, float, float] = (200.0, 200.0, 180.0)
    max_velocity: float = 200.0
    max_z_velocity: float = 20.0
    homing_speed: tuple[float, float, float] = (40.0, 40.0, 10.0)
    max_extrude_only_distance: float = 100.0
    max_extrude_only_velocity: float = 53.21621607382886
    max_extrude_cross_section: float = 0.64
    nozzle_diameter: float = 0.4


@dataclass(frozen=True, slots=True)
class Segment:
    """One queued straight move; `begin` and `end` are monotonic seconds."""

    begin: float
    end: float
    start: Position
    target: Position


class Toolhead:
    """Commanded position, homed axes and the queue of moves that the nozzle has not done yet.

    `speed` divides every duration, so a file prints `speed` times faster while all positions stay exact.
    """

    def __init__(self, machine: Machine, speed: float) -> None:
        self.machine = machine
        self.speed = speed
        self.position: Position = ORIGIN
        self.homed = ""
        self.queue_end = 0.0
        self.stalls = 0
        # Bounded by the flow control in `room_at`: one buffer's worth of moves.
        self._segments: deque[Segment] = deque()

    def move(self, target: Position, velocity: float, now: float, *, can_extrude: bool) -> None:
        """Queue a straight move to `target` at `velocity` mm/s. Raises GcodeError and moves nothing if refused."""
        deltas = [t - p for t, p in zip(target, self.position, strict=True)]
        distance = math.hypot(*deltas[:3])
        if distance < 1e-9:
            target = (*self.position[:3], target[3])
            deltas = [0.0, 0.0, 0.0, deltas[3]]
            distance = 0.0
        if distance == 0.0 and abs(deltas[3]) < 1e-12:
            return
        self._check_limits(target, deltas)
        if deltas[3]:
            self._check_extrusion(deltas, distance, can_extrude=can_extrude)
        self._queue(target, self._duration(deltas, distance, velocity), now)

    def _check_limits(self, target: Position, deltas: list[float]) -> None:
        for axis in range(3):
            if not deltas[axis]:
                continue
            where = "{:.3f} {:.3f} {:.3f} [{:.3f}]".format(*target)
            if "xyz"[axis] not in self.homed:
                raise GcodeError(f"Must home axis first: {where}")
            if not self.machine.axis_minimum[axis] <= target[axis] <= self.machine.axis_maximum[axis]:
                raise GcodeError(f"Move out of range: {where}")

    def _check_extrusion(self, deltas: list[float], distance: float, *, can_extrude: bool) -> None:
        extruded = deltas[3]
        if not can_extrude:
            raise GcodeError("Extrude below minimum temp\nSee the 'min_extrude_temp' config option for details")
        if (not deltas[0] and not deltas[1]) or extruded < 0.0:
            if abs(extruded) > self.machine.max_extrude_only_distance:
                raise GcodeError(
                    f"Extrude only move too long ({extruded:.3f}mm vs "
                    f"{self.machine.max_extrude_only_distance:.3f}mm)\n"
                    "See the 'max_extrude_only_distance' config option for details"
                )
            return
        limit = self.machine.max_extrude_cross_section
        if extruded * FILAMENT_AREA / distance > limit and extruded > (
            self.machine.nozzle_diameter * limit / FILAMENT_AREA
        ):
            raise GcodeError(
                f"Move exceeds maximum extrusion ({extruded / distance * FILAMENT_AREA:.3f}mm^2 vs {limit:.3f}mm^2)\n"
                "See the 'max_extrude_cross_section' config option for details"
            )

    def _duration(self, deltas: list[float], distance: float, velocity: float) -> float:
        velocity = min(velocity, self.machine.max_velocity)
        if not distance:
            return abs(deltas[3]) / min(velocity, self.machine.max_extrude_only_velocity)
        seconds = distance / velocity
        return max(seconds, abs(deltas[2]) / self.machine.max_z_velocity)

    def _queue(self, target: Position, seconds: float, now: float) -> None:
        if self.queue_end < now and self._segments:
            self.stalls += 1
        self._forget_done(now)
        begin = max(self.queue_end, now)
        self.queue_end = begin + seconds / self.speed
        self._segments.append(Segment(begin, self.queue_end, self.position, target))
        self.position = target

    def _forget_done(self, now: float) -> None:
        while self._segments and self._segments[0].end <= now:
            self._segments.popleft()

    def dwell(self, seconds: float, now: float) -> None:
        """Stand still for `seconds` of printer time after what is queued."""
        self._queue(self.position, seconds, now)

    def room_at(self) -> float:
        """Monotonic time from which the queue takes another move."""
        return self.queue_end - BUFFER_SECONDS / self.speed

    def busy(self, now: float) -> bool:
        return self.queue_end > now

    def live(self, now: float) -> tuple[Position, float, float]:
        """Where the nozzle is at `now`, its speed and the filament's speed in mm/s."""
        self._forget_done(now)
        if not self._segments:
            return self.position, 0.0, 0.0
        segment = self._segments[0]
        length = segment.end - segment.begin
        part = min(1.0, max(0.0, (now - segment.begin) / length)) if length > 0.0 else 1.0
        x, y, z, e = (a + (b - a) * part for a, b in zip(segment.start, segment.target, strict=True))
        seconds = max(length * self.speed, 1e-9)
        travelled = math.dist(segment.start[:3], segment.target[:3])
        return (x, y, z, e), travelled / seconds, (segment.target[3] - segment.start[3]) / seconds

    def homing_seconds(self, axis: int) -> float:
        """How long homing this axis takes from here, in printer time: approach, back off 5 mm, approach slowly."""
        speed = self.machine.homing_speed[axis]
        travel = abs(self.position[axis]) if "xyz"[axis] in self.homed else self.machine.axis_maximum[axis] / 4.0
        return travel / speed + 5.0 / speed + 10.0 / speed + 0.3

    def set_axis(self, axis: int, value: float) -> None:
        """The axis is at `value` now and counts as homed (homing, SET_KINEMATIC_POSITION)."""
        changed = list(self.position)
        changed[axis] = value
        self.position = (changed[0], changed[1], changed[2], changed[3])
        self.homed = "".join(a for a in "xyz" if a in self.homed or a == "xyz"[axis])

    def motors_off(self) -> None:
        self.homed = ""

    def halt(self, now: float) -> None:
        """Stop dead: the position is where the nozzle stands. Nothing is homed any more after a restart only."""
        self._segments.clear()
        self.queue_end = min(self.queue_end, now)
