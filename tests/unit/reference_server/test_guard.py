"""What the server never fetches, and what it does: addresses, names that change, time, size."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme

from reference_server.net.guard import (
    FetchFailed,
    Refused,
    check_url,
    guarded_request,
    objection,
    parse_target,
    resolve_allowed,
)
from reference_server.net.policy import EVERYTHING_LOCAL, NOTHING_LOCAL, AddressPolicy

HOME = AddressPolicy(allow_private=True, allow_loopback=False)


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "169.254.1.1", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16",
        "fe80::1", "fe80::1%eth0", "fec0::1", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1", "0.0.0.0",
        "0.1.2.3", "::", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::7f00:1", "2002:7f00:1::", "64:ff9b::7f00:1",
        "64:ff9b:1::1", "2001:0:53aa:64c::1", "192.0.2.1", "198.18.0.1", "2001:db8::1", "4000::1",
        "2600::5efe:7f00:1", "2600::200:5efe:a00:1", "no address",
    ],
)  # fmt: skip
def test_some_addresses_are_refused_whatever_is_allowed(address: str) -> None:
    assert objection(address, EVERYTHING_LOCAL) is not None


@pytest.mark.parametrize("address", ["10.1.2.3", "172.31.0.1", "192.168.1.1", "100.64.0.1", "fd12:3456::1"])
def test_private_addresses_are_a_matter_of_policy(address: str) -> None:
    assert objection(address, NOTHING_LOCAL) == "a private address"
    assert objection(address, HOME) is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.0.3", "::1"])
def test_so_is_this_machine(address: str) -> None:
    assert objection(address, HOME) is not None
    assert objection(address, EVERYTHING_LOCAL) is None


@pytest.mark.parametrize("address", ["8.8.8.8", "172.32.0.1", "100.63.255.255", "2606:4700::1111"])
def test_public_addresses_are_fetched(address: str) -> None:
    assert objection(address, NOTHING_LOCAL) is None


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a", "file:///etc/passwd", "gopher://a", "http://", "//a", "http://u:p@a/", "http://u@a/", "http://a b/",
        "http://a\r\nX: y/", "http://a\\@b/", "http://[::1", "http://a:99999/", "http://a:0/", "http://a/\u00e9",
        "http://" + "a" * 254 + "/", "http://a/" + "x" * 2000, "http://[fe80::1%25eth0]/", "http://\u2024/",
    ],
)  # fmt: skip
def test_nonsense_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        parse_target(url)


def test_a_target_names_its_host_as_it_was_typed() -> None:
    assert parse_target("https://a.example/x?y=1#z").path == "/x?y=1"
    assert parse_target("http://b\u00fccher.example").host == "xn--bcher-kva.example"
    assert parse_target("http://[2606::1]:81").host_header == "[2606::1]:81"
    assert parse_target("https://a.example:443").host_header == "a.example"
    assert "secret" not in repr(parse_target("https://a/?token=secret"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "::1"])
def test_every_spelling_of_this_machine_is_seen_through(host: str) -> None:
    with pytest.raises(Refused, match="loopback"):
        resolve_allowed(host, 80, HOME)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[int]]:
    """Names of our own: each look-up takes the next list of addresses."""

    def answers(*rounds: list[str]) -> list[int]:
        asked: list[int] = []

        def look_up(host: str, port: int, **_: Any) -> list[Any]:
            if not host.endswith(".test"):
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            found = rounds[min(len(asked), len(rounds) - 1)]
            asked.append(1)
            return [
                (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
                for each in found
            ]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        return asked

    return answers


def test_of_many_addresses_only_the_allowed_ones_are_left(names: Any) -> None:
    names(["169.254.169.254", "8.8.8.8", "127.0.0.1"])
    assert resolve_allowed("x.test", 80, NOTHING_LOCAL) == [(socket.AF_INET, ("8.8.8.8", 80))]
    with pytest.raises(FetchFailed, match="not known"):
        resolve_allowed("elsewhere", 80, NOTHING_LOCAL)
    names(["169.254.169.254", "127.0.0.1"])
    with pytest.raises(Refused, match="metadata"):
        check_url("http://x.test/", NOTHING_LOCAL)
    check_url("http://elsewhere/", NOTHING_LOCAL)


@contextmanager
def peer(talk: Callable[[socket.socket], None], tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server for one connection that does what `talk` says; its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(10)

        def serve() -> None:
            try:
                link, _ = listener.accept()
                with link:
                    if tls is None:
                        talk(link)
                    else:
                        with tls.wrap_socket(link, server_side=True) as wrapped:
                            talk(wrapped)
            except OSError:
                return  # the client has gone, or never came

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(15)
            assert not thread.is_alive()


def say(text: bytes, heard: list[bytes] | None = None) -> Callable[[socket.socket], None]:
    def talk(link: socket.socket) -> None:
        data = link.recv(65536)
        if heard is not None:
            heard.append(data)
        link.sendall(text)

    return talk


def test_a_name_that_changes_its_mind_gains_nothing(names: Any) -> None:
    """The vetted address is the one that is connected to; there is no second look-up."""
    asked = names(["127.0.0.1"], ["169.254.169.254"])
    heard: list[bytes] = []
    with peer(say(b"HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok", heard)) as port:
        answer = guarded_request(
            "POST", f"http://home.test:{port}/hook?a=1", {"content-type": "text/plain"}, b"hello", 5, 100,
            EVERYTHING_LOCAL,
        )  # fmt: skip
    assert (answer.status, answer.headers["x-a"], answer.body) == (200, "b", b"ok")
    assert len(asked) == 1
    text = heard[0].decode()
    assert text.startswith("POST /hook?a=1 HTTP/1.1\r\n")
    assert f"Host: home.test:{port}\r\n" in text
    assert "content-type: text/plain\r\n" in text


def test_a_redirect_is_handed_back_and_never_followed() -> None:
    reply = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"
    with peer(say(reply)) as port:
        answer = guarded_request("GET", f"http://127.0.0.1:{port}/", policy=EVERYTHING_LOCAL)
    assert (answer.status, answer.headers["location"]) == (302, "http://169.254.169.254/")


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 101,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n" + b"x" * 255 + b"\r\n0\r\n\r\n",
    ],
)
def test_a_large_answer_is_not_taken(reply: bytes) -> None:
    with peer(say(reply)) as port, pytest.raises(FetchFailed, match="larger than 100 bytes"):
        guarded_request("GET", f"http://127.0.0.1:{port}/", most_bytes=100, policy=EVERYTHING_LOCAL)


def test_a_peer_that_drips_is_left_at_the_deadline() -> None:
    def drip(link: socket.socket) -> None:
        pause = threading.Event()
        link.sendall(b"HTTP/1.1 200 OK\r\n")
        for _ in range(100):
            link.sendall(b"X-A: b\r\n")
            pause.wait(0.05)

    began = time.monotonic()
    with peer(drip) as port, pytest.raises(FetchFailed, match="in time"):
        guarded_request("GET", f"http://127.0.0.1:{port}/", timeout=0.4, policy=EVERYTHING_LOCAL)
    assert time.monotonic() - began < 3


def test_what_is_no_http_or_not_there_is_one_line() -> None:
    with peer(say(b"220 mail.example ESMTP\r\n")) as port, pytest.raises(FetchFailed, match="no HTTP"):
        guarded_request("GET", f"http://127.0.0.1:{port}/", policy=EVERYTHING_LOCAL)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(FetchFailed, match=r"127\.0\.0\.1: "):
        guarded_request("GET", f"http://127.0.0.1:{port}/", policy=EVERYTHING_LOCAL)
    with peer(say(b"")) as port, pytest.raises(Refused, match="header"):
        guarded_request("GET", f"http://127.0.0.1:{port}/", {"X-A": "b\r\nX-C: d"}, policy=EVERYTHING_LOCAL)


def test_certificates_are_checked_against_the_name(names: Any) -> None:
    names(["127.0.0.1"])
    authority = trustme.CA()
    inside, outside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert("home.test").configure_cert(inside)
    authority.configure_trust(outside)
    reply = b"HTTP/1.1 204 No Content\r\n\r\n"
    with peer(say(reply), inside) as port:
        url = f"https://home.test:{port}/"
        assert guarded_request("GET", url, policy=EVERYTHING_LOCAL, tls=outside).status == 204
    with peer(say(reply), inside) as port, pytest.raises(FetchFailed, match="certificate"):
        guarded_request("GET", f"https://other.test:{port}/", policy=EVERYTHING_LOCAL, tls=outside)
    with peer(say(reply), inside) as port, pytest.raises(FetchFailed, match="certificate"):
        guarded_request("GET", f"https://home.test:{port}/", policy=EVERYTHING_LOCAL)
