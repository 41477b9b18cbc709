"""Start, stop, and what OctoPrint tells by its events and its printer feed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import octoprint
import octoprint.plugin
from octoprint.filemanager import NoSuchStorage
from octoprint.filemanager.storage import StorageError
from octoprint.filemanager.util import DiskFileWrapper
from octoprint.printer import InvalidFileLocation, InvalidFileType, PrinterCallback
from octoprint.webcams import get_snapshot_webcam, get_webcams

from agent_core.config import TunnelTarget
from agent_core.features.control import control_routes
from agent_core.features.machine import MachineRecord
from octoprint_obico.bridge import CoreTools, HostBridge, OctoPrint, PrinterBridge, web_interface
from octoprint_obico.control import OctoPrintControl
from octoprint_obico.discovery import Finder
from octoprint_obico.logs import ScrubbedLogs
from octoprint_obico.printer import OctoPrintPort
from octoprint_obico.service import Service
from octoprint_obico.stored_files import FileTools, OctoPrintFiles
from octoprint_obico.wings.base import Wing, log

_FILE_EVENTS = frozenset({"FileSelected", "FileDeselected", "PrintStarted", "MetadataAnalysisFinished"})

_FILE_ERRORS = (
    NoSuchStorage, StorageError, InvalidFileLocation, InvalidFileType, OSError, KeyError, ValueError,
    NotImplementedError,
)  # fmt: skip

_DISABLED = "plugin_pluginmanager_disable_plugin"
_ENABLED = "plugin_pluginmanager_enable_plugin"


class _Feed(PrinterCallback):
    """OctoPrint's state, up to twice a second, from its state monitor's thread."""

    def __init__(self, plugin: Life) -> None:
        self._plugin = plugin

    def on_printer_send_current_data(self, data: Mapping[str, Any]) -> None:
        self._plugin.on_current_data(data)

    def on_printer_add_log(self, data: str) -> None:
        self._plugin.on_terminal_line(data)


class Life(Wing, octoprint.plugin.StartupPlugin, octoprint.plugin.ShutdownPlugin, octoprint.plugin.EventHandlerPlugin):
    """Builds the service when OctoPrint is up, and ends it with OctoPrint or with the plugin."""

    machine_root = Path("/")
    """Where the machine is looked at, to know a copied memory card."""

    def __init__(self) -> None:
        super().__init__()
        self._feed = _Feed(self)
        self._logs = ScrubbedLogs()
        self._firmware: Mapping[str, Any] = {}
        self._own_page: TunnelTarget | None = None

    def on_startup(self, host: str, port: int) -> None:
        # What OctoPrint really listens on; its settings do not know the command line.
        self._own_page = web_interface(host, port)
        super().on_startup(host, port)  # the other wings'

    def on_after_startup(self) -> None:
        self._begin()

    def on_shutdown(self) -> None:
        self._end()

    def on_plugin_disabled(self) -> None:
        self._end()

    def on_plugin_enabled(self) -> None:
        # At start-up OctoPrint calls this before anything is injected; on_after_startup follows.
        pass

    def on_plugin_pending_uninstall(self) -> None:
        self._end()

    def _begin(self) -> None:
        if self._service is not None:
            return
        octoprint_parts = OctoPrint(
            identifier=self._identifier,
            version=octoprint.__version__,
            printer=self._printer,
            settings=self._settings,
            plugins=self._plugin_manager,
            events=self._event_bus,
            profiles=self._printer_profile_manager,
            files=self._file_manager,
            webcams=get_webcams,
            snapshot_webcam=get_snapshot_webcam,
            file_errors=_FILE_ERRORS,
        )
        try:
            self._tools = CoreTools(self._plugin_version, self.get_plugin_data_folder(), self._logs.scrubber)
        except OSError as error:
            log.error("Obico is not running: %s; free some space or mend the folder, then restart OctoPrint", error)
            return
        self._logs.begin()
        printer = PrinterBridge(octoprint_parts)
        self._host = HostBridge(octoprint_parts, printer, self._sent)
        tools, port = self._tools, self._public_port()
        self._finder = Finder(
            lambda server, keep, tell, seconds: tools.search(printer.profile(), port, server, keep, tell, seconds),
            lambda server, linked: service.found(server, linked.token.reveal(), linked.printer_name),
            tools.clock,
            self._host.changed,
        )
        record = MachineRecord(Path(tools.data_dir), self.machine_root)
        service = Service(self._host, tools, self._finder, record)
        if self._port is None:
            # Made once in OctoPrint's life: a pause of ours outlives the agent that asked for it.
            self._port = OctoPrintPort(
                printer,
                self._sent,
                self._tools.clock,
                current=lambda: self._service.current if self._service is not None else None,
                alert=lambda alert: self._service.post(alert) if self._service is not None else None,
            )
        self._port.use(self._tools.database)
        self._tools.port = self._port
        control = OctoPrintControl(octoprint_parts)
        self._tools.routes = {**control_routes(control), **control.routes()}
        self._tools.tunnel = self._own_page or web_interface(
            # Switched on while OctoPrint ran: nobody has told us where it listens.
            str(self._settings.global_get(["server", "host"]) or ""),
            self._settings.global_get_int(["server", "port"]) or 5000,
        )
        self._tools.files = OctoPrintFiles(
            FileTools(self._file_manager, self._printer, DiskFileWrapper, _FILE_ERRORS), printer.state_id
        )
        self._service = service
        self._host.look_up_file()
        self._host.firmware(self._firmware)
        self._printer.register_callback(self._feed)
        service.start()

    def _end(self) -> None:
        service, self._service = self._service, None
        self._finder = None
        tools, self._tools = self._tools, None
        if service is None or tools is None:
            return
        self._printer.unregister_callback(self._feed)
        service.stop()
        tools.close()
        self._logs.end()
        kept = self._port.paused_by_us if self._port is not None else None
        if kept is not None and kept.moved:
            log.warning(
                "Obico ends while its pause of %s is on; resume the print before OctoPrint is restarted", kept.filename
            )

    # --- what OctoPrint tells ---

    def on_event(self, event: str, payload: Mapping[str, Any] | None) -> None:
        payload = payload or {}
        if event in {_DISABLED, _ENABLED} and payload.get("id") == self._identifier:
            # OctoPrint itself acts on either only at its next start; we do at once.
            (self._end if event == _DISABLED else self._begin)()
            return
        if event == "FirmwareData":
            self._firmware = payload  # kept from the first: the printer may be there before we begin
        service, host = self._service, self._host
        if service is None or host is None:
            return
        if event in _FILE_EVENTS:
            host.look_up_file()
        service.event(event, payload)
        if event == "FirmwareData":
            host.firmware(payload)
            service.tell_facts()
        elif event == "SettingsUpdated":
            service.reconfigure()
            service.tell_facts()

    def on_terminal_line(self, line: str) -> None:
        service = self._service
        if service is not None:
            service.terminal_line(line)

    def on_current_data(self, data: Mapping[str, Any]) -> None:
        service, host, port = self._service, self._host, self._port
        if service is None or host is None:
            return
        if port is not None:
            port.watch(self._printer.get_state_id())
        service.reading(lambda: host.look(data))
