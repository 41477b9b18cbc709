"""A user's own safety: password, second factor, sessions (docs/server-api.md)."""

from __future__ import annotations

import io
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Caller, Services, User_, clear_session
from reference_server.api.bodies import json_object, text
from reference_server.api.context import Context
from reference_server.api.obico.views import time
from reference_server.api.responses import Json, empty
from reference_server.services.errors import Invalid
from reference_server.services.model import Session

router = APIRouter(prefix="/api/v1/auth", tags=["accounts"])


async def _password_checked(
    request: Request, context: Context, caller: Caller, field: str = "password"
) -> dict[str, Any]:
    """The body, once its password has turned out right. Raises Invalid, Throttled."""
    body = await json_object(request)
    password = text(body, field)
    try:
        await run_in_threadpool(context.accounts.check_password, caller.person, password)
    except Invalid as error:
        raise Invalid.field(field, error.errors["password"][0]) from None
    return body


@router.post("/password/")
async def change_password(request: Request, context: Services, caller: User_) -> Response:
    """`old_password`, `new_password`; every other session ends."""
    body = await _password_checked(request, context, caller, "old_password")
    keep = caller.credential if caller.by_cookie else None
    ended = await run_in_threadpool(context.accounts.change_password, caller.person, text(body, "new_password"), keep)
    _close_sockets(context, ended, "the password was changed")
    return empty(204)


def _close_sockets(context: Context, sessions: list[Session], reason: str) -> None:
    for session in sessions:
        context.hub.revoke(session.token_hash, reason)


@router.get("/sessions/")
async def sessions(context: Services, caller: User_) -> Response:
    found = await run_in_threadpool(context.accounts.sessions, caller.person)
    return Json([_session(session, caller) for session in found])


def _session(session: Session, caller: Caller) -> dict[str, Any]:
    return {
        "id": session.public_id,
        "created_at": time(session.created_at),
        "refreshed_at": time(session.refreshed_at),
        "expires_at": time(session.expires_at),
        "address": session.address,
        "client": session.client,
        "current": session.token_hash == caller.credential,
    }


@router.delete("/sessions/{session_id}/")
async def end_session(session_id: str, context: Services, caller: User_) -> Response:
    ended = await run_in_threadpool(context.accounts.end_session, caller.person, session_id)
    _close_sockets(context, [ended], "the session was ended")
    return empty(204)


@router.post("/logout_everywhere/")
async def log_out_everywhere(context: Services, caller: User_) -> Response:
    """Every session ends, this one too. API keys stay."""
    ended = await run_in_threadpool(context.accounts.end_sessions, caller.person)
    _close_sockets(context, ended, "logged out everywhere")
    answer = empty(204)
    clear_session(answer)
    return answer


@router.get("/second_factor/")
async def second_factor(context: Services, caller: User_) -> Response:
    state = await run_in_threadpool(context.accounts.second_factors.state, caller.person)
    return Json({
        "enabled": state.confirmed_at is not None,
        "confirmed_at": time(state.confirmed_at),
        "recovery_codes_left": state.recovery_codes_left,
    })  # fmt: skip


@router.post("/second_factor/")
async def begin_second_factor(request: Request, context: Services, caller: User_) -> Response:
    """`password`. The secret is shown this once, as text, as an address, and as a QR code (SVG)."""
    await _password_checked(request, context, caller)
    found = await run_in_threadpool(context.accounts.second_factors.begin, caller.person)
    drawing = await run_in_threadpool(_qr, found.uri)
    return Json({"secret": found.secret, "uri": found.uri, "qr_svg": drawing})


def _qr(content: str) -> str:
    import segno

    out = io.BytesIO()
    segno.make(content, error="m").save(out, kind="svg", scale=4, xmldecl=False, light="#fff")
    return out.getvalue().decode("ascii")


@router.post("/second_factor/confirm/")
async def confirm_second_factor(request: Request, context: Services, caller: User_) -> Response:
    code = text(await json_object(request), "code")
    codes = await run_in_threadpool(context.accounts.second_factors.confirm, caller.person, code)
    return Json({"recovery_codes": codes})


@router.post("/second_factor/recovery_codes/")
async def renew_recovery_codes(request: Request, context: Services, caller: User_) -> Response:
    await _password_checked(request, context, caller)
    codes = await run_in_threadpool(context.accounts.second_factors.renew_recovery_codes, caller.person)
    return Json({"recovery_codes": codes})


@router.delete("/second_factor/")
async def remove_second_factor(request: Request, context: Services, caller: User_) -> Response:
    await _password_checked(request, context, caller)
    await run_in_threadpool(context.accounts.second_factors.remove, caller.person)
    return empty(204)
