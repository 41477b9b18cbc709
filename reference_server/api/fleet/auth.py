"""Who is asking `/v1`: a key (Bearer, or Basic with the key as name), or a dashboard's session with CSRF protection.

Every call of a key or session passes `authenticate` once: identity, rate limit, and what the audit log will say.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.params import Depends as Dependency
from starlette.concurrency import run_in_threadpool

from reference_server.api.audit import Note, note
from reference_server.api.auth import CSRF_COOKIE, CSRF_HEADER, SESSION_COOKIE, check_origin, csrf_token
from reference_server.api.context import Context, context_of
from reference_server.services.errors import Forbidden, Throttled, Unauthenticated
from reference_server.services.fleet.errors import ScopeMissing
from reference_server.services.fleet.keys import PREFIX, Identity
from reference_server.services.fleet.rate import RateState
from reference_server.services.secrets import sha256

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_VERBS = {"POST": "create", "PATCH": "change", "PUT": "change", "DELETE": "delete"}
_LONGEST = 200  # characters of a credential worth hashing
_NONE = "No API key was given: send `Authorization: Bearer <key>`."


@dataclass(frozen=True, slots=True)
class FleetCaller:
    """`credential`: the hash of key or session, which rate limit and idempotency keys belong to."""

    identity: Identity
    credential: str
    rate: RateState

    @property
    def by_session(self) -> bool:
        return self.identity.key is None

    @property
    def initiator(self) -> str:
        """Who a command comes from, in the protocol's words (wire-protocol.md §3.5)."""
        return "web" if self.by_session else "api"


def _key_of(request: Request) -> str | None:
    keyword, _, value = request.headers.get("authorization", "").partition(" ")
    value = value.strip()[: 2 * _LONGEST]
    if keyword.lower() == "bearer" and value:
        return value[:_LONGEST]
    if keyword.lower() == "basic" and value:
        try:
            return base64.b64decode(value, validate=True).decode("utf-8").partition(":")[0][:_LONGEST]
        except (binascii.Error, UnicodeDecodeError):
            raise Unauthenticated("Basic authentication takes the key as user name.") from None
    return None


async def _identify(request: Request, context: Context) -> tuple[Identity, str]:
    key = _key_of(request)
    if key is not None:
        if not key.startswith(PREFIX):
            raise Unauthenticated(f"This is no key of the fleet API: those begin with {PREFIX}.")
        return await run_in_threadpool(context.fleet.keys.identify, key), sha256(key)
    session = request.cookies.get(SESSION_COOKIE, "")[:_LONGEST]
    if not session:
        raise Unauthenticated(_NONE)
    user, prolonged = await run_in_threadpool(context.accounts.user_of_session, session)
    if prolonged:
        request.state.prolonged_session = session
    if request.method not in _SAFE:
        check_origin(context, request)
        sent = request.headers.get(CSRF_HEADER, "")
        if not hmac.compare_digest(sent.encode("utf-8", "replace"), csrf_token(context, session).encode()):
            raise Forbidden(f"The header X-CSRFToken must carry the value of the cookie {CSRF_COOKIE}.")
    return await run_in_threadpool(context.fleet.keys.identify_person, user), sha256(session)


async def authenticate(request: Request) -> FleetCaller:
    """The caller, found out once a request. Raises Unauthenticated, Forbidden, Throttled."""
    known: FleetCaller | None = getattr(request.state, "fleet_caller", None)
    if known is not None:
        return known
    context = context_of(request)
    identity, credential = await _identify(request, context)
    limits = context.fleet.key_limits if identity.key is not None else context.fleet.session_limits
    caller = FleetCaller(identity, credential, limits.take(credential))
    request.state.fleet_caller = caller
    _prepare_audit(request, caller)
    if caller.rate.retry_after:
        raise Throttled(caller.rate.retry_after)
    return caller


def _prepare_audit(request: Request, caller: FleetCaller) -> None:
    """What the audit log will say of a change, unless the endpoint says it better (api/audit.py)."""
    if request.method in _SAFE:
        return
    parts = request.scope["path"].removeprefix(request.scope.get("root_path", "")).strip("/").split("/")
    verb = _VERBS.get(request.method, request.method.lower())
    words = [part for part in parts if "_" not in part]
    action = ".".join(["v1", *words] if request.method == "POST" and len(parts) > 1 else ["v1", *words, verb])
    subject = next((part for part in parts if "_" in part), "")
    identity = caller.identity
    via = f"key {identity.key.name}" if identity.key else "web"
    note(request, Note(action, identity.person, via=via, subject=subject, account_id=identity.account.id))


def needs(scope: str | None) -> Callable[[Request], Coroutine[Any, Any, FleetCaller]]:
    """A dependency: the caller, who has that scope (None: anybody known)."""

    async def check(request: Request) -> FleetCaller:
        caller = await authenticate(request)
        if scope is not None and not caller.identity.may(scope):
            if caller.by_session:
                role = caller.identity.member.role.value
                raise ScopeMissing(scope, f"Your role, {role}, does not include {scope}.")
            raise ScopeMissing(scope, f"This API key lacks the scope {scope}.")
        return caller

    check.scope = scope  # type: ignore[attr-defined] # read by the OpenAPI document
    return check


def scope_of(dependency: object) -> str | None:
    """The scope that a dependency made by `needs` asks for; "" if it is another one."""
    found: str | None = getattr(dependency, "scope", "")
    return found


def _caller(scope: str | None) -> Dependency:
    return Depends(needs(scope))  # type: ignore[no-any-return] # typed as Any, so that it may stand as a default


Anybody = Annotated[FleetCaller, _caller(None)]
PrintersRead = Annotated[FleetCaller, _caller("printers:read")]
PrintersWrite = Annotated[FleetCaller, _caller("printers:write")]
PrintersControl = Annotated[FleetCaller, _caller("printers:control")]
JobsRead = Annotated[FleetCaller, _caller("jobs:read")]
JobsWrite = Annotated[FleetCaller, _caller("jobs:write")]
MaterialsRead = Annotated[FleetCaller, _caller("materials:read")]
MaterialsWrite = Annotated[FleetCaller, _caller("materials:write")]
AnalyticsRead = Annotated[FleetCaller, _caller("analytics:read")]
WebhooksWrite = Annotated[FleetCaller, _caller("webhooks:write")]
OrganizationWrite = Annotated[FleetCaller, _caller("organization:write")]
UsersWrite = Annotated[FleetCaller, _caller("users:write")]
Admin = Annotated[FleetCaller, _caller("admin:*")]
"""A route's parameter of such a type lets only callers with that scope in."""
