"""The fleet API over a large farm: 200 printers, 100,000 prints, 10,000 queued jobs on SQLite. Part of
`make bench-server`; `python -m bench.fleet_load` runs it alone. Each figure is one JSON line: the 99th percentile of
calls over HTTP, one after the other, beside what the same server takes for a call that asks for nothing
(`healthz_p99`).

`--quick` fills in little and shows that everything works; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import http.client
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.load.fleet_data import Farm, Size, fill_farm
from bench.report import figure, median
from demo.parts import Server, from_sources


@dataclass(frozen=True, slots=True)
class Plan:
    size: Size
    calls: int


WHOLE = Plan(Size(), 60)
QUICK = Plan(Size(10, 500, 50), 3)


def run(plan: Plan = WHOLE) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        server = Server(from_sources(), folder, more=["--fleet-calls-per-hour", "1000000"])
        begin = time.monotonic()
        farm = fill_farm(server.data_dir, plan.size)
        print(f"a farm of {plan.size} was made in {time.monotonic() - begin:.1f} s", file=sys.stderr, flush=True)
        stack.callback(server.stop)
        server.start()
        client = Client(server.port, farm.key)
        stack.callback(client.close)
        floor = client.times("/healthz", plan.calls)
        for name, path in calls(farm):
            times = client.times(path, plan.calls)
            figure(
                f"fleet.{name}_p99", p99(times), "ms", median=round(median(times), 1), calls=len(times),
                healthz_p99=round(p99(floor), 1), printers=plan.size.printers, prints=plan.size.prints,
                jobs=plan.size.jobs,
            )  # fmt: skip
        server.process.check()


def calls(farm: Farm) -> Sequence[tuple[str, str]]:
    """Name of the figure -> what is asked for. All figures are over all of the farm's time."""
    whole = {"from": farm.since.isoformat()}
    month = {"from": _days_ago(30)}
    return (
        ("analytics_fleet", _path("/v1/analytics/fleet", whole)),
        ("analytics_series", _path("/v1/analytics/fleet", {**whole, "interval": "day"})),
        ("analytics_hours", _path("/v1/analytics/fleet", {**month, "interval": "hour"})),
        ("analytics_group", _path("/v1/analytics/fleet", {**whole, "group": farm.groups[0]})),
        ("analytics_printer", _path(f"/v1/analytics/printers/{farm.printers[0]}", {**whole, "interval": "day"})),
        ("analytics_jobs", _path("/v1/analytics/jobs", whole)),
        ("analytics_materials", _path("/v1/analytics/materials", whole)),
    )


def _path(path: str, params: dict[str, str]) -> str:
    return f"{path}?{urllib.parse.urlencode(params)}"


def _days_ago(days: int) -> str:
    return datetime.fromtimestamp(time.time() - days * 86_400).astimezone().isoformat()


class Client:
    """One connection that stays."""

    def __init__(self, port: int, key: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._headers = {"Authorization": f"Bearer {key}"}

    def get(self, path: str) -> float:
        """Milliseconds until the whole answer is there."""
        begin = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (path, answer.status, body[:500])
        return (time.perf_counter() - begin) * 1000

    def times(self, path: str, count: int) -> list[float]:
        self.get(path)  # code is warm, pages are in memory
        return [self.get(path) for _ in range(count)]

    def close(self) -> None:
        self._connection.close()


def p99(times: Sequence[float]) -> float:
    """Nearest rank: of fewer than 100 it is the worst."""
    return sorted(times)[max(0, -(-99 * len(times) // 100) - 1)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.fleet_load", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="little data for some seconds: does it all work?")
    run(QUICK if parser.parse_args().quick else WHOLE)
