"""Printers (seed 002, rest-decisions.md)."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.agent.linking import announce
from reference_server.api.auth import Id, Services, User_
from reference_server.api.bodies import json_object
from reference_server.api.context import Context
from reference_server.api.obico.parameters import Blank, Compat
from reference_server.api.responses import Json, empty
from reference_server.realtime.web_socket import printer_credential, share_credential
from reference_server.services.model import PrinterRecord, Scope, User

router = APIRouter(prefix="/api/v1/printers", tags=["printers"])


async def look(context: Context, record: PrinterRecord) -> Any:
    """The printer's live side; at the first look after a start with its picture of before."""
    known = context.hub.live.get(record.printer.id)
    live = context.hub.live.put(record)
    if known is None and (picture := await run_in_threadpool(context.pictures.recall, record.printer.id)) is not None:
        live.pictures.setdefault(picture.camera, picture)
    if not live.recalled:
        live.recalled = True
        before = await run_in_threadpool(context.watch.recall, record)
        live.last_detection = live.last_detection or before
    return live


async def shown(
    request: Request, context: Context, record: PrinterRecord, *, token: bool = False
) -> dict[str, Any]:
    live = await look(context, record)
    compat = request.query_params.get("compat") == "1"
    return context.views(request).printer(live.record, live, token=token, compat=compat)


@router.get("/")
async def list_printers(
    request: Request,
    context: Services,
    caller: User_,
    with_archived: Annotated[bool | None, Blank, Query(description="Archived ones too.")] = None,
    compat: Compat = None,  # noqa: ARG001 - read by `shown`
) -> Response:
    records = await run_in_threadpool(lambda: context.printers.all(caller.user, archived=bool(with_archived)))
    return Json([await shown(request, context, record) for record in records])


@router.post("/", status_code=201)
async def create_printer(request: Request, context: Services, caller: User_) -> Response:
    name = (await json_object(request)).get("name")
    record = await run_in_threadpool(context.printers.create, caller.user, name)
    await announce(context, caller.user.id)
    return Json(await shown(request, context, record, token=True), status_code=201)


@router.get("/{printer_id}/")
async def get_printer(
    printer_id: Id,
    request: Request,
    context: Services,
    caller: User_,
    compat: Compat = None,  # noqa: ARG001 - read by `shown`
) -> Response:
    """The only answer that shows `auth_token` on demand; not to a key that may not link printers."""
    record = await run_in_threadpool(context.printers.get, caller.user, printer_id)
    return Json(await shown(request, context, record, token=caller.may(Scope.ADMIN)))


@router.patch("/{printer_id}/")
@router.put("/{printer_id}/")
async def change_printer(
    printer_id: Id,
    request: Request,
    context: Services,
    caller: User_,
    compat: Compat = None,  # noqa: ARG001 - read by `shown`
) -> Response:
    """The Printer's own keys, and `succeeded` and `printer` besides; read-only fields may be repeated unchanged."""
    changes = await json_object(request)
    views = context.views(request)

    def show(record: PrinterRecord) -> dict[str, Any]:
        return views.printer(record, context.hub.live.get(printer_id))

    record = await run_in_threadpool(context.printers.change, caller.user, printer_id, changes, show)
    context.hub.update(record)
    printer = await shown(request, context, record)
    return Json({**printer, "succeeded": True, "printer": printer})


@router.delete("/{printer_id}/")
async def delete_printer(printer_id: Id, context: Services, caller: User_) -> Response:
    await run_in_threadpool(context.printers.delete, caller.user, printer_id)
    context.hub.printer_gone(printer_id, caller.user.id)
    await announce(context, caller.user.id)
    return empty(200)


@router.post("/{printer_id}/archive/", status_code=204)
@router.post("/{printer_id}/unarchive/", status_code=204)
async def archive_printer(printer_id: Id, request: Request, context: Services, caller: User_) -> Response:
    if request.url.path.rstrip("/").endswith("/archive"):
        await cut_off(context, caller.user, printer_id)
        return empty(204)
    context.hub.update(await run_in_threadpool(context.printers.set_archived, caller.user, printer_id, False))
    await announce(context, caller.user.id)
    return empty(204)


async def cut_off(context: Context, user: User, printer_id: int) -> None:
    """Archive it: neither its agent nor a visitor of a share gets any further. Raises NotFound."""
    record = await run_in_threadpool(context.printers.set_archived, user, printer_id, True)
    context.hub.update(record)
    context.hub.drop_agent(printer_id, "the printer was archived")
    context.hub.revoke(printer_credential(printer_id), "the printer was archived")
    for share in await run_in_threadpool(context.sharing.of, user, printer_id):
        context.hub.revoke(share_credential(share.id), "the printer was archived")
    await announce(context, user.id)
