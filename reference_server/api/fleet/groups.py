"""Groups: `/v1/groups`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Services
from reference_server.api.fleet.auth import PrintersRead, PrintersWrite
from reference_server.api.fleet.lists import List
from reference_server.api.fleet.route import FleetRoute, once_of
from reference_server.api.fleet.schemas import GroupGiven, GroupShown, Page
from reference_server.api.fleet.views import time
from reference_server.api.responses import Json, empty
from reference_server.services.fleet.model import Group

router = APIRouter(prefix="/groups", tags=["groups"], route_class=FleetRoute)

SORTABLE = ("name", "created_at", "updated_at")


def _view(group: Group, printers: Mapping[int | None, int]) -> dict[str, Any]:
    return {
        "id": group.public_id, "name": group.name, "printers": printers.get(group.id, 0),
        "created_at": time(group.created_at), "updated_at": time(group.updated_at),
    }  # fmt: skip


async def _counts(context: Services, caller: PrintersRead) -> Mapping[int | None, int]:
    found = await run_in_threadpool(context.fleet.printers.of_account, caller.identity)
    return Counter(printer.group_id for printer in found)


@router.get("", response_model=Page[GroupShown], summary="List groups")
async def list_groups(context: Services, caller: PrintersRead, paging: List) -> Response:
    groups, total = await run_in_threadpool(context.fleet.groups.list, caller.identity, paging.window(SORTABLE))
    counts = await _counts(context, caller)
    return paging.answer([_view(group, counts) for group in groups], total, GroupShown.model_fields)


@router.post("", status_code=201, response_model=GroupShown, summary="Create a group")
async def create_group(request: Request, context: Services, caller: PrintersWrite, new: GroupGiven) -> Response:
    group = await run_in_threadpool(context.fleet.groups.create, caller.identity, new.name, once_of(request))
    return Json(_view(group, await _counts(context, caller)), 201)


@router.get("/{group_id}", response_model=GroupShown, summary="One group")
async def get_group(group_id: str, context: Services, caller: PrintersRead) -> Response:
    group = await run_in_threadpool(context.fleet.groups.get, caller.identity, group_id)
    return Json(_view(group, await _counts(context, caller)))


@router.patch("/{group_id}", response_model=GroupShown, summary="Rename a group")
async def change_group(group_id: str, context: Services, caller: PrintersWrite, change: GroupGiven) -> Response:
    group = await run_in_threadpool(context.fleet.groups.rename, caller.identity, group_id, change.name)
    return Json(_view(group, await _counts(context, caller)))


@router.delete("/{group_id}", status_code=204, summary="Delete a group; its printers stay")
async def delete_group(group_id: str, context: Services, caller: PrintersWrite) -> Response:
    await run_in_threadpool(context.fleet.groups.delete, caller.identity, group_id)
    return empty(204)
