"""What detection saw and decided, what it leaves out, and what the user says of it (wire-protocol.md §5.5, §6.3)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Id, Services, User_
from reference_server.api.bodies import json_list, json_object
from reference_server.api.obico.parameters import LARGEST
from reference_server.api.obico.views import time
from reference_server.api.responses import Json
from reference_server.services.detection.model import Decision
from reference_server.services.detection.port import Mask
from reference_server.services.detection.records import wire_scores

router = APIRouter(prefix="/api/v1", tags=["detection"])

PrintId = Annotated[int, Query(ge=1, le=LARGEST, description="Of this print.")]


@router.get("/prints/{print_id}/prediction_json/")
async def predictions(print_id: Id, context: Services, caller: User_) -> Response:
    """Empty if nothing was judged."""
    found = await run_in_threadpool(context.detection_records.predictions, caller.user, print_id)
    return Response(found, media_type="application/json")


@router.get("/prints/{print_id}/decisions/")
async def decisions(print_id: Id, request: Request, context: Services, caller: User_) -> Response:
    """Newest first: every alert and action, and every change of why there was none."""
    found = await run_in_threadpool(context.detection_records.decisions, caller.user, print_id)
    views = context.views(request)
    return Json([{**_decision(entry), "image_url": views.media(entry.image_path)} for entry in found])


def _decision(entry: Decision) -> dict[str, Any]:
    return {
        "id": entry.id,
        "print": entry.print_id,
        "printer": entry.printer_id,
        "at": time(entry.at),
        "level": entry.level.value,
        "action": entry.action.value,
        "cause": entry.cause,
        "rule": entry.rule,
        "reason": entry.reason,
        "scores": wire_scores(entry.scores, entry.normalized_p),
        "sensitivity": entry.sensitivity,
        "detector": entry.detector,
        "findings": list(entry.findings),
        "camera": entry.camera,
        "frame": entry.frame,
        "frames": [{"frame": number, "p": p} for number, p in entry.frames],
        "command": entry.sent.value,
        "outcome": entry.outcome,
    }


# --- masks -------------------------------------------------------------------------------------------------------


def _masks(masks: Any) -> Response:
    return Json([_mask(mask) for mask in masks])


def _mask(mask: Mask) -> dict[str, Any]:
    return {"camera": mask.camera, "points": [list(point) for point in mask.points]}


@router.get("/printers/{printer_id}/masks/")
async def masks(printer_id: Id, context: Services, caller: User_) -> Response:
    return _masks(await run_in_threadpool(context.detection_records.masks, caller.user, printer_id))


@router.put("/printers/{printer_id}/masks/")
async def set_masks(printer_id: Id, request: Request, context: Services, caller: User_) -> Response:
    """All masks of the printer at once."""
    wanted = await json_list(request)
    return _masks(await run_in_threadpool(context.detection_records.set_masks, caller.user, printer_id, wanted))


# --- shots -------------------------------------------------------------------------------------------------------


@router.get("/printshotfeedbacks/")
async def shots(print_id: PrintId, request: Request, context: Services, caller: User_) -> Response:
    views = context.views(request)
    found = await run_in_threadpool(context.detection_records.shots, caller.user, print_id)
    return Json([views.shot(shot) for shot in found])


@router.get("/printshotfeedbacks/{shot_id}/")
async def shot(shot_id: Id, request: Request, context: Services, caller: User_) -> Response:
    found = await run_in_threadpool(context.detection_records.shot, caller.user, shot_id)
    return Json(context.views(request).shot(found))


@router.put("/printshotfeedbacks/{shot_id}/")
@router.patch("/printshotfeedbacks/{shot_id}/")
async def answer(shot_id: Id, request: Request, context: Services, caller: User_) -> Response:
    """Nothing is credited here: there is no limit on watching."""
    value = (await json_object(request)).get("answer")
    found = await run_in_threadpool(context.detection_records.answer, caller.user, shot_id, value)
    instance = context.views(request).shot(found)
    return Json({**instance, "instance": instance, "credited_dhs": 0})
