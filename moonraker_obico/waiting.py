"""A printer that waits to be linked: its search, and the handshake's little server beside it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from agent_core.errors import AgentError
from agent_core.features.discovery import HostFacts, Phase, Progress
from agent_core.features.handshake_server import HandshakeServer
from agent_core.features.linking import Linked
from agent_core.features.search import PERSON_SECONDS, SERVICE_SECONDS, Search, SearchParts, host_facts
from agent_core.ports import Clock, HttpRequest
from agent_core.runtime.worker import stop_all
from agent_core.transport.http import HttpClient
from moonraker_obico.config import HostConfig
from moonraker_obico.version import AGENT_NAME, AGENT_VERSION

_log = logging.getLogger(__name__)

__all__ = ["PERSON_SECONDS", "SERVICE_SECONDS", "Waiting", "quiet"]

YIELDED = "another program on this machine links this printer now"


class Waiting:
    """`keep` writes the token down, on the search's thread (raises OSError). After `stop` no thread is left."""

    def __init__(
        self,
        config: HostConfig,
        url: str,
        clock: Clock,
        *,
        seconds: float,
        keep: Callable[[Linked], None],
        on_change: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._http = HttpClient(f"moonraker-obico/{AGENT_VERSION}")
        facts = host_facts(HostFacts(AGENT_NAME, AGENT_VERSION, machine_type="Klipper", meta=config.meta))
        parts = SearchParts(url, facts, self._http, clock, keep, on_change, verify_tls=config.verify_tls)
        self.search = Search(parts, seconds)
        self._server = HandshakeServer(self.search.handshake, self._yield, port=config.discovery_port)
        self._serves = False
        self._yielded_at: float | None = None  # since when another program links this printer

    def start(self) -> None:
        try:
            self._server.start()
        except OSError as error:
            # The passcode and a typed code do without it.
            _log.warning("no port for the handshake in the local network is free: %s", error.strerror or error)
        else:
            self._serves = True
            self.search.port = self._server.port
        self.search.start()

    def stop(self, seconds: float) -> list[str]:
        """The names of the workers that did not end in time."""
        self.search.stop()
        self._http.close()
        workers = [self.search.worker, *([self._server.worker] if self._serves else [])]
        stragglers = stop_all(workers, seconds)
        if self._server.worker.name not in stragglers:
            self._server.dispose()
        return stragglers

    @property
    def over(self) -> bool:
        """Whether another program was to link this printer, and has had its time; or a link was found. Who still waits
        then has to begin again: the token was taken away at once."""
        if self.search.progress.phase is Phase.LINKED:
            return True
        return self._yielded_at is not None and self._clock.monotonic() - self._yielded_at > PERSON_SECONDS

    def describe(self) -> dict[str, Any]:
        """For `moonraker-obico status`."""
        progress = self.search.progress
        return {
            "state": progress.phase.value,
            "port": self.search.port if self._serves else None,
            "passcode": progress.passcode or None,
            "passlink": progress.passlink or None,
            "trouble": progress.trouble,
        }

    def _yield(self) -> None:
        self._yielded_at = self._clock.monotonic()
        self.search.end(YIELDED)


def quiet(status: Mapping[str, Any] | None, http: HttpClient) -> None:
    """Asks the agent that runs to leave the search to us, so that a server shows this printer once. It goes on by
    itself some minutes later, if the printer is not linked by then."""
    search = (status or {}).get("search") or {}
    if not search.get("port") or search.get("state") == "ended":
        return
    try:
        http.send(HttpRequest("POST", f"http://127.0.0.1:{int(search['port'])}/shutdown", timeout=3.0))
    except AgentError as error:
        _log.debug("the running agent goes on searching: %s", error)
