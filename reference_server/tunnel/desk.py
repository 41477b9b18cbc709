"""The server's end of the tunnels: exchanges with agents' web interfaces, by their reference. One event loop, no lock.

An agent that speaks `tunnel_stream` gets and sends pieces with credit; any other gets and sends wholes
(wire-protocol.md §3.5). Whoever uses an exchange sees no difference.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass

from agent_core.wire.bson import WireError
from agent_core.wire.codec import MAX_BINARY_BYTES, encode
from agent_core.wire.messages import TunnelEnd, TunnelRequest, TunnelResponse, TunnelSocketData
from agent_core.wire.tunnel import (
    MOST_EXCHANGES,
    MOST_MESSAGE,
    MOST_SOCKETS,
    WINDOW,
    Headers,
    MessageBuilder,
    ReceiveWindow,
    SendWindow,
    TunnelFrame,
    TunnelKind,
    joined,
    message_pieces,
)
from reference_server.realtime.hub import Hub
from reference_server.realtime.peers import AgentPeer

MOST_WHOLE = 64 * 1024 * 1024
"""Bytes of an answer that came in one piece, once it is decompressed."""

Incoming = TunnelFrame | TunnelResponse | TunnelSocketData

CLOSED_BY_PRINTER = 3000
"""§3.5, where the agent cannot tell a code."""


class Broken(Exception):
    """The exchange has come to nothing; why, for a person."""


class Busy(Exception):
    """The printer has as many at once as it may."""


@dataclass(frozen=True, slots=True)
class Head:
    """The beginning of an answer. `cookies` None: they are among the headers."""

    status: int
    headers: Headers
    cookies: tuple[str, ...] | None
    body: bool


class Line:
    """One agent's connection, as far as tunnels use it."""

    __slots__ = ("peer", "requests", "sockets", "streams")  # there are thousands of agents

    def __init__(self, peer: AgentPeer) -> None:
        self.peer = peer
        self.streams = False
        self.requests: dict[str, Request] = {}
        self.sockets: dict[str, Socket] = {}

    def send(self, message: TunnelFrame | TunnelRequest | TunnelSocketData) -> None:
        """Raises Broken."""
        try:
            frame = encode(message)
        except WireError as error:
            raise Broken(str(error)) from None
        if isinstance(frame, str) or not self.peer.outbox.put_bulk(frame):
            raise Broken("the printer's connection takes nothing now")


