"""Runs a Discovery: announces, verifies, keeps what came of it. One thread, only while a printer is to be linked."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from agent_core.addresses import is_local, is_loopback
from agent_core.errors import AgentError
from agent_core.features.discovery import Discovery, HostFacts, Phase, Progress
from agent_core.features.handshake import Handshake
from agent_core.features.linking import Linked, code_digits, verify_code
from agent_core.features.server import answer_object, refusal
from agent_core.ports import Clock, Http, HttpRequest
from agent_core.runtime.worker import Worker

_log = logging.getLogger(__name__)

ANNOUNCE_SECONDS = 10.0
"""For one exchange; a page waits 20 s for the whole link."""

SERVICE_SECONDS, PERSON_SECONDS = 4 * 3600.0, 600.0
"""How long an unlinked service searches, and how long where a person waits for it (§2.2)."""

MOST_TYPED = 4
"""Typed codes that wait for the thread."""


@dataclass(frozen=True, slots=True)
class SearchParts:
    """What a search needs. `keep` writes the token down (raises OSError, AgentError); `on_change` is told of progress
    on the search's thread and must return at once; `address`: ours in the local network."""

    server_url: str
    facts: HostFacts
    http: Http
    clock: Clock
    keep: Callable[[Linked], None]
    on_change: Callable[[Progress], None] = lambda _: None
    verify_tls: bool = True
    random: Callable[[int], bytes] = os.urandom
    address: Callable[[str], str] | None = None


class Search:
    """`start`, then look at `progress`; `stop` from any thread."""

    def __init__(self, parts: SearchParts, seconds: float) -> None:
        self._parts = parts
        now = parts.clock.monotonic()
        device_id, secret = parts.random(16).hex(), parts.random(32).hex()
        self._machine = Discovery(parts.facts, device_id, secret, now=now, seconds=seconds)
        self.handshake = Handshake(
            device_id, secret, now + seconds, parts.clock.monotonic, nonce=lambda: parts.random(16).hex()
        )
        self.port: int | None = None
        """Where the handshake answers; to be set before `start`."""
        self.linked: Linked | None = None
        self._told: Progress | None = None
        self._typed: deque[str] = deque(maxlen=MOST_TYPED)
        self._lock = threading.Lock()  # guards _end_reason
        self._end_reason: str | None = None
        self.worker = Worker("search", tick=self._tick)

    @property
    def progress(self) -> Progress:
        return self._machine.progress

    def start(self) -> None:
        self.worker.start()

    def enter(self, code: str) -> None:
        """A person typed this code. Raises ConfigInvalid if it has not six digits."""
        self._typed.append(code_digits(code))
        self.worker.wake()

    def end(self, reason: str) -> None:
        """No more announcing; from any thread."""
        self.handshake.close()
        with self._lock:
            self._end_reason = reason
        self.worker.wake()

    def stop(self) -> None:
        self.handshake.close()
        self.worker.stop()

    def join(self, seconds: float) -> bool:
        """After `stop`: whether the thread has ended within so long."""
        return self.worker.join(seconds)

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _tick(self) -> float | None:
        machine, now = self._machine, self._parts.clock.monotonic()
        with self._lock:
            reason = self._end_reason
        if reason is not None:
            machine.end(reason)
        if machine.expire(now):
            self._finish()
            return None
        if self._typed:
            machine.typed(self._typed.popleft(), now)
        if now >= machine.next_at:
            self._work()
        self._tell()
        if machine.over:
            self._finish()
            return None
        return max(0.0, machine.next_at - self._parts.clock.monotonic())

    def _work(self) -> None:
        if not self._machine.pending:
            self._announce()
            self._tell()
        # Stopped meanwhile: somebody else has linked this printer, or nobody is to.
        if self._machine.pending and not self.worker.stopping.is_set():
            self._verify(self._machine.pending)

    def _finish(self) -> None:
        self.handshake.close()
        self._tell()
        self.worker.stop()

    def _announce(self) -> None:
        parts = self._parts
        url = parts.server_url
        body = self._machine.announcement((parts.address or lan_address)(url), self.port)
        try:
            response = parts.http.send(
                HttpRequest(
                    "POST", f"{url}/api/v1/octo/unlinked/", json=body, timeout=ANNOUNCE_SECONDS,
                    verify_tls=parts.verify_tls,
                )
            )  # fmt: skip
            error = refusal(response, url)
            if error is not None:
                raise error
        except AgentError as error:
            self._machine.failed(error, parts.clock.monotonic())
        else:
            self._machine.answered(answer_object(response) or {}, parts.clock.monotonic())

    def _verify(self, code: str) -> None:
        parts = self._parts
        try:
            linked = verify_code(parts.http, parts.server_url, code, verify_tls=parts.verify_tls)
        except AgentError as error:
            self._machine.not_verified(error, parts.clock.monotonic())
            return
        try:
            parts.keep(linked)
        except (OSError, AgentError) as error:
            self._machine.end(f"the server has linked this printer, but its token cannot be kept: {error}")
            return
        self.linked = linked
        self._machine.verified()

    def _tell(self) -> None:
        """Logs and reports what is new."""
        progress, before = self._machine.progress, self._told
        if progress == before:
            return
        self._told = progress
        where = self._parts.server_url
        if progress.trouble is not None and (before is None or before.trouble != progress.trouble):
            _log.warning("search for a server: %s", progress.trouble)
        if progress.phase is Phase.LINKED:
            _log.info("this printer is linked to %s", where)
        elif progress.reached and (before is None or not before.reached):
            _log.info("waiting to be linked: %s shows this printer to those in its network", where)
        self._parts.on_change(progress)


def lan_address(server_url: str) -> str:
    """Our address in the local network, as others there would call us: the one from which the server is reached, else
    (it is on this machine, or none of this network's) the one of the default route. Nothing is sent."""
    parts = urlsplit(server_url)
    found = "127.0.0.1"
    # 192.0.2.1 (RFC 5737) is nobody's: the way to it is the default route.
    for host, port in ((parts.hostname or "", parts.port or 80), ("192.0.2.1", 9)):
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.connect((host, port))
                address = str(probe.getsockname()[0])
        except (OSError, UnicodeError):
            continue
        if is_local(address) and not is_loopback(address):
            return address
        found = address if is_local(address) else found
    return found


def host_facts(facts: HostFacts, root: Path = Path("/")) -> HostFacts:
    """`facts`, with what can be found out about this machine."""
    system = os.uname()
    return replace(
        facts,
        hostname=system.nodename,
        os=sys.platform,
        arch=system.machine,
        rpi_model=_first_line(root / "proc/device-tree/model"),
        octopi_version=_first_line(root / "etc/octopi_version"),
    )


def _first_line(path: Path) -> str:
    try:
        return path.read_bytes()[:253].decode("utf-8", "replace").strip("\x00 \n").partition("\n")[0]
    except OSError:
        return ""
