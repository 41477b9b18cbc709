"""One tunnelled WebSocket: a thread between the printer's web interface and the server (wire-protocol.md §3.5).

The thread waits on the local socket and on a wake-up pipe. What the server sends waits in a queue of at most a window;
what the web interface sends is read only as fast as the server takes it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections import deque
from typing import Protocol

import websocket

from agent_core.config import TunnelTarget
from agent_core.errors import AgentError
from agent_core.features import tunnel_rules as rules
from agent_core.features.tunnel_uplink import LinkLost, Uplink
from agent_core.transport.sockets import drain, wait_ready
from agent_core.transport.websocket import BoundedWebSocket, Closed, FrameRead, FrameTooLarge, open_websocket
from agent_core.wire.bson import WireError
from agent_core.wire.messages import TunnelEnd, TunnelSocketData
from agent_core.wire.tunnel import (
    MOST_MESSAGE,
    WINDOW,
    Headers,
    MessageBuilder,
    ReceiveWindow,
    SendWindow,
    TunnelFrame,
    TunnelKind,
    message_pieces,
)

LOOK_SECONDS = 60.0
"""Between two looks at whether anything has happened that nobody told of."""

SILENT_SECONDS = 120.0
"""How long the other end may take nothing."""

GOING_AWAY, TOO_BIG, TRY_LATER, NO_UPGRADE = 1001, 1009, 1013, 1014
_MAY_BE_SENT = frozenset({1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014})

_NOT_TO_SOCKET = frozenset({
    "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions", "sec-websocket-accept", "content-length",
    "host", "accept-encoding",
})  # fmt: skip


class ServerSide(Protocol):
    """The half that speaks with the server. All may raise LinkLost."""

    def opened(self, protocol: str) -> None: ...

    def message(self, content: str | bytes) -> None:
        """Waits until the server takes it."""
        ...

    def closed(self, code: int, reason: str) -> None: ...

    def written(self, size: int, owed: int) -> None:
        """A message of so many bytes has left for the web interface; `owed`: as `put` was told."""
        ...


class LocalSocket:
    """The half that speaks with the web interface. `put`, `close` and `cut` come from the core thread; `run` blocks."""

    def __init__(self, target: TunnelTarget, path: str, headers: Headers, server: ServerSide) -> None:
        """Raises Rejected."""
        scheme = "wss" if target.tls else "ws"
        self._url = f"{scheme}://{target.shown_host}:{target.port}{rules.path(path)}"
        given = rules.request_headers(headers, target)
        self._headers = dict(pair for pair in given if pair[0].lower() not in _NOT_TO_SOCKET)
        self._server = server
        self._lock = threading.Lock()  # guards _queue
        self._queue: deque[tuple[str | bytes, int]] = deque()  # its bytes are bounded by whoever puts them here
        self._over = threading.Event()
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)
        self._wake_in.setblocking(False)
        self._raw: socket.socket | None = None

    def put(self, content: str | bytes, owed: int = 0) -> None:
        with self._lock:
            self._queue.append((content, owed))
        self._poke()

    def cut(self) -> None:
        self._over.set()
        self._poke()
        raw = self._raw
        if raw is not None:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(raw, socket.SHUT_RDWR)

    def _poke(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_in.send(b"x")

    def run(self) -> None:
        """Until either end closes. Raises LinkLost."""
        try:
            self._run()
        finally:
            self._over.set()
            self._wake_in.close()
            self._wake_out.close()

    def _run(self) -> None:
        try:
            link = open_websocket(
                self._url, self._headers, verify_tls=False, should_stop=self._over.is_set, wake=self._wake_out,
                on_raw=self._keep,
            )  # fmt: skip
        except AgentError as error:
            self._server.closed(NO_UPGRADE, str(error))
            return
        try:
            # What came before we listened was told by the pipe, which opening has emptied.
            answer = link.handshake_response
            said = answer.headers.get("sec-websocket-protocol") if answer is not None else None
            self._server.opened(str(said or ""))
            self._relay(link)
        except (OSError, websocket.WebSocketException) as error:
            self._server.closed(GOING_AWAY, str(error)[:100])
        except (FrameTooLarge, WireError):
            self._server.closed(TOO_BIG, "a message is too large for the tunnel")
        finally:
            self._raw = None
            with contextlib.suppress(OSError, websocket.WebSocketException):
                link.settimeout(0.5)
                link.send_close()
            link.shutdown()

    def _keep(self, raw: socket.socket) -> None:
        self._raw = raw

    def _relay(self, link: BoundedWebSocket) -> None:
        while True:
            self._write(link)
            if self._over.is_set():
                return
            if not self._readable(link):
                continue
            event = link.next_event()
            if isinstance(event, Closed):
                code = event.code if event.code is not None else 1005
                self._server.closed(code, event.reason)
                return
            if isinstance(event, FrameRead):
                self._server.message(event.frame)

    def _write(self, link: BoundedWebSocket) -> None:
        while not self._over.is_set():
            with self._lock:
                if not self._queue:
                    return
                content, owed = self._queue.popleft()
            if isinstance(content, bytes):
                link.send_binary(content)
            else:
                link.send(content)
            self._server.written(size_of(content), owed)

    def _readable(self, link: BoundedWebSocket) -> bool:
        raw = link.sock
        if isinstance(raw, ssl.SSLSocket) and raw.pending():
            return True
        ready = wait_ready([raw, self._wake_out], [], LOOK_SECONDS)
        if self._wake_out in ready:
            drain(self._wake_out)
        return raw in ready


def size_of(content: str | bytes) -> int:
    return len(content) if isinstance(content, bytes) else len(content.encode())


class WholeSocket:
    """`ws.tunnel`: whole messages, no credit; the link itself holds the web interface back."""

    MOST_WAITING = 1024 * 1024
    """Bytes from the server that wait for the web interface; a page's own messages are short."""

    def __init__(self, opening: TunnelSocketData, target: TunnelTarget, uplink: Uplink) -> None:
        """Raises Rejected."""
        self.ref, self._uplink = opening.ref, uplink
        self._lock = threading.Lock()  # guards _waiting
        self._waiting = 0
        self._local = LocalSocket(target, opening.path or "", (), self)

    def take(self, data: TunnelSocketData) -> None:
        if data.kind is TunnelEnd.CLOSE_DOWN:
            self._local.cut()
        elif data.kind is TunnelEnd.MESSAGE_DOWN and data.data is not None:
            with self._lock:
                self._waiting += size_of(data.data)
                full = self._waiting > self.MOST_WAITING
            if full:
                self._local.cut()
            else:
                self._local.put(data.data)

    def cut(self) -> None:
        self._local.cut()

    def run(self) -> None:
        with contextlib.suppress(LinkLost):
            self._local.run()
            self._uplink.send(TunnelSocketData(self.ref, TunnelEnd.CLOSE_UP))

    def opened(self, protocol: str) -> None:
        """The public protocol has no word for it."""

    def message(self, content: str | bytes) -> None:
        self._uplink.send(TunnelSocketData(self.ref, TunnelEnd.MESSAGE_UP, content))

    def closed(self, code: int, reason: str) -> None:
        """It is told once, at the end."""

    def written(self, size: int, owed: int) -> None:  # noqa: ARG002
        with self._lock:
            self._waiting -= size


