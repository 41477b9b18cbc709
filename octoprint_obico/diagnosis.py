"""`doctor` and the support bundle inside OctoPrint: run on an errand, shown on the settings page."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent_core.config import AgentConfig, CameraConfig
from agent_core.errors import Unreachable
from agent_core.features import support_bundle
from agent_core.features.doctor import Check, Finding, Level, run
from agent_core.features.doctor.cameras import camera_check
from agent_core.features.doctor.server import ServerExam
from agent_core.features.doctor.system import system_checks
from agent_core.features.scrub import Scrubber
from agent_core.model import LinkState
from agent_core.ports import Http

OLDEST = (1, 10)
"""OctoPrint's versions before this one are not tested with."""

CLASHES = {
    "thespaghettidetective": "The Spaghetti Detective is this plugin's forerunner: uninstall it, or both will pause",
}
"""Plugins that get in our way, by identifier."""

_LOG_LIMIT = 256 * 1024
"""Bytes of octoprint.log's end."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What is known of OctoPrint. `plugins`: identifier → version of those that are enabled."""

    version: str
    state: str
    plugins: Mapping[str, str]
    log: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Circumstances:
    """`config` None: the settings cannot be used, `trouble` says why. `link` None: no agent runs."""

    surroundings: Surroundings
    config: AgentConfig | None
    cameras: tuple[CameraConfig, ...]
    link: LinkState | None
    trouble: str | None = None


class Diagnosis:
    """Its methods run on an errand's thread; `shown` and `bundle` may be read from any."""

    def __init__(self, http: Http, scrubber: Scrubber, version: str, data_dir: str) -> None:
        self._http = http
        self._scrubber = scrubber
        self._version = version
        self._data_dir = Path(data_dir)
        self._shown: dict[str, Any] | None = None
        self.bundle: tuple[str, bytes] | None = None
        """Name and content of the last zip; a few hundred kB, kept until OctoPrint ends."""

    @property
    def shown(self) -> dict[str, Any]:
        """For the settings page."""
        bundle = self.bundle
        return {
            "examined": self._shown,
            "bundle": None if bundle is None else {"name": bundle[0], "kb": len(bundle[1]) // 1024 + 1},
        }

    def examine(self, around: Circumstances, stopping: Callable[[], bool]) -> str:
        """What came of it in one sentence. Raises Unreachable when it is stopped."""
        found: list[Finding] = []
        for finding in run(self._checks(around)):
            if stopping():
                raise Unreachable("the check was broken off")
            found.append(finding)
        self._shown = {"at": time.time(), "findings": [finding.to_json() for finding in found]}
        failed = sum(finding.level is Level.FAIL for finding in found)
        warned = sum(finding.level is Level.WARN for finding in found)
        if not failed and not warned:
            return "All is well."
        return f"{failed} problem(s), {warned} warning(s)."

    def make_bundle(self, around: Circumstances, status: Mapping[str, Any], stopping: Callable[[], bool]) -> str:
        self.examine(around, stopping)
        surroundings = around.surroundings
        now = time.time()
        parts: dict[str, Any] = {
            "versions.json": support_bundle.versions(agent=self._version, octoprint=surroundings.version),
            "doctor.json": self._shown or {},
            "status.json": dict(status),
            "settings.json": dict(surroundings.settings),
            "plugins.json": dict(surroundings.plugins),
        }
        if surroundings.log is not None:
            parts["octoprint.log"] = support_bundle.tail(surroundings.log, _LOG_LIMIT)
        scrubber = Scrubber(self._scrubber.known, addresses=True)
        name = time.strftime("octoprint-obico-support-%Y%m%d-%H%M%S.zip", time.localtime(now))
        self.bundle = (name, support_bundle.build(parts, scrubber, now))
        return "The support bundle is ready. Look through it before you share it."

    def _checks(self, around: Circumstances) -> Iterator[Check]:
        yield Check("octoprint", lambda: _octoprint(around.surroundings, self._version))
        yield from system_checks(self._data_dir, os.getpid(), advice="check the owner of OctoPrint's folder")
        if around.config is None:
            trouble = Finding(Level.FAIL, "settings", around.trouble or "they cannot be used")
            yield Check("settings", lambda: [trouble])
        else:
            link = around.link
            state = None if link is None else "" if link.connected else link.reason or "not yet"
            yield from ServerExam(
                around.config, self._http, link=state, relink="link it in the Obico settings",
                address="the Obico settings",
            ).checks()  # fmt: skip
        if not around.cameras:
            none = Finding(Level.WARN, "camera", "none", "set up a webcam in OctoPrint's settings")
            yield Check("camera", lambda: [none])
        for camera in around.cameras:
            yield camera_check(camera, self._http)


def _octoprint(around: Surroundings, version: str) -> Iterator[Finding]:
    python = platform.python_version()
    seen = f"OctoPrint {around.version}, Python {python}, this plugin {version}"
    if _numbers(around.version) < OLDEST:
        yield Finding(Level.WARN, "octoprint", seen, "update OctoPrint; this plugin is tested with 1.11 and 2.0")
    else:
        yield Finding(Level.OK, "octoprint", seen)
    for identifier, trouble in CLASHES.items():
        if identifier in around.plugins:
            yield Finding(Level.FAIL, "octoprint", trouble)
    if around.state in {"OFFLINE", "CLOSED", "CLOSED_WITH_ERROR", "ERROR", "NONE"}:
        yield Finding(Level.WARN, "octoprint", "the printer is not connected", "connect it, to be told of its prints")
    else:
        yield Finding(Level.OK, "octoprint", f"the printer is connected ({around.state.lower()})")


def _numbers(version: str) -> tuple[int, ...]:
    words = version.split(".")[:2]
    return tuple(int(word) if word.isdigit() else 0 for word in words)
