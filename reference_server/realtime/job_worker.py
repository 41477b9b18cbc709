"""The farm's scheduler at work: gives waiting copies to printers, asks their agents, and looks after what is under way.

On the event loop; what touches the database goes to a thread. Nothing here is kept over a restart: every round begins
with the open attempts of the database, and an agent that is asked again about an order tells what became of it. Ages
are monotonic seconds since this process first saw something, so a clock that jumps changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool

from agent_core.wire import read
from agent_core.wire.messages import CommandName
from reference_server.realtime.command_desk import CommandDesk
from reference_server.realtime.hub import Hub
from reference_server.realtime.passthru_desk import BUSY, OFFLINE, SILENT, PassthruDesk
from reference_server.realtime.peers import AckSupport, AgentPeer, expected_acks
from reference_server.services.errors import StoreFailed
from reference_server.services.fleet.jobs.handover import ASSIGNED_AT_ONCE, START_TIME, HandOver, Work
from reference_server.services.fleet.jobs.model import Attempt, AttemptState
from reference_server.services.fleet.jobs.slots import Readiness, readiness_of
from reference_server.services.live import LivePrinter
from reference_server.services.model import GCodeFile, Json
from reference_server.services.watching import is_downloading

log = logging.getLogger(__name__)

LOOK_EVERY = 2.0
"""Seconds between two rounds when nothing calls for one."""

AWAY_TIME = 60.0
"""Seconds without an agent until a copy that was not permitted goes to another printer."""

PERMIT_AWAY_TIME = 3600.0
"""Seconds that a copy which may have started waits for its agent's return, beyond START_TIME."""

FETCH_TIME = 2700.0
"""Seconds that an agent may take over the file, as long as it says that it downloads (it gives up after 1800)."""

REST_TIME = 15.0
"""Seconds that a printer gets no job after its agent has refused one; doubled each time in a row."""
LONGEST_REST = 240.0

ASK_EVERY = 5.0
"""Seconds until an agent that gave no answer is asked again."""

ALL_EVERY = 30.0
"""Seconds between two looks at everything that is under way; what memory finds odd is looked at in each round."""

CANCEL_EVERY = 30.0
"""Seconds between two wishes to cancel the same print."""

MOST_CALLS = 64
"""Agents that are asked at once."""

FILE_DOWNLOADER = "file_downloader"

TellFile = Callable[[str, GCodeFile], Json]
"""The file as agents get it, with links for the address by which an agent knows the server."""


@dataclass(slots=True)
class _Watched:
    """What this process knows of an open attempt. Monotonic seconds."""

    state: AttemptState
    began: float  # this state
    since: float  # how long its agent has had to do the next thing
    away_since: float | None = None
    asked: AgentPeer | None = None  # the connection that has answered
    asking: bool = False
    ask_at: float = float("-inf")
    cancelled_at: float = float("-inf")


@dataclass(slots=True)
class _Rest:
    until: float = 0.0
    length: float = REST_TIME


@dataclass(slots=True)
class _Memory:
    """Bounded by the number of printers: each has one open attempt at most."""

    watched: dict[str, _Watched] = field(default_factory=dict)
    printers: dict[str, int] = field(default_factory=dict)  # of watched attempts
    rests: dict[int, _Rest] = field(default_factory=dict)
    downloading: dict[int, tuple[bytes, bool]] = field(default_factory=dict)


