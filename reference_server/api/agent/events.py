"""Printer events that agents report by HTTP (wire-protocol.md §4; Idempotency-Key: extensions.md)."""

from __future__ import annotations

import json

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Agent, Services
from reference_server.api.bodies import Form, read_form
from reference_server.api.responses import Json
from reference_server.media.jpeg import MOST_BYTES, NotJpeg, read_size
from reference_server.services.agent_reports import ReportedEvent
from reference_server.services.errors import Invalid
from reference_server.services.secrets import token

router = APIRouter(prefix="/api/v1/octo", tags=["agent"])

ANSWER = {"result": "ok"}
KEY_LIMIT = 200


@router.post("/printer_events/")
async def report_event(request: Request, context: Services, record: Agent) -> Response:
    key = request.headers.get("idempotency-key", "").strip() or None
    if key is not None and len(key) > KEY_LIMIT:
        raise Invalid(f"An Idempotency-Key has at most {KEY_LIMIT} characters.")
    form = await read_form(request)
    if key is not None:
        earlier = await run_in_threadpool(context.reports.is_repeat, record.printer.id, key)
        if earlier is not None:
            return Json(json.loads(earlier))
    path = f"events/{record.printer.id}/{token(context.random, 12)}.jpg" if _snapshot(form) else None
    report = ReportedEvent(
        form.text("event_type"), form.text("event_class"), form.text("event_title"), form.text("event_text"),
        form.text("info_url"), image_path=path, notify=form.flag("notify", False),
        at=form.text("at"), print_ts=form.text("current_print_ts"),
    )  # fmt: skip
    if path is not None:
        # Before the event: one that is there has its picture. A repeat's picture is taken away again.
        await run_in_threadpool(context.media.write, path, form.files["snapshot"])
    try:
        answer, event = await run_in_threadpool(
            context.reports.add_event, record, report, key, json.dumps(ANSWER)
        )  # fmt: skip
    except Invalid:
        event, answer = None, ""
        raise
    finally:
        if path is not None and event is None:
            await run_in_threadpool(context.media.remove, path)
    return Json(json.loads(answer))


def _snapshot(form: Form) -> bool:
    """A broken snapshot is left out: the event matters more than its picture."""
    data = form.files.get("snapshot", b"")
    if not data or len(data) > MOST_BYTES:
        return False
    try:
        read_size(data)
    except NotJpeg:
        return False
    return True
