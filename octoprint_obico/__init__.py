"""The OctoPrint plugin: its metadata. What it does stands in plugin.py and its wings."""

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

# OctoPrint reads these from the package after __plugin_load__.
__plugin_implementation__: Any = None
__plugin_hooks__: dict[str, Any] = {}
__plugin_helpers__: dict[str, Any] = {}


def __plugin_load__() -> None:  # noqa: N807 - OctoPrint's name
    """Only a plugin that is enabled is imported further: a disabled one costs OctoPrint nothing."""
    global __plugin_implementation__, __plugin_hooks__, __plugin_helpers__  # noqa: PLW0603 - how OctoPrint wants it
    from octoprint_obico.plugin import ObicoPlugin

    plugin = ObicoPlugin()
    __plugin_implementation__ = plugin
    __plugin_hooks__ = plugin.hooks()
    __plugin_helpers__ = plugin.helpers()
