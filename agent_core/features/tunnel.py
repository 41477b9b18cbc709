"""The tunnel's agent end: the printer's own web interface, seen through the server (wire-protocol.md §3.5).

The core thread hands in what the server says and is never kept waiting; each exchange has a thread for as long as it
lasts, and there is none while nobody looks.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from agent_core.config import CameraConfig, TunnelTarget
from agent_core.errors import Rejected
from agent_core.features import tunnel_rules as rules
from agent_core.features.tunnel_http import Budget, StreamExchange, WholeExchange, refusal
from agent_core.features.tunnel_socket import StreamSocket, WholeSocket, refused
from agent_core.features.tunnel_uplink import Outgoing, Uplink
from agent_core.runtime.crew import Crew
from agent_core.runtime.worker import Worker
from agent_core.wire.bson import WireError
from agent_core.wire.messages import TunnelEnd, TunnelRequest, TunnelResponse, TunnelSocketData
from agent_core.wire.tunnel import MOST_EXCHANGES, MOST_SOCKETS, TunnelFrame, TunnelKind

_log = logging.getLogger(__name__)

MOST_BODY = 8 * 1024 * 1024
"""Bytes of a request that comes in one piece."""

BUSY = "The printer's tunnel is busy with as many requests as it takes at once; try again."
CAMERA = "Blacklisted"
"""As the public agent answers for a camera's address (§3.5)."""

IncomingTunnel = TunnelFrame | TunnelRequest | TunnelSocketData
SendBulk = Callable[[bytes, Callable[[bool], None]], None]


class _Exchange(Protocol):
    def run(self) -> None: ...

    def cut(self) -> None: ...


class _Group:
    """Exchanges of one kind, by their reference; at most `limit` at once, each with a thread of its own."""

    def __init__(self, name: str, limit: int) -> None:
        self._crew = Crew(name)
        self._limit = limit
        self._lock = threading.Lock()  # guards _running, which the exchanges' threads leave by themselves
        self._running: dict[str, _Exchange] = {}

    @property
    def workers(self) -> list[Worker]:
        return self._crew.workers

    def get(self, ref: str) -> _Exchange | None:
        with self._lock:
            return self._running.get(ref)

    def start(self, ref: str, exchange: _Exchange) -> bool:
        """False: there are too many, or one of that name."""
        with self._lock:
            if ref in self._running or len(self._running) >= self._limit:
                return False
            self._running[ref] = exchange
        self._crew.start(lambda: self._run(ref, exchange))
        return True

    def _run(self, ref: str, exchange: _Exchange) -> None:
        try:
            exchange.run()
        finally:
            with self._lock:
                # After the link was lost, the same name may be another's.
                if self._running.get(ref) is exchange:
                    del self._running[ref]

    def cut_all(self) -> None:
        with self._lock:
            running = list(self._running.values())
            self._running.clear()
        for exchange in running:
            exchange.cut()


class Tunnel:
    """`take`, `link_lost` and `stop` are called by one thread at a time and return at once."""

    def __init__(self, target: TunnelTarget, cameras: Callable[[], Iterable[CameraConfig]], send: SendBulk) -> None:
        self._target, self._cameras, self._send = target, cameras, send
        self._requests = _Group("tunnel", MOST_EXCHANGES)
        self._sockets = _Group("tunnel-ws", MOST_SOCKETS)
        self._uplink = Uplink(send)
        self._budget = Budget()

    @property
    def workers(self) -> list[Worker]:
        return [*self._requests.workers, *self._sockets.workers]

    def take(self, message: IncomingTunnel) -> None:
        if self._uplink.lost.is_set():
            self.link_lost()  # its frames were dropped; what comes now belongs to the next connection
        match message:
            case TunnelRequest():
                self._whole(message)
            case TunnelSocketData():
                self._whole_socket(message)
            case TunnelFrame(kind=TunnelKind.REQUEST):
                self._stream(message)
            case TunnelFrame(kind=TunnelKind.OPEN):
                self._stream_socket(message)
            case TunnelFrame():
                self._more(message)

    def link_lost(self) -> None:
        """Whoever waited for the other end of an exchange is not there any more."""
        self._uplink.cut()
        self._requests.cut_all()
        self._sockets.cut_all()
        self._uplink = Uplink(self._send)

    def stop(self) -> None:
        """The threads end soon; whoever wants to wait joins `workers`."""
        self.link_lost()

    # --- requests ---

    def _whole(self, request: TunnelRequest) -> None:
        def make() -> WholeExchange:
            return WholeExchange(request, self._target, self._uplink, self._budget)

        def refuse(status: int, text: str) -> Outgoing:
            return TunnelResponse(request.ref, status, {}, text.encode())

        if len(request.data) > MOST_BODY:
            self._uplink.tell(refuse(413, f"At most {MOST_BODY // 2**20} MiB go through this server's tunnel at once."))
            return
        self._begin(request.ref, request.path, make, refuse)

    def _stream(self, request: TunnelFrame) -> None:
        def make() -> StreamExchange:
            return StreamExchange(request, self._target, self._uplink)

        def refuse(status: int, text: str) -> Outgoing:
            return refusal(request.ref, status, text)

        self._begin(request.ref, request.path, make, refuse)

    def _begin(
        self, ref: str, path: str, make: Callable[[], _Exchange], refuse: Callable[[int, str], Outgoing]
    ) -> None:
        if rules.is_blocked(path, self._target, self._cameras()):
            self._uplink.tell(refuse(404, CAMERA))
            return
        try:
            exchange = make()
        except Rejected as error:
            self._uplink.tell(refuse(400, f"This request does not go through the tunnel: {error}"))
            return
        if not self._requests.start(ref, exchange):
            self._uplink.tell(refuse(503, BUSY))

    # --- WebSockets ---

    def _whole_socket(self, data: TunnelSocketData) -> None:
        known = self._sockets.get(data.ref)
        if isinstance(known, WholeSocket):
            known.take(data)
            return
        if data.kind is not TunnelEnd.CONNECT:
            return  # closed already, with the other end's last words on their way
        try:
            exchange = WholeSocket(data, self._target, self._uplink)
            started = self._sockets.start(data.ref, exchange)
        except Rejected:
            started = False
        if not started:
            self._uplink.tell(TunnelSocketData(data.ref, TunnelEnd.CLOSE_UP))

    def _stream_socket(self, opening: TunnelFrame) -> None:
        try:
            exchange = StreamSocket(opening, self._target, self._uplink)
        except Rejected as error:
            self._uplink.tell(refused(opening.ref, str(error)))
            return
        if not self._sockets.start(opening.ref, exchange):
            self._uplink.tell(refused(opening.ref, BUSY))

    def _more(self, frame: TunnelFrame) -> None:
        exchange = self._requests.get(frame.ref) or self._sockets.get(frame.ref)
        if not isinstance(exchange, StreamExchange | StreamSocket):
            return  # over already
        if frame.kind is TunnelKind.ABORT:
            exchange.cut()
            return
        try:
            exchange.take(frame)
        except WireError as error:
            _log.warning("an exchange through the tunnel was given up: %s", error)
            exchange.cut()
            self._uplink.tell(TunnelFrame(TunnelKind.ABORT, frame.ref, reason=str(error)))
