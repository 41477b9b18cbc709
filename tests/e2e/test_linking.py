"""Linking without typing on both hosts; a copied card that knows that it is one."""

from __future__ import annotations

import json
import shutil
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from demo.octoprint_host import OctoPrintHost, OctoPrintSetup
from demo.parts import KlipperAgent, Server, from_sources
from demo.processes import free_port, wait_for
from tests.e2e import octoprint as octoprint_tests
from tests.e2e.rig import SPY, start_server
from tests.fakes.machine import pi

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = start_server(tmp_path_factory.mktemp("server"))
    yield made
    made.stop()


def devices(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.rest.get("/api/v1/printer_discovery/")
    return found


def seen(server: Server, before: set[str]) -> dict[str, Any]:
    """The device that has announced itself since (a search that has ended is listed for some seconds more)."""
    found: list[dict[str, Any]] = wait_for(
        lambda: [device for device in devices(server) if device["device_id"] not in before], 40, "an announcement"
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


def on_machine(host: OctoPrintHost, server: Server, root: Path) -> dict[str, Any]:
    """Starts the plugin anew, on a machine of our choice; the device that it announces."""
    host.post("/api/plugin/spy", {"command": "stop"})
    before = {device["device_id"] for device in devices(server)}
    host.post("/api/plugin/spy", {"command": "machine", "root": str(root)})
    host.post("/api/plugin/spy", {"command": "begin"})
    return seen(server, before)


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
        known = {device["device_id"] for device in devices(server)}
        host.start()
        seen(server, known)  # by itself
        device = on_machine(host, server, pi(tmp_path / "first", 1))
        told = (device["agent"], device["port"], device["printerprofile"])
        assert told == ("Obico for OctoPrint", host.port, "Default")
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

        # The card is copied to another printer: it says so, and leaves the link alone.
        on_machine(host, server, pi(tmp_path / "other", 2))
        shown = status(host)
        assert (shown["copied"], shown["linked"], len(printers(server) - before)) == (True, False, 1)
        # Or it was the same printer.
        host.post("/api/plugin/obico", {"command": "keep_identity"})
        wait_for(lambda: status(host)["connected"], 40, "the link that was kept")
        assert len(printers(server) - before) == 1

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


def klipper(folder: Path, server: Server, machine: int) -> KlipperAgent:
    """An agent on a machine of our choice. Its Moonraker is away, which is of no interest here."""
    root = pi(folder / "machine", machine)
    programs = replace(from_sources(), agent=[sys.executable, "-m", "tests.e2e.agent_on", str(root)])
    agent = KlipperAgent(programs, folder, free_port())
    agent.prepare(server.url)
    with agent.config.open("a") as file:
        file.write(f"discovery_port: {free_port()}\n")
    return agent


def test_a_copied_card_leaves_the_original_alone(server: Server, tmp_path: Path) -> None:
    before = printers(server)
    original = klipper(tmp_path / "original", server, 1)
    copy = klipper(tmp_path / "copy", server, 2)
    try:
        known = {device["device_id"] for device in devices(server)}
        original.start()
        device = seen(server, known)
        body = {"code": server.rest.new_code(), "device_id": device["device_id"], "device_secret": ask(device)[1]}
        server.rest.post("/api/v1/printer_discovery/", body)
        wait_for(lambda: original.status()["link"]["state"] == "connected", 40, "the link by discovery")
        (number,) = printers(server) - before

        shutil.copytree(original.data_dir, copy.data_dir, ignore=shutil.ignore_patterns("*.sock", "lock"))
        copy.start()
        told = wait_for(lambda: copy.status().get("link"), 20, "the copy")
        assert told["state"] == "not linked"
        assert "copied from another printer" in told["reason"]
        assert "this installation was copied from another printer" in copy.process.said()
        twin = seen(server, {*known, device["device_id"]})
        body = {"code": server.rest.new_code(), "device_id": twin["device_id"], "device_secret": ask(twin)[1]}
        server.rest.post("/api/v1/printer_discovery/", body)
        wait_for(lambda: copy.status()["link"]["state"] == "connected", 40, "the copy's own link")
        assert len(printers(server) - before) == 2
        assert original.status()["link"]["state"] == "connected"
        # It was never taken for the original, which never lost its connection.
        assert server.process.said().count(f"printer {number}: agent connected") == 1

        # The same printer with new hardware: it asks, and a word is enough.
        copy.stop()
        shutil.rmtree(tmp_path / "copy" / "machine")
        pi(tmp_path / "copy" / "machine", 3)
        copy.start()
        wait_for(lambda: (copy.status().get("link") or {}).get("reason"), 20, "the new hardware to be noticed")
        assert copy.command("link", "--keep").returncode == 0
        wait_for(lambda: copy.status()["link"]["state"] == "connected", 40, "the link that was kept")
        assert len(printers(server) - before) == 2
    finally:
        original.stop()
        copy.stop()