class Request:
    """One request and its answer."""

    def __init__(self, line: Line, ref: str) -> None:
        self._line, self.ref = line, ref
        self.head: asyncio.Future[Head] = asyncio.get_running_loop().create_future()
        self._window = SendWindow()
        self._room = ReceiveWindow()
        self._pieces: deque[bytes] = deque()  # ≤ WINDOW bytes, or the one whole answer
        self._news = asyncio.Event()
        self._ended = False
        self._trouble: str | None = None

    # --- what the visitor's side does ---

    async def send_body(self, data: bytes) -> None:
        """Waits for the printer's credit. Raises Broken. Stops early if the answer is there already."""
        rest = memoryview(data)
        while rest and not self.head.done():
            self._news.clear()
            count = self._window.spend(len(rest))
            if count:
                self._line.send(TunnelFrame(TunnelKind.DATA, self.ref, data=bytes(rest[:count])))
                rest = rest[count:]
            elif self._trouble is not None:
                raise Broken(self._trouble)
            else:
                await self._news.wait()

    def end_body(self) -> None:
        """Raises Broken."""
        self._line.send(TunnelFrame(TunnelKind.END, self.ref))

    async def body(self) -> AsyncGenerator[bytes, None]:
        """The answer's pieces; the next is asked for when the visitor has taken this one. Raises Broken."""
        while True:
            self._news.clear()
            if self._pieces:
                piece = self._pieces.popleft()
                yield piece
                credit = self._room.consumed(len(piece)) if self._line.streams else 0
                if credit and not self._ended:
                    self._line.send(TunnelFrame(TunnelKind.CREDIT, self.ref, credit=credit))
            elif self._trouble is not None:
                raise Broken(self._trouble)
            elif self._ended:
                return
            else:
                await self._news.wait()

    def close(self) -> None:
        """The visitor has what he wanted, or has gone."""
        known = self._line.requests.pop(self.ref, None)
        if known is not None and not self._ended and self._trouble is None and self._line.streams:
            try:
                self._line.send(TunnelFrame(TunnelKind.ABORT, self.ref, reason="the visitor has gone"))
            except Broken:
                return  # so has the agent

    # --- what the agent says ---

    def take(self, frame: TunnelFrame) -> None:
        """Raises WireError."""
        match frame.kind:
            case TunnelKind.RESPONSE if not self.head.done():
                if frame.data:
                    self._pieces.append(frame.data)
                self._ended = not frame.body
                self.head.set_result(Head(frame.status, frame.headers, None, frame.body or bool(frame.data)))
            case TunnelKind.DATA:
                self._room.arrived(len(frame.data))
                self._pieces.append(frame.data)
            case TunnelKind.END:
                self._ended = True
            case TunnelKind.CREDIT:
                self._window.grant(frame.credit)
            case TunnelKind.ABORT:
                self.fail(frame.reason or "the printer gave up")
        self._news.set()

    def take_whole(self, response: TunnelResponse) -> None:
        if self.head.done():
            return
        try:
            content = _inflated(response.content) if response.compressed else response.content
        except (zlib.error, WireError):
            self.fail("the agent's answer cannot be read")
            return
        if content:
            self._pieces.append(content)
        self._ended = True
        self.head.set_result(
            Head(response.status, tuple(response.headers.items()), response.cookies or (), bool(content))
        )
        self._news.set()

    def fail(self, why: str) -> None:
        if self._trouble is None:
            self._trouble = why
        if not self.head.done():
            self.head.set_exception(Broken(why))
            self.head.exception()  # it may be that nobody waits for it any more
        self._news.set()


def _inflated(content: bytes) -> bytes:
    inflater = zlib.decompressobj()
    found = inflater.decompress(content, MOST_WHOLE)
    if inflater.unconsumed_tail or not inflater.eof:
        raise WireError("too large")
    return found


