"""From where files may be fetched."""

from __future__ import annotations

import pytest

from agent_core.errors import Rejected
from agent_core.features.download_url import not_loopback, public, source

HOME = "http://192.168.1.20:3334"
WORLD = "https://obico.example.com"


@pytest.mark.parametrize(
    ("url", "server"),
    [
        (f"{HOME}/media/a.gcode?digest=1", HOME),
        ("/media/a.gcode", HOME),
        (f"{WORLD}/media/a.gcode", WORLD),
        ("https://OBICO.example.com:443/media/a.gcode", WORLD),
        ("http://127.0.0.1:3334/media/a.gcode", "http://127.0.0.1:3334"),
    ],
)
def test_the_server_itself(url: str, server: str) -> None:
    found = source(url, server, server)
    assert found.own
    assert found.peer_allowed is None


def test_another_port_of_the_server_gets_no_token() -> None:
    found = source("http://192.168.1.20:9000/a.gcode", HOME, HOME)
    assert not found.own
    assert found.peer_allowed is not_loopback
    assert not source("http://obico.example.com/a.gcode", WORLD, WORLD).own


def test_a_public_place_over_https() -> None:
    found = source("https://storage.example.org/a.gcode?x=1", WORLD, WORLD)
    assert (found.own, found.peer_allowed) == (False, public)
    assert source("https://8.8.8.8/a.gcode", HOME, HOME).peer_allowed is public


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("http://storage.example.org/a.gcode", WORLD),
        ("https://192.168.1.1/a.gcode", WORLD),
        ("https://192.168.1.1/a.gcode", HOME),
        ("https://10.0.0.1/a.gcode", HOME),
        ("https://127.0.0.1/a.gcode", WORLD),
        ("https://[::1]/a.gcode", WORLD),
        ("https://[::ffff:10.0.0.1]/a.gcode", WORLD),
        ("https://router/a.gcode", WORLD),
        ("https://printer.local/a.gcode", WORLD),
        ("http://127.0.0.1:7125/printer/info", "http://127.0.0.1:3334"),
        ("http://localhost:5000/api", "http://localhost:3334"),
        ("ftp://obico.example.com/a.gcode", WORLD),
        ("file:///etc/passwd", WORLD),
        ("https://host:99999/", WORLD),
        ("https://storage.example.org/" + "a" * 9000, WORLD),
    ],
)
def test_refused(url: str, server: str) -> None:
    with pytest.raises(Rejected):
        source(url, server, server)


@pytest.mark.parametrize(
    "address",
    ["10.1.2.3", "127.0.0.1", "169.254.169.254", "192.168.0.1", "172.16.0.1", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "::1", "fe80::1%eth0", "fd00::1", "::ffff:192.168.1.1", "64:ff9b::a00:1", "2002:a00:1::", "ff02::1", "x", ""],
)  # fmt: skip
def test_private_addresses(address: str) -> None:
    assert not public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_public_addresses(address: str) -> None:
    assert public(address)


def test_loopback() -> None:
    assert not_loopback("192.168.1.20")
    assert not any(not_loopback(each) for each in ("127.0.0.2", "::1", "::ffff:127.0.0.1", "0.0.0.0", "name"))
