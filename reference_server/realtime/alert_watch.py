"""Looks for what people want to be told besides a print's events: heaters, printers away, cameras, doubled tokens.

On the event loop and in memory; only what was found goes to the database, by a worker of its own, so that the status
path never waits for SQL. What a kill loses between the two is found again after the start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable
from datetime import timedelta

from starlette.concurrency import run_in_threadpool

from reference_server.realtime.hub import Hub
from reference_server.services.alerts.findings import Away, Back, Doubled, Finding, Findings, Heater, NoPictures
from reference_server.services.alerts.heaters import HeaterTracker
from reference_server.services.clock import Now
from reference_server.services.errors import StoreFailed, Throttled
from reference_server.services.live import LivePrinter
from reference_server.services.model import Json
from reference_server.services.throttle import Throttle

log = logging.getLogger(__name__)

MOST_FINDINGS = 1000
"""That wait to be written; more are dropped, and said to be."""

LOOK_EVERY = 5.0
"""Seconds between two looks at who is away."""

CAMERA_SILENCE = 300.0
"""Seconds without a picture after which a camera that gave some of this print counts as broken."""

PUSHED_OUT = 3
PUSHED_OUT_WITHIN = 600.0
"""So often within so many seconds a new agent pushes another one out: then two use the same token. Once or twice is an
agent whose old connection was not yet known to be dead."""


class AlertWatch:
    """`offline_after`: seconds without an agent in mid-print until it is told."""

    def __init__(
        self, hub: Hub, findings: Findings, now: Now, clock: Callable[[], float], offline_after: float
    ) -> None:
        self._hub, self._findings, self._now, self._clock = hub, findings, now, clock
        self._offline_after = offline_after
        self._heaters: dict[int, HeaterTracker] = {}
        self._pushes: dict[int, deque[float]] = {}
        self._absent: dict[int, float] = {}  # in mid-print, since when (monotonic seconds)
        self._told: set[int] = set()  # of those: whom we have told of
        self._blind: dict[int, int] = {}  # printer -> the print whose camera we have told of
        self._found: deque[Finding] = deque()
        self._wake = asyncio.Event()
        self._complained = False
        # A printer that changes its targets with every status is no reason to fill the disk.
        self._heater_limit = Throttle(30, 600, clock)
        self._doubled_limit = Throttle(1, 3600, clock)

    # --- from the agent's socket ---------------------------------------------------------------------------------

    def connected(self, printer_id: int, *, pushed_out: bool) -> None:
        """`pushed_out`: another connection of that printer was closed for this one."""
        if not pushed_out:
            return
        now = self._clock()
        times = self._pushes.setdefault(printer_id, deque(maxlen=PUSHED_OUT))
        times.append(now)
        if len(times) == PUSHED_OUT and now - times[0] <= PUSHED_OUT_WITHIN:
            with contextlib.suppress(Throttled):
                self._doubled_limit.take(str(printer_id))
                self._put(Doubled(printer_id))

    def status(self, live: LivePrinter, status: Json | None) -> None:
        """Each status, as it comes; microseconds."""
        if status is None:
            return
        printer_id = live.record.printer.id
        tracker = self._heaters.get(printer_id)
        if tracker is None:
            tracker = self._heaters[printer_id] = HeaterTracker()
        for news in tracker.feed(status.get("temperatures")):
            with contextlib.suppress(Throttled):
                self._heater_limit.take(str(printer_id))
                self._put(Heater(printer_id, news))

    def _put(self, finding: Finding) -> None:
        if len(self._found) >= MOST_FINDINGS:
            if not self._complained:
                self._complained = True
                log.warning("more than %d alerts wait to be written: some are dropped", MOST_FINDINGS)
            return
        self._found.append(finding)
        self._wake.set()

    # --- the worker ----------------------------------------------------------------------------------------------

    async def run(self, stop: asyncio.Event) -> None:
        """Until the stop. Looks around, and writes what was found."""
        printing, told = await run_in_threadpool(self._findings.away_before)
        now = self._clock()
        for printer_id in printing:
            self._absent.setdefault(printer_id, now)
        self._told.update(told)
        every = min(LOOK_EVERY, max(0.05, self._offline_after / 4))
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                self._look_around()
                await self._write_all()
                waking = asyncio.ensure_future(self._wake.wait())
                await asyncio.wait({stopping, waking}, timeout=every, return_when=asyncio.FIRST_COMPLETED)
                waking.cancel()
                self._wake.clear()
            await self._write_all()
        finally:
            stopping.cancel()

    async def _write_all(self) -> None:
        while self._found:
            try:
                await run_in_threadpool(self._findings.write, self._found[0])
            except StoreFailed as error:
                log.error("an alert was not stored yet: %s", error)  # noqa: TRY400 - the text says it all
                return
            self._found.popleft()
        self._complained = False

    def _look_around(self) -> None:
        now = self._clock()
        known = set()
        for live in self._hub.live.all():
            printer_id = live.record.printer.id
            known.add(printer_id)
            job = live.record.current_print
            if live.agent_connected:
                self._absent.pop(printer_id, None)
                if printer_id in self._told:
                    self._told.discard(printer_id)
                    self._put(Back(printer_id))
                self._look_at_camera(live)
            elif job is not None and not job.ended:
                self._absent.setdefault(printer_id, now)
            else:
                self._absent.pop(printer_id, None)
        for printer_id, since in list(self._absent.items()):
            if now - since >= self._offline_after and printer_id not in self._told:
                self._told.add(printer_id)
                self._put(Away(printer_id, self._now() - timedelta(seconds=now - since)))
        for printer_id in [number for number in self._heaters if number not in known]:
            del self._heaters[printer_id]  # deleted
        for number in [number for number, times in self._pushes.items() if now - times[-1] > PUSHED_OUT_WITHIN]:
            del self._pushes[number]

    def _look_at_camera(self, live: LivePrinter) -> None:
        printer_id, job, picture = live.record.printer.id, live.record.current_print, live.primary_picture
        if job is None or picture is None or not live.is_printing:
            return
        now = self._now()
        silent = (now - max(picture.at, live.online_since or now)).total_seconds() >= CAMERA_SILENCE
        if silent and picture.at >= job.started_at and self._blind.get(printer_id) != job.id:
            self._blind[printer_id] = job.id
            self._put(NoPictures(printer_id, picture.at))