class Socket:
    """One WebSocket of a web interface."""

    def __init__(self, line: Line, ref: str, path: str) -> None:
        self._line, self.ref, self._path = line, ref, path
        self.opened: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._window = SendWindow()
        self._room = ReceiveWindow()
        self._builder = MessageBuilder()
        self._messages: deque[tuple[str | bytes, int]] = deque()  # with the credit owed for each
        self._waiting = 0  # their bytes
        self._news = asyncio.Event()
        self._closed: tuple[int, str] | None = None

    async def send(self, message: str | bytes) -> None:
        """Waits until there is room. Raises Broken."""
        if not self._line.streams:
            self._line.send(TunnelSocketData(self.ref, TunnelEnd.MESSAGE_DOWN, message, self._path))
            return
        data = message.encode() if isinstance(message, str) else message
        if len(data) > MOST_MESSAGE:
            raise Broken("a message is too large for the tunnel")
        for piece, more in message_pieces(data):
            rest = piece
            while True:
                count = await self._room_for(len(rest))
                part, rest = rest[:count], rest[count:]
                self._line.send(
                    TunnelFrame(
                        TunnelKind.MESSAGE, self.ref, data=part, text=isinstance(message, str), more=more or bool(rest)
                    )
                )  # fmt: skip
                if not rest:
                    break

    async def _room_for(self, wanted: int) -> int:
        while wanted:
            if self._closed is not None:
                raise Broken(self._closed[1])
            self._news.clear()
            if count := self._window.spend(wanted):
                return count
            await self._news.wait()
        return 0

    async def messages(self) -> AsyncIterator[str | bytes]:
        """What the web interface says, until it closes; `closing` tells how. The next comes when this was taken."""
        while True:
            if self._messages:
                message, owed = self._messages.popleft()
                yield message
                self._waiting -= _size(message)
                self._give_back(owed)
            elif self._closed is not None:
                return
            else:
                self._news.clear()
                await self._news.wait()

    @property
    def closing(self) -> tuple[int, str]:
        return self._closed or (1006, "")

    def close(self, code: int, reason: str) -> None:
        """The visitor has gone."""
        if self._line.sockets.pop(self.ref, None) is None or self._closed is not None:
            return
        try:
            if self._line.streams:
                self._line.send(TunnelFrame(TunnelKind.CLOSE, self.ref, code=code, reason=reason[:100]))
            else:
                self._line.send(TunnelSocketData(self.ref, TunnelEnd.CLOSE_DOWN, None, self._path))
        except Broken:
            return

    def _give_back(self, size: int) -> None:
        credit = self._room.consumed(size) if self._line.streams else 0
        if credit and self._closed is None:
            self._line.send(TunnelFrame(TunnelKind.CREDIT, self.ref, credit=credit))

    def take(self, frame: TunnelFrame) -> None:
        """Raises WireError, Broken."""
        match frame.kind:
            case TunnelKind.OPENED if not self.opened.done():
                self._window.grant(frame.credit)
                self.opened.set_result(frame.protocol)
            case TunnelKind.CREDIT:
                self._window.grant(frame.credit)
            case TunnelKind.MESSAGE:
                self._room.arrived(len(frame.data))
                message = self._builder.add(frame)
                if message is None:
                    self._give_back(len(frame.data))  # a message may be larger than the window
                else:
                    self._put(message, len(frame.data))
            case TunnelKind.CLOSE:
                self.fail(frame.code or 1005, frame.reason)
            case TunnelKind.ABORT:
                self.fail(1011, frame.reason)
        self._news.set()

    def take_whole(self, data: TunnelSocketData) -> None:
        if data.kind is TunnelEnd.MESSAGE_UP and data.data is not None:
            self._put(data.data, 0)
        elif data.kind is TunnelEnd.CLOSE_UP:
            self.fail(CLOSED_BY_PRINTER, "")
        self._news.set()

    def _put(self, message: str | bytes, owed: int) -> None:
        """Raises WireError: the visitor does not read, and the agent knows no credit (or does not keep to it)."""
        if self._waiting > MOST_MESSAGE + WINDOW:
            raise WireError("the visitor does not read")
        self._waiting += _size(message)
        self._messages.append((message, owed))

    def fail(self, code: int, reason: str) -> None:
        if self._closed is None:
            self._closed = code, reason
        if not self.opened.done():
            self.opened.set_exception(Broken(reason or "the printer's web interface does not take it"))
            self.opened.exception()
        self._news.set()


def _size(message: str | bytes) -> int:
    return len(message)


