"""Somebody who looks at the live page: a web socket that is held open, so that agents send fresh statuses.

The standard library has no web sockets; this much of RFC 6455 is enough to be a viewer.
"""

from __future__ import annotations

import base64
import contextlib
import secrets
import socket
import struct
import threading
import urllib.parse

from demo.processes import Trouble

_PING, _PONG = 0x9, 0xA


class Viewer:
    """Opens `/ws/web/` of a server and answers its pings until `close`. Raises Trouble if it may not."""

    def __init__(self, server: str, key: str) -> None:
        address = urllib.parse.urlsplit(server)
        self._socket = socket.create_connection((address.hostname or "127.0.0.1", address.port or 80), 10)
        nonce = base64.b64encode(secrets.token_bytes(16)).decode()
        self._socket.sendall(
            f"GET /ws/web/ HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {nonce}\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
        )
        self._reader = self._socket.makefile("rb")
        status = self._reader.readline()
        if b" 101 " not in status:
            self.close()
            raise Trouble(f"the server refused a viewer: {status.decode('latin-1').strip()}")
        while self._reader.readline().strip():
            pass
        self._socket.settimeout(None)
        self._thread = threading.Thread(target=self._read, name="viewer", daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError, struct.error, ValueError):
            while True:
                first, second = self._reader.read(2)
                size = second & 0x7F
                if size == 126:
                    (size,) = struct.unpack(">H", self._reader.read(2))
                elif size == 127:
                    (size,) = struct.unpack(">Q", self._reader.read(8))
                payload = self._reader.read(size)
                if first & 0x0F == _PING:
                    self._send(_PONG, payload)

    def _send(self, opcode: int, payload: bytes) -> None:
        """One short frame; a client's frames are masked, and a mask of zeros is one."""
        self._socket.sendall(bytes((0x80 | opcode, 0x80 | len(payload))) + bytes(4) + payload)
