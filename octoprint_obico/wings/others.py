"""For other plugins: events that they can subscribe to, and helpers that they can call."""

from __future__ import annotations

from typing import Any

from octoprint_obico.wings.base import Wing

EVENTS = ("linked", "unlinked", "connected", "disconnected", "paused")
"""Fired as `plugin_obico_<name>`; docs/octoprint.md has their payloads."""


class Others(Wing):
    """Nothing here is secret: the token is in neither."""

    def other_hooks(self) -> dict[str, Any]:
        return {"octoprint.events.register_custom_events": lambda *_, **__: list(EVENTS)}

    def helpers(self) -> dict[str, Any]:
        """For `plugin_manager.get_helpers("obico")`."""
        return {"status": self.helper_status, "connected": self.helper_connected}

    def helper_status(self) -> dict[str, Any] | None:
        """How it stands with the server, as everybody who may look is told; None while the plugin is off."""
        service = self._service
        return None if service is None else service.glance()

    def helper_connected(self) -> bool:
        status = self.helper_status()
        return status is not None and bool(status["connected"])
