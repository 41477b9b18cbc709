"""Who prints what, what goes wrong when, and whether the server's history equals the truth afterwards."""

from __future__ import annotations

import asyncio
import heapq
import random
import time as real_time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from bench.chaos.agents import Agent
from bench.chaos.clock import BEGIN, Time, WallClock
from bench.chaos.hosts import Host, Job, KlipperHost, OctoPrintHost
from bench.chaos.network import State
from bench.chaos.served import Server

DAY = 86_400.0
SETTLE = 6 * 3600.0
"""Simulated seconds at the end, with everything well again."""

EXACT = 5.0
"""Seconds by which the recorded end of a print may differ from the true one."""

SHORTEST_PAUSE = 240.0
LONGEST_BLINDNESS = 150.0
"""Whoever looks away for less than a pause lasts sees that there was one."""

STRIKES = 0.3
"""The share of a print's turns in which something goes wrong at that very moment."""

Action = Callable[[], Awaitable[None] | None]


@dataclass
class Verdict:
    """What was wrong, in words, and what there was of everything."""

    prints: int = 0
    events: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    untimed: int = 0
    """Prints whose times cannot be told, because a clock was set."""
    happened: Counter[str] = field(default_factory=Counter)

    @property
    def faults(self) -> list[str]:
        return [*self.lost, *self.doubled, *self.wrong]


