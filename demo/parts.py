"""The parts beside OctoPrint: server, camera, Moonraker with the klippy stand-in, and the Moonraker agent.

Each is prepared in a folder of its own, started, stopped, killed and started again at will. `Programs` says what runs
them: the demo takes what it installed into virtual environments, the tests take the sources.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.klippy_control import KlippyControl
from demo.processes import Process, Trouble, clean_environment, free_port, tail, wait_for
from demo.rest import Refused, Rest

ROOT = Path(__file__).resolve().parent.parent
VENVS = ROOT / ".venvs"

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_SETUP_LINK = re.compile(r"https?://\S+/setup#\S+")


@dataclass(frozen=True, slots=True)
class Programs:
    """Command lines, each to be continued with options. They run in the checkout's folder."""

    server: Sequence[str]
    camera: Sequence[str]
    moonraker: Sequence[str]
    agent: Sequence[str]
    standin: Sequence[str]


def installed() -> Programs:
    """What `python -m demo.envs` put into the virtual environments: the product as a user installs it."""
    return Programs(
        server=[str(VENVS / "server" / "bin" / "obico-reference-server")],
        camera=[str(VENVS / "server" / "bin" / "python"), "-m", "demo.camera"],
        moonraker=[str(VENVS / "moonraker" / "bin" / "moonraker")],
        agent=[str(VENVS / "agent" / "bin" / "moonraker-obico")],
        standin=[sys.executable, "-m", "demo.klippy_standin"],
    )


def from_sources() -> Programs:
    """The product as it lies here, run by this Python; Moonraker from its virtual environment."""
    python = sys.executable
    return Programs(
        server=[python, "-m", "reference_server"],
        camera=[python, "-m", "demo.camera"],
        moonraker=[str(VENVS / "moonraker" / "bin" / "moonraker")],
        agent=[python, "-m", "moonraker_obico"],
        standin=[python, "-m", "demo.klippy_standin"],
    )


class Server:
    """The reference server with a data folder of its own; `more`: further options."""

    def __init__(
        self, programs: Programs, folder: Path, port: int = 0, host: str = "127.0.0.1", more: Sequence[str] = ()
    ) -> None:
        self.port = port or free_port()
        self.url = f"http://{host}:{self.port}"
        self.data_dir = folder / "data"
        options = ["--host", host, "--port", str(self.port), "--data-dir", str(self.data_dir), *more]
        self.process = Process("the server", [*programs.server, *options], folder / "server.log", cwd=ROOT)
        self.rest = Rest(self.url)

    def start(self, seconds: float = 40.0) -> None:
        self.process.start()
        self.process.wait_for(self._answers, seconds, f"the server at {self.url}")

    def set_up(self, password: str) -> None:
        """Makes the owner through the first-run link that the server printed."""
        link = _SETUP_LINK.search(self.process.said())
        if link is None:
            raise Trouble(f"the server printed no first-run link; its log, {self.process.log}, ends with\n"
                          f"{tail(self.process.log)}")  # fmt: skip
        self.rest.set_up(link[0], password)

    def stop(self) -> int | None:
        return self.process.stop()

    def kill(self) -> None:
        self.process.kill()

    @property
    def database(self) -> Path:
        return self.data_dir / "server.sqlite3"

    def _answers(self) -> bool:
        try:
            return bool(self.rest.get("/healthz"))
        except Refused:
            return False


