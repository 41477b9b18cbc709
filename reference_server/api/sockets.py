"""Web clients' WebSocket routes: who may sit where (wire-protocol.md §7). Agents do not come here: app.Application."""

from __future__ import annotations

import logging

from fastapi import APIRouter, WebSocket
from starlette.concurrency import run_in_threadpool

from reference_server.api.auth import Caller, Id, check_origin, identify
from reference_server.api.context import Context, context_of
from reference_server.api.obico.printers import look
from reference_server.realtime.web_socket import Seat, printer_credential, share_credential
from reference_server.services.errors import Forbidden, ServiceError
from reference_server.services.model import Scope

router = APIRouter()
log = logging.getLogger(__name__)


@router.websocket("/ws/web/")
async def overview(socket: WebSocket) -> None:
    context = context_of(socket)
    await context.web_socket.serve(socket, await _seat(context, socket, None))


@router.websocket("/ws/web/{printer_id}/")
async def viewer(socket: WebSocket, printer_id: Id) -> None:
    context = context_of(socket)
    await context.web_socket.serve(socket, await _seat(context, socket, printer_id))


async def _seat(context: Context, socket: WebSocket, printer_id: int | None) -> Seat | None:
    """None: not allowed. A cookie is taken only from a page of this server (cross-site WebSocket hijacking)."""
    try:
        caller = await identify(socket)
        if caller.by_cookie:
            _check_origin(context, socket)
        if not caller.may(Scope.READ):
            raise Forbidden("This API key lacks the scope read.")
        if printer_id is None:
            records = list(await run_in_threadpool(lambda: context.printers.all(caller.user, archived=False)))
        else:
            records = [await run_in_threadpool(context.printers.get, caller.user, printer_id)]
    except ServiceError:
        return None
    printers = tuple([await look(context, record) for record in records])

    async def is_valid() -> bool:
        try:
            now = await identify(socket)
        except ServiceError:
            return False
        return (now.user.id, now.role) == (caller.user.id, caller.role)

    return Seat(
        caller.user.id, printer_id, printers, context.base(socket), caller.credential, is_valid, _refusal(caller)
    )  # fmt: skip


def _refusal(caller: Caller) -> str:
    """Why he may not call an agent; empty: he may."""
    if not caller.key_may(Scope.CONTROL):
        return "This API key lacks the scope control."
    return "" if caller.may(Scope.CONTROL) else f"Your role, {caller.role.value}, does not allow that."


def _check_origin(context: Context, socket: WebSocket) -> None:
    """A browser shows no reason for a refused WebSocket, so the log does. Raises Forbidden."""
    try:
        check_origin(context, socket)
    except Forbidden as error:
        log.warning("a WebSocket was refused: %s", error)
        raise


@router.websocket("/ws/token/web/{auth_token}/")
async def viewer_by_token(socket: WebSocket, auth_token: str) -> None:
    """With the printer's own token in the path, as the public server has it."""
    context = context_of(socket)
    record = await run_in_threadpool(context.printers.by_token, auth_token[:100])
    seat = None
    if record is not None:
        live = await look(context, record)
        credential = printer_credential(record.printer.id)

        async def is_valid() -> bool:
            return await run_in_threadpool(context.printers.by_token, auth_token[:100]) is not None

        seat = Seat(record.printer.user_id, record.printer.id, (live,), context.base(socket), credential, is_valid)
    await context.web_socket.serve(socket, seat)


@router.websocket("/ws/share_token/web/{share_token}/")
async def viewer_by_share(socket: WebSocket, share_token: str) -> None:
    """Whoever was given the link to a shared printer: name, picture and how it is turned, nothing else (§7)."""
    context = context_of(socket)
    found = await run_in_threadpool(context.sharing.by_token, share_token[:100])
    seat = None
    if found is not None:
        share, record = found
        live = await look(context, record)

        async def is_valid() -> bool:
            return await run_in_threadpool(context.sharing.by_token, share_token[:100]) is not None

        seat = Seat(
            share.user_id, share.printer_id, (live,), context.base(socket), share_credential(share.id), is_valid,
            shared=True,
        )  # fmt: skip
    await context.web_socket.serve(socket, seat)
