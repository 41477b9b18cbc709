"""Pictures from agents (wire-protocol.md §4)."""

from __future__ import annotations

import logging
from datetime import datetime
from functools import partial

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Agent, Services
from reference_server.api.bodies import read_form
from reference_server.api.responses import Json, empty
from reference_server.media.frames import FrameStore
from reference_server.media.jpeg import MOST_BYTES, NotJpeg
from reference_server.services.text import clean

router = APIRouter(prefix="/api/v1/octo", tags=["agent"])
log = logging.getLogger(__name__)

CAMERA_NAME_LIMIT = 200


def _keep(frames: FrameStore, print_id: int, at: datetime, data: bytes) -> None:
    """For the print's time-lapse, which is no reason to refuse the picture."""
    try:
        frames.keep(print_id, at, data)
    except OSError as error:
        log.error("a picture of print %s was not kept for its time-lapse: %s", print_id, error.strerror)  # noqa: TRY400


@router.post("/pic/")
async def take_picture(request: Request, context: Services, record: Agent) -> Response:
    """The newest picture of a camera. Another than the primary camera is kept for viewers and never judged."""
    printer_id = record.printer.id
    form = await read_form(request)
    data = form.files.get("pic")
    if not data:
        return empty(400)
    if len(data) > MOST_BYTES:
        return Json({"detail": f"The picture is larger than {MOST_BYTES} bytes."}, status_code=413)
    primary = form.flag("is_primary_camera", True)
    camera = clean(form.text("camera_name"), CAMERA_NAME_LIMIT)
    nozzle = form.flag("is_nozzle_camera", False)
    if primary and context.picture_throttle is not None:
        context.picture_throttle.take(str(printer_id))
    try:
        picture = await run_in_threadpool(
            partial(context.pictures.take, primary=primary, nozzle=nozzle), printer_id, data, camera, context.now()
        )
    except NotJpeg:
        return Json(["Corrupted image."], status_code=400)
    except OSError as error:
        log.error("a picture could not be written: %s; is the disk full?", error.strerror)  # noqa: TRY400
        return Json({"detail": "The picture could not be stored."}, status_code=507)
    live = context.hub.live.put(record)
    job = live.record.current_print
    if primary and job is not None and not form.flag("viewing_boost", False):
        await run_in_threadpool(_keep, context.frames, job.id, picture.at, data)
    await run_in_threadpool(context.pictures.remove, live.take_picture(picture))
    context.hub.publish(printer_id)
    if primary and not form.flag("viewing_boost", False):
        context.detection.offer(live, picture)
    return Json({"result": "ok"})
