"""The printers' hosts as the self-check needs them: they start a print, and know where the printer really is."""

from __future__ import annotations

import math
import statistics
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from demo import gcode_position
from demo.octoprint_host import OctoPrintHost
from demo.parts import Klipper
from demo.processes import wait_for

EXACT = 0.005
"""mm: what shows as 0.00."""

Position = tuple[float, ...]


class Host(Protocol):
    """A printer's host as the check needs it: it starts a print, and knows where the printer really is."""

    name: str

    def begin(self) -> None:
        """Uploads the file and starts it."""
        ...

    def get_going(self) -> None:
        """Returns when the print is well under way: hot, and some layers up."""
        ...

    def shown_pause(self) -> tuple[float, float]:
        """(mm retracted, mm lifted) as the printer has it, once it is paused."""
        ...

    def shown_return(self) -> tuple[float, str]:
        """(largest distance in mm on X, Y, Z and E from where the print stopped, what that rests on), once resumed."""
        ...

    def go_on(self) -> None:
        """Lets the print go on to its end."""
        ...

    @property
    def logs(self) -> tuple[Path, ...]: ...


class KlipperHost:
    """The stand-in's control client tells position and modes; the file is held before a layer of its own."""

    name = "Klipper"

    def __init__(self, klipper: Klipper, agent_log: Path, file: str, text: str) -> None:
        self._klipper, self._file, self._text = klipper, file, text
        self._before: Position = ()
        self._modes: tuple[Any, ...] = ()
        self.logs = (agent_log, klipper.moonraker.log)

    def begin(self) -> None:
        self._klipper.upload(self._file, self._text.encode())
        self._klipper.control.hold("CURRENT_LAYER=4")
        self._klipper.print(self._file)

    def get_going(self) -> None:
        state = self._klipper.control.wait_for(lambda s: s.held and not s.moving, 90)
        self._before, self._modes = state.position, self._modes_of(state)

    def shown_pause(self) -> tuple[float, float]:
        state = self._klipper.control.wait_for(lambda s: s.is_paused and not s.moving, 30)
        return self._before[3] - state.position[3], state.position[2] - self._before[2]

    def shown_return(self) -> tuple[float, str]:
        state = self._klipper.control.wait_for(lambda s: s.print_state == "printing" and s.held and not s.moving, 60)
        away = gcode_position.distance(state.position, self._before)
        same = self._modes_of(state) == self._modes
        return (away if same else max(away, 1.0)), "stand-in's own position" + ("" if same else ": modes differ")

    def go_on(self) -> None:
        self._klipper.control.release()

    @staticmethod
    def _modes_of(state: Any) -> tuple[Any, ...]:
        return (state.absolute_coordinates, state.absolute_extrude, state.speed_factor, state.extrude_factor,
                state.homing_origin)  # fmt: skip


class UnheldKlipperHost(KlipperHost):
    """Nobody stops the print: where it was when it was paused follows from how far the file was read."""

    def begin(self) -> None:
        self._klipper.upload(self._file, self._text.encode())
        self._klipper.print(self._file)

    def get_going(self) -> None:
        self._klipper.control.wait_for(lambda s: (s.current_layer or 0) >= 3, 120)
        # What most looks agree on: a line that only retracts leaves X and Y as they are.
        pause, seen = threading.Event(), []
        for _ in range(25):
            state = self._klipper.control.state()
            seen.append(round(state.position[3] - self._read(state).e, 3))
            pause.wait(0.07)
        self._purged = statistics.mode(seen)

    def shown_pause(self) -> tuple[float, float]:
        state = self._klipper.control.wait_for(lambda s: s.is_paused and not s.moving, 30)
        read = self._read(state)
        return read.e + self._purged - state.position[3], state.position[2] - read.z

    def go_on(self) -> None:
        """Nothing holds it."""

    def _read(self, state: Any) -> gcode_position.Position:
        """Where the file led so far. In mid-motion the nozzle and `file_position` may be a line or two apart: the
        nearest line that ends where the nozzle is counts."""
        found, best, position, read = gcode_position.Position(), math.inf, gcode_position.Position(), 0
        for line in self._text.splitlines(keepends=True):
            read += len(line.encode())
            position.line(line)
            here = math.dist((position.x, position.y), state.position[:2]) < EXACT
            if here and abs(read - state.file_position) < best:
                found, best = replace(position), abs(read - state.file_position)
        return found


def start_analysed(host: OctoPrintHost, name: str, text: str) -> None:
    """Uploads a file, lets OctoPrint find out what it needs of filament and time, and starts it."""
    host.upload(name, text.encode())
    path = f"/api/files/local/{name}"


    def analysed() -> bool:
        return bool((host.get(path).get("gcodeAnalysis") or {}).get("filament"))

    wait_for(analysed, 40, f"OctoPrint to analyse {name}", 0.2)
    host.post(path, {"command": "select", "print": True})


class OctoPrintPrinter:
    """The virtual printer's serial log, interpreted line by line beside the file."""

    name = "OctoPrint"

    def __init__(self, host: OctoPrintHost, file: str, text: str) -> None:
        self._host, self._name, self._text = host, file, text
        self._file = gcode_position.file_lines(text)
        self._begin = self._sent_at_resume = 0
        self.logs = (host.log, host.basedir / "output.log")

    def begin(self) -> None:
        self._begin = len(self._host.received_lines())
        start_analysed(self._host, self._name, self._text)

    def get_going(self) -> None:
        layer = self._file.index("M106 S170")  # the generator's line at the second layer
        wait_for(lambda: self._followed().sent > layer + 60, 120, "the virtual printer to print its second layer", 0.2)

    def shown_pause(self) -> tuple[float, float]:
        """Waits for the lift, the last of the pause's moves."""
        wait_for(lambda: self._followed().most_z > 0, 20, "the virtual printer to be lifted", 0.2)
        followed = self._followed()
        self._sent_at_resume = followed.sent
        return -followed.least_e, followed.most_z

    def shown_return(self) -> tuple[float, str]:
        wait_for(lambda: self._followed().sent > self._sent_at_resume + 20, 60, "the file's next lines", 0.2)
        followed = self._followed()
        away = followed.worst if followed.modes_kept else max(followed.worst, 1.0)
        lines = followed.sent - self._sent_at_resume
        return away, f"{lines} lines of the serial log" + ("" if followed.modes_kept else ": modes differ")

    def go_on(self) -> None:
        """Nothing holds it."""

    def _followed(self) -> gcode_position.Followed:
        return gcode_position.follow(self._file, self._host.received_lines()[self._begin :])
