"""`make bench-server` works: a small load, every figure, nothing lost. What the figures are is another question."""

from __future__ import annotations

import json

import pytest

from bench import server_load

FIGURES = {
    "bench.json_loads", "server.start_time", "server.rss_idle", "server.connects", "server.agents",
    "server.command_p99", "server.status_p99", "server.rss_loaded", "server.cpu_loaded", "server.saturation_statuses",
}  # fmt: skip
FARM = {
    "fleet.list.printers", "fleet.list.jobs", "fleet.list.materials", "fleet.list.groups", "fleet.list.webhooks",
    "fleet.list.webhooks.deliveries", "fleet.list.users", "fleet.list.api-keys", "fleet.list.audit",
    "fleet.analytics.fleet", "fleet.analytics.printers", "fleet.analytics.jobs", "fleet.analytics.materials",
    "fleet.scheduling_round", "fleet.scheduling_round_all",
}  # fmt: skip


def test_the_load_bench_takes_its_figures(capfd: pytest.CaptureFixture[str]) -> None:
    server_load.run(server_load.QUICK)
    said = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    found = {line["figure"]: line for line in said}
    assert {name for name in found if not name.startswith("fleet.")} == FIGURES
    assert set(found) >= FARM
    assert {found[name]["limit"] for name in FARM} == {50.0, 200.0}
    assert found["fleet.scheduling_round"]["given"] > 0
    assert found["server.agents"]["value"] == server_load.QUICK.agents
    assert found["server.command_p99"]["failed"] == 0
    assert found["server.command_p99"]["commands"] > 0
    assert found["server.status_p99"]["frames"] > 0
    assert all(line["value"] > 0 for line in said)
