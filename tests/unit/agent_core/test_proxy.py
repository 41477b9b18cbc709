"""Which hosts go through a proxy."""

from __future__ import annotations

import pytest

from agent_core.transport.proxy import Proxy, local, proxy_for

ENVIRON = {"https_proxy": "http://user:p%40ss@proxy.example:3128", "HTTP_PROXY": "proxy.example:8080"}


def test_the_variable_of_the_scheme_counts_in_either_case() -> None:
    assert proxy_for("http", "app.obico.io", ENVIRON) == Proxy("proxy.example", 8080)
    found = proxy_for("https", "app.obico.io", ENVIRON)
    assert found == Proxy("proxy.example", 3128, "Basic dXNlcjpwQHNz")
    assert "Basic" not in repr(found)


def test_all_proxy_and_default_port() -> None:
    assert proxy_for("https", "app.obico.io", {"ALL_PROXY": "http://p.example"}) == Proxy("p.example", 80)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "192.168.1.20", "10.0.0.2", "fe80::1", "octopi", "octopi.local", "nas.home"]
)
def test_hosts_of_the_own_network_never(host: str) -> None:
    assert local(host)
    assert proxy_for("http", host, ENVIRON) is None


@pytest.mark.parametrize(
    ("exceptions", "excepted"),
    [("obico.io", True), (".obico.io, x", True), ("*.obico.io", True), ("*", True), ("bico.io", False), (",", False)],
)
def test_no_proxy(exceptions: str, excepted: bool) -> None:
    found = proxy_for("http", "app.obico.io", {**ENVIRON, "no_proxy": exceptions})
    assert (found is None) is excepted


@pytest.mark.parametrize("address", ["socks5://p:1", "http://", "http://p:99999", "https://p:1"])
def test_unusable_proxies_are_left_out(address: str) -> None:
    assert proxy_for("http", "app.obico.io", {"http_proxy": address}) is None


def test_none() -> None:
    assert proxy_for("http", "app.obico.io", {}) is None
