"""A single-file OctoPrint plugin for the tests: names of the threads, what other plugins get from us, and our commands
without a server.

It is copied into OctoPrint's own plugins folder; nothing of it is installed anywhere.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flask
import octoprint.plugin

__plugin_name__ = "Spy"
__plugin_pythoncompat__ = ">=3.10,<4"


class Spy(octoprint.plugin.SimpleApiPlugin, octoprint.plugin.EventHandlerPlugin):
    def __init__(self) -> None:
        self._interrupt: Any = None
        self._outcome: dict[str, str] = {}
        self._events: list[str] = []

    def on_event(self, event: str, payload: Mapping[str, Any] | None) -> None:
        if event.startswith("plugin_obico_"):
            self._events.append(event.removeprefix("plugin_obico_"))

    def is_api_protected(self) -> bool:
        return True

    def get_api_commands(self) -> dict[str, list[str]]:
        return {"run": ["name"], "interrupt": [], "stop": [], "begin": [], "machine": ["root"]}

    def on_api_get(self, request: Any) -> Any:
        plugin = self._plugin_manager.get_plugin_info("obico")
        service = plugin.implementation._service if plugin is not None and plugin.implementation is not None else None
        agent = service._agent if service is not None else None
        return flask.jsonify(
            {
                "status": None if agent is None else _wire(agent.state),
                "threads": [thread.name for thread in threading.enumerate()],
                "outcome": self._outcome,
                "events": self._events,
                "helpers": _helpers(self._plugin_manager.get_helpers("obico")),
                "updates": plugin.implementation.update_information() if plugin is not None else None,
                "bundle": plugin.implementation.bundle_text() if plugin is not None else None,
                "temperatures": self._printer.get_current_temperatures(),
            }
        )

    def on_api_command(self, command: str, data: Mapping[str, Any]) -> Any:
        plugin = self._plugin_manager.get_plugin_info("obico").implementation
        if command == "run":
            self._run(plugin, data)
        elif command == "interrupt":
            self._interrupt.set("the print is being cancelled")
        elif command == "stop":
            plugin.on_plugin_disabled()
        elif command == "machine":
            plugin.machine_root = Path(data["root"])
        elif command == "begin":
            plugin.on_after_startup()
        return flask.jsonify({})

    def _run(self, plugin: Any, data: Mapping[str, Any]) -> None:
        from agent_core.errors import AgentError
        from agent_core.pause import PauseSettings
        from agent_core.ports import Interrupt

        port, name = plugin._port, str(data["name"])
        self._interrupt = interrupt = Interrupt()
        self._outcome.pop(name, None)

        def work() -> None:
            try:
                if name == "pause":
                    said = port.pause(PauseSettings.from_args(data.get("args")), interrupt)
                else:
                    said = getattr(port, name)(interrupt)
                self._outcome[name] = f"done: {said}"
            except AgentError as error:
                self._outcome[name] = f"{type(error).__name__}: {error}"

        threading.Thread(target=work, name="spy", daemon=True).start()


def _helpers(found: Any) -> dict[str, Any]:
    return {name: helper() for name, helper in (found or {}).items()}


def _wire(state: Any) -> dict[str, Any]:
    """What our agent would tell its server right now, with its settings."""
    from agent_core import payload

    settings = state.settings
    return {
        **payload.status_message(state, time.time()).to_wire(),
        "settings": {
            "cameras": [camera.name for camera in settings.cameras or ()],
            "profiles": [dict(profile) for profile in settings.temperature_profiles or ()],
            "uname": list(settings.platform_uname or ()),
            "plugins": list(settings.installed_plugins or ()),
            "metadata": dict(settings.printer_metadata or {}),
            "extra": dict(settings.extra),
        },
    }


__plugin_implementation__ = Spy()
