"""Metrics, readiness, request ids."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path

import pytest

from reference_server.logs import REQUEST_ID, JsonFormatter
from tests.unit.reference_server.support import Person, make_app, run

TOKEN = "a metrics token"


def test_metrics_are_off_unless_a_token_is_set_and_only_for_that_token(tmp_path: Path) -> None:
    async def story() -> None:
        async with Person(make_app(tmp_path / "off")) as person:
            assert (await person.http.get("/metrics")).status_code == 404
        async with Person(make_app(tmp_path / "on", metrics_token=TOKEN)) as person:
            assert (await person.http.get("/metrics")).status_code == 401
            assert (await person.http.get("/metrics", headers={"Authorization": "Bearer x"})).status_code == 401
            await person.log_in()
            assert (await person.http.get("/metrics")).status_code == 401
            answer = await person.http.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            lines = answer.text.splitlines()
            values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
            assert values['obico_http_requests_total{method="POST",status="2xx"}'] == "1"
            assert values['obico_http_requests_total{method="GET",status="4xx"}'] == "3"
            assert values["obico_http_request_seconds_count"] == "4"
            assert values['obico_http_request_seconds_bucket{le="+Inf"}'] == "4"
            assert values["obico_agents_connected"] == "0"
            assert int(values["process_resident_memory_bytes"]) > 10_000_000
            assert float(values["process_cpu_seconds_total"]) > 0
            # What Prometheus' own parser would take: comments, or a name with labels and a number.
            sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+')
            assert all(line.startswith(("# HELP ", "# TYPE ")) or sample.fullmatch(line) for line in lines)

    run(story)


def test_ready_means_database_and_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        app = make_app(tmp_path)
        async with Person(app) as person:
            good = await person.http.get("/readyz")
            assert (good.status_code, good.json()) == (200, {"status": "ok", "database": "ok", "disk": "ok"})
            monkeypatch.setattr("reference_server.api.measures.LEAST_SPACE", 10**18)
            full = await person.http.get("/readyz")
            assert (full.status_code, "MB are free" in full.json()["disk"]) == (503, True)

    run(story)


def test_a_request_has_an_id_in_its_answer_and_in_its_log_lines(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with Person(make_app(tmp_path)) as person:
            made = (await person.http.get("/healthz")).headers["x-request-id"]
            assert re.fullmatch("[0-9a-f]{16}", made)
            kept = await person.http.get("/healthz", headers={"X-Request-ID": "proxy-7.1"})
            assert kept.headers["x-request-id"] == "proxy-7.1"
            for bad in ("a b", "x" * 65, '"', "a\x7fb"):
                answer = await person.http.get("/healthz", headers={"X-Request-ID": bad})
                assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])

    with caplog.at_level(logging.DEBUG, "reference_server.requests"):
        run(story)
    record = next(record for record in caplog.records if record.name == "reference_server.requests")
    token = REQUEST_ID.set("proxy-7.1")
    try:
        entry = json.loads(JsonFormatter().format(record))
    finally:
        REQUEST_ID.reset(token)
    assert entry["request_id"] == "proxy-7.1"
    assert (entry["method"], entry["path"], entry["status"]) == ("GET", "/healthz", 200)
    assert entry["ms"] >= 0