class TunnelDesk:
    """`name`: makes references, each used once."""

    def __init__(self, hub: Hub, name: Callable[[], str]) -> None:
        self._hub, self._name = hub, name
        self._lines: dict[int, Line] = {}  # by printer

    def counts(self) -> tuple[int, int]:
        """Requests and WebSockets under way."""
        lines = self._lines.values()
        return sum(len(line.requests) for line in lines), sum(len(line.sockets) for line in lines)

    def _line(self, peer: AgentPeer) -> Line:
        line = self._lines.get(peer.printer_id)
        if line is None or line.peer is not peer:
            if line is not None:
                self._end(line)
            line = self._lines[peer.printer_id] = Line(peer)
        return line

    def connected(self, printer_id: int) -> bool:
        return self._hub.agent(printer_id) is not None

    def request(self, printer_id: int) -> Request:
        """A new exchange; `begin` starts it. Raises Broken where no agent is there, Busy."""
        line = self._here(printer_id)
        if len(line.requests) >= MOST_EXCHANGES:
            raise Busy
        request = Request(line, self._name())
        line.requests[request.ref] = request
        return request

    def streams(self, printer_id: int) -> bool:
        """Whether its agent takes a request's body in pieces. Raises Broken."""
        return self._here(printer_id).streams

    def begin(self, printer_id: int, request: Request, method: str, path: str, headers: Headers, *, body: bool) -> None:
        """In pieces: the body follows. Raises Broken."""
        self._here(printer_id).send(
            TunnelFrame(
                TunnelKind.REQUEST, request.ref, method=method, path=path, headers=headers, body=body, credit=WINDOW
            )
        )  # fmt: skip

    def begin_whole(
        self, printer_id: int, request: Request, method: str, path: str, headers: Headers, data: bytes
    ) -> None:
        """Raises Broken."""
        if len(data) > MAX_BINARY_BYTES // 2:
            raise Broken("the request is too large for this printer's agent")
        self._here(printer_id).send(TunnelRequest(request.ref, method.lower(), path, joined(headers), data))

    def open(self, printer_id: int, path: str, headers: Headers) -> Socket:
        """Raises Broken, Busy."""
        line = self._here(printer_id)
        if len(line.sockets) >= MOST_SOCKETS:
            raise Busy
        socket = Socket(line, self._name(), path)
        line.sockets[socket.ref] = socket
        if line.streams:
            line.send(TunnelFrame(TunnelKind.OPEN, socket.ref, path=path, headers=headers, credit=WINDOW))
        else:
            line.send(TunnelSocketData(socket.ref, TunnelEnd.CONNECT, None, path))
            socket.opened.set_result("")
        return socket

    def _here(self, printer_id: int) -> Line:
        peer = self._hub.agent(printer_id)
        if peer is None:
            raise Broken("the printer is offline")
        return self._line(peer)

    # --- what agents say ---

    def take(self, peer: AgentPeer, message: Incoming) -> bool:
        """Whether it belongs to an exchange that is under way."""
        line = self._line(peer) if self._hub.agent(peer.printer_id) is peer else None
        if line is None:
            return False
        match message:
            case TunnelFrame(kind=TunnelKind.HELLO):
                line.streams = True
                return False
            case TunnelFrame():
                return self._take_frame(line, message)
            case TunnelResponse(ref=ref):
                if (request := line.requests.get(ref)) is not None:
                    request.take_whole(message)
            case TunnelSocketData(ref=ref):
                if (socket := line.sockets.get(ref)) is not None:
                    try:
                        socket.take_whole(message)
                    except WireError as error:
                        socket.fail(1011, str(error))
        return False

    def _take_frame(self, line: Line, frame: TunnelFrame) -> bool:
        exchange = line.requests.get(frame.ref) or line.sockets.get(frame.ref)
        if exchange is None:
            return False  # over; what was on its way comes late
        try:
            exchange.take(frame)
        except Broken:
            return True  # the connection is ending, and tells everybody
        except WireError as error:
            with contextlib.suppress(Broken):
                line.send(TunnelFrame(TunnelKind.ABORT, frame.ref, reason=str(error)))
            if isinstance(exchange, Request):
                exchange.fail(str(error))
            else:
                exchange.fail(1011, str(error))
        return True

    def agent_lost(self, peer: AgentPeer) -> None:
        line = self._lines.get(peer.printer_id)
        if line is not None and line.peer is peer:
            del self._lines[peer.printer_id]
            self._end(line)

    def _end(self, line: Line) -> None:
        for request in list(line.requests.values()):
            request.fail("the printer's connection was lost")
        for socket in list(line.sockets.values()):
            socket.fail(1001, "the printer's connection was lost")
        line.requests.clear()
        line.sockets.clear()
