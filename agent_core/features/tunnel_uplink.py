"""The tunnel's way to the server: frames go out one by one, behind everything that matters more."""

from __future__ import annotations

import threading
from collections.abc import Callable

from agent_core.wire.codec import encode
from agent_core.wire.messages import TunnelResponse, TunnelSocketData
from agent_core.wire.tunnel import TunnelFrame

SLOTS = 2
"""Frames handed to the link and not yet written, of all exchanges together: one is written, the next is ready."""

Outgoing = TunnelFrame | TunnelResponse | TunnelSocketData


class LinkLost(Exception):
    """The exchange is over: its link, or the agent, has gone."""


class Uplink:
    """Belongs to one connection to the server: `cut` ends it, and everyone who waits. Thread-safe."""

    def __init__(self, send: Callable[[bytes, Callable[[bool], None]], None]) -> None:
        self._send = send
        self._free = threading.Semaphore(SLOTS)
        self.lost = threading.Event()

    def send(self, message: Outgoing) -> None:
        """Waits until the link takes it. Raises LinkLost, WireError for what cannot be sent."""
        frame = encode(message)
        assert isinstance(frame, bytes)  # noqa: S101 - a tunnel's messages are binary (codec.py)
        self._free.acquire()
        if self.lost.is_set():
            self._free.release()
            raise LinkLost
        self._send(frame, self._written)

    def tell(self, message: Outgoing) -> None:
        """A short word that cannot wait for its turn; returns at once."""
        frame = encode(message)
        assert isinstance(frame, bytes)  # noqa: S101 - as above
        self._send(frame, lambda _ok: None)

    def _written(self, ok: bool) -> None:
        if not ok:
            self.lost.set()
        self._free.release()

    def cut(self) -> None:
        self.lost.set()
        # Each that waits takes one, sees the flag, and gives it back to the next.
        self._free.release()
