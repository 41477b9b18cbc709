"""The server: how fast it starts, what it costs, and how soon a page sees what an agent says."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from bench import proc
from bench.report import figure, median
from bench.rig import PASSWORD
from demo.parts import Programs, Server, installed
from tests.fakes.agent import job_status

STARTS = 3
AGENTS = 40
STATUSES = 400
"""Of each agent, in a burst that the server takes without holding it back (reference_server.realtime.rate)."""

ROUNDS = 200
TS = 1_767_000_000
PATIENCE = 30.0


def run(programs: Programs | None = None) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        server = Server(programs or installed(), Path(name))
        try:
            figure("server.first_start", _start(server), "s")
            server.set_up(PASSWORD)
            tokens = [server.rest.post("/api/v1/printers/", {"name": f"P{n}"})["auth_token"] for n in range(AGENTS)]
            server.stop()
            starts = []
            for _ in range(STARTS):
                starts.append(_start(server))
                idle = proc.rss_mb(server.process.pid)
                if len(starts) < STARTS:
                    server.stop()
            figure("server.start", median(starts), "s", worst=round(max(starts), 2), starts=STARTS)
            figure("server.rss_idle", idle, "MB", threads=proc.threads(server.process.pid))
            asyncio.run(_with_agents(server, tokens))
        finally:
            server.stop()


def _start(server: Server) -> float:
    """Seconds from the command until it answers."""
    begin = time.monotonic()
    server.start()
    return time.monotonic() - begin


async def _with_agents(server: Server, tokens: Sequence[str]) -> None:
    pid = server.process.pid
    sockets = server.url.replace("http", "ws", 1)
    headers = {"Authorization": f"Bearer {server.rest.key}"}
    async with AsyncExitStack() as stack:
        agents = [
            await stack.enter_async_context(
                connect(f"{sockets}/ws/dev/", additional_headers={"Authorization": f"bearer {token}"}, proxy=None)
            )
            for token in tokens
        ]
        for agent in agents:
            await agent.send(_message(1, settings={"agent": {"name": "moonraker_obico", "version": "3.0.0"}}))
        await _flood(server, agents, 2)  # prints are begun, code is warm
        figure("server.statuses", await _flood(server, agents, 1000), "1/CPU s", agents=AGENTS, viewers=0)
        page = await stack.enter_async_context(
            connect(f"{sockets}/ws/web/", additional_headers=headers, proxy=None, max_size=None)
        )
        reading = asyncio.create_task(_read_all(page))
        figure("server.statuses_viewed", await _flood(server, agents, 2000), "1/CPU s", agents=AGENTS, viewers=1)
        figure("server.rss_busy", proc.rss_mb(pid), "MB", agents=AGENTS, threads=proc.threads(pid))
        reading.cancel()
        first = server.rest.printers()[0]["id"]
        one = await stack.enter_async_context(
            connect(f"{sockets}/ws/web/{first}/", additional_headers=headers, proxy=None, max_size=None)
        )
        times = [await _latency(agents[0], one, 10_000 + number) for number in range(ROUNDS)]
        figure("server.status_latency", median(times), "ms", worst=round(max(times), 1), statuses=ROUNDS)


def _message(ts: float, **more: Any) -> str:
    return json.dumps({"current_print_ts": TS, "status": job_status(_ts=ts), **more})


async def _flood(server: Server, agents: Sequence[ClientConnection], ts: int) -> float:
    """Statuses from all agents as fast as the server takes them; how many in a second of its CPU time."""
    frames = [_message(ts + number / STATUSES) for number in range(STATUSES)]
    begin = proc.cpu_seconds(server.process.pid)

    async def send(agent: ClientConnection) -> None:
        for frame in frames:
            await agent.send(frame)

    await asyncio.gather(*(send(agent) for agent in agents))
    last = ts + (STATUSES - 1) / STATUSES
    for number in range(1, AGENTS + 1):
        await asyncio.to_thread(
            server.rest.wait_for_printer, number, lambda found: (found["status"] or {}).get("_ts") == last, PATIENCE,
            "the last status",
        )  # fmt: skip
    return AGENTS * STATUSES / (proc.cpu_seconds(server.process.pid) - begin)


async def _read_all(page: ClientConnection) -> None:
    async for _ in page:
        pass


async def _latency(agent: ClientConnection, page: ClientConnection, ts: int) -> float:
    """Milliseconds from an agent's sending until a web client has the frame with it."""
    frame = _message(ts)
    begin = time.monotonic()
    await agent.send(frame)
    while (json.loads(await asyncio.wait_for(page.recv(), PATIENCE)).get("status") or {}).get("_ts") != ts:
        pass
    return (time.monotonic() - begin) * 1000
