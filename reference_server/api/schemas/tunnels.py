"""Printers' own web interfaces."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from reference_server.api.schemas import examples
from reference_server.api.schemas.objects import Change, Error, Object, Time, Url
from reference_server.api.schemas.parts import Answer, Body, Call

_AT = "2026-11-20T17:58:39.159942Z"


class TunnelKey(Object):
    """A name and password that open one printer's web interface, for a program."""

    id: int
    name: str
    login: str
    created_at: Time
    last_used_at: Time | None
    """To the hour."""


class NewTunnelKey(TunnelKey):
    password: str
    """Shown this once."""
    url: Url
    """Where the web interface is: give it to the program with `login` and `password` (basic authentication)."""


class WebInterface(Object):
    available: bool
    reason: str | None
    """Why it cannot be opened now."""
    keys: list[TunnelKey]


class Opened(Object):
    url: Url
    """Lets its first visitor in, within a minute; for a browser."""


class TunnelKeyOrder(Change):
    name: Annotated[str, Field(description="A long one is cut.")] = ""


_KEY: dict[str, Any] = {
    "id": 1, "name": "OctoApp", "login": "printer1-4f2a9c01", "created_at": _AT, "last_used_at": None,
}  # fmt: skip
_NO_PRINTER = Answer("There is no such printer.", Error, examples.ERROR)
_NOT_NOW = Answer("It cannot be opened now.", Error, {"detail": "The printer is offline."})

CALLS = {
    "GET /api/v1/printers/{printer_id}/tunnel/": Call(
        "The printer's own web interface",
        {200: Answer("Whether it can be opened.", WebInterface, {"available": True, "reason": None, "keys": [_KEY]})},
    ),
    "POST /api/v1/printers/{printer_id}/tunnel/": Call(
        "Open the printer's own web interface",
        {200: Answer("Where.", Opened, {"url": "http://192.168.1.20:3340/.obico/enter#5e5e"}), 409: _NOT_NOW},
        "Sessions only.",
    ),
    "POST /api/v1/printers/{printer_id}/tunnel_keys/": Call(
        "Let a program open the printer's own web interface",
        {
            201: Answer(
                "The key.", NewTunnelKey, {**_KEY, "password": "5e" * 16, "url": "http://192.168.1.20:3340"}
            ),
            409: Answer("There are too many, or no place.", Error, examples.ERROR),
        },
        body=Body(TunnelKeyOrder, {"name": "OctoApp"}, required=False),
    ),
    "DELETE /api/v1/printers/{printer_id}/tunnel_keys/{key_id}/": Call(
        "Let that program in no more", {204: Answer("Done.")}
    ),
}  # fmt: skip
