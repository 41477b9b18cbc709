"""The tunnel from end to end: a visitor, our server, our agent, and a web interface, over real sockets."""

from __future__ import annotations

import hashlib
import json
import re
import socket
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from agent_core.config import AgentConfig, Secret, TunnelTarget
from agent_core.database import Database
from agent_core.pause import PauseSettings
from agent_core.ports import Interrupt
from agent_core.runtime.agent import Agent, Parts
from agent_core.runtime.clock import SystemClock
from agent_core.transport.http import HttpClient
from agent_core.wire.codec import decode_server_frame, encode
from agent_core.wire.messages import TunnelEnd, TunnelRequest, TunnelResponse, TunnelSocketData
from demo.processes import free_port
from reference_server.services.fleet.invitations import create_member
from reference_server.services.fleet.model import Role
from tests.fakes.toy_web import ToyWeb, content
from tests.unit.reference_server.live_server import PATIENCE, LiveServer, Owner, running, wait_until
from tests.unit.reference_server.support import PASSWORD

MB = 1_000_000


class NoPrinter:
    """Hands that are never asked for."""

    def check(self, command: str) -> None: ...

    def pause(self, settings: PauseSettings, interrupt: Interrupt) -> str:
        return ""

    def resume(self, interrupt: Interrupt) -> str:
        return ""

    def cancel(self, interrupt: Interrupt) -> str:
        return ""


@dataclass
class World:
    """A server, an owner, and a printer whose web interface is `web`."""

    server: LiveServer
    owner: Owner
    printer: int
    agent: Agent
    web: ToyWeb
    site: str
    host: str
    visitor: httpx.Client

    def socket(self, path: str, subprotocol: str | None = None, max_queue: int = 16) -> ClientConnection:
        cookies = "; ".join(f"{name}={value}" for name, value in self.visitor.cookies.items())
        return connect(
            f"ws://{self.host}{path}", additional_headers={"Cookie": cookies}, origin=Origin(f"http://{self.host}"),
            open_timeout=PATIENCE, close_timeout=2, max_size=None, max_queue=max_queue,
            subprotocols=[Subprotocol(subprotocol)] if subprotocol else None,
        )  # fmt: skip


def open_site(owner: Owner, printer: int) -> tuple[str, httpx.Client]:
    """As the dashboard and its browser do it."""
    opened = owner.http.post(f"/api/v1/printers/{printer}/tunnel/")
    assert opened.status_code == 200, opened.text
    address, _, invitation = opened.json()["url"].partition("#")
    site = address.removesuffix("/.obico/enter")
    # The port shares its host's cookies: what the server itself has set comes along.
    visitor = httpx.Client(base_url=site, timeout=PATIENCE)
    visitor.cookies.set("tsd_sessionid", owner.http.cookies["tsd_sessionid"])
    assert "enter.js" in visitor.get("/.obico/enter").text
    assert visitor.post("/.obico/enter", content=invitation).status_code == 204
    assert visitor.post("/.obico/enter", content=invitation).status_code == 403, "an invitation is good once"
    return site, visitor


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("tunnel")
    ports = ",".join(str(free_port()) for _ in range(3))
    with ToyWeb() as web, running(folder / "server", tunnel_ports=ports) as server:
        owner = Owner(server)
        printer = owner.link()
        database, http = Database(str(folder)), HttpClient()
        config = AgentConfig(
            "moonraker_obico", "3.0.0", server.base, Secret(printer["auth_token"]), str(folder),
            tunnel=TunnelTarget("127.0.0.1", web.port, blocked=("/webcam",)),
        )  # fmt: skip
        agent = Agent(Parts(config, NoPrinter(), database, SystemClock(), http))
        agent.start()
        wait_until(lambda: bool(owner.printer(printer["id"])["agent_version"]))
        site, visitor = open_site(owner, printer["id"])
        yield World(server, owner, printer["id"], agent, web, site, site.removeprefix("http://"), visitor)
        visitor.close()
        owner.close()
        assert agent.stop() == []
        http.close()
        database.close()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("obico-")] == []


