"""OctoPrint's objects behind the Protocols of service.py and printer.py; handed in by the plugin, not imported."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent_core.commands import CommandResult
from agent_core.config import AgentConfig, CameraConfig, Secret, TunnelTarget
from agent_core.database import Database
from agent_core.features.camera import HttpCamera
from agent_core.features.discovery import HostFacts, Progress
from agent_core.features.download_ports import FilePort
from agent_core.features.jpeg import inspect
from agent_core.features.layers import LayerIndexes
from agent_core.features.linking import verify_code
from agent_core.features.pause_reason import PauseReason, fetch_picture, mute_alerts
from agent_core.features.scrub import Scrubber, secrets_in
from agent_core.features.search import Search, SearchParts, host_facts
from agent_core.model import HostSettings, Job, LinkState, Temperature
from agent_core.passthru import Route
from agent_core.ports import PrinterPort
from agent_core.runtime.agent import Agent, Parts
from agent_core.runtime.clock import SystemClock
from agent_core.transport.http import HttpClient
from octoprint_obico import report, settings
from octoprint_obico.diagnosis import Diagnosis, Surroundings
from octoprint_obico.discovery import Keep
from octoprint_obico.logs import NAMES
from octoprint_obico.printer import TAGS
from octoprint_obico.sent import SentGcode
from octoprint_obico.service_ports import Linked

if TYPE_CHECKING:
    from agent_core.features.sentry import FaultReports

BOARD_FILE = Path("/proc/device-tree/model")
"""Where a Raspberry Pi and its kin say what they are."""


@dataclass(frozen=True, slots=True)
class OctoPrint:
    """What OctoPrint injects into a plugin, and the few functions of its own that are asked."""

    identifier: str
    version: str
    printer: Any
    settings: Any
    plugins: Any
    events: Any
    profiles: Any
    files: Any
    webcams: Callable[[], Mapping[str, Any]]
    snapshot_webcam: Callable[[], Any]
    file_errors: tuple[type[Exception], ...]
    """What its file manager raises for a file that is gone or can have no metadata."""


class PrinterBridge:
    """OctoPrint's printer (1.11: one class, 2.0: one with connectors behind it)."""

    def __init__(self, octoprint: OctoPrint) -> None:
        self._octoprint = octoprint
        self._printer = octoprint.printer

    def state_id(self) -> str:
        return str(self._printer.get_state_id())

    def job(self) -> tuple[str | None, str | None]:
        file = (self._printer.get_current_job() or {}).get("file") or {}
        return file.get("name"), file.get("origin")

    def temperatures(self) -> Mapping[str, Temperature]:
        return report.temperatures(self._printer.get_current_temperatures() or {})

    def height(self) -> float | None:
        height = ((self._profile().get("volume")) or {}).get("height")
        return float(height) if isinstance(height, (int, float)) and height > 0 else None

    def shared_nozzle(self) -> bool:
        return bool((self._profile().get("extruder") or {}).get("sharedNozzle"))

    def z(self) -> float | None:
        z = (self._printer.get_current_data() or {}).get("currentZ")
        return float(z) if isinstance(z, (int, float)) else None

    def runs_scripts(self) -> bool:
        connection = getattr(self._printer, "connection_state", None)  # 2.0; 1.11 knows serial only
        return not isinstance(connection, Mapping) or connection.get("connector", "serial") == "serial"

    def script_source(self, name: str) -> str:
        return self._octoprint.settings.settings.loadScript("gcode", name, source=True) or ""

    def commands(self, *lines: str) -> None:
        self._printer.commands(list(lines), tags=set(TAGS))

    def pause(self) -> None:
        self._printer.pause_print(tags=set(TAGS))

    def resume(self) -> None:
        self._printer.resume_print(tags=set(TAGS))

    def cancel(self) -> None:
        self._printer.cancel_print(tags=set(TAGS))

    def profile(self) -> tuple[str, str]:
        """Name and model of the printer profile."""
        profile = self._profile()
        return str(profile.get("name") or ""), str(profile.get("model") or "")

    def _profile(self) -> Mapping[str, Any]:
        return self._octoprint.profiles.get_current_or_default() or {}


