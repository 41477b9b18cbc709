"""The OctoPrint plugin: metadata and hooks. What they do stands in plugin.py."""

from __future__ import annotations

from typing import Any

__plugin_name__ = "Obico"
__plugin_author__ = "The founding engineers"
__plugin_description__ = (
    "Watch and control your printer from afar, through an Obico server of your own or a public one."
)
__plugin_license__ = "AGPL-3.0-or-later"
__plugin_pythoncompat__ = ">=3.10,<4"
__plugin_privacypolicy__ = ""

# OctoPrint reads both from the package after __plugin_load__.
__plugin_implementation__: Any = None
__plugin_hooks__: dict[str, Any] = {}


def __plugin_load__() -> None:  # noqa: N807 - OctoPrint's name
    """Only a plugin that is enabled is imported further: a disabled one costs OctoPrint nothing."""
    global __plugin_implementation__, __plugin_hooks__  # noqa: PLW0603 - how OctoPrint wants it
    from octoprint_obico.plugin import ObicoPlugin

    plugin = ObicoPlugin()
    __plugin_implementation__ = plugin
    __plugin_hooks__ = {
        "octoprint.comm.protocol.gcode.sent": plugin.on_gcode_sent,
        "octoprint.comm.protocol.gcode.sending": plugin.on_gcode_sending,
        # Late among the plugins: our lines come after those of others in a pause, and before them in a resume.
        "octoprint.comm.protocol.scripts": (plugin.on_script, 1000),
    }
