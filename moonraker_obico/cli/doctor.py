"""`doctor`: checks everything that the agent needs, and names each failure in one line with what to do."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent_core.config import AgentConfig
from agent_core.errors import AgentError, AuthRefused, ConfigInvalid
from agent_core.features.doctor import Check, Finding, Level, run
from agent_core.features.doctor.cameras import camera_check
from agent_core.features.doctor.server import ServerExam
from agent_core.features.doctor.system import system_checks
from agent_core.features.machine import COPIED, MachineRecord
from agent_core.ports import Http, HttpRequest
from agent_core.transport.http import HttpClient
from moonraker_obico.cli import exit_codes, lock, status_socket
from moonraker_obico.config import HostConfig, load
from moonraker_obico.version import AGENT_NAME, AGENT_VERSION
from moonraker_obico.webcams import cameras

_NEEDED = {
    "virtual_sdcard": "[virtual_sdcard] (printing files)",
    "pause_resume": "[pause_resume] (pausing)",
    "display_status": "[display_status] (messages and progress)",
}
_COMPONENTS_SHOWN = 5


def doctor(path: Path, *, as_json: bool = False) -> int:
    """Prints the findings as they come; the exit status."""
    found: list[Finding] = []
    http = HttpClient(f"moonraker-obico/{AGENT_VERSION}")
    try:
        for finding in examine(path, http):
            found.append(finding)
            if not as_json:
                print(f"{finding.level.value:4}  {finding.subject:9} {finding.text}", flush=True)
    finally:
        http.close()
    if as_json:
        print(json.dumps([finding.to_json() for finding in found], indent=2))
    failed = [finding for finding in found if finding.level is Level.FAIL]
    warned = sum(finding.level is Level.WARN for finding in found)
    if not as_json:
        noted = f"{warned} warning(s)." if warned else ""
        print(f"\n{len(failed)} problem(s) to solve. {noted}" if failed else f"\nAll is well. {noted}")
    if failed and failed[0].subject == "config":
        return exit_codes.CONFIG
    return exit_codes.PROBLEM if failed else exit_codes.OK


def examine(path: Path, http: Http) -> Iterator[Finding]:
    """All findings, in the order in which they matter."""
    try:
        config = load(path)
    except ConfigInvalid as error:
        yield Finding(Level.FAIL, "config", str(error))
        return
    yield from run(Examination(config, http).checks())


class Examination:
    """What one check finds and a later one builds on."""

    def __init__(self, config: HostConfig, http: Http) -> None:
        self._config = config
        self._http = http
        self._pid: int | None = None
        self._link: str | None = None
        self._listed: Any = None
        self._copied = config.token is not None and MachineRecord(config.data_dir).differs()

    def checks(self) -> Iterator[Check]:
        config = self._config
        yield Check("config", self.configuration)
        yield Check("machine", self.machine)
        yield Check("agent", self.copy)
        advice = "set [agent] data_dir to a folder that this user may write"
        yield from system_checks(config.data_dir, self._pid, advice=advice)
        yield Check("moonraker", self.moonraker)
        agent = AgentConfig(
            AGENT_NAME, AGENT_VERSION, config.server_url, None if self._copied else config.token, str(config.data_dir),
            verify_tls=config.verify_tls,
        )  # fmt: skip
        yield from ServerExam(
            agent, self._http, link=self._link, relink="run `moonraker-obico link` again" if agent.token else
            "run `moonraker-obico link`", address="[server] url",
        ).checks()  # fmt: skip
        try:
            found = cameras(config.webcams, self._listed, config.moonraker_host)
        except ConfigInvalid as error:
            trouble = Finding(Level.FAIL, "camera", str(error))
            yield Check("camera", lambda: [trouble])
            return
        if not found:
            none = "none: add one in Mainsail or Fluidd, or a [webcam] section with snapshot_url"
            yield Check("camera", lambda: [Finding(Level.WARN, "camera", none)])
        for camera in found:
            yield camera_check(camera, self._http)

    def configuration(self) -> Iterator[Finding]:
        for warning in self._config.warnings:
            yield Finding(Level.WARN, "config", warning)
        yield Finding(Level.OK, "config", f"{self._config.path} can be read")
        token = self._config.token_path
        if token.exists() and token.stat().st_mode & 0o077:
            yield Finding(Level.WARN, "data", f"others can read the token: `chmod 600 {token}`")

    def machine(self) -> Iterator[Finding]:
        """Whether this is the machine that was linked."""
        if self._copied:
            advice = (
                "run `moonraker-obico link`; if it is the same printer with new hardware, `moonraker-obico link --keep`"
            )
            yield Finding(Level.FAIL, "machine", COPIED, advice)

    def copy(self) -> Iterator[Finding]:
        """Whether an agent runs with this configuration."""
        config = self._config
        try:
            pid = lock.holder(config.lock_path)
        except OSError as error:
            yield Finding(Level.WARN, "agent", f"whether it runs cannot be seen: {error.strerror or error}")
            return
        if pid is None:
            yield Finding(Level.WARN, "agent", "it does not run: `sudo systemctl start moonraker-obico`")
            return
        self._pid = pid or None
        told = status_socket.ask(config.status_path)
        link = told["link"] if told else {}
        self._link = "" if link.get("state") == "connected" else str(link.get("reason") or "not yet")
        if told is None:
            restart = "`sudo systemctl restart moonraker-obico`"
            yield Finding(Level.FAIL, "agent", f"process {pid} does not answer: {restart}")
            return
        yield Finding(Level.OK, "agent", f"it runs (process {pid or 'unknown'}), once")
        trouble = told.get("trouble")
        if isinstance(trouble, dict):
            yield Finding(Level.OK, "agent", f"the last trouble in its log: {trouble.get('text')}")

    def moonraker(self) -> Iterator[Finding]:
        config = self._config
        where = f"{config.moonraker_host}:{config.moonraker_port}"
        try:
            info = _get(config, self._http, "/server/info")
        except AgentError as error:
            yield Finding(Level.FAIL, "moonraker", _moonraker_trouble(error, where))
            return
        version = info.get("moonraker_version", "unknown")
        yield Finding(Level.OK, "moonraker", f"{where} answers, version {version}")
        components = info.get("components")
        if isinstance(components, list) and "history" not in components:
            yield Finding(Level.WARN, "moonraker", "it keeps no history: add a [history] section to moonraker.conf")
        broken = info.get("failed_components")
        if isinstance(broken, list) and broken:
            names = ", ".join(str(name) for name in broken[:_COMPONENTS_SHOWN])
            yield Finding(Level.WARN, "moonraker", f"parts of it did not load ({names})", "look into moonraker.log")
        yield from _klipper(config, self._http, str(info.get("klippy_state")))
        try:
            self._listed = _get(config, self._http, "/server/webcams/list")
            told = _get(config, self._http, "/printer/info")
        except AgentError:
            return
        yield Finding(
            Level.OK, "versions",
            f"agent {AGENT_VERSION}, Python {platform.python_version()}, Moonraker {version}, "
            f"Klipper {told.get('software_version', 'unknown')}",
        )  # fmt: skip


def _moonraker_trouble(error: AgentError, where: str) -> str:
    if isinstance(error, AuthRefused | ConfigInvalid):
        return str(error)
    return f"no answer from Moonraker at {where} ({error}): check host and port in [moonraker], and that it runs"


def _klipper(config: HostConfig, http: Http, state: str) -> Iterator[Finding]:
    if state != "ready":
        try:
            message = str(_get(config, http, "/printer/info").get("state_message") or "").strip().split("\n")[0]
        except AgentError:
            message = ""
        advice = {
            "disconnected": "it does not run: start the klipper service, look into klippy.log",
            "startup": "it is starting; if that lasts, the controller board does not answer",
            "shutdown": "send FIRMWARE_RESTART once the cause is gone",
            "error": "correct printer.cfg, then send FIRMWARE_RESTART",
        }.get(state, "look into klippy.log")
        told = f" ({message})" if message else ""
        yield Finding(Level.FAIL, "klipper", f"its state is {state}{told}: {advice}")
        return
    try:
        names = _get(config, http, "/printer/objects/list").get("objects")
    except AgentError as error:
        yield Finding(Level.FAIL, "klipper", f"its objects cannot be listed: {error}")
        return
    if isinstance(names, list) and "gcode_macro CANCEL_PRINT" not in names:
        yield Finding(
            Level.WARN, "klipper", "printer.cfg has no macro CANCEL_PRINT: a cancelled print leaves the heaters on",
            "include mainsail.cfg or fluidd.cfg, or write one with TURN_OFF_HEATERS",
        )  # fmt: skip
    missing = [text for name, text in _NEEDED.items() if not isinstance(names, list) or name not in names]
    if missing:
        yield Finding(Level.FAIL, "klipper", f"ready, but printer.cfg has no {', no '.join(missing)}: add the section")
    else:
        yield Finding(Level.OK, "klipper", "ready, with everything that is needed")


def _get(config: HostConfig, http: Http, path: str) -> dict[str, Any]:
    """Raises AgentError."""
    host = f"[{config.moonraker_host}]" if ":" in config.moonraker_host else config.moonraker_host
    headers = {} if config.api_key is None else {"X-Api-Key": config.api_key.reveal()}
    response = http.send(
        HttpRequest("GET", f"http://{host}:{config.moonraker_port}{path}", headers=headers, timeout=5.0)
    )
    if response.status in {401, 403}:
        word = "wants an API key: put it" if config.api_key is None else "refuses the api_key: copy it anew"
        raise AuthRefused(f"Moonraker {word} into [moonraker] api_key (Mainsail or Fluidd show it in the settings)")
    try:
        result = json.loads(response.body)["result"]
    except (ValueError, KeyError, TypeError):
        result = None
    if response.status != 200 or not isinstance(result, dict):
        raise ConfigInvalid(
            f"what answers at {host}:{config.moonraker_port} is not Moonraker (HTTP {response.status}): "
            "check host and port in [moonraker]"
        )
    return result
