"""What only the fleet API refuses, each with the code that seed 004 gives it (api/fleet/errors.py has the others)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reference_server.services.errors import ServiceError


class FleetRefusal(ServiceError):
    """`details`: plain values for programs."""

    def __init__(self, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.details = dict(details or {})


class PrinterBusy(FleetRefusal):
    """It prints, or a job is on its way to it."""


class PrinterOffline(FleetRefusal):
    """No agent is connected."""


class FileInvalid(FleetRefusal):
    """Empty, too large, binary, or without a movement; `details` says which, and the line where there is one."""


class QuotaExceeded(FleetRefusal):
    """A limit of the operator's plan; `details`: `limit`, `used`, `name`."""


class ScopeMissing(FleetRefusal):
    """`details.required`: the scope that the key or the person's role lacks."""

    def __init__(self, required: str, message: str = "") -> None:
        super().__init__(message or f"This needs the scope {required}.", {"required": required})
