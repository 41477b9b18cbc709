"""Builds the running agent out of its parts, starts and stops it: configuration → Moonraker ⇄ agent_core."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from agent_core.config import AgentConfig, CameraConfig
from agent_core.database import Database
from agent_core.errors import ConfigInvalid
from agent_core.features.control import control_routes
from agent_core.model import (
    AlertRaised,
    HostEvent,
    HostSettings,
    LinkState,
    PrinterReport,
    PrinterReported,
    PrinterUnknown,
    PrintPaused,
    SettingsReported,
)
from agent_core.ports import Clock
from agent_core.runtime.agent import Agent, Parts
from agent_core.runtime.worker import Task, Worker, stop_all
from agent_core.transport.http import HttpClient
from moonraker_obico import host_settings
from moonraker_obico.calls import KlipperCalls
from moonraker_obico.config import HostConfig
from moonraker_obico.connection import Connection
from moonraker_obico.control import KlipperControl
from moonraker_obico.moonraker_api import MoonrakerApi
from moonraker_obico.moonraker_socket import Address
from moonraker_obico.objects import LAYER_MACRO, LINK_MACRO
from moonraker_obico.pause_cause import PauseCause
from moonraker_obico.printer import KlipperPrinter
from moonraker_obico.stored_files import KlipperFiles
from moonraker_obico.translate import Translator
from moonraker_obico.version import AGENT_NAME, AGENT_VERSION
from moonraker_obico.webcams import cameras

if TYPE_CHECKING:
    from agent_core.features.layers import LayerIndexes
    from agent_core.gcode.index import GCodeIndex
    from moonraker_obico.macros import Macros
    from moonraker_obico.spoolman import Spool

_log = logging.getLogger(__name__)

MACRO_SECONDS = 10.0
"""Between two looks for the optional macros."""
LIVE_SECONDS = 90.0
"""The core turns at least every 20 s, the connection's thread every 30 s; longer silence means that one hangs."""


@dataclass(frozen=True, slots=True)
class View:
    """What `moonraker-obico status` shows; a frozen snapshot."""

    moonraker: str | None = None
    """Why the printer is not known, None if it is."""
    report: PrinterReport | None = None


class LateWorker:
    """A worker whose thread begins with its first task: most runs never need it."""

    def __init__(self, name: str) -> None:
        self._worker = Worker(name, limit=8)
        self._lock = threading.Lock()  # guards _started
        self._started = False

    def submit(self, task: Task) -> bool:
        with self._lock:
            if not self._started:
                self._started = True
                self._worker.start()
        return self._worker.submit(task)

    @property
    def worker(self) -> Worker:
        return self._worker


def _new_http() -> HttpClient:
    return HttpClient(f"moonraker-obico/{AGENT_VERSION}")


