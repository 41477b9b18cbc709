"""`make bench-server`, its second part: the farm. 200 printers that print, 100,000 prints, 50,000 jobs of the past and
10,000 that wait, on SQLite: every list of `/v1` over HTTP, the analytics, and a round of the scheduler.

Each figure is one JSON line: the 99th percentile of all its calls in ms, the `limit` that is promised, the median, and
which call was the slowest. `cpu`: what the server worked for a call in the mean, ms; far below the median,
the machine has other things to do; so says `fleet.healthz`, which asks for nothing. `--quick`: a small farm,
seconds; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import connect

from bench import proc
from bench.load.fleet_data import SMALL, Farm, Sizes, fill_farm
from bench.report import figure, median
from demo.parts import Server, from_sources
from reference_server.app import open_database
from reference_server.memory import spare_collections
from reference_server.services.clock import utc_now
from reference_server.services.fleet.jobs.handover import HandOver
from reference_server.services.fleet.jobs.slots import Readiness
from reference_server.services.secrets import system_random
from tests.fakes.agent import job_status

LIST_LIMIT, ANALYTICS_LIMIT, ROUND_LIMIT = 50.0, 200.0, 50.0
"""ms (issue 5, number 5)."""

FREE = 10
"""Printers that become free between two rounds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """`calls`: of each list and each figure, at least; `rounds`: of the scheduler."""

    sizes: Sizes
    calls: int = 200
    rounds: int = 50


QUICK = Plan(SMALL, 4, 2)
WHOLE = Plan(Sizes())

PAGES = ("", "per_page=100", "page=2&per_page=100", "fields=id")
"""What is asked of each list; `MORE` besides."""

MORE: Mapping[str, Sequence[str]] = {
    "/printers": (
        "status=printing", "status=idle", "group={group}", "tag=enclosed&per_page=100", "sort=-name&per_page=100",
    ),
    "/jobs": (
        "status=queued", "status=queued&sort=priority,created_at&per_page=100",
        "status=completed&page=400&per_page=100", "priority=high", "printer_id={printer_id}", "sort=-completed_at",
        "sort=name&per_page=100", "sort=priority", "status=failed&sort=-updated_at", "page=500&per_page=100",
    ),
    "/materials": ("status=active", "sort=-created_at&per_page=100"),
    "/webhooks/{webhook_id}/deliveries": ("state=delivered", "state=failed", "event=job.failed", "page=40"),
    "/audit": ("page=40&per_page=100",),
}  # fmt: skip

ANALYTICS = (
    "", "from={month}", "from={since}", "from={since}&group={group}", "from={since}&interval=month",
    "from={since}&interval=day", "from={month}&interval=hour", "from={day}&interval=hour",
    "format=csv&interval=day&from={since}",
)  # fmt: skip


def run(plan: Plan = WHOLE) -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        server = Server(from_sources(), folder, more=["--fleet-calls-per-hour", "1000000000", "--log-level", "error"])
        begin = time.monotonic()
        server.data_dir.mkdir(parents=True)
        farm = fill_farm(server.data_dir, plan.sizes)
        figure("fleet.filling", time.monotonic() - begin, "s", prints=plan.sizes.prints, jobs=plan.sizes.jobs)
        begin = time.monotonic()
        server.start()
        figure("fleet.start", time.monotonic() - begin, "s")
        try:
            asyncio.run(_with_agents(server, farm, plan))
            server.process.check()
        finally:
            server.stop()
        _rounds(server.database, farm, plan)


async def _with_agents(server: Server, farm: Farm, plan: Plan) -> None:
    sockets = server.url.replace("http", "ws", 1)
    async with AsyncExitStack() as stack:
        for _, token in farm.tokens:
            agent = await stack.enter_async_context(
                connect(f"{sockets}/ws/dev/", additional_headers={"Authorization": f"bearer {token}"}, proxy=None)
            )
            await agent.send(json.dumps({"current_print_ts": _running(plan.sizes), "status": job_status()}))
        await asyncio.to_thread(_calls, server, farm, plan)


