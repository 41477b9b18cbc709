"""The page's files, media, health, version."""

from __future__ import annotations

import mimetypes
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response

from reference_server import NAME, VERSION
from reference_server.api.auth import Services, identify
from reference_server.api.responses import Json
from reference_server.services.errors import NotFound, StoreFailed

router = APIRouter()

STATIC = Path(__file__).parent.parent / "web" / "static"

_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".webmanifest": "application/manifest+json"}


def page(path: str) -> Response:
    """A file of the page; it is checked anew at each use, so that an update of the server shows at once."""
    root = STATIC.resolve()
    target = (STATIC / path).resolve()
    if not target.is_relative_to(root) or not target.is_file():
        raise NotFound
    kind = _TYPES.get(target.suffix) or mimetypes.guess_type(target.name)[0] or "application/octet-stream"
    if kind.startswith("text/"):
        kind += "; charset=utf-8"
    return Response(target.read_bytes(), headers={"content-type": kind, "cache-control": "no-cache"})


@router.get("/", include_in_schema=False)
async def index() -> Response:
    answer = await run_in_threadpool(page, "index.html")
    # Its link dialog opens a little window at the printer, which answers to its opener (wire-protocol.md §2.2).
    answer.headers["cross-origin-opener-policy"] = "same-origin-allow-popups"
    return answer


@router.get("/login", include_in_schema=False)
@router.get("/setup", include_in_schema=False)
async def entrance(request: Request) -> Response:
    return await run_in_threadpool(page, f"{request.url.path.strip('/')}.html")


@router.get("/favicon.ico", include_in_schema=False)
async def favicon() -> Response:
    """Browsers ask for it on documents that name no icon; they take an SVG of that name too."""
    return await run_in_threadpool(page, "favicon.svg")


@router.get("/static/{path:path}", include_in_schema=False)
async def static(path: str) -> Response:
    if "\0" in path:
        raise NotFound
    return await run_in_threadpool(page, path)


@router.get("/media/{path:path}", include_in_schema=False)
@router.head("/media/{path:path}", include_in_schema=False)
async def media(path: str, context: Services, expires: str = "", digest: str = "") -> Response:
    """A stored picture; the signature in the address is the permission (wire-protocol.md §6.6)."""
    if not context.signer.allows(path, expires, digest, context.now().timestamp()):
        return Json({"detail": "This address is not valid any more."}, status_code=403)
    if path.endswith((".mp4", ".gcode")):
        # A part at a time, and from where the player wants it: browsers seek by byte ranges.
        kind = "video/mp4" if path.endswith(".mp4") else "application/octet-stream"
        file = context.media.locate(path)
        if file is None or not await run_in_threadpool(file.is_file):
            raise NotFound
        return FileResponse(file, media_type=kind, headers={"cache-control": "private, max-age=3600"})
    data = await run_in_threadpool(context.media.read, path)
    if data is None:
        raise NotFound
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return Response(data, headers={"content-type": kind, "cache-control": "private, max-age=3600"})


@router.get("/api/v1/version/", tags=["others"])
async def version(request: Request) -> Response:
    """Needs no credentials; wrong ones are told, because slicers test theirs by this call."""
    if "x-api-key" in request.headers or request.headers.get("authorization", "").lower().startswith("bearer "):
        await identify(request)
    return Json({"name": NAME, "version": VERSION})


@router.get("/healthz", tags=["others"])
async def health(context: Services) -> Response:
    try:
        await run_in_threadpool(context.check_store)
    except StoreFailed:
        return Json({"status": "the database cannot be read"}, status_code=503)
    return Json({"status": "ok"})
