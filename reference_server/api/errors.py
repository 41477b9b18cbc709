"""Errors -> answers, in one place. Body: `{"detail": "…", "errors": {field: [..]}}` (rest-decisions.md)."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from reference_server.api.auth import AgentRefused
from reference_server.api.responses import Json
from reference_server.api.routes import allowed_methods
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
from reference_server.services.fleet.errors import QuotaExceeded

_STATUS: dict[type[ServiceError], int] = {
    NotFound: 404,
    Invalid: 400,
    Unauthenticated: 401,
    Forbidden: 403,
    Conflict: 409,
    Throttled: 429,
    StoreFailed: 503,
    QuotaExceeded: 402,
    AgentRefused: 401,
}


async def _service_error(request: Request, error: Exception) -> Response:  # noqa: ARG001
    body: dict[str, Any] = {"detail": str(error)}
    headers: dict[str, str] = {}
    if isinstance(error, Invalid) and error.errors:
        body["errors"] = error.errors
    if isinstance(error, Unauthenticated):
        headers["WWW-Authenticate"] = 'Bearer realm="api"'
    if isinstance(error, AgentRefused):
        body, headers["WWW-Authenticate"] = dict(error.body), "Token"
    if isinstance(error, Throttled):
        headers["Retry-After"] = str(error.retry_after)
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    return Json(body, status_code=status, headers=headers)


async def _validation_error(request: Request, error: Exception) -> Response:
    errors: dict[str, list[str]] = {}
    if isinstance(error, RequestValidationError):
        if any(entry["loc"][0] == "path" for entry in error.errors()):
            if literal := allowed_methods(request.app, request.scope["path"], literal=True):
                return _wrong_method(literal)  # /prints/bulk_delete/ is no print, and there is no other
            return Json({"detail": "Not found."}, status_code=404)
        for entry in error.errors():
            # loc: ("query", name, …) or ("body", name, …); ("body", 17) is a place in text that is not JSON.
            name = entry["loc"][1] if len(entry["loc"]) > 1 else "body"
            texts = errors.setdefault(name if isinstance(name, str) else "body", [])
            if (message := str(entry["msg"])) not in texts:
                texts.append(message)
    detail = "; ".join(f"{field}: {' '.join(texts)}" for field, texts in errors.items())[:1000]
    return Json({"detail": detail or "The request is not valid.", "errors": errors}, status_code=400)


def _wrong_method(allowed: set[str]) -> Response:
    return Json({"detail": "Method Not Allowed"}, status_code=405, headers={"Allow": ", ".join(sorted(allowed))})


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:
        path = request.scope["path"]
        allowed = allowed_methods(request.app, path, literal=True) or allowed_methods(request.app, path)
        if request.method not in allowed:  # else the handler has its own reason
            return _wrong_method(allowed)
    detail = error.detail if isinstance(error, HTTPException) else "Internal server error."
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    return Json({"detail": detail}, status_code=status, headers=headers)


def install(app: FastAPI) -> None:
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
