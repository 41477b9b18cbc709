"""Errors of `/v1` -> `{"success": false, "error": {"code", "message", "details"}}`, in one place (fleet-api.md §1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from reference_server.api.responses import Json
from reference_server.api.routes import allowed_methods
from reference_server.logs import REQUEST_ID
from reference_server.services.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    ServiceError,
    StoreFailed,
    Throttled,
    Unauthenticated,
)
from reference_server.services.fleet.errors import (
    FileInvalid,
    FleetRefusal,
    PrinterBusy,
    PrinterOffline,
    QuotaExceeded,
    ScopeMissing,
)

CODES: tuple[tuple[type[ServiceError], str, int], ...] = (
    (PrinterBusy, "printer_busy", 409),
    (PrinterOffline, "printer_offline", 409),
    (FileInvalid, "file_invalid", 422),
    (QuotaExceeded, "quota_exceeded", 402),
    (ScopeMissing, "insufficient_permissions", 403),
    (NotFound, "resource_not_found", 404),
    (Invalid, "invalid_request", 400),
    (Unauthenticated, "invalid_api_key", 401),
    (Forbidden, "insufficient_permissions", 403),
    (Conflict, "invalid_request", 409),
    (Throttled, "rate_limit_exceeded", 429),
    (StoreFailed, "internal_error", 503),
)
"""The first that fits. A conflict that is no busy printer has no code of its own in seed 004."""

CODE_OF_STATUS = {401: "invalid_api_key", 403: "insufficient_permissions", 404: "resource_not_found"}


NO_SUCH_FIELD = "There is no such field to set."


def body(code: str, message: str, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {"success": False, "error": {"code": code, "message": message, "details": dict(details or {})}}


def internal(status: int = 500, message: str = "Something went wrong in the server.") -> Response:
    details = {"request_id": REQUEST_ID.get()}
    return Json(body("internal_error", f"{message} Its log tells more at this request_id.", details), status)


async def _service_error(request: Request, error: Exception) -> Response:  # noqa: ARG001
    code, status = next(((code, status) for kind, code, status in CODES if isinstance(error, kind)), ("", 500))
    if status >= 500:
        return internal(status, str(error) if code else "Something went wrong in the server.")
    details: dict[str, Any] = {}
    headers: dict[str, str] = {}
    if isinstance(error, FleetRefusal):
        details = error.details
    elif isinstance(error, Invalid):
        details = {field: " ".join(texts) for field, texts in error.errors.items()}
    elif isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="v1"'
    elif isinstance(error, Throttled):
        headers["Retry-After"] = str(error.retry_after)
    return Json(body(code, str(error), details), status, headers)


async def _validation_error(request: Request, error: Exception) -> Response:  # noqa: ARG001
    details: dict[str, str] = {}
    in_body = False
    if isinstance(error, RequestValidationError):
        for entry in error.errors():
            if entry["loc"][0] == "path":
                return Json(body("resource_not_found", "There is no such object."), 404)
            in_body = in_body or entry["loc"][0] == "body"
            # ("query", name), ("body", name, …); ("body", 17) is a place in text that is not JSON.
            parts = [str(part) for part in entry["loc"][1:] if isinstance(part, str)]
            text = NO_SUCH_FIELD if entry["type"] == "extra_forbidden" else str(entry["msg"])
            details.setdefault(".".join(parts) or "body", text)
    words = "; ".join(f"{field}: {text}" for field, text in details.items())[:1000]
    return Json(body("invalid_request", words or "The request is not valid.", details), 422 if in_body else 400)


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    message = str(error.detail) if isinstance(error, HTTPException) else ""
    if status >= 500:
        return internal(status)
    if status == 405:
        path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
        allowed = allowed_methods(request.app, path, literal=True) or allowed_methods(request.app, path)
        headers["Allow"] = ", ".join(sorted(allowed))
    if status == 404:
        message = "There is no such endpoint."
    return Json(body(CODE_OF_STATUS.get(status, "invalid_request"), message), status, headers)


async def _bug(request: Request, error: Exception) -> Response:  # noqa: ARG001 - it goes on to the log by itself
    return internal()


def install(app: FastAPI) -> None:
    app.add_exception_handler(Exception, _bug)
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
