"""`make bench-server`: the server under load. 10,000 agents at one status in 5 s, 200 web viewers; then ever more. Then
a large farm (fleet_load.py).

The generator (bench/load) speaks the agents' protocol from processes of its own; it is told here what to do. Every
figure is one JSON line. `--quick` takes seconds and shows that everything works; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import fleet_load, proc
from bench.load.data import SETTINGS, Fleet, fill
from bench.load.frames import StatusFrames, recorded_status
from bench.load.worker import Task, raise_file_limit
from bench.report import figure, median
from demo.parts import ROOT, Server, from_sources
from demo.processes import clean_environment

EVERY = 5.0
"""Seconds between two statuses of an agent."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much of what. `seconds`: of the main measurement; `step_seconds`: of each step of the ramp."""

    agents: int = 10_000
    viewers: int = 200
    processes: int = 2
    starts: int = 3
    quiet_seconds: float = 3.0
    settle_seconds: float = 8.0
    seconds: float = 40.0
    probes: float = 25.0  # commands a second
    step_seconds: float = 8.0
    growth: float = 1.25
    most_steps: int = 12

    @property
    def rate(self) -> float:
        """Statuses a second."""
        return self.agents / EVERY


QUICK = Plan(
    agents=100, viewers=5, processes=1, starts=1, quiet_seconds=0.0, settle_seconds=0.5, seconds=1.5, step_seconds=1.0,
    growth=2.0, most_steps=1,
)  # fmt: skip

MOST_AGE = 1.0
"""Seconds until a web viewer has a status, at p99: a server that takes longer does not keep up."""

MOST_LATE = 0.25
"""Seconds that the generator may be late before its figures count for nothing."""


class Generator:
    """The processes of bench/load, as one."""

    def __init__(self, workers: Sequence[asyncio.subprocess.Process], watcher: asyncio.subprocess.Process) -> None:
        self._workers, self._watcher = tuple(workers), watcher
        self.arrived: dict[int, float] = {}
        """When each printer last got a command (monotonic seconds)."""

    async def tell(self, who: Sequence[asyncio.subprocess.Process], **order: Any) -> list[dict[str, Any]]:
        return list(await asyncio.gather(*(_ask(worker, order) for worker in who)))

    async def connect_agents(self) -> None:
        await self.tell(self._workers, do="connect")

    async def connect_viewers(self) -> None:
        await self.tell([self._watcher], do="connect")

    async def statuses(self, rate: float) -> None:
        await self.tell(self._workers, do="rate", value=rate / len(self._workers))

    async def probes(self, rate: float) -> None:
        await self.tell([self._watcher], do="probe", value=rate)

    async def reports(self) -> list[dict[str, Any]]:
        """Of each process what has happened since the last reports; the watcher's is the last.

        It is asked first: what it knows to be answered has arrived at an agent that is asked later.
        """
        watcher = await self.tell([self._watcher], do="report")
        agents = await self.tell(self._workers, do="report")
        for report in agents:
            self.arrived.update(dict(report["commands"]))
        return [*agents, *watcher]


async def _ask(worker: asyncio.subprocess.Process, order: dict[str, Any]) -> dict[str, Any]:
    assert worker.stdin is not None
    assert worker.stdout is not None
    worker.stdin.write(json.dumps(order).encode() + b"\n")
    await worker.stdin.drain()
    line = await worker.stdout.readline()
    assert line, "a process of the generator has ended; see its traceback above"
    found: dict[str, Any] = json.loads(line)
    return found


@dataclass(frozen=True, slots=True)
class Measured:
    """A stretch of load. Rates 1/s; ages and latencies in ms; CPU as percent of a core."""

    rate: float
    ages: tuple[float, ...]
    latencies: tuple[float, ...]
    answers: tuple[float, ...]
    failed: int
    lost: int
    late: float
    server_cpu: float
    generator_cpu: float

    @property
    def keeps_up(self) -> bool:
        return bool(self.ages) and p(self.ages, 99) <= MOST_AGE * 1000 and not self.failed and not self.lost


def p(values: Sequence[float], percent: float) -> float:
    """The percentile; of no values it is infinite."""
    if not values:
        return float("inf")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


