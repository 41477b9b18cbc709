"""Self-hosted server for Obico agents and clients: see docs/architecture.md."""

from __future__ import annotations

from agent_core.wire.version import VERSION as VERSION  # said again, so that the package has its version

NAME = "reference_server"
