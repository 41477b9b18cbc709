"""The API's own description: the OpenAPI document, and a page for people."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, FastAPI, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.pages import page
from reference_server.api.responses import Json

router = APIRouter(include_in_schema=False)


@router.get("/api/openapi.json/")
async def document(request: Request) -> Response:
    app = request.app
    if app.openapi_schema is None:
        app.openapi_schema = await run_in_threadpool(_build, app)
    return Json(app.openapi_schema)


def _build(app: FastAPI) -> dict[str, Any]:
    from reference_server.api.schemas import document as made  # late: a server that nobody asks needs none of it

    return made.build(app)


@router.get("/api/docs/")
async def people() -> Response:
    return await run_in_threadpool(page, "api-docs.html")
