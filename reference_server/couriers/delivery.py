"""The worker that empties a queue of deliveries: alerts have one, the farm's web hooks have one."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from starlette.concurrency import run_in_threadpool

from reference_server.background import wait
from reference_server.services.clock import Now
from reference_server.services.deliveries import Receipt
from reference_server.services.errors import StoreFailed

log = logging.getLogger(__name__)

LOOK_EVERY = 1.0
"""Seconds between two looks into a queue: two small reads."""

TIDY_EVERY = 3600.0
STORE_PAUSE = 10.0
"""Seconds without deliveries when the database does not take what came of them: they would go out again and again."""

LAST_TIME = 3.0
"""Seconds that what is under way has when the server stops; what has not ended then is carried again later."""


class Consignment(Protocol):
    """A delivery whose time has come. `owner`: whose it is: a channel's, a web hook's."""

    @property
    def number(self) -> int: ...
    @property
    def owner(self) -> int: ...


One = TypeVar("One", bound=Consignment)
One_co = TypeVar("One_co", bound=Consignment, covariant=True)


class Queue(Protocol[One_co]):
    """Each raises StoreFailed."""

    def fan_out(self) -> int: ...
    def tidy(self) -> None: ...
    def due(self, under_way: Mapping[int, int], limit: int) -> Sequence[One_co]:
        """At most `limit` that may go now. `under_way`: number -> owner of those that do already."""

    def record(self, delivery_id: int, receipt: Receipt, began: datetime, chance: float) -> None: ...


class DeliveryWorker(Generic[One]):
    """`carry` has one carried; `most` at a time; `close` when the server stops."""

    def __init__(
        self, queue: Queue[One], carry: Callable[[One], Awaitable[Receipt]], close: Callable[[], Awaitable[None]],
        most: int, now: Now, clock: Callable[[], float],
    ) -> None:  # fmt: skip
        self._queue, self._carry, self._close, self._most = queue, carry, close, most
        self._now, self._clock = now, clock
        self._under_way: dict[asyncio.Task[tuple[datetime, Receipt]], One] = {}
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
                if not await self._note_ended():
                    await wait(stop, STORE_PAUSE)
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
                await self._close()

    async def _round(self) -> None:
        await run_in_threadpool(self._queue.fan_out)
        if self._clock() - self._tidied_at >= TIDY_EVERY:
            self._tidied_at = self._clock()
            await run_in_threadpool(self._queue.tidy)
        room = self._most - len(self._under_way)
        if room > 0:
            under_way = {one.number: one.owner for one in self._under_way.values()}
            for one in await run_in_threadpool(self._queue.due, under_way, room):
                self._under_way[asyncio.ensure_future(self._send(one))] = one

    async def _send(self, one: One) -> tuple[datetime, Receipt]:
        began = self._now()
        return began, await self._carry(one)

    async def _note_ended(self) -> bool:
        """False: something could not be stored, and will be carried again."""
        stored = True
        for task in [task for task in self._under_way if task.done()]:
            one = self._under_way[task]
            began, receipt = task.result()
            chance = random.random()  # noqa: S311 - jitter
            try:
                await run_in_threadpool(self._queue.record, one.number, receipt, began, chance)
            except StoreFailed as error:
                log.error("what came of a delivery was not stored: %s", error)  # noqa: TRY400 - the text says it all
                stored = False
            del self._under_way[task]
        return stored
