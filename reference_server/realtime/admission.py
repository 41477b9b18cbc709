"""Whose token is it? Asked for many agents at once: after a restart of the server all of them come back together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from starlette.concurrency import run_in_threadpool

from reference_server.services.errors import StoreFailed
from reference_server.services.model import PrinterRecord

BATCH = 200
"""Tokens in one question to the database."""


class Admission:
    """Tokens are asked for in batches, one batch at a time; who comes meanwhile waits for the next. Nothing is kept:
    a token that was replaced is refused from its commit on. Bounded by the number of open connections."""

    def __init__(self, find: Callable[[Sequence[str]], Mapping[str, PrinterRecord]]) -> None:
        self._find = find
        self._waiting: dict[str, list[asyncio.Future[PrinterRecord | None]]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def record(self, token: str) -> PrinterRecord | None:
        """The printer that the token speaks for. Raises StoreFailed."""
        future: asyncio.Future[PrinterRecord | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(token, []).append(future)
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await future

    async def _ask(self) -> None:
        while self._waiting:
            batch = dict(islice(self._waiting.items(), BATCH))
            for token in batch:
                del self._waiting[token]
            found: Mapping[str, PrinterRecord] = {}
            failure: StoreFailed | None = None
            try:
                found = await run_in_threadpool(self._find, list(batch))
            except StoreFailed as error:
                failure = error
            for token, futures in batch.items():
                for future in futures:
                    if future.done():  # the agent has gone
                        continue
                    if failure is not None:
                        future.set_exception(failure)
                    else:
                        future.set_result(found.get(token))
