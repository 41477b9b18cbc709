"""How we are registered at Moonraker, as an agent that others may call (`server.extensions.request`)."""

from __future__ import annotations

from typing import Any

from moonraker_obico.jsonrpc import Request, answer_frame
from moonraker_obico.moonraker_socket import Address

CLIENT_NAME = "moonraker-obico"
LINK = "link"
"""The one method: remote_link.py."""

LINKED_ALREADY = "this printer is linked to a server already; on its host, `moonraker-obico unlink` ends that"
_UNKNOWN = "this agent knows no such method"


def identity(address: Address, version: str) -> dict[str, Any]:
    """What `server.connection.identify` is told."""
    found: dict[str, Any] = {
        "client_name": CLIENT_NAME,
        "version": version,
        "type": "agent",
        "url": "https://www.obico.io",
    }
    if address.api_key is not None:
        found["api_key"] = address.api_key.reveal()
    return found


def refusal(request: Request, why: str) -> str:
    """The frame that answers a call which is not carried out; as a result, for Moonraker keeps an agent's errors to
    itself."""
    return answer_frame(request.id, {"linked": False, "error": why if request.method == LINK else _UNKNOWN})
