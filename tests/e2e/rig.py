"""The whole journey for the tests: the real server, and printers that are driven alike whatever host they have.

A `Printer` is a host with our agent, linked to the server. What a test wants of any of them is here; what only one
kind can do is on that kind.
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import websocket

from demo.octoprint_host import OctoPrintHost, OctoPrintSetup
from demo.parts import Klipper, KlipperAgent, Server, from_sources
from demo.processes import Trouble, free_port, wait_for
from demo.rest import Rest
from tests.e2e import octoprint as octoprint_tests

PASSWORD = "end-to-end-tests"


def unix(text: str) -> float:
    """Seconds, from a time of the REST API."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def start_server(folder: Path, host: str = "127.0.0.1") -> Server:
    more = ["--fleet-calls-per-hour", "100000", "--allow-loopback-addresses", "yes"]
    server = Server(from_sources(), folder, host=host, more=more)
    server.start()
    server.set_up(PASSWORD)
    return server


def database_is_sound(database: Path) -> bool:
    """Whether SQLite finds nothing wrong with it; also with the files of a process that was killed."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        wrong = connection.execute("PRAGMA foreign_key_check").fetchall()
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)] and not wrong


class Watcher:
    """A web client on `/ws/web/{id}/`: keeps the printer's states in the order in which they were shown."""

    LIMIT = 5000

    def __init__(self, rest: Rest, printer: int) -> None:
        url = f"{rest.url.replace('http', 'ws', 1)}/ws/web/{printer}/"
        self._socket = websocket.create_connection(url, header=[f"Authorization: Bearer {rest.key}"], timeout=30)
        self.frames: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._read, name="watcher", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(websocket.WebSocketException, OSError, ValueError):
            while len(self.frames) < self.LIMIT:
                frame = json.loads(self._socket.recv())
                if "id" in frame:
                    self.frames.append(frame)

    @property
    def states(self) -> list[str]:
        """Each state's text once for each time that it was entered."""
        found: list[str] = []
        for frame in list(self.frames):
            text = "offline" if frame["status"] is None else str(frame["status"]["state"]["text"])
            if not found or found[-1] != text:
                found.append(text)
        return found

    def close(self) -> None:
        self._socket.close()
        self._thread.join(10)


