"""A real OctoPrint with its bundled virtual printer, in a folder of its own; for `make demo` and the end-to-end tests.

Standard library only. It needs a virtual environment with OctoPrint 1.11 or 2.0; the plugin is either installed there
or lies unpacked in a folder (`plugin_path`), as `unpack_wheel` leaves it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import IO, Any

_SECRET_FILE = 0o600
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Straight to this machine, whatever proxy the environment names."""

_PAUSE = Event()
"""Never set: `_PAUSE.wait` is how this module lets a moment pass between two looks."""


class OctoPrintTrouble(RuntimeError):
    """OctoPrint did not start, stop or do what was asked; the text says where to look."""


@dataclass(frozen=True)
class OctoPrintSetup:
    """`venv` holds OctoPrint; `basedir` is OctoPrint's own folder (made if missing); `port` 0: a free one.

    `plugin_settings` go under `plugins.obico`; `virtual_printer` overrides the virtual printer's settings; `scripts`
    are the user's own G-code scripts by name (`afterPrintPaused`); `plugins` are sources of single-file plugins by
    name; `extra` is merged over the rest of config.yaml.
    """

    venv: Path
    basedir: Path
    port: int = 0
    host: str = "127.0.0.1"
    user: str = "demo"
    password: str = "demo"  # noqa: S105 - a throw-away OctoPrint on this machine
    plugin_path: Path | None = None
    plugin_settings: Mapping[str, Any] = field(default_factory=dict)
    virtual_printer: Mapping[str, Any] = field(default_factory=dict)
    snapshot_url: str | None = None
    stream_url: str | None = None
    scripts: Mapping[str, str] = field(default_factory=dict)
    plugins: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)
    autoconnect: bool = True


