"""OctoPrint's mixins and hooks. Each forwards and returns at once: no thread of OctoPrint waits for the network."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import flask
import octoprint
import octoprint.plugin
from octoprint.access.permissions import Permissions
from octoprint.filemanager import NoSuchStorage
from octoprint.filemanager.storage import StorageError
from octoprint.printer import PrinterCallback
from octoprint.webcams import get_snapshot_webcam, get_webcams

from agent_core.errors import AgentError, ConfigInvalid
from octoprint_obico import settings
from octoprint_obico.bridge import CoreTools, HostBridge, OctoPrint, PrinterBridge
from octoprint_obico.printer import OctoPrintPort
from octoprint_obico.sent import SentGcode
from octoprint_obico.service import Service

_log = logging.getLogger("octoprint.plugins.obico")

_FILE_EVENTS = frozenset({"FileSelected", "FileDeselected", "PrintStarted", "MetadataAnalysisFinished"})

_DISABLED = "plugin_pluginmanager_disable_plugin"
_ENABLED = "plugin_pluginmanager_enable_plugin"


class _Feed(PrinterCallback):
    """OctoPrint's state, up to twice a second, from its state monitor's thread."""

    def __init__(self, plugin: ObicoPlugin) -> None:
        self._plugin = plugin

    def on_printer_send_current_data(self, data: Mapping[str, Any]) -> None:
        self._plugin.on_current_data(data)


class ObicoPlugin(
    octoprint.plugin.StartupPlugin,
    octoprint.plugin.ShutdownPlugin,
    octoprint.plugin.SettingsPlugin,
    octoprint.plugin.EventHandlerPlugin,
    octoprint.plugin.SimpleApiPlugin,
    octoprint.plugin.TemplatePlugin,
    octoprint.plugin.AssetPlugin,
):
    """OctoPrint injects `_printer`, `_settings` and the like before any of these is called."""

    def __init__(self) -> None:
        self._sent = SentGcode()
        self._service: Service | None = None
        self._tools: CoreTools | None = None
        self._host: HostBridge | None = None
        self._port: OctoPrintPort | None = None
        self._feed = _Feed(self)
        self._firmware: Mapping[str, Any] = {}

    # --- life ---

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
            profiles=self._printer_profile_manager,
            files=self._file_manager,
            webcams=get_webcams,
            snapshot_webcam=get_snapshot_webcam,
            file_errors=(NoSuchStorage, StorageError, OSError, KeyError, ValueError, NotImplementedError),
        )
        try:
            self._tools = CoreTools(self._plugin_version, self.get_plugin_data_folder())
        except OSError as error:
            _log.error("Obico is not running: %s; free some space or mend the folder, then restart OctoPrint", error)
            return
        core = logging.getLogger("agent_core")
        if core.level == logging.NOTSET:
            # OctoPrint shows INFO of its own plugins only; that a lost server is back should be seen too.
            core.setLevel(logging.INFO)
        printer = PrinterBridge(octoprint_parts)
        self._host = HostBridge(octoprint_parts, printer, self._sent)
        service = Service(self._host, self._tools)
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
        self._service = service
        self._host.look_up_file()
        self._host.firmware(self._firmware)
        self._printer.register_callback(self._feed)
        service.start()

    def _end(self) -> None:
        service, self._service = self._service, None
        tools, self._tools = self._tools, None
        if service is None or tools is None:
            return
        self._printer.unregister_callback(self._feed)
        service.stop()
        tools.close()
        kept = self._port.paused_by_us if self._port is not None else None
        if kept is not None and kept.moved:
            _log.warning(
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

    def on_current_data(self, data: Mapping[str, Any]) -> None:
        service, host, port = self._service, self._host, self._port
        if service is None or host is None:
            return
        if port is not None:
            port.watch(self._printer.get_state_id())
        service.reading(lambda: host.look(data))

    # --- hooks ---

    def on_gcode_sent(
        self,
        comm: Any,  # noqa: ARG002
        phase: str,  # noqa: ARG002
        cmd: str,
        cmd_type: str | None,  # noqa: ARG002
        gcode: str | None,
        *args: Any,  # noqa: ARG002
        tags: Any = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> None:
        self._sent.sent(gcode, cmd)
        if gcode == "M400" and self._port is not None:
            self._port.line_sent(tags)

    def on_gcode_sending(
        self,
        comm: Any,
        phase: str,  # noqa: ARG002
        cmd: str,  # noqa: ARG002
        cmd_type: str | None,  # noqa: ARG002
        gcode: str | None,  # noqa: ARG002
        *args: Any,  # noqa: ARG002
        tags: Any = None,
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[None] | None:
        if tags and self._port is not None and self._port.keep_from_sending(comm, tags):
            return (None,)  # OctoPrint's way to say: drop the line
        return None

    def on_script(
        self,
        comm: Any,
        script_type: str,
        script_name: str,
        *args: Any,  # noqa: ARG002
        **kwargs: Any,  # noqa: ARG002
    ) -> tuple[list[str], list[str]] | None:
        if script_type != "gcode":
            return None
        if script_name == "afterPrinterConnected":
            self._sent.reset()
        if self._port is None:
            return None
        lines = self._port.script(comm, script_name)
        return None if lines is None else (list(lines.before), list(lines.after))

    # --- settings ---

    def get_settings_defaults(self) -> dict[str, Any]:
        return dict(settings.DEFAULTS)

    def get_settings_restricted_paths(self) -> dict[str, list[list[str]]]:
        return {"never": [[settings.TOKEN_KEY]], "admin": [["endpoint_prefix"]]}

    def on_settings_load(self) -> dict[str, Any]:
        return settings.without_token(super().on_settings_load())

    def on_settings_save(self, data: Mapping[str, Any]) -> dict[str, Any]:
        try:
            wanted = settings.saveable(data)
        except ConfigInvalid as error:
            _log.warning("%s; the old address stays", error)
            wanted = settings.without_token({key: value for key, value in data.items() if key != "endpoint_prefix"})
        return dict(super().on_settings_save(wanted) or {})

    # --- the settings page ---

    def get_template_configs(self) -> list[dict[str, Any]]:
        return [{"type": "settings", "name": "Obico", "template": "obico_settings.jinja2", "custom_bindings": True}]

    def is_template_autoescaped(self) -> bool:
        return True

    def get_assets(self) -> dict[str, list[str]]:
        return {"js": ["js/obico.js"], "css": ["css/obico.css"]}

    def is_api_protected(self) -> bool:
        return True

    def get_api_commands(self) -> dict[str, list[str]]:
        return {"link": ["server", "code"], "unlink": [], "test_camera": ["name"], "change_camera": ["name"]}

    def on_api_get(self, request: Any) -> Any:  # noqa: ARG002
        refusal = _refused()
        if refusal is not None:
            return refusal
        if self._service is None:
            return flask.jsonify({"error": "Obico is not running; octoprint.log says why."}), 503
        return flask.jsonify(self._service.status())

    def on_api_command(self, command: str, data: Mapping[str, Any]) -> Any:
        refusal = _refused()
        if refusal is not None:
            return refusal
        service = self._service
        if service is None:
            return flask.jsonify({"error": "Obico is not running; octoprint.log says why."}), 503
        try:
            if command == "link":
                service.link(data.get("server"), data.get("code"))
            elif command == "unlink":
                service.unlink()
            elif command == "test_camera":
                service.test_camera(str(data.get("name")))
            elif command == "change_camera":
                verify = data.get("verify_tls")
                service.change_camera(
                    str(data.get("name")),
                    verify_tls=verify if isinstance(verify, bool) else None,
                    primary=data.get("primary") is True,
                )
        except AgentError as error:
            return flask.jsonify({"error": str(error)}), 400
        return flask.jsonify(service.status()), 202


def _refused() -> Any:
    """An answer for everybody who is no administrator; None for one."""
    if Permissions.ADMIN.can():
        return None
    return flask.jsonify({"error": "Only an administrator of this OctoPrint may do that."}), 403