class Week:
    def __init__(self, folder: Path, seed: int, days: float) -> None:
        self.chance = random.Random(seed)
        self.end = days * DAY
        self.time = Time()
        self.server = Server(folder / "server", self.time)
        self.hosts: list[Host] = []
        self.numbers: dict[str, int] = {}
        self.happened: Counter[str] = Counter()
        self._folder = folder
        self._plan: list[tuple[float, int, Action]] = []
        self._order = count()
        self._busy: dict[str, set[str]] = {}
        """Faults of each host that are going on."""

    async def run(self, seconds: float, say: Callable[[str], None]) -> Verdict:
        """The whole week, as far as it goes within so many real seconds."""
        self.server.start()
        for name, kind, agent_name in (
            ("klipper", KlipperHost, "moonraker_obico"), ("octoprint", OctoPrintHost, "octoprint_obico"),
        ):  # fmt: skip
            number, token = await self.server.link_printer()
            clock = WallClock(self.time)
            agent = Agent(agent_name, self._folder / name, self.server, token, self.time, clock, self.chance)
            host: Host = kind(name, agent, clock, self.time, self.chance)
            self.hosts.append(host)
            self.numbers[name] = number
            self._busy[name] = set()
            host.start_agent()
            self._later(self.chance.uniform(60, 600), lambda host=host: self._print(host))  # type: ignore[misc]
            self._later(self.chance.uniform(600, 3600), lambda host=host: self._fault(host))  # type: ignore[misc]
        deadline, day = real_time.monotonic() + seconds, 0
        while self.time.seconds < self.end and real_time.monotonic() < deadline:
            await self._advance()
            if self.time.seconds > (day + 1) * DAY:
                day += 1
                say(f"day {day}: {sum(len(host.jobs) for host in self.hosts)} prints, {dict(self.happened)}")
        await self._heal()
        return await self._judge()

    # --- time ---

    def _later(self, seconds: float, action: Action) -> None:
        heapq.heappush(self._plan, (self.time.seconds + seconds, next(self._order), action))

    async def _advance(self) -> None:
        due = [self._plan[0][0] if self._plan else float("inf")]
        due += [host.due() for host in self.hosts]
        due += [host.agent.due() for host in self.hosts if host.agent.running]
        self.time.seconds = max(self.time.seconds, min(due))
        while self._plan and self._plan[0][0] <= self.time.seconds:
            result = heapq.heappop(self._plan)[2]()
            if result is not None:
                await result
        for host in self.hosts:
            if host.due() <= self.time.seconds:
                host.tick()
            if host.agent.running and host.agent.due() <= self.time.seconds:
                await host.agent.step(self.time.seconds)

    # --- prints ---

    def _print(self, host: Host) -> None:
        if self.time.seconds > self.end - 4 * 3600 or not self._ready(host):
            self._later(300, lambda: self._print(host))
            return
        host.begin(f"{host.name}_{len(host.jobs):04}.gcode")
        job = host.jobs[-1]
        length = self.chance.choice((self.chance.uniform(500, 1200), self.chance.uniform(1200, 9000)))
        at = self.chance.uniform(60, 300)
        while at < length - 2 * SHORTEST_PAUSE and self.chance.random() < 0.5:
            self._during(host, job, at, host.pause)
            at += self.chance.uniform(SHORTEST_PAUSE, 1500)
            if at < length:
                self._during(host, job, at, host.resume)
            at += self.chance.uniform(SHORTEST_PAUSE, 3000)
        if self.chance.random() < 0.3:
            self._during(host, job, self.chance.uniform(30, length), host.change_filament)
        how = self.chance.choices(("done", "cancelled", "error"), (70, 20, 10))[0]
        self._during(host, job, length, lambda: host.end(how))
        self._later(length + self.chance.uniform(300, 2400), lambda: self._print(host))

    def _during(self, host: Host, job: Job, at: float, action: Callable[[], None]) -> None:
        def act() -> None:
            if host.job is job:
                if self.chance.random() < STRIKES:
                    self._strike(host)
                action()

        self._later(at, act)

    def _strike(self, host: Host) -> None:
        """Something goes wrong in the very moment in which something happens."""
        self.happened["strike"] += 1
        seconds = self.chance.uniform(0.5, 60)
        match self.chance.randrange(4):
            case 0:
                self._deaf_line(host, seconds)
            case 1:
                self._dead_line(host, seconds)
            case 2:
                self._later(self.chance.choice((0.0, 0.01, 1.0)), lambda: self._kill_server(host))
            case _ if isinstance(host, KlipperHost):
                # Not in the same moment: what the agent has not even been told, nobody can keep.
                self._later(self.chance.choice((0.01, 1.0)), lambda: self._kill_agent(host))
            case _:
                self._later(0.0, host.agent.line.cut)

    def _ready(self, host: Host) -> bool:
        if isinstance(host, OctoPrintHost):
            if host.agent.running and host.job is None:
                host.reconnect_printer()
            return host.agent.running and host.job is None
        return isinstance(host, KlipperHost) and host.klippy.value == "ready" and host.job is None

    # --- what goes wrong ---

    def _fault(self, host: Host) -> None:
        """One of them, and the next some time later; faults of different kinds overlap."""
        self._later(self.chance.expovariate(1 / 2400) + 60, lambda: self._fault(host))
        kinds: list[tuple[str, Callable[[Host], None]]] = [
            ("outage", self._outage), ("dead line", self._dead_line), ("slow line", self._slow_line),
            ("lost acknowledgements", self._deaf_line), ("lying server", self._lying_server),
            ("lying printer", self._lying_printer), ("agent killed", self._kill_agent),
            ("agent's disk full", self._full_disk), ("server killed", self._kill_server),
            ("server's disk full", self._full_server), ("clock set", self._set_clock),
        ]  # fmt: skip
        if isinstance(host, KlipperHost):
            kinds += [("Klipper restarted", self._restart_klipper), ("Klipper shut down", self._shut_down),
                      ("Moonraker restarted", self._restart_moonraker)]  # fmt: skip
        name, begin = self.chance.choice(kinds)
        if name in self._busy[host.name]:
            return
        before = len(self._plan)
        begin(host)
        if len(self._plan) > before:
            self.happened[name] += 1

    def _for(self, host: Host, name: str, seconds: float, undo: Action) -> None:
        self._busy[host.name].add(name)

        def end() -> Awaitable[None] | None:
            self._busy[host.name].discard(name)
            return undo()

        self._later(seconds, end)

    def _line_is_well(self, host: Host) -> bool:
        return not self._busy[host.name] & {"outage", "dead line", "slow line", "lost acknowledgements"}

    def _outage(self, host: Host) -> None:
        if self._line_is_well(host):
            host.agent.line.state = State.DOWN
            host.agent.line.cut()
            length = self.chance.choice((5.0, 60.0, 1200.0, 7200.0, 8 * 3600.0)) * self.chance.uniform(0.5, 1.5)
            self._for(host, "outage", length, lambda: self._line_up(host))

    def _dead_line(self, host: Host, seconds: float | None = None) -> None:
        if self._line_is_well(host):
            host.agent.line.state = State.DEAD
            self._for(host, "dead line", seconds or self.chance.uniform(5, 1200), lambda: self._line_up(host))

    def _line_up(self, host: Host) -> None:
        host.agent.line.state = State.UP

    def _slow_line(self, host: Host) -> None:
        if self._line_is_well(host):
            host.agent.line.delay = self.chance.uniform(0.2, 9.0)

            def undo() -> None:
                host.agent.line.delay = 0.0

            self._for(host, "slow line", self.chance.uniform(60, 1800), undo)

    def _deaf_line(self, host: Host, seconds: float | None = None) -> None:
        """What the server says is lost, and then the connection: it has done what the agent must do again."""
        if self._line_is_well(host):
            host.agent.line.deaf = True

            def undo() -> None:
                host.agent.line.deaf = False
                host.agent.line.cut()

            self._for(host, "lost acknowledgements", seconds or self.chance.uniform(1, 300), undo)

    def _lying_server(self, host: Host) -> None:
        host.agent.line.lying = self.chance.uniform(0.1, 1.0)

        def undo() -> None:
            host.agent.line.lying = 0.0

        self._for(host, "lying server", self.chance.uniform(600, 7200), undo)

    def _lying_printer(self, host: Host) -> None:
        for at in range(20):
            self._later(at * 7.0, host.lie)

    def _kill_agent(self, host: Host) -> None:
        if not host.agent.running or "agent's disk full" in self._busy[host.name]:
            return  # what the disk does not take cannot outlive the process
        host.agent.kill()
        if isinstance(host, OctoPrintHost):
            host.killed()
        self._for(host, "agent killed", self.chance.uniform(0, LONGEST_BLINDNESS), host.start_agent)

    def _full_disk(self, host: Host) -> None:
        if host.agent.running:
            agent = host.agent
            agent.fill_disk(full=True)
            self._for(host, "agent's disk full", self.chance.uniform(60, 3600), lambda: agent.fill_disk(full=False))

    def _kill_server(self, host: Host) -> None:
        async def kill() -> None:
            await self.server.kill()
            for each in self.hosts:
                each.agent.line.cut()

        if self.server.app is not None:
            self._later(0, kill)
            self._for(host, "server killed", self.chance.uniform(0.5, 300), self._start_server)

    def _start_server(self) -> None:
        if self.server.app is None:
            self.server.start()

    def _full_server(self, host: Host) -> None:
        if not self.server.full:
            self.server.full = True

            def undo() -> None:
                self.server.full = False

            self._for(host, "server's disk full", self.chance.uniform(60, 3600), undo)

    def _set_clock(self, host: Host) -> None:
        host.set_clock(self.chance.choice((1, -1)) * self.chance.choice((4.0, 90.0, 3600.0, 4 * 3600.0)))
        self._for(host, "clock set", self.chance.uniform(60, 4 * 3600), lambda: host.set_clock(0.0))

    def _restart_klipper(self, host: Host) -> None:
        if isinstance(host, KlipperHost) and host.klippy.value == "ready":
            host.restart_klipper()
            self._for(host, "Klipper restarted", self.chance.uniform(2, 60), host.klipper_ready)

    def _shut_down(self, host: Host) -> None:
        if isinstance(host, KlipperHost) and host.klippy.value == "ready":
            host.shut_down()
            self._for(host, "Klipper shut down", self.chance.uniform(20, 1200), host.klipper_ready)

    def _restart_moonraker(self, host: Host) -> None:
        if isinstance(host, KlipperHost) and host.moonraker_up and host.agent.running:
            host.stop_moonraker()
            self._for(host, "Moonraker restarted", self.chance.uniform(2, LONGEST_BLINDNESS), host.start_moonraker)

    # --- the end ---

    async def _heal(self) -> None:
        """The last prints come to their end, and everything that waits is told."""
        self.end = self.time.seconds  # nothing new begins
        while any(host.job is not None for host in self.hosts) or any(self._busy.values()):
            await self._advance()
        until = self.time.seconds + SETTLE
        self._plan.clear()
        self._later(SETTLE, lambda: None)
        while self.time.seconds < until:
            await self._advance()

    async def _judge(self) -> Verdict:
        verdict = Verdict(happened=self.happened)
        for host in self.hosts:
            number = str(self.numbers[host.name])
            prints = await self._all("/api/v1/prints/", **{"filter_by_printer_ids[]": number, "sorting": "date_desc"})
            events = await self._all("/api/v1/printer_events/", printer_id=number)
            by_name: dict[str, list[dict[str, Any]]] = {}
            for found in prints:
                by_name.setdefault(str(found["filename"]), []).append(found)
            kinds: dict[Any, Counter[str]] = {}
            for event in events:
                kinds.setdefault(event["print"], Counter())[event["event_type"]] += 1
            told = Counter(event["event_title"] for event in events if event["event_type"] == "FILAMENT_CHANGE")
            verdict.prints += len(host.jobs)
            verdict.events += len(events)
            for job in host.jobs:
                _compare(job, by_name.pop(job.name, []), kinds, told, verdict)
            verdict.doubled += [f"{name}: a Print of nothing" for name in by_name]
            if host.agent.waiting:
                verdict.lost.append(f"{host.name}: {host.agent.waiting} events still wait")
        return verdict

    async def _all(self, path: str, **query: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            page = await self.server.get(path, **query, start=str(len(found)), limit="1000")
            found += page
            if not page or len(page) < 50:
                return found


def _compare(
    job: Job, prints: list[dict[str, Any]], kinds: dict[Any, Counter[str]], told: Counter[str], verdict: Verdict
) -> None:
    if len(prints) != 1:
        (verdict.lost if not prints else verdict.doubled).append(f"{job.name}: {len(prints)} Prints")
        return
    (found,) = prints
    if found["ended_reason"] != job.ended:
        verdict.wrong.append(f"{job.name}: recorded as {found['ended_reason']}, was {job.ended}")
    seen = kinds.get(found["id"], Counter())
    wanted = {"STARTED": 1, "PAUSED": job.pauses, "RESUMED": job.resumes, "ENDED": 1}
    for kind, number in wanted.items():
        if seen[kind] < number:
            verdict.lost.append(f"{job.name}: {seen[kind]} of {number} {kind}")
        elif seen[kind] > number:
            verdict.doubled.append(f"{job.name}: {seen[kind]} instead of {number} {kind}")
    for number in range(1, job.filament_changes + 1):
        times = sum(many for title, many in told.items() if title.startswith(f"{job.name}: filament change {number}"))
        if times != 1:
            (verdict.lost if not times else verdict.doubled).append(f"{job.name}: filament change {number}: {times}")
    if job.clock_touched:
        verdict.untimed += 1
        return
    ended = datetime.fromisoformat(str(found["ended_at"]).replace("Z", "+00:00")).timestamp() - BEGIN
    if abs(ended - job.ended_at) > EXACT:
        verdict.wrong.append(f"{job.name}: ended {ended - job.ended_at:+.1f} s from the true time")


def run(folder: Path, seed: int, days: float, seconds: float, say: Callable[[str], None]) -> Verdict:
    return asyncio.run(Week(folder, seed, days).run(seconds, say))
