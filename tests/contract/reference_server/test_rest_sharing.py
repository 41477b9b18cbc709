"""Shared printers, discovery and passcodes, programs that ask for a key (wire-protocol.md §2.2, §2.3, §6.6, §7)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from websockets.exceptions import InvalidStatus

from reference_server.services.discovery import PRESENCE, Discovery, site
from reference_server.services.errors import Invalid, NotFound, Throttled
from reference_server.services.secrets import system_random
from reference_server.services.throttle import Throttle
from tests.fakes.agent import FakeAgent
from tests.unit.reference_server.live_server import Owner, Socket, running, wait_until
from tests.unit.reference_server.support import BASE, Person, jpeg, make_app, run

SHARES = "/api/v1/sharedresources/"
DEVICE = "9f" * 16


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    return make_app(tmp_path)


def as_ada(app: FastAPI, journey: Callable[[Person], Awaitable[None]]) -> None:
    async def go() -> None:
        async with Person(app) as person:
            await person.log_in()
            await journey(person)

    run(go)


# --- sharing ---------------------------------------------------------------------------------------------------------


def test_a_printer_is_shared_until_it_is_not(app: FastAPI) -> None:
    async def go() -> None:
        async with Person(app) as ada, Person(app) as bob:
            await ada.log_in()
            await bob.log_in("bob")
            printer = await ada.link()
            assert (await ada.http.get(f"{SHARES}?printer_id={printer['id']}")).json() == []
            (share,) = (await ada.http.post(f"{SHARES}?printer_id={printer['id']}")).json()
            assert len(share["share_token"]) == 36
            assert share["socket_url"] == f"ws://server.test/ws/share_token/web/{share['share_token']}/"
            again = await ada.http.post(SHARES, json={"printer_id": printer["id"]})
            assert again.json() == (await ada.http.get(SHARES)).json() == [share]
            for bad in ({}, {"printer_id": "1"}, {"printer_id": True}):
                assert (await ada.http.post(SHARES, json=bad)).status_code == 400
            assert (await bob.http.get(f"{SHARES}?printer_id={printer['id']}")).status_code == 404
            assert (await bob.http.post(f"{SHARES}?printer_id={printer['id']}")).status_code == 404
            assert (await bob.http.get(SHARES)).json() == []
            assert (await bob.http.delete(f"{SHARES}{share['id']}/")).status_code == 404
            assert (await ada.http.delete(f"{SHARES}{share['id']}/")).status_code == 204
            assert (await ada.http.get(SHARES)).json() == []

    run(go)


def test_who_has_the_link_sees_the_picture_and_nothing_else(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        owner = Owner(server)
        printer = owner.link()
        (share,) = owner.http.post(f"{SHARES}?printer_id={printer['id']}").json()
        agent = FakeAgent(server.base, printer["auth_token"]).connect()
        url = f"{server.sockets}/ws/share_token/web/{share['share_token']}/"
        guest = Socket(url)
        first = guest.receive()
        assert set(first) == {"name", "pic", "settings"}
        assert all(key.startswith("webcam") or key == "ratio169" for key in first["settings"])
        agent.wait_for(lambda frame: frame.get("remote_status", {}).get("viewing") is True)
        agent.post_picture(jpeg())
        seen = guest.until(lambda frame: frame["pic"])
        assert httpx.get(seen["pic"]["img_url"]).status_code == 200
        guest.send({"passthru": {"target": "_printer", "func": "home", "args": ["z"], "ref": "1"}})
        agent.send({"passthru": {"terminal_feed": {"msg": "ok T:205"}}})
        agent.send_status(None)
        assert set(guest.receive()) == {"name", "pic", "settings"}
        assert not any("passthru" in frame for frame in agent.received)
        owner.http.delete(f"{SHARES}{share['id']}/")
        assert guest.closed_with() == 1008
        for bad in (url, f"{server.sockets}/ws/share_token/web/x/"):
            with pytest.raises(InvalidStatus):
                Socket(bad)
        (share,) = owner.http.post(f"{SHARES}?printer_id={printer['id']}").json()
        guest = Socket(f"{server.sockets}/ws/share_token/web/{share['share_token']}/")
        guest.receive()
        owner.http.post(f"/api/v1/printers/{printer['id']}/archive/")
        assert guest.closed_with() == 1008
        agent.close()
        owner.close()


# --- discovery -------------------------------------------------------------------------------------------------------


class World:
    """Discovery with a clock of ours."""

    def __init__(self) -> None:
        self.time = 1000.0
        clock = lambda: self.time  # noqa: E731
        self.discovery = Discovery(clock, system_random, Throttle(3, 600, clock))

    def announce(self, address: str, device: str = DEVICE, **more: Any) -> list[dict[str, Any]]:
        return self.discovery.announce(address, {"device_id": device, "host_or_ip": "192.168.1.50", **more})


def test_agents_are_seen_from_their_own_network_only() -> None:
    world = World()
    world.announce("203.0.113.7", hostname="octopi", port=80, meta={"a": "b", "c": 1})
    (seen,) = world.discovery.seen_from("203.0.113.7")
    assert (seen["hostname"], seen["port"], seen["meta"]) == ("octopi", 80, {"a": "b"})
    for elsewhere in ("203.0.113.8", "192.168.1.2", "2001:db8::1"):
        assert world.discovery.seen_from(elsewhere) == []
    world.time += PRESENCE + 0.1
    assert world.discovery.seen_from("203.0.113.7") == []
    world.announce("203.0.113.7", host_or_ip="8.8.8.8")  # not in anybody's local network
    assert world.discovery.seen_from("203.0.113.7") == []


def test_all_private_addresses_are_the_servers_own_network() -> None:
    """At home agent and browser have addresses of their own, and both are near."""
    world = World()
    world.announce("192.168.1.50")
    assert len(world.discovery.seen_from("10.0.0.3")) == 1
    assert len(world.discovery.seen_from("127.0.0.1")) == 1
    assert (site("::ffff:192.168.1.1"), site("fe80::1"), site("8.8.8.8")) == ("near", "near", "8.8.8.8")


def test_behind_one_public_address_more_than_two_are_none() -> None:
    world = World()
    for number in range(3):
        world.announce("203.0.113.7", f"{number:032x}")
        assert len(world.discovery.seen_from("203.0.113.7")) == (number + 1 if number < 2 else 0)


def test_a_code_is_handed_over_once() -> None:
    world = World()
    here = "203.0.113.7"
    assert not world.discovery.hand_over(here, DEVICE, "042137", "secret")
    world.announce(here)
    assert not world.discovery.hand_over("203.0.113.8", DEVICE, "042137", "secret")
    for _ in range(4):
        assert world.discovery.hand_over(here, DEVICE, "042137", "secret")
    message = {"device_id": DEVICE, "type": "verify_code", "data": {"code": "042137", "secret": "secret"}}
    assert world.announce(here) == [message] * 3
    assert world.announce(here) == [message]
    assert world.announce(here) == []
    world.discovery.hand_over(here, DEVICE, "042137", "secret")
    world.time += 61
    assert world.announce(here) == []


def test_announcements_are_cut_to_what_they_may_be() -> None:
    world = World()
    for bad in ({}, {"device_id": DEVICE}, {"device_id": 7, "host_or_ip": "10.0.0.1"},
                {"device_id": "x" * 65, "host_or_ip": "10.0.0.1"}):  # fmt: skip
        with pytest.raises(Invalid):
            world.discovery.announce("10.0.0.1", bad)
    world.announce("10.0.0.1", hostname="x" * 999, os=7, port=99999, meta=[1])
    (seen,) = world.discovery.seen_from("10.0.0.1")
    assert (len(seen["hostname"]), seen["os"], seen["port"], seen["meta"]) == (253, "", None, {})


def test_a_passcode_lives_until_it_is_claimed() -> None:
    world = World()
    passcode, code = world.discovery.passcode("")
    assert (len(passcode), code) == (5, "")
    assert world.discovery.passcode(passcode) == (passcode, "")
    world.discovery.claim(1, passcode, "042137")
    assert world.discovery.passcode(passcode) == (passcode, "042137")
    with pytest.raises(NotFound):
        world.discovery.claim(2, passcode, "111111")
    world.time += 61
    other, code = world.discovery.passcode(passcode)
    assert (other != passcode, code) == (True, "")
    world.time += 7201
    with pytest.raises(NotFound):
        world.discovery.claim(1, other, "042137")


def test_passcodes_are_not_guessed() -> None:
    world = World()
    for number in range(3):
        with pytest.raises(NotFound):
            world.discovery.claim(1, f"aaaa{number}", "042137")
    with pytest.raises(Throttled):
        world.discovery.claim(1, world.discovery.passcode("")[0], "042137")


def test_a_printer_is_linked_by_discovery_and_by_passcode(app: FastAPI) -> None:
    announcement = {"device_id": DEVICE, "host_or_ip": "192.168.1.50", "hostname": "octopi", "port": 5000}
    unlinked, discovery = "/api/v1/octo/unlinked/", "/api/v1/printer_discovery/"
    passcodes = "/api/v1/one_time_passcodes/"

    async def journey(person: Person) -> None:
        async def code() -> str:
            found: str = (await person.http.get("/api/v1/onetimeverificationcodes/")).json()["code"]
            return found

        assert (await person.http.post(unlinked, json=announcement)).json() == {"messages": []}
        (device,) = (await person.http.get(discovery)).json()
        assert device["hostname"] == "octopi"
        hand_over = {"code": await code(), "device_id": DEVICE, "device_secret": "ab" * 32}
        for name in hand_over:
            answer = await person.http.post(discovery, json={**hand_over, name: ""})
            assert (answer.status_code, answer.json()["errors"]) == (400, {name: ["missing param"]})
        for bad, status in (({"device_id": "x"}, 400), ({"code": "x" * 300}, 400), ({"code": "999999"}, 404),
                            ({"device_id": "0" * 32}, 404)):  # fmt: skip
            assert (await person.http.post(discovery, json={**hand_over, **bad})).status_code == status
        assert (await person.http.post(discovery, json=hand_over)).json() == {"queued": True}
        (message,) = (await person.http.post(unlinked, json=announcement)).json()["messages"]
        assert message["data"] == {"code": hand_over["code"], "secret": "ab" * 32}
        assert (await person.http.post(f"/api/v1/octo/verify/?code={message['data']['code']}")).status_code == 200

        told = (await person.http.post(unlinked, json={**announcement, "one_time_passcode": ""})).json()
        passcode = told["one_time_passcode"]
        assert (told["verification_code"], told["one_time_passlink"]) == ("", f"{BASE}/#/link?passcode={passcode}")
        claim = {"one_time_passcode": f" {passcode.upper()}", "verification_code": await code()}
        assert (await person.http.post(passcodes, json={**claim, "verification_code": "999999"})).status_code == 404
        assert (await person.http.post(passcodes, json={})).status_code == 400
        assert (await person.http.post(passcodes, json=claim)).json() == {"detail": "OK"}
        assert (await person.http.post(passcodes, json=claim)).status_code == 404
        told = (await person.http.post(unlinked, json={**announcement, "one_time_passcode": passcode})).json()
        assert (told["one_time_passcode"], told["verification_code"]) == (passcode, claim["verification_code"])

    as_ada(app, journey)


# --- programs that ask for a key -------------------------------------------------------------------------------------

ORCA = {"response_type": "token", "client_id": "OrcaSlicer"}
REQUEST, GRANT, CLIENTS = "/api/v1/oauth/request/", "/api/v1/oauth/grant/", "/api/v1/oauth/clients/"


def test_orcaslicer_gets_a_key_that_lists_printers_and_makes_no_keys(app: FastAPI) -> None:
    async def journey(person: Person) -> None:
        asked = (await person.http.get(REQUEST, params={**ORCA, "hide_navbar": "true"})).json()
        assert (asked["name"], asked["user"], asked["redirect_uri"]) == ("OrcaSlicer", "ada", None)
        granted = (await person.http.post(GRANT, json=ORCA)).json()
        assert granted["redirect_to"] is None
        headers = {"Authorization": f"Bearer {granted['access_token']}"}
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url=BASE, headers=headers
        ) as slicer:
            assert (await slicer.get("/api/v1/version/")).status_code == 200
            assert (await slicer.get("/api/v1/printers/")).status_code == 200
            assert (await slicer.post("/api/v1/api_keys/", json={"name": "more"})).status_code == 403
            assert (await slicer.post(GRANT, json=ORCA)).status_code == 403
            wrong = await slicer.get("/api/v1/version/", headers={"Authorization": "Bearer wrong"})
            assert wrong.status_code == 401
        names = [key["name"] for key in (await person.http.get("/api/v1/api_keys/")).json()]
        assert names == ["OrcaSlicer"]
        key = (await person.http.post("/api/v1/api_keys/", json={"name": "all"})).json()["key"]
        by_key = await person.http.post(GRANT, json=ORCA, headers={"Authorization": f"Bearer {key}"})
        assert by_key.status_code == 403  # a person has to agree
        del person.http.headers["X-CSRFToken"]
        assert (await person.http.post(GRANT, json=ORCA)).status_code == 403

    as_ada(app, journey)


def test_only_registered_programs_and_addresses(app: FastAPI) -> None:
    async def journey(person: Person) -> None:
        new = {"client_id": "my-slicer", "name": "My slicer", "redirect_uris": ["http://127.0.0.1/cb", "mine://key"]}
        made = await person.http.post(CLIENTS, json=new)
        assert made.status_code == 201
        assert (await person.http.post(CLIENTS, json=new)).status_code == 409
        assert (await person.http.post(CLIENTS, json={**new, "client_id": "OrcaSlicer"})).status_code == 409
        addresses: tuple[list[str], ...] = (
            [], ["http://evil.example"], ["javascript:alert(1)"], ["https://a.example/#x"], ["https:///x"],
            ["//a.example"],
        )  # fmt: skip
        bodies: list[dict[str, Any]] = [{"client_id": "a b"}, {"name": ""}]
        bodies.extend({"redirect_uris": each} for each in addresses)
        for bad in bodies:
            answer = await person.http.post(CLIENTS, json={**new, "client_id": "other", **bad})
            assert (answer.status_code, list(answer.json()["errors"])) == (400, list(bad)), bad
        assert [each["client_id"] for each in (await person.http.get(CLIENTS)).json()] == ["OrcaSlicer", "my-slicer"]
        asked = {"response_type": "token", "client_id": "my-slicer", "redirect_uri": "http://127.0.0.1:51234/cb"}
        granted = (await person.http.post(GRANT, json={**asked, "state": "a&b"})).json()
        where = urlsplit(granted["redirect_to"])
        words = parse_qs(where.fragment)
        assert (where.netloc, where.path, where.query) == ("127.0.0.1:51234", "/cb", "")
        assert words == {
            "access_token": [granted["access_token"]], "token_type": ["Bearer"], "scope": ["read write control"],
            "state": ["a&b"],
        }  # fmt: skip
        for bad_address in ("http://127.0.0.1:51234/other", "http://127.0.0.1.evil.example/cb", "http://evil@127.0.0.1/cb",
                            "https://127.0.0.1/cb", "mine://other", "http://127.0.0.1:x/cb", "http://127.0.0.1/cb#x",
                            "", "http://localhost/cb"):  # fmt: skip
            answer = await person.http.get(REQUEST, params={**asked, "redirect_uri": bad_address})
            assert (answer.status_code, list(answer.json()["errors"])) == (400, ["redirect_uri"]), bad_address
        other: tuple[tuple[dict[str, str], str], ...] = (
            ({"response_type": "code"}, "response_type"), ({"client_id": "nobody"}, "client_id"),
            ({"client_id": "OrcaSlicer"}, "redirect_uri"),
        )  # fmt: skip
        for change, field in other:
            answer = await person.http.get(REQUEST, params={**asked, **change})
            assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
        gone = f"{CLIENTS}{made.json()['id']}/"
        assert (await person.http.delete(gone)).status_code == 204
        assert (await person.http.delete(gone)).status_code == 404
        assert (await person.http.get(REQUEST, params=asked)).status_code == 400

    as_ada(app, journey)


def test_only_the_owner_registers_programs(app: FastAPI) -> None:
    async def go() -> None:
        async with Person(app) as bob:
            await bob.log_in("bob")
            new = {"client_id": "x", "name": "x", "redirect_uris": ["x://y"]}
            assert (await bob.http.post(CLIENTS, json=new)).status_code == 403
            assert (await bob.http.delete(f"{CLIENTS}1/")).status_code == 403

    run(go)


def test_the_page_that_asks_has_no_script_of_its_own(app: FastAPI) -> None:
    async def journey(person: Person) -> None:
        for url in ("/o/authorize", "/o/authorize/"):
            answer = await person.http.get(url, params=ORCA)
            assert answer.status_code == 200
            assert "script-src 'self'" in answer.headers["content-security-policy"]
            assert "<script>" not in answer.text
        assert (await person.http.get("/static/js/authorize.js")).status_code == 200

    as_ada(app, journey)


def test_a_link_to_a_shared_printer_is_not_logged() -> None:
    from reference_server.api.middleware import logged_path

    assert logged_path("/ws/share_token/web/abcdef/") == "/ws/share_token/web/***/"


def test_waiting_calls_end_when_the_agent_goes(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        owner = Owner(server)
        printer = owner.link()
        agent = FakeAgent(server.base, printer["auth_token"]).connect()
        url = "/api/v1/g_code_files/"
        file = owner.http.post(url, files={"file": ("a.gcode", b"G28\n")}).json()
        agent.functions["file_downloader.download"] = lambda _: agent._socket.close() if agent._socket else None
        answer = owner.http.post(f"{url}{file['id']}/print/", json={"printer_id": printer["id"]}).json()
        assert (answer["succeeded"], answer["reason"]) == (False, "printer offline")
        wait_until(lambda: server.hub.agent(printer["id"]) is None)
        agent.close()
        owner.close()