class Camera:
    """demo/camera.py; `progress` is the address of a JSON that tells how far the part is."""

    def __init__(
        self, programs: Programs, folder: Path, title: str, progress: str = "", headers: Sequence[str] = ()
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        options = ["--port", str(self.port), "--title", title]
        if progress:
            options += ["--progress-url", progress]
        for header in headers:
            options += ["--progress-header", header]
        self.process = Process(f"the camera of {title}", [*programs.camera, *options], folder / "camera.log", cwd=ROOT)

    @property
    def snapshot_url(self) -> str:
        return f"{self.url}/?action=snapshot"

    @property
    def stream_url(self) -> str:
        return f"{self.url}/?action=stream"

    def start(self, seconds: float = 20.0) -> None:
        self.process.start()
        self.process.wait_for(lambda: "ready" in self.process.said(), seconds, f"{self.process.name} at {self.url}")

    def stop(self) -> int | None:
        return self.process.stop()


class Klipper:
    """A real Moonraker and the klippy stand-in behind it. `folder`'s path must be short: unix sockets live there."""

    def __init__(
        self,
        programs: Programs,
        folder: Path,
        *,
        speed: float = 20.0,
        macros: str = "plain",
        on_error_gcode: str = "cancel",
        camera: Camera | None = None,
        more: Sequence[str] = (),
        port: int = 0,
    ) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.gcodes = folder / "gcodes"
        self._socket, self._control_socket = folder / "klippy.sock", folder / "control.sock"
        options = [
            "--socket", str(self._socket), "--gcodes", str(self.gcodes), "--control", str(self._control_socket),
            "--speed", f"{speed:g}", "--macros", macros, "--on-error-gcode", on_error_gcode, *more,
        ]  # fmt: skip
        self.standin = Process("klippy's stand-in", [*programs.standin, *options], folder / "klippy.log", cwd=ROOT)
        self.moonraker = Process(
            "Moonraker", [*programs.moonraker, "-d", str(folder), "-n"], folder / "moonraker.log", cwd=folder,
            # Its uploads go through numbered files there: two Moonrakers would take each other's.
            env={"TMPDIR": str(folder)},
        )  # fmt: skip
        self._camera = camera
        self._control: KlippyControl | None = None

    def prepare(self) -> None:
        """Writes moonraker.conf."""
        self.gcodes.mkdir(parents=True, exist_ok=True)
        (self.folder / "config").mkdir(exist_ok=True)
        lines = [
            "[server]", "host: 127.0.0.1", f"port: {self.port}", f"klippy_uds_address: {self._socket}", "",
            "[authorization]", "trusted_clients:", "    127.0.0.1", "", "[history]", "[announcements]",
        ]  # fmt: skip
        if self._camera is not None:
            lines += [
                "", "[webcam demo]", "location: printer", "service: mjpegstreamer", "target_fps: 5",
                f"stream_url: {self._camera.stream_url}", f"snapshot_url: {self._camera.snapshot_url}",
            ]  # fmt: skip
        (self.folder / "config" / "moonraker.conf").write_text("\n".join([*lines, ""]), encoding="utf-8")

    def start(self, seconds: float = 40.0) -> None:
        """Returns when Moonraker says that Klippy is ready, and the heaters' values are known."""
        self.start_klippy()
        self.start_moonraker(seconds)

    def start_klippy(self) -> None:
        self.standin.start()
        self.standin.wait_for(lambda: "ready" in self.standin.said(), 20, "klippy's stand-in")

    def start_moonraker(self, seconds: float = 40.0) -> None:
        self.moonraker.start()
        self.moonraker.wait_for(self._ready, seconds, f"Moonraker at {self.url} to find Klippy ready")

    def stop(self) -> None:
        self.moonraker.ask_to_stop()
        self.stop_klippy()
        self.moonraker.stop()

    def stop_klippy(self) -> None:
        self._forget_control()
        self.standin.stop()

    def kill_klippy(self) -> None:
        """As a crash of Klipper's host process."""
        self._forget_control()
        self.standin.kill()

    @property
    def control(self) -> KlippyControl:
        """The stand-in's control socket: the printer's own position, and what tests need."""
        if self._control is None:
            self._control = KlippyControl(self._control_socket)
        return self._control

    def upload(self, name: str, content: bytes) -> None:
        """Puts a file where Moonraker keeps its files, by its API."""
        boundary = "a-part-ends-here-7d1"
        body = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode() + content + f"\r\n--{boundary}--\r\n".encode()  # fmt: skip
        kind = f"multipart/form-data; boundary={boundary}"
        request = urllib.request.Request(f"{self.url}/server/files/upload", data=body, headers={"Content-Type": kind})
        self._send(request)

    def print(self, name: str) -> None:
        """Starts a file that is there, and waits until Moonraker's history knows the job.

        A print's identity on the wire is the second in which it began: two of a fast stand-in must not share one.
        """
        wait_for(self._settled, 20, "Moonraker to have its subscriptions")
        before = self.job()
        wait_for(lambda: int(time.time()) > int(before.get("start_time", 0)), 5, "the next second", 0.01)
        self.call("/printer/print/start", filename=name)
        wait_for(lambda: self.job().get("job_id") != before.get("job_id"), 20, f"Moonraker to note the job {name}")

    def job(self) -> dict[str, Any]:
        """The newest job of Moonraker's history; empty if there is none."""
        jobs = self.ask("/server/history/list?limit=1&order=desc")["jobs"]
        return dict(jobs[0]) if jobs else {}

    def state(self) -> str:
        """`print_stats.state`, or Klippy's own state while it is not ready."""
        info = self.ask("/server/info")
        if info["klippy_state"] != "ready":
            return str(info["klippy_state"])
        return str(self.ask("/printer/objects/query?print_stats")["status"]["print_stats"]["state"])

    def ask(self, path: str) -> Any:
        """What Moonraker answers to GET. Raises Trouble."""
        return self._send(urllib.request.Request(self.url + path))

    def call(self, path: str, **arguments: str) -> Any:
        """What Moonraker answers to POST. Raises Trouble."""
        query = f"?{urllib.parse.urlencode(arguments)}" if arguments else ""
        return self._send(urllib.request.Request(self.url + path + query, method="POST"))

    @staticmethod
    def _send(request: urllib.request.Request) -> Any:
        try:
            with _OPENER.open(request, timeout=60) as answer:
                return json.load(answer)["result"] if "/files/upload" not in request.full_url else json.load(answer)
        except urllib.error.HTTPError as error:
            raise Trouble(f"Moonraker answered {error.code}: {error.read(300).decode('utf-8', 'replace')}") from None
        except (OSError, ValueError) as error:
            raise Trouble(f"Moonraker did not answer: {error}") from None

    def _ready(self) -> bool:
        try:
            info = self.ask("/server/info")
            if info["klippy_state"] != "ready" or info.get("missing_klippy_requirements"):
                return False
            return self._settled()
        except Trouble:
            return False

    def _settled(self) -> bool:
        """Whether Moonraker is done with what it does after each "ready".

        Its components share one subscription, which gets no updates while it is being renewed then (0.11): a print that
        begins at that moment never becomes a job. No call tells; its log does.
        """
        log = self.moonraker.said()
        return 0 < log.count("Job state initialized") <= log.count("Configuring available sensors")

    def _forget_control(self) -> None:
        control, self._control = self._control, None
        if control is not None:
            control.close()


class KlipperAgent:
    """The Moonraker agent with a configuration file of its own."""

    def __init__(
        self, programs: Programs, folder: Path, moonraker_port: int, moonraker_host: str = "127.0.0.1"
    ) -> None:
        self._programs = programs
        self._folder = folder
        self._moonraker = (moonraker_host, moonraker_port)
        self.config = folder / "config" / "moonraker-obico.cfg"
        self.data_dir = folder / "agent-data"
        self.process = Process(
            "the Moonraker agent", [*programs.agent, "run", "-c", str(self.config)], folder / "agent.log", cwd=ROOT
        )

    def prepare(self, server: str) -> None:
        """Writes its configuration."""
        self.config.parent.mkdir(parents=True, exist_ok=True)
        host, port = self._moonraker
        self.config.write_text(
            f"[server]\nurl: {server}\n\n[moonraker]\nhost: {host}\nport: {port}\n\n"
            # Tests make this machine busier than any printer's; pictures shall keep their pace all the same.
            f"[agent]\ndata_dir: {self.data_dir}\nback_off: false\n\n"
            # There is no Mainsail here: the web interface is what Moonraker itself answers.
            f"[tunnel]\ndest_host: {host}\ndest_port: {port}\n",
            encoding="utf-8",
        )

    def link(self, server: str, code: str) -> str:
        """`moonraker-obico link`; what it says. Raises Trouble."""
        done = self.command("link", "--server", server, "--code", code)
        if done.returncode != 0:
            raise Trouble(f"moonraker-obico link failed ({done.returncode}): {(done.stdout + done.stderr).strip()}")
        return done.stdout

    def command(self, name: str, *options: str) -> subprocess.CompletedProcess[str]:
        """Runs `moonraker-obico NAME -c CONFIG OPTIONS`."""
        return subprocess.run(
            [*self._programs.agent, name, "-c", str(self.config), *options],
            cwd=ROOT, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def status(self) -> dict[str, Any]:
        """What `moonraker-obico status --json` says."""
        return dict(json.loads(self.command("status", "--json").stdout))

    def start(self) -> None:
        self.process.start()

    def stop(self) -> int | None:
        return self.process.stop()

    def kill(self) -> None:
        self.process.kill()
