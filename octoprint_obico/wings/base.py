"""What every wing of the plugin may use: OctoPrint's own parts, injected before any of its calls, and ours."""

from __future__ import annotations

import logging
from typing import Any

import flask

from octoprint_obico.bridge import CoreTools, HostBridge
from octoprint_obico.discovery import Finder
from octoprint_obico.printer import OctoPrintPort
from octoprint_obico.sent import SentGcode
from octoprint_obico.service import Service

log = logging.getLogger("octoprint.plugins.obico")

NOT_RUNNING = "Obico is not running; octoprint.log says why."


class Wing:
    """`_service`, `_tools` and `_host` are None while the plugin is off."""

    # OctoPrint's.
    _identifier: str
    _plugin_version: str
    _plugin_manager: Any
    _printer: Any
    _printer_profile_manager: Any
    _file_manager: Any
    _settings: Any
    _event_bus: Any

    # Ours; ObicoPlugin makes them, the life wing fills them.
    _sent: SentGcode
    _service: Service | None
    _tools: CoreTools | None
    _host: HostBridge | None
    _port: OctoPrintPort | None
    _finder: Finder | None


def refused(*permissions: Any) -> Any:
    """An answer for everybody who lacks one of these; None for who has them all."""
    if all(permission.can() for permission in permissions):
        return None
    return flask.jsonify({"error": "Your user of this OctoPrint may not do that."}), 403
