"""The invited person's side of an invitation."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from reference_server.api.schemas import examples
from reference_server.api.schemas.objects import Error, LoggedIn, Object, Said, Time
from reference_server.api.schemas.parts import Answer, Body, Call
from reference_server.services.accounts import NAME_LIMIT
from reference_server.services.fleet.invitations import GONE
from reference_server.services.fleet.model import Role
from reference_server.services.passwords import LONGEST, SHORTEST

_TOKEN = "9f" * 32
_GONE = Answer("The invitation is not good (any more), or the request came from another site.", Error, {"detail": GONE})
_COOKIES = {"Set-Cookie": "`tsd_sessionid` (HttpOnly) and `tsd_csrftoken`."}


class Invited(Said):
    token: str
    """What the link carries after its `#`."""


class Accepted(Invited):
    name: Annotated[str, Field(min_length=1, max_length=NAME_LIMIT)]
    password: Annotated[str, Field(min_length=SHORTEST, max_length=LONGEST)]


class Asked(Object):
    organization: str
    inviter: str
    """Who invites; empty if he is gone."""
    email: str
    role: Role
    expires_at: Time
    known: bool
    """Somebody with that e-mail address has a log-in here already."""


class Joined(Object):
    organization: str


CALLS = {
    "POST /api/v1/auth/invitation/": Call(
        "Look at an invitation",
        {
            200: Answer("Who invites, to what, as what.", Asked, {
                "organization": "Print shop", "inviter": "ada", "email": "eve@example.org", "role": "operator",
                "expires_at": examples.PRINTER["created_at"], "known": False,
            }),
            403: _GONE,
        },
        body=Body(Invited, {"token": _TOKEN}),
        throttled=True,
    ),
    "POST /api/v1/auth/invitation/accept/": Call(
        "Accept an invitation as a new user",
        {
            200: Answer("Logged in.", LoggedIn, {"user": examples.USER, "csrf_token": _TOKEN}, headers=_COOKIES),
            403: _GONE,
            409: Answer("The name or the e-mail address is taken.", Error,
                        {"detail": "A user with that name or e-mail address exists already."}),
        },
        body=Body(Accepted, {"token": _TOKEN, "name": "eve", "password": "a long password"}),
        throttled=True,
    ),
    "POST /api/v1/auth/invitation/join/": Call(
        "Accept an invitation as the user who is logged in",
        {
            200: Answer("A member.", Joined, {"organization": "Print shop"}),
            403: _GONE,
            409: Answer("The user's own organization has printers or other people.", Error,
                        {"detail": "Your own organization has printers: delete them first."}),
        },
        body=Body(Invited, {"token": _TOKEN}),
        throttled=True,
    ),
}  # fmt: skip
