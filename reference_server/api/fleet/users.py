"""People: `/v1/users`, and invitations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server.api.auth import Services
from reference_server.api.fleet.auth import Anybody, UsersWrite
from reference_server.api.fleet.lists import List
from reference_server.api.fleet.route import FleetRoute, UnrepeatedRoute
from reference_server.api.fleet.schemas import Page
from reference_server.api.fleet.schemas_people import (
    InvitationGiven,
    InvitationShown,
    NewInvitationShown,
    UserChange,
    UserShown,
)
from reference_server.api.fleet.views import time
from reference_server.api.responses import Json, empty
from reference_server.services.alerts.message import Parcel
from reference_server.services.alerts.model import ChannelKind
from reference_server.services.fleet.model import Invitation, Member, Role
from reference_server.services.model import User

router = APIRouter(prefix="/users", tags=["users"], route_class=FleetRoute)

SORTABLE = ("name", "email", "created_at")


def _view(member: Member, user: User) -> dict[str, Any]:
    return {
        "id": member.public_id, "name": user.name, "email": user.email or None, "role": member.role.value,
        "created_at": time(member.created_at),
    }  # fmt: skip


@router.get("", response_model=Page[UserShown], summary="List people")
async def list_users(
    context: Services, caller: UsersWrite, paging: List, role: Annotated[Role | None, Query()] = None
) -> Response:
    """By the time they came, unless `sort` says otherwise."""
    window = paging.window(SORTABLE)
    found, total = await run_in_threadpool(context.fleet.people.list, caller.identity, window, role)
    return paging.answer([_view(*each) for each in found], total, UserShown.model_fields)


# --- invitations -----------------------------------------------------------------------------------------------------


def _invitation(invitation: Invitation, makers: Mapping[int, str]) -> dict[str, Any]:
    return {
        "id": invitation.public_id, "email": invitation.email, "role": invitation.role.value,
        "invited_by": makers.get(invitation.invited_by), "created_at": time(invitation.created_at),
        "expires_at": time(invitation.expires_at),
    }  # fmt: skip


async def _makers(context: Services, caller: UsersWrite) -> Mapping[int, str]:
    members = await run_in_threadpool(context.fleet.people.members, caller.identity)
    return {member.user_id: member.public_id for member in members}


async def invite(request: Request, context: Services, caller: UsersWrite, new: InvitationGiven) -> Response:
    """A link for one use, good for 7 days: mailed if the server can send mail, else `invite_url` in this answer only.
    A new invitation takes the place of an earlier one for the same address, so a repeat does no harm; an
    Idempotency-Key has no effect, since an answer that is kept would keep the link."""
    identity = caller.identity
    made, text = await run_in_threadpool(context.fleet.invitations.invite, identity, new.email, new.role)
    url = f"{context.base(request)}/invitation#{text}"
    mailed, trouble = False, None
    if context.courier.has_mail:
        receipt = await context.courier.carry(_mail(made, identity.person.name, identity.organization.name, url))
        mailed, trouble = receipt.ok, None if receipt.ok else receipt.detail
    shown = _invitation(made, await _makers(context, caller))
    return Json({**shown, "mailed": mailed, "mail_error": trouble, "invite_url": None if mailed else url}, 201)


router.add_api_route(
    "/invite", invite, methods=["POST"], status_code=201, response_model=NewInvitationShown, summary="Invite somebody",
    route_class_override=UnrepeatedRoute,
)  # fmt: skip


def _mail(invitation: Invitation, inviter: str, organization: str, url: str) -> Parcel:
    return Parcel(
        invitation.public_id, ChannelKind.EMAIL, invitation.email, "", False, f"Invitation to {organization}",
        f"{inviter} invites you to the printers of {organization}, as {invitation.role.value}. The link works once, "
        "within 7 days. If you do not know what this is about, ignore it.",
        url, "",
    )  # fmt: skip


@router.get("/invitations", response_model=Page[InvitationShown], summary="List open invitations")
async def list_invitations(context: Services, caller: UsersWrite, paging: List) -> Response:
    """The newest first."""
    window = paging.window(())
    found = await run_in_threadpool(context.fleet.invitations.list, caller.identity)
    makers = await _makers(context, caller)
    shown = [_invitation(each, makers) for each in found[window.start : window.start + window.limit]]
    return paging.answer(shown, len(found), InvitationShown.model_fields)


@router.delete("/invitations/{invitation_id}", status_code=204, summary="Take an invitation back")
async def revoke_invitation(invitation_id: str, context: Services, caller: UsersWrite) -> Response:
    await run_in_threadpool(context.fleet.invitations.revoke, caller.identity, invitation_id)
    return empty(204)


# --- one person ------------------------------------------------------------------------------------------------------


@router.get("/{user_id}", response_model=UserShown, summary="One person")
async def get_user(user_id: str, context: Services, caller: Anybody) -> Response:
    """`me`: whoever asks. Anybody but oneself: scope `users:write`."""
    return Json(_view(*await run_in_threadpool(context.fleet.people.get, caller.identity, user_id)))


@router.patch("/{user_id}", response_model=UserShown, summary="Change a person's role")
async def change_user(user_id: str, context: Services, caller: UsersWrite, change: UserChange) -> Response:
    """At once: what the person has open is closed and opens anew with the new role."""
    found = await run_in_threadpool(context.fleet.people.change, caller.identity, user_id, change.role)
    await _let_go(context, found[1], "the role was changed")
    return Json(_view(*found))


@router.delete("/{user_id}", status_code=204, summary="Remove a person from the organization")
async def remove_user(user_id: str, context: Services, caller: Anybody) -> Response:
    """Scope `users:write`; by log-in everybody may leave (`me`). The person's log-in stays, with an organization of its
    own and nothing in it; the person's keys end."""
    gone = await run_in_threadpool(context.fleet.people.remove, caller.identity, user_id)
    await _let_go(context, gone, "no member of the organization any more")
    return empty(204)


async def _let_go(context: Services, user: User, reason: str) -> None:
    """Web sockets and printers' web interfaces that are open."""
    for credential in await run_in_threadpool(context.accounts.credentials_of, user):
        context.hub.revoke(credential, reason)
