"""Which printers are there, for the farm: tells of those that come and go, and wakes whoever has work for them.

On the event loop and in memory; only what is to be told goes to the database, by a worker of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool

from reference_server.background import wait
from reference_server.realtime.hub import Hub
from reference_server.services.errors import StoreFailed
from reference_server.services.fleet.printer_events import Presence
from reference_server.services.fleet.printer_state import PrinterStatus, status_of
from reference_server.services.live import LivePrinter

log = logging.getLogger(__name__)

AWAY_AFTER = 10.0
"""Seconds until a printer that is gone counts as offline: one that comes back within them is no news."""

RESTART_GRACE = 120.0
"""The same after the server's own start: its agents try again ever more rarely."""

LOOK_EVERY = 1.0


class FleetWatch:
    """`changed`: set whenever a printer's status changes."""

    def __init__(self, hub: Hub, presence: Presence, clock: Callable[[], float], changed: asyncio.Event) -> None:
        self._hub, self._presence, self._clock, self._changed = hub, presence, clock, changed
        self._seen: dict[int, PrinterStatus] = {}
        self._told: set[int] = set()  # told to be online
        self._away: dict[int, float] = {}  # told to be online, and offline: when that is to be told
        self._complained = False
        hub.on_news = self.look

    def look(self, live: LivePrinter) -> None:
        """At every change of a printer; microseconds."""
        printer_id, status = live.record.printer.id, status_of(live)
        if self._seen.get(printer_id, PrinterStatus.OFFLINE) is not status:
            self._seen[printer_id] = status
            self._changed.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until the stop."""
        await self.begin()
        while not await wait(stop, LOOK_EVERY):
            await self.look_around()

    async def begin(self) -> None:
        """Whoever was online before the server's start has some time to come back."""
        self._told = set(await run_in_threadpool(self._presence.told_online))
        begin = self._clock() + RESTART_GRACE
        self._away = dict.fromkeys(self._told, begin)

    async def look_around(self) -> None:
        """Tells of those that have come, and of those that have been away for long enough."""
        now = self._clock()
        for printer_id in [number for number in self._seen if self._hub.live.get(number) is None]:
            del self._seen[printer_id]  # deleted
        here = {number for number, status in self._seen.items() if status is not PrinterStatus.OFFLINE}
        for printer_id in self._told - here:
            self._away.setdefault(printer_id, now + AWAY_AFTER)
        for printer_id in [number for number in self._away if number in here or number not in self._told]:
            del self._away[printer_id]
        try:
            for printer_id in sorted(here - self._told):
                await run_in_threadpool(self._presence.tell, printer_id, True)
                self._told.add(printer_id)
            for printer_id in [number for number, due in self._away.items() if now >= due]:
                await run_in_threadpool(self._presence.tell, printer_id, False)
                self._told.discard(printer_id)
                self._away.pop(printer_id, None)
        except StoreFailed as error:
            if not self._complained:
                self._complained = True
                log.error("who is online was not stored yet: %s", error)  # noqa: TRY400 - the text says it all
        else:
            self._complained = False
