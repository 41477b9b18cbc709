"""First run, log-in, log-out, API keys (docs/server-api.md)."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.audit import Note, note
from reference_server.api.auth import (
    SESSION_COOKIE,
    Caller,
    Id,
    Services,
    User_,
    check_origin,
    clear_session,
    identify,
    set_session,
)
from reference_server.api.bodies import json_object, text
from reference_server.api.context import Context, caller_address
from reference_server.api.obico.views import Views
from reference_server.api.responses import Json, empty
from reference_server.services.accounts import CodeNeeded, LoggedIn
from reference_server.services.errors import Forbidden, Invalid, Unauthenticated
from reference_server.services.model import ALL_SCOPES, Scope, Scopes

router = APIRouter(prefix="/api/v1", tags=["accounts"])


@router.get("/auth/state/")
async def state(request: Request, context: Services) -> Response:
    """What the page needs to know first; no credentials needed."""
    try:
        shown = _me(await identify(request))
    except Unauthenticated:
        shown = None
    needed = shown is None and await run_in_threadpool(context.accounts.setup_needed)
    return Json({"setup_needed": needed, "logged_in": shown is not None, "user": shown})


def _me(caller: Caller) -> dict[str, Any]:
    return Views.user(caller.person, caller.user, caller.role, caller.organization)


@router.post("/auth/setup/")
async def setup(request: Request, context: Services) -> Response:
    check_origin(context, request)
    body = await json_object(request)
    token, name, password, email = (text(body, field) for field in ("token", "name", "password", "email"))
    address = caller_address(request)
    note(request, Note("auth.setup", name=name))
    found = await run_in_threadpool(context.accounts.finish_setup, token, name, password, email, address)
    note(request, Note("auth.setup", found.user))
    return await logged_in(request, context, found)


@router.post("/auth/login/")
async def log_in(request: Request, context: Services) -> Response:
    check_origin(context, request)
    sent = await json_object(request)
    name, password, code = (text(sent, field) for field in ("name", "password", "code"))
    address, client = caller_address(request), request.headers.get("user-agent", "")
    note(request, Note("auth.login", name=name))
    try:
        found = await run_in_threadpool(context.accounts.log_in, name, password, address, code, client)
    except CodeNeeded:
        note(request, Note("auth.login.code_asked", name=name))
        return Json({"second_factor": True})
    note(request, Note("auth.login", found.user))
    return await logged_in(request, context, found)


async def logged_in(request: Request, context: Context, found: LoggedIn) -> Response:
    answer = Json({})
    token = set_session(context, request, answer, found.session_token)
    place = await run_in_threadpool(context.fleet.keys.identify_person, found.user)
    shown = Views.user(place.person, place.account, place.member.role, place.organization)
    answer.body = answer.render({"user": shown, "csrf_token": token})
    answer.headers["content-length"] = str(len(answer.body))
    return answer


@router.post("/auth/logout/")
async def log_out(request: Request, context: Services, caller: User_) -> Response:
    session = request.cookies.get(SESSION_COOKIE)
    if caller.by_cookie and session:
        await run_in_threadpool(context.accounts.log_out, session)
        context.hub.revoke(caller.credential, "logged out")
    answer = empty(204)
    clear_session(answer)
    return answer


@router.get("/users/me/")
async def me(caller: User_) -> Response:
    return Json(_me(caller))


@router.patch("/users/me/")
async def change_me(request: Request, context: Services, caller: User_) -> Response:
    changes = await json_object(request)
    await run_in_threadpool(context.accounts.change, caller.person, caller.user, changes, _me(caller))
    return Json(_me(await identify(request)))


@router.get("/api_keys/")
async def api_keys(context: Services, caller: User_) -> Response:
    keys = await run_in_threadpool(context.accounts.api_keys, caller.person)
    return Json([Views.api_key(key) for key in keys])


@router.post("/api_keys/")
async def create_api_key(request: Request, context: Services, caller: User_) -> Response:
    wanted = await json_object(request)
    scopes, expires_at = _scopes(wanted.get("scopes")), _time(wanted.get("expires_at"))
    if any(not caller.key_may(scope) for scope in scopes):
        raise Forbidden("A key cannot make one that may do more than itself.")
    key, secret = await run_in_threadpool(
        context.accounts.create_api_key, caller.person, text(wanted, "name"), scopes, expires_at
    )
    told = Note(
        "api_keys.create", caller.person, via=caller.via, subject=f"api_keys {key.id}", account_id=caller.user.id
    )  # fmt: skip
    note(request, told)
    return Json({**Views.api_key(key), "key": secret}, status_code=201)


def _scopes(value: object) -> Scopes:
    if value is None:
        return ALL_SCOPES
    words = value.split() if isinstance(value, str) else value
    known = {scope.value for scope in Scope}
    if not isinstance(words, list) or not all(isinstance(word, str) and word in known for word in words):
        raise Invalid.field("scopes", f"A list of {', '.join(scope.value for scope in Scope)} is needed.")
    return tuple(scope for scope in Scope if scope.value in words)


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    except ValueError:
        raise Invalid.field("expires_at", "A time such as 2027-01-31T00:00:00Z is needed.") from None
    try:
        return found.replace(tzinfo=timezone.utc) if found.tzinfo is None else found.astimezone(timezone.utc)
    except OverflowError:
        raise Invalid.field("expires_at", "This is no time that a calendar has.") from None


@router.delete("/api_keys/{key_id}/")
async def revoke_api_key(key_id: Id, context: Services, caller: User_) -> Response:
    key = await run_in_threadpool(context.accounts.revoke_api_key, caller.person, key_id)
    context.hub.revoke(key.key_hash, "the API key was deleted")
    return empty(204)
