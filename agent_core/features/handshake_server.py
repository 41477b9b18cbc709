"""Klipper's own little HTTP server for the handshake: it lives only while the printer waits to be linked.

One thread, at most MOST_CONNECTIONS at once, each with SECONDS for all of it and REQUEST_LIMIT bytes: a slow or a
talkative client costs nothing but its own connection.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from agent_core.features.handshake import PATH, Answer, Caller, Handshake, is_this_machine, plain
from agent_core.runtime.worker import Worker

_log = logging.getLogger(__name__)

PORT = 46793
"""The public agent's (wire-protocol.md §2.2)."""
PORTS_TRIED = 5
"""Several printers on one computer: each takes the next free one, and announces that."""

REQUEST_LIMIT = 4096
MOST_CONNECTIONS = 8
SECONDS = 3.0
MOST_HEADERS = 50


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    peer: str
    until: float
    taken: bytearray = field(default_factory=bytearray)
    left: bytes = b""
    answered: bool = False


class HandshakeServer:
    """`start` binds and serves; `port` is then the one to announce. `on_shutdown`: a program on this machine wants the
    search to end (`POST /shutdown`). Listens on every address, for browsers in the local network: Handshake refuses all
    others. Raises OSError from `start` if no port is free."""

    def __init__(
        self,
        handshake: Handshake,
        on_shutdown: Callable[[], None],
        *,
        port: int = PORT,
        host: str = "0.0.0.0",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._handshake, self._on_shutdown, self._monotonic = handshake, on_shutdown, monotonic
        self._first, self._host = port, host
        self.port = port
        self._connections: dict[int, _Connection] = {}
        self._woken, self._wake = socket.socketpair()
        for end in (self._woken, self._wake):
            end.setblocking(False)
        self._listener: socket.socket | None = None
        self.worker = Worker("handshake", tick=self._turn, on_stop=self._rouse)

    def start(self) -> None:
        self._listener = self._bind()
        self.port = self._listener.getsockname()[1]
        self.worker.start()

    def stop(self) -> None:
        """Returns at once; `dispose` when the worker has ended."""
        self.worker.stop()

    def dispose(self) -> None:
        for connection in list(self._connections.values()):
            self._drop(connection)
        for each in (self._listener, self._woken, self._wake):
            if each is not None:
                each.close()

    def _bind(self) -> socket.socket:
        problem: OSError | None = None
        # Port 0 asks the system for a free one (for tests).
        ports: Iterable[int] = range(self._first, min(self._first + PORTS_TRIED, 65536)) if self._first else (0,)
        for port in ports:
            listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind((self._host, port))
                listener.listen(MOST_CONNECTIONS)
                listener.setblocking(False)
            except OSError as error:
                listener.close()
                problem = error
            else:
                return listener
        raise problem or OSError("no port to listen on")

    def _rouse(self) -> None:
        with contextlib.suppress(OSError):
            self._wake.send(b"\0")

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _turn(self) -> float:
        """Waits for whatever comes next, and does that."""
        listener = self._listener
        if listener is None:
            return 1.0
        poller = select.poll()
        poller.register(self._woken, select.POLLIN)
        if len(self._connections) < MOST_CONNECTIONS:
            poller.register(listener, select.POLLIN)
        for connection in self._connections.values():
            poller.register(connection.socket, select.POLLOUT if connection.left else select.POLLIN)
        ends = [connection.until for connection in self._connections.values()]
        wait = max(0.0, min(ends) - self._monotonic()) if ends else 30.0
        for descriptor, _ in poller.poll(wait * 1000):
            if descriptor == self._woken.fileno():
                with contextlib.suppress(OSError):
                    self._woken.recv(64)
            elif descriptor == listener.fileno():
                self._accept(listener)
            elif (found := self._connections.get(descriptor)) is not None:
                self._serve(found)
        now = self._monotonic()
        for connection in [each for each in self._connections.values() if each.until <= now]:
            self._drop(connection)
        return 0.0

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            client, address = listener.accept()
            client.setblocking(False)
            self._connections[client.fileno()] = _Connection(client, address[0], self._monotonic() + SECONDS)

    def _serve(self, connection: _Connection) -> None:
        try:
            if connection.left:
                connection.left = connection.left[connection.socket.send(connection.left) :]
                if not connection.left:
                    # Their bytes that were not read would make the kernel reset the connection, and lose the answer.
                    connection.socket.shutdown(socket.SHUT_WR)
                return
            part = connection.socket.recv(REQUEST_LIMIT)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part:
            self._drop(connection)
        elif not connection.answered:
            connection.taken += part
            whole = b"\r\n\r\n" in connection.taken
            if whole or len(connection.taken) > REQUEST_LIMIT:
                connection.left, connection.answered = self._reply(connection, whole), True
                connection.taken.clear()

    def _drop(self, connection: _Connection) -> None:
        self._connections.pop(connection.socket.fileno(), None)
        connection.socket.close()

    def _reply(self, connection: _Connection, whole: bool) -> bytes:
        if not whole or connection.taken.index(b"\r\n\r\n") > REQUEST_LIMIT:
            return _written(plain(431, "Request Header Fields Too Large"))
        answer = self._answer(bytes(connection.taken).partition(b"\r\n\r\n")[0].decode("latin-1"), connection.peer)
        return _written(answer)

    def _answer(self, head: str, peer: str) -> Answer:
        first, *lines = head.split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1.") or len(lines) > MOST_HEADERS:
            return plain(400, "Bad Request")
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or name != name.strip():
                return plain(400, "Bad Request")
            name = name.lower()
            headers[name] = f"{headers[name]}, {value.strip()}" if name in headers else value.strip()
        caller = Caller(peer, headers)
        try:
            target = urlsplit(words[1])
            asked = parse_qs(target.query, max_num_fields=10)
        except ValueError:
            return plain(400, "Bad Request")
        if target.path == PATH:
            return self._handshake.answer(words[0], caller, asked.get("device_id", [""])[0])
        if target.path == "/shutdown":
            if words[0] != "POST":
                return plain(405, "Method Not Allowed", ("Allow", "POST"))
            if not is_this_machine(caller):
                return plain(403, "Forbidden")
            self._on_shutdown()
            return plain(200, "The search for a server ends.")
        return plain(404, "Not Found")


def _written(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in answer.headers]
    lines += [f"Content-Length: {len(answer.body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1") + answer.body
