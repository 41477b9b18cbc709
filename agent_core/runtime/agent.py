"""Builds, starts and stops everything that an agent is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from agent_core.config import AgentConfig
from agent_core.model import ActivePrint, HostEvent, LinkState
from agent_core.ports import Clock, Http, PrinterPort, Store


@dataclass(frozen=True, slots=True)
class Parts:
    """What an agent is built from. `on_link_change` is called on the core thread and must return at once."""

    config: AgentConfig
    printer: PrinterPort
    store: Store
    clock: Clock
    http: Http
    on_link_change: Callable[[LinkState], None] | None = None


class Agent:
    """One printer's link to its server.

    Thread-safe: `post` may be called from any host thread and returns at once. After `stop` there is no thread, no
    socket and no temporary file left.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    @property
    def link(self) -> LinkState:
        """How it stands with the server right now (a frozen snapshot)."""
        raise NotImplementedError

    def remembered_print(self) -> ActivePrint | None:
        """The print that was under way when the agent last ran, from the store; for the host's translate."""
        raise NotImplementedError

    def start(self) -> None: ...

    def post(self, event: HostEvent) -> None:
        """Takes what the host has to tell; never blocks. A waiting report is replaced by a newer one."""
        raise NotImplementedError

    def stop(self, seconds: float = 3.0) -> list[str]:
        """Ends everything within `seconds`; the names of workers that did not end in time (normally none)."""
        raise NotImplementedError
