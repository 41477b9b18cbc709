"""The handshake: who is told the secret, and that no client can hold its server up."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from agent_core.addresses import is_local, is_local_host
from agent_core.features.handshake import MOST_PEERS, TRIES, TRIES_PERIOD, Caller, Handshake, is_near, is_this_machine
from agent_core.features.handshake_server import MOST_CONNECTIONS, REQUEST_LIMIT, HandshakeServer

DEVICE, SECRET = "9f" * 16, "ab" * 32
PATH = "/plugin/obico/grab-discovery-secret"


class World:
    def __init__(self) -> None:
        self.time = 0.0
        self.handshake = Handshake(DEVICE, SECRET, 600.0, lambda: self.time, lambda: "n0nce")

    def ask(self, method: str = "GET", device_id: str = DEVICE, peer: str = "192.168.1.9", **headers: str) -> int:
        caller = Caller(peer, {"host": "192.168.1.50:46793", **{k.replace("_", "-"): v for k, v in headers.items()}})
        return self.handshake.answer(method, caller, device_id).status


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("192.168.1.2", True), ("10.1.2.3", True), ("172.31.0.1", True), ("172.32.0.1", False), ("127.0.0.2", True),
        ("169.254.3.4", True), ("8.8.8.8", False), ("100.64.0.1", False), ("::1", True), ("fe80::1%eth0", True),
        ("fd12::1", True), ("2001:db8::1", False), ("::ffff:192.168.1.2", True), ("::ffff:8.8.8.8", False),
        ("unknown", False), ("", False), ("0.0.0.0", False), ("192.168.1", False),
    ],
)  # fmt: skip
def test_local_addresses(address: str, local: bool) -> None:
    assert is_local(address) is local


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("192.168.1.50:46793", True), ("[fe80::1]:80", True), ("octopi.local", True), ("octopi", True), ("", False),
        ("printer.example.com", False), ("8.8.8.8", False), ("8.8.8.8:80", False), ("evil.local.example.com", False),
        ("localhost:5000", True), ("a b", False), ("192.168.1.50.", True), ("3232235777", False),
    ],
)  # fmt: skip
def test_local_hosts(host: str, local: bool) -> None:
    assert is_local_host(host) is local


@pytest.mark.parametrize(
    ("peer", "headers", "near"),
    [
        ("127.0.0.1", {"x-forwarded-for": "192.168.1.9"}, True),  # OctoPi's haproxy
        ("127.0.0.1", {"x-forwarded-for": "8.8.8.8"}, False),
        ("127.0.0.1", {"x-forwarded-for": "192.168.1.9, 8.8.8.8"}, False),  # the first one made up by the client
        ("127.0.0.1", {"x-forwarded-for": "8.8.8.8, 127.0.0.1"}, False),  # a tunnel's end on this machine
        ("8.8.8.8", {"x-forwarded-for": "192.168.1.9"}, False),
        ("8.8.8.8", {"x-real-ip": "127.0.0.1"}, False),
        ("127.0.0.1", {"x-forwarded-for": "unknown"}, False),
        ("127.0.0.1", {"forwarded": 'for=192.168.1.9;proto=http, for="[fe80::1]:4711"'}, True),
        ("127.0.0.1", {"forwarded": "for=192.168.1.9, for=8.8.8.8"}, False),
        ("127.0.0.1", {"forwarded": "proto=https"}, False),
        ("127.0.0.1", {"cf-connecting-ip": "8.8.8.8"}, False),
        ("192.168.1.9", {"x-forwarded-for": "192.168.1.9:5522"}, True),
        ("192.168.1.9", {"host": "printer.example.com"}, False),  # a name of the internet leads here
        ("192.168.1.9", {}, True),
        ("8.8.8.8", {}, False),
    ],
)
def test_who_is_near(peer: str, headers: dict[str, str], near: bool) -> None:
    assert is_near(Caller(peer, {"host": "192.168.1.50", **headers})) is near


def test_the_secret_is_told_to_who_knows_the_device_and_is_near() -> None:
    world = World()
    assert (world.ask(), world.ask("HEAD"), world.ask("OPTIONS")) == (200, 200, 200)
    assert world.ask("POST") == 405
    for device_id in ("", "9e" * 16, DEVICE[:-1], DEVICE + "0", "§" * 32):
        assert world.ask(device_id=device_id) == 403
    assert world.ask(peer="8.8.8.8") == 403
    assert world.ask(x_forwarded_for="8.8.8.8") == 403
    world.time = 599.9
    assert world.ask() == 200
    world.time = 600.0
    assert world.ask() == 403


def test_a_closed_handshake_tells_nothing() -> None:
    world = World()
    world.handshake.close()
    assert world.ask() == 403


def test_the_answer_comes_as_json_or_as_a_page() -> None:
    world = World()
    caller = {"host": "192.168.1.50", "accept": "application/json, text/plain"}
    answer = world.handshake.answer("GET", Caller("192.168.1.9", caller), DEVICE)
    headers = dict(answer.headers)
    assert json.loads(answer.body) == {"device_secret": SECRET}
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
    assert headers["Cache-Control"] == "no-store"
    page = world.handshake.answer("GET", Caller("192.168.1.9", {**caller, "accept": "text/html"}), DEVICE)
    policy = dict(page.headers)["Content-Security-Policy"]
    assert "default-src 'none'; script-src 'nonce-n0nce'" in policy
    assert f'postMessage({{device_secret: "{SECRET}"}}, "*")' in page.body.decode()
    assert '<script nonce="n0nce">' in page.body.decode()
    for method in ("HEAD", "OPTIONS"):
        assert world.handshake.answer(method, Caller("192.168.1.9", caller), DEVICE).body == b""


def test_one_peer_cannot_ask_all_the_time_nor_keep_others_out() -> None:
    world = World()
    assert [world.ask(device_id="x") for _ in range(TRIES)] == [403] * TRIES
    assert world.ask() == 429
    assert world.ask(peer="192.168.1.10") == 200
    world.time += TRIES_PERIOD
    assert world.ask() == 200
    for number in range(MOST_PEERS + 10):
        world.ask(peer=f"10.0.0.{number}")
    assert len(world.handshake._asked) == MOST_PEERS


def test_only_a_program_on_this_machine_ends_the_search() -> None:
    local = {"host": "127.0.0.1:46793"}
    assert is_this_machine(Caller("127.0.0.1", local))
    assert not is_this_machine(Caller("192.168.1.9", local))
    assert not is_this_machine(Caller("127.0.0.1", {**local, "x-forwarded-for": "127.0.0.1"}))
    assert not is_this_machine(Caller("127.0.0.1", {**local, "origin": "http://evil.example"}))
    assert not is_this_machine(Caller("127.0.0.1", {"host": "evil.example"}))


# --- the server -------------------------------------------------------------------------------------------------------


@pytest.fixture
def serve() -> Iterator[Callable[..., HandshakeServer]]:
    servers: list[HandshakeServer] = []

    def make(world: World, ended: list[str] | None = None, port: int = 0) -> HandshakeServer:
        on_shutdown = (lambda: ended.append("ended")) if ended is not None else (lambda: None)
        server = HandshakeServer(
            world.handshake, on_shutdown, port=port, host="127.0.0.1", monotonic=lambda: world.time
        )  # fmt: skip
        servers.append(server)
        server.start()
        return server

    yield make
    for server in servers:
        server.stop()
        assert server.worker.join(5)
        server.dispose()


def talk(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(request)
        parts = []
        while part := client.recv(65536):
            parts.append(part)
    return b"".join(parts)


def asked(target: str, method: str = "GET", *headers: str) -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode()


def test_the_server_speaks_http(serve: Callable[..., HandshakeServer]) -> None:
    ended: list[str] = []
    port = serve(World(), ended).port
    answer = talk(port, asked(f"{PATH}?device_id={DEVICE}", "GET", "Accept: application/json"))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b'{"device_secret": "' + SECRET.encode() + b'"}')
    assert talk(port, asked(f"{PATH}?device_id={DEVICE}", "HEAD")).endswith(b"\r\n\r\n")
    for request, status in (
        (asked(PATH), b"403"),
        (asked("/"), b"404"),
        (
            asked(f"{PATH}?device_id={DEVICE}", "GET", "X-Forwarded-For: 192.168.1.2", "X-Forwarded-For: 8.8.8.8"),
            b"403",
        ),
        (asked(PATH, "DELETE"), b"405"),
        (asked("/shutdown"), b"405"),
        (asked("/shutdown", "POST", "Origin: http://evil.example"), b"403"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/2\r\n\r\n", b"400"),
        (asked("/", "GET", "no colon"), b"400"),
        (asked("/", "GET", "Bad : name"), b"400"),
        (asked("http://[/"), b"400"),
        (asked("/", "GET", *(f"H{n}: x" for n in range(60))), b"400"),
        (asked(f"/?{'&'.join('a=1' for _ in range(11))}"), b"400"),
        (b"\xff" * 100 + b"\r\n\r\n", b"400"),
        (b"GET /" + b"x" * 2 * REQUEST_LIMIT, b"431"),
        (asked("/" + "x" * REQUEST_LIMIT), b"431"),
    ):
        assert talk(port, request).split(b" ")[1:2] == [status], request[:60]
    assert ended == []
    assert talk(port, asked("/shutdown", "POST", "Content-Length: 0")).startswith(b"HTTP/1.1 200")
    assert ended == ["ended"]


def test_slow_clients_cost_only_themselves(serve: Callable[..., HandshakeServer]) -> None:
    world = World()
    server = serve(world)
    slow = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(MOST_CONNECTIONS)]
    for client in slow:
        client.sendall(b"GET / HT")
    pause, deadline = threading.Event(), time.monotonic() + 5
    while len(server._connections) < MOST_CONNECTIONS:  # one that is taken later has its time from then
        assert time.monotonic() < deadline
        pause.wait(0.01)
    world.time += 3.1
    with contextlib.suppress(OSError):  # it has looked already
        slow[0].sendall(b"TP")  # any sign of life makes the server look at its clock
    assert talk(server.port, asked(f"{PATH}?device_id={DEVICE}")).startswith(b"HTTP/1.1 200")
    for client in slow:
        client.close()


def test_a_busy_port_leads_to_the_next(serve: Callable[..., HandshakeServer]) -> None:
    first = serve(World())
    second = serve(World(), None, first.port)
    assert first.port < second.port <= first.port + 5
    assert talk(second.port, asked("/")).startswith(b"HTTP/1.1 404")


def test_rubbish_is_answered_and_never_with_the_secret_of_somebody_far(serve: Callable[..., HandshakeServer]) -> None:
    chance = random.Random(7)
    world = World()
    server = serve(world)
    good = asked(f"{PATH}?device_id={DEVICE}", "GET", "Accept: application/json", "X-Forwarded-For: 192.168.1.9, [::1]")
    pieces = [b"\r\n", b"\r\n\r\n", b"%", b"&", b"[", b"]", b";", b"=", b"//", b":", b"\xff", b"\x00", b","]
    for number in range(2000):
        world.time += TRIES_PERIOD / 2000
        request = bytearray(good)
        for _ in range(chance.randint(0, 10)):
            at = chance.randrange(len(request))
            if chance.random() < 0.5:
                request[at : at + chance.randint(0, 12)] = chance.choice(pieces)
            else:
                request[at] = chance.randrange(256)
        head = bytes(request).partition(b"\r\n\r\n")[0].decode("latin-1")
        answer = server._answer(head, f"10.0.{number // 250}.{number % 250}")
        assert answer.status in {200, 400, 403, 404, 405}
        far = server._answer(head, "8.8.8.8")
        assert far.status in {400, 403, 404, 405, 429}
        assert SECRET.encode() not in far.body
