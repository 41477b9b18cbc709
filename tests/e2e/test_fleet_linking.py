"""`POST /v1/printers` with the address of a real host: our agent there is linked (fleet-api.md §2)."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from demo.parts import Server, from_sources
from demo.processes import free_port, wait_for
from demo.rest import Refused, Rest
from tests.e2e import octoprint as octoprint_tests
from tests.e2e.rig import KlipperPrinter, OctoPrintPrinter, Watcher, secrets_in

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(from_sources(), tmp_path_factory.mktemp("server"), more=["--allow-loopback-addresses", "yes"])
    made.start()
    made.set_up("end-to-end-tests")
    yield made
    made.stop()


@pytest.fixture(scope="module")
def farm(server: Server) -> Rest:
    return Rest(server.url, server.rest.new_fleet_key())


def add(farm: Rest, name: str, url: str, key: str) -> dict[str, Any]:
    """Makes the printer, and waits until its agent is there."""
    body = {"name": name, "connection_url": url, "api_key": key, "group": "production", "tags": ["enclosed"]}
    made: dict[str, Any] = farm.post("/v1/printers", body)
    assert made["note"] is None or "has not come with it yet" in made["note"], made["note"]

    def idle() -> dict[str, Any] | None:
        shown: dict[str, Any] = farm.get(f"/v1/printers/{made['id']}")
        return shown if shown["status"] == "idle" else None

    found: dict[str, Any] = wait_for(idle, 40, f"{name} to be online")
    assert (found["name"], found["group"], found["tags"]) == (name, "production", ["enclosed"])
    return found


def refuses_another(farm: Rest, name: str, url: str, key: str, words: str) -> None:
    """A printer that is linked stays as it is."""
    other: dict[str, Any] = farm.post("/v1/printers", {"name": name, "connection_url": url, "api_key": key})
    assert (other["linked"], other["status"]) == (False, "offline")
    assert words in other["note"]
    assert other["link_code"].isdigit()
    farm.delete(f"/v1/printers/{other['id']}")


def act(farm: Rest, printer: str, action: str) -> tuple[str, str | None]:
    answer = farm.post(f"/v1/printers/{printer}/actions", {"action": action})
    return answer["state"], answer["error"]


@pytest.mark.octoprint
def test_octoprint_is_linked_by_its_address(server: Server, farm: Rest, tmp_path: Path) -> None:
    version = octoprint_tests.VERSIONS[0]
    printer = OctoPrintPrinter(server, version, tmp_path)
    host = printer.host
    url = f"http://127.0.0.1:{host.port}"
    open_things = ExitStack()
    try:
        early = farm.post("/v1/printers", {"name": "early", "connection_url": url, "api_key": host.api_key})
        assert "Nothing was reached at the address" in early["note"]
        farm.delete(f"/v1/printers/{early['id']}")
        printer.start_host()
        wait_for(lambda: host.request("GET", "/api/plugin/obico")[0] == 200, 60, "the plugin to be up")
        refuses_another(farm, "no key", url, "wrong" * 6, "refuses the API key")
        shown = add(farm, "Prusa-B-05", url, host.api_key)

        watcher = Watcher(server.rest, shown["obico_id"])  # whoever is watched tells more often
        open_things.callback(watcher.close)

        def told() -> bool:
            now = farm.get(f"/v1/printers/{shown['id']}")
            return now["temperatures"]["hotend"] is not None and now["firmware"].startswith("OctoPrint ")

        wait_for(told, 40, "its temperatures and version")
        refuses_another(farm, "twice", url, host.api_key, "linked to a server already")
        assert act(farm, shown["id"], "home") == ("done", None)
        wait_for(lambda: any("G28" in line for line in host.received_lines()), 20, "the homing")
        host.gcode("M140 S50")
        wait_for(lambda: farm.get(f"/v1/printers/{shown['id']}")["heaters"]["bed"]["target"] == 50, 20, "a target")
        assert act(farm, shown["id"], "cooldown") == ("done", None)
        wait_for(lambda: farm.get(f"/v1/printers/{shown['id']}")["heaters"]["bed"]["target"] == 0, 20, "the cooldown")
        assert secrets_in(server.process.said() + host.log.read_text(), {"key": host.api_key}) == []
        assert host.api_key.encode() not in server.database.read_bytes()
    finally:
        open_things.close()
        printer.stop()


@pytest.mark.moonraker
def test_moonraker_is_linked_by_its_address(server: Server, farm: Rest, short_folder: Path) -> None:
    folder = short_folder / "linked-by-url"
    printer = KlipperPrinter(server, folder)
    printer.agent.prepare(f"http://127.0.0.1:{free_port()}")  # of a server that it is not linked to in the end
    url = printer.klipper.url
    try:
        printer.start_host()
        with _OPENER.open(f"{url}/access/api_key", timeout=10) as answer:
            key = str(json.load(answer)["result"])
        refuses_another(farm, "no agent", url, key, "has no agent of ours")
        printer.agent.start()

        def registered() -> bool:
            with _OPENER.open(f"{url}/server/extensions/list", timeout=10) as answer:
                return b"moonraker-obico" in answer.read()

        wait_for(registered, 40, "the agent at Moonraker")
        shown = add(farm, "Voron-A-01", url, key)
        assert shown["firmware"].startswith("Klipper")
        wait_for(lambda: printer.agent.status()["link"]["state"] == "connected", 40, "the agent's own view")
        assert printer.agent.status()["link"]["server"] == server.url
        refuses_another(farm, "twice", url, key, "linked to a server already")
        assert act(farm, shown["id"], "home") == ("done", None)
        assert act(farm, shown["id"], "cooldown") == ("done", None)
        assert secrets_in(server.process.said() + printer.log(), {"key": key}) == []
        with pytest.raises(Refused):
            farm.post("/v1/printers", {"name": "x", "connection_url": "http://169.254.169.254/"})
        assert farm.post(f"/v1/printers/{shown['id']}/actions", {"action": "clear_bed"})["state"] == "done"
    finally:
        printer.stop()
