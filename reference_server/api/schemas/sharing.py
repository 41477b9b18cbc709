"""Shared printers, discovery of agents, programs that ask for a key."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from reference_server.api.schemas import examples
from reference_server.api.schemas.objects import Change, Error, Object, Said, Time
from reference_server.api.schemas.parts import Answer, Body, Call
from reference_server.services.discovery import DEVICE_ID
from reference_server.services.model import Scope

_AT = "2026-11-20T17:58:39.159942Z"
_DEVICE_ID = "9f" * 16


class SharedResource(Object):
    """Whoever has the token may look at the printer."""

    id: int
    printer_id: int
    share_token: str
    created_at: Time
    socket_url: str
    """The web socket that shows the printer: `{name, pic, settings}` at each change."""


class ShareOrder(Change):
    printer_id: Annotated[int, Field(ge=1, le=2**53)] = 0
    """May be in the query instead."""


class DeviceInfo(Object):
    """What an agent says of itself while it waits to be linked."""

    device_id: str
    hostname: str
    host_or_ip: str
    port: int | None
    os: str
    arch: str
    rpi_model: str
    octopi_version: str
    printerprofile: str
    machine_type: str
    plugin_version: str
    agent: str
    meta: dict[str, str]


class HandOver(Said):
    code: Annotated[str, Field(min_length=1, max_length=200)]
    device_id: Annotated[str, Field(min_length=DEVICE_ID, max_length=DEVICE_ID)]
    device_secret: Annotated[str, Field(min_length=1, max_length=200)]
    """Read from the agent itself, in the local network."""


class Queued(Object):
    queued: bool


class Claimed(Object):
    detail: str


class AskedFor(Object):
    """What a program asks for."""

    client_id: str
    name: str
    redirect_uri: str | None
    """null: it takes the key from the page."""
    scopes: list[Scope]
    user: str


class Grant(Object):
    access_token: str
    """An API key, shown this once."""
    token_type: str
    redirect_to: str | None
    """Where to send the browser; the key is in the fragment."""


class OAuthProgram(Object):
    id: int | None
    """null: built in."""
    client_id: str
    name: str
    redirect_uris: list[str]
    created_at: Time | None


_SHARE: dict[str, Any] = {
    "id": 1, "printer_id": 1, "share_token": "9f" * 18, "created_at": _AT,
    "socket_url": f"ws://127.0.0.1:3334/ws/share_token/web/{'9f' * 18}/",
}  # fmt: skip
_DEVICE: dict[str, Any] = {
    "device_id": _DEVICE_ID, "hostname": "octopi", "host_or_ip": "192.168.1.50", "port": 80, "os": "linux",
    "arch": "aarch64", "rpi_model": "Raspberry Pi 4", "octopi_version": "", "printerprofile": "Unknown",
    "machine_type": "Klipper", "plugin_version": "3.0.0", "agent": "moonraker_obico", "meta": {},
}  # fmt: skip
_PROGRAM: dict[str, Any] = {
    "id": 1, "client_id": "my-slicer", "name": "My slicer", "redirect_uris": ["http://127.0.0.1/callback"],
    "created_at": _AT,
}  # fmt: skip
_NO_PRINTER = Answer("There is no such printer.", Error, examples.ERROR)
_NO_CODE = Answer("The code is not valid, or nobody is there.", Error, {"detail": "Not Found"})

CALLS = {
    "GET /api/v1/sharedresources/": Call(
        "Shares of printers", {200: Answer("The shares.", list[SharedResource], [_SHARE]), 404: _NO_PRINTER}
    ),
    "POST /api/v1/sharedresources/": Call(
        "Share a printer",
        {200: Answer("The share, as a list of one.", list[SharedResource], [_SHARE]), 404: _NO_PRINTER},
        body=Body(ShareOrder, {"printer_id": 1}, required=False),
    ),
    "DELETE /api/v1/sharedresources/{share_id}/": Call(
        "Share no more", {204: Answer("Whoever looks is let go.")}
    ),
    "GET /api/v1/printer_discovery/": Call(
        "Agents in the caller's network that wait to be linked",
        {200: Answer("What they say; none if there are too many.", list[DeviceInfo], [_DEVICE])},
    ),
    "POST /api/v1/printer_discovery/": Call(
        "Give an agent a linking code",
        {200: Answer("It fetches the code with its next announcement.", Queued, {"queued": True}), 404: _NO_CODE},
        body=Body(HandOver, {"code": "042137", "device_id": _DEVICE_ID, "device_secret": "ab" * 32}),
    ),
    "POST /api/v1/one_time_passcodes/": Call(
        "Claim the agent that shows a passcode",
        {200: Answer("The agent is given the code.", Claimed, {"detail": "OK"}), 404: _NO_CODE},
        throttled=True,
    ),
    "GET /api/v1/oauth/request/": Call(
        "What a program asks for", {200: Answer("The question.", AskedFor, {
            "client_id": "OrcaSlicer", "name": "OrcaSlicer", "redirect_uri": None,
            "scopes": ["read", "write", "control"], "user": "ada",
        })},
    ),
    "POST /api/v1/oauth/grant/": Call(
        "Give a program a key",
        {
            200: Answer("The key.", Grant, {"access_token": "ors_…", "token_type": "Bearer", "redirect_to": None}),
            409: Answer("Too many keys.", Error, {"detail": "There are 50 keys already."}),
        },
    ),
    "GET /api/v1/oauth/clients/": Call(
        "Programs that may ask", {200: Answer("The programs.", list[OAuthProgram], [_PROGRAM])}
    ),
    "POST /api/v1/oauth/clients/": Call(
        "Let a program ask",
        {
            201: Answer("The program.", OAuthProgram, _PROGRAM),
            409: Answer("The id is taken.", Error, {"detail": "A program with that client_id is registered already."}),
        },
    ),
    "DELETE /api/v1/oauth/clients/{row_id}/": Call("Let a program ask no more", {204: Answer("Forgotten.")}),
}  # fmt: skip
