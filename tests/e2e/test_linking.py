"""Linking without typing on both hosts; a copied card that knows that it is one."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.octoprint_host import OctoPrintHost, OctoPrintSetup
from demo.parts import Server
from demo.processes import free_port, wait_for
from tests.e2e import octoprint as octoprint_tests
from tests.e2e.rig import SPY, start_server

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = start_server(tmp_path_factory.mktemp("server"))
    yield made
    made.stop()


def seen(server: Server, agent: str) -> dict[str, Any]:
    """The device that announces itself."""
    found: list[dict[str, Any]] = wait_for(
        lambda: [d for d in server.rest.get("/api/v1/printer_discovery/") if d["agent"] == agent], 40, "an announcement"
    )
    return found[-1]


def ask(device: dict[str, Any], **headers: str) -> tuple[int, str]:
    """The handshake: status and secret."""
    url = f"http://127.0.0.1:{device['port']}/plugin/obico/grab-discovery-secret?device_id={device['device_id']}"
    request = urllib.request.Request(url, headers={"Accept": "application/json", **headers})
    try:
        with _OPENER.open(request, timeout=20) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            return answer.status, str(json.load(answer)["device_secret"])
    except urllib.error.HTTPError as error:
        error.close()
        return error.code, ""


def printers(server: Server) -> set[int]:
    return {printer["id"] for printer in server.rest.printers()}


def status(host: OctoPrintHost) -> dict[str, Any]:
    return dict(host.get("/api/plugin/obico"))


@pytest.mark.octoprint
@pytest.mark.parametrize("version", octoprint_tests.VERSIONS)
def test_octoprint_is_linked_without_typing(version: str, server: Server, tmp_path: Path) -> None:
    host = OctoPrintHost(
        OctoPrintSetup(
            venv=octoprint_tests.venv(version), basedir=tmp_path, port=free_port(),
            plugin_path=octoprint_tests.plugin_path(), plugins={"spy": SPY},
            plugin_settings={"endpoint_prefix": server.url},
        )
    )  # fmt: skip
    host.prepare()
    before = printers(server)
    try:
        host.start()
        # By itself, and by the list on the server's page.
        device = seen(server, "Obico for OctoPrint")
        assert (device["port"], device["printerprofile"]) == (host.port, "Default")
        for headers in ({"X-Forwarded-For": "8.8.8.8"}, {"X-Real-IP": "8.8.8.8"}, {"Host": "printer.example.com"}):
            assert ask(device, **headers) == (403, "")
        assert ask({**device, "device_id": "00" * 16}) == (403, "")
        answer, secret = ask(device, **{"X-Forwarded-For": "192.168.1.9"})  # as through OctoPi's haproxy
        assert answer == 200
        body = {"code": server.rest.new_code(), "device_id": device["device_id"], "device_secret": secret}
        server.rest.post("/api/v1/printer_discovery/", body)
        wait_for(lambda: status(host)["connected"], 40, "the link by discovery")
        assert len(printers(server) - before) == 1
        assert status(host)["search"] is None
        assert ask(device) == (403, "")
        assert "Linked to" in status(host)["said"]["text"]

        # Unlinked it stays silent until it is told to search; then by passcode.
        host.post("/api/plugin/obico", {"command": "unlink"})
        wait_for(lambda: not status(host)["linked"] and not status(host)["busy"], 20, "the end of the link")
        assert status(host)["search"] is None
        host.post("/api/plugin/obico", {"command": "search", "server": server.url})
        found = wait_for(lambda: (status(host)["search"] or {}).get("passcode") and status(host)["search"], 30, "it")
        assert found["qr"].startswith("data:image/svg+xml;base64,")
        claim = {"one_time_passcode": found["passcode"], "verification_code": server.rest.new_code()}
        server.rest.post("/api/v1/one_time_passcodes/", claim)
        wait_for(lambda: status(host)["connected"], 40, "the link by passcode")
        assert len(printers(server) - before) == 2
    finally:
        host.stop()
