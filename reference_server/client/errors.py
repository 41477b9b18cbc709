"""What a call can end with: one class for each error code of the fleet API (fleet-api.md §1), and two for what is no
answer of it at all. None of them ever holds the API key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class FleetError(Exception):
    """`code`: the API's word; `status`: HTTP, 0 when there was no answer; `details`: plain values, such as the name of
    each wrong field; `request_id`: what the server's log calls this request."""

    code = ""

    def __init__(
        self, message: str, *, status: int = 0, details: Mapping[str, Any] | None = None, request_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.details = dict(details or {})
        self.request_id = request_id


class InvalidRequest(FleetError):
    """A field or parameter is not right: `details` names each. Status 409: something is taken or in the way."""

    code = "invalid_request"


class InvalidApiKey(FleetError):
    """Missing, unknown, revoked or expired."""

    code = "invalid_api_key"


class InsufficientPermissions(FleetError):
    """`required`: the scope that is missing, if the server names it."""

    code = "insufficient_permissions"

    @property
    def required(self) -> str | None:
        found = self.details.get("required")
        return found if isinstance(found, str) else None


class ResourceNotFound(FleetError):
    """There is no such object in this organization."""

    code = "resource_not_found"


class PrinterBusy(FleetError):
    """It prints, or a job is on its way to it."""

    code = "printer_busy"


class PrinterOffline(FleetError):
    """No agent is connected."""

    code = "printer_offline"


class FileInvalid(FleetError):
    """Empty, too large, binary, or without a movement: `details` tells."""

    code = "file_invalid"


class QuotaExceeded(FleetError):
    """A limit of the operator's plan."""

    code = "quota_exceeded"


class RateLimitExceeded(FleetError):
    """Too many calls. `retry_after`: seconds until one is possible, None if the server does not say."""

    code = "rate_limit_exceeded"
    retry_after: float | None = None


class InternalError(FleetError):
    """The server's fault, also after the repeats; `request_id` helps whoever runs it."""

    code = "internal_error"


class ConnectionFailed(FleetError):
    """No answer came: the server was not reached, or lost on the way. What was sent may have been carried out."""

    code = "connection_failed"


class UnexpectedAnswer(FleetError):
    """Something answers there, but not as the fleet API does: another program, a proxy, a much older server."""

    code = "unexpected_answer"


class SignatureInvalid(ValueError):
    """A web hook's delivery that was not signed with this secret, or too long ago."""


BY_CODE: dict[str, type[FleetError]] = {
    kind.code: kind
    for kind in (
        InvalidRequest, InvalidApiKey, InsufficientPermissions, ResourceNotFound, PrinterBusy, PrinterOffline,
        FileInvalid, QuotaExceeded, RateLimitExceeded, InternalError,
    )
}  # fmt: skip
