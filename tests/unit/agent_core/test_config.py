"""Server addresses as people type them."""

from __future__ import annotations

import pytest

from agent_core.config import DEFAULT_SERVER, AgentConfig, Secret, server_url
from agent_core.errors import ConfigInvalid

PASSWORD = "geheim"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("", DEFAULT_SERVER),
        ("  ", DEFAULT_SERVER),
        (" http://192.168.1.20:3334/ ", "http://192.168.1.20:3334"),
        ("https://app.obico.io///", "https://app.obico.io"),
        ("Https://app.obico.io", "https://app.obico.io"),
        ("HTTP://Pi:3334", "http://Pi:3334"),
        ("https://example.org/obico/", "https://example.org/obico"),
        ("app.obico.io", "https://app.obico.io"),
        ("example.org:8443/x", "https://example.org:8443/x"),
        ("localhost:3334", "http://localhost:3334"),
        ("127.0.0.1:3334", "http://127.0.0.1:3334"),
        ("10.1.2.3", "http://10.1.2.3"),
        ("10.example.com", "https://10.example.com"),
        ("192.168.1.5", "http://192.168.1.5"),
        ("172.15.0.1", "https://172.15.0.1"),
        ("172.16.0.1", "http://172.16.0.1"),
        ("172.31.0.1:80", "http://172.31.0.1:80"),
        ("172.32.0.1", "https://172.32.0.1"),
        ("172.example.com", "https://172.example.com"),
        ("pi", "http://pi"),
        ("Pi.Local:3334", "http://Pi.Local:3334"),
        ("nas.lan", "http://nas.lan"),
        ("[fd00::5]:3334", "http://[fd00::5]:3334"),
        ("http://[::1]", "http://[::1]"),
    ],
)
def test_what_people_type_is_understood(typed: str, meant: str) -> None:
    assert server_url(typed) == meant


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("ftp://host", "must begin with http:// or https://"),
        ("ws://host", "must begin with http:// or https://"),
        ("http://", "names no host"),
        ("//host", "names no host"),
        ("http://a b", "names no host"),
        ("http://a\x00b", "names no host"),
        ("http://192.168..5", "names no host"),
        ("http://host:0", "names no host"),
        ("https:/app.obico.io", "names no host"),
        ("https//app.obico.io", "names no host"),
        ("http://http://host", "names no host"),
        ("http://host:port", "not usable"),
        ("http://host:99999", "not usable"),
        ("http://[::1", "not usable"),
        ("http://host/x?y=1", "before any ? or #"),
        ("http://host/#top", "before any ? or #"),
        (f"http://me:{PASSWORD}@host", "must not contain a user name or password"),
        (f"me:{PASSWORD}@host:80", "must not contain a user name or password"),
        (f"ftp://me:{PASSWORD}@host", "must not contain a user name or password"),
        (f"http://me:{PASSWORD}@host:99999", "must not contain a user name or password"),
        (f"http://host/?token={PASSWORD}", "before any ? or #"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line_without_secrets(typed: str, said: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        server_url(typed)
    text = str(refused.value)
    assert said in text
    assert PASSWORD not in text
    assert text.isprintable()


def test_the_socket_is_where_the_server_is() -> None:
    for typed, socket in (("Https://h:1/x/", "wss://h:1/x/ws/dev/"), ("pi", "ws://pi/ws/dev/")):
        assert AgentConfig("a", "1", server_url(typed), None, "").websocket_url == socket


def test_a_secret_never_prints() -> None:
    secret = Secret(PASSWORD)
    assert PASSWORD not in f"{secret} {secret!r} {[secret]}"
    assert secret == Secret(PASSWORD) != Secret("other")
    assert hash(secret) == hash(Secret(PASSWORD))
    assert secret.reveal() == PASSWORD
