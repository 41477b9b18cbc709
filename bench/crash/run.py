"""One run: server, receiver, simulated printers and their agents, a person at the beds, and a killer."""

from __future__ import annotations

import contextlib
import random
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.crash.receiver import Receiver
from bench.crash.verdict import Event, Verdict, judge
from demo.farm.parts import Farm, FarmAgent, gcode
from demo.farm.rest import FleetRest, clear_beds
from demo.parts import Programs, Server, from_sources
from demo.processes import Trouble
from demo.rest import Refused

SPEED = 60.0
PASSWORD = "a password for figures"  # noqa: S105 - a throw-away server on this machine


_OPTIONS = ("--fleet-calls-per-hour", "10000000", "--allow-loopback-addresses", "yes")
"""Of the server: the receiver of web hooks is on this machine."""


@dataclass(frozen=True, slots=True)
class Options:
    """`kills` of processes, one in `server_share` of the server; a print takes 1 to `longest` s; `refuses`: as the
    receiver's; `pause`: mean seconds between kills; `limit`: seconds for all of it. One print in `spoiled` fails;
    `slow`: seconds at the most that hosts take to keep a file and to start a print: something is killed in between."""

    seed: int
    kills: int = 300
    jobs: int = 100
    printers: int = 10
    longest: float = 3.0
    most_copies: int = 3
    pause: float = 0.7
    server_share: int = 5
    refuses: int = 10
    spoiled: int = 25
    slow: float = 3.0
    limit: float = 1800.0


@dataclass
class Outcome:
    verdict: Verdict
    kills: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0


