"""A server's side of `/ws/dev/` on a free loopback port, real sockets and all: what the agent says is kept, and the
test says what the server does."""

from __future__ import annotations

import http
import json
import queue
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

PATIENCE = 10.0


class Peer:
    """One connection of an agent."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.frames: queue.Queue[Any] = queue.Queue()
        self.closed = threading.Event()

    def next(self, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
        """The next frame (JSON decoded) that is wanted."""
        while True:
            frame = self.frames.get(timeout=PATIENCE)
            if wanted(frame):
                return frame

    def send(self, message: dict[str, Any] | str | bytes) -> None:
        self.connection.send(json.dumps(message) if isinstance(message, dict) else message)

    def close(self, code: int = 1000) -> None:
        self.connection.close(code)

    def abort(self) -> None:
        """Resets the connection: no close frame, as when a server is killed."""
        raw = self.connection.socket
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        raw.shutdown(socket.SHUT_RDWR)


class SocketServer:
    """`with SocketServer() as server: peer = server.peer()`. `refuse_with` answers the upgrade with that status."""

    def __init__(
        self, *, greeting: dict[str, Any] | None = None, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.greeting = greeting or {
            "remote_status": {"viewing": False, "should_watch": False},
            "server": {"name": "reference_server", "version": "3.0.0", "capabilities": ["event_ack", "command_ack"]},
        }
        self.refuse_with: int | None = None
        self.reading = threading.Event()
        self.reading.set()
        self.requests: list[Request] = []
        self._peers: queue.Queue[Peer] = queue.Queue()
        self._server: Server = serve(
            self._serve, "127.0.0.1", port, process_request=self._process, ssl=tls, ping_interval=None, close_timeout=1,
            max_size=None,
        )  # fmt: skip
        self.port: int = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> SocketServer:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.reading.set()
        self._server.shutdown()
        while not self._peers.empty():
            self._peers.get().connection.close_socket()
        self._thread.join(PATIENCE)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def peer(self, seconds: float = PATIENCE) -> Peer:
        """The next agent that connects."""
        return self._peers.get(timeout=seconds)

    def _process(self, connection: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        if self.refuse_with is None:
            return None
        return connection.respond(http.HTTPStatus(self.refuse_with), "<html>no</html>")

    def _serve(self, connection: ServerConnection) -> None:
        peer = Peer(connection)
        if self.greeting:
            peer.send(self.greeting)
        self._peers.put(peer)
        self.reading.wait(PATIENCE)
        try:
            for frame in connection:
                peer.frames.put(json.loads(frame) if isinstance(frame, str) else frame)
        except (ConnectionClosed, OSError):
            pass
        finally:
            peer.closed.set()