class Printer(ABC):
    """One linked printer. `number` is its id on the server."""

    name: str
    number: int

    def __init__(self, server: Server) -> None:
        self.server = server
        self.rest = server.rest

    # --- what each kind does its own way ---

    @abstractmethod
    def start(self, name: str, head: str = "") -> None:
        """Uploads a file that lasts until `finish`, starts it, and returns when it moves. `head`: its first lines."""

    @abstractmethod
    def finish(self) -> None:
        """Makes the print get to its end soon. Does not wait."""

    @abstractmethod
    def idle(self) -> bool:
        """Whether the host itself says that it is ready and nothing is printed."""

    @abstractmethod
    def host_cancel(self) -> None:
        """Cancels at the host, as from its own page."""

    @abstractmethod
    def fail(self) -> str:
        """Makes the printer fail in mid-print; a piece of the text that tells why."""

    @abstractmethod
    def mend(self) -> None:
        """After `fail`: ready again."""

    @abstractmethod
    def restart_agent(self, how: str) -> None:
        """`how` is `term` or `kill`, where the kind makes that difference."""

    @abstractmethod
    def relink(self, url: str) -> None:
        """Links the same printer anew, to the server at that address. Does not wait."""

    def hold(self) -> None:  # noqa: B027 - most kinds need nothing
        """Makes `slow_file` last until `finish` or `host_cancel`, where its moves alone do not."""

    @abstractmethod
    def log(self) -> str:
        """What the agent has logged."""

    # --- what the server shows ---

    def wait(self, condition: Callable[[dict[str, Any]], Any], seconds: float, what: str) -> dict[str, Any]:
        return self.rest.wait_for_printer(self.number, condition, seconds, f"{what} of {self.name}")

    def wait_state(self, text: str, seconds: float = 30.0) -> dict[str, Any]:
        return self.wait(lambda p: p["status"] and p["status"]["state"]["text"] == text, seconds, f"the state {text}")

    def wait_connected(self, seconds: float = 40.0) -> dict[str, Any]:
        return self.wait(lambda p: p["agent_connected"] and p["status"], seconds, "the agent's connection")

    def current(self, seconds: float = 20.0) -> dict[str, Any]:
        """The Print under way, as soon as there is one."""
        found = self.wait(lambda p: p["current_print"], seconds, "the Print")["current_print"]
        return dict(found)

    def act(self, action: str, seconds: float = 60.0) -> str:
        """Sends a command by REST and waits until the agent has told its end: `done`, or `failed: reason`."""
        answer = self.rest.action(self.number, action)
        assert answer["succeeded"], f"{action} of {self.name}: {answer['reason']}"
        return self.acted(f"the outcome of {action}", seconds)

    def acted(self, what: str = "the outcome of the last command", seconds: float = 60.0) -> str:
        """How the last command ended, whoever gave it; a printer may read Paused before its pause is done."""
        found = self.wait(lambda p: p["last_command"]["state"] not in {"sent", "accepted"}, seconds, what)
        command = found["last_command"]
        return str(command["state"] if not command["error"] else f"{command['state']}: {command['error']}")

    def ended(self, number: int, seconds: float = 60.0) -> dict[str, Any]:
        """That Print when it is over."""
        found: dict[str, Any] = {}

        def over() -> bool:
            found.update(self.rest.get(f"/api/v1/prints/{number}/"))
            return found["ended_at"] is not None

        wait_for(over, seconds, f"the end of Print {number} of {self.name}", every=0.1)
        return found

    def events(self, number: int) -> list[str]:
        """A Print's life in types of events, oldest first; what else is noted (an error's own event) is left out."""
        found = [event["event_type"] for event in reversed(self.rest.events(self.number)) if event["print"] == number]
        return [kind for kind in found if kind in {"STARTED", "PAUSED", "RESUMED", "ENDED"}]

    def reconnect(self, work: Callable[[], object], seconds: float = 40.0) -> None:
        """Does `work` and waits until the agent has connected anew."""
        line = f"printer {self.number}: agent connected"
        before = self.server.process.said().count(line)
        work()
        wait_for(lambda: self.server.process.said().count(line) > before, seconds, f"{self.name} to connect anew")
        self.wait_connected()

    def settle(self) -> None:
        """Idle again, whatever a test left behind."""
        if not self.idle():
            self.host_cancel()
            wait_for(self.idle, 60, f"{self.name} to be idle", every=0.1)
        if self.server.process.ended is None and not self.printer()["agent_connected"]:
            self.wait_connected()
        self.wait(lambda p: not p["current_print"], 40, "the end of every Print")

    def printer(self) -> dict[str, Any]:
        return self.rest.printer(self.number)

    def _linked(self, before: set[int]) -> None:
        """Finds its number: the printer that was not there before."""
        found = wait_for(lambda: {p["id"] for p in self.rest.printers()} - before, 30, f"{self.name} to be linked")
        (self.number,) = found
        self.rest.patch(f"/api/v1/printers/{self.number}/", {"name": self.name})
        self.wait_connected()


# --- OctoPrint ---

SPY = (Path(__file__).parent / "octoprint_spy.py").read_text(encoding="utf-8")
SLOW_LINES = 160


def octoprint_file() -> str:
    """Some seconds at full speed, many minutes at the speed that it asks for."""
    lines = ["M104 S195", "M140 S50", "G28", "G92 E0", "G90", "M82", "G1 Z0.4 F600", "G1 X20 Y20 F6000"]
    for number in range(SLOW_LINES):
        x = 20 + (number % 2) * 10
        lines.append(f"G1 X{x} Y{20 + number % 50} E{0.1 * (number + 1):.2f} F90")
    return "\n".join([*lines, "G1 X0 Y0 F6000", ""])


