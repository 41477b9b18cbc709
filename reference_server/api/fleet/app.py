"""`/v1` as an application of its own inside the server: its own shape of errors, its own OpenAPI document.

The server's middleware (log, headers, body limits, audit) is around it; the one below adds the rate limit's headers
and takes a trailing slash away.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reference_server import VERSION
from reference_server.api.context import Context
from reference_server.api.fleet import (
    actions,
    analytics,
    errors,
    groups,
    jobs,
    keys,
    materials,
    organization,
    printer_links,
    printers,
    users,
    webhooks,
)
from reference_server.api.fleet.auth import FleetCaller
from reference_server.api.fleet.document import complete
from reference_server.api.responses import Json

PREFIX = "/v1"
ROUTERS = (groups, keys, materials, analytics, printers, printer_links, actions, organization, users, jobs, webhooks)
"""A new wing's router is added here."""

_open = APIRouter(include_in_schema=False)


@_open.get("/openapi.json")
async def document(request: Request) -> Response:
    app = request.app
    if app.openapi_schema is None:
        app.openapi_schema = await run_in_threadpool(_build, app)
    return Json(app.openapi_schema)


def _build(app: FastAPI) -> dict[str, Any]:
    return complete(app, get_openapi(title="Fleet API", version=VERSION, routes=app.routes))


class FleetShell:
    """Around everything of `/v1`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["cache-control"] = "no-store"
                caller: FleetCaller | None = scope.get("state", {}).get("fleet_caller")
                if caller is not None:
                    headers["x-ratelimit-limit"] = str(caller.rate.limit)
                    headers["x-ratelimit-remaining"] = str(caller.rate.remaining)
                    headers["x-ratelimit-reset"] = str(caller.rate.reset)
            await send(message)

        path = scope["path"]
        if len(path) > len(PREFIX) + 1 and path.endswith("/"):
            scope = {**scope, "path": path.rstrip("/")}
        await self._app(scope, receive, with_headers)


def fleet_document() -> dict[str, Any]:
    """`/v1/openapi.json`, without a server."""
    return _build(_application())


def _application() -> FastAPI:
    app = FastAPI(title="Fleet API", version=VERSION, redirect_slashes=False, openapi_url=None, docs_url=None,
                  redoc_url=None)  # fmt: skip
    app.include_router(_open)
    for module in ROUTERS:
        app.include_router(module.router)
    errors.install(app)
    return app


def make_fleet_app(context: Context) -> ASGIApp:
    app = _application()
    app.state.context = context
    return FleetShell(app)