class CrashRun:
    def __init__(self, folder: Path, options: Options, say: Callable[[str], None], programs: Programs) -> None:
        self._options, self._say = options, say
        self._chance = random.Random(options.seed)
        self._server = Server(programs, folder / "server", more=_OPTIONS)
        self._farm = Farm(folder, options.printers, SPEED, options.slow)
        self._folder, self._programs = folder, programs
        self._agents: list[FarmAgent] = []
        self._rest = FleetRest(self._server.url)
        self._secret = secrets.token_hex(16)
        self._receiver = Receiver(self._secret, options.refuses, options.seed)
        self._ended = threading.Event()
        self._pause = threading.Event()  # never set: a moment to wait
        self._kills = {"server": 0, "agent": 0}
        self._submitted = 0
        self._faults: list[str] = []
        self._helpers: list[Future[None]] = []

    def run(self) -> Outcome:
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            stack.enter_context(self._receiver)
            stack.callback(self._stop)
            self._start()
            crew = stack.enter_context(ThreadPoolExecutor(2))
            self._helpers = [crew.submit(self._submit), crew.submit(self._walk_past)]
            stack.callback(self._ended.set)
            self._kill_all()
            self._receiver.accept_all()
            deadline = began + self._options.limit
            self._until(self._all_over, deadline, "all jobs to be over")
            events = self._until(self._all_told, deadline, "all web hooks to be told")
            verdict = self._judge(events or self._events())
        return Outcome(verdict, self._kills, time.monotonic() - began)

    # --- coming up ---

    def _start(self) -> None:
        self._farm.start()
        self._server.start()
        self._server.set_up(PASSWORD)
        self._rest.key = self._server.rest.new_fleet_key()
        hook = {"url": self._receiver.url, "events": ["*"], "secret": self._secret}
        self._rest.post("/v1/webhooks", hook)
        for number, port in enumerate(self._farm.ports):
            agent = FarmAgent(self._programs, self._folder, number, port)
            agent.join(self._server.rest, f"Sim-{number + 1:02}")
            self._agents.append(agent)
            agent.start()

    def _stop(self) -> None:
        self._ended.set()
        for agent in self._agents:
            agent.process.ask_to_stop()
        for agent in self._agents:
            agent.stop()
        self._farm.stop()
        self._server.stop()

    # --- what goes on meanwhile ---

    def _submit(self) -> None:
        """A third of the jobs at once, the rest as the killing goes on: there is always a queue."""
        chance = random.Random(self._options.seed + 1)
        while not self._ended.is_set() and self._submitted < self._options.jobs:
            killed = sum(self._kills.values())
            share = 1 / 3 + 2 / 3 * killed / self._options.kills if killed < self._options.kills else 1.0
            if self._submitted >= share * self._options.jobs:
                self._ended.wait(0.1)
                continue
            name = f"job {self._submitted + 1:03}"
            content = gcode(name, chance.uniform(1.0, self._options.longest) * SPEED, grams=1.0)
            copies, priority = chance.randint(1, self._options.most_copies), chance.choice(_PRIORITIES)
            while not self._ended.is_set() and not self._put_in(name, content, copies, priority):
                self._ended.wait(0.2)
            self._submitted += 1
            if self._submitted % self._options.spoiled == 0:
                self._farm.fail(chance.randrange(self._options.printers))

    def _put_in(self, name: str, content: bytes, copies: int, priority: str) -> bool:
        """False: the server was killed in the middle, and must be asked again, in the same words."""
        try:
            self._rest.submit(name, content, f"{self._options.seed}-{name}", copies=copies, priority=priority)
        except Refused as error:
            if error.status in {0, 409, 500, 503}:
                return False
            self._faults.append(f"{name} was refused: {error}")
        return True

    def _walk_past(self) -> None:
        """The person who takes parts off."""
        while not self._ended.wait(0.2):
            # The server or an answer may be away for a moment.
            with contextlib.suppress(Refused):
                clear_beds(self._rest, self._farm)

    def _kill_all(self) -> None:
        for number in range(self._options.kills):
            self._pause.wait(min(self._chance.expovariate(1.0 / self._options.pause), 5 * self._options.pause))
            if self._chance.randrange(self._options.server_share) == 0:
                self._server.process.kill()
                self._server.process.start()
                self._kills["server"] += 1
            else:
                agent = self._victim()
                agent.process.kill()
                agent.process.start()
                self._kills["agent"] += 1
            if (number + 1) % 25 == 0:
                self._say(f"{number + 1} kills, {self._submitted} jobs put in")

    def _victim(self) -> FarmAgent:
        """Every second time one whose print has been permitted and has not begun, or else whose copy is being handed
        over, if there is any: that lasts a moment, and is where something can be lost or done twice."""
        anybody = self._chance.choice(self._agents)
        if self._chance.random() < 0.5:
            return anybody
        handed = self._rows("SELECT state, printer_id FROM fleet_attempts WHERE state IN ('starting', 'offered')")
        first = max((state for state, _ in handed), default="")  # alphabetical, as it happens
        there = [agent for agent in self._agents if (first, agent.printer) in handed]
        return self._chance.choice(there) if there else anybody

    # --- the end ---

    def _until(self, condition: Callable[[], Any], deadline: float, what: str) -> Any:
        while time.monotonic() < deadline:
            for process in (self._server.process, self._farm.process, *(agent.process for agent in self._agents)):
                process.check()
            for helper in self._helpers:
                if helper.done():
                    helper.result()
            try:
                answer = condition()
            except Refused:
                answer = None  # it is just coming up
            if answer:
                return answer
            self._pause.wait(0.2)
        self._faults.append(f"waited {self._options.limit:g} s in vain for {what}")
        return None

    def _all_over(self) -> bool:
        if self._submitted < self._options.jobs:
            return False
        left = [self._rest.get(f"/v1/jobs?status={status}&per_page=1") for status in ("queued", "printing")]
        return not any(page["pagination"]["total"] for page in left)

    def _all_told(self) -> list[Event] | None:
        events = self._events()
        accepted = {each.id for each in list(self._receiver.told) if each.accepted}
        return events if accepted.issuperset(event.id for event in events) else None

    def _events(self) -> list[Event]:
        """What the server has written into its database, in that order."""
        return [Event(*row) for row in self._rows("SELECT public_id, name, object_id FROM fleet_events ORDER BY id")]

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(f"file:{self._server.database}?mode=ro", uri=True)) as database:
            return database.execute(query).fetchall()

    def _judge(self, events: list[Event]) -> Verdict:
        jobs = [self._rest.get(f"/v1/jobs/{job['id']}") for job in self._rest.every("/v1/jobs?sort=created_at")]
        printers = {printer["name"]: printer["id"] for printer in self._rest.every("/v1/printers")}
        verdict = judge(jobs, printers, self._farm.truth(), events, list(self._receiver.told))
        verdict.faults += self._faults
        if len(jobs) != self._options.jobs:
            verdict.faults.append(f"{self._options.jobs} jobs were put in, the server has {len(jobs)}")
        return verdict


_PRIORITIES = ("low", "normal", "normal", "high", "urgent")


def run(folder: Path, options: Options, say: Callable[[str], None], programs: Programs | None = None) -> Outcome:
    """Raises Trouble: a part did not come up, or ended by itself."""
    return CrashRun(folder, options, say, programs or from_sources()).run()


__all__ = ["Options", "Outcome", "Trouble", "run"]
