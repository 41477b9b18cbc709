"""Writes the audit log: every changing call of a user by itself, and what an endpoint notes besides.

The entry is stored before the answer goes out. Reading is not logged, nor is input that was merely wrong (400, 404).
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from reference_server.api.auth import Caller, Services, User_
from reference_server.api.context import caller_address, context_of
from reference_server.api.obico.parameters import Limit, Start
from reference_server.api.obico.views import time
from reference_server.api.responses import Json
from reference_server.services.audit import MOST_AT_ONCE, Audit, AuditEntry
from reference_server.services.errors import StoreFailed
from reference_server.services.model import User

router = APIRouter(prefix="/api/v1", tags=["accounts"])
log = logging.getLogger(__name__)

_VERBS = {"POST": "create", "PUT": "change", "PATCH": "change", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Note:
    """`ok` None: as the answer's status says."""

    action: str
    user: User | None = None
    name: str = ""
    via: str = "web"
    subject: str = ""
    ok: bool | None = None
    account_id: int | None = None  # None: the user's own


def note(connection: HTTPConnection, entry: Note) -> None:
    """Instead of what the call itself would say, if it would say anything."""
    connection.state.audit_note = entry


def action_and_subject(method: str, path: str) -> tuple[str, str]:
    """`POST /api/v1/printers/3/pause_print/` -> `printers.pause_print`, `printers 3`."""
    parts = [part for part in path.removeprefix("/api/v1").split("/") if part]
    words = [part for part in parts if not part.isdigit()]
    numbers = [part for part in parts if part.isdigit()]
    verb = _VERBS.get(method, method.lower())
    if method != "POST" or (len(words) == 1 and not numbers):
        words.append(verb)
    return ".".join(words)[:100], f"{parts[0] if parts else ''} {numbers[0]}".strip() if numbers else ""


def _of(scope: Scope) -> Note | None:
    state = scope.get("state", {})
    explicit: Note | None = state.get("audit_note")
    if explicit is not None:
        return explicit
    caller: Caller | None = state.get("caller")
    if caller is None or scope["method"] not in _VERBS:
        return None
    action, subject = action_and_subject(scope["method"], scope["path"])
    return Note(action, caller.person, via=caller.via, subject=subject, account_id=caller.user.id)


class AuditTrail:
    """Middleware, the innermost."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start" and (found := _of(scope)) is not None:
                await _store(HTTPConnection(scope), found, int(message["status"]))
            await send(message)

        await self._app(scope, receive, noted)


async def _store(connection: HTTPConnection, found: Note, status: int) -> None:
    if found.ok is None:
        if status >= 400 and status not in {401, 403, 429}:
            return
        found = replace(found, ok=status < 400)
    audit: Audit = context_of(connection).audit
    address = caller_address(connection)

    def write() -> None:
        audit.note(
            found.action, user=found.user, name=found.name, via=found.via, address=address, subject=found.subject,
            ok=bool(found.ok), account_id=found.account_id,
        )  # fmt: skip

    try:
        await run_in_threadpool(write)
    except StoreFailed as error:
        log.error("the audit log did not take an entry: %s", error)  # noqa: TRY400


def _shown(entry: AuditEntry) -> dict[str, object]:
    return {
        "id": entry.id, "at": time(entry.at), "user": entry.user_id, "user_name": entry.user_name, "via": entry.via,
        "address": entry.address, "action": entry.action, "subject": entry.subject, "ok": entry.ok,
    }  # fmt: skip


@router.get("/audit/")
async def audit_log(context: Services, caller: User_, start: Start = None, limit: Limit = None) -> Response:
    """The owner's: newest first, 100 if no `limit` is given; `X-Total-Count` says how many there are."""
    many = min(100 if limit is None else limit, MOST_AT_ONCE)
    found, total = await run_in_threadpool(context.audit.newest, caller.person, start or 0, many)
    return Json([_shown(entry) for entry in found], headers={"X-Total-Count": str(total)})