def _running(sizes: Sizes) -> int:
    """The `current_print_ts` of each printer's running print (fleet_data)."""
    return max(1, sizes.prints // sizes.printers) + 100


# --- over HTTP ---


class Caller:
    """One connection that stays open, and no more around it than a program needs."""

    def __init__(self, url: str, key: str) -> None:
        parts = urlsplit(url)
        self._link = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
        self._headers = {"Authorization": f"Bearer {key}"}

    def get(self, path: str) -> tuple[float, bytes]:
        """Milliseconds, and the body."""
        begin = time.perf_counter()
        self._link.request("GET", path, headers=self._headers)
        answer = self._link.getresponse()
        body = answer.read()
        took = (time.perf_counter() - begin) * 1000
        assert answer.status == 200, f"{path}: {answer.status} {body[:300]!r}"
        return took, body

    def close(self) -> None:
        self._link.close()


@contextmanager
def _caller(url: str, key: str) -> Iterator[Caller]:
    caller = Caller(url, key)
    try:
        yield caller
    finally:
        caller.close()


def _calls(server: Server, farm: Farm, plan: Plan) -> None:
    pid = server.process.pid
    with _caller(server.url, farm.key) as caller:
        document = json.loads(caller.get("/v1/openapi.json")[1])
        report("fleet.healthz", [(caller.get("/healthz")[0], "/healthz") for _ in range(plan.calls)], LIST_LIMIT)
        values = {**farm.ids, "group": farm.group, "month": _ago(30), "day": _ago(2),
                  "since": farm.since.date().isoformat()}  # fmt: skip
        for path in lists_of(document):
            queries = [*PAGES, *MORE.get(path, ())]
            _measure(caller, pid, f"fleet.list{_name(path)}", path, queries, values, plan.calls, LIST_LIMIT)
        for path in (path for path in document["paths"] if path.startswith("/analytics/")):
            _measure(caller, pid, f"fleet{_name(path)}", path, ANALYTICS, values, plan.calls // 4, ANALYTICS_LIMIT)


def lists_of(document: Mapping[str, Any]) -> list[str]:
    """Every path that answers a page."""
    found = []
    for path, operations in document["paths"].items():
        content = operations.get("get", {}).get("responses", {}).get("200", {}).get("content", {})
        schema = content.get("application/json", {}).get("schema", {})
        if schema.get("$ref", "").rpartition("/")[2].startswith("Page_"):
            found.append(path)
    return found


def _ago(days: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(time.time() - days * 86400))


def _name(path: str) -> str:
    return "".join(f".{part}" for part in path.strip("/").split("/") if not part.startswith("{"))


def _measure(
    caller: Caller, pid: int, name: str, path: str, queries: Sequence[str], values: Mapping[str, str], calls: int,
    limit: float,
) -> None:  # fmt: skip
    addresses = [f"/v1{path}?{query}".format(**values).rstrip("?") for query in queries]
    for address in addresses:
        caller.get(address)  # code and pages are warm, as in a server that has run for a while
    took: list[tuple[float, str]] = []
    worked = proc.cpu_seconds(pid)
    while len(took) < max(calls, len(addresses)):
        took += [(caller.get(address)[0], address) for address in addresses]
    report(name, took, limit, cpu=round((proc.cpu_seconds(pid) - worked) * 1000 / len(took), 1))


def report(name: str, took: Sequence[tuple[float, str]], limit: float, **more: object) -> None:
    """p99, and per address the median of the slowest one."""
    ordered = sorted(took)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))][0]
    by_address: dict[str, list[float]] = {}
    for each, address in took:
        by_address.setdefault(address, []).append(each)
    slowest = max(by_address, key=lambda address: median(by_address[address]))
    figure(
        name, p99, "ms", limit=limit, median=round(median([each for each, _ in took]), 2), calls=len(took),
        slowest=slowest, slowest_median=round(median(by_address[slowest]), 2), **more,
    )  # fmt: skip


# --- the scheduler ---


def _rounds(path: Path, farm: Farm, plan: Plan) -> None:
    """What one round does, in this process: reads the rows, plans, writes who got what. First with some printers that
    have just become free, then with all of them at once, as after a night or a power cut."""
    database = open_database(path)
    try:
        _end_prints(path, plan.sizes)
        handover = HandOver(database, utc_now, system_random)
        ready = {printer: Readiness(online=True, idle=True, name=f"P{printer:03}") for printer, _ in farm.tokens}

        def one_round() -> None:
            assert handover.work().waiting
            handover.assign(handover.plan(farm.organization_id, farm.account_id, ready))

        spare_collections()  # as in the server: what is there for good is not looked at again and again
        while handover.assign(handover.plan(farm.organization_id, farm.account_id, ready)):
            pass
        for name, free in (("fleet.scheduling_round", FREE), ("fleet.scheduling_round_all", len(ready))):
            took: list[tuple[float, str]] = []
            given: list[int] = []
            while len(took) < plan.rounds:
                for attempt in handover.work().attempts[:free]:
                    handover.take_back(attempt.public_id, "bench")
                before = len(handover.work().attempts)
                while not took or given[-1] or before < len(ready):
                    took.append((timed(one_round), f"{free} free"))
                    after = len(handover.work().attempts)
                    given.append(after - before)
                    before = after
                    if not given[-1] or after == len(ready):
                        break
            report(name, took, ROUND_LIMIT, given=round(median(given)), printers=len(ready), queued=plan.sizes.queued)
    finally:
        database.close()


def _end_prints(path: Path, sizes: Sizes) -> None:
    """No printer prints any more, and every bed is clear."""
    with contextlib.closing(sqlite3.connect(path)) as link, link:
        link.execute("UPDATE prints SET finished_at = started_at, ended_reason = 'done' WHERE id > ?", [sizes.prints])
        link.execute("UPDATE fleet_printers SET bed_clear = 1")
        link.execute("UPDATE printers SET current_print_id = NULL")


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return (time.perf_counter() - begin) * 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small farm; shows that everything works")
    run(QUICK if parser.parse_args().quick else WHOLE)


if __name__ == "__main__":
    main()
