"""A printer that waits to be linked, called through Moonraker."""

from __future__ import annotations

import json
from typing import Any, cast

import pytest

from agent_core.errors import Unreachable
from agent_core.features.linking import Linked
from agent_core.transport.http import HttpClient
from moonraker_obico.jsonrpc import JsonRpc, Notification, Request
from moonraker_obico.moonraker_socket import Address
from moonraker_obico.registered import LINKED_ALREADY, identity, refusal
from moonraker_obico.remote_link import RemoteLink
from tests.fakes.clock import FakeClock
from tests.fakes.http_port import FakeHttp, answer

GOOD = {"server": "http://farm.local:3334/", "code": "123-456"}
PRINTER = {"printer": {"id": 3, "name": "Voron", "auth_token": "0123456789abcdef0123"}}


def waiting(http: FakeHttp, kept: list[tuple[str, Linked]]) -> RemoteLink:
    return RemoteLink(
        Address("127.0.0.1", 7125), cast(HttpClient, http), FakeClock(), lambda url, linked: kept.append((url, linked))
    )


def told(link: RemoteLink, params: Any, method: str = "link") -> dict[str, Any]:
    frame = json.loads(link._answer(Request(7, method, params)))
    assert (frame["jsonrpc"], frame["id"]) == ("2.0", 7)
    found: dict[str, Any] = frame["result"]
    return found


def test_a_code_links_and_is_kept() -> None:
    http, kept = FakeHttp(answer(200, PRINTER)), []  # type: ignore[var-annotated] # what `waiting` says
    assert told(waiting(http, kept), GOOD) == {"linked": True, "printer": "Voron"}
    assert http.requests[0].url == "http://farm.local:3334/api/v1/octo/verify/"
    assert http.requests[0].query == {"code": "123456"}
    ((url, linked),) = kept
    assert (url, linked.token.reveal()) == ("http://farm.local:3334", "0123456789abcdef0123")


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ([], "takes a server's address"), ({}, "takes a server's address"), ({**GOOD, "code": 123456}, "takes a"),
        ({**GOOD, "server": " "}, "takes a"), ({**GOOD, "server": "ftp://x"}, "must begin with http"),
        ({**GOOD, "code": "12345"}, "six digits"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_answered_in_words(params: Any, words: str) -> None:
    http, kept = FakeHttp(answer(200, PRINTER)), []  # type: ignore[var-annotated] # what `waiting` says
    found = told(waiting(http, kept), params)
    assert found["linked"] is False
    assert words in found["error"]
    assert (kept, http.requests) == ([], [])


def test_a_server_that_refuses_or_is_away_changes_nothing() -> None:
    for given in (answer(404, {"detail": "Requested resource does not exist"}), Unreachable("no way there")):
        kept: list[tuple[str, Linked]] = []
        found = told(waiting(FakeHttp(given), kept), GOOD)
        assert found["linked"] is False
        assert found["error"]
        assert kept == []


def test_another_method_and_a_linked_printer() -> None:
    link = waiting(FakeHttp(answer(200, PRINTER)), [])
    assert told(link, GOOD, "unlink") == {"linked": False, "error": "this agent knows no such method"}
    frame = json.loads(refusal(Request(9, "link", {}), LINKED_ALREADY))
    assert frame == {"jsonrpc": "2.0", "id": 9, "result": {"linked": False, "error": LINKED_ALREADY}}


def test_a_call_is_no_notification() -> None:
    rpc = JsonRpc()
    assert rpc.receive(b'{"method": "link", "params": {"code": "1"}, "id": 140012}') == Request(
        140012, "link", {"code": "1"}
    )
    assert rpc.receive(b'{"method": "link", "params": 7, "id": 1}') == Request(1, "link", ())
    assert rpc.receive(b'{"method": "link", "id": null}') == Notification("link", ())


def test_how_we_introduce_ourselves() -> None:
    assert identity(Address("h", 1), "3.0.0")["client_name"] == "moonraker-obico"
    assert "api_key" not in identity(Address("h", 1), "3.0.0")
