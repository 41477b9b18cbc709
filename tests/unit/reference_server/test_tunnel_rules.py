"""What passes between a visitor and a printer's web interface, who comes in, and where it is; without I/O."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from reference_server.config import ConfigError
from reference_server.tunnel import rules
from reference_server.tunnel.ports import SitePorts
from reference_server.tunnel.visitors import INVITATION_SECONDS, MOST_VISITS, VISIT_SECONDS, Visit, Visitors
from tests.unit.reference_server.support import make_config


def test_no_cookie_of_ours_reaches_the_printer_and_nobody_else_says_who_visits() -> None:
    given = [
        ("Host", "home:3340"), ("Cookie", "a=b; tsd_sessionid=secret; obico_tunnel_3340=secret"), ("cookie", "c=d"),
        ("X-Forwarded-For", "1.2.3.4"), ("X-Forwarded-Host", "evil"), ("X-Real-IP", "1.2.3.4"),
        ("Authorization", "Basic x"), ("Connection", "close"), ("X-Api-Key", "k"),
    ]  # fmt: skip
    sent = rules.request_headers(given, scheme="http", visitor="10.0.0.9", without_authorization=True)
    assert sent == (
        ("Host", "home:3340"), ("X-Api-Key", "k"), ("cookie", "a=b; c=d"), ("x-forwarded-host", "home:3340"),
        ("x-forwarded-proto", "http"), ("x-forwarded-for", "10.0.0.9"),
    )  # fmt: skip
    kept = rules.request_headers(given, scheme="http", visitor=None, without_authorization=False)
    assert ("Authorization", "Basic x") in kept


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("a=b; Domain=printer.local; Path=/; HttpOnly", "a=b; Path=/; HttpOnly"),
        ("a=b;domain=.x;SameSite=Lax", "a=b; SameSite=Lax"),
        ("tsd_sessionid=x; Path=/", None),
        ("TSD_csrftoken=x", None),
        ("obico_tunnel_3340=x", None),
        ("nothing", None),
        ("a=b\r\nX: y", None),
    ],
)
def test_a_cookie_is_the_visitors_host_s_own(said: str, told: str | None) -> None:
    assert rules.cookie_for_visitor(said) == told


def test_nothing_that_holds_for_the_whole_host_comes_back() -> None:
    given = [
        ("Strict-Transport-Security", "max-age=1"), ("Clear-Site-Data", "*"), ("Alt-Svc", "h3"), ("Server", "x"),
        ("Content-Length", "5"), ("Transfer-Encoding", "chunked"), ("Set-Cookie", "a=b"), ("ETag", '"1"'),
    ]  # fmt: skip
    assert rules.response_headers(given, None, keep_length=True) == [
        (b"content-length", b"5"), (b"etag", b'"1"'), (b"set-cookie", b"a=b"),
    ]  # fmt: skip
    assert rules.response_headers(given, ["c=d; Domain=x"], keep_length=False) == [
        (b"etag", b'"1"'), (b"set-cookie", b"c=d"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("headers", "own"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://other"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Origin": "http://home:3340"}, True),
        ({"Origin": "http://home:3334"}, False),
        ({"Origin": "null"}, False),
        ({"Referer": "http://HOME:3340/x"}, True),
        ({"Referer": "http://home:3341/x"}, False),
    ],
)
def test_another_ports_page_is_another_site(headers: dict[str, str], own: bool) -> None:
    assert rules.is_own_page([("host", "home:3340"), *headers.items()]) is own


def test_sockets_need_their_own_pages_origin_unless_a_program_opens_them() -> None:
    for origin, program, good in ((None, True, True), (None, False, False), ("http://home:3340", False, True),
                                  ("http://evil", True, False)):  # fmt: skip
        given = [("host", "home:3340"), *([("origin", origin)] if origin else [])]
        assert rules.is_socket_of_own_page(given, without_browser=program) is good


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ("Basic " + base64.b64encode(b"a:b:c").decode(), ("a", "b:c")),
        ("basic " + base64.b64encode("ä:ü".encode()).decode(), ("ä", "ü")),
        ("Bearer x", None),
        ("Basic !!", None),
        ("Basic " + base64.b64encode(b"\xff\xfe").decode(), None),
        ("Basic " + base64.b64encode(b"no colon").decode(), None),
        ("", None),
    ],
)
def test_basic_authentication_is_read_or_is_none(said: str, found: tuple[str, str] | None) -> None:
    assert rules.basic_credentials([("authorization", said)]) == found


@pytest.mark.parametrize(
    ("name", "version", "good"),
    [
        ("octoprint_obico", "1.8.4", True),
        ("octoprint_obico", "1.8.3", False),
        ("octoprint_obico", "2.6.1", True),
        ("moonraker_obico", "1.3.0", True),
        ("moonraker_obico", "1.3", True),
        ("moonraker_obico", "1.2.9", False),
        ("moonraker_obico", "3.0.0.dev0", True),
        ("moonraker_obico", "", False),
        ("other", "9.9.9", False),
        (None, None, False),
    ],
)
def test_which_agents_know_tunnels(name: str | None, version: str | None, good: bool) -> None:
    assert rules.speaks_tunnel(name, version) is good


def test_an_invitation_is_good_once_soon_and_for_its_printer() -> None:
    now = [0.0]
    numbers = iter(range(10_000))
    visitors = Visitors(lambda: now[0], lambda size: next(numbers).to_bytes(size, "big"))
    visit = Visit(1, 7, "session")
    token = visitors.invite(visit)
    assert visitors.enter(8, token) is None
    assert visitors.enter(7, token) is None, "whoever tried it elsewhere has used it up"
    late = visitors.invite(visit)
    now[0] += INVITATION_SECONDS + 1
    assert visitors.enter(7, late) is None
    cookie = visitors.enter(7, visitors.invite(visit))
    assert cookie is not None
    assert visitors.find(7, cookie) == visit
    assert visitors.find(8, cookie) is None
    now[0] += VISIT_SECONDS - 1
    assert visitors.find(7, cookie) == visit
    now[0] += VISIT_SECONDS - 1
    assert visitors.find(7, cookie) == visit, "it was used meanwhile"
    visitors.end("another")
    assert visitors.find(7, cookie) == visit
    visitors.end("session")
    assert visitors.find(7, cookie) is None
    oldest = visitors.enter(7, visitors.invite(visit))
    for _ in range(MOST_VISITS):
        visitors.enter(7, visitors.invite(visit))
    assert visitors.find(7, str(oldest)) is None


def test_whose_web_interface_is_asked_for(tmp_path: Path) -> None:
    ports = SitePorts(make_config(tmp_path))
    assert ports.site(3334, "home:3334") is None
    assert ports.address("http://home:3334", 7, 3341) == "http://home:3341"
    assert ports.address("http://[fd00::1]:3334", 7, 3341) == "http://[fd00::1]:3341"
    named = SitePorts(make_config(tmp_path, tunnel_host="*.Tunnel.example.org"))
    found = named.site(3334, "printer7.tunnel.example.org")
    assert found is not None
    assert (found.printer_id, found.cookie) == (7, "obico_tunnel")
    nobody = named.site(3334, "other.tunnel.example.org:443")
    assert nobody is not None
    assert nobody.printer_id == 0
    assert named.site(3334, "printers.example.org") is None
    assert named.address("https://printers.example.org", 7, None) == "https://printer7.tunnel.example.org"
    assert named.address("http://home:3334", 7, None) == "http://printer7.tunnel.example.org:3334"


@pytest.mark.parametrize("text", ["x", "3340-", "70000", "5-3", "1-5000", "-"])
def test_ports_that_are_none_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tunnel-ports"):
        make_config(tmp_path, tunnel_ports=text)


def test_ports_are_a_list_of_ranges(tmp_path: Path) -> None:
    assert make_config(tmp_path, tunnel_ports="3340-3342, 4000").tunnel_ports == (3340, 3341, 3342, 4000)
    assert make_config(tmp_path, tunnel_ports="").tunnel_ports == ()
    with pytest.raises(ConfigError, match="tunnel-host"):
        make_config(tmp_path, tunnel_host="https://x/y")
