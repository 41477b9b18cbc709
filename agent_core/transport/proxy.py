"""Which proxy, if any, a request goes through: the usual environment variables, never for hosts of the own network.

`urllib.request` knows this too, but costs half a megabyte.
"""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Proxy:
    """`authorization`: the value of Proxy-Authorization, a secret."""

    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)


def proxy_for(scheme: str, host: str, environ: Mapping[str, str]) -> Proxy | None:
    """The proxy of `http_proxy`, `https_proxy` or `all_proxy` (either case) for a host that is neither local nor in
    `no_proxy`. A proxy that is not plain http:// is left out.
    """
    if local(host) or _excepted(host, _value(environ, "no_proxy")):
        return None
    address = _value(environ, f"{scheme}_proxy") or _value(environ, "all_proxy")
    if not address:
        return None
    parts = urlsplit(address if "://" in address else f"http://{address}")
    try:
        port = parts.port or 80
    except ValueError:
        return None
    if parts.scheme != "http" or not parts.hostname:
        return None
    if parts.username is None:
        return Proxy(parts.hostname, port)
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return Proxy(parts.hostname, port, "Basic " + b64encode(pair.encode()).decode())


def local(host: str) -> bool:
    """Whether the host is this machine or stands in the own network."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "." not in host or host.lower().endswith((".local", ".lan", ".home", ".internal", ".localhost"))
    return address.is_private or address.is_loopback or address.is_link_local


def _value(environ: Mapping[str, str], name: str) -> str:
    return (environ.get(name) or environ.get(name.upper()) or "").strip()


def _excepted(host: str, exceptions: str) -> bool:
    name = host.lower()
    for entry in exceptions.lower().split(","):
        suffix = entry.strip().lstrip("*").lstrip(".")
        if entry.strip() == "*" or (suffix and (name == suffix or name.endswith("." + suffix))):
            return True
    return False
