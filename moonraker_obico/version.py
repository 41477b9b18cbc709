"""The agent's name and version as clients and servers see them (clients gate features on the version)."""

from __future__ import annotations

AGENT_NAME = "moonraker_obico"
AGENT_VERSION = "3.0.0"
