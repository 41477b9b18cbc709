"""The core thread's inbox: bounded, never blocking, and a report that still waits gives way to a newer one."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from agent_core.model import HostEvent, PrinterReported
from agent_core.transport.websocket import FrameRead, LinkEvent

HOST_LIMIT = 1000
"""Host events that wait; a printer makes a handful a minute, and reports count as one."""

FRAME_LIMIT = 256
"""Frames of the server that wait; beyond it the link is given up, for no honest server sends so fast."""

Internal = Callable[[], None]
Item = HostEvent | LinkEvent | Internal


class Inbox:
    """Thread-safe; many write, the core thread reads."""

    def __init__(self) -> None:
        # Guards both fields below; held for a few instructions.
        self._lock = threading.Lock()
        self._items: deque[Item] = deque()
        self._frames = 0

    def put_host(self, event: HostEvent) -> bool:
        """False if the inbox is full, which only a core thread that stands still can cause."""
        with self._lock:
            last = self._items[-1] if self._items else None
            if isinstance(event, PrinterReported) and isinstance(last, PrinterReported):
                self._items[-1] = replace(event, urgent=event.urgent or last.urgent)
                return True
            if len(self._items) >= HOST_LIMIT:
                return False
            self._items.append(event)
            return True

    def put_link(self, event: LinkEvent) -> bool:
        """False if the server floods us."""
        with self._lock:
            if isinstance(event, FrameRead):
                if self._frames >= FRAME_LIMIT:
                    return False
                self._frames += 1
            self._items.append(event)
            return True

    def put(self, task: Internal) -> None:
        """A result of our own workers; as many as there are commands, thus few."""
        with self._lock:
            self._items.append(task)

    def take(self) -> Item | None:
        with self._lock:
            if not self._items:
                return None
            item = self._items.popleft()
            if isinstance(item, FrameRead):
                self._frames -= 1
            return item
