"""Why a print stands still that nobody here has paused: what the server said of it, and the ways on from there.

A server of ours says why it gives an order (`command_why`, docs/protocol-extensions.md) and lets the agent mute its
alerts; of a public one it is only known that it paused the print by itself (`initiator: system`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from agent_core.commands import CommandResult
from agent_core.config import AgentConfig
from agent_core.errors import Rejected, WrongPeer
from agent_core.features.server import answer_object, authorized, endpoint, refusal
from agent_core.ports import Http, HttpRequest
from agent_core.wire import read
from agent_core.wire.messages import AckState, CommandName

SYSTEM = "system"
"""The initiator of what a server does by itself (wire-protocol.md §3.5)."""

PICTURE_LIMIT = 2 * 1024 * 1024
"""Bytes of the picture that came with the reason."""


@dataclass(frozen=True, slots=True)
class PauseReason:
    """`by`: `failure_detection`, or `server` where no more is known; `score` 0 to 1. `explained`: the server said so
    itself, and takes what the agent answers."""

    at: float
    server: str
    by: str = "server"
    text: str = ""
    score: float | None = None
    picture_url: str | None = None
    page_url: str | None = None
    explained: bool = False


def pause_reason(result: CommandResult, config: AgentConfig, now: float) -> PauseReason | None:
    """The reason of a pause that the server made by itself; None for everything else. `now`: Unix seconds."""
    command = result.command
    if command.type is not CommandName.PAUSE or command.initiator != SYSTEM or result.state is not AckState.DONE:
        return None
    server = config.server_url
    why = command.why
    if why is None:
        return PauseReason(now, server, page_url=server)
    return PauseReason(
        now, server, why.by, why.text, why.score,
        why.picture if _same_host(why.picture, server) else None, why.page or server, explained=True,
    )  # fmt: skip


def _same_host(url: str | None, server: str) -> bool:
    """A picture is fetched from the server itself only: an order must not make us call on others in the house."""
    if url is None:
        return False
    try:
        ours, theirs = urlsplit(server), urlsplit(url)
        same = (ours.scheme, ours.hostname, ours.port) == (theirs.scheme, theirs.hostname, theirs.port)
    except ValueError:
        return False
    return same


def fetch_picture(http: Http, config: AgentConfig, reason: PauseReason) -> bytes | None:
    """The JPEG that the server decided by; None if there is none. Raises AgentError. Its address is the key to it: it
    goes into no log.
    """
    if reason.picture_url is None:
        return None
    request = HttpRequest(
        "GET", reason.picture_url, headers=dict(config.extra_headers), limit=PICTURE_LIMIT, verify_tls=config.verify_tls
    )
    response = http.send(request)
    return response.body if response.status == 200 and response.body.startswith(b"\xff\xd8") else None


def mute_alerts(http: Http, config: AgentConfig) -> None:
    """No more alerts and pauses by failure detection in this print. Raises AgentError; Rejected if nothing prints."""
    if config.token is None:
        return
    response = http.send(
        HttpRequest(
            "POST", endpoint(config, "mute_current_print/"), headers=authorized(config.token, config.extra_headers),
            verify_tls=config.verify_tls,
        )
    )  # fmt: skip
    error = refusal(response, config.server_url)
    if error is not None:
        raise error
    answer: Mapping[str, object] = answer_object(response) or {}
    if answer.get("succeeded") is not True:
        reason = read.text(answer.get("reason"))
        if reason is None:
            raise WrongPeer("the server does not let a printer mute its alerts; do it on the server's page")
        raise Rejected(f"the server did not mute its alerts: {reason}")
