"""`python -m bench.load.worker`: one process of the generator.

It is told what to do by lines of JSON on its standard input and answers each with one line on its standard output. The
first line is its Task; then `connect`, `rate`, `probe`, `report`, and the end of input ends it.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from bench.load.frames import TEXT, StatusFrames, frame
from bench.load.links import AgentLink, Link, ViewerLink

TICK = 0.005
"""Seconds between two looks at which statuses are due."""

PARALLEL = 100
"""Handshakes under way at once."""

SEAT_SECONDS = 30.0
"""How often a viewer says that it is still there (docs/server-api.md)."""

OPEN_PROBES = 64
"""REST calls under way at once; when there are so many the server is long past its limit."""

HANDSHAKE_SECONDS = 120.0

KEPT_OPEN = 2.0
"""Seconds that an idle HTTP connection is used again; the server closes it after 5."""


@dataclass(frozen=True, slots=True)
class Task:
    """`agents`: printer ids and tokens. `viewers`, `probes`: printers to look at and to command, with the API `key`.

    `message`: the status message that agents repeat with changing values; `hello`: what each says first.
    """

    host: str
    port: int
    message: dict[str, Any]
    hello: dict[str, Any]
    key: str
    agents: tuple[tuple[int, str], ...] = ()
    viewers: tuple[int, ...] = ()
    probes: tuple[int, ...] = ()


@dataclass(slots=True)
class Notes:
    """What happened since the last report; emptied by it."""

    sent: int = 0
    late: float = 0.0  # s, the most that a status was sent after its time
    ages: list[float] = field(default_factory=list)  # s
    commands: list[tuple[int, float]] = field(default_factory=list)
    probes: list[tuple[int, float, float, bool]] = field(default_factory=list)
    skipped: int = 0


class Worker:
    def __init__(self, task: Task) -> None:
        self._task = task
        self._frames = StatusFrames(task.message)
        self._agents: list[AgentLink] = []
        self._viewers: list[ViewerLink] = []
        self._notes = Notes()
        self._rate = self._probe_rate = 0.0
        self._running: set[asyncio.Task[None]] = set()
        self._idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []  # since when

    async def run(self, lines: asyncio.StreamReader) -> None:
        self._keep(self._send_statuses())
        self._keep(self._send_probes())
        self._keep(self._keep_seats())
        while line := await lines.readline():
            print(json.dumps(await self._obey(json.loads(line))), flush=True)
        for task in self._running:
            task.cancel()

    def _keep(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        if order["do"] == "connect":
            return await self._connect()
        if order["do"] == "rate":
            self._rate = float(order["value"])
            return {}
        if order["do"] == "probe":
            self._probe_rate = float(order["value"])
            return {}
        notes, self._notes = self._notes, Notes()
        return {
            "sent": notes.sent, "late": notes.late, "ages": notes.ages, "commands": notes.commands,
            "probes": notes.probes, "skipped": notes.skipped, "cpu": time.process_time(),
            "lost": sum(link.lost for link in (*self._agents, *self._viewers)),
        }  # fmt: skip

    # --- connections ---------------------------------------------------------------------------------------------

    async def _connect(self) -> dict[str, Any]:
        task, begin, gate = self._task, time.monotonic(), asyncio.Semaphore(PARALLEL)
        loop, host = asyncio.get_running_loop(), f"{task.host}:{task.port}"
        hello = frame(TEXT, json.dumps(task.hello).encode())

        async def open_link(link: Link) -> None:
            async with gate:
                await loop.create_connection(lambda: link, task.host, task.port)
                await asyncio.wait_for(link.opened, HANDSHAKE_SECONDS)
            if isinstance(link, AgentLink):
                link.send(hello)

        self._agents = [
            AgentLink(host, printer, token, loop.create_future(), self._commanded) for printer, token in task.agents
        ]
        self._viewers = [
            ViewerLink(host, f"/ws/web/{printer}/", task.key, loop.create_future(), self._seen)
            for printer in task.viewers
        ]
        await asyncio.gather(*(open_link(link) for link in (*self._agents, *self._viewers)))
        return {"seconds": time.monotonic() - begin}

    def _commanded(self, printer: int, at: float) -> None:
        self._notes.commands.append((printer, at))

    def _seen(self, age: float) -> None:
        self._notes.ages.append(age)

    async def _keep_seats(self) -> None:
        while True:
            await asyncio.sleep(SEAT_SECONDS)
            for viewer in self._viewers:
                viewer.send(frame(TEXT, b"{}"))

    # --- statuses ------------------------------------------------------------------------------------------------

    async def _send_statuses(self) -> None:
        """Spread evenly: agent after agent, each when its time has come."""
        number, rate, begin, done = 0, 0.0, 0.0, 0
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            if self._rate != rate or not self._agents:
                rate, begin, done = self._rate, now, 0
            due = int((now - begin) * rate)
            if due > done:
                self._notes.late = max(self._notes.late, now - begin - (done + 1) / rate)
            ts = time.time()
            for step in range(done, due):
                self._agents[number].send(self._frames.make(ts, step))
                number = (number + 1) % len(self._agents)
            self._notes.sent += due - done
            done = due

    # --- commands ------------------------------------------------------------------------------------------------

    async def _send_probes(self) -> None:
        number = 0
        while True:
            if not self._probe_rate:
                await asyncio.sleep(0.1)
                continue
            await asyncio.sleep(1 / self._probe_rate)
            if len(self._running) - 3 >= OPEN_PROBES:
                self._notes.skipped += 1
                continue
            printers = self._task.probes
            self._keep(self._probe(printers[number % len(printers)]))
            number += 1

    async def _probe(self, printer: int) -> None:
        """One REST call, from its first byte to its answer."""
        task = self._task
        while self._idle:
            since, reader, writer = self._idle.pop()
            if time.monotonic() - since < KEPT_OPEN:
                break
            writer.close()
        else:
            reader, writer = await asyncio.open_connection(task.host, task.port)
        begin = time.monotonic()
        writer.write(
            f"POST /api/v1/printers/{printer}/pause_print/ HTTP/1.1\r\nHost: {task.host}:{task.port}\r\n"
            f"Authorization: Bearer {task.key}\r\nContent-Length: 0\r\n\r\n".encode()
        )
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = json.loads(await reader.readexactly(size))
        end = time.monotonic()
        self._notes.probes.append((printer, begin, end, bool(body.get("succeeded"))))
        self._idle.append((end, reader, writer))


def raise_file_limit() -> None:
    """Each connection is an open file."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def main() -> None:
    lines = asyncio.StreamReader(limit=16 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    found = json.loads(await lines.readline())
    agents = tuple((int(printer), str(token)) for printer, token in found.pop("agents"))
    task = Task(agents=agents, viewers=tuple(found.pop("viewers")), probes=tuple(found.pop("probes")), **found)
    await Worker(task).run(lines)


if __name__ == "__main__":
    raise_file_limit()
    asyncio.run(main())
