"""The WebSocket to a server: one thread that connects, reads and writes (websocket-client underneath).

The thread waits in `select` on the socket and on a wake-up pipe, so that it can always be stopped, and neither a dead
peer nor a slow one ever holds up anybody else. What happens is delivered as LinkEvents; nothing is decided here.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import websocket
from websocket import ABNF

from agent_core.errors import AgentError, AuthRefused, ServerTrouble, Unreachable, WrongPeer
from agent_core.runtime.worker import Worker
from agent_core.transport.sockets import connected_socket, drain, wrap_tls
from agent_core.wire.codec import MAX_BINARY_BYTES

CONNECT_SECONDS = 20.0
WRITE_SECONDS = 10.0
"""A write that takes longer has a dead peer at its end."""

MAX_FRAME_BYTES = MAX_BINARY_BYTES
UNSENT_BYTES = 64 * 1024
"""What the kernel may hold that has not gone out yet: on a slow line it would otherwise take megabytes of bulk at once,
and a status would have to wait behind them."""

_TCP_NOTSENT_LOWAT = 25
"""Linux's number; Python names it from 3.12 on."""

QUEUE_LIMIT = 64
"""Actions that wait for the thread; the session hands over at most a dozen frames before they are written."""


@dataclass(frozen=True, slots=True)
class Opened:
    pass


@dataclass(frozen=True, slots=True)
class Refused:
    error: AgentError


@dataclass(frozen=True, slots=True)
class FrameRead:
    frame: str | bytes


@dataclass(frozen=True, slots=True)
class Alive:
    """A ping or pong."""


@dataclass(frozen=True, slots=True)
class Written:
    pass


@dataclass(frozen=True, slots=True)
class Closed:
    code: int | None
    reason: str


LinkEvent = Opened | Refused | FrameRead | Alive | Written | Closed


class FrameTooLarge(Exception):
    """The peer announces a frame over the limit."""


class _BoundedBuffer(websocket._abnf.frame_buffer):  # type: ignore[misc]  # the library has no types
    """websocket-client reads whatever length a peer announces; this one refuses first."""

    def recv_length(self) -> None:
        super().recv_length()
        if self.length > MAX_FRAME_BYTES:
            raise FrameTooLarge(f"the peer announced a frame of {self.length} bytes")


class BoundedWebSocket(websocket.WebSocket):  # type: ignore[misc]  # the library has no types
    """A WebSocket that takes whole messages up to MAX_FRAME_BYTES, and answers pings."""

    def __init__(self) -> None:
        super().__init__(enable_multithread=True, skip_utf8_validation=False)
        self.frame_buffer = _BoundedBuffer(self._recv, False)
        self._parts: list[bytes] = []
        self._opcode = 0

    def next_event(self) -> LinkEvent | None:
        """Reads one frame; None for a part of a message. Raises OSError, websocket.WebSocketException,
        FrameTooLarge."""
        frame = self.recv_frame()
        if frame.opcode == ABNF.OPCODE_PING:
            self.pong(frame.data)
            return Alive()
        if frame.opcode == ABNF.OPCODE_PONG:
            return Alive()
        if frame.opcode == ABNF.OPCODE_CLOSE:
            code = int.from_bytes(frame.data[:2], "big") if len(frame.data) >= 2 else None
            return Closed(code, bytes(frame.data[2:]).decode("utf-8", "replace"))
        return self._part(frame)

    def _part(self, frame: ABNF) -> LinkEvent | None:
        if frame.opcode != ABNF.OPCODE_CONT:
            self._opcode = frame.opcode
            self._parts = []
        self._parts.append(bytes(frame.data))
        if sum(map(len, self._parts)) > MAX_FRAME_BYTES:
            raise FrameTooLarge("the peer sent a message over the limit in parts")
        if not frame.fin:
            return None
        data, self._parts = b"".join(self._parts), []
        if self._opcode == ABNF.OPCODE_BINARY:
            return FrameRead(data)
        return FrameRead(data.decode("utf-8", "replace"))


