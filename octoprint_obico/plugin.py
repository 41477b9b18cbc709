"""The plugin: its wings put together. No thread of OctoPrint waits for the network or the disk in any of them."""

from __future__ import annotations

from typing import Any

from octoprint_obico.sent import SentGcode
from octoprint_obico.wings.api import Api
from octoprint_obico.wings.gcode import GcodeHooks
from octoprint_obico.wings.keeping import Keeping
from octoprint_obico.wings.life import Life
from octoprint_obico.wings.nearby import Nearby
from octoprint_obico.wings.others import Others
from octoprint_obico.wings.pages import Pages
from octoprint_obico.wings.permissions import PermissionHooks
from octoprint_obico.wings.upkeep import Upkeep
from octoprint_obico.wings.web import Web


class ObicoPlugin(Life, GcodeHooks, Keeping, Api, Pages, Web, Nearby, PermissionHooks, Others, Upkeep):
    """OctoPrint injects `_printer`, `_settings` and the like before any of these is called."""

    def __init__(self) -> None:
        self._sent = SentGcode()
        self._service = None
        self._tools = None
        self._host = None
        self._port = None
        self._finder = None
        super().__init__()

    def hooks(self) -> dict[str, Any]:
        """For OctoPrint, by name."""
        return {
            **self.gcode_hooks(),
            **self.nearby_hooks(),
            **self.permission_hooks(),
            **self.other_hooks(),
            **self.upkeep_hooks(),
        }
