"""Who waits for a printer to be linked. On the event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator


class Arrivals:
    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Event] = {}  # one for each printer that a request waits for

    def linked(self, printer_id: int) -> None:
        """An agent has come with a code for this printer."""
        if (event := self._waiting.get(printer_id)) is not None:
            event.set()

    @contextlib.contextmanager
    def expect(self, printer_id: int) -> Iterator[asyncio.Event]:
        """Set when it comes. To be entered before anybody is told."""
        event = self._waiting.setdefault(printer_id, asyncio.Event())
        try:
            yield event
        finally:
            self._waiting.pop(printer_id, None)
