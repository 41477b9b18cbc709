"""From where a G-code file may be fetched: the linked server, or a public place over https. Pure.

A call names the address, and a call may come from whoever may use the server: it must not become a way into the
network that the printer stands in.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urljoin

from agent_core.errors import ConfigInvalid, Rejected
from agent_core.transport.http_form import Target, target
from agent_core.transport.proxy import local

LONGEST_URL = 8000


@dataclass(frozen=True, slots=True)
class Source:
    """`own`: it is the linked server itself, which alone may see the token. `peer_allowed` as in HttpRequest."""

    url: str
    own: bool
    peer_allowed: Callable[[str], bool] | None = None


def source(url: str, base: str, server_url: str) -> Source:
    """What `url`, perhaps relative to `base`, means. Raises Rejected if it must not be fetched."""
    if len(url) > LONGEST_URL:
        raise Rejected("the file's address is too long to be one")
    try:
        whole = urljoin(base, url)
        to, server = target(whole, {}), target(server_url, {})
    except (ConfigInvalid, ValueError):
        raise Rejected("the file's address is none that can be fetched from (http or https)") from None
    if _origin(to) == _origin(server):
        return Source(whole, own=True)
    if to.host.lower() == server.host.lower():
        # A server behind a proxy may not know its own scheme. On this very machine, other ports are other programs.
        if _is_loopback_name(to.host):
            raise Rejected("the file's address leads to another program on this machine")
        return Source(whole, own=False, peer_allowed=not_loopback)
    if to.scheme != "https":
        raise Rejected(f"a file is fetched from the server itself or over https, not from http://{to.host}")
    if not _public_name(to.host):
        raise Rejected(f"{to.host} stands in a private network, where only the server itself may be fetched from")
    return Source(whole, own=False, peer_allowed=public)


def public(address: str) -> bool:
    """Whether a numeric address belongs to the internet, also one that carries an IPv4 address inside."""
    found = _address(address)
    if found is None:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        teredo = found.teredo
        carried = found.ipv4_mapped or found.sixtofour or (teredo[1] if teredo else None) or _nat64(found)
        if carried is not None:
            return public(str(carried))
    return found.is_global and not found.is_multicast


def not_loopback(address: str) -> bool:
    found = _address(address)
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return found is not None and not found.is_loopback and not found.is_unspecified


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _nat64(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """RFC 6052's well-known prefix 64:ff9b::/96."""
    return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF) if int(address) >> 32 == 0x64FF9B << 64 else None


def _origin(to: Target) -> tuple[str, str, int]:
    return to.scheme, to.host.lower(), to.port


def _is_loopback_name(host: str) -> bool:
    found = _address(host)
    return host.lower().endswith("localhost") or (found is not None and not not_loopback(host))


def _public_name(host: str) -> bool:
    return public(host) if _address(host) is not None else not local(host)