def test_a_page_comes_through_with_what_it_must_know(world: World) -> None:
    assert world.visitor.get("/").text == "hello"
    world.visitor.cookies.set("own", "1")
    headers = {"X-Api-Key": "k", "X-Forwarded-For": "9.9.9.9"}
    answer = world.visitor.put("/told?a=1&b=%2F", content=b"12345", headers=headers)
    told = answer.json()
    headers = dict(told["headers"])
    assert (told["method"], told["query"], told["body"]) == ("PUT", "a=1&b=%2F", 5)
    assert headers["host"] == f"127.0.0.1:{world.web.port}"
    assert headers["x-forwarded-host"] == world.host
    assert headers["x-api-key"] == "k"
    assert "x-forwarded-for" not in headers, "Klipper does not hear who visits"
    assert headers["cookie"] == "own=1"


def test_cookies_and_redirects_are_the_visitors_own(world: World) -> None:
    answer = world.visitor.get("/cookies")
    cookies = answer.headers.get_list("set-cookie")
    assert [each.split("=")[0] for each in cookies] == ["one", "two"]
    assert "domain" not in " ".join(cookies).lower()
    assert world.visitor.get("/away").headers["location"] == "/told?x=1"
    assert world.visitor.get("/nothing").status_code == 204
    assert world.visitor.head("/big/5000").headers["content-length"] == "5000"
    assert world.visitor.get("/webcam/").status_code == 404


def test_only_the_owner_comes_in(world: World) -> None:
    page = {"Accept": "text/html"}
    with httpx.Client(base_url=world.site) as stranger:
        assert stranger.get("/", headers=page).status_code == 401
        assert "www-authenticate" not in stranger.get("/", headers=page).headers
        assert stranger.get("/").headers["www-authenticate"].startswith("Basic")
        stranger.cookies.set(next(name for name in world.visitor.cookies if name.startswith("obico_tunnel")), "f" * 64)
        assert stranger.get("/").status_code == 401
        assert stranger.post("/.obico/enter", content="f" * 64).status_code == 403
    bob = Owner(world.server, "bob")
    assert bob.http.post(f"/api/v1/printers/{world.printer}/tunnel/").status_code == 404
    assert bob.http.get(f"/api/v1/printers/{world.printer}/tunnel/").status_code == 404
    bob.close()
    for headers in (
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"},
        {"Referer": f"{world.server.base}/x"},
    ):
        assert world.visitor.get("/told?script=G28", headers=headers).status_code == 403, headers
    assert (
        world.visitor.get("/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}).text == "hello"
    )
    cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in world.visitor.cookies.items())}
    for given, origin in (({}, f"http://{world.host}"), (cookies, "http://evil.example")):
        with pytest.raises(InvalidStatus):
            connect(f"ws://{world.host}/socket", additional_headers=given, origin=Origin(origin))


def test_admins_of_the_organization_come_in_as_long_as_they_are(world: World) -> None:
    context = world.server.app.state.context
    account = context.accounts.user_named(world.owner.name)
    for role in (Role.ADMIN, Role.OPERATOR):
        create_member(context.history._store, context.accounts, role.value, PASSWORD, "", account, role, context.now)
    keys = f"/api/v1/printers/{world.printer}/tunnel_keys/"
    operator, admin = Owner(world.server, "operator", known=True), Owner(world.server, "admin", known=True)
    assert "Your role" in operator.http.post(f"/api/v1/printers/{world.printer}/tunnel/").text
    assert operator.http.post(keys, json={"name": "x"}).status_code == 403
    site, visitor = open_site(admin, world.printer)
    made = admin.http.post(keys, json={"name": "his app"}).json()
    program = httpx.Client(base_url=site, auth=(made["login"], made["password"]))
    assert visitor.get("/").text == program.get("/").text == "hello"
    entries = world.owner.http.get("/v1/audit?per_page=100").json()["data"]
    assert ("tunnel.open", "admin") in {(entry["action"], entry["user_name"]) for entry in entries}
    people = {user["name"]: user["id"] for user in world.owner.http.get("/v1/users").json()["data"]}
    assert world.owner.http.patch(f"/v1/users/{people['admin']}", json={"role": "operator"}).status_code == 200
    assert visitor.get("/").status_code == 401
    assert program.get("/").status_code == 401
    world.owner.http.delete(f"{keys}{made['id']}/")
    for client in (visitor, program, operator, admin):
        client.close()


