"""Who is connected: an agent or a web client, as the hub sees it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from reference_server.realtime.connections import AgentOutbox, WebOutbox


class AckSupport(Enum):
    """Whether an agent answers commands (extensions.md); only its answering tells for certain."""

    UNTRIED = "untried"
    YES = "yes"
    NO = "no"


OWN_AGENTS = frozenset({"octoprint_obico", "moonraker_obico"})
FIRST_OWN_VERSION = 3
"""Public agents of those names have version 2 (settled decision 3)."""


@dataclass(eq=False, slots=True)
class AgentPeer:
    """One agent's connection; `since` when it began; `closing` ends its waits; `base`: the address it knows us by."""

    printer_id: int
    since: datetime | None = None
    outbox: AgentOutbox = field(default_factory=AgentOutbox)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    acks: AckSupport = AckSupport.UNTRIED
    told_viewing: bool | None = None
    told_should_watch: bool | None = None
    base: str = ""
    complained: bool = False  # a bad frame was logged; one line a connection is enough
    asked: dict[str, None] | None = None  # refs of viewers' calls that it has not answered yet, oldest first; bounded

    def close(self, code: int, reason: str) -> None:
        self.outbox.close(code, reason)
        self.closing.set()


@dataclass(eq=False, slots=True)
class WebPeer:
    """One web client; `printer_id` None: all printers of the user. `base`: the address it knows us by. `credential`:
    what it came in with (see Seat); `refusal`: why it may not call the agent."""

    user_id: int
    printer_id: int | None
    base: str
    credential: str = ""
    refusal: str = ""
    shared: bool = False
    outbox: WebOutbox = field(default_factory=WebOutbox)
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    sent_at: float = 0.0  # monotonic seconds of the last state put into the outbox

    def close(self, code: int, reason: str) -> None:
        self.outbox.close(code, reason)
        self.closing.set()


def expected_acks(agent_name: str | None, agent_version: str | None) -> AckSupport:
    """What name and version promise before the agent was tried."""
    if agent_name not in OWN_AGENTS:
        return AckSupport.UNTRIED
    major = (agent_version or "").split(".", 1)[0]
    if not (major.isascii() and major.isdigit()):
        return AckSupport.UNTRIED
    return AckSupport.YES if int(major) >= FIRST_OWN_VERSION else AckSupport.NO
