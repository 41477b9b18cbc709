"""G-code files that agents know of (wire-protocol.md §4)."""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from agent_core.gcode.metadata import Thumbnail
from reference_server.api.auth import Agent, Id, Services
from reference_server.api.bodies import read_form
from reference_server.api.context import Context
from reference_server.api.responses import Json
from reference_server.media.uploads import keep_thumbnails
from reference_server.services.agent_reports import ReportedFile
from reference_server.services.errors import Invalid
from reference_server.services.model import GCodeFile, PrinterRecord

router = APIRouter(prefix="/api/v1/octo/g_code_files", tags=["agent"])
log = logging.getLogger(__name__)

THUMBNAIL_HEADER = "X-Thumbnail"
MOST_THUMBNAIL = 1024 * 1024
"""Bytes."""


@router.get("/")
async def list_files(request: Request, context: Services, record: Agent) -> Response:
    files = await run_in_threadpool(context.reports.files, record.printer.user_id)
    views = context.views(request)
    return Json([views.file(file) for file in files])


@router.post("/")
async def upsert_file(request: Request, context: Services, record: Agent) -> Response:
    form = await read_form(request)
    report = ReportedFile(
        form.text("filename"), form.text("safe_filename"), form.text("agent_signature"), form.text("url"),
        form.text("num_bytes"),
    )  # fmt: skip
    file, is_new = await run_in_threadpool(context.reports.upsert_file, record, report)
    lacks_one = file.resident_printer_id == record.printer.id and not file.thumbnails
    # Agents of ours know the header; a field of the body would be one more that seeds and clients do not have.
    headers = {THUMBNAIL_HEADER: "wanted"} if lacks_one else {}
    return Json(context.views(request).file(file), status_code=201 if is_new else 200, headers=headers)


@router.patch("/{file_id}/")
async def change_file(file_id: Id, request: Request, context: Services, record: Agent) -> Response:
    form = await read_form(request)
    thumbnail = form.files.get("thumbnail", b"")
    if len(thumbnail) > MOST_THUMBNAIL:
        return Json({"detail": f"The thumbnail is larger than {MOST_THUMBNAIL} bytes."}, status_code=413)
    try:
        file = await run_in_threadpool(
            _change, context, record, file_id, (form.text("agent_signature"), form.text("safe_filename")), thumbnail
        )
    except OSError as error:
        log.error("a thumbnail could not be written: %s; is the disk full?", error.strerror)  # noqa: TRY400
        return Json({"detail": "The thumbnail could not be stored."}, status_code=507)
    return Json(context.views(request).file(file))


def _change(
    context: Context, record: PrinterRecord, file_id: int, words: tuple[str, str], thumbnail: bytes
) -> GCodeFile:
    """The picture first, its record second; what no record knows of in the end is taken away again."""
    paths: tuple[str, ...] = ()
    if thumbnail:
        drawn = (Thumbnail(0, 0, "", thumbnail),)
        paths = keep_thumbnails(context.media, f"thumbnails/{record.printer.user_id}", drawn, context.random)
        if not paths:
            raise Invalid.field("thumbnail", "A PNG or JPEG picture is needed.")
    file: GCodeFile | None = None
    try:
        file = context.reports.change_file(record, file_id, *words, thumbnails=paths)
    finally:
        for path in paths:
            if file is None or path not in file.thumbnails:
                context.media.remove(path)
    return file
