"""Password, second factor, sessions, audit log."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from reference_server.api.schemas import examples
from reference_server.api.schemas.objects import Change, Error, Object, Time
from reference_server.api.schemas.parts import Answer, Body, Call
from reference_server.services.passwords import LONGEST, SHORTEST

_AT = examples.PRINTER["created_at"]
_CODES = ["2kqa-vv3e-7r6l-xw4c"]


class Password(Change):
    password: str
    """The user's own: a borrowed browser is not enough."""


class PasswordChange(Change):
    old_password: str
    new_password: Annotated[str, Field(min_length=SHORTEST, max_length=LONGEST)]


class FactorCode(Change):
    code: str
    """Six digits."""


class Session(Object):
    id: str
    created_at: Time
    refreshed_at: Time
    """Used since, to the day."""
    expires_at: Time
    address: str
    """Where the log-in came from."""
    client: str
    """What the browser calls itself."""
    current: bool
    """The one that asks."""


class SecondFactor(Object):
    enabled: bool
    confirmed_at: Time | None
    recovery_codes_left: int


class Enrolment(Object):
    secret: str
    """Base32, to type in."""
    uri: str
    """`otpauth://totp/…`."""
    qr_svg: str
    """The same as a drawing."""


class RecoveryCodes(Object):
    recovery_codes: list[str]
    """Each works once in a code's place. Shown this once."""


class AuditEntry(Object):
    id: int
    at: Time
    user: int | None
    user_name: str
    """As it was then; of a failed log-in: as it was typed."""
    via: str
    """`web`, `key <name>`, `agent` or `command line`."""
    address: str
    action: str
    subject: str
    """What it was done to, such as `printers 3`."""
    ok: bool
    """False: it was refused."""


_SESSION = {
    "id": "9f86d081884c7d65", "created_at": _AT, "refreshed_at": _AT, "expires_at": _AT, "address": "192.168.1.20",
    "client": "Mozilla/5.0", "current": True,
}  # fmt: skip
_ENTRY = {
    "id": 7, "at": _AT, "user": 1, "user_name": "ada", "via": "web", "address": "192.168.1.20",
    "action": "printers.pause_print", "subject": "printers 1", "ok": True,
}  # fmt: skip
_NONE = Answer("There is no second factor.", Error, {"detail": "There is no second factor."})

CALLS = {
    "POST /api/v1/auth/password/": Call(
        "Change the password",
        {204: Answer("Changed; every other session has ended, API keys stay.")},
        body=Body(PasswordChange, {"old_password": "a long password", "new_password": "another long password"}),
        throttled=True,
    ),
    "GET /api/v1/auth/sessions/": Call(
        "Sessions", {200: Answer("The open ones, the one used last first.", list[Session], [_SESSION])}
    ),
    "DELETE /api/v1/auth/sessions/{session_id}/": Call("End a session", {204: Answer("Ended, with its sockets.")}),
    "POST /api/v1/auth/logout_everywhere/": Call("Log out everywhere", {204: Answer("Every session has ended.")}),
    "GET /api/v1/auth/second_factor/": Call(
        "The second factor",
        {200: Answer("Whether there is one.", SecondFactor,
                     {"enabled": True, "confirmed_at": _AT, "recovery_codes_left": 10})},
    ),
    "POST /api/v1/auth/second_factor/": Call(
        "Begin a second factor",
        {
            200: Answer("The secret, shown this once; in force once a code was confirmed.", Enrolment,
                        {"secret": "JBSWY3DPEHPK3PXP", "uri": "otpauth://totp/Obico:ada?secret=JBSWY3DPEHPK3PXP",
                         "qr_svg": "<svg>…</svg>"}),
            409: Answer("One is in force.", Error, {"detail": "A second factor is in force already."}),
        },
        body=Body(Password, {"password": "a long password"}),
        throttled=True,
    ),
    "POST /api/v1/auth/second_factor/confirm/": Call(
        "Confirm the second factor",
        {
            200: Answer("In force from now on.", RecoveryCodes, {"recovery_codes": _CODES}),
            409: Answer("There is none to confirm.", Error, {"detail": "There is no second factor to confirm."}),
        },
        body=Body(FactorCode, {"code": "042137"}),
        throttled=True,
    ),
    "POST /api/v1/auth/second_factor/recovery_codes/": Call(
        "New recovery codes",
        {200: Answer("The old ones are void.", RecoveryCodes, {"recovery_codes": _CODES}), 409: _NONE},
        body=Body(Password, {"password": "a long password"}),
        throttled=True,
    ),
    "DELETE /api/v1/auth/second_factor/": Call(
        "Switch the second factor off",
        {204: Answer("Off.")},
        body=Body(Password, {"password": "a long password"}),
        throttled=True,
    ),
    "GET /api/v1/audit/": Call(
        "The audit log (owner only)",
        {200: Answer("Newest first.", list[AuditEntry], [_ENTRY],
                     headers={"X-Total-Count": "How many there are in all."})},
    ),
}  # fmt: skip
