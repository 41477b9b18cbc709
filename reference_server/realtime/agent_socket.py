"""The agent's WebSocket `/ws/dev/` (wire-protocol.md §3)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from agent_core.wire.codec import WireError, decode_agent_frame, decode_agent_wire, encode_json
from agent_core.wire.messages import (
    AgentMessage,
    CommandAck,
    EventsAcked,
    PassthruUp,
    StatusMessage,
    TunnelResponse,
    TunnelSocketData,
)
from agent_core.wire.tunnel import TunnelFrame
from reference_server.realtime.admission import Admission
from reference_server.realtime.alert_watch import AlertWatch
from reference_server.realtime.command_desk import CommandDesk
from reference_server.realtime.connections import both
from reference_server.realtime.hub import Hub
from reference_server.realtime.passthru_desk import PassthruDesk
from reference_server.realtime.peers import AgentPeer, expected_acks
from reference_server.realtime.rate import AGENT_BURST, AGENT_RATE, RateGuard, hold_back
from reference_server.realtime.transport import take_directly
from reference_server.services.agent_settings import merged
from reference_server.services.clock import Now
from reference_server.services.errors import StoreFailed
from reference_server.services.live import LivePrinter
from reference_server.services.model import PrinterRecord
from reference_server.services.packed import parse_text
from reference_server.services.printers import Printers
from reference_server.services.tracking import Tracking, said_file
from reference_server.tunnel.desk import TunnelDesk

log = logging.getLogger(__name__)


class AgentSocket:
    """Serves one connection at a time per call of `serve`; holds nothing of a connection itself."""

    def __init__(
        self,
        hub: Hub,
        desk: CommandDesk,
        calls: PassthruDesk,
        printers: Printers,
        tracking: Tracking,
        now: Now,
        clock: Callable[[], float],
        watch: AlertWatch,
        tunnels: TunnelDesk,
    ) -> None:
        self._hub, self._desk, self._calls = hub, desk, calls
        self._printers, self._tracking = printers, tracking
        self._now, self._clock, self._watch = now, clock, watch
        self._tunnels = tunnels
        self._admission = Admission(printers.by_tokens)

    async def serve(self, socket: WebSocket, base: str = "") -> None:
        """`base`: the address by which the agent knows this server, for links that it is given."""
        record = await self._authenticate(socket)
        if record is None:
            await socket.close()  # before the upgrade: HTTP 403
            return
        await socket.accept()
        if (known := self._hub.live.get(record.printer.id)) is not None and not _speaks_for(record, known.record):
            await socket.close(1008)  # linked anew or archived since the database was asked
            return
        peer = AgentPeer(record.printer.id, self._now(), base=base)
        peer.acks = expected_acks(record.printer.agent_name, record.printer.agent_version)
        self._watch.connected(record.printer.id, pushed_out=self._hub.agent(record.printer.id) is not None)
        live = self._hub.attach_agent(peer, record)
        log.info("printer %s: agent connected", record.printer.id)
        try:
            await both(self._receive(socket, peer, live), self._send(socket, peer))
        finally:
            peer.close(1000, "")
            if self._hub.detach_agent(peer):
                self._desk.agent_lost(live)
                self._calls.agent_lost(peer.printer_id)
            self._tunnels.agent_lost(peer)
            log.info("printer %s: agent disconnected", record.printer.id)

    async def _authenticate(self, socket: WebSocket) -> PrinterRecord | None:
        for value in socket.headers.getlist("authorization"):
            for part in value.split(","):  # several values are each examined (§1)
                keyword, _, token = part.strip().partition(" ")
                if keyword.lower() in {"bearer", "token"} and token.strip():
                    record = await self._admission.record(token.strip()[:100])
                    if record is not None:
                        return record
        return None

    async def _send(self, socket: WebSocket, peer: AgentPeer) -> None:
        async def close(code: int, reason: str) -> None:
            if socket.application_state is WebSocketState.CONNECTED:
                await socket.close(code, reason)

        async def send(frame: str | bytes) -> None:
            await (socket.send_text(frame) if isinstance(frame, str) else socket.send_bytes(frame))

        try:
            await peer.outbox.run(send, close)
        except (WebSocketDisconnect, TimeoutError, asyncio.TimeoutError, RuntimeError, OSError):
            peer.close(1011, "the agent does not read")  # gone, or it takes nothing

    async def _receive(self, socket: WebSocket, peer: AgentPeer, live: LivePrinter) -> None:
        guard = RateGuard(AGENT_BURST, AGENT_RATE)
        waiting = False  # for the socket; else a message is under way, and the next has to wait for it

        def take_at_once(frame: str) -> bool:
            if not waiting or peer.closing.is_set() or guard.is_spent(self._clock()):
                return False
            message = self._read(peer, live, frame)
            if message is not None and self._take_quickly(peer, live, message) is not None:
                return False
            guard.take(self._clock())
            return True

        take_directly(socket.scope, take_at_once)
        while not peer.closing.is_set():
            waiting = True
            received = await socket.receive()
            waiting = False
            if received["type"] == "websocket.disconnect" or peer.closing.is_set():
                return
            message = self._read(peer, live, received.get("text") or received.get("bytes") or "")
            if isinstance(message, TunnelFrame) and self._tunnels.take(peer, message):
                # What comes is what credit allows; it must not use up the statuses' share.
                continue
            if message is not None and (message := self._take_quickly(peer, live, message)) is not None:
                await self._take_status(peer, live, message)
            del received, message  # thousands of connections keep what they hold here until their next word
            await hold_back(guard.take(self._clock()), peer.closing)

    def _read(self, peer: AgentPeer, live: LivePrinter, frame: str | bytes) -> AgentMessage | None:
        live.last_seen_at = self._now()
        try:
            message = decode_agent_frame(frame) if isinstance(frame, bytes) else decode_agent_wire(parse_text(frame))
            _check_depth(frame, message)
        except WireError as error:
            if not peer.complained:
                peer.complained = True
                log.warning("printer %s: a frame of its agent was ignored: %s", peer.printer_id, error)
            return None
        return message

    def _take_quickly(self, peer: AgentPeer, live: LivePrinter, message: AgentMessage) -> StatusMessage | None:
        """All that needs no database. A message that may need it is returned, and nothing was done with it."""
        if isinstance(message, StatusMessage):
            if not self._is_plain(live, message):
                return message
            if live.take_status(message.status, self._clock(), may_be_old=False):
                self._hub.expect_expiry(peer.printer_id)
                self._watch.status(live, message.status)
            self._hub.publish(peer.printer_id)
        elif isinstance(message, CommandAck):
            self._desk.answered(live, message)
        elif isinstance(message, PassthruUp) and not self._calls.answered(peer.printer_id, message.body):
            self._hub.relay(peer.printer_id, dict(message.body))
        elif isinstance(message, TunnelResponse | TunnelSocketData):
            self._tunnels.take(peer, message)
        # Janus is a later part; without a client on the other end there is nobody to tell.
        return None

    def _is_plain(self, live: LivePrinter, message: StatusMessage) -> bool:
        """A status and no more: nothing in it changes what is stored, as far as memory tells."""
        if message.event is not None or message.settings is not None:
            return False
        return not self._tracking.needs_store(live.record, message) or _is_fruitless(live, message)

    async def _take_status(self, peer: AgentPeer, live: LivePrinter, message: StatusMessage) -> None:
        """Settings, status cache, print tracking, then the news to web clients (§3.3)."""
        event_id = message.event.id if message.event else None
        try:
            if message.settings is not None:
                await self._take_settings(peer, live, message)
            if live.take_status(message.status, self._clock(), may_be_old=event_id is not None):
                self._hub.expect_expiry(peer.printer_id)
                self._watch.status(live, message.status)
            if self._tracking.needs_store(live.record, message) and not _is_fruitless(live, message):
                # To its end, also if this connection is given up meanwhile: what is in memory follows the database.
                await asyncio.shield(asyncio.ensure_future(self._track(peer.printer_id, message)))
        except StoreFailed as error:
            log.error("printer %s: a message was not stored: %s", peer.printer_id, error)  # noqa: TRY400
            if event_id is not None:
                # It was not acknowledged: the agent sends it again after it has reconnected.
                peer.close(1011, "the event could not be stored")
            return
        if event_id is not None:
            peer.outbox.put(encode_json(EventsAcked((event_id,)).to_wire()))
        self._hub.publish(peer.printer_id)

    async def _track(self, printer_id: int, message: StatusMessage) -> None:
        tracked = await run_in_threadpool(self._tracking.apply, printer_id, message)
        if tracked is None:
            return
        live = self._hub.live.put(tracked.record)
        if message.event is None and not tracked.changed:
            live.fruitless = live.record, _said_of_print(message)

    async def _take_settings(self, peer: AgentPeer, live: LivePrinter, message: StatusMessage) -> None:
        said = message.settings or {}
        printer = live.record.printer
        if merged(printer, said) != printer:
            record = await run_in_threadpool(self._printers.take_settings, peer.printer_id, said)
            if record is not None:
                printer = self._hub.live.put(record).record.printer
        expected = expected_acks(printer.agent_name, printer.agent_version)
        if expected is not peer.acks and said.get("agent") is not None:
            peer.acks = expected


def _said_of_print(message: StatusMessage) -> object:
    return message.current_print_ts, said_file(message)


def _is_fruitless(live: LivePrinter, message: StatusMessage) -> bool:
    """The database was asked about the same before and had nothing to change: a file that is not ours, a print that
    its owner has deleted. Without this, each status of such a printer would be a transaction."""
    if live.fruitless is None or message.event is not None or message.settings is not None:
        return False
    record, said = live.fruitless
    return record is live.record and said == _said_of_print(message)


def _speaks_for(record: PrinterRecord, known: PrinterRecord) -> bool:
    return record.printer.auth_token == known.printer.auth_token and known.printer.archived_at is None


MOST_DEPTH = 50
"""Levels of nesting in what is handed on; a status has six. Deeper trees could not be encoded again."""


def _check_depth(frame: str | bytes, message: object) -> None:
    """Raises WireError."""
    if isinstance(frame, bytes) or frame.count("{") + frame.count("[") <= MOST_DEPTH:
        return
    if isinstance(message, StatusMessage):
        trees: tuple[object, ...] = (message.status, message.settings)
    else:
        trees = (message.body,) if isinstance(message, PassthruUp) else ()
    if any(_is_deeper(tree, MOST_DEPTH) for tree in trees):
        raise WireError(f"it is nested deeper than {MOST_DEPTH} levels")


def _is_deeper(tree: object, levels: int) -> bool:
    if isinstance(tree, dict):
        return levels == 0 or any(_is_deeper(value, levels - 1) for value in tree.values())
    if isinstance(tree, list):
        return levels == 0 or any(_is_deeper(value, levels - 1) for value in tree)
    return False