def test_a_program_comes_in_with_a_name_and_password_until_they_are_removed(world: World) -> None:
    keys = f"/api/v1/printers/{world.printer}/tunnel_keys/"
    made = world.owner.http.post(keys, json={"name": "OctoApp"}).json()
    assert made["url"] == world.site
    listed = world.owner.http.get(f"/api/v1/printers/{world.printer}/tunnel/").json()
    assert listed["available"]
    assert [key["name"] for key in listed["keys"]] == ["OctoApp"]
    assert made["password"] not in json.dumps(listed)
    with httpx.Client(base_url=world.site, auth=(made["login"], made["password"])) as app:
        told = app.get("/told").json()
        assert "authorization" not in dict(told["headers"])
        assert app.get("/told", auth=(made["login"], "wrong")).status_code == 401
        entries = world.owner.http.get("/api/v1/audit/").json()
        assert {"tunnel.open"} <= {entry["action"] for entry in entries}
        assert {entry["ok"] for entry in entries if entry["action"] == "tunnel.open"} == {True, False}
        assert made["password"] not in json.dumps(entries)
        world.owner.http.delete(f"{keys}{made['id']}/")
        assert app.get("/told").status_code == 401


def test_twenty_megabytes_each_way_in_little_memory(world: World) -> None:
    """Server, agent, toy and visitor are in this process: none of them holds the body."""
    body = content(20 * MB)
    with world.visitor.stream("GET", "/big/1000000") as warm:
        warm.read()
    tracemalloc.start()
    try:
        digest, size = hashlib.sha256(), 0
        with world.visitor.stream("GET", f"/big/{20 * MB}") as answer:
            for piece in answer.iter_raw():
                digest.update(piece)
                size += len(piece)
        assert size == 20 * MB
        assert digest.digest() == hashlib.sha256(body).digest()
        pieces = (body[at : at + 65536] for at in range(0, len(body), 65536))
        length = {"Content-Length": str(len(body))}
        found = world.visitor.post("/digest", content=pieces, headers=length).json()
        assert found == {"size": 20 * MB, "sha256": hashlib.sha256(body).hexdigest()}
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * MB, f"{peak / MB:.1f} MB at once"


