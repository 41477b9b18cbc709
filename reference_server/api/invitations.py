"""The invited person's side of an invitation (docs/people.md).

The link carries its token in the fragment, which is never sent; the page sends it in a body: it is in no log.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.accounts import logged_in
from reference_server.api.audit import Note, note
from reference_server.api.auth import Services, User_, check_origin
from reference_server.api.bodies import json_object, text
from reference_server.api.context import caller_address
from reference_server.api.obico.views import time
from reference_server.api.pages import page
from reference_server.api.responses import Json
from reference_server.services.errors import Forbidden
from reference_server.services.fleet.model import Organization

router = APIRouter(tags=["accounts"])


@router.get("/invitation", include_in_schema=False)
async def invitation_page() -> Response:
    return await run_in_threadpool(page, "invitation.html")


@router.post("/api/v1/auth/invitation/")
async def look(request: Request, context: Services) -> Response:
    """Who invites, to what, as what. `known`: somebody with that e-mail address has a log-in here already."""
    check_origin(context, request)
    token = text(await json_object(request), "token")
    asked = await run_in_threadpool(context.fleet.invitations.look, token, caller_address(request))
    return Json({
        "organization": asked.organization.name, "inviter": asked.inviter, "email": asked.invitation.email,
        "role": asked.invitation.role.value, "expires_at": time(asked.invitation.expires_at), "known": asked.known,
    })  # fmt: skip


@router.post("/api/v1/auth/invitation/accept/")
async def accept(request: Request, context: Services) -> Response:
    """As a new user, who is logged in then."""
    check_origin(context, request)
    body = await json_object(request)
    token, name, password = (text(body, field) for field in ("token", "name", "password"))
    address, client = caller_address(request), request.headers.get("user-agent", "")
    note(request, Note("invitation.accept", name=name))
    user, organization = await run_in_threadpool(context.fleet.invitations.accept, token, name, password, address)
    note(request, Note("invitation.accept", user, account_id=organization.user_id))
    found = await run_in_threadpool(context.accounts.open_session, user, address, client)
    return await logged_in(request, context, found)


@router.post("/api/v1/auth/invitation/join/")
async def join(request: Request, context: Services, caller: User_) -> Response:
    """As the user who is logged in; his own organization, which must have no printers, goes."""
    if not caller.by_cookie:
        raise Forbidden("Only a person who is logged in can agree to that.")
    token = text(await json_object(request), "token")
    found = await run_in_threadpool(context.fleet.invitations.join, caller.person, token, caller_address(request))
    note(request, Note("invitation.join", caller.person, account_id=found.user_id))
    for credential in await run_in_threadpool(context.accounts.credentials_of, caller.person):
        context.hub.revoke(credential, "joined another organization")
    return Json(_joined(found))


def _joined(organization: Organization) -> dict[str, Any]:
    return {"organization": organization.name}