async def measure(generator: Generator, server: Server, seconds: float) -> Measured:
    pid = server.process.pid
    before = await generator.reports()
    begin, cpu = time.monotonic(), proc.cpu_seconds(pid)
    await asyncio.sleep(seconds)
    elapsed, used = time.monotonic() - begin, proc.cpu_seconds(pid) - cpu
    after = await generator.reports()
    agents, watcher = after[:-1], after[-1]
    arrived = generator.arrived
    probes = [(printer, begin_at, end_at) for printer, begin_at, end_at, _ in watcher["probes"]]
    reached = [
        (arrived[printer] - began) * 1000 for printer, began, _ in probes if arrived.get(printer, 0.0) >= began
    ]
    worked = sum(now["cpu"] - then["cpu"] for now, then in zip(after, before, strict=True))
    return Measured(
        rate=sum(report["sent"] for report in agents) / elapsed,
        ages=tuple(age * 1000 for age in watcher["ages"]),
        latencies=tuple(reached),
        answers=tuple((end - began) * 1000 for _, began, end in probes),
        failed=watcher["skipped"] + len(probes) - len(reached)
        + sum(not succeeded for *_, succeeded in watcher["probes"]),
        lost=sum(report["lost"] for report in after),
        late=max(report["late"] for report in agents),
        server_cpu=used / elapsed * 100,
        generator_cpu=worked / elapsed * 100,
    )  # fmt: skip


def run(plan: Plan | None = None) -> None:
    raise_file_limit()
    asyncio.run(_run(plan or Plan()))
    fleet_load.run(fleet_load.QUICK if plan is QUICK else fleet_load.WHOLE)


async def _run(plan: Plan) -> None:
    message = recorded_status()
    _baseline(StatusFrames(message))
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        server = Server(from_sources(), folder)
        begin = time.monotonic()
        fleet = fill(server.data_dir, plan.agents, message)
        _say(f"{plan.agents} printers were made in {time.monotonic() - begin:.1f} s")
        stack.callback(server.stop)
        _starts(server, plan)
        generator = await _generator(stack, plan, server, fleet, message)
        begin = time.monotonic()
        await generator.connect_agents()
        seconds = time.monotonic() - begin
        figure("server.connects", plan.agents / seconds, "1/s", agents=plan.agents, seconds=round(seconds, 1))
        await generator.connect_viewers()
        await _main_load(generator, server, plan)
        await _saturation(generator, server, plan)
        server.process.check()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _baseline(frames: StatusFrames) -> None:
    """What this machine can do at the moment: parsing such statuses with the standard library, on one core."""
    texts = [frames.make(1_700_000_000 + number, number)[8:].decode() for number in range(2000)]
    begin = time.process_time()
    for text in texts:
        json.loads(text)
    figure(
        "bench.json_loads", len(texts) / (time.process_time() - begin), "1/CPU s", bytes=frames.size,
        cores=os.cpu_count(), load_average=round(os.getloadavg()[0], 1),
    )  # fmt: skip


def _starts(server: Server, plan: Plan) -> None:
    times = []
    for number in range(plan.starts):
        if number:
            server.stop()
        begin = time.monotonic()
        server.start()
        times.append(time.monotonic() - begin)
    figure("server.start_time", median(times), "s", worst=round(max(times), 2), printers=plan.agents)
    time.sleep(plan.quiet_seconds)
    pid = server.process.pid
    figure("server.rss_idle", proc.tree_rss_mb(pid), "MB", threads=proc.threads(pid), processes=len(proc.tree(pid)))


