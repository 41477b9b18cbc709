"""An agent under test: its core with database and outbox, turned by hand instead of by its thread."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import deque
from concurrent.futures import Future
from pathlib import Path

from agent_core.config import AgentConfig, Secret
from agent_core.database import Database
from agent_core.errors import Unreachable
from agent_core.features.event_pictures import EventPictures
from agent_core.features.printer_events import EventCourier
from agent_core.model import ActivePrint, HostEvent
from agent_core.ports import HttpRequest, HttpResponse
from agent_core.runtime.core import PRINT_KEY, Core
from agent_core.runtime.crew import Crew
from agent_core.runtime.tunnels import LateTunnel
from agent_core.runtime.worker import Task
from bench.chaos.clock import Time, WallClock
from bench.chaos.network import Line, State
from bench.chaos.served import Server

SNAPSHOT = b"\xff\xd8\xff\xe0" + b"\0" * 60 + b"\xff\xd9"
MOST_TURNS = 10_000
"""At one moment: more means that the agent turns in circles."""


class _Http:
    """agent_core.ports.Http over the line, called from the thread that plays the snapshots worker."""

    def __init__(self, server: Server, line: Line, loop: asyncio.AbstractEventLoop) -> None:
        self._server, self._line, self._loop = server, line, loop

    def send(self, request: HttpRequest) -> HttpResponse:
        if self._line.state is not State.UP:
            raise Unreachable("no route")
        future: Future[HttpResponse] = asyncio.run_coroutine_threadsafe(self._server.request(request), self._loop)
        answer = future.result(60)
        if self._line.deaf:
            raise Unreachable("the connection broke before the answer was there")
        return answer

    def close(self) -> None: ...


class Agent:
    """`start` and `kill` as often as wanted, on the same data folder."""

    def __init__(
        self, name: str, folder: Path, server: Server, token: str, time: Time, clock: WallClock, chance: random.Random
    ) -> None:
        self.clock = clock
        self.line = Line(server, token, time, chance)
        self.database: Database | None = None
        self.core: Core | None = None
        self._config = AgentConfig(name, "3.0.0", "http://server.test", Secret(token), str(folder))
        self._folder, self._server, self._chance = folder, server, chance
        self._tasks: deque[Task] = deque()
        self._due = 0.0

    @property
    def running(self) -> bool:
        return self.core is not None

    def start(self) -> ActivePrint | None:
        """What it remembers of a print under way."""
        self.database = Database(str(self._folder))
        record = self.database.load(PRINT_KEY)
        courier = EventCourier(
            self._config, _Http(self._server, self.line, asyncio.get_running_loop()), self._submit, lambda: SNAPSHOT,
            EventPictures(str(self._folder)),
        )  # fmt: skip
        self.core = Core(
            self._config, self.database, self.clock, self.line,  # type: ignore[arg-type]  # as much of a Link as it needs
            uniform=self._chance.random, on_link_change=lambda _state: None, on_pictures=lambda _p, _v, _w: None,
            on_boost=lambda: None, on_greeting=lambda _capabilities: None,
            register_file=lambda _ts, _job: None, courier=courier, passthru={},
            crew=Crew("call"), tunnel=LateTunnel(None, tuple, lambda _frame, _done: None),
        )  # fmt: skip
        self.line.deliver = self.core.on_link_event
        self._due = 0.0
        return ActivePrint.from_json(record) if record else None

    def kill(self) -> None:
        """As SIGKILL: what is not on the disk is gone."""
        self.line.agent_died()
        self.line.deliver = lambda _event: None
        self._tasks.clear()
        if self.database is not None:
            connection = self.database._connection
            if connection is not None:
                connection.close()
        self.core = self.database = None

    def fill_disk(self, *, full: bool) -> None:
        """SQLite itself refuses to let the file grow."""
        connection: sqlite3.Connection | None = self.database._connection if self.database is not None else None
        if connection is not None:
            pages = connection.execute("PRAGMA page_count").fetchone()[0] if full else 2**31 - 2
            connection.execute(f"PRAGMA max_page_count={pages}")

    def post(self, events: list[HostEvent]) -> None:
        if self.core is not None:
            for event in events:
                self.core.post(event)
            self._due = 0.0

    def _submit(self, task: Task) -> bool:
        self._tasks.append(task)
        return True

    def due(self) -> float:
        """In simulated seconds."""
        return self._due

    @property
    def waiting(self) -> int:
        """Events that the server has not acknowledged."""
        return len(self.core._outbox) if self.core is not None else 0

    async def step(self, seconds: float) -> None:
        """All that can be done at this moment."""
        for _ in range(MOST_TURNS):
            core = self.core
            if core is None:
                return
            wait = core._turn()
            moved = await self.line.step()
            while self._tasks:
                await asyncio.to_thread(self._tasks.popleft())
                moved = True
            if not moved and wait > 0:
                arrives = self.line.due()
                self._due = min(seconds + wait, arrives if arrives is not None else seconds + wait)
                return
        raise RuntimeError("the agent turns in circles")
