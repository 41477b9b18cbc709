"""API keys: `/v1/api-keys`; and who did what: `/v1/audit`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timezone
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Services
from reference_server.api.fleet.auth import Admin, Anybody
from reference_server.api.fleet.lists import List
from reference_server.api.fleet.route import FleetRoute, UnrepeatedRoute
from reference_server.api.fleet.schemas import AuditShown, KeyGiven, KeyShown, NewKeyShown, Page
from reference_server.api.fleet.views import time
from reference_server.api.responses import Json, empty
from reference_server.services.audit import AuditEntry
from reference_server.services.errors import NotFound
from reference_server.services.fleet.model import FleetKey

router = APIRouter(tags=["api keys"], route_class=FleetRoute)

SORTABLE = ("name", "created_at", "last_used_at")


def _view(key: FleetKey, makers: Mapping[int, str]) -> dict[str, Any]:
    return {
        "id": key.public_id, "name": key.name, "scopes": list(key.scopes), "created_by": makers.get(key.user_id),
        "created_at": time(key.created_at), "expires_at": time(key.expires_at), "last_used_at": time(key.last_used_at),
    }  # fmt: skip


async def _makers(context: Services, caller: Anybody) -> Mapping[int, str]:
    members = await run_in_threadpool(context.fleet.people.members, caller.identity)
    return {member.user_id: member.public_id for member in members}


@router.get("/api-keys", response_model=Page[KeyShown], summary="List keys")
async def list_keys(context: Services, caller: Admin, paging: List) -> Response:
    keys, total = await run_in_threadpool(context.fleet.keys.list, caller.identity, paging.window(SORTABLE))
    makers = await _makers(context, caller)
    return paging.answer([_view(key, makers) for key in keys], total, KeyShown.model_fields)


async def create_key(context: Services, caller: Admin, new: KeyGiven) -> Response:
    """The answer shows the key itself, this once. An Idempotency-Key has no effect here: an answer that is kept would
    keep the key."""
    expires = new.expires_at
    if expires is not None and expires.tzinfo is None:
        expires = expires.replace(tzinfo=timezone.utc)
    key, text = await run_in_threadpool(context.fleet.keys.create, caller.identity, new.name, new.scopes, expires)
    return Json({**_view(key, await _makers(context, caller)), "key": text}, 201)


router.add_api_route(
    "/api-keys", create_key, methods=["POST"], status_code=201, response_model=NewKeyShown, summary="Create a key",
    route_class_override=UnrepeatedRoute,
)  # fmt: skip


@router.get("/api-keys/current", response_model=KeyShown, summary="The key that asks")
async def current_key(context: Services, caller: Anybody) -> Response:
    if caller.identity.key is None:
        raise NotFound("This is a log-in, not an API key.")
    return Json(_view(caller.identity.key, await _makers(context, caller)))


@router.delete("/api-keys/{key_id}", status_code=204, summary="Revoke a key")
async def revoke_key(key_id: str, context: Services, caller: Admin) -> Response:
    await run_in_threadpool(context.fleet.keys.revoke, caller.identity, key_id)
    return empty(204)


def _entry(entry: AuditEntry) -> dict[str, Any]:
    return {
        "id": entry.id, "at": time(entry.at), "user_name": entry.user_name, "via": entry.via,
        "address": entry.address, "action": entry.action, "subject": entry.subject, "ok": entry.ok,
    }  # fmt: skip


@router.get("/audit", response_model=Page[AuditShown], summary="Who did what", tags=["organization"])
async def audit_log(context: Services, caller: Admin, paging: List) -> Response:
    """Newest first."""
    window = paging.window(())
    found, total = await run_in_threadpool(
        context.audit.of_account, caller.identity.account.id, window.start, window.limit
    )
    return paging.answer([_entry(entry) for entry in found], total, AuditShown.model_fields)
