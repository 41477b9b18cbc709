"""Who is asking? Session cookie, API key, or a printer's token. CSRF rules for cookies (docs/decisions-server.md)."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Path, Request
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import Response

from reference_server.api.context import Context, context_of
from reference_server.api.scopes import ROLE_OF_SCOPE, role_for, scope_for
from reference_server.services.errors import Forbidden, ServiceError, Unauthenticated
from reference_server.services.fleet.keys import Identity
from reference_server.services.fleet.model import Organization, Role
from reference_server.services.model import ApiKey, PrinterRecord, Scope, User
from reference_server.services.secrets import sha256

SESSION_COOKIE = "tsd_sessionid"
CSRF_COOKIE = "tsd_csrftoken"
CSRF_HEADER = "x-csrftoken"
SESSION_SECONDS = 60 * 24 * 3600

_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
FOREIGN = (
    "This request came from another site. Behind a reverse proxy, let it pass the Host header on, or start the server "
    "with --public-url."
)

_LONGEST = 200  # characters of a credential worth hashing


@dataclass(frozen=True, slots=True)
class Caller:
    """A logged-in person (`by_cookie`) or a program with a key; `credential`: the hash of session or key.

    `user`: the account whose printers, prints and files are seen: the organization's. `person`: who it is; password,
    sessions, second factor and keys are the person's own, and the audit log names the person.
    """

    user: User
    person: User
    role: Role
    organization: Organization
    by_cookie: bool
    credential: str
    key: ApiKey | None = None

    def may(self, scope: Scope) -> bool:
        """What key and role both allow."""
        return self.key_may(scope) and self.role.rank >= ROLE_OF_SCOPE[scope].rank

    def key_may(self, scope: Scope) -> bool:
        return self.key is None or scope in self.key.scopes

    @property
    def via(self) -> str:
        """For the audit log."""
        return "web" if self.key is None else f"key {self.key.name}"

    @property
    def initiator(self) -> str:
        """Who a command comes from, in the protocol's words (§3.5)."""
        return "web" if self.by_cookie else "api"


class AgentRefused(ServiceError):
    """An agent's token is missing or wrong; the body is exactly the public server's (§1)."""

    def __init__(self, body: dict[str, str]) -> None:
        super().__init__("agent refused")
        self.body = body


def csrf_token(context: Context, session_token: str) -> str:
    """Tied to the session: nothing to store, and useless with any other."""
    return hmac.new(context.csrf_key, session_token.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def set_session(context: Context, connection: HTTPConnection, response: Response, session_token: str) -> str:
    """Set both cookies; the CSRF token."""
    token = csrf_token(context, session_token)
    secure = context.base(connection).startswith("https:")
    response.set_cookie(
        SESSION_COOKIE, session_token, max_age=SESSION_SECONDS, httponly=True, samesite="lax", secure=secure
    )
    response.set_cookie(CSRF_COOKIE, token, max_age=SESSION_SECONDS, samesite="lax", secure=secure)
    return token


def clear_session(response: Response) -> None:
    response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax")
    response.delete_cookie(CSRF_COOKIE, samesite="lax")


def check_origin(context: Context, connection: HTTPConnection) -> None:
    """A browser says where a request comes from: it must be this server. Raises Forbidden."""
    site = connection.headers.get("sec-fetch-site")
    if site is not None and site not in {"same-origin", "none"}:
        raise Forbidden(FOREIGN)
    origin = connection.headers.get("origin")
    if origin is None:
        return
    host = urlsplit(origin).netloc.lower()
    allowed = {connection.headers.get("host", "").lower(), urlsplit(context.base(connection)).netloc.lower()}
    if not host or host not in allowed:
        raise Forbidden(FOREIGN)


def _key_of(connection: HTTPConnection) -> str | None:
    keyword, _, value = connection.headers.get("authorization", "").partition(" ")
    if keyword.lower() == "bearer" and value.strip():
        return value.strip()[:_LONGEST]
    return connection.headers.get("x-api-key", "").strip()[:_LONGEST] or None


async def identify(connection: HTTPConnection) -> Caller:
    """Raises Unauthenticated."""
    context = context_of(connection)
    if (key := _key_of(connection)) is not None:
        return await run_in_threadpool(_by_key, context, key)
    session = connection.cookies.get(SESSION_COOKIE)
    if not session:
        raise Unauthenticated("Authentication credentials were not provided.")
    caller, prolonged = await run_in_threadpool(_by_session, context, session[:_LONGEST])
    if prolonged:
        connection.state.prolonged_session = session
    return caller


def _by_key(context: Context, key: str) -> Caller:
    person, found = context.accounts.user_of_key(key)
    return _caller_of(context.fleet.keys.identify_person(person), False, sha256(key), found)


def _by_session(context: Context, session: str) -> tuple[Caller, bool]:
    person, prolonged = context.accounts.user_of_session(session)
    return _caller_of(context.fleet.keys.identify_person(person), True, sha256(session)), prolonged


def _caller_of(found: Identity, by_cookie: bool, credential: str, key: ApiKey | None = None) -> Caller:
    return Caller(
        found.account, found.person, found.member.role, found.organization, by_cookie, credential, key
    )  # fmt: skip


async def _caller(request: Request) -> Caller:
    caller = await identify(request)
    request.state.caller = caller  # for the audit log
    needed = scope_for(request.method, request.scope["path"])
    if not caller.key_may(needed):
        raise Forbidden(f"This API key lacks the scope {needed.value}.")
    lowest = role_for(request.method, request.scope["path"])
    if caller.role.rank < lowest.rank:
        raise Forbidden(f"Your role, {caller.role.value}, does not allow that: it needs the role {lowest.value}.")
    if caller.by_cookie and request.method not in _SAFE:
        context = context_of(request)
        check_origin(context, request)
        sent = request.headers.get(CSRF_HEADER, "")
        expected = csrf_token(context, request.cookies.get(SESSION_COOKIE, ""))
        if not hmac.compare_digest(sent.encode("utf-8", "replace"), expected.encode()):
            raise Forbidden(f"The header X-CSRFToken must carry the value of the cookie {CSRF_COOKIE}.")
    return caller


User_ = Annotated[Caller, Depends(_caller)]
"""A route parameter of this type lets only users in."""


async def _agent(request: Request) -> PrinterRecord:
    keyword, _, value = request.headers.get("authorization", "").partition(" ")
    if keyword.lower() not in {"token", "bearer"} or not value.strip():
        raise AgentRefused({"detail": "Authentication credentials were not provided."})
    record = await run_in_threadpool(context_of(request).printers.by_token, value.strip()[:_LONGEST])
    if record is None:
        raise AgentRefused({"error": "Invalid or Inactive Token", "is_authenticated": "False"})
    return record


Agent = Annotated[PrinterRecord, Depends(_agent)]
"""A route parameter of this type lets only agents in."""

Services = Annotated[Context, Depends(context_of)]

Id = Annotated[int, Path(ge=1, le=2**53)]
"""An id in a path; what cannot be one is answered 404."""


def is_user_dependency(call: object) -> bool:
    return call is _caller


def is_agent_dependency(call: object) -> bool:
    return call is _agent
