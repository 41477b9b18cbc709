"""One HTTP connection: dialled, secured, written and read against one deadline for the whole exchange.

A timeout per read, as HTTP libraries have it, is none against a peer that sends a byte a second.
"""

from __future__ import annotations

import http.client
import io
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from agent_core.errors import Rejected, Unreachable
from agent_core.ports import FileOnDisk
from agent_core.transport import tls
from agent_core.transport.http_form import Piece, Target
from agent_core.transport.proxy import Proxy

SEND_SIZE = 64 * 1024
"""Bytes handed to the socket at once; the deadline is looked at between two."""


class Deadline:
    """Seconds that are left of an exchange. `stall`: what one step of it may take at the most."""

    __slots__ = ("_end", "_monotonic", "_stall")

    def __init__(self, seconds: float, monotonic: Callable[[], float], stall: float | None = None) -> None:
        self._monotonic = monotonic
        self._end = monotonic() + seconds
        self._stall = stall

    def left(self) -> float:
        """More than 0. Raises TimeoutError."""
        left = self._end - self._monotonic()
        if left <= 0:
            raise TimeoutError
        return left if self._stall is None else min(left, self._stall)


class Line:
    """A connection to one peer. `cut` may be called from any thread, all else from the one that uses it."""

    def __init__(
        self, to: Target, proxy: Proxy | None, verify_tls: bool, peer_allowed: Callable[[str], bool] | None = None
    ) -> None:
        # Of `to` only the peer counts: the next exchange may ask for another path.
        self.to = to
        self.proxy = proxy
        self.verify_tls = verify_tls
        # What the name stands for now, not what it stood for a moment ago: names may be made to change in between.
        self._peer_allowed = peer_allowed if proxy is None else None
        self.used = False
        """Whether an exchange went well before: its peer may have closed it meanwhile."""
        self._sock: socket.socket | None = None
        self.is_cut = False

    @property
    def where(self) -> str:
        through = f" (through the proxy {self.proxy.host}:{self.proxy.port})" if self.proxy else ""
        return self.to.where + through

    @property
    def plain_proxy(self) -> bool:
        """Whether a proxy reads the requests itself, rather than passing bytes on."""
        return self.proxy is not None and self.to.scheme == "http"

    def open(self, deadline: Deadline) -> None:
        """Raises OSError (with ssl.SSLError), http.client.HTTPException or Unreachable."""
        host, port = (self.proxy.host, self.proxy.port) if self.proxy else (self.to.host, self.to.port)
        sock = self._dial(host, port, deadline)
        if self.to.scheme == "https":
            if self.proxy is not None:
                self._tunnel(sock, self.proxy, deadline)
            self._secure(sock, deadline)

    def _dial(self, host: str, port: int, deadline: Deadline) -> socket.socket:
        # As bytes, since a str is sent through the idna codec, which costs a megabyte.
        found = socket.getaddrinfo(host.encode(), port, type=socket.SOCK_STREAM)
        allowed = self._peer_allowed
        if allowed is not None and not all(allowed(str(address[0])) for *_, address in found):
            raise Rejected(f"{self.where} leads into a private network, where this must not be fetched from")
        trouble = OSError("no address")
        for index, (family, kind, protocol, _, address) in enumerate(found):
            # An address that swallows packets (a half-working IPv6) must leave time for the next.
            share = deadline.left() / (len(found) - index)
            sock = socket.socket(family, kind, protocol)
            try:
                self._keep(sock)
                sock.settimeout(share)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(address)
            except OSError as error:
                sock.close()
                trouble = error
            else:
                return sock
        raise trouble

    def _keep(self, sock: socket.socket) -> None:
        self._sock = sock
        if self.is_cut:  # cut between two steps of opening
            raise ConnectionAbortedError

    def _tunnel(self, sock: socket.socket, proxy: Proxy, deadline: Deadline) -> None:
        to = f"{self.to.host_in_brackets}:{self.to.port}"
        said = f"Proxy-Authorization: {proxy.authorization}\r\n" if proxy.authorization else ""
        sock.settimeout(deadline.left())
        sock.sendall(f"CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n{said}\r\n".encode())
        answer = self.answer("CONNECT", deadline)
        if answer.status != 200:
            raise Unreachable(f"{self.where}: the proxy refuses with {answer.status}; check the proxy settings")

    def _secure(self, sock: socket.socket, deadline: Deadline) -> None:
        wrapped = tls.context(self.verify_tls).wrap_socket(
            sock, server_hostname=self.to.host, do_handshake_on_connect=False
        )
        self._keep(wrapped)
        wrapped.settimeout(deadline.left())
        wrapped.do_handshake()

    def send(self, pieces: Iterable[Piece], deadline: Deadline) -> None:
        sock = self._open_socket()
        for piece in pieces:
            for part in _parts(piece):
                sock.settimeout(deadline.left())
                sock.sendall(part)

    def answer(self, method: str, deadline: Deadline) -> http.client.HTTPResponse:
        """The answer, its headers read and its body not."""
        source = _Source(_Reader(self._open_socket(), deadline))
        answer = http.client.HTTPResponse(source, method=method)  # type: ignore[arg-type]  # it only calls makefile
        answer.begin()
        return answer

    def _open_socket(self) -> socket.socket:
        if self._sock is None or self.is_cut:
            raise ConnectionAbortedError
        return self._sock

    def alive(self) -> bool:
        """Whether an idle connection can be used again: still open, and nothing came unasked."""
        sock = self._open_socket()
        sock.settimeout(0)
        try:
            # Past the TLS layer, if there is one: anything readable now is a farewell or nonsense.
            socket.socket.recv(sock, 1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def cut(self) -> None:
        """Wakes whoever waits on the connection; it fails at once. The owner still has to close it."""
        self.is_cut = True
        sock = self._sock
        if sock is not None:
            try:
                # Not ssl's own shutdown, which takes the TLS layer away under a reader's feet.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
            except OSError:
                return  # not connected, or closed already

    def close(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()


def _parts(piece: Piece) -> Iterator[bytes | memoryview]:
    """Never more than SEND_SIZE of it in memory. Raises Rejected if a file on disk is not what it was."""
    if not isinstance(piece, FileOnDisk):
        for begin in range(0, len(piece), SEND_SIZE):
            yield piece[begin : begin + SEND_SIZE]
        return
    left = piece.size
    try:
        with Path(piece.path).open("rb", buffering=0) as file:
            while left and (part := file.read(min(SEND_SIZE, left))):
                left -= len(part)
                yield part
    except OSError as error:
        raise Rejected(f"a file that is to be sent cannot be read: {error.strerror}") from None
    if left:
        raise Rejected("a file that is to be sent has become shorter meanwhile")


class _Reader(io.RawIOBase):
    """Bytes from a socket until the deadline."""

    def __init__(self, sock: socket.socket, deadline: Deadline) -> None:
        super().__init__()
        self._source = sock
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed wants its own private Buffer
        self._source.settimeout(self._deadline.left())
        return self._source.recv_into(buffer)


class _Source:
    """What http.client wants of a socket. Closing the file must not close the connection, which may be used again."""

    def __init__(self, reader: _Reader) -> None:
        self._reader = reader

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(self._reader, 16 * 1024)


def failure(error: OSError | http.client.HTTPException) -> str:
    """What happened, in a few words for a person (TLS and timeouts apart, which the caller knows)."""
    match error:
        case socket.gaierror():
            return "no such host; check the name, or this machine's network"
        case ConnectionRefusedError():
            return "nothing listens there (connection refused); is it running, is the port right?"
        case ConnectionError() | http.client.IncompleteRead():
            return "the connection broke off"
        case OSError():
            return f"not reachable ({error.strerror or type(error).__name__})"
    return "does not speak HTTP; check the address"
