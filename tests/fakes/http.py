"""A loopback HTTP server that answers as it is told, well or badly, with or without TLS."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import IO

Handler = Callable[["Request", "Peer"], None]


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


class Peer:
    """The client's end of a connection, for handlers."""

    def __init__(self, sock: socket.socket, stopping: threading.Event) -> None:
        self.sock = sock
        self.stopping = stopping
        self.closed = False

    def write(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except OSError:
            self.close()

    def pause(self, seconds: float) -> bool:
        """True while it is worth going on."""
        return not (self.stopping.wait(seconds) or self.closed)

    def close(self) -> None:
        self.closed = True
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)


def reply(
    status: int = 200, body: bytes = b"", headers: Mapping[str, str] | None = None, *, close: bool = False
) -> Handler:
    """An ordinary answer with its length told."""

    def handler(_request: Request, peer: Peer) -> None:
        lines = {"Content-Length": str(len(body)), **(headers or {})}
        if close:
            lines["Connection"] = "close"
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        peer.write(f"HTTP/1.1 {status} Word\r\n{head}\r\n".encode() + body)
        if close:
            peer.close()

    return handler


def raw(data: bytes, *, close: bool = True) -> Handler:
    def handler(_request: Request, peer: Peer) -> None:
        peer.write(data)
        if close:
            peer.close()

    return handler


def drip(head: bytes, piece: bytes = b"x", seconds: float = 0.02) -> Handler:
    """Writes a piece every few milliseconds, for ever."""

    def handler(_request: Request, peer: Peer) -> None:
        peer.write(head)
        while peer.pause(seconds):
            peer.write(piece)

    return handler


def flood(head: bytes, piece: bytes = b"x" * 65536) -> Handler:
    """Writes without end."""

    def handler(_request: Request, peer: Peer) -> None:
        peer.write(head)
        while not (peer.closed or peer.stopping.is_set()):
            peer.write(piece)

    return handler


def silence(_request: Request, peer: Peer) -> None:
    """Takes the request and says nothing."""
    while peer.pause(0.05):
        peer.sock.settimeout(0.01)
        try:
            if not peer.sock.recv(1):
                return
        except (TimeoutError, ssl.SSLWantReadError):
            continue
        except OSError:
            return


def in_turn(*handlers: Handler) -> Handler:
    """One handler after the other; the last stays."""
    left = list(handlers)

    def handler(request: Request, peer: Peer) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(request, peer)

    return handler


class LoopbackServer:
    """`paths` maps a path without its query to what answers there; `connections` counts those taken."""

    def __init__(self, paths: Mapping[str, Handler], tls: ssl.SSLContext | None = None) -> None:
        self.paths = dict(paths)
        self.requests: list[Request] = []
        self.connections = 0
        self._tls = tls
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._peers: set[Peer] = set()
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> LoopbackServer:
        thread = threading.Thread(target=self._accept, daemon=True)
        thread.start()
        self._threads.append(thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop_all()
        for thread in self._threads:
            thread.join(5)

    def drop_all(self) -> None:
        """Closes every connection, idle ones too."""
        for peer in list(self._peers):
            peer.close()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        peer = Peer(sock, self._stopping)
        self._peers.add(peer)
        try:
            if self._tls is not None:
                peer.sock = sock = self._tls.wrap_socket(sock, server_side=True)
            with sock.makefile("rb") as file:
                while not peer.closed and (request := _read(file)) is not None:
                    self.requests.append(request)
                    self.paths.get(request.path.split("?")[0], reply(404))(request, peer)
        except OSError:
            pass  # the client went away
        finally:
            self._peers.discard(peer)
            sock.close()


def _read(file: IO[bytes]) -> Request | None:
    first = file.readline().decode("latin-1").split()
    if len(first) < 2:
        return None
    headers: dict[str, str] = {}
    while line := file.readline().decode("latin-1").strip():
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if first[0] == "CONNECT":
        return Request(first[0], first[1], headers, b"")
    return Request(first[0], first[1], headers, file.read(int(headers.get("content-length", "0"))))
