"""What every request passes: slashes, size limit, security headers, one log line. Plain ASGI, no buffering."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reference_server.api.responses import Json
from reference_server.logs import REQUEST_ID
from reference_server.media.jpeg import MOST_BYTES

log = logging.getLogger("reference_server.requests")

SMALL_BODY = 1024 * 1024
PICTURE_BODY = MOST_BYTES + 64 * 1024  # the picture and the form around it
_PICTURE_PATHS = ("/api/v1/octo/pic/", "/api/v1/octo/printer_events/")

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; media-src 'self' blob:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)

_HEADERS = {
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}

_SECRET_PATH = re.compile(r"^(/ws/(?:share_)?token/[a-z]+/|/setup/)[^/]+")


_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def logged_path(path: str) -> str:
    """The path without what must not be in a log; the query string never is."""
    return _SECRET_PATH.sub(r"\1***", path)[:300]


class Slashes:
    """`/api/…` and `/ws/…` with and without the trailing slash are one path (rest-decisions.md)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] in {"http", "websocket"} and path.startswith(("/api/", "/ws/")) and not path.endswith("/"):
            scope = {**scope, "path": path + "/", "raw_path": scope.get("raw_path", path.encode()) + b"/"}
        await self._app(scope, receive, send)


class BodyLimit:
    """A body over its limit is refused with 413, at once if it says its length, else when it gets there."""

    def __init__(self, app: ASGIApp, limits: Mapping[str, int]) -> None:
        """`limits`: path -> bytes, where it is not SMALL_BODY."""
        self._app, self._limits = app, {**dict.fromkeys(_PICTURE_PATHS, PICTURE_BODY), **limits}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = self._limits.get(scope["path"], SMALL_BODY)
        length = Headers(scope=scope).get("content-length", "0")
        too_large = f"The request is larger than {limit} bytes."
        if length.isascii() and length.isdigit() and int(length) > limit:
            body: dict[str, object] = {"detail": too_large}
            status = 413
            if scope["path"].startswith("/v1/"):  # the fleet API's errors have a shape of their own
                error = {"code": "invalid_request", "message": too_large, "details": {}}
                if scope["path"].rstrip("/") == "/v1/jobs":  # a file, then, which has a code of its own
                    words = f"The file is larger than {limit // 1_000_000} MB."
                    status, error = 422, {"code": "file_invalid", "message": words, "details": {"kind": "too_large"}}
                body = {"success": False, "error": error}
            await Json(body, status_code=status, headers={"connection": "close"})(scope, receive, send)
            return
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                if taken > limit:
                    raise HTTPException(413, too_large)
            return message

        await self._app(scope, limited, send)


class SecurityHeaders:
    """The headers that keep a page ours; also renews the cookies of a session that was prolonged."""

    def __init__(self, app: ASGIApp, renew: Callable[[Scope, MutableHeaders], None]) -> None:
        self._app, self._renew = app, renew

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if scope["path"].startswith("/api/"):
                    headers.setdefault("cache-control", "no-store")
                self._renew(scope, headers)
            await send(message)

        await self._app(scope, receive, with_headers)


class RequestLog:
    """One line a request, at debug when all is well: agents and pages ask often. Each request has an id (the proxy's
    `X-Request-ID`, or a new one), which goes back in the answer and into every log line."""

    def __init__(self, app: ASGIApp, count: Callable[[str, int, float], None], new_id: Callable[[], str]) -> None:
        self._app, self._count, self._new_id = app, count, new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, began = 0, time.monotonic()
        sent = Headers(scope=scope).get("x-request-id", "")
        number = sent if _REQUEST_ID.fullmatch(sent) else self._new_id()
        REQUEST_ID.set(number)  # every line that this request logs carries it

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = number
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            spent = time.monotonic() - began
            self._count(scope["method"], status, spent)
            level = logging.WARNING if status >= 500 else logging.DEBUG
            if log.isEnabledFor(level):
                path = logged_path(scope["path"])
                fields = {"method": scope["method"], "path": path, "status": status, "ms": round(spent * 1000, 1)}
                log.log(
                    level, "%s %s %s %.0f ms", scope["method"], path, status or "broken off", spent * 1000,
                    extra={"fields": fields},
                )  # fmt: skip
