"""Client of the stand-in's control socket, and a way to start a stand-in as a process of its own.

with StandinProcess(folder) as standin:
    standin.control.hold(r"E3\\.6000")      # the file stops before this line
    ...
    assert standin.control.state().position == (60.0, 58.0, 0.4, 3.6)
"""

from __future__ import annotations

import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class ControlFailed(Exception):
    """The stand-in is gone, did not answer in time, or refused the request; the text says which."""


@dataclass(frozen=True, slots=True)
class HeaterState:
    """°C."""

    temperature: float
    target: float


@dataclass(frozen=True, slots=True)
class StandinState:
    """The printer's true state, at once and not at the next status tick. Positions X, Y, Z, E in mm.

    `position` is where all accepted moves lead, `live_position` where the nozzle is. `executed` counts the lines
    carried out since the last restart.
    """

    state: str
    message: str
    online: bool
    locked: bool
    blocked: bool
    held: bool
    moving: bool
    position: tuple[float, ...]
    live_position: tuple[float, ...]
    gcode_position: tuple[float, ...]
    homed_axes: str
    absolute_coordinates: bool
    absolute_extrude: bool
    speed: float
    speed_factor: float
    extrude_factor: float
    homing_origin: tuple[float, ...]
    print_state: str
    print_message: str
    filename: str
    current_layer: int | None
    is_paused: bool
    file_position: int
    file_size: int
    progress: float
    idle_state: str
    idle_timeout: float
    extruder: HeaterState
    heater_bed: HeaterState
    fan: float
    executed: int

    @classmethod
    def from_json(cls, answer: dict[str, Any]) -> StandinState:
        values: dict[str, Any] = {}
        for name in (f.name for f in fields(cls)):
            value = answer[name]
            if isinstance(value, list):
                value = tuple(value)
            elif isinstance(value, dict):
                value = HeaterState(**value)
            values[name] = value
        return cls(**values)


@dataclass(frozen=True, slots=True)
class ExecutedLine:
    """`at` in Unix seconds, `source` is file, script or macro, `error` the refusal's text."""

    at: float
    source: str
    line: str
    error: str | None


