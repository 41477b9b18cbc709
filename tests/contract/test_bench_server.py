"""`make bench-server` works: a small load, every figure, nothing lost. What the figures are is another question."""

from __future__ import annotations

import json

import pytest

from bench import server_load

FIGURES = {
    "bench.json_loads", "server.start_time", "server.rss_idle", "server.connects", "server.agents",
    "server.command_p99", "server.status_p99", "server.rss_loaded", "server.cpu_loaded", "server.saturation_statuses",
}  # fmt: skip


def test_the_load_bench_takes_its_figures(capfd: pytest.CaptureFixture[str]) -> None:
    server_load.run(server_load.QUICK)
    said = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    found = {line["figure"]: line for line in said}
    assert set(found) == FIGURES
    assert found["server.agents"]["value"] == server_load.QUICK.agents
    assert found["server.command_p99"]["failed"] == 0
    assert found["server.command_p99"]["commands"] > 0
    assert found["server.status_p99"]["frames"] > 0
    assert all(line["value"] > 0 for line in said)