async def _generator(
    stack: AsyncExitStack, plan: Plan, server: Server, fleet: Fleet, message: dict[str, Any]
) -> Generator:
    def task(**more: Any) -> dict[str, Any]:
        made = Task("127.0.0.1", server.port, message, {"settings": SETTINGS, **message}, fleet.key, **more)
        return {name: getattr(made, name) for name in Task.__dataclass_fields__}

    # Viewers and commands are spread over the printers.
    watched = tuple(printer for printer, _ in fleet.printers[:: max(1, plan.agents // plan.viewers)])[: plan.viewers]
    commanded = tuple(printer for printer, _ in fleet.printers[:: max(1, plan.agents // 4999)])
    tasks = [task(agents=fleet.printers[number :: plan.processes]) for number in range(plan.processes)]
    processes = [await _worker(stack, each) for each in [*tasks, task(viewers=watched, probes=commanded)]]
    return Generator(processes[:-1], processes[-1])


async def _worker(stack: AsyncExitStack, task: dict[str, Any]) -> asyncio.subprocess.Process:
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.load.worker", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        cwd=ROOT, env=clean_environment(), limit=64 * 1024 * 1024,
    )  # fmt: skip
    assert worker.stdin is not None

    async def end() -> None:
        if worker.returncode is None:
            worker.kill()
        await worker.wait()

    stack.push_async_callback(end)
    worker.stdin.write(json.dumps(task).encode() + b"\n")
    await worker.stdin.drain()
    return worker


async def _main_load(generator: Generator, server: Server, plan: Plan) -> None:
    await generator.statuses(plan.rate)
    await generator.probes(plan.probes)
    await asyncio.sleep(plan.settle_seconds)
    found = await measure(generator, server, plan.seconds)
    _check(found)
    pid = server.process.pid
    load = {"statuses": round(found.rate), "viewers": plan.viewers}
    figure("server.agents", plan.agents - found.lost, "", **load, keeps_up=found.keeps_up)
    figure(
        "server.command_p99", p(found.latencies, 99), "ms", median=_ms(p(found.latencies, 50)),
        worst=_ms(p(found.latencies, 100)), commands=len(found.latencies), failed=found.failed,
        answer_p99=_ms(p(found.answers, 99)),
    )  # fmt: skip
    figure(
        "server.status_p99", p(found.ages, 99), "ms", median=_ms(p(found.ages, 50)), worst=_ms(p(found.ages, 100)),
        frames=len(found.ages),
    )  # fmt: skip
    figure("server.rss_loaded", proc.tree_rss_mb(pid), "MB", threads=proc.threads(pid), agents=plan.agents)
    figure(
        "server.cpu_loaded", found.server_cpu, "% of a core", generator=round(found.generator_cpu),
        generator_late_ms=_ms(found.late * 1000),
    )  # fmt: skip


async def _saturation(generator: Generator, server: Server, plan: Plan) -> None:
    """Ever more statuses, until viewers wait for them longer than MOST_AGE; then once between the last two rates."""
    good, bad, rate = plan.rate, 0.0, plan.rate
    best: Measured | None = None
    for _ in range(plan.most_steps):
        rate = rate * plan.growth if not bad else (good + bad) / 2
        await generator.statuses(rate)
        await asyncio.sleep(plan.step_seconds / 2)
        found = await measure(generator, server, plan.step_seconds)
        _say(
            f"{found.rate:6.0f} statuses/s: p99 of statuses {p(found.ages, 99):7.1f} ms, of commands "
            f"{p(found.latencies, 99):7.1f} ms; CPU of server {found.server_cpu:3.0f} %, of generator "
            f"{found.generator_cpu:3.0f} %{'' if found.keeps_up else ': it does not keep up'}"
        )
        if found.keeps_up:
            good, best = found.rate, found
            if bad:
                break
            continue
        if bad:
            break
        bad = rate
        await generator.statuses(0)
        await asyncio.sleep(plan.step_seconds / 2)
        await generator.reports()
    more = {} if best is None else {
        "command_p99_ms": _ms(p(best.latencies, 99)), "server_cpu": round(best.server_cpu),
        "generator_cpu": round(best.generator_cpu),
    }  # fmt: skip
    figure("server.saturation_statuses", good, "1/s", viewers=plan.viewers, reached=bool(bad), **more)


def _check(found: Measured) -> None:
    if found.late > MOST_LATE:
        _say(f"the generator was late by {found.late * 1000:.0f} ms: the machine is too busy for figures to count")


def _ms(value: float) -> float:
    return round(value, 1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.server_load", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a small load for some seconds: does it all work?")
    run(QUICK if parser.parse_args().quick else None)