def open_websocket(
    url: str,
    headers: Mapping[str, str],
    *,
    verify_tls: bool,
    should_stop: Callable[[], bool],
    wake: socket.socket,
    on_raw: Callable[[socket.socket], None] = lambda _raw: None,
) -> BoundedWebSocket:
    """A connected WebSocket. Raises Unreachable, TlsRefused, AuthRefused, WrongPeer, ServerTrouble.

    Gives up at once when `wake` becomes readable and `should_stop` says so. `on_raw` gets the TCP connection as soon as
    there is one: shutting that down ends a handshake that hangs.
    """
    parts = urlsplit(url)
    deadline = time.monotonic() + CONNECT_SECONDS
    host = parts.hostname or ""
    secure = parts.scheme == "wss"
    port = parts.port or (443 if secure else 80)
    raw = connected_socket(host, port, deadline, should_stop, wake)
    on_raw(raw)
    link = BoundedWebSocket()
    lines = [f"{name}: {value}" for name, value in headers.items()]
    try:
        raw.settimeout(max(0.1, deadline - time.monotonic()))
        if secure:
            raw = wrap_tls(raw, host, port, verify_tls)
        link.connect(url, socket=raw, header=lines, redirect_limit=0, suppress_origin=True)
        status = link.getstatus()
        if status != 101:
            raise _bad_status(status, f"{host}:{port}")
    except websocket.WebSocketBadStatusException as error:
        raw.close()
        raise _bad_status(error.status_code, f"{host}:{port}") from None
    except (OSError, websocket.WebSocketException) as error:
        raw.close()
        answer = link.handshake_response
        if answer is not None and answer.status != 101:  # a redirect, which the library does not follow for us
            raise _bad_status(answer.status, f"{host}:{port}") from None
        raise Unreachable(f"no WebSocket at {host}:{port}: {error}") from None
    except AgentError:
        raw.close()
        raise
    link.settimeout(WRITE_SECONDS)
    with contextlib.suppress(OSError):  # not on every system; bulk waits a little less well without it
        raw.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    return link


def _bad_status(status: int | None, where: str) -> AgentError:
    if status in {401, 403}:
        return AuthRefused(f"{where} does not accept this printer's token: link the printer again")
    if status is not None and 300 <= status < 400:
        return WrongPeer(f"{where} redirects elsewhere: set the address it redirects to (https instead of http?)")
    if status in {200, 400, 404, 405, 426}:
        return WrongPeer(f"{where} answers, but not as an Obico server (status {status}): check the server address")
    return ServerTrouble(f"{where} cannot serve now (status {status})")


