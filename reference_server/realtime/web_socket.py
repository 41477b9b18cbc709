"""Web clients' WebSockets (wire-protocol.md §7, docs/server-api.md)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from agent_core.wire import read
from agent_core.wire.codec import WireError, parse
from reference_server.realtime.connections import both
from reference_server.realtime.hub import Hub
from reference_server.realtime.peers import WebPeer
from reference_server.realtime.rate import WEB_BURST, WEB_RATE, RateGuard, hold_back
from reference_server.services.live import LivePrinter

MOST_TEXT = 64 * 1024
"""Characters in a web client's frame; a passthru call is a few hundred."""

REPEAT_AFTER = 45.0
"""Seconds without news after which a `{}` is answered with the printer (§7)."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Who connects, and what he looks at (`printer_id` None: all of `printers`).

    `credential`: names what he came in with, for Hub.revoke: the hash of a session or a key, or `printer <id>` for that
    printer's token. `is_valid`: asks once more whether it is good. `refusal`: why it may not call the
    agent, empty if it may; `shared`: it sees what a share shows, and says nothing (§7).
    """

    user_id: int
    printer_id: int | None
    printers: tuple[LivePrinter, ...]
    base: str
    credential: str
    is_valid: Callable[[], Awaitable[bool]]
    refusal: str = ""
    shared: bool = False


def printer_credential(printer_id: int) -> str:
    return f"printer {printer_id}"


def share_credential(share_id: int) -> str:
    return f"share {share_id}"


class WebClientSocket:
    def __init__(self, hub: Hub, clock: Callable[[], float]) -> None:
        self._hub, self._clock = hub, clock

    async def serve(self, socket: WebSocket, seat: Seat | None) -> None:
        if seat is None:
            await socket.close()  # before the upgrade: HTTP 403
            return
        await socket.accept()
        peer = WebPeer(seat.user_id, seat.printer_id, seat.base, seat.credential, seat.refusal, seat.shared)
        self._hub.attach_web(peer, seat.printers)
        try:
            # From here on Hub.revoke finds it; what was revoked between the first question and now is seen here.
            if not await seat.is_valid():
                self._hub.revoke(seat.credential, "the credentials are not valid any more")
            await both(self._receive(socket, peer), self._send(socket, peer))
        finally:
            self._hub.detach_web(peer)
            peer.close(1000, "")

    async def _send(self, socket: WebSocket, peer: WebPeer) -> None:
        async def close(code: int, reason: str) -> None:
            if socket.application_state is WebSocketState.CONNECTED:
                await socket.close(code, reason)

        try:
            await peer.outbox.run(socket.send_text, close)
        except (WebSocketDisconnect, TimeoutError, asyncio.TimeoutError, RuntimeError, OSError):
            peer.close(1011, "the client does not read")

    async def _receive(self, socket: WebSocket, peer: WebPeer) -> None:
        guard = RateGuard(WEB_BURST, WEB_RATE)
        while not peer.closing.is_set():
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            self._take(peer, message.get("text") or "")
            await hold_back(guard.take(self._clock()), peer.closing)

    def _take(self, peer: WebPeer, text: str) -> None:
        if len(text) > MOST_TEXT:
            return
        try:
            wire = parse(text)
        except WireError:
            return
        call = read.mapping(wire.get("passthru"))
        if call is not None and peer.shared:
            return
        if call is not None and peer.printer_id is not None:
            if peer.refusal:
                _answer(peer, call, peer.refusal)
                return
            self._relay(peer, peer.printer_id, dict(call))
            return
        live = self._hub.live.get(peer.printer_id) if peer.printer_id is not None else None
        if live is not None and self._clock() - peer.sent_at > REPEAT_AFTER:
            self._hub.show(peer, live)

    def _relay(self, peer: WebPeer, printer_id: int, call: dict[str, object]) -> None:
        if self._hub.ask_agent(printer_id, call):
            return
        _answer(peer, call, "The printer is offline.")


def _answer(peer: WebPeer, call: Mapping[str, object], error: str) -> None:
    """In the agent's place."""
    if (ref := call.get("ref")) is not None:
        answer = {"passthru": {"ref": ref, "error": error}, "type": "web.message"}
        peer.outbox.put_relayed(json.dumps(answer))
