"""Printers that come to the farm: `POST /v1/printers`, and a code for one that is there (seed 004, fleet-api.md §2)."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.agent.linking import announce
from reference_server.api.auth import Services
from reference_server.api.context import Context
from reference_server.api.fleet.auth import FleetCaller, PrintersWrite
from reference_server.api.fleet.printer_views import printer_view
from reference_server.api.fleet.route import FleetRoute, once_of
from reference_server.api.fleet.schemas_printers import ConnectionGiven, LinkShown, NewPrinterShown, PrinterGiven
from reference_server.api.fleet.views import time
from reference_server.api.responses import Json
from reference_server.services.errors import Invalid
from reference_server.services.fleet.host_link import HostLinkRefused
from reference_server.services.fleet.printers import PrinterEntry

router = APIRouter(prefix="/printers", tags=["printers"], route_class=FleetRoute)

COMING = 4.0
"""Seconds that an agent which was given a code has to come with it; later it is welcome all the same."""

TYPE_IN = "Type the code in on the printer's host: in OctoPrint's Obico settings, or `moonraker-obico link`."


@dataclass(frozen=True, slots=True)
class Link:
    linked: bool
    code: str | None
    expires_at: str | None
    note: str | None

    def shown(self) -> dict[str, Any]:
        return {
            "linked": self.linked, "link_code": self.code, "link_expires_at": self.expires_at, "note": self.note,
        }  # fmt: skip


LINKED = Link(True, None, None, None)


async def _usable(context: Context, given: ConnectionGiven) -> str | None:
    """Raises Invalid."""
    if given.connection_url is None:
        return None
    try:
        return await run_in_threadpool(context.fleet.host_linker.usable, given.connection_url)
    except HostLinkRefused as error:
        raise Invalid.field("connection_url", f"{error}.") from None


async def _link(
    request: Request, context: Context, caller: FleetCaller, printer_id: int, base: str | None, given: ConnectionGiven
) -> Link:
    code = await run_in_threadpool(context.linking.code, caller.identity.account, printer_id)
    waiting = Link(False, code.code, time(code.expired_at), TYPE_IN)
    if base is None:
        return waiting
    key = given.api_key.get_secret_value() if given.api_key is not None else None
    server = given.server_url or context.base(request)
    with context.fleet.arrivals.expect(printer_id) as arrived:
        answer = await run_in_threadpool(context.fleet.host_linker.link, base, key, server, code.code)
        if answer.told:
            with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
                await asyncio.wait_for(arrived.wait(), COMING)
        if arrived.is_set():
            return LINKED
    if answer.told:
        note = f"{answer.note} It has not come with it yet: can the printer's host reach {server}? {TYPE_IN}"
    else:
        note = f"{answer.note} {TYPE_IN}"
    return Link(False, waiting.code, waiting.expires_at, note)


def _view(context: Context, entry: PrinterEntry) -> dict[str, Any]:
    return printer_view(entry, context.hub.live.put(entry.record))


@router.post("", status_code=201, response_model=NewPrinterShown, summary="Add a printer")
async def create_printer(request: Request, context: Services, caller: PrintersWrite, new: PrinterGiven) -> Response:
    """With `connection_url` its agent is linked at once, if one of ours runs there; else the printer is made all the
    same, `offline`, with a `link_code` to type in on its host. The `api_key` is used for this and not kept."""
    base = await _usable(context, new)
    more = new.model_dump(exclude_unset=True, include={"model", "location", "group", "tags", "auto_continue"})
    printers = context.fleet.printers
    entry, made = await run_in_threadpool(
        printers.create, caller.identity, new.name, more, once_of(request), context.fleet.plan
    )
    if made:
        context.hub.live.put(entry.record)
        await announce(context, entry.record.printer.user_id)
    live = context.hub.live.get(entry.record.printer.id)
    if not made and live is not None and live.agent_connected:
        link = LINKED  # by the first try, whose answer never came
    else:
        link = await _link(request, context, caller, entry.record.printer.id, base, new)
    entry = await run_in_threadpool(printers.entry, caller.identity, entry.fleet.public_id)
    return Json({**_view(context, entry), **link.shown()}, 201)


@router.post("/{printer_id}/link", response_model=LinkShown, summary="Link a printer, anew if need be")
async def link_printer(
    printer_id: str, request: Request, context: Services, caller: PrintersWrite,
    given: Annotated[ConnectionGiven, Body(default_factory=ConnectionGiven)],
) -> Response:  # fmt: skip
    """A code to type in on the printer's host; with `connection_url` its agent is given it. Whoever comes with the code
    speaks for this printer from then on, and an agent that did so before is cut off."""
    base = await _usable(context, given)
    entry = await run_in_threadpool(context.fleet.printers.entry, caller.identity, printer_id)
    link = await _link(request, context, caller, entry.record.printer.id, base, given)
    return Json({"printer": entry.fleet.public_id, **link.shown()})