class StreamSocket:
    """`tunnel_stream`: messages in pieces, with credit both ways, and closes with their codes."""

    def __init__(self, opening: TunnelFrame, target: TunnelTarget, uplink: Uplink) -> None:
        """Raises Rejected."""
        self.ref, self._uplink = opening.ref, uplink
        # Guards what follows, but for _builder; never held during I/O.
        self._changed = threading.Condition()
        self._window = SendWindow(opening.credit)
        self._room = ReceiveWindow()
        self._gone = False
        self._builder = MessageBuilder()  # the core thread's
        self._waiting = 0  # bytes for the web interface, guarded too
        self._told = False
        self._local = LocalSocket(target, opening.path, opening.headers, self)

    # --- core thread ---

    def take(self, frame: TunnelFrame) -> None:
        """Raises WireError."""
        if frame.kind is TunnelKind.CREDIT:
            with self._changed:
                self._window.grant(frame.credit)
                self._changed.notify_all()
        elif frame.kind is TunnelKind.CLOSE:
            self.cut()
        elif frame.kind is TunnelKind.MESSAGE:
            with self._changed:
                self._room.arrived(len(frame.data))
            message = self._builder.add(frame)
            if message is not None:
                size = size_of(message)
                with self._changed:
                    self._waiting += size
                    full = self._waiting - size > MOST_MESSAGE
                if full:
                    raise WireError("the web interface does not read")
                self._local.put(message, len(frame.data))
            else:
                # A message may be larger than the window: room for its rest, its bound is MOST_MESSAGE.
                self._give_back(len(frame.data), at_once=True)

    def cut(self) -> None:
        with self._changed:
            self._gone = True
            self._changed.notify_all()
        self._local.cut()

    # --- its own thread ---

    def run(self) -> None:
        with contextlib.suppress(LinkLost):
            self._local.run()
            if not self._told and not self._gone:
                self.closed(GOING_AWAY, "")

    def opened(self, protocol: str) -> None:
        self._uplink.send(TunnelFrame(TunnelKind.OPENED, self.ref, credit=WINDOW, protocol=protocol))

    def message(self, content: str | bytes) -> None:
        data = content if isinstance(content, bytes) else content.encode()
        if len(data) > MOST_MESSAGE:
            raise WireError("too large")
        for piece, more in message_pieces(data):
            rest = piece
            while True:
                count = self._room_for(len(rest))
                part, rest = rest[:count], rest[count:]
                self._uplink.send(
                    TunnelFrame(
                        TunnelKind.MESSAGE, self.ref, data=part, text=isinstance(content, str), more=more or bool(rest)
                    )
                )  # fmt: skip
                if not rest:
                    break

    def _room_for(self, wanted: int) -> int:
        if wanted == 0:
            return 0
        with self._changed:
            if not self._changed.wait_for(lambda: self._window.left or self._gone, SILENT_SECONDS) or self._gone:
                raise LinkLost
            return self._window.spend(wanted)

    def closed(self, code: int, reason: str) -> None:
        self._told = True
        self._uplink.send(TunnelFrame(TunnelKind.CLOSE, self.ref, code=code, reason=reason[:100]))

    def written(self, size: int, owed: int) -> None:
        with self._changed:
            self._waiting -= size
        self._give_back(owed, at_once=False)

    def _give_back(self, size: int, *, at_once: bool) -> None:
        with self._changed:
            credit = self._room.consumed(size)
        if credit:
            frame = TunnelFrame(TunnelKind.CREDIT, self.ref, credit=credit)
            (self._uplink.tell if at_once else self._uplink.send)(frame)


def refused(ref: str, error: str, code: int = TRY_LATER) -> TunnelFrame:
    return TunnelFrame(TunnelKind.CLOSE, ref, code=code, reason=error[:100])