class Link:
    """The server link's thread: takes `connect`, `send`, `ping`, `close`; delivers LinkEvents.

    `deliver` is called on the link's thread and must return at once; it returns False when the receiver is flooded,
    and the connection is then given up. `request` gives URL and headers anew for each attempt.
    """

    def __init__(
        self,
        request: Callable[[], tuple[str, Mapping[str, str]]],
        verify_tls: bool,
        deliver: Callable[[LinkEvent], bool],
    ) -> None:
        self._request = request
        self._verify_tls = verify_tls
        self._deliver = deliver
        self._actions: deque[Callable[[], None]] = deque()
        # Frames that may wait for everything else; whoever hands them over bounds how many there are.
        self._bulk: deque[tuple[bytes, Callable[[bool], None]]] = deque()
        self._socket: BoundedWebSocket | None = None
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)
        self._wake_in.setblocking(False)
        self._handshaking: socket.socket | None = None
        self.worker = Worker("link", tick=self._turn, on_stop=self._on_stop)

    # --- called by the core thread --------------------------------------------------------------------------------

    def connect(self) -> None:
        self._submit(self._do_connect)

    def send(self, frame: str | bytes) -> None:
        self._submit(lambda: self._do_send(frame))

    def send_bulk(self, frame: bytes, done: Callable[[bool], None]) -> None:
        """Sends a frame when nothing else waits; one at a time, and what comes in is read between two. From any thread.

        `done` is called on the link's thread with whether it was written, and must return at once. The caller has few
        frames under way: one that is being written holds up whatever comes after it.
        """
        self._bulk.append((frame, done))
        self.worker.wake()
        self._poke()

    def ping(self) -> None:
        self._submit(self._do_ping)

    def close(self) -> None:
        self._submit(self._do_close)

    def dispose(self) -> None:
        """After the worker has ended: closes what is left."""
        self._do_close()
        self._wake_out.close()
        self._wake_in.close()

    def _submit(self, action: Callable[[], None]) -> None:
        if len(self._actions) < QUEUE_LIMIT:
            self._actions.append(action)
        self.worker.wake()
        self._poke()

    def _poke(self) -> None:
        # A full pipe means that the thread is awake anyway, a closed one that there is no thread.
        with contextlib.suppress(OSError):
            self._wake_in.send(b"x")

    def _on_stop(self) -> None:
        self._poke()
        raw = self._handshaking
        if raw is not None:
            with contextlib.suppress(OSError):
                raw.shutdown(socket.SHUT_RDWR)

    def _remember_raw(self, raw: socket.socket) -> None:
        self._handshaking = raw

    # --- on the link's thread ---------------------------------------------------------------------------------------

    def _turn(self) -> float | None:
        while self._actions:
            self._actions.popleft()()
        link = self._socket
        if link is None:
            self._drop_bulk()
            return None
        readable, writable = self._ready(link)
        if writable and self._bulk and not self._actions:
            self._send_one_bulk(*self._bulk.popleft())
        if not readable or self._socket is not link:
            return 0.0
        try:
            event = link.next_event()
        except (OSError, websocket.WebSocketException, FrameTooLarge) as error:
            self._lost(str(error) or type(error).__name__)
            return 0.0
        if isinstance(event, Closed):
            self._do_close()
        if event is not None and not self._deliver(event) and self._socket is not None:
            self._lost("more came from the server than could be handled")
        return 0.0

    def _ready(self, link: BoundedWebSocket) -> tuple[bool, bool]:
        """Whether the socket can be read, and whether it takes bulk at once; waits for either, or for the wake-up."""
        raw = link.sock
        pending = isinstance(raw, ssl.SSLSocket) and raw.pending() > 0
        poller = select.poll()
        poller.register(raw, select.POLLIN | (select.POLLOUT if self._bulk else 0))
        poller.register(self._wake_out, select.POLLIN)
        found = dict(poller.poll(0 if pending else 60_000))
        if self._wake_out.fileno() in found:
            drain(self._wake_out)
        told = found.get(raw.fileno(), 0)
        return pending or bool(told & ~select.POLLOUT), bool(told & select.POLLOUT)

    def _do_connect(self) -> None:
        self._do_close()
        url, headers = self._request()
        try:
            self._socket = open_websocket(
                url,
                headers,
                verify_tls=self._verify_tls,
                should_stop=self.worker.stopping.is_set,
                wake=self._wake_out,
                on_raw=self._remember_raw,
            )
        except AgentError as error:
            self._deliver(Refused(error))
            return
        finally:
            self._handshaking = None
        self._deliver(Opened())

    def _do_send(self, frame: str | bytes) -> None:
        if self._socket is None:
            return
        try:
            if isinstance(frame, bytes):
                self._socket.send_binary(frame)
            else:
                self._socket.send(frame)
        except (OSError, websocket.WebSocketException) as error:
            self._lost(f"could not write: {error}")
            return
        self._deliver(Written())

    def _send_one_bulk(self, frame: bytes, done: Callable[[bool], None]) -> None:
        link, written = self._socket, False
        try:
            if link is not None:
                link.send_binary(frame)
                written = True
        except (OSError, websocket.WebSocketException) as error:
            self._lost(f"could not write: {error}")
        finally:
            done(written)

    def _drop_bulk(self) -> None:
        while self._bulk:
            self._bulk.popleft()[1](False)

    def _do_ping(self) -> None:
        if self._socket is None:
            return
        try:
            self._socket.ping()
        except (OSError, websocket.WebSocketException) as error:
            self._lost(f"could not write: {error}")

    def _lost(self, reason: str) -> None:
        if self._socket is not None:
            self._do_close()
            self._deliver(Closed(None, reason))

    def _do_close(self) -> None:
        link, self._socket = self._socket, None
        self._drop_bulk()
        if link is None:
            return
        # A polite goodbye if the socket takes it at once; the server then shows the printer offline now.
        with contextlib.suppress(OSError, websocket.WebSocketException):
            link.settimeout(0.5)
            link.send_close()
        link.shutdown()
