"""`doctor`: checks everything that the agent needs, and names each failure in one line with what to do."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from agent_core.config import AgentConfig, CameraConfig
from agent_core.database import FILE_NAME
from agent_core.errors import AgentError, AuthRefused, CameraFault, ConfigInvalid
from agent_core.features.camera import HttpCamera
from agent_core.features.camera_urls import shown
from agent_core.features.linking import check_token
from agent_core.ports import Http, HttpRequest
from agent_core.transport.http import HttpClient
from moonraker_obico.cli import exit_codes, lock, status_socket
from moonraker_obico.cli.upgrade import check_websocket
from moonraker_obico.config import HostConfig, load
from moonraker_obico.version import AGENT_NAME, AGENT_VERSION
from moonraker_obico.webcams import cameras

_FREE_LEAST = 20 * 1024 * 1024
_NEEDED = {
    "virtual_sdcard": "[virtual_sdcard] (printing files)",
    "pause_resume": "[pause_resume] (pausing)",
    "display_status": "[display_status] (messages and progress)",
}


class Level(str, Enum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One checked thing, and what is to be said of it."""

    level: Level
    subject: str
    text: str


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
        print(json.dumps([asdict(finding) for finding in found], indent=2))
    failed = [finding for finding in found if finding.level is Level.FAIL]
    if not as_json:
        print(f"\n{len(failed)} problem(s) to solve." if failed else "\nAll is well.")
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
    for warning in config.warnings:
        yield Finding(Level.WARN, "config", warning)
    yield Finding(Level.OK, "config", f"{path} can be read")
    yield from _data_dir(config)
    running = yield from _copy(config)
    listed = yield from _moonraker(config, http)
    yield from _server(config, http, running)
    yield from _cameras(config, http, listed)


def _data_dir(config: HostConfig) -> Iterator[Finding]:
    folder = config.data_dir
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        advice = "set [agent] data_dir to a folder that this user may write"
        yield Finding(Level.FAIL, "data", f"{folder} cannot be used ({error.strerror or error}): {advice}")
        return
    if not os.access(folder, os.W_OK):
        yield Finding(Level.FAIL, "data", f"{folder} may not be written by this user: check its owner")
    elif (database := folder / FILE_NAME).exists() and not os.access(database, os.W_OK):
        yield Finding(Level.FAIL, "data", f"{database} may not be written by this user: check its owner")
    elif free < _FREE_LEAST:
        yield Finding(Level.FAIL, "data", f"only {free // 1024**2} MB are free at {folder}: delete some files")
    else:
        yield Finding(Level.OK, "data", f"{folder} can be written, {free // 1024**2} MB are free")
    token = config.token_path
    if token.exists() and token.stat().st_mode & 0o077:
        yield Finding(Level.WARN, "data", f"others can read the token: `chmod 600 {token}`")


def _copy(config: HostConfig) -> Generator[Finding, None, bool]:
    """Returns whether an agent runs with this configuration."""
    try:
        pid = lock.holder(config.lock_path)
    except OSError as error:
        yield Finding(Level.WARN, "agent", f"whether it runs cannot be seen: {error.strerror or error}")
        return False
    if pid is None:
        yield Finding(Level.WARN, "agent", "it does not run: `sudo systemctl start moonraker-obico`")
        return False
    answers = status_socket.ask(config.status_path) is not None
    if answers:
        yield Finding(Level.OK, "agent", f"it runs (process {pid or 'unknown'}), once")
    else:
        yield Finding(
            Level.FAIL, "agent", f"process {pid} does not answer: `sudo systemctl restart moonraker-obico`"
        )  # fmt: skip
    return True


# --- Moonraker --------------------------------------------------------------------------------------------------------


def _moonraker(config: HostConfig, http: Http) -> Generator[Finding, None, Any]:
    """Returns the result of server.webcams.list, None if not known."""
    where = f"{config.moonraker_host}:{config.moonraker_port}"
    try:
        info = _get(config, http, "/server/info")
    except AgentError as error:
        yield Finding(Level.FAIL, "moonraker", _moonraker_trouble(error, where))
        return None
    yield Finding(Level.OK, "moonraker", f"{where} answers, version {info.get('moonraker_version', 'unknown')}")
    components = info.get("components")
    if isinstance(components, list) and "history" not in components:
        yield Finding(Level.WARN, "moonraker", "it keeps no history: add a [history] section to moonraker.conf")
    yield from _klipper(config, http, str(info.get("klippy_state")))
    try:
        return _get(config, http, "/server/webcams/list")
    except AgentError:
        return None


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


# --- the server -------------------------------------------------------------------------------------------------------


def _server(config: HostConfig, http: Http, running: bool) -> Iterator[Finding]:
    parts = urlsplit(config.server_url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        advice = "check the address in [server] url, and this machine's network"
        yield Finding(Level.FAIL, "server", f"the name {host} is not known to DNS: {advice}")
        return
    if config.token is None:
        yield Finding(Level.FAIL, "server", "this printer is not linked: run `moonraker-obico link`")
        return
    try:
        printer = check_token(http, config.server_url, config.token, verify_tls=config.verify_tls)
    except AgentError as error:
        yield Finding(Level.FAIL, "server", str(error))
        return
    yield Finding(Level.OK, "server", f"{config.server_url} knows this printer as {printer.name or printer.id}")
    if running:
        told = status_socket.ask(config.status_path)
        link = told["link"] if told else {}
        if link.get("state") == "connected":
            yield Finding(Level.OK, "server", "the agent is connected to it")
        else:
            yield Finding(Level.FAIL, "server", f"the agent is not connected to it: {link.get('reason') or 'not yet'}")
        return
    # Only while no agent runs: the server would close that one's connection for ours.
    problem = check_websocket(_agent_config(config))
    if problem is None:
        yield Finding(Level.OK, "server", "its websocket can be opened")
    else:
        yield Finding(Level.FAIL, "server", problem)


def _agent_config(config: HostConfig) -> AgentConfig:
    return AgentConfig(
        AGENT_NAME, AGENT_VERSION, config.server_url, config.token, str(config.data_dir), verify_tls=config.verify_tls
    )


# --- cameras ----------------------------------------------------------------------------------------------------------


def _cameras(config: HostConfig, http: Http, listed: Any) -> Iterator[Finding]:
    try:
        found = cameras(config.webcams, listed, config.moonraker_host)
    except ConfigInvalid as error:
        yield Finding(Level.FAIL, "camera", str(error))
        return
    if not found:
        yield Finding(
            Level.WARN, "camera", "none: add one in Mainsail or Fluidd, or a [webcam] section with snapshot_url"
        )  # fmt: skip
    for camera in found:
        yield _camera(camera, http)


def _camera(camera: CameraConfig, http: Http) -> Finding:
    name = camera.info.name or "(unnamed)"
    where = shown(camera.snapshot_url or camera.stream_url or "")
    try:
        picture = HttpCamera(camera, http).fetch()
    except CameraFault as fault:
        return Finding(Level.FAIL, "camera", f"{name} gives no picture: {fault} ({where})")
    return Finding(Level.OK, "camera", f"{name} gives pictures of {len(picture) // 1024} kB ({where})")
