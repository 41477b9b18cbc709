"""Self-hosted server for Obico agents and clients: see docs/architecture.md."""

from __future__ import annotations

NAME = "reference_server"
VERSION = "3.0.0.dev0"
