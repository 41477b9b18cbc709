"""uvicorn's WebSocket protocol, made to let go of a peer that is not there any more, and to be quick with small texts.

Letting go: uvicorn ends a connection with `transport.close()`, which first sends what is waiting. To a machine whose
cable was pulled nothing can be sent: the connection, and the printer with it, would count as online until the kernel
gives up, some 15 minutes later. So the transport is aborted: at once where a ping was not answered, and CLOSE_TIME
after any other end.

Being quick: nearly all that reaches this server are statuses, one small text frame each, that need no waiting. A
connection may name a function that takes such a text at once (`take_directly`); that spares the frame parser, a queue,
a change of tasks, and two system calls that stop and go on reading. What the function does not take, and every frame
of another kind, goes uvicorn's way.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import apply_mask  # type: ignore[attr-defined] # its own import: in C where that was built

PING_EVERY, PING_ANSWER = 20.0, 20.0
"""Seconds: a dead peer is noticed within 40 s (extensions over wire-protocol.md §3.1: at most 45)."""

CLOSE_TIME = 10.0
"""Seconds in which a peer may fetch what was sent before the end, and answer the close frame."""

Take = Callable[[str], bool]
"""Takes a text, or does nothing and returns False: then it comes by `receive`, with all that follow meanwhile."""

SMALL = 8192
"""Bytes of a text that may take the short way; a status with settings has 3 kB."""

_EXTENSION = "reference_server.direct"

_FIN, _CONTINUATION, _TEXT, _BINARY, _CLOSE = 0x80, 0, 1, 2, 8
_MASKED, _SIZE_IN_2 = 0x80, 126


def take_directly(scope: MutableMapping[str, Any], take: Take) -> None:
    """Ask for the short way, where the server knows one."""
    protocol = scope.get("extensions", {}).get(_EXTENSION)
    if isinstance(protocol, SocketProtocol):
        protocol.take = take


class SocketProtocol(WebSocketsSansIOProtocol):
    take: Take | None = None

    _in_step = False
    """We know where frames begin: since the handshake we have looked at all that came."""

    _expected = 0  # bytes still to come of a frame whose beginning uvicorn has got
    _held = b""  # the beginning of a text (at most SMALL bytes), or of a frame that is too short to tell its size
    _in_fragments = False

    def data_received(self, data: bytes) -> None:
        if self._in_step:
            self._take_frames(self._held + data if self._held else data)
            return
        begun = self.handshake_initiated
        super().data_received(data)
        if self.handshake_initiated and not begun:
            # Frames that came with the request, before our answer, are uvicorn's, and so is this connection then.
            self._in_step = data.endswith(b"\r\n\r\n")

    def handle_connect(self, event: Any) -> None:
        super().handle_connect(event)
        if hasattr(self, "scope"):  # not when the request was refused
            extensions: dict[str, Any] = dict(self.scope["extensions"] or {})
            self.scope["extensions"] = {**extensions, _EXTENSION: self}  # type: ignore[dict-item] # ours, not ASGI's

    def _take_frames(self, data: bytes) -> None:
        at, end = 0, len(data)
        self._held = b""
        while at < end and self._in_step:
            if self._expected:
                stop = min(end, at + self._expected)
                self._expected -= stop - at
                super().data_received(data[at:stop])
                at = stop
                continue
            begin, size = _payload(data, at)
            if begin > end:
                self._held = data[at:]
                return
            stop = begin + size
            text = size <= SMALL and data[at] == _FIN | _TEXT and data[at + 1] & _MASKED and self._is_free()
            if text and stop > end:
                self._held = data[at:]
                return
            if not text or not self._take_text(data[begin - 4 : begin], data[begin:stop]):
                self._note(data[at])
                self._expected = max(0, stop - end)
                super().data_received(data[at:stop])
            at = stop
        if at < end:
            super().data_received(data[at:])

    def _is_free(self) -> bool:
        """Nothing that came before is still on its way, and the connection is not ending."""
        return (
            self.take is not None and not self._in_fragments and self.queue.empty()
            and not self.close_sent and not self.disconnected
        )  # fmt: skip

    def _take_text(self, mask: bytes, payload: bytes) -> bool:
        if self.take is None:
            return False
        try:
            text = str(apply_mask(payload, mask), "utf-8")
        except UnicodeDecodeError:
            return False  # uvicorn closes the connection
        return self.take(text)

    def _note(self, head: int) -> None:
        """A frame for uvicorn."""
        opcode, final = head & 0x0F, bool(head & _FIN)
        if opcode in {_CONTINUATION, _TEXT, _BINARY}:
            self._in_fragments = not final
        elif opcode == _CLOSE:
            self._in_step = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.take = None
        super().connection_lost(exc)

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self.transport.abort()

    async def run_asgi(self) -> None:
        try:
            await super().run_asgi()
        finally:
            self.loop.call_later(CLOSE_TIME, self.transport.abort)


def _payload(data: bytes, at: int) -> tuple[int, int]:
    """Where the payload of the frame at `at` begins, and its size; beyond the end if it cannot be told yet."""
    if len(data) - at < 2:
        return len(data) + 1, 0
    size, begin, mask = data[at + 1] & 0x7F, at + 2, 4 if data[at + 1] & _MASKED else 0
    if size >= _SIZE_IN_2:
        width = 2 if size == _SIZE_IN_2 else 8
        size, begin = int.from_bytes(data[begin : begin + width], "big"), begin + width
    return begin + mask, size
