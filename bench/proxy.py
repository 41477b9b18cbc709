"""A TCP proxy on loopback between an agent and its server: counts bytes and frames' worth of traffic, and cuts it."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading


class FrameCounter:
    """Counts the WebSocket messages that a client sends over one connection (RFC 6455, section 5.2)."""

    def __init__(self) -> None:
        self.messages = 0
        self._upgraded = False
        self._buffer = bytearray()
        self._skip = 0

    def feed(self, data: bytes) -> None:
        if not self._upgraded:
            self._buffer += data
            head, end, rest = bytes(self._buffer).partition(b"\r\n\r\n")
            if not end or b"upgrade: websocket" not in head.lower():
                del self._buffer[:-4096]
                return
            self._upgraded, self._buffer, data = True, bytearray(), rest
        while data:
            if self._skip:
                skipped = min(self._skip, len(data))
                self._skip -= skipped
                data = data[skipped:]
                continue
            self._buffer += data
            data = self._frame()

    def _frame(self) -> bytes:
        """What follows the header at the buffer's begin; empty if the header is not complete."""
        if len(self._buffer) < 2:
            return b""
        short = self._buffer[1] & 0x7F
        extra = {126: 2, 127: 8}.get(short, 0)
        header = 2 + extra + (4 if self._buffer[1] & 0x80 else 0)
        if len(self._buffer) < header:
            return b""
        self._skip = int.from_bytes(self._buffer[2 : 2 + extra], "big") if extra else short
        self.messages += self._buffer[0] & 0x0F in {1, 2}
        rest = bytes(self._buffer[header:])
        self._buffer.clear()
        return rest


class Proxy:
    """Forwards to `target` (host, port). `cut()` resets every connection; `refuse(True)` takes no new ones; `cut_after`
    resets every connection by itself when so many bytes have come down (each number once, ascending). A connection
    that sends the bytes `mute_on` gets no answer any more: `muted` is set as soon as there was one to hold back."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.bytes_up = 0
        self.bytes_down = 0
        self.cut_after: list[int] = []
        self.mute_on: bytes | None = None
        self.muted = threading.Event()
        self._mute: set[socket.socket] = set()
        self._refusing = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        # Guards _pairs; the thread holds it for each piece it forwards, cut() for its own work.
        self._lock = threading.Lock()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._up: dict[socket.socket, FrameCounter] = {}
        self._counters: list[FrameCounter] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stopping.set()
        self._thread.join(5)
        self.cut()
        self._listener.close()
        self._selector.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def messages_up(self) -> int:
        """WebSocket messages that agents have sent."""
        return sum(counter.messages for counter in self._counters)

    def refuse(self, refusing: bool) -> None:
        self._refusing = refusing

    def cut(self) -> None:
        with self._lock:
            for each in list(self._pairs):
                self._drop(each, reset=True)

    def _run(self) -> None:
        while not self._stopping.is_set():
            for key, _ in self._selector.select(0.2):
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.fileobj in self._pairs:
                        self._forward(key.fileobj)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        if self._refusing:
            _reset(client)
            return
        try:
            upstream = socket.create_connection(self._target, timeout=2)
        except OSError:
            _reset(client)
            return
        counter = FrameCounter()
        self._up[client] = counter
        self._counters.append(counter)
        for each, other in ((client, upstream), (upstream, client)):
            self._pairs[each] = other
            self._selector.register(each, selectors.EVENT_READ)

    def _forward(self, source: socket.socket) -> None:
        try:
            data = source.recv(65536)
            if data and source in self._mute:
                self.muted.set()
                return
            if data:
                if self.mute_on is not None and source in self._up and self.mute_on in data:
                    self._mute.add(self._pairs[source])
                self._pairs[source].sendall(data)
        except OSError:
            data = b""
        if not data:
            self._drop(source, reset=False)
        elif source in self._up:
            self.bytes_up += len(data)
            self._up[source].feed(data)
        else:
            self.bytes_down += len(data)
            if self.cut_after and self.bytes_down >= self.cut_after[0]:
                self.cut_after.pop(0)
                for each in list(self._pairs):
                    self._drop(each, reset=True)

    def _drop(self, source: socket.socket, *, reset: bool) -> None:
        other = self._pairs.pop(source, None)
        pair = [source] if other is None else [source, other]
        for each in pair:
            self._pairs.pop(each, None)
            self._up.pop(each, None)
            self._mute.discard(each)
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(each)
            _reset(each) if reset else each.close()


def _reset(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    connection.close()