class JobWorker:
    """`changed`: something may let a copy go to a printer."""

    def __init__(
        self, handover: HandOver, hub: Hub, calls: PassthruDesk, desk: CommandDesk, tell_file: TellFile,
        changed: asyncio.Event, clock: Callable[[], float], local_url: str,
    ) -> None:  # fmt: skip
        self._handover, self._hub, self._calls, self._desk = handover, hub, calls, desk
        self._tell_file, self._changed, self._clock, self._local_url = tell_file, changed, clock, local_url
        self._memory = _Memory()
        self._tasks: set[asyncio.Task[None]] = set()
        self._complained = False
        self._all_at = float("-inf")

    async def run(self, stop: asyncio.Event) -> None:
        """Until the stop."""
        ending = asyncio.ensure_future(stop.wait())
        try:
            while not stop.is_set():
                self._changed.clear()
                await self.look()
                wake = asyncio.ensure_future(self._changed.wait())
                await asyncio.wait({ending, wake}, timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
                wake.cancel()
        finally:
            ending.cancel()
            for task in self._tasks:
                task.cancel()

    async def look(self) -> None:
        """One round."""
        try:
            work = await run_in_threadpool(self._handover.work)
            if await self._give_out(work):
                work = await run_in_threadpool(self._handover.work)
            if work.attempts or self._memory.watched:
                await self._look_after(work)
        except StoreFailed as error:
            if not self._complained:
                log.error("the queue of jobs stands still: %s", error)  # noqa: TRY400 - the text says it all
            self._complained = True
        else:
            self._complained = False

    # --- giving out ----------------------------------------------------------------------------------------------

    def readiness(self) -> dict[int, Readiness]:
        """Of every printer that is known to be there."""
        return {live.record.printer.id: self._ready(live) for live in self._hub.live.all()}

    def _ready(self, live: LivePrinter) -> Readiness:
        ready = readiness_of(live)
        if not ready.idle:
            return ready
        rest = self._memory.rests.get(live.record.printer.id)
        resting = rest is not None and self._clock() < rest.until
        return ready._replace(idle=not resting and not self._downloads(live))

    def _downloads(self, live: LivePrinter) -> bool:
        packed = live.packed
        if packed is None:
            return False
        known = self._memory.downloading.get(live.record.printer.id)
        if known is None or known[0] is not packed:
            known = self._memory.downloading[live.record.printer.id] = packed, is_downloading(live.status)
        return known[1]

    async def _give_out(self, work: Work) -> bool:
        given = 0
        ready = self.readiness() if work.waiting else {}
        if not any(each.idle for each in ready.values()):
            return False
        for organization_id, account_id in work.waiting.items():
            plan = await run_in_threadpool(self._handover.plan, organization_id, account_id, ready)
            if plan:
                now_given = await run_in_threadpool(self._handover.assign, plan)
                if now_given and len(plan) > ASSIGNED_AT_ONCE:
                    self._changed.set()  # there is more to give
                given += now_given
        return given > 0

    # --- what is under way ---------------------------------------------------------------------------------------

    async def _look_after(self, work: Work) -> None:
        now, watched = self._clock(), self._memory.watched
        open_ids = {attempt.public_id for attempt in work.attempts}
        for attempt_id in [attempt_id for attempt_id in watched if attempt_id not in open_ids]:
            self._forget(attempt_id)
        odd = [attempt for attempt in work.attempts if self._is_odd(attempt)]
        if now >= self._all_at:
            self._all_at, odd = now + ALL_EVERY, list(work.attempts)
            await run_in_threadpool(self._handover.find_again)
        if odd:
            await run_in_threadpool(self._handover.look_again, odd)
        for attempt in work.attempts:
            mine = watched.get(attempt.public_id)
            if mine is None:
                mine = watched[attempt.public_id] = _Watched(attempt.state, now, now)
                self._memory.printers[attempt.public_id] = attempt.printer_id
            elif mine.state is not attempt.state:
                mine.state, mine.began, mine.since = attempt.state, now, now
            await self._look_at(attempt, mine, now, unwanted=attempt.public_id in work.unwanted)

    def _is_odd(self, attempt: Attempt) -> bool:
        live = self._hub.live.get(attempt.printer_id)
        current = live.record.current_print if live is not None else None
        if attempt.state is AttemptState.STARTING:
            return current is not None
        return attempt.state is AttemptState.PRINTING and live is not None and (
            current is None or current.id != attempt.print_id
        )

    def _forget(self, attempt_id: str) -> None:
        """It is over. An agent that was asked and has not begun need not go on with it."""
        mine = self._memory.watched.pop(attempt_id)
        printer_id = self._memory.printers.pop(attempt_id)
        if mine.state is AttemptState.PRINTING:
            self._memory.rests.pop(printer_id, None)
        elif mine.asked is not None and self._hub.agent(printer_id) is mine.asked:
            self._begin(self._withdraw(printer_id, attempt_id))

    async def _look_at(self, attempt: Attempt, mine: _Watched, now: float, *, unwanted: bool) -> None:
        peer, live = self._hub.agent(attempt.printer_id), self._hub.live.get(attempt.printer_id)
        if attempt.state is AttemptState.PRINTING:
            if unwanted and live is not None and peer is not None and now - mine.cancelled_at >= CANCEL_EVERY:
                mine.cancelled_at = now
                self._begin(self._cancel(live))
            return
        if peer is None:
            await self._away(attempt, mine, now)
            return
        mine.away_since = None
        if live is not None and self._downloads(live) and now - mine.began < FETCH_TIME:
            mine.since = now
        if now - mine.since > START_TIME.total_seconds():
            await self._too_late(attempt)
        elif peer is not mine.asked and not mine.asking and now >= mine.ask_at and len(self._tasks) < MOST_CALLS:
            mine.asking, mine.ask_at = True, now + ASK_EVERY
            self._begin(self._ask(attempt, mine, peer))

    async def _away(self, attempt: Attempt, mine: _Watched, now: float) -> None:
        if mine.away_since is None:
            mine.away_since = now
        if attempt.state.may_be_taken_back:
            if now - mine.away_since > AWAY_TIME:
                await run_in_threadpool(self._handover.take_back, attempt.public_id, "the printer went offline")
                self._changed.set()
        elif now - mine.began > PERMIT_AWAY_TIME:
            await self._too_late(attempt)
        else:
            mine.since = now  # its agent gets the whole time when it is back

    async def _too_late(self, attempt: Attempt) -> None:
        if attempt.state.may_be_taken_back:
            reason = "the print did not start within 5 minutes"
            await run_in_threadpool(self._handover.take_back, attempt.public_id, reason, missed=True)
        else:
            live = self._hub.live.get(attempt.printer_id)
            state = read.mapping(((live.status if live is not None else None) or {}).get("state")) or {}
            await run_in_threadpool(self._handover.give_up, attempt.public_id, read.text(state.get("error")))
        self._rest(attempt.printer_id)
        self._changed.set()

    def _rest(self, printer_id: int) -> None:
        rest = self._memory.rests.setdefault(printer_id, _Rest())
        rest.until = self._clock() + rest.length
        rest.length = min(2 * rest.length, LONGEST_REST)

    # --- agents --------------------------------------------------------------------------------------------------

    def _begin(self, what: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(what)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            level = logging.WARNING if isinstance(error, StoreFailed) else logging.ERROR
            log.log(level, "a step of a job failed and is tried again: %s", error, exc_info=error)

    async def _ask(self, attempt: Attempt, mine: _Watched, peer: AgentPeer) -> None:
        try:
            if attempt.state is AttemptState.STARTING:
                await self._ask_state(attempt, mine, peer)
            else:
                await self._offer(attempt, mine, peer)
        finally:
            mine.asking = False
        self._changed.set()

    async def _offer(self, attempt: Attempt, mine: _Watched, peer: AgentPeer) -> None:
        live = self._hub.live.get(attempt.printer_id)
        printer = live.record.printer if live is not None else None
        by_order = printer is not None and (
            expected_acks(printer.agent_name, printer.agent_version) is AckSupport.YES
        )
        offer = await run_in_threadpool(lambda: self._handover.offer(attempt.public_id, by_order=by_order))
        if offer is None or self._hub.agent(attempt.printer_id) is not peer:
            if offer is not None and not by_order:  # not asked after all
                await run_in_threadpool(self._handover.refused, attempt.public_id, "the printer went offline")
            return
        told = dict(self._tell_file(peer.base or self._local_url, offer.file))
        if by_order:
            told["order"] = {"id": attempt.public_id}
        reply = await self._calls.call(attempt.printer_id, FILE_DOWNLOADER, "download", told)
        if reply in (OFFLINE, SILENT, BUSY):
            return  # asked again; an agent that knows the order tells what became of it
        mine.asked = peer
        if reply.error is not None:
            self._rest(attempt.printer_id)
            await run_in_threadpool(self._handover.refused, attempt.public_id, reply.error)
        elif by_order:
            order = read.mapping((read.mapping(reply.value) or {}).get("order"))
            if order is None:
                await run_in_threadpool(self._handover.unasked, attempt.public_id)
            else:
                await self._heard(attempt, order)

    async def _ask_state(self, attempt: Attempt, mine: _Watched, peer: AgentPeer) -> None:
        """What became of an order that was permitted; an agent that keeps to itself is believed to be at it."""
        mine.asked = peer
        if not attempt.by_order:
            return
        reply = await self._calls.call(attempt.printer_id, FILE_DOWNLOADER, "order_state", attempt.public_id)
        order = read.mapping(reply.value)
        if reply.error is None and order is not None:
            await self._heard(attempt, order)

    async def _heard(self, attempt: Attempt, order: Mapping[str, Any]) -> None:
        state = read.text(order.get("state"))
        if state not in {"failed", "unknown"}:
            return
        live = self._hub.live.get(attempt.printer_id)
        if live is None:
            return
        if state == "failed":
            self._rest(attempt.printer_id)
        await run_in_threadpool(
            self._handover.result, live.record.printer, attempt.public_id, state, read.text(order.get("reason"))
        )

    async def _withdraw(self, printer_id: int, attempt_id: str) -> None:
        if await run_in_threadpool(self._handover.is_void, attempt_id):
            await self._calls.call(printer_id, FILE_DOWNLOADER, "withdraw", attempt_id)

    async def _cancel(self, live: LivePrinter) -> None:
        await self._desk.send(live, CommandName.CANCEL, "api")