def test_a_slow_reader_holds_back_the_web_interface_and_nobody_else(world: World) -> None:
    """The visitor reads nothing: soon the web interface is not read any more, while others go on."""
    before = world.web.handed_out
    cookies = "; ".join(f"{name}={value}" for name, value in world.visitor.cookies.items())
    host, _, port = world.host.partition(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
        slow.sendall(f"GET /big/{200 * MB} HTTP/1.1\r\nHost: {world.host}\r\nCookie: {cookies}\r\n\r\n".encode())
        last, still_since = -1, time.monotonic()
        while time.monotonic() - still_since < 0.5:
            assert world.visitor.get("/").text == "hello"
            if world.web.handed_out != last:
                last, still_since = world.web.handed_out, time.monotonic()
        assert last - before < 30 * MB  # what fits into the kernels' buffers and the windows
        assert world.owner.printer(world.printer)["status"] is None or world.agent.link.connected
    assert world.agent.link.connected
    wait_until(lambda: world.server.app.state.context.web_interfaces.desk.counts()[0] == 0)


def test_thirty_two_at_once_and_the_next_is_told_to_wait(world: World) -> None:
    world.web.most_at_once = 0
    limits = httpx.Limits(max_connections=40)
    with (
        httpx.Client(base_url=world.site, cookies=world.visitor.cookies, limits=limits, timeout=PATIENCE) as client,
        ThreadPoolExecutor(33) as pool,
    ):
        answers = list(pool.map(lambda _: client.get("/meet/32"), range(33)))
    found = sorted(answer.status_code for answer in answers)
    assert found in ([200] * 33, [200] * 32 + [503])
    assert world.web.most_at_once == 32


def test_sockets_talk_both_ways_with_their_codes(world: World) -> None:
    with world.socket("/socket", "moonraker") as talk:
        told = json.loads(talk.recv(PATIENCE))
        assert told == {"host": f"127.0.0.1:{world.web.port}", "origin": f"http://127.0.0.1:{world.web.port}"}
        assert talk.subprotocol == "moonraker"
        for message in ("text ü", b"\0\1", "", "ü" * 500_000, content(3 * MB)):
            talk.send(message)
            assert talk.recv(PATIENCE) == message
        talk.send("close 4001")
        with pytest.raises(ConnectionClosed) as closed:
            talk.recv(PATIENCE)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as asked")
    with world.socket("/socket") as talk:
        talk.recv(PATIENCE)
        talk.close(4002)
    wait_until(lambda: len(world.web.closed) >= 1)


def test_a_socket_that_nobody_reads_holds_back_its_sender(world: World) -> None:
    before = world.web.handed_out
    with world.socket("/fast", max_queue=1) as flood:
        last, still_since = -1, time.monotonic()
        while time.monotonic() - still_since < 0.5:
            assert world.visitor.get("/").text == "hello"
            if world.web.handed_out != last:
                last, still_since = world.web.handed_out, time.monotonic()
        assert last - before < 30 * MB
        assert len(flood.recv(PATIENCE)) > 0


def test_a_log_out_ends_the_visit(world: World) -> None:
    other = Owner.of(world.owner)
    _, visitor = open_site(other, world.printer)
    assert visitor.get("/").status_code == 200
    other.http.post("/api/v1/auth/logout/")
    assert visitor.get("/").status_code == 401
    visitor.close()
    other.close()


def test_a_printer_that_is_away_or_too_old_is_told(world: World) -> None:
    second = world.owner.link()
    opened = world.owner.http.post(f"/api/v1/printers/{second['id']}/tunnel/")
    assert (opened.status_code, opened.json()["detail"]) == (409, "The printer is offline.")
    agent = world.owner.agent(second)
    agent.send({"settings": {"agent": {"name": "moonraker_obico", "version": "1.2.9"}}, "status": {"_ts": 1}})
    wait_until(lambda: bool(world.owner.printer(second["id"])["agent_version"]))
    opened = world.owner.http.post(f"/api/v1/printers/{second['id']}/tunnel/")
    assert "too old" in opened.json()["detail"]
    made = world.owner.http.post(f"/api/v1/printers/{second['id']}/tunnel_keys/", json={"name": "app"}).json()
    with httpx.Client(base_url=made["url"], auth=(made["login"], made["password"])) as app:
        assert app.get("/").status_code == 482
        assert httpx.get(world.site, auth=(made["login"], made["password"])).status_code == 401, "another printer's"
        agent.close()
        wait_until(lambda: not world.owner.printer(second["id"]).get("status"))
        assert app.get("/").status_code == 482


def test_a_public_agent_gets_and_gives_wholes(world: World) -> None:
    """It never says that it takes pieces (§3.5)."""
    printer = world.owner.link()
    agent = world.owner.agent(printer)
    agent.send({"settings": {"agent": {"name": "octoprint_obico", "version": "2.6.1"}}, "status": {"_ts": 1}})
    wait_until(lambda: bool(world.owner.printer(printer["id"])["agent_version"]))

    def frame() -> object:
        while isinstance(found := agent.connection.recv(PATIENCE), str):
            pass
        return decode_server_frame(found)[0]

    site, visitor = open_site(world.owner, printer["id"])
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(visitor.post, "/api/login?x=1", content=b"body")
        request = frame()
        assert isinstance(request, TunnelRequest)
        assert (request.method, request.path, request.data) == ("post", "/api/login?x=1", b"body")
        assert request.headers["x-forwarded-host"] == site.removeprefix("http://")
        cookies = ("a=b; Domain=printer.local; Path=/", "tsd_sessionid=stolen")
        packed = zlib.compress(b"hello " * 1000)
        agent.send(encode(TunnelResponse(request.ref, 200, {"Content-Type": "text/plain"}, packed, True, cookies)))
        answer = asked.result(PATIENCE)
        assert answer.text == "hello " * 1000
        assert answer.headers.get_list("set-cookie") == ["a=b; Path=/"]

        asked = pool.submit(visitor.get, "/broken")
        request = frame()
        assert isinstance(request, TunnelRequest)
        agent.send(encode(TunnelResponse(request.ref, 200, {}, b"no zlib", True)))
        assert asked.result(PATIENCE).status_code == 502
        assert visitor.post("/large", content=bytes(9_000_000)).status_code == 413

    cookie = "; ".join(f"{name}={value}" for name, value in visitor.cookies.items())
    host = site.removeprefix("http://")
    with connect(f"ws://{host}/sockjs/x", additional_headers={"Cookie": cookie}, origin=Origin(site)) as talk:
        opening = frame()
        assert isinstance(opening, TunnelSocketData)
        assert (opening.kind, opening.path) == (TunnelEnd.CONNECT, "/sockjs/x")
        talk.send("up")
        message = frame()
        assert isinstance(message, TunnelSocketData)
        assert (message.kind, message.data) == (TunnelEnd.MESSAGE_DOWN, "up")
        agent.send(encode(TunnelSocketData(opening.ref, TunnelEnd.MESSAGE_UP, "o")))
        assert talk.recv(PATIENCE) == "o"
        agent.send(encode(TunnelSocketData(opening.ref, TunnelEnd.CLOSE_UP)))
        with pytest.raises(ConnectionClosed) as closed:
            talk.recv(PATIENCE)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 3000
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(visitor.get, "/lost")
        frame()
        agent.close()
        assert asked.result(PATIENCE).status_code == 502
    visitor.close()


def test_after_a_restart_a_printer_is_where_it_was_and_asks_who_comes(tmp_path: Path) -> None:
    taken, port = free_port(), free_port()
    with socket.create_server(("127.0.0.1", taken)), running(tmp_path, tunnel_ports=f"{taken},{port}") as server:
        owner = Owner(server)
        keys = f"/api/v1/printers/{owner.link()['id']}/tunnel_keys/"
        made = owner.http.post(keys, json={"name": "app"}).json()
        assert made["url"] == f"http://127.0.0.1:{port}", "not where something else listens"
        owner.close()
    again = LiveServer(tmp_path, tunnel_ports=str(port))
    again.start()
    try:
        with httpx.Client(base_url=made["url"]) as app:

            def answer() -> int:
                try:
                    return app.get("/", auth=(made["login"], made["password"])).status_code
                except httpx.ConnectError:
                    return 0

            wait_until(lambda: answer() == 482)  # let in; the printer is away
            assert app.get("/").status_code == 401
    finally:
        again.stop()


def test_figures_are_there_to_see(world: World) -> None:
    from reference_server.api.measures import exposition

    text = exposition(world.server.app.state.context, 1, 0)
    assert re.search(r'obico_tunnel_answers_total\{status="2xx"\} \d{2,}', text)
    assert re.search(r'obico_tunnel_bytes_total\{direction="down"\} \d{8,}', text)
