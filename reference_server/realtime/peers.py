"""Who is connected: an agent or a web client, as the hub sees it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from reference_server.realtime.connections import AgentOutbox, WebOutbox
from reference_server.services.own_agents import is_own


class AckSupport(Enum):
    """Whether an agent answers commands (extensions.md); only its answering tells for certain."""

    UNTRIED = "untried"
    YES = "yes"
    NO = "no"


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
    return {None: AckSupport.UNTRIED, True: AckSupport.YES, False: AckSupport.NO}[is_own(agent_name, agent_version)]
