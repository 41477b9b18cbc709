"""The worker that makes deliveries of notices and has them carried."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import datetime

from starlette.concurrency import run_in_threadpool

from reference_server.couriers.pool import MOST_CHILDREN, CourierPool
from reference_server.services.alerts.message import Receipt
from reference_server.services.alerts.queue import AlertQueue, Consignment
from reference_server.services.clock import Now
from reference_server.services.errors import StoreFailed

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks into the queue: two small reads."""

TIDY_EVERY = 3600.0
LAST_TIME = 3.0
"""Seconds that what is under way has when the server stops; what has not ended then is carried again later."""


class DeliveryWorker:
    def __init__(self, queue: AlertQueue, pool: CourierPool, now: Now, clock: Callable[[], float]) -> None:
        self._queue, self._pool, self._now, self._clock = queue, pool, now, clock
        self._under_way: dict[asyncio.Task[tuple[datetime, Receipt]], Consignment] = {}
        self._tidied_at = float("-inf")

    async def run(self, stop: asyncio.Event) -> None:
        """Until the stop. Raises StoreFailed."""
        stopping = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                await self._round()
                await asyncio.wait(
                    {stopping, *self._under_way}, timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED
                )
                await self._note_ended()
            if self._under_way:
                await asyncio.wait(self._under_way, timeout=LAST_TIME)
                await self._note_ended()
        finally:
            stopping.cancel()
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)
            self._under_way.clear()
            if stop.is_set():
                await self._pool.close()

    async def _round(self) -> None:
        await run_in_threadpool(self._queue.fan_out)
        if self._clock() - self._tidied_at >= TIDY_EVERY:
            self._tidied_at = self._clock()
            await run_in_threadpool(self._queue.tidy)
        room = MOST_CHILDREN - len(self._under_way)
        if room > 0:
            busy = {one.delivery.channel_id for one in self._under_way.values()}
            for one in await run_in_threadpool(self._queue.due, busy, room):
                self._under_way[asyncio.ensure_future(self._carry(one))] = one

    async def _carry(self, one: Consignment) -> tuple[datetime, Receipt]:
        began = self._now()
        return began, await self._pool.carry(one.parcel)

    async def _note_ended(self) -> None:
        for task in [task for task in self._under_way if task.done()]:
            one = self._under_way[task]
            began, receipt = task.result()
            chance = random.random()  # noqa: S311 - jitter
            try:
                await run_in_threadpool(self._queue.record, one.delivery.id, receipt, began, chance)
            except StoreFailed as error:
                log.error("what came of an alert was not stored: %s", error)  # noqa: TRY400 - the text says it all
            del self._under_way[task]
