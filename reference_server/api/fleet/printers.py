"""Printers: `/v1/printers`. What is live comes from memory, what is kept from one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Services
from reference_server.api.context import Context
from reference_server.api.fleet.auth import FleetCaller, PrintersRead, PrintersWrite
from reference_server.api.fleet.lists import List
from reference_server.api.fleet.printer_views import printer_view
from reference_server.api.fleet.route import FleetRoute
from reference_server.api.fleet.schemas import Page
from reference_server.api.fleet.schemas_printers import PrinterChange, PrinterShown, StatusWord
from reference_server.api.obico.printers import cut_off
from reference_server.api.responses import Json, empty
from reference_server.services.errors import Invalid
from reference_server.services.fleet.ports import Window
from reference_server.services.fleet.printer_state import status_of
from reference_server.services.fleet.printers import PrinterEntry
from reference_server.services.live import LivePrinter

router = APIRouter(prefix="/printers", tags=["printers"], route_class=FleetRoute)

Pair = tuple[PrinterEntry, LivePrinter]

SORTABLE: Mapping[str, Callable[[Pair], Any]] = {
    "name": lambda pair: pair[1].record.printer.name.casefold(),
    "status": lambda pair: status_of(pair[1]).value,
    "model": lambda pair: pair[0].fleet.model.casefold(),
    "group": lambda pair: pair[0].group.name.casefold() if pair[0].group else "",
    "location": lambda pair: pair[0].fleet.location.casefold(),
    "created_at": lambda pair: pair[1].record.printer.created_at,
    "updated_at": lambda pair: pair[0].fleet.updated_at,
}
DEFAULT_SORT = (("name", False),)


def sorted_pairs(pairs: Sequence[Pair], window: Window) -> list[Pair]:
    """By the keys of the window, the last one first; equals by id, in the direction of the first key."""
    keys = window.sort or DEFAULT_SORT
    found = sorted(pairs, key=lambda pair: pair[0].fleet.printer_id, reverse=keys[0][1])
    for name, down in reversed(keys):
        found.sort(key=SORTABLE[name], reverse=down)
    return found


async def pairs_of(context: Context, caller: FleetCaller) -> list[Pair]:
    """The caller's printers, each with its live side."""
    known = {live.record.printer.id: live.record for live in context.hub.live.all()}
    entries = await run_in_threadpool(context.fleet.printers.entries, caller.identity, known)
    return [(entry, context.hub.live.put(entry.record)) for entry in entries]


def _wanted(pair: Pair, status: str | None, group: str | None, tags: Sequence[str], word: str) -> bool:
    entry, live = pair
    if status is not None and status_of(live).value != status:
        return False
    if group is not None and (entry.group is None or entry.group.public_id != group):
        return False
    if any(tag not in entry.fleet.tags for tag in tags):
        return False
    texts = (live.record.printer.name, entry.fleet.model, entry.fleet.location)
    return not word or any(word in text.casefold() for text in texts)


@router.get("", response_model=Page[PrinterShown], summary="List printers")
async def list_printers(
    context: Services,
    caller: PrintersRead,
    paging: List,
    status: Annotated[StatusWord | None, Query()] = None,
    group: Annotated[str | None, Query(max_length=100, description="A group's id or name.")] = None,
    tag: Annotated[str | None, Query(max_length=1000, description="A tag; several by comma: all of them.")] = None,
    q: Annotated[str | None, Query(max_length=100, description="Part of the name, model or location.")] = None,
) -> Response:
    """By name unless `sort` says otherwise."""
    window = paging.window(SORTABLE)
    if group is not None:
        group = (await run_in_threadpool(context.fleet.printers.group_of_filter, caller.identity, group)).public_id
    tags = [word for word in (word.strip() for word in (tag or "").split(",")) if word]
    if tag is not None and not tags:
        raise Invalid.field("tag", "A tag is needed.")
    word = (q or "").strip().casefold()
    found = [pair for pair in await pairs_of(context, caller) if _wanted(pair, status, group, tags, word)]
    page = sorted_pairs(found, window)[window.start : window.start + window.limit]
    return paging.answer([printer_view(*pair) for pair in page], len(found), PrinterShown.model_fields)


def _shown(context: Context, entry: PrinterEntry, status: int = 200) -> Response:
    return Json(printer_view(entry, context.hub.live.put(entry.record)), status)


@router.get("/{printer_id}", response_model=PrinterShown, summary="One printer")
async def get_printer(printer_id: str, context: Services, caller: PrintersRead) -> Response:
    return _shown(context, await run_in_threadpool(context.fleet.printers.entry, caller.identity, printer_id))


@router.patch("/{printer_id}", response_model=PrinterShown, summary="Change a printer's settings")
async def change_printer(
    printer_id: str, context: Services, caller: PrintersWrite, change: PrinterChange
) -> Response:
    changes = change.model_dump(exclude_unset=True)
    entry = await run_in_threadpool(context.fleet.printers.change, caller.identity, printer_id, changes)
    if "name" in changes:
        context.hub.update(entry.record)
    context.fleet.changed.set()
    return _shown(context, entry)


@router.delete("/{printer_id}", status_code=204, summary="Take a printer out of the farm; its history stays")
async def delete_printer(printer_id: str, context: Services, caller: PrintersWrite) -> Response:
    """It is archived: its agent is cut off, a print under way goes on unseen. Linking it anew brings it back."""
    entry = await run_in_threadpool(context.fleet.printers.entry, caller.identity, printer_id)
    await cut_off(context, caller.identity.account, entry.record.printer.id)
    context.fleet.changed.set()
    return empty(204)