class App:
    """One printer's agent. After `stop` there is no thread and no socket left."""

    def __init__(self, config: HostConfig, clock: Clock) -> None:
        """Raises OSError if the data folder cannot be used, ConfigInvalid for a camera's address."""
        self._config = config
        self._clock = clock
        self._view = View()
        self._settings = HostSettings(platform_uname=host_settings.platform_uname())
        self._cameras = cameras(config.webcams, None, config.moonraker_host)
        self._database = Database(str(config.data_dir))
        self._http = HttpClient(f"moonraker-obico/{AGENT_VERSION}")
        self._moonraker_http = HttpClient(f"moonraker-obico/{AGENT_VERSION}")
        self._attend = LateWorker("attend")
        calls = KlipperCalls(clock)
        address = Address(config.moonraker_host, config.moonraker_port, config.api_key)
        self._calls = calls
        self._macros: Macros | None = None
        self._macros_at = 0.0
        self._metadata: Mapping[str, Any] | None = None
        self._spool: Spool | None = None
        self._hands = KlipperPrinter(
            calls,
            self._database,
            clock,
            print_ts=lambda: self._translator.print_ts,
            submit=self._attend.submit,
            alert=self._alert,
        )
        control = KlipperControl(calls, lambda: self._hands.command)
        self._agent = Agent(
            Parts(
                config=AgentConfig(
                    agent_name=AGENT_NAME,
                    agent_version=AGENT_VERSION,
                    server_url=config.server_url,
                    token=config.token,
                    data_dir=str(config.data_dir),
                    cameras=self._cameras,
                    verify_tls=config.verify_tls,
                    tunnel=config.tunnel,
                    pictures=config.pictures,
                ),
                printer=self._hands,
                database=self._database,
                clock=clock,
                http=self._http,
                passthru={**control_routes(control), **MoonrakerApi(calls, control).routes()},
                terminal_on=True,  # clients know no switch for it on Klipper (wire-protocol.md §3.6)
                files=KlipperFiles(calls, address, _new_http, config.data_dir / "downloads"),
                new_http=_new_http,
            )
        )
        self._layers: LayerIndexes | None = None
        self._translator = Translator(self._agent.remembered_print(), self._index_of)
        address = Address(config.moonraker_host, config.moonraker_port, config.api_key)
        self._pause_cause = PauseCause(address, self._moonraker_http, clock, calls.objects, self._alert)
        self._connection = Connection(
            address,
            self._translator,
            calls,
            post=self._post,
            on_host_fact=self._host_fact,
            on_update=self._hands.on_update,
            on_terminal=self._agent.terminal_line,
            http=self._moonraker_http,
            clock=clock,
            version=AGENT_VERSION,
        )

    # --- what `status` and the watchdog ask ---------------------------------------------------------------------------

    @property
    def link(self) -> LinkState:
        return self._agent.link

    @property
    def agent(self) -> Agent:
        return self._agent

    @property
    def view(self) -> View:
        return self._view

    @property
    def cameras(self) -> tuple[CameraConfig, ...]:
        return self._cameras

    def alive(self) -> bool:
        """Whether both threads that everything hangs on still turn."""
        silent = self._clock.monotonic() - self._connection.heard_at
        return self._agent.idle_seconds() < LIVE_SECONDS and silent < LIVE_SECONDS

    # --- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._agent.start()
        self._agent.post(SettingsReported(self._with_cameras(), self._clock.now()))
        self._connection.start()

    def turn(self) -> None:
        """Now and then, by the main thread: what the printer's own macros should know of us. Does not wait."""
        now = self._clock.monotonic()
        if self._macros is None and now >= self._macros_at:
            self._macros_at = now + MACRO_SECONDS  # a look copies Klipper's objects, and few printers have the macros
            objects = self._calls.objects()
            if LINK_MACRO in objects or LAYER_MACRO in objects:
                from moonraker_obico.macros import Macros

                self._macros = Macros(self._calls)
        if self._macros is not None:
            self._macros.turn(linked=self._config.token is not None, connected=self.link.connected)

    def stop(self, seconds: float = 2.5) -> list[str]:
        """Ends everything; the names of workers that did not end in time."""
        if self._macros is not None:
            self._macros.farewell()
        deadline = self._clock.monotonic() + seconds
        self._connection.worker.stop()
        stragglers = self._agent.stop(max(0.1, deadline - self._clock.monotonic()))
        self._moonraker_http.close()
        if self._layers is not None:
            self._layers.stop()
        rest = [self._attend.worker, self._connection.worker, *self._pause_cause.crew.workers]
        stragglers += stop_all(rest, max(0.1, deadline - self._clock.monotonic()))
        self._http.close()
        self._database.close()
        return stragglers

    # --- callbacks ----------------------------------------------------------------------------------------------------

    def _post(self, event: HostEvent) -> None:
        if isinstance(event, PrinterReported):
            self._view = View(None, event.report)
        elif isinstance(event, PrinterUnknown):
            self._view = View(event.reason, None)
        self._agent.post(event)
        if isinstance(event, PrintPaused):
            self._pause_cause.paused()

    def _index_of(self, path: str) -> GCodeIndex | None:
        if self._layers is None:
            # Late: most files tell their layers by themselves, and this brings subprocess with it.
            from agent_core.features.layers import LayerIndexes

            self._layers = LayerIndexes(self._config.data_dir / "layers")
        return self._layers.index_of(path)

    def _alert(self, alert: AlertRaised) -> None:
        self._agent.post(alert)

    def _host_fact(self, name: str, value: Any) -> None:
        """Something slow-moving became known, on the connection's thread."""
        before = self._settings
        if name == "webcams":
            self._take_cameras(value)
        elif name == "presets":
            self._settings = replace(before, temperature_profiles=host_settings.temperature_profiles(value))
        elif name == "update_status":
            self._settings = replace(before, installed_plugins=host_settings.installed_plugins(value))
        elif name == "printer_info":
            self._metadata = host_settings.printer_metadata(value)
            self._settings = replace(before, printer_metadata=self._with_spool())
        elif name == "spoolman":
            self._spool_told(value)
        # The core sends settings only when they differ.
        self._agent.post(SettingsReported(self._with_cameras(), self._clock.now()))

    def _spool_told(self, value: Any) -> None:
        """By Moonraker's [spoolman]; most have none, and never need the code."""
        if value is not None and self._spool is None:
            from moonraker_obico.spoolman import Spool

            self._spool = Spool(self._calls, self._spool_changed)
        if self._spool is not None:
            self._spool.told(value)

    def _spool_changed(self) -> None:
        self._settings = replace(self._settings, printer_metadata=self._with_spool())
        self._agent.post(SettingsReported(self._with_cameras(), self._clock.now()))

    def _with_spool(self) -> Mapping[str, Any] | None:
        facts = self._spool.facts if self._spool is not None else {}
        return {**(self._metadata or {}), **facts} if self._metadata is not None or facts else None

    def _take_cameras(self, listed: Any) -> None:
        try:
            found = cameras(self._config.webcams, listed, self._config.moonraker_host)
        except ConfigInvalid as error:
            _log.warning("%s", error)
            return
        if found != self._cameras and self._agent.set_cameras(found):
            self._cameras = found
            names = ", ".join(camera.info.name or "(unnamed)" for camera in found)
            _log.info("cameras: %s", names or "none; add one in Mainsail or Fluidd, or a [webcam] section here")

    def _with_cameras(self) -> HostSettings:
        return replace(self._settings, cameras=tuple(camera.info for camera in self._cameras))
