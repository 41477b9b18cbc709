"""What gets through the tunnel, and what it leads to: header and path rules, without I/O."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_core.config import CameraConfig, TunnelTarget
from agent_core.errors import Rejected
from agent_core.features import tunnel_rules as rules
from agent_core.model import CameraInfo

OCTOPRINT = TunnelTarget("127.0.0.1", 5000, tell_visitor=True)
MAINSAIL = TunnelTarget("127.0.0.1", 80, blocked=("/webcam/?action=stream", "/secret"))


@pytest.mark.parametrize(
    "path",
    ["http://evil.example/", "https://evil.example", "evil.example:80", "*", "", "/a\r\nHost: evil", "/a\nb", "/a\0",
     "/" + "a" * 20_000],
)  # fmt: skip
def test_a_path_that_leads_elsewhere_is_refused(path: str) -> None:
    with pytest.raises(Rejected):
        rules.path(path)


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ("/", "/"),
        ("//evil.example/x", "/evil.example/x"),
        ("/\\evil.example/x", "/evil.example/x"),
        ("/a b?c d#e", "/a%20b?c%20d%23e"),
        ("/ä?ö", "/%C3%A4?%C3%B6"),
        ("/%2e%2e/x?y=%0d%0a", "/%2e%2e/x?y=%0d%0a"),
        ("/api/files/local/a(1).gcode?x=[1]&y=a/b", "/api/files/local/a(1).gcode?x=[1]&y=a/b"),
    ],
)
def test_a_path_keeps_its_meaning(asked: str, sent: str) -> None:
    assert rules.path(asked) == sent


@given(st.text(max_size=60))
def test_whatever_is_asked_for_stays_one_word_that_begins_with_a_single_slash(asked: str) -> None:
    try:
        sent = rules.path(asked)
    except (Rejected, UnicodeEncodeError):
        return
    assert sent.isascii()
    assert sent.isprintable()
    assert " " not in sent
    assert sent.startswith("/")
    assert not sent.startswith(("//", "/\\"))


def test_the_host_is_always_its_own_and_the_visitors_stands_beside_it() -> None:
    given_ = (
        ("Host", "home.example:3340"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "203.0.113.9, 10.0.0.1"),
        ("Connection", "keep-alive, X-Odd"), ("X-Odd", "1"), ("Keep-Alive", "5"), ("Transfer-Encoding", "chunked"),
        ("Upgrade", "h2c"), ("Proxy-Authorization", "Basic x"), ("Content-Length", "7"), ("Cookie", "a=b"),
        ("X-Api-Key", "k"), ("X-Script-Name", "/x"), ("X-Remote-User", "admin"), ("Remote-User", "admin"),
        ("Origin", "https://home.example:3340"), ("Bad Name", "x"),
        ("X-Line", "a\r\nHost: b"), ("Expect", "100-continue"),
    )  # fmt: skip
    assert rules.request_headers(given_, OCTOPRINT, encodings="gzip") == (
        ("Host", "127.0.0.1:5000"),
        ("X-Forwarded-Host", "home.example:3340"),
        ("X-Forwarded-Proto", "https"),
        ("Origin", "https://127.0.0.1:5000"),
        ("X-Forwarded-For", "203.0.113.9"),
        ("Cookie", "a=b"),
        ("X-Api-Key", "k"),
        ("Accept-Encoding", "gzip"),
    )


def test_a_foreign_origin_is_told_as_it_is_and_klipper_does_not_hear_who_visits() -> None:
    sent = dict(
        rules.request_headers(
            (("Host", "home.example"), ("Origin", "https://evil.example"), ("X-Forwarded-For", "203.0.113.9")), MAINSAIL
        )
    )
    assert sent["Host"] == "127.0.0.1"
    assert sent["Origin"] == "https://evil.example"
    assert "X-Forwarded-For" not in sent


@pytest.mark.parametrize("host", ["a b", "x/y", "a@b", "a\r\nb", "", "a:999999999", "[::1"])
def test_a_host_that_is_none_is_not_told(host: str) -> None:
    assert "X-Forwarded-Host" not in dict(rules.request_headers((("Host", host),), OCTOPRINT))


@pytest.mark.parametrize(
    ("accepted", "asked"),
    [
        ("gzip, deflate, br", "gzip"),
        ("br", "identity"),
        ("gzip;q=0, br", "identity"),
        ("GZIP;q=0.5", "gzip"),
        ("", "identity"),
    ],
)
def test_gzip_only_if_the_visitor_takes_it(accepted: str, asked: str) -> None:
    assert rules.encodings((("Accept-Encoding", accepted),)) == asked


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("http://127.0.0.1:5000/login?x", "/login?x"),
        ("http://127.0.0.1:5000", "/"),
        ("/login", "/login"),
        ("http://127.0.0.1:50001/x", "http://127.0.0.1:50001/x"),
        ("https://elsewhere.example/", "https://elsewhere.example/"),
    ],
)
def test_a_redirect_to_itself_becomes_a_path(location: str, told: str) -> None:
    headers = (
        ("Location", location),
        ("Content-Length", "3"),
        ("Connection", "close"),
        ("Set-Cookie", "a"),
        ("Set-Cookie", "b"),
    )
    assert rules.response_headers(headers, OCTOPRINT, keep_length=True) == (
        ("Location", told), ("Content-Length", "3"), ("Set-Cookie", "a"), ("Set-Cookie", "b"),
    )  # fmt: skip


CAMERAS = (
    CameraConfig(CameraInfo("Bed"), stream_url="http://localhost/webcam2/?action=stream"),
    CameraConfig(CameraInfo("Root"), snapshot_url="http://127.0.0.1:80/?action=snapshot"),
    CameraConfig(CameraInfo("Other"), snapshot_url="http://192.168.1.9:8080/only-there/shot.jpg"),
)


@pytest.mark.parametrize(
    "path",
    ["/webcam/?action=stream", "/webcam?action=stream&1", "/webcam?x=1&action=stream", "/secret", "/secret?x",
     "/webcam2/?action=stream", "/webcam2", "/x/../webcam2/", "/%77ebcam2/", "/?action=snapshot"],
)  # fmt: skip
def test_cameras_are_blocked_however_they_are_spelled(path: str) -> None:
    assert rules.is_blocked(path, MAINSAIL, CAMERAS)


@pytest.mark.parametrize(
    "path", ["/", "/index.html", "/?x=1", "/only-there/shot.jpg", "/webcam/?action=other", "/secrets"]
)
def test_nothing_else_is(path: str) -> None:
    assert not rules.is_blocked(path, MAINSAIL, CAMERAS)