class HostBridge:
    """OctoPrint for the service: settings, webcams, slow facts, and the state in one look."""

    def __init__(self, octoprint: OctoPrint, printer: PrinterBridge, sent: SentGcode) -> None:
        self._octoprint = octoprint
        self._printer = printer
        self._sent = sent
        self._facts: report.FileFacts | None = None
        self._firmware: Mapping[str, Any] | None = None

    def values(self) -> Mapping[str, Any]:
        return {key: self._octoprint.settings.get([key]) for key in settings.DEFAULTS}

    def save(self, values: Mapping[str, Any]) -> None:
        for key, value in values.items():
            self._octoprint.settings.set([key], value)
        self._octoprint.settings.save()

    def webcams(self) -> tuple[list[settings.ProvidedWebcam], str | None]:
        chosen = self._octoprint.snapshot_webcam()
        return [self._provided(entry) for entry in self._octoprint.webcams().values()], (
            chosen.config.name if chosen is not None else None
        )

    def _provided(self, entry: Any) -> settings.ProvidedWebcam:
        user = password = ""
        if entry.providerIdentifier == "classicwebcam":
            # Bundled with OctoPrint; keeps the user name and password apart from the address.
            def own(key: str) -> str:
                return str(self._octoprint.settings.global_get(["plugins", "classicwebcam", key]) or "")

            if own("snapshotAuth") in {"basic", "digest"}:
                user, password = own("snapshotUsername"), own("snapshotPassword")
        return settings.ProvidedWebcam(entry.config, user, password)

    def facts(self, config: AgentConfig) -> HostSettings:
        return settings.host_settings(
            config.cameras,
            self._octoprint.settings.global_get(["temperature", "profiles"]),
            uname=tuple(os.uname()),
            board=_board(),
            plugins=self._plugins(),
            firmware=self._firmware,
            octoprint_version=self._octoprint.version,
        )

    def surroundings(self) -> Surroundings:
        plugins = self._octoprint.plugins.plugins
        folder = self._octoprint.settings.global_get_basefolder("logs")
        return Surroundings(
            version=self._octoprint.version,
            state=self._printer.state_id(),
            plugins={str(key): str(plugin.version) for key, plugin in plugins.items() if plugin.enabled},
            log=Path(folder) / "octoprint.log",
            settings=self.values(),
        )

    def _plugins(self) -> list[str]:
        if self._octoprint.settings.get(["tell_plugins"]) is False:
            return []
        return [
            plugin.name
            for plugin in self._octoprint.plugins.plugins.values()
            if plugin.enabled and not plugin.bundled and isinstance(plugin.name, str)
        ]

    def firmware(self, payload: Mapping[str, Any]) -> None:
        """OctoPrint's FirmwareData: the printer's answer to M115."""
        data = payload.get("data")
        self._firmware = data if isinstance(data, Mapping) else None

    def reading(self) -> report.Reading:
        return self.look(self._octoprint.printer.get_current_data() or {})

    def look(self, data: Mapping[str, Any]) -> report.Reading:
        """With data that OctoPrint has just handed out."""
        return report.Reading(
            state_id=self._printer.state_id(),
            data=data,
            temperatures=self._octoprint.printer.get_current_temperatures() or {},
            overrides=self._sent.overrides,
            facts=self._facts,
        )

    def look_up_file(self) -> None:
        """The metadata of the file that is selected now; OctoPrint keeps them in memory or in one small file."""
        file = (self._octoprint.printer.get_current_job() or {}).get("file") or {}
        path, origin = file.get("path"), file.get("origin")
        self._facts = None
        if not isinstance(path, str) or not isinstance(origin, str):
            return
        try:
            metadata = self._octoprint.files.get_metadata(origin, path)
        except self._octoprint.file_errors:
            return  # of no use to anybody but statistics; a file on the printer's card has none
        if metadata is None or isinstance(metadata, Mapping):  # None: 2.0, of a file that nothing was noted of yet
            profile = str((self._octoprint.profiles.get_current_or_default() or {}).get("id", ""))
            self._facts = report.file_facts(path, origin, metadata or {}, profile)

    def file_on_disk(self, job: Job) -> str | None:
        if job.path is None or job.origin != "local":
            return None
        try:
            return str(self._octoprint.files.path_on_disk("local", job.path))
        except self._octoprint.file_errors:
            return None

    def changed(self) -> None:
        # Without content: plugin messages reach every browser that is connected, logged in or not.
        self._octoprint.plugins.send_plugin_message(self._octoprint.identifier, {"type": "changed"})

    def tell(self, event: str, payload: Mapping[str, Any]) -> None:
        self._octoprint.events.fire(f"plugin_{self._octoprint.identifier}_{event}", dict(payload))