def free_port(host: str = "127.0.0.1") -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def unpack_wheel(wheel: Path, into: Path) -> Path:
    """A wheel laid out as an import folder (with its metadata, so that OctoPrint finds the plugin's entry point)."""
    into.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(into)
    return into


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first truthy answer of `condition`; raises OctoPrintTrouble that names `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise OctoPrintTrouble(f"waited {seconds:g} s in vain for {what}")
        _PAUSE.wait(0.05)


class OctoPrintHost:
    """One OctoPrint process. `prepare` once, then `start` and `stop` as often as wanted."""

    def __init__(self, setup: OctoPrintSetup) -> None:
        self.setup = setup
        self.port = setup.port or free_port(setup.host)
        self.url = f"http://{setup.host}:{self.port}"
        self.api_key = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None

    # --- files ---

    @property
    def basedir(self) -> Path:
        return self.setup.basedir

    @property
    def log(self) -> Path:
        """OctoPrint's own log."""
        return self.basedir / "logs" / "octoprint.log"

    @property
    def printer_log(self) -> Path:
        """What the virtual printer received (`<<< `) and sent (`>>> `), line by line."""
        return self.basedir / "logs" / "plugin_virtual_printer_serial.log"

    def received_lines(self) -> list[str]:
        """Each line that the virtual printer has received so far, without line number and checksum."""
        try:
            text = self.printer_log.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        found = []
        # Each time it is switched on, the virtual printer adds one more handler to its log: the same record, with time,
        # line number and checksum, then stands there as often as it was connected, perhaps among a few others.
        before: deque[str] = deque(maxlen=8)
        for line in text.splitlines():
            _, marker, sent = line.partition(" <<< ")
            if marker and line not in before:
                before.append(line)
                found.append(re.sub(r"\*\d+$", "", re.sub(r"^N\d+\s*", "", sent)).strip())
        return found

    # --- life ---

    def prepare(self) -> None:
        """Writes OctoPrint's settings (no wizard, virtual printer on) and makes its user. Not to be repeated."""
        self.basedir.mkdir(parents=True, exist_ok=True)
        (self.basedir / "config.yaml").write_text(json.dumps(self._config(), indent=1), encoding="utf-8")
        for name, body in self.setup.scripts.items():
            script = self.basedir / "scripts" / "gcode" / name
            script.parent.mkdir(parents=True, exist_ok=True)
            script.write_text(body, encoding="utf-8")
        for name, source in self.setup.plugins.items():
            plugin = self.basedir / "plugins" / f"{name}.py"
            plugin.parent.mkdir(parents=True, exist_ok=True)
            plugin.write_text(source, encoding="utf-8")
        self._run("user", "add", self.setup.user, "--password", self.setup.password, "--admin")
        self.api_key = secrets.token_hex(16)
        users = self.basedir / "users.yaml"
        users.write_text(
            users.read_text(encoding="utf-8").replace("apikey: null", f"apikey: {self.api_key}", 1), encoding="utf-8"
        )
        users.chmod(_SECRET_FILE)

    def start(self, seconds: float = 90.0) -> None:
        """Starts OctoPrint and waits until it answers (and, with autoconnect, until its printer is ready)."""
        self._output = (self.basedir / "output.log").open("ab")
        self._process = subprocess.Popen(
            [*self._command(), "serve", "--host", self.setup.host, "--port", str(self.port), "--iknowwhatimdoing"],
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            env=self._environment(),
            cwd=self.basedir,  # `-m` puts the current folder before everything else
            start_new_session=True,
        )
        wait_until(self._answers, seconds, f"OctoPrint at {self.url} (see {self.basedir / 'output.log'})")
        if self.setup.autoconnect:
            self.wait_for_state("OPERATIONAL", 60)

    def stop(self, seconds: float = 20.0) -> None:
        """Asks OctoPrint to end, and makes it end after `seconds`."""
        self._end(signal.SIGTERM, seconds)

    def kill(self) -> None:
        """Ends OctoPrint at once, as a power cut would."""
        self._end(signal.SIGKILL, 10.0)

    @property
    def pid(self) -> int:
        if self._process is None:
            raise OctoPrintTrouble("OctoPrint is not running")
        return self._process.pid

    def _end(self, how: signal.Signals, seconds: float) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10.0)
        if self._output is not None:
            self._output.close()
            self._output = None

    # --- talking to it ---

    def request(self, method: str, path: str, body: Any = None, *, key: bool = True) -> tuple[int, str]:
        """One call of OctoPrint's API: status and body. `key` False: as an anonymous visitor."""
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if key:
            headers["X-Api-Key"] = self.api_key
        data = json.dumps(body).encode() if body is not None else None
        return self._send(urllib.request.Request(self.url + path, data=data, headers=headers, method=method))

    def get(self, path: str) -> Any:
        """The JSON that OctoPrint answers there."""
        return self._json("GET", path, None)

    def post(self, path: str, body: Any) -> Any:
        return self._json("POST", path, body)

    def state(self) -> str:
        """The printer's state as OctoPrint's API names it, in capitals: `OPERATIONAL`, `PRINTING`, `PAUSED`, …"""
        text = str(self.get("/api/connection").get("current", {}).get("state", ""))
        return _STATES.get(text, text.upper())

    def wait_for_state(self, state: str, seconds: float = 30.0) -> None:
        wait_until(lambda: self.state() == state, seconds, f"OctoPrint's printer to be {state}")

    def upload(self, name: str, content: bytes, *, start: bool = False) -> None:
        """Puts a file into OctoPrint's own storage and, if asked, starts to print it."""
        boundary = secrets.token_hex(16)
        fields = {"select": "true", "print": "true"} if start else {}
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
            for key, value in fields.items()
        ]
        parts.append(
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n".encode()
        )
        body = b"".join([*parts, content, f"\r\n--{boundary}--\r\n".encode()])
        status, text = self._send(
            urllib.request.Request(
                self.url + "/api/files/local",
                data=body,
                headers={"X-Api-Key": self.api_key, "Content-Type": f"multipart/form-data; boundary={boundary}"},
                method="POST",
            )
        )
        if status not in {200, 201}:
            raise OctoPrintTrouble(f"OctoPrint did not take {name}: {status} {text[:200]}")

    def job(self, command: str, **more: Any) -> None:
        """`start`, `cancel`, or `pause` with action=`pause` | `resume`."""
        self.post("/api/job", {"command": command, **more})

    def gcode(self, *lines: str) -> None:
        self.post("/api/printer/command", {"commands": list(lines)})

    def connect(self) -> None:
        if self._major() >= 2:
            body: dict[str, Any] = {"command": "connect", "connector": "serial", "parameters": dict(_SERIAL)}
        else:
            body = {"command": "connect", **_SERIAL}
        self.post("/api/connection", body)

    def disconnect(self) -> None:
        self.post("/api/connection", {"command": "disconnect"})

    def _json(self, method: str, path: str, body: Any) -> Any:
        status, text = self.request(method, path, body)
        if status >= 300:
            raise OctoPrintTrouble(f"OctoPrint answered {status} to {method} {path}: {text[:300]}")
        return json.loads(text) if text.strip() else None

    @staticmethod
    def _send(request: urllib.request.Request) -> tuple[int, str]:
        try:
            with _OPENER.open(request, timeout=30) as answer:
                return answer.status, answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode("utf-8", "replace")

    def _answers(self) -> bool:
        if self._process is not None and self._process.poll() is not None:
            raise OctoPrintTrouble(f"OctoPrint ended while starting; see {self.basedir / 'output.log'}")
        try:
            status, text = self.request("GET", "/api/version")
        except (OSError, http.client.HTTPException):
            return False  # not up yet; its intermediate page is no proper HTTP
        return status == 200 and '"server"' in text

    # --- set-up ---

    def _command(self) -> list[str]:
        return [str(self.setup.venv / "bin" / "python"), "-m", "octoprint", "--basedir", str(self.basedir)]

    def _environment(self) -> dict[str, str]:
        environment = {**os.environ, "NO_COLOR": "1"}
        environment.pop("PYTHONPATH", None)
        if self.setup.plugin_path is not None:
            environment["PYTHONPATH"] = str(self.setup.plugin_path)
        return environment

    def _run(self, *arguments: str) -> None:
        done = subprocess.run(
            [*self._command(), *arguments],
            env=self._environment(),
            cwd=self.basedir,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise OctoPrintTrouble(f"octoprint {arguments[0]} failed: {done.stderr.strip()[-500:]}")

    def _webcam(self) -> dict[str, str]:
        found = {"snapshot": self.setup.snapshot_url, "stream": self.setup.stream_url}
        return {key: url for key, url in found.items() if url}

    def _major(self) -> int:
        return octoprint_version(self.setup.venv)[0]

    def _config(self) -> dict[str, Any]:
        plugins: dict[str, Any] = {
            # What would talk to the internet or pop up in front of a demo stays off.
            "_disabled": ["announcements", "discovery", "errortracking", "health_check", "softwareupdate",
                          "tracking"],
            "virtual_printer": {"_config_version": 1, "enabled": True, "simulated_errors": [],
                                **self.setup.virtual_printer},
            # Tests make this machine busier than any printer's; pictures shall keep their pace all the same.
            "obico": {"back_off": False, **self.setup.plugin_settings},
            "classicwebcam": {"_config_version": 1, **self._webcam()},
        }  # fmt: skip
        config: dict[str, Any] = {
            "server": {
                "firstRun": False,
                "seenWizards": {"corewizard": 4, "classicwebcam": 1, "softwareupdate": 1, "tracking": None,
                                "backup": None},
                "onlineCheck": {"enabled": False},
                "pluginBlacklist": {"enabled": False},
            },
            "accessControl": {"salt": secrets.token_hex(16), "autologinLocal": False},
            "plugins": plugins,
        }  # fmt: skip
        if self._major() >= 2:
            config["printerConnection"] = {
                "autoconnect": self.setup.autoconnect,
                "preferred": {"connector": "serial", "parameters": dict(_SERIAL)},
            }
            plugins["serial_connector"] = {"_config_version": 3, "log": True}
        else:
            config["serial"] = {**_SERIAL, "autoconnect": self.setup.autoconnect, "log": True}
        return _merged(config, self.setup.extra)


_SERIAL = {"port": "VIRTUAL", "baudrate": 115200}

_STATES = {"Offline": "OFFLINE", "Closed": "OFFLINE", "Printing from SD": "PRINTING"}


def octoprint_version(venv: Path) -> tuple[int, int]:
    """Major and minor version of the OctoPrint in a virtual environment."""
    for folder in sorted(venv.glob("lib/python3*/site-packages/[Oo]cto[Pp]rint-*.dist-info")):
        found = re.match(r"octoprint-(\d+)\.(\d+)", folder.name, re.IGNORECASE)
        if found:
            return int(found[1]), int(found[2])
    raise OctoPrintTrouble(f"there is no OctoPrint in {venv}; `make envs` installs it")


def _merged(base: dict[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        mine = result.get(key)
        result[key] = _merged(mine, value) if isinstance(mine, dict) and isinstance(value, Mapping) else value
    return result


@contextlib.contextmanager
def running(setup: OctoPrintSetup) -> Iterator[OctoPrintHost]:
    """A prepared and started OctoPrint that is gone at the end."""
    host = OctoPrintHost(setup)
    host.prepare()
    try:
        host.start()
        yield host
    finally:
        host.stop()
