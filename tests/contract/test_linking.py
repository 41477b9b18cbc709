"""Linking without typing, with the real programs: the server, the service that waits, and `moonraker-obico link`."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.parts import KlipperAgent, Server, from_sources
from demo.processes import clean_environment, free_port, wait_for
from tests.e2e.rig import start_server

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = start_server(tmp_path_factory.mktemp("server"))
    yield made
    made.stop()


@pytest.fixture
def agent(server: Server, tmp_path: Path) -> Iterator[KlipperAgent]:
    """Not linked; its Moonraker is away, which is of no interest here."""
    made = KlipperAgent(from_sources(), tmp_path, free_port())
    made.prepare(server.url)
    with made.config.open("a") as file:
        file.write(f"discovery_port: {free_port()}\n")
    yield made
    made.stop()


def seen(server: Server) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.rest.get("/api/v1/printer_discovery/")
    return found


def secret_of(device: dict[str, Any]) -> str:
    """As the page's little window reads it, over the loopback device."""
    url = f"http://127.0.0.1:{device['port']}/plugin/obico/grab-discovery-secret?device_id={device['device_id']}"
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return str(json.load(answer)["device_secret"])


def hand_over(server: Server, device: dict[str, Any], secret: str, code: str) -> None:
    body = {"code": code, "device_id": device["device_id"], "device_secret": secret}
    assert server.rest.post("/api/v1/printer_discovery/", body) == {"queued": True}


def test_a_service_that_waits_is_found_and_linked(server: Server, agent: KlipperAgent) -> None:
    agent.start()
    (device,) = wait_for(lambda: seen(server), 30, "the announcement")
    assert (device["agent"], device["machine_type"]) == ("moonraker_obico", "Klipper")
    hand_over(server, device, secret_of(device), server.rest.new_code())
    wait_for((agent.data_dir / "token").exists, 30, "the token")
    wait_for(lambda: agent.status()["link"]["state"] != "not linked", 30, "the service to begin")
    assert agent.status()["search"] is None
    with pytest.raises(OSError, match="refused"):
        secret_of(device)
    log = agent.process.said()
    assert "this printer is linked to" in log
    assert (agent.data_dir / "token").read_text().strip() not in log


def test_link_by_passcode_and_unlink(server: Server, agent: KlipperAgent) -> None:
    agent.start()
    wait_for(lambda: (agent.status().get("search") or {}).get("passcode"), 30, "the service's passcode")
    command = [*from_sources().agent, "link", "-c", str(agent.config), "--server", server.url]
    with subprocess.Popen(
        command, cwd=ROOT, env=clean_environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as linking:
        try:
            assert linking.stdout is not None
            passcode = None
            while passcode is None:
                line = linking.stdout.readline()
                assert line, "link has ended"
                passcode = re.search(r"passcode  ([a-z0-9]{5})  on the server's page, or open (\S+)", line)
            assert passcode[2] == f"{server.url}/#/link?passcode={passcode[1]}"
            # The service leaves the search to the command: the printer is not there twice.
            assert agent.status()["search"]["state"] == "ended"
            claim = {"one_time_passcode": passcode[1], "verification_code": server.rest.new_code()}
            assert server.rest.post("/api/v1/one_time_passcodes/", claim) == {"detail": "OK"}
            said, _ = linking.communicate(timeout=30)
            assert linking.returncode == 0
            assert f"Linked to {server.url}" in said
        finally:
            linking.kill()
    token = (agent.data_dir / "token").read_text()
    wait_for(lambda: agent.status()["link"]["state"] != "not linked", 30, "the service to take the link over")

    assert agent.command("link", "--server", server.url).returncode == 2  # nobody said yes
    assert (agent.data_dir / "token").read_text() == token
    again = agent.command("link", "--server", server.url, "--code", server.rest.new_code())
    assert again.returncode == 0
    assert (agent.data_dir / "token").read_text() != token

    assert agent.command("unlink", "--force").returncode == 0
    assert not (agent.data_dir / "token").exists()
    wait_for(lambda: agent.status()["link"]["state"] == "not linked", 30, "the service to notice")
