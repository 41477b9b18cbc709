"""One child process that carries the farm's web hooks, many at a time; started when needed and ended when idle."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from dataclasses import asdict
from itertools import count
from typing import Any

from reference_server.couriers.process import IDLE, end_child, start_child
from reference_server.net.policy import AddressPolicy
from reference_server.services.deliveries import Receipt
from reference_server.services.fleet.hooks.message import HookParcel

log = logging.getLogger(__name__)

TIME = 20.0
"""Seconds until a child that does not answer is killed; a web hook has its own limit of 10 s inside."""

MOST_WAITING = 200
"""Orders that the child has not answered: deliveries (hooks/queue.py bounds them), tests and looks at addresses."""

_GONE = "the process that carries it has failed"


class _Child:
    """One event loop."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.reader = asyncio.ensure_future(self._read())

    @property
    def alive(self) -> bool:
        return self.process.returncode is None and not self.reader.done()

    async def ask(self, number: int, order: dict[str, Any], seconds: float) -> dict[str, Any]:
        """Raises OSError: the child is gone; TimeoutError."""
        if self.process.stdin is None:
            raise BrokenPipeError
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.waiting[number] = answer
        try:
            self.process.stdin.write(json.dumps(order | {"number": number}).encode() + b"\n")
            await self.process.stdin.drain()
            return await asyncio.wait_for(answer, seconds)
        finally:
            self.waiting.pop(number, None)

    async def _read(self) -> None:
        """Until the child ends; whoever waits then is told."""
        try:
            while self.process.stdout is not None and (line := await self.process.stdout.readline()):
                found = json.loads(line)
                answer = self.waiting.get(found["number"])
                if answer is not None and not answer.done():
                    answer.set_result(found)
        except (OSError, ValueError):
            pass  # it is no good any more, just as if it had ended
        finally:
            for answer in self.waiting.values():
                if not answer.done():
                    answer.set_exception(BrokenPipeError())

    async def end(self) -> None:
        await end_child(self.process)
        self.reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.reader


class HookPool:
    """One event loop; `close` when the server stops."""

    def __init__(self, policy: AddressPolicy) -> None:
        self._policy = policy
        self._child: _Child | None = None
        self._changing = asyncio.Lock()  # one start or end at a time
        self._numbers = count(1)
        self._goodbye: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def carry(self, parcel: HookParcel) -> Receipt:
        return await self._ask(asdict(parcel) | {"op": "webhook"})

    async def examine(self, url: str) -> str | None:
        """Why an address cannot be used; None: it can, as far as that can be told."""
        found = await self._ask({"op": "examine", "kind": "webhook", "target": url})
        return None if found.ok else found.detail

    async def close(self) -> None:
        self._closed = True
        await self._drop(self._child)
        await asyncio.gather(*self._ending)

    async def _ask(self, order: dict[str, Any]) -> Receipt:
        order |= {"allow_private": self._policy.allow_private, "allow_loopback": self._policy.allow_loopback}
        child = None
        try:
            child = await self._take()
            if child is None or len(child.waiting) >= MOST_WAITING:
                return Receipt(False, "the server is stopping" if child is None else "too many others are under way")
            found = await child.ask(next(self._numbers), order, TIME)
        except (TimeoutError, asyncio.TimeoutError):
            await self._drop(child)
            return Receipt(False, f"no end within {TIME:g} s", took=TIME)
        except OSError as error:
            if not self._closed:
                log.warning("the process that carries web hooks has failed: %s", type(error).__name__)
            return Receipt(False, _GONE)
        finally:
            self._wait_for_more()
        return Receipt(
            bool(found["ok"]), str(found["detail"]), found["status"], float(found["took"]), bool(found["final"]),
            str(found.get("answer", "")),
        )  # fmt: skip

    async def _take(self) -> _Child | None:
        if self._goodbye is not None:
            self._goodbye.cancel()
        async with self._changing:
            if not self._closed and (self._child is None or not self._child.alive):
                self._child = _Child(await start_child())
            return None if self._closed else self._child

    def _wait_for_more(self) -> None:
        if self._goodbye is not None:
            self._goodbye.cancel()
        self._goodbye = asyncio.get_running_loop().call_later(IDLE, self._send_home)

    def _send_home(self) -> None:
        child = self._child
        if child is not None and not child.waiting:
            task = asyncio.ensure_future(self._drop(child))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _drop(self, child: _Child | None) -> None:
        if child is None:
            return
        async with self._changing:
            if self._child is child:
                self._child = None
            await child.end()
