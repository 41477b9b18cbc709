"""uvicorn's WebSocket protocol, made to let go of a peer that is not there any more.

uvicorn ends a connection with `transport.close()`, which first sends what is waiting. To a machine whose cable was
pulled nothing can be sent: the connection, and the printer with it, would count as online until the kernel gives up,
some 15 minutes later. So the transport is aborted: at once where a ping was not answered, and CLOSE_TIME after any
other end.
"""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

PING_EVERY, PING_ANSWER = 20.0, 20.0
"""Seconds: a dead peer is noticed within 40 s (extensions over wire-protocol.md §3.1: at most 45)."""

CLOSE_TIME = 10.0
"""Seconds in which a peer may fetch what was sent before the end, and answer the close frame."""


class SocketProtocol(WebSocketsSansIOProtocol):
    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    async def run_asgi(self) -> None:
        try:
            await super().run_asgi()
        finally:
            self.loop.call_later(CLOSE_TIME, self.transport.abort)
