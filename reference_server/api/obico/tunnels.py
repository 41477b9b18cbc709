"""Printers' own web interfaces: opening them, and names and passwords for programs (docs/server-api.md)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Caller, Id, Services, User_
from reference_server.api.bodies import json_object, text
from reference_server.api.context import Context
from reference_server.api.obico.views import time
from reference_server.api.responses import Json, empty
from reference_server.services.errors import Conflict, Forbidden
from reference_server.services.tunnels import TunnelKey
from reference_server.tunnel.pages import ENTER
from reference_server.tunnel.rules import speaks_tunnel
from reference_server.tunnel.visitors import Visit

router = APIRouter(prefix="/api/v1/printers", tags=["printers"])

MOST_PORT_TRIES = 20


def _shown(key: TunnelKey) -> dict[str, Any]:
    return {
        "id": key.id, "name": key.name, "login": key.login, "created_at": time(key.created_at),
        "last_used_at": time(key.last_used_at),
    }  # fmt: skip


@router.get("/{printer_id}/tunnel/")
async def web_interface(printer_id: Id, request: Request, context: Services, caller: User_) -> Response:
    keys = await run_in_threadpool(context.web_interfaces.service.keys, caller.user, printer_id)
    reason = _trouble(context, request, printer_id)
    return Json({"available": reason is None, "reason": reason, "keys": [_shown(key) for key in keys]})


@router.post("/{printer_id}/tunnel/")
async def open_web_interface(printer_id: Id, request: Request, context: Services, caller: User_) -> Response:
    """The address lets its first visitor in, within a minute."""
    if not caller.by_cookie:
        raise Forbidden("Log in to open a printer's web interface; programs use a name and password (tunnel_keys).")
    address = await _address(context, request, caller, printer_id)
    if (reason := _trouble(context, request, printer_id)) is not None:
        raise Conflict(reason)
    visit = Visit(caller.person.id, printer_id, caller.credential)
    return Json({"url": f"{address}{ENTER}#{context.web_interfaces.visitors.invite(visit)}"})


@router.post("/{printer_id}/tunnel_keys/", status_code=201)
async def add_key(printer_id: Id, request: Request, context: Services, caller: User_) -> Response:
    """`name`: which program it is for. The password is in this answer only."""
    name = text(await json_object(request), "name")
    address = await _address(context, request, caller, printer_id)
    service = context.web_interfaces.service
    key, password = await run_in_threadpool(service.add_key, caller.user, caller.person, printer_id, name)
    return Json({**_shown(key), "password": password, "url": address}, status_code=201)


@router.delete("/{printer_id}/tunnel_keys/{key_id}/", status_code=204)
async def remove_key(printer_id: Id, key_id: Id, context: Services, caller: User_) -> Response:
    """It opens nothing any more, at once."""
    await run_in_threadpool(context.web_interfaces.service.remove_key, caller.user, printer_id, key_id)
    context.web_interfaces.sites.forget()
    return empty(204)


def _trouble(context: Context, request: Request, printer_id: int) -> str | None:
    """Why it cannot be opened now, for a person."""
    if (reason := _no_place(context, request)) is not None:
        return reason
    live = context.hub.live.get(printer_id)
    if live is None or context.hub.agent(printer_id) is None:
        return "The printer is offline."
    if not speaks_tunnel(live.record.printer.agent_name, live.record.printer.agent_version):
        return "The printer's agent is too old to show its web interface: update it."
    return None


def _no_place(context: Context, request: Request) -> str | None:
    config = context.config
    if config.tunnel_host is not None:
        return None
    if not config.tunnel_ports:
        return "Printers' web interfaces are switched off on this server (--tunnel-ports, --tunnel-host)."
    if context.base(request).startswith("https:"):
        return (
            "Behind a proxy with a certificate printers need host names of their own: start the server with "
            "--tunnel-host (docs/operation.md)."
        )
    return None


async def _address(context: Context, request: Request, caller: Caller, printer_id: int) -> str:
    """Scheme and host of the printer's site, which is there from now on. Raises NotFound, Conflict."""
    parts, base = context.web_interfaces, context.base(request)
    await run_in_threadpool(context.printers.get, caller.user, printer_id)
    if (reason := _no_place(context, request)) is not None:
        raise Conflict(reason)
    if context.config.tunnel_host is not None:
        return parts.ports.address(base, printer_id, None)
    choice = context.config.tunnel_ports
    for _ in range(MOST_PORT_TRIES):
        port = await run_in_threadpool(
            parts.service.port_for, caller.user, printer_id, choice, frozenset(parts.ports.unusable)
        )
        if await parts.ports.open(printer_id, port):
            return parts.ports.address(base, printer_id, port)
        if port not in parts.ports.unusable:
            break
    raise Conflict("No port for the printer's web interface can be opened; see the server's log.")
