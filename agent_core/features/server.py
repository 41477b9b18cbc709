"""Requests to the server's agent endpoints (wire-protocol.md §1, §4), and what its refusals mean to a person."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent_core.config import AgentConfig, Secret
from agent_core.errors import AgentError, AuthRefused, ServerTrouble, WrongPeer
from agent_core.ports import HttpResponse

LONGEST_WAIT = 3600.0
"""A server may ask for patience, but not for more than this many seconds."""

DEFAULT_WAIT = 60.0


def authorized(token: Secret, extra: tuple[tuple[str, str], ...] = ()) -> dict[str, str]:
    return {**dict(extra), "Authorization": f"Token {token.reveal()}"}


def endpoint(config: AgentConfig, path: str) -> str:
    return f"{config.server_url}/api/v1/octo/{path}"


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds to wait after a 429 or 503; the date form of the header is not worth its parsing."""
    text = headers.get("retry-after", "").strip()
    return min(float(text), LONGEST_WAIT) if text.isdecimal() and len(text) < 10 else DEFAULT_WAIT


def answer_object(response: HttpResponse) -> Mapping[str, Any] | None:
    """The JSON object in the answer's body, None if there is none."""
    try:
        found = json.loads(response.body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def refusal(response: HttpResponse, server_url: str) -> AgentError | None:
    """The error that an answer amounts to, whatever was asked; None for 2xx.

    `server_url` holds no credentials (config.server_url sees to that).
    """
    status = response.status
    if 200 <= status < 300:
        return None
    if status == 429:
        wait = retry_after(response.headers)
        return ServerTrouble(f"the server at {server_url} asks to wait {wait:.0f} s before the next try", wait)
    if status >= 500:
        wait_said = retry_after(response.headers) if "retry-after" in response.headers else None
        return ServerTrouble(f"the server at {server_url} has trouble (error {status}); trying again later", wait_said)
    if status in {401, 403}:
        return AuthRefused(f"the server at {server_url} does not accept this printer's token; link the printer again")
    if 300 <= status < 400:
        return WrongPeer(f"{server_url} sends us elsewhere; enter the address that a browser shows there at the end")
    return WrongPeer(f"{server_url} answers, but not as an Obico server (error {status}); check the server address")
