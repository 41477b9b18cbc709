"""Handing a linking code to the agent at an address: what is asked there, and what is said of the answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from reference_server.net.guard import Answer, FetchFailed, Refused
from reference_server.net.host_link import HostLinker, base_of
from reference_server.net.policy import AddressPolicy
from reference_server.services.fleet.host_link import HostLinkRefused

Json = dict[str, Any]
KEY = "0123456789ABCDEF0123456789ABCDEF"
HOME = AddressPolicy(allow_private=True, allow_loopback=False)


class Host:
    """What stands at the address: answers by path, `(status, body)` or a failure."""

    def __init__(self, answers: Mapping[str, tuple[int, Any]], on_code: Callable[[Json], None] | None = None) -> None:
        self.answers, self.on_code = answers, on_code or (lambda _order: None)
        self.asked: list[tuple[str, str, Json | None]] = []

    def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, timeout: float, *_: Any
    ) -> Answer:
        assert 0 < timeout <= 5
        assert headers["X-Api-Key"] == KEY
        path = url.removeprefix("http://192.168.1.105")
        sent = None if body is None else json.loads(body)
        self.asked.append((method, path, sent))
        if sent is not None:
            self.on_code(sent.get("arguments", sent))
        status, found = self.answers.get(path, (404, "no such page"))
        if status == 0:
            raise FetchFailed(f"192.168.1.105: {found}")
        return Answer(status, {}, json.dumps(found).encode())


OCTOPRINT = {"/api/plugin/obico": (200, {"linked": False})}
AGENT = {"name": "moonraker-obico", "version": "3.0.0", "type": "agent", "url": ""}
MOONRAKER = {
    "/server/info": (200, {"result": {"moonraker_version": "v0.11.0"}}),
    "/server/extensions/list": (200, {"result": {"agents": [{"name": "other"}, AGENT]}}),
    "/server/extensions/request": (200, {"result": {"linked": True}}),
}
NO_AGENT = {**MOONRAKER, "/server/extensions/list": (200, {"result": {"agents": [{**AGENT, "version": "2.1.0"}]}})}


def linker(host: Host) -> HostLinker:
    return HostLinker(HOME, host, lambda *_: None)


ADDRESS = "http://192.168.1.105"
SERVER = "https://printers.example.org"


def test_octoprint_is_given_the_code_by_its_plugin() -> None:
    host = Host(OCTOPRINT)
    assert linker(host).link(ADDRESS, KEY, SERVER, "123456").told
    assert host.asked == [
        ("GET", "/server/info", None),
        ("GET", "/api/plugin/obico", None),
        ("POST", "/api/plugin/obico", {"command": "link", "server": SERVER, "code": "123456"}),
    ]


def test_moonraker_by_the_method_of_its_agent() -> None:
    host = Host(MOONRAKER)
    assert linker(host).link(ADDRESS, KEY, SERVER, "123456").told
    assert host.asked[-1] == (
        "POST", "/server/extensions/request",
        {"agent": "moonraker-obico", "method": "link", "arguments": {"server": SERVER, "code": "123456"}},
    )  # fmt: skip
    late = Host({**MOONRAKER, "/server/extensions/request": (0, "no answer in time")})
    assert linker(late).link(ADDRESS, KEY, SERVER, "123456").told  # it may come yet


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ({"/server/info": (0, "nothing answers there")}, "Nothing was reached at the address"),
        ({}, "neither Moonraker nor an OctoPrint with our plugin"),
        ({"/server/info": (401, {"error": {"code": 401, "message": "Unauthorized"}})}, "Moonraker refuses the API key"),
        ({"/api/plugin/obico": (403, {})}, "OctoPrint refuses the API key"),
        ({"/api/plugin/obico": (200, {"linked": True})}, "is linked to a server already"),
        ({"/api/plugin/obico": (302, {})}, "neither Moonraker nor an OctoPrint"),
        ({**MOONRAKER, "/server/extensions/list": (200, {"result": {"agents": []}})}, "has no agent of ours"),
        (NO_AGENT, "has no agent of ours"),
        ({**MOONRAKER, "/server/extensions/list": (200, [7])}, "has no agent of ours"),
        (
            {**MOONRAKER, "/server/extensions/request": (400, {"error": {"message": "not connected"}})},
            "does not link: not connected",
        ),
        (
            {**MOONRAKER, "/server/extensions/request": (200, {"result": {"linked": False, "error": "it is"}})},
            "does not link: it is.",
        ),
    ],
)
def test_what_is_said_where_nobody_can_be_told(answers: Mapping[str, tuple[int, Any]], words: str) -> None:
    found = linker(Host(answers)).link(ADDRESS, KEY, SERVER, "123456")
    assert not found.told
    assert words in found.note
    assert KEY not in found.note


def test_addresses() -> None:
    assert base_of(" 192.168.1.105 ") == ADDRESS
    assert base_of("http://octopi.local/octoprint/") == "http://octopi.local/octoprint"
    for wrong in ("http://a/?key=1", "http://a/#x", "http://u:p@a", "ftp://a", "", "http://a b"):
        with pytest.raises(Refused):
            base_of(wrong)
    for wrong in ("http://169.254.169.254", "http://127.0.0.1:5000", "http://[fe80::1]"):
        with pytest.raises(HostLinkRefused):
            HostLinker(HOME).usable(wrong)
