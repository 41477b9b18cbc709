"""Addresses of local networks: who counts as near. Standard library only."""

from __future__ import annotations

import ipaddress
import re

_LOCAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "169.254.0.0/16", "::1/128", "fc00::/7",
        "fe80::/10",
    )
)  # fmt: skip
"""Private and link-local addresses (RFC 1918, 3927, 4193, 4291), and those of the machine itself."""

_LOCAL_NAMES = (".local", ".lan", ".home", ".internal", ".home.arpa", ".box", ".localdomain")


def is_local(text: str) -> bool:
    """Whether this is the address of a machine in a local network, or of this one. Anything else than one: no."""
    address = _address(text)
    return address is not None and any(address in network for network in _LOCAL)


def is_loopback(text: str) -> bool:
    """Whether this is an address of this machine alone."""
    address = _address(text)
    return address is not None and address.is_loopback


def is_local_host(text: str) -> bool:
    """Whether a Host header (`name`, `name:port`, `[::1]:port`) names a machine in a local network."""
    host = without_port(text.strip()).lower().rstrip(".")
    if not host or not re.fullmatch(r"[a-z0-9._:%-]+", host):
        return False
    if _address(host) is not None or host.replace(".", "").isdigit():
        return is_local(host)
    return "." not in host or host.endswith(_LOCAL_NAMES)


def without_port(text: str) -> str:
    """`1.2.3.4:80` → `1.2.3.4`, `[::1]:80` → `::1`; a bare IPv6 address stays."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.strip().partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