class OctoPrintPrinter(Printer):
    """Real OctoPrint with its virtual printer, warm from the start."""

    def __init__(self, server: Server, version: str, folder: Path, **more: Any) -> None:
        super().__init__(server)
        self.name = f"OctoPrint {version}"
        self.host = OctoPrintHost(
            OctoPrintSetup(
                venv=octoprint_tests.venv(version),
                basedir=folder,
                port=free_port(),
                plugin_path=octoprint_tests.plugin_path(),
                virtual_printer={"sendWait": False, "ambientTemperature": 190.0, **more.pop("virtual_printer", {})},
                plugins={"spy": SPY},
                **more,
            )
        )
        self.host.prepare()

    def start_host(self) -> None:
        self.host.start()

    def link(self) -> None:
        """As the plugin's settings page does."""
        before = {printer["id"] for printer in self.rest.printers()}
        # A busy machine: OctoPrint has its printer before it has told its plugins that it is up.
        wait_for(lambda: self.host.request("GET", "/api/plugin/obico")[0] == 200, 60, "the plugin to be up")
        body = {"command": "link", "server": self.server.url, "code": self.rest.new_code()}
        self.host.post("/api/plugin/obico", body)
        self._linked(before)

    def relink(self, url: str) -> None:
        body = {"command": "link", "server": url, "code": self.rest.new_code(self.number)}
        self.host.post("/api/plugin/obico", body)

    @property
    def slow_file(self) -> str:
        return octoprint_file()

    def upload(self, name: str, content: bytes) -> None:
        self.host.upload(name, content)

    @property
    def downloads(self) -> Path:
        """Where files from the server come to lie."""
        return self.host.basedir / "uploads" / "ObicoUpload"

    def start(self, name: str, head: str = "") -> None:
        before = len(self.host.received_lines())
        self.host.upload(name, (head + octoprint_file()).encode(), start=True)
        wait_for(lambda: len(self.host.received_lines()) > before + 12, 30, f"{self.name} to print")

    def finish(self) -> None:
        # The virtual printer moves that much faster; the file itself is sent to its last line.
        self.host.gcode("M220 S100000")

    def idle(self) -> bool:
        if self.host.state() != "OPERATIONAL":
            return False
        self.host.gcode("M220 S100")
        return True

    def host_cancel(self) -> None:
        if self.host.state() not in {"PRINTING", "PAUSED", "PAUSING", "RESUMING", "STARTING"}:
            self.mend()
            return
        self.host.gcode("M220 S100000")
        self.host.job("cancel")

    def fail(self) -> str:
        self.host.gcode("!!DEBUG:trigger_fatal_error_marlin")
        return "kill"

    def mend(self) -> None:
        wait_for(lambda: self.host.state() != "PRINTING", 20, "the print to stop")
        if self.host.state() != "OFFLINE":
            self.host.disconnect()
        self.host.connect()
        self.host.wait_for_state("OPERATIONAL")

    def restart_agent(self, how: str) -> None:
        """OctoPrint's plugin manager refuses while something prints; the spy does what it would do."""
        for command in ("stop", "begin"):
            self.host.post("/api/plugin/spy", {"command": command})

    def log(self) -> str:
        return self.host.log.read_text(encoding="utf-8", errors="replace")

    def ended_at_host(self) -> float:
        """Unix time at which OctoPrint's log has the end of the newest print."""
        found = re.findall(r"^(\S+ [0-9:]+),(\d+) - octoprint\.printer\.standard\.job - INFO - "
                           r"Print job (?:done|cancelled|failed)", self.log(), re.MULTILINE)  # fmt: skip
        assert found, "octoprint.log tells of no print's end"
        return datetime.fromisoformat(found[-1][0]).timestamp() + int(found[-1][1]) / 1000

    def stop(self) -> None:
        self.host.stop()


# --- Klipper ---


