"""Agents that wait to be linked, on the user's side (wire-protocol.md §2.2, §2.3)."""

from __future__ import annotations

from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Services, User_
from reference_server.api.bodies import json_object
from reference_server.api.context import caller_address
from reference_server.api.responses import Json
from reference_server.services.discovery import DEVICE_ID
from reference_server.services.errors import Invalid, NotFound

router = APIRouter(prefix="/api/v1", tags=["others"])

TEXT_LIMIT = 200


class Claim(BaseModel):
    one_time_passcode: str
    verification_code: str


@router.get("/printer_discovery/")
async def seen(request: Request, context: Services, caller: User_) -> Response:  # noqa: ARG001 - users only
    """The announcements of agents in the caller's network."""
    return Json(context.discovery.seen_from(caller_address(request)))


@router.post("/printer_discovery/")
async def hand_over(request: Request, context: Services, caller: User_) -> Response:
    """Give a linking code to a device, with the secret that was read from it in the local network."""
    body = await json_object(request)
    names = ("code", "device_id", "device_secret")
    missing = {name: ["missing param"] for name in names if not isinstance(body.get(name), str) or not body[name]}
    if missing:
        raise Invalid("; ".join(f"{name}: missing param" for name in missing), missing)
    if len(body["device_id"]) != DEVICE_ID:
        raise Invalid.field("device_id", f"{DEVICE_ID} hex digits are needed.")
    if any(len(body[name]) > TEXT_LIMIT for name in names):
        raise Invalid(f"At most {TEXT_LIMIT} characters are needed.")
    await run_in_threadpool(context.linking.check_code, caller.user, body["code"])
    address = caller_address(request)
    if not context.discovery.hand_over(address, body["device_id"], body["code"], body["device_secret"]):
        raise NotFound("This device does not announce itself in your network (any more).")
    return Json({"queued": True})


@router.post("/one_time_passcodes/")
async def claim(wanted: Claim, context: Services, caller: User_) -> Response:
    """The agent that shows the passcode is given the linking code."""
    await run_in_threadpool(context.linking.check_code, caller.user, wanted.verification_code[:TEXT_LIMIT])
    passcode = wanted.one_time_passcode.strip().lower()[:TEXT_LIMIT]
    context.discovery.claim(caller.user.id, passcode, wanted.verification_code)
    return Json({"detail": "OK"})
