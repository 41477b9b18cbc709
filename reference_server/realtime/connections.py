"""The sending half of a socket: bounded, so that a peer that does not read harms only itself."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

AGENT_QUEUE = 256
"""Frames waiting for an agent. It has lost its connection when it takes none of so many."""

RELAY_QUEUE = 64
"""Relayed frames (passthru) waiting for a web client; the oldest are dropped."""

SEND_LIMIT = 30.0
"""Seconds that one frame may take."""


AGENT_BULK, AGENT_BULK_BYTES = 1024, 24 * 1024 * 1024
"""Frames of tunnels waiting for an agent, and their bytes. Credit keeps them far below it (agent_core.wire.tunnel)."""


class AgentOutbox:
    """Frames for one agent, in order, none dropped: when it is full the connection is given up. Content of tunnels goes
    when nothing else waits: a command must not stand behind somebody's upload."""

    def __init__(self) -> None:
        self._frames: deque[str] = deque()
        self._bulk: deque[bytes] | None = None  # made when needed: there are thousands of agents
        self._bulk_bytes = 0
        self._wake = asyncio.Event()
        self._close: tuple[int, str] | None = None

    def put(self, frame: str) -> bool:
        """False: the connection is closing, or it closes now because the agent reads nothing."""
        if self._close is not None:
            return False
        if len(self._frames) >= AGENT_QUEUE:
            self.close(1013, "the agent does not read")
            return False
        self._frames.append(frame)
        self._wake.set()
        return True

    def put_bulk(self, frame: bytes) -> bool:
        """False: it was not taken; the connection closes, or too much waits."""
        if self._bulk is None:
            self._bulk = deque()
        if self._close is not None or len(self._bulk) >= AGENT_BULK or self._bulk_bytes > AGENT_BULK_BYTES:
            return False
        self._bulk.append(frame)
        self._bulk_bytes += len(frame)
        self._wake.set()
        return True

    def close(self, code: int, reason: str) -> None:
        """Send what is waiting, then close; the first reason counts."""
        if self._close is None:
            self._close = (code, reason)
            self._wake.set()

    @property
    def closing(self) -> bool:
        return self._close is not None

    async def run(
        self, send: Callable[[str | bytes], Awaitable[None]], close: Callable[[int, str], Awaitable[None]]
    ) -> None:
        """Send until closed. Raises TimeoutError or what `send` raises when the peer is gone."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._frames or (self._bulk and self._close is None):
                if self._frames:
                    await asyncio.wait_for(send(self._frames.popleft()), SEND_LIMIT)
                elif self._bulk:
                    frame = self._bulk.popleft()
                    self._bulk_bytes -= len(frame)
                    await asyncio.wait_for(send(frame), SEND_LIMIT)
            if self._close is not None:
                await asyncio.wait_for(close(*self._close), SEND_LIMIT)
                return


class LateFrame:
    """A frame that is written when the first client is ready for it, and once for all of them."""

    __slots__ = ("_text", "_write")

    def __init__(self, write: Callable[[], str]) -> None:
        self._write: Callable[[], str] | None = write
        self._text = ""

    @property
    def text(self) -> str:
        if self._write is not None:
            self._text, self._write = self._write(), None
        return self._text


class WebOutbox:
    """Frames for one web client: of each state only the newest, of relayed frames the last few. Nothing is taken any
    more once it is closing."""

    def __init__(self) -> None:
        self._states: dict[int, str | LateFrame] = {}  # one a printer
        self._relayed: deque[str] = deque(maxlen=RELAY_QUEUE)
        self._wake = asyncio.Event()
        self._close: tuple[int, str] | None = None

    def put_state(self, key: int, frame: str | LateFrame) -> None:
        if self._close is None:
            self._states[key] = frame
            self._wake.set()

    def put_relayed(self, frame: str) -> None:
        if self._close is None:
            self._relayed.append(frame)
            self._wake.set()

    def forget(self, key: int) -> None:
        self._states.pop(key, None)

    def clear(self) -> None:
        self._states.clear()
        self._relayed.clear()

    def close(self, code: int, reason: str) -> None:
        if self._close is None:
            self._close = (code, reason)
            self._wake.set()

    async def run(self, send: Callable[[str], Awaitable[None]], close: Callable[[int, str], Awaitable[None]]) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._relayed or self._states:
                if self._relayed:
                    await asyncio.wait_for(send(self._relayed.popleft()), SEND_LIMIT)
                if self._states:
                    key = next(iter(self._states))
                    frame = self._states.pop(key)
                    await asyncio.wait_for(send(frame if isinstance(frame, str) else frame.text), SEND_LIMIT)
                # A client that takes all at once must not keep the others waiting: it may look at thousands.
                await asyncio.sleep(0)
            if self._close is not None:
                await asyncio.wait_for(close(*self._close), SEND_LIMIT)
                return


async def both(receive: Coroutine[Any, Any, None], send: Coroutine[Any, Any, None]) -> None:
    """Run the two halves of a socket until one has ended; end the other and raise what went wrong, if anything."""
    tasks = [asyncio.create_task(receive), asyncio.create_task(send)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()
