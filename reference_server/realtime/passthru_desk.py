"""Calls of agents' functions that the server itself makes (wire-protocol.md §8), each with its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from agent_core.wire import read
from reference_server.realtime.hub import Hub
from reference_server.services.text import clean

ANSWER_TIME = 10.0
"""Seconds; a download is answered as soon as it begins."""

MOST_WAITING = 1_000
"""Calls that wait for an answer, of all printers."""


@dataclass(frozen=True, slots=True)
class Reply:
    """`value`: what the agent returned; `error`: why it did not, in one line."""

    value: Any = None
    error: str | None = None


OFFLINE = Reply(error="printer offline")
SILENT = Reply(error=f"the agent did not answer within {ANSWER_TIME:g} s")
BUSY = Reply(error="too many calls wait for an answer; try again")


class PassthruDesk:
    def __init__(self, hub: Hub, new_ref: Callable[[], str]) -> None:
        self._hub, self._new_ref = hub, new_ref
        self._waiting: dict[tuple[int, str], asyncio.Future[Reply]] = {}

    async def call(self, printer_id: int, target: str, func: str, *args: Any) -> Reply:
        """Call `target.func(*args)` at the printer's agent and wait for its answer, at most ANSWER_TIME."""
        if len(self._waiting) >= MOST_WAITING:
            return BUSY
        ref = self._new_ref()
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[(printer_id, ref)] = future
        try:
            body = {"target": target, "func": func, "args": list(args), "ref": ref}
            if not self._hub.tell_agent(printer_id, {"passthru": body}):
                return OFFLINE
            return await asyncio.wait_for(future, ANSWER_TIME)
        except (TimeoutError, asyncio.TimeoutError):
            return SILENT
        finally:
            self._waiting.pop((printer_id, ref), None)

    def answered(self, printer_id: int, body: Mapping[str, Any]) -> bool:
        """An agent's frame; True if it answers one of our calls (and nobody else needs it)."""
        future = self._waiting.get((printer_id, str(body.get("ref"))))
        if future is None:
            return False
        if not future.done():
            future.set_result(_reply(body))
        return True

    def agent_lost(self, printer_id: int) -> None:
        """Nobody is there to answer any more."""
        for (waiting_for, _), future in list(self._waiting.items()):
            if waiting_for == printer_id and not future.done():
                future.set_result(OFFLINE)


def _reply(body: Mapping[str, Any]) -> Reply:
    value, error = body.get("ret"), body.get("error")
    inner = read.mapping(value)
    if error is None and inner is not None and "error" in inner:  # OctoPrint's way for some calls (§8)
        error = inner["error"]
    if error is None:
        return Reply(value)
    return Reply(error=clean(str(error), 500) or "the agent refused it")
