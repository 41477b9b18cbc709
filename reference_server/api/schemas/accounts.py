"""First run, log-in, log-out, API keys."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from reference_server.api.schemas import examples
from reference_server.api.schemas.objects import (
    SOME_TEXT,
    ApiKey,
    AuthState,
    Change,
    Error,
    LoggedIn,
    NewApiKey,
    Object,
    Said,
    Time,
    User,
)
from reference_server.api.schemas.parts import Answer, Body, Call
from reference_server.services.accounts import EMAIL_LIMIT, NAME_LIMIT
from reference_server.services.model import Scope
from reference_server.services.passwords import LONGEST, SHORTEST

_TOKEN = "9f" * 32
_FOREIGN = Answer(
    "The request came from another site.", Error, {"detail": "This request came from another site."}
)  # fmt: skip
_LOGGED_IN = {"user": examples.USER, "csrf_token": _TOKEN}
_COOKIES = {"Set-Cookie": "`tsd_sessionid` (HttpOnly) and `tsd_csrftoken`."}


class Credentials(Said):
    name: str
    """Name or e-mail address."""
    password: str
    code: str | None = ""
    """Of the second factor, or a recovery code, where there is one."""


class CodeNeeded(Object):
    second_factor: Literal[True]


class FirstRun(Said):
    token: str
    """From the address that the server prints at its first start."""
    name: Annotated[str, Field(min_length=1, max_length=NAME_LIMIT)]
    password: Annotated[str, Field(min_length=SHORTEST, max_length=LONGEST)]
    email: str = ""


class KeyName(Said):
    name: Annotated[str, Field(pattern=SOME_TEXT)]
    """For the list; the program that will use it. Cut after 100 characters."""
    scopes: Annotated[list[Scope], Field(min_length=1)] | None = None
    """All of them if absent."""
    expires_at: Time | None = None


EMAIL = r"^$|^[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+$"


class UserChange(Change):
    """What may be changed. A whole User sent back is taken too: the rest must then be unchanged."""

    email: Annotated[str, Field(max_length=EMAIL_LIMIT, pattern=EMAIL)] = ""
    unseen_printer_events: Literal[0] = 0
    """They have been seen."""


CALLS = {
    "GET /api/v1/auth/state/": Call(
        "Who am I?",
        {200: Answer("What a page needs to know first.", AuthState,
                     {"setup_needed": False, "logged_in": True, "user": examples.USER})},
    ),
    "POST /api/v1/auth/setup/": Call(
        "First run: make the owner",
        {
            200: Answer("Logged in.", LoggedIn, _LOGGED_IN, headers=_COOKIES),
            403: Answer("The token is wrong, used or expired, or the request came from another site.", Error,
                        {"detail": "This link is not valid any more."}),
            409: Answer("There is an owner.", Error, {"detail": "There is an owner already."}),
        },
        body=Body(FirstRun, {"token": "from the link", "name": "ada", "password": "a long password"}),
        throttled=True,
    ),
    "POST /api/v1/auth/login/": Call(
        "Log in",
        {
            200: Answer("Logged in; or, without cookies, that a code is needed besides.", LoggedIn | CodeNeeded,
                        _LOGGED_IN, headers=_COOKIES),
            401: Answer("Wrong name or password.", Error, {"detail": "Wrong name or password."}),
            403: _FOREIGN,
        },
        body=Body(Credentials, {"name": "ada", "password": "a long password"}),
        throttled=True,
    ),
    "POST /api/v1/auth/logout/": Call("Log out", {204: Answer("Both cookies are cleared.")}),
    "GET /api/v1/users/me/": Call("The user", {200: Answer("The user.", User, examples.USER)}),
    "PATCH /api/v1/users/me/": Call(
        "Change the user",
        {
            200: Answer("The user.", User, examples.USER),
            409: Answer("The address is another user's.", Error,
                        {"detail": "A user with that e-mail address exists already."}),
        },
        body=Body(UserChange, {"unseen_printer_events": 0}, required=False),
    ),
    "GET /api/v1/api_keys/": Call(
        "API keys", {200: Answer("Without the keys themselves.", list[ApiKey], [examples.KEY])}
    ),
    "POST /api/v1/api_keys/": Call(
        "Make an API key",
        {
            201: Answer("The key, shown this once.", NewApiKey, {**examples.KEY, "key": "k" * 40}),
            409: Answer("There are too many.", Error,
                        {"detail": "There are 50 keys already. Delete one that is not in use."}),
        },
        body=Body(KeyName, {"name": "slicer", "scopes": ["read", "control"]}),
    ),
    "DELETE /api/v1/api_keys/{key_id}/": Call("Delete an API key", {204: Answer("Deleted; its sockets are closed.")}),
}  # fmt: skip
