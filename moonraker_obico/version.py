"""The agent's name and version as clients and servers see them (clients gate features on the version)."""

from __future__ import annotations

from agent_core.wire.version import VERSION

AGENT_NAME = "moonraker_obico"
AGENT_VERSION = VERSION