class KlippyControl:
    """One connection to the control socket. Every call may raise ControlFailed."""

    def __init__(self, path: Path, timeout: float = 10.0) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.settimeout(timeout)
        try:
            self._sock.connect(str(path))
        except OSError as error:
            self._sock.close()
            raise ControlFailed(f"No stand-in listens on {path}: start it with --control {path}") from error
        self._reader = self._sock.makefile("rb")
        self._id = 0

    def close(self) -> None:
        self._reader.close()
        self._sock.close()

    def _call(self, method: str, **params: object) -> Any:
        self._id += 1
        request = {"id": self._id, "method": method, "params": params}
        try:
            self._sock.sendall(json.dumps(request).encode() + b"\n")
            line = self._reader.readline()
        except OSError as error:
            raise ControlFailed(f"The stand-in did not answer {method}: {error}") from error
        if not line:
            raise ControlFailed("The stand-in has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise ControlFailed(str(answer["error"]))
        return answer["result"]

    def state(self) -> StandinState:
        return StandinState.from_json(self._call("state"))

    def wait_for(self, condition: Callable[[StandinState], bool], timeout: float = 30.0) -> StandinState:
        """Ask until `condition` holds. Raises ControlFailed with the last state when `timeout` seconds are over."""
        deadline = time.monotonic() + timeout
        while True:
            state = self.state()
            if condition(state):
                return state
            if time.monotonic() > deadline:
                raise ControlFailed(f"Not within {timeout} s; the stand-in says {state}")
            select.select([], [], [], 0.02)

    def history(self, limit: int = 100) -> list[ExecutedLine]:
        """The last lines carried out since the last restart, oldest first; at most 4000 are kept."""
        return [ExecutedLine(**line) for line in self._call("history", limit=limit)]

    def shutdown(self, reason: str = "MCU 'mcu' shutdown: Timer too close") -> None:
        """The micro-controller shuts down by itself."""
        self._call("shutdown", reason=reason)

    def lose_mcu(self) -> None:
        """The micro-controller's cable is pulled: a shutdown follows after --mcu-loss-time."""
        self._call("lose_mcu")

    def return_mcu(self) -> None:
        self._call("return_mcu")

    def config_error(self, message: str = "") -> None:
        """The next RESTART ends in "error" with this message; an empty message repairs printer.cfg."""
        self._call("config_error", message=message)

    def drop_connection(self) -> None:
        """Klippy's connections break without a word; it accepts new ones."""
        self._call("drop_connection")

    def set_temperature(self, heater: str, value: float) -> None:
        """`heater` is extruder or heater_bed; heating goes on from `value` °C."""
        self._call("set_temperature", heater=heater, value=value)

    def set_speed(self, speed: float) -> None:
        """Change --speed for what comes."""
        self._call("set_speed", speed=speed)

    def filament_runout(self) -> None:
        self._call("filament", present=False)

    def insert_filament(self) -> None:
        self._call("filament", present=True)

    def refuse(self, pattern: str, message: str = "Refused by the test", count: int = 1) -> None:
        """The next `count` lines that match the regular expression are refused with `message`."""
        self._call("refuse", pattern=pattern, message=message, count=count)

    def hold(self, pattern: str) -> None:
        """The file stops before the next line that matches; the lock stays free, so a pause gets through."""
        self._call("hold", pattern=pattern)

    def block(self, pattern: str) -> None:
        """The next line that matches keeps the G-code lock until `release`, as a long M109 does."""
        self._call("block", pattern=pattern)

    def release(self) -> None:
        """End `hold` and `block`."""
        self._call("release")

    def script(self, script: str) -> None:
        """Run G-code as if somebody at the printer did."""
        self._call("script", script=script)


class StandinProcess:
    """`python -m demo.klippy_standin` as a process, with `folder`/gcodes, klippy.sock and control.sock in `folder`.

    Extra command-line arguments go into `args`. Unix sockets need a short path: at most about 100 characters.
    """

    def __init__(self, folder: Path, args: Sequence[str] = (), python: str = sys.executable) -> None:
        self.socket = folder / "klippy.sock"
        self.control_socket = folder / "control.sock"
        self.gcodes = folder / "gcodes"
        self.gcodes.mkdir(parents=True, exist_ok=True)
        self._command = [
            python, "-m", "demo.klippy_standin", "--socket", str(self.socket), "--gcodes", str(self.gcodes),
            "--control", str(self.control_socket), *args,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self._control: KlippyControl | None = None

    @property
    def control(self) -> KlippyControl:
        if self._control is None:
            self._control = KlippyControl(self.control_socket)
        return self._control

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ControlFailed("The stand-in is not started")
        return self._process.pid

    def start(self, timeout: float = 20.0) -> None:
        """Returns when it listens. Raises ControlFailed if it does not within `timeout` seconds."""
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdout=subprocess.PIPE)
        output = self._process.stdout
        if output is None or not select.select([output], [], [], timeout)[0] or output.readline() != b"ready\n":
            self.stop()
            raise ControlFailed("The stand-in did not become ready; its own message is on stderr")

    def stop(self, timeout: float = 5.0) -> int | None:
        """SIGTERM, then SIGKILL. Returns the exit code."""
        if self._process is not None:
            self._process.terminate()
        return self._reap(timeout)

    def kill(self) -> None:
        """SIGKILL, as when klippy crashes; the sockets' files stay behind."""
        if self._process is not None:
            self._process.kill()
        self._reap(5.0)

    def _reap(self, timeout: float) -> int | None:
        if self._control is not None:
            self._control.close()
            self._control = None
        process, self._process = self._process, None
        if process is None:
            return None
        try:
            return process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait(timeout)
        finally:
            if process.stdout is not None:
                process.stdout.close()

    def __enter__(self) -> StandinProcess:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
