"""G-code files that agents know of (wire-protocol.md §4)."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Agent, Id, Services
from reference_server.api.bodies import read_form
from reference_server.api.responses import Json
from reference_server.services.agent_reports import ReportedFile

router = APIRouter(prefix="/api/v1/octo/g_code_files", tags=["agent"])


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
    return Json(context.views(request).file(file), status_code=201 if is_new else 200)


@router.patch("/{file_id}/")
async def change_file(file_id: Id, request: Request, context: Services, record: Agent) -> Response:
    form = await read_form(request)
    file = await run_in_threadpool(
        context.reports.change_file, record, file_id, form.text("agent_signature"), form.text("safe_filename")
    )
    return Json(context.views(request).file(file))
