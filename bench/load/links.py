"""One connection each: an agent's or a web viewer's end of a WebSocket, with no more work than the protocol asks."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable

from bench.load.frames import CLOSE, PING, PONG, TEXT, frame

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
"""Sec-WebSocket-Key; what it guards against does not happen between two programs of ours."""


class Link(asyncio.Protocol):
    """`opened` is done when the server has accepted; it fails if the server refuses."""

    __slots__ = ("_buffer", "_open", "_request", "lost", "opened", "transport")

    def __init__(self, host: str, path: str, authorization: str, opened: asyncio.Future[None]) -> None:
        self._request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {authorization}\r\n\r\n"
        ).encode()
        self._buffer = b""
        self._open = self.lost = False
        self.opened = opened
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)
        self._request = b""

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        if not self.opened.done():
            self.opened.set_exception(ConnectionError(f"the server closed the connection: {error}"))

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data if self._buffer else data
        if not self._open:
            head, mark, data = data.partition(b"\r\n\r\n")
            if not mark:
                self._buffer = head
                return
            if not head.startswith(b"HTTP/1.1 101 "):
                self.opened.set_exception(ConnectionError(head.split(b"\r\n", 1)[0].decode("latin-1")))
                return
            self._open = True
            self.opened.set_result(None)
        self._buffer = self._take(data)

    def _take(self, data: bytes) -> bytes:
        """Handle whole frames; what is left."""
        at, end = 0, len(data)
        while end - at >= 2:
            size, start = data[at + 1] & 0x7F, at + 2
            if size >= 126:
                width = 2 if size == 126 else 8
                if end - start < width:
                    break
                size, start = int.from_bytes(data[start : start + width], "big"), start + width
            if end - start < size:
                break
            self._frame(data[at] & 0x0F, data[start : start + size])
            at = start + size
        return data[at:]

    def _frame(self, opcode: int, payload: bytes) -> None:
        if opcode == TEXT:
            self.text(payload)
        elif opcode == PING:
            self.send(frame(PONG, payload))
        elif opcode == CLOSE and self.transport is not None:
            self.transport.close()

    def send(self, data: bytes) -> None:
        if self.transport is not None and not self.lost:
            self.transport.write(data)

    def text(self, payload: bytes) -> None:
        raise NotImplementedError


class AgentLink(Link):
    """Answers every command with `done`, at once; `commanded(printer, monotonic seconds)` learns when it came."""

    __slots__ = ("_commanded", "printer")

    def __init__(
        self, host: str, printer: int, token: str, opened: asyncio.Future[None],
        commanded: Callable[[int, float], None],
    ) -> None:  # fmt: skip
        super().__init__(host, "/ws/dev/", token, opened)
        self.printer = printer
        self._commanded = commanded

    def text(self, payload: bytes) -> None:
        if b'"commands"' not in payload:
            return
        arrived = time.monotonic()
        for command in json.loads(payload)["commands"]:
            self._commanded(self.printer, arrived)
            answer = {"command_ack": {"id": command.get("id"), "state": "done", "error": None}}
            self.send(frame(TEXT, json.dumps(answer).encode()))


class ViewerLink(Link):
    """`seen(seconds)` learns how old each status was when it came, by its `_ts`, if it has not come before."""

    __slots__ = ("_last", "_seen")

    def __init__(
        self, host: str, path: str, key: str, opened: asyncio.Future[None], seen: Callable[[float], None]
    ) -> None:
        super().__init__(host, path, key, opened)
        self._seen = seen
        self._last = b""

    def text(self, payload: bytes) -> None:
        _, mark, rest = payload.partition(b'"_ts":')
        if not mark:
            return
        ts = rest[: rest.find(b",")].rstrip(b"}")
        if ts != self._last:
            self._last = ts
            self._seen(time.time() - float(ts))
