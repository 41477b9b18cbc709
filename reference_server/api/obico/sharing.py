"""Shared printers (wire-protocol.md §6.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Id, Services, User_
from reference_server.api.bodies import json_object
from reference_server.api.context import Context
from reference_server.api.obico.parameters import Blank, One
from reference_server.api.obico.views import time
from reference_server.api.responses import Json, empty
from reference_server.realtime.web_socket import share_credential
from reference_server.services.errors import Invalid
from reference_server.services.model import SharedPrinter

router = APIRouter(prefix="/api/v1/sharedresources", tags=["printers"])


def _shown(context: Context, request: Request, shares: Sequence[SharedPrinter]) -> list[dict[str, object]]:
    base = context.base(request).replace("http", "ws", 1)
    return [
        {
            "id": share.id, "printer_id": share.printer_id, "share_token": share.share_token,
            "created_at": time(share.created_at), "socket_url": f"{base}/ws/share_token/web/{share.share_token}/",
        }
        for share in shares
    ]  # fmt: skip


@router.get("/")
async def list_shares(
    request: Request,
    context: Services,
    caller: User_,
    printer_id: Annotated[One | None, Blank, Query(description="Absent: those of all printers.")] = None,
) -> Response:
    shares = await run_in_threadpool(context.sharing.of, caller.user, printer_id)
    return Json(_shown(context, request, shares))


@router.post("/")
async def share_printer(
    request: Request,
    context: Services,
    caller: User_,
    printer_id: Annotated[One | None, Blank, Query(description="May be in a JSON body instead.")] = None,
) -> Response:
    """The printer's share, made if there is none, as a list of one."""
    chosen = printer_id or (await json_object(request)).get("printer_id")
    if type(chosen) is not int or not 0 < chosen <= 2**53:
        raise Invalid.field("printer_id", "Which printer is to be shared?")
    share = await run_in_threadpool(context.sharing.share, caller.user, chosen)
    return Json(_shown(context, request, [share]))


@router.delete("/{share_id}/", status_code=204)
async def stop_sharing(share_id: Id, context: Services, caller: User_) -> Response:
    """Whoever looks by that link is let go at once."""
    await run_in_threadpool(context.sharing.stop, caller.user, share_id)
    context.hub.revoke(share_credential(share_id), "the printer is not shared any more")
    return empty(204)
