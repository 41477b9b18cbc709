"""Orders of the farm: an agent asks before it starts, and tells what became of them (protocol-extensions.md)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from agent_core.wire import read
from reference_server.api.auth import Agent, Services
from reference_server.api.bodies import json_object
from reference_server.api.responses import Json
from reference_server.services.errors import Invalid

router = APIRouter(prefix="/api/v1/octo/orders", tags=["agent"])

OrderId = Annotated[str, Path(max_length=20)]
STATES = ("started", "failed", "unknown")


@router.post("/{order_id}/start/")
async def ask_to_start(order_id: OrderId, request: Request, context: Services, record: Agent) -> Response:
    """`{"now": <the agent's Unix seconds>}` -> `{"start": true}`, or false with the reason; both are final."""
    body = await json_object(request)
    now = read.number(body.get("now"))
    if now is None or not 0 <= now < 2**40:
        raise Invalid.field("now", "The agent's clock is needed, in Unix seconds.")
    permit = await run_in_threadpool(context.fleet.handover.permit, record.printer, order_id, now)
    if not permit.start:
        context.fleet.changed.set()
    answer: dict[str, Any] = {"start": permit.start}
    return Json(answer if permit.start else {**answer, "reason": permit.reason})


@router.post("/{order_id}/result/")
async def tell_result(order_id: OrderId, request: Request, context: Services, record: Agent) -> Response:
    """`{"state": "started" | "failed" | "unknown", "reason", "path"}`; may come twice."""
    body = await json_object(request)
    state = read.text(body.get("state"))
    if state not in STATES:
        raise Invalid.field("state", f"One of {', '.join(STATES)} is needed.")
    await run_in_threadpool(
        context.fleet.handover.result, record.printer, order_id, state, read.text(body.get("reason"))
    )
    context.fleet.changed.set()
    return Json({})
