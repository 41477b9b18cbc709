"""An agent under a clock that runs ahead, for `python -m bench soak`: KIND FACTOR FOLDER SERVER CAMERA PORT.

KIND `moonraker`: moonraker_obico's App, which gets its updates from a Moonraker at PORT. KIND `octoprint`: the plugin's
Service, whose OctoPrint is played here by orders on standard input (`u`: an update; `b` and `e`: a print begins, ends).
Ends with standard input.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent_core.config import AgentConfig
from agent_core.features.scrub import Scrubber
from agent_core.model import HostSettings, Job
from agent_core.pause import PauseSettings
from agent_core.ports import Interrupt
from moonraker_obico.app import App
from moonraker_obico.config import load
from octoprint_obico import settings
from octoprint_obico.bridge import CoreTools
from octoprint_obico.diagnosis import Surroundings
from octoprint_obico.report import Reading
from octoprint_obico.service import Service

TOKEN = "cafe0123cafe0123cafe"  # noqa: S105 - of a server that is played


class FastClock:
    """Runs `factor` times as fast as the real one."""

    def __init__(self, factor: float) -> None:
        self._factor = factor
        self._began = time.monotonic()
        self._at = time.time()

    def now(self) -> float:
        return self._at + self.monotonic()

    def monotonic(self) -> float:
        return (time.monotonic() - self._began) * self._factor


def moonraker(factor: float, folder: Path, server: str, camera: str, port: int) -> None:
    path = folder / "agent.cfg"
    path.write_text(
        f"[server]\nurl: {server}\nauth_token: {TOKEN}\n[moonraker]\nport: {port}\n[webcam]\nsnapshot_url: {camera}\n"
        f"[agent]\ndata_dir: {folder / 'data'}\nback_off: false\n",
        encoding="utf-8",
    )
    app = App(load(path), FastClock(factor))
    app.start()
    for _ in sys.stdin:
        pass
    app.stop()


# --- the plugin -------------------------------------------------------------------------------------------------------


@dataclass
class _Compat:
    stream: str
    snapshot: str | None
    snapshotSslValidation: bool = True  # noqa: N815 - OctoPrint's name
    streamRatio: Any = "4:3"  # noqa: N815 - OctoPrint's name


@dataclass
class _Webcam:
    compat: Any
    name: str = "bench"
    displayName: str = "bench"  # noqa: N815 - OctoPrint's name
    flipH: bool = False  # noqa: N815 - OctoPrint's name
    flipV: bool = False  # noqa: N815 - OctoPrint's name
    rotate90: bool = False


class _Host:
    """OctoPrint: operational, or printing with figures that change with each look."""

    def __init__(self, server: str, camera: str) -> None:
        self.settings: dict[str, Any] = {
            **settings.DEFAULTS, "endpoint_prefix": server, "auth_token": TOKEN, "back_off": False, "discovery": False,
        }  # fmt: skip
        self._webcam = settings.ProvidedWebcam(_Webcam(_Compat("", camera)))
        self.printing = False
        self.number = 0

    def values(self) -> Mapping[str, Any]:
        return self.settings

    def save(self, values: Mapping[str, Any]) -> None:
        self.settings.update(values)

    def webcams(self) -> tuple[list[settings.ProvidedWebcam], str | None]:
        return [self._webcam], "bench"

    def facts(self, config: AgentConfig) -> HostSettings:
        return HostSettings(cameras=tuple(camera.info for camera in config.cameras))

    def reading(self) -> Reading:
        self.number += 1
        name = f"part {self.number // 1000}.gcode"
        data = {
            "state": {"text": "Printing" if self.printing else "Operational", "flags": {"printing": self.printing}},
            "job": {"file": {"name": name, "path": name, "origin": "local", "size": 1000, "date": 1}, "filament": {}},
            "progress": {"completion": self.number % 100, "filepos": self.number % 1000, "printTime": self.number},
            "currentZ": self.number % 100 / 5,
        }
        temperatures = {"tool0": {"actual": 200.0 + self.number % 10, "target": 200.0, "offset": 0}}
        return Reading("PRINTING" if self.printing else "OPERATIONAL", data, temperatures)

    def surroundings(self) -> Surroundings:
        return Surroundings("1.11.8", "OPERATIONAL", {})

    def file_on_disk(self, job: Job) -> str | None:  # noqa: ARG002 - the Protocol's
        return None

    def changed(self) -> None: ...

    def tell(self, event: str, payload: Mapping[str, Any]) -> None: ...


class _Printer:
    def check(self, command: str) -> None: ...

    def pause(self, settings: PauseSettings, interrupt: Interrupt) -> str:  # noqa: ARG002 - the Protocol's
        return "paused"

    def resume(self, interrupt: Interrupt) -> str:  # noqa: ARG002 - the same
        return "resumed"

    def cancel(self, interrupt: Interrupt) -> str:  # noqa: ARG002 - the same
        return "cancelled"


def octoprint(factor: float, folder: Path, server: str, camera: str, _port: int) -> None:
    host = _Host(server, camera)
    tools = CoreTools("3.0.0", str(folder / "data"), Scrubber())
    tools.clock = FastClock(factor)  # type: ignore[assignment]  # it goes as a clock
    tools.port = _Printer()
    service = Service(host, tools)
    service.start()
    for line in sys.stdin:
        file = {"name": f"part {host.number // 1000}.gcode", "path": "p", "origin": "local", "size": 1000}
        if line[0] == "b":
            host.printing = True
            service.event("PrintStarted", file)
        elif line[0] == "e":
            host.printing = False
            service.event("PrintDone", {**file, "time": 10.0})
        service.reading(host.reading)
    service.stop()
    tools.close()


def main() -> None:
    kind, factor, folder, server, camera, port = sys.argv[1:]
    logging.disable()
    {"moonraker": moonraker, "octoprint": octoprint}[kind](float(factor), Path(folder), server, camera, int(port))


if __name__ == "__main__":
    main()
