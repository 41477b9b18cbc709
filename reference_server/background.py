"""What the server does besides answering: workers that run from start to stop, each an asyncio task.

A worker that fails is logged and begun again after a pause that grows; the others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

log = logging.getLogger(__name__)

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # s

STOP_TIME = 5.0
"""Seconds that workers have to come to an end; then they are cancelled."""


@dataclass(frozen=True, slots=True)
class BackgroundWorker:
    """`run` returns soon after the event is set; it may be called again after it failed."""

    name: str
    run: Callable[[asyncio.Event], Awaitable[None]]


class Background:
    def __init__(self, workers: Sequence[BackgroundWorker]) -> None:
        self._workers = tuple(workers)
        self._tasks: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()

    def start(self) -> None:
        self._stop = asyncio.Event()
        self._tasks = [asyncio.create_task(self._supervise(worker), name=worker.name) for worker in self._workers]

    async def stop(self) -> None:
        self._stop.set()
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=STOP_TIME)
        for task in late:
            log.warning("%s did not end within %g s and is cancelled", task.get_name(), STOP_TIME)
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _supervise(self, worker: BackgroundWorker) -> None:
        pause = FIRST_PAUSE
        while not self._stop.is_set():
            try:
                await worker.run(self._stop)
            except Exception:
                # The server's one place for a catch-all: a bug in a worker costs its round, not the worker.
                log.exception("%s failed and begins again in %g s", worker.name, pause)
                await wait(self._stop, pause)
                pause = min(pause * 2, LONGEST_PAUSE)
            else:
                return


async def wait(stop: asyncio.Event, seconds: float) -> bool:
    """Wait for the stop, at most so long; True when it has come."""
    with contextlib.suppress(TimeoutError, asyncio.TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)
    return stop.is_set()
