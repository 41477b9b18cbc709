"""The sockets of the stand-in: klippy's API socket and the control socket, in one thread that sleeps in select."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from demo.klippy.control import Control
from demo.klippy.host import Host
from demo.klippy.protocol import Protocol, Session

MAX_REQUEST = 4 * 1024 * 1024  # bytes of one message; klippy's clients send far less
MAX_OUTPUT = 16 * 1024 * 1024  # bytes that a client may leave unread before it is dropped


class Connection:
    """One client of either socket: splits what comes in at `separator`, sends JSON followed by it."""

    def __init__(
        self,
        sock: socket.socket,
        selector: selectors.BaseSelector,
        separator: bytes,
        handle: Callable[[Connection, object], None],
        closed: Callable[[Connection], None],
    ) -> None:
        self._sock = sock
        self._selector = selector
        self._separator = separator
        self._handle = handle
        self._closed = closed
        self._input = b""
        self._output = b""
        self.open = True
        sock.setblocking(False)
        selector.register(sock, selectors.EVENT_READ, self.ready)

    def ready(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._flush()
        if mask & selectors.EVENT_READ and self.open:
            self._read()

    def _read(self) -> None:
        try:
            data = self._sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._input += data
        if not data or len(self._input) > MAX_REQUEST:
            self.close()
            return
        *messages, self._input = self._input.split(self._separator)
        for message in messages:
            if not self.open:
                return
            try:
                parsed = json.loads(message)
            except ValueError:
                continue  # as klippy does: not JSON, not answered
            self._handle(self, parsed)

    def send(self, message: dict[str, Any]) -> None:
        if not self.open:
            return
        self._output += json.dumps(message, separators=(",", ":")).encode() + self._separator
        if len(self._output) > MAX_OUTPUT:
            self.close()
            return
        self._flush()

    def _flush(self) -> None:
        try:
            sent = self._sock.send(self._output) if self._output else 0
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        self._output = self._output[sent:]
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._output else 0)
        self._selector.modify(self._sock, mask, self.ready)

    def close(self) -> None:
        if not self.open:
            return
        self.open = False
        self._selector.unregister(self._sock)
        self._sock.close()
        self._closed(self)


class Door:
    """A listening unix socket that can be shut and opened again; while shut, connecting is refused."""

    def __init__(self, path: Path, selector: selectors.BaseSelector, accept: Callable[[socket.socket], None]) -> None:
        self._path = path
        self._selector = selector
        self._accept = accept
        self._sock: socket.socket | None = None

    def open(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.bind(str(self._path))
        self._sock.listen(8)
        self._sock.setblocking(False)
        self._selector.register(self._sock, selectors.EVENT_READ, self._ready)

    def _ready(self, _mask: int) -> None:
        if self._sock is not None:
            with contextlib.suppress(BlockingIOError):
                self._accept(self._sock.accept()[0])

    def shut(self) -> None:
        """The file stays, as after a crash: clients see "connection refused"."""
        if self._sock is not None:
            self._selector.unregister(self._sock)
            self._sock.close()
            self._sock = None

    def remove(self) -> None:
        self.shut()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()


class Server:
    """Runs a host behind its sockets until `stop`."""

    def __init__(self, host: Host, path: Path, control_path: Path | None) -> None:
        self._host = host
        self._selector = selectors.DefaultSelector()
        self._protocol = Protocol(host)
        self._sessions: dict[Connection, Session] = {}
        self._control = Control(host, self._drop_all)
        self._guests: list[Connection] = []
        self._door = Door(path, self._selector, self._accept)
        self._control_door = Door(control_path, self._selector, self._accept_guest) if control_path else None
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_write, False)
        self._stopping = False
        host.listener = self

    # -- Listener: what the host tells us ------------------------------------------------------------------

    def gcode_response(self, text: str) -> None:
        for session in list(self._sessions.values()):
            self._protocol.gcode_response(session, text)

    def go_offline(self) -> None:
        self._door.shut()
        self._drop_all()

    def go_online(self) -> None:
        self._door.open()

    def hurry(self) -> None:
        self._protocol.hurry()

    # -- sockets -------------------------------------------------------------------------------------------

    def _accept(self, sock: socket.socket) -> None:
        connection = Connection(sock, self._selector, b"\x03", self._request, self._lost)
        self._sessions[connection] = Session(connection.send)

    def _request(self, connection: Connection, message: object) -> None:
        self._protocol.handle(self._sessions[connection], message)

    def _lost(self, connection: Connection) -> None:
        self._sessions.pop(connection, None)

    def _drop_all(self) -> None:
        for connection in list(self._sessions):
            connection.close()

    def _accept_guest(self, sock: socket.socket) -> None:
        self._guests.append(
            Connection(
                sock,
                self._selector,
                b"\n",
                lambda connection, message: connection.send(self._control.handle(message)),
                self._guests.remove,
            )
        )

    # -- the loop ------------------------------------------------------------------------------------------

    def open(self) -> None:
        self._selector.register(self._wake_read, selectors.EVENT_READ, lambda _mask: None)
        self._door.open()
        if self._control_door is not None:
            self._control_door.open()

    def stop(self) -> None:
        """May be called from a signal handler or another thread."""
        self._stopping = True
        with contextlib.suppress(OSError):
            os.write(self._wake_write, b"x")

    def run(self) -> None:
        """Serve until `stop`, then leave no socket behind."""
        try:
            while not self._stopping:
                due = self._host.poll()
                self._protocol.tick(list(self._sessions.values()))
                dues = [d for d in (due, self._protocol.due()) if d is not None]
                timeout = max(0.0, min(dues) - self._host.clock()) if dues else None
                for key, mask in self._selector.select(timeout):
                    key.data(mask)
        finally:
            self.close()

    def close(self) -> None:
        self._drop_all()
        for guest in list(self._guests):
            guest.close()
        self._door.remove()
        if self._control_door is not None:
            self._control_door.remove()
        self._host.printer.sdcard.close()
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
