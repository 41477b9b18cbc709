"""A Klipper behind the KlipperApi Protocol, behaving as the recordings show, on a clock that only waiting moves."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from agent_core.errors import CommandFailed, Unreachable
from agent_core.ports import Interrupt
from moonraker_obico.klipper_api import Abandoned, Objects
from tests.fakes.clock import FakeClock
from tests.fakes.gcode_machines import KlipperMachine, Refused

TICK = 0.25
_MOST_TICKS = 20_000  # then a wait without end is a bug


class MemoryStore:
    """Keeps JSON text, as the real one does; `log` tells the order of saves and calls."""

    def __init__(self, log: list[str]) -> None:
        self.kept: dict[str, str] = {}
        self.full = False
        self._log = log

    def load(self, key: str) -> Mapping[str, Any] | None:
        return json.loads(self.kept[key]) if key in self.kept else None

    def save(self, key: str, value: Mapping[str, Any]) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.kept[key] = json.dumps(dict(value))
        steps = f"{value['retract_step']} {value['lift_step']} {'+'.join(value['heaters_off'])}"
        self._log.append(f"save {steps.strip()}")

    def remove(self, key: str) -> None:
        self.kept.pop(key, None)
        self._log.append("remove")


class FakeKlipper:
    """`state` is print_stats.state. `refuse`: part of a script or a method -> Klipper's words. `lose`: those that end
    in a lost connection. `later`: (ticks from now, what happens then), while anything waits. `busy`: ticks for which
    the G-code lock is taken, as by M109.
    """

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.log: list[str] = []
        self.machine = KlipperMachine(heaters={"extruder": 200.0, "heater_bed": 60.0})
        self.machine.script("G1 X50 Y60 Z10 E5 F900")
        self.temperatures = {"extruder": 200.0, "heater_bed": 60.0}
        self.state = "printing"
        self.filename = "a.gcode"
        self.webhooks = {"state": "ready", "state_message": "Printer is ready"}
        self.duration = 60.0
        self.tool = "extruder"
        self.connected = True
        self.refuse: dict[str, str] = {}
        self.lose: set[str] = set()
        self.later: list[tuple[int, Callable[[], None]]] = []
        self.busy = 0
        self.tells_idle_timeout = True
        self.on_update: Callable[[Objects], None] = lambda objects: None
        self._published = self._status()

    # --- KlipperApi

    def call(
        self,
        method: str,
        params: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        interrupt: Interrupt | None = None,
    ) -> Any:
        self._need_connection()
        text = str((params or {}).get("script") or method)
        self.log.append(text)
        for part in self.lose:
            if part in text:
                raise Unreachable("connection lost")
        while self.busy:
            self.busy -= 1
            self.tick()
            self._need_connection()
            if interrupt is not None and interrupt.is_set():
                raise Abandoned(interrupt.reason)
        for part, words in self.refuse.items():
            if part in text:
                self._refused(text, part)
                raise CommandFailed(words)
        try:
            self._carry_out(method, text)
        except Refused as error:
            raise CommandFailed(str(error)) from error
        return "ok"

    def objects(self) -> Objects:
        return self._published

    def query(self, objects: Mapping[str, Sequence[str] | None], *, timeout: float = 10.0) -> Objects:
        self._need_connection()
        if "query" in self.lose:
            raise Unreachable("connection lost")
        self.log.append("query")
        self.tick()
        fresh = {**self._status(), "configfile": {"settings": {"idle_timeout": {"timeout": 700.0}}}}
        return {name: fresh[name] for name in objects if name in fresh}

    def wait_for(
        self, predicate: Callable[[Objects], bool], *, timeout: float | None, interrupt: Interrupt | None = None
    ) -> bool:
        until = None if timeout is None else self.clock.monotonic() + timeout
        for _ in range(_MOST_TICKS):
            if predicate(self.objects()):
                return True
            if interrupt is not None and interrupt.is_set():
                return False
            if until is not None and self.clock.monotonic() >= until:
                return False
            self.tick()
        raise AssertionError("waits without end")

    # --- what the test does

    def tick(self) -> None:
        """A status tick of Klipper: temperatures move, what is due happens, everybody learns the status."""
        self.clock.advance(TICK)
        self.duration += TICK
        for name, target in self.machine.heaters.items():
            now = self.temperatures[name]
            self.temperatures[name] = min(target, now + 2.0) if now < target else max(target, 25.0, now - 0.5)
        self.machine.can_extrude = self.temperatures[self.tool] >= 170
        due = [what for ticks, what in self.later if ticks <= 1]
        self.later = [(ticks - 1, what) for ticks, what in self.later if ticks > 1]
        for what in due:
            what()
        self.publish()

    def ticks(self, count: int) -> None:
        for _ in range(count):
            self.tick()

    def publish(self) -> None:
        self._published = self._status() if self.connected else {}
        self.on_update(self._published)

    def pause_elsewhere(self) -> None:
        self._carry_out("printer.print.pause", "")

    def resume_elsewhere(self) -> None:
        self._carry_out("printer.print.resume", "")

    def lose_homing(self) -> None:
        self.machine.homed = ""
        self.machine.heaters = dict.fromkeys(self.machine.heaters, 0.0)

    def scripts(self) -> list[str]:
        """What was sent to the printer, in order."""
        return [entry for entry in self.log if entry != "query" and not entry.startswith(("save", "remove"))]

    # --- inside

    def _need_connection(self) -> None:
        if not self.connected:
            raise Unreachable("not connected to Moonraker")

    def _refused(self, text: str, part: str) -> None:
        """Klipper carries out the lines before the failing one, and leaves their modes behind (case 17)."""
        if "\n" in text:
            lines = text.split("\n")
            at = next(index for index, line in enumerate(lines) if part in line)
            self.machine.script("\n".join(lines[:at]) or "M117")

    def _carry_out(self, method: str, text: str) -> None:
        if method == "printer.print.pause":
            if not self.machine.is_paused and self.state == "printing":
                self.machine.pause()
                self.state = "paused"
        elif method == "printer.print.resume":
            if self.machine.is_paused:
                self.machine.resume()
                self.state = "printing"
        elif method == "printer.print.cancel":
            self.state = "cancelled"
            self.machine.is_paused = False
        elif text == "M24":
            self.state = "printing"
        else:
            for line in text.split("\n"):
                if "EXTRUDER=" not in line:
                    self.machine.script(line)

    def _status(self) -> dict[str, dict[str, Any]]:
        at = self.machine
        status: dict[str, dict[str, Any]] = {
            "webhooks": dict(self.webhooks),
            "print_stats": {
                "state": self.state, "filename": self.filename, "total_duration": self.duration, "message": "",
            },
            "pause_resume": {"is_paused": at.is_paused},
            "toolhead": {
                "extruder": self.tool, "homed_axes": at.homed, "axis_maximum": [200, 200, at.z_max, 0],
                "position": list(at.position),
            },
            "gcode_move": {"extrude_factor": at.extrude_factor},
            "idle_timeout": {"state": "Ready"},
        }  # fmt: skip
        if self.tells_idle_timeout:
            status["idle_timeout"]["idle_timeout"] = at.idle_timeout
        for name, target in at.heaters.items():
            status[name] = {"temperature": self.temperatures[name], "target": target}
            if name.startswith("extruder"):
                status[name]["can_extrude"] = self.temperatures[name] >= 170
        return copy.deepcopy(status)
