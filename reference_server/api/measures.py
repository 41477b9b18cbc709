"""Figures about the server itself: counted while requests pass, written out as Prometheus reads them.

`/metrics` answers only where a token is set (OBICO_SERVER_METRICS_TOKEN), and only to that token. `/readyz` says
whether the server can do its work; `/healthz` (pages.py) whether it lives.
"""

from __future__ import annotations

import hmac
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from reference_server import VERSION
from reference_server.api.auth import Services
from reference_server.api.context import Context
from reference_server.api.responses import Json
from reference_server.services.errors import NotFound, StoreFailed, Unauthenticated

router = APIRouter()

BUCKETS = (0.005, 0.025, 0.1, 0.5, 2.5, 10.0)
"""Seconds."""

LEAST_SPACE = 50_000_000
"""Bytes free that the server needs to store anything."""


class Measures:
    """Written by the event loop only."""

    def __init__(self) -> None:
        self.requests: dict[tuple[str, str], int] = {}  # (method, status class): a few dozen at most
        self.buckets = [0] * (len(BUCKETS) + 1)
        self.seconds = 0.0

    def count(self, method: str, status: int, seconds: float) -> None:
        known = method if method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} else "other"
        key = (known, f"{status // 100}xx" if status else "broken")
        self.requests[key] = self.requests.get(key, 0) + 1
        self.seconds += seconds
        self.buckets[next((n for n, limit in enumerate(BUCKETS) if seconds <= limit), len(BUCKETS))] += 1


def _metric(name: str, kind: str, text: str, samples: Iterable[tuple[str, float]]) -> Iterator[str]:
    """`samples`: what comes after the name (labels, a suffix), and the value."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for rest, value in samples:
        yield f"{name}{rest} {value:g}" if value != int(value) else f"{name}{rest} {int(value)}"


def _durations(measures: Measures) -> Iterator[tuple[str, float]]:
    below = 0
    for limit, count in zip((*(f"{each:g}" for each in BUCKETS), "+Inf"), measures.buckets, strict=True):
        below += count
        yield f'_bucket{{le="{limit}"}}', below
    yield "_sum", measures.seconds
    yield "_count", below


def _process() -> Iterator[str]:
    stat = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    yield from _metric("process_cpu_seconds_total", "counter", "Processor time used.",
                       [("", (int(stat[11]) + int(stat[12])) / ticks)])  # fmt: skip
    yield from _metric("process_resident_memory_bytes", "gauge", "Memory in use.",
                       [("", int(stat[21]) * os.sysconf("SC_PAGE_SIZE"))])  # fmt: skip
    yield from _metric("process_open_fds", "gauge", "Open files and sockets.",
                       [("", sum(1 for _ in Path("/proc/self/fd").iterdir()))])  # fmt: skip


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tunnel(context: Context) -> Iterator[str]:
    figures, (requests, sockets) = context.web_interfaces.figures, context.web_interfaces.desk.counts()
    yield from _metric("obico_tunnel_answers_total", "counter", "Requests to printers' web interfaces.", sorted(
        (f'{{status="{status}"}}', count) for status, count in figures.answers.copy().items()))  # fmt: skip
    yield from _metric("obico_tunnel_bytes_total", "counter", "Bytes from and to their visitors.",
                       [('{direction="up"}', figures.up), ('{direction="down"}', figures.down)])  # fmt: skip
    yield from _metric("obico_tunnel_exchanges", "gauge", "Requests and WebSockets under way.",
                       [('{kind="request"}', requests), ('{kind="socket"}', sockets)])  # fmt: skip


def exposition(context: Context, agents: int, viewers: int) -> str:
    """Everything, in Prometheus' text format. Blocks for a moment (looks at the disk)."""
    measures, folder = context.measures, context.config.data_dir
    requests = [
        (f'{{method="{method}",status="{status}"}}', count)
        for (method, status), count in measures.requests.copy().items()
    ]
    lines = [
        *_metric("obico_server_info", "gauge", "The version.", [(f'{{version="{VERSION}"}}', 1)]),
        *_metric("obico_agents_connected", "gauge", "Printers' agents that are connected.", [("", agents)]),
        *_metric("obico_web_clients_connected", "gauge", "Web sockets of pages and apps.", [("", viewers)]),
        *_metric("obico_http_requests_total", "counter", "Requests answered.", sorted(requests)),
        *_metric("obico_http_request_seconds", "histogram", "How long they took.", _durations(measures)),
        *_tunnel(context),
        *_metric("obico_database_bytes", "gauge", "Size of the database.", [
            ('{part="main"}', _size(context.config.database)),
            ('{part="wal"}', _size(context.config.database.with_name("server.sqlite3-wal"))),
        ]),
        *_metric("obico_disk_free_bytes", "gauge", "Free on the data folder's disk.",
                 [("", shutil.disk_usage(folder).free)]),
        *_process(),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


@router.get("/metrics", include_in_schema=False)
async def metrics(request: Request, context: Services) -> Response:
    token = context.config.metrics_token
    if token is None:
        raise NotFound
    keyword, _, sent = request.headers.get("authorization", "").partition(" ")
    if keyword.lower() != "bearer" or not hmac.compare_digest(sent.strip().encode("utf-8", "replace"), token.encode()):
        raise Unauthenticated("The metrics token is needed.")
    agents, viewers = context.hub.counts()
    text = await run_in_threadpool(exposition, context, agents, viewers)
    kind = "text/plain; version=0.0.4; charset=utf-8"
    return Response(text, headers={"content-type": kind, "cache-control": "no-store"})


@router.get("/readyz", include_in_schema=False)
async def ready(context: Services) -> Response:
    """200, or 503 with what is wrong: `{"status", "database", "disk"}`."""
    found = await run_in_threadpool(_readiness, context)
    good = all(value == "ok" for value in found.values())
    return Json({"status": "ok" if good else "not ready", **found}, status_code=200 if good else 503)


def _readiness(context: Context) -> dict[str, str]:
    try:
        context.check_store()
        database = "ok"
    except StoreFailed:
        database = "the database cannot be read"
    try:
        free = shutil.disk_usage(context.config.data_dir).free
        disk = "ok" if free >= LEAST_SPACE else f"only {free // 1_000_000} MB are free"
    except OSError:
        disk = "the data folder is not there"
    return {"database": database, "disk": disk}
