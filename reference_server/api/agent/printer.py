"""The agent's own printer (wire-protocol.md §4)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Agent, Services
from reference_server.api.bodies import json_object
from reference_server.api.obico.actions import NOTHING_PRINTS
from reference_server.api.obico.parameters import Blank
from reference_server.api.responses import Json
from reference_server.services.model import PrinterRecord

router = APIRouter(prefix="/api/v1/octo", tags=["agent"])


def _shown(record: PrinterRecord) -> dict[str, Any]:
    printer = record.printer
    return {
        "user": {"is_pro": True},
        "printer": {
            "id": printer.id, "name": printer.name, "is_pro": True, "retract_on_pause": printer.retract_on_pause,
        },
    }  # fmt: skip


@router.get("/printer/")
@router.get("/ping/")
@router.get("/printer/ping/")
async def get_printer(record: Agent) -> Response:
    return Json(_shown(record))


@router.patch("/printer/")
async def rename_printer(request: Request, context: Services, record: Agent) -> Response:
    """`name` only; anything else is ignored. The answer shows the new name (the public server's shows the old)."""
    body = await json_object(request)
    if "name" in body:
        record = await run_in_threadpool(context.printers.rename, record.printer.id, body["name"])
        context.hub.update(record)
    return Json(_shown(record))


@router.post("/mute_current_print/")
async def mute_current_print(
    context: Services,
    record: Agent,
    mute_alert: Annotated[bool | None, Blank, Query(description="`false` unmutes.")] = None,
) -> Response:
    """What the user's `mute_current_print` does, asked for at the printer's own page (docs/protocol-extensions.md)."""
    muted = mute_alert is not False
    record, done = await run_in_threadpool(context.printers.mute_by_agent, record.printer.id, muted)
    context.hub.update(record)
    return Json({"succeeded": done, "reason": None if done else NOTHING_PRINTS})