def klipper_file(layers: int = 6) -> str:
    """About a second and a half at the stand-in's speed 60."""
    lines = ["; generated by PrusaSlicer 2.7.4", "PRINT_START BED=60 EXTRUDER=205",
             f"SET_PRINT_STATS_INFO TOTAL_LAYER={layers}", "G90", "M83"]  # fmt: skip
    for layer in range(layers):
        lines += [f"SET_PRINT_STATS_INFO CURRENT_LAYER={layer + 1}", f"G1 Z{0.2 * (layer + 1):.1f} F600"]
        for number in range(20):
            lines.append(f"G1 X{50 + 20 * (number % 2)} Y{50 + number} E0.6 F3000")
    return "\n".join([*lines, "PRINT_END", "; layer_height = 0.2", "; first_layer_height = 0.2", ""])


HOLD = "CURRENT_LAYER=3"


class KlipperPrinter(Printer):
    """Real Moonraker, the stand-in for Klippy, and our agent as a process."""

    name = "Klipper"

    def __init__(self, server: Server, folder: Path, **more: Any) -> None:
        super().__init__(server)
        programs = from_sources()
        more = {"speed": 60.0, "on_error_gcode": "none", **more}
        self.klipper = Klipper(programs, folder, **more)
        self.agent = KlipperAgent(programs, folder, self.klipper.port)
        self.klipper.prepare()
        self.agent.prepare(server.url)

    def start_host(self) -> None:
        self.klipper.start()

    def link(self) -> None:
        before = {printer["id"] for printer in self.rest.printers()}
        self.agent.link(self.server.url, self.rest.new_code())
        self.agent.start()
        self._linked(before)

    def relink(self, url: str) -> None:
        self.agent.stop()
        self.agent.link(url, self.rest.new_code(self.number))
        self.agent.start()

    @property
    def slow_file(self) -> str:
        return klipper_file()

    def upload(self, name: str, content: bytes) -> None:
        self.klipper.upload(name, content)

    @property
    def downloads(self) -> Path:
        """Where files from the server come to lie."""
        return self.klipper.gcodes / "Obico_Upload"

    def hold(self) -> None:
        self.klipper.control.hold(HOLD)

    def start(self, name: str, head: str = "") -> None:
        self.klipper.upload(name, (head + klipper_file()).encode())
        self.klipper.control.hold(HOLD)
        self.klipper.print(name)
        self.klipper.control.wait_for(lambda s: s.held and not s.moving, 60)

    def finish(self) -> None:
        self.klipper.control.release()

    def idle(self) -> bool:
        return self.klipper.state() in {"standby", "complete", "cancelled", "error"}

    def host_cancel(self) -> None:
        self.klipper.control.release()
        self.klipper.call("/printer/print/cancel")

    def fail(self) -> str:
        control = self.klipper.control
        control.refuse(r"G1 X70", "Move out of range: 999.000 50.000 0.600 [0.000]")
        control.release()
        return "Move out of range"

    def mend(self) -> None:
        wait_for(self.idle, 30, "the print to stop")

    def restart_agent(self, how: str) -> None:
        if how == "kill":
            self.agent.kill()
        else:
            assert self.agent.stop() == 0
        self.agent.start()

    def log(self) -> str:
        return self.agent.process.log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        self.agent.stop()
        self.klipper.stop()


KINDS = ("octoprint-1.11", "octoprint-2.0", "klipper")


def make_printer(kind: str, server: Server, folder: Path, **more: Any) -> OctoPrintPrinter | KlipperPrinter:
    """A printer of that kind, not yet started."""
    if kind == "klipper":
        return KlipperPrinter(server, folder, **more)
    return OctoPrintPrinter(server, kind.partition("-")[2], folder, **more)


@contextlib.contextmanager
def running(printer: OctoPrintPrinter | KlipperPrinter) -> Iterator[OctoPrintPrinter | KlipperPrinter]:
    """Started and linked; all of it is gone at the end."""
    try:
        printer.start_host()
        printer.link()
        yield printer
    finally:
        printer.stop()


def secrets_in(text: str, secrets: Mapping[str, str]) -> list[str]:
    """The names of the secrets that a text gives away."""
    return [name for name, secret in secrets.items() if secret and re.search(re.escape(secret), text)]


__all__ = ["HOLD", "KINDS", "KlipperPrinter", "OctoPrintPrinter", "Printer", "Trouble", "Watcher", "time", "unix"]