def _board() -> str:
    try:
        return BOARD_FILE.read_text(encoding="utf-8", errors="replace").strip("\x00 \n")
    except OSError:
        return ""


def web_interface(host: str, port: int) -> TunnelTarget:
    """OctoPrint's own page on this machine. It learns a visitor's address: whom it lets in without a password at home
    (autologinLocal) has to log in from elsewhere, also through the tunnel."""
    local = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return TunnelTarget(local, port, tell_visitor=True)


class CoreTools:
    """agent_core's parts that do I/O, for the service."""

    def __init__(self, version: str, data_dir: str, scrubber: Scrubber) -> None:
        """`scrubber` learns every secret that an agent is built with."""
        self.version = version
        self.scrubber = scrubber
        self.data_dir = data_dir
        self.clock = SystemClock()
        self.database = Database(data_dir)
        self.port: PrinterPort | None = None
        self.routes: Mapping[str, Route] = {}
        """What viewers may call."""
        self.tunnel: TunnelTarget | None = None
        self.files: FilePort | None = None
        self.layers = LayerIndexes(Path(data_dir) / "layers")
        self._called = f"{settings.AGENT_NAME}/{version}"
        self._http = HttpClient(self._called)
        self._reports_to: Secret | None = None
        self._reports: FaultReports | None = None
        self.diagnosis = Diagnosis(self._http, scrubber, version, data_dir)

    def build(
        self,
        config: AgentConfig,
        on_link_change: Callable[[LinkState], None],
        on_command_result: Callable[[CommandResult], None],
    ) -> Agent:
        if self.port is None:
            raise RuntimeError("the printer's port comes first")
        config = replace(config, tunnel=self.tunnel)
        self.scrubber.learn(*secrets_in(config))
        return Agent(
            Parts(
                # A client of its own: an agent closes it for good when it stops.
                config, self.port, self.database, self.clock, self._new_http(), on_link_change,
                self.routes, files=self.files, new_http=self._new_http, on_command_result=on_command_result,
            )
        )  # fmt: skip

    def _new_http(self) -> HttpClient:
        return HttpClient(self._called)

    def search(
        self,
        profile: tuple[str, str],
        port: int | None,
        server: str,
        keep: Keep,
        tell: Callable[[Progress], None],
        seconds: float,
    ) -> Search:
        """`profile`: name and model of OctoPrint's printer profile; `port`: where browsers reach OctoPrint."""
        facts = HostFacts("Obico for OctoPrint", self.version, printerprofile=profile[0], machine_type=profile[1])
        parts = SearchParts(
            server, host_facts(facts), self._http, self.clock, keep=lambda linked: keep(server, linked), on_change=tell
        )
        search = Search(parts, seconds)
        search.port = port
        return search

    def verify_code(self, server: str, code: str) -> Linked:
        found = verify_code(self._http, server, code)
        return Linked(found.token.reveal(), found.printer_name)

    def test_camera(self, camera: CameraConfig) -> str:
        picture = HttpCamera(camera, self._http).fetch()
        size = inspect(picture)
        return f"a picture of {size.width} x {size.height} pixels came ({len(picture) / 1000:.0f} kB)."

    def picture(self, config: AgentConfig, reason: PauseReason) -> bytes | None:
        picture = fetch_picture(self._http, config, reason)
        camera = next((camera for camera in config.cameras if camera.info.primary), None)
        if picture is not None or camera is None:
            return picture
        return HttpCamera(camera, self._http).fetch()

    def mute_alerts(self, config: AgentConfig) -> None:
        mute_alerts(self._http, config)

    def start_over(self) -> None:
        self.database.start_over()

    def report_faults(self, dsn: Secret | None) -> None:
        if dsn == self._reports_to:
            return
        from agent_core.features import sentry

        sentry.stop(self._reports, NAMES)
        self._reports_to = dsn
        self._reports = sentry.start(
            dsn, release=self.version, agent=settings.AGENT_NAME, scrubber=self.scrubber, loggers=NAMES
        )

    def abort(self) -> None:
        self._http.close()

    def close(self) -> None:
        self.report_faults(None)
        self.layers.stop()
        self.database.close()
