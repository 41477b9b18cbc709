"""The handshake in the local network: who reads our secret may link us (wire-protocol.md §2.2).

Only the rules: they are the same behind Klipper's own little server (handshake_server.py) and OctoPrint's. Whoever asks
must be near, by every sign there is: the peer itself, every address that a proxy before us has put into its headers (a
client can add to these but not take away, so they can only refuse), and the name by which we were called.
"""

from __future__ import annotations

import hmac
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from agent_core.addresses import is_local, is_local_host, is_loopback, without_port

PATH = "/plugin/obico/grab-discovery-secret"
METHODS = ("GET", "HEAD", "OPTIONS")

FORWARDED = (
    "x-forwarded-for", "forwarded", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip",
    "cf-connecting-ip",
)  # fmt: skip
"""Headers in which proxies say for whom they ask."""

TRIES, TRIES_PERIOD = 20, 60.0
"""Requests of one peer within so many seconds; a page asks once or twice."""
MOST_PEERS = 64

_ALLOWED = ", ".join(METHODS)


@dataclass(frozen=True, slots=True)
class Caller:
    """`peer`: the address at the other end of the connection itself; `headers`: names in lower case, values of
    repeated ones joined by commas."""

    peer: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


def is_near(caller: Caller) -> bool:
    """Whether the request comes from the local network, all the way."""
    if not is_local(caller.peer) or not is_local_host(caller.headers.get("host", "")):
        return False
    return all(is_local(address) for address in _forwarded(caller.headers))


def is_this_machine(caller: Caller) -> bool:
    """Whether a program on this machine asks, for itself and not for a page in a browser."""
    return (
        is_loopback(caller.peer)
        and is_local_host(caller.headers.get("host", ""))
        and not any(name in caller.headers for name in (*FORWARDED, "origin", "referer"))
    )


def _forwarded(headers: Mapping[str, str]) -> list[str]:
    found: list[str] = []
    for name in FORWARDED:
        for entry in filter(None, (part.strip() for part in headers.get(name, "").split(","))):
            if name == "forwarded":
                for_ = re.search(r"(?:^|;)\s*for\s*=\s*\"?([^;\"]*)", entry, re.IGNORECASE)
                found.append(without_port(for_[1].strip()) if for_ else "unknown")
            else:
                found.append(without_port(entry))
    return found


class Handshake:
    """One search's: good until `until` (monotonic seconds) or `close`. Thread-safe."""

    def __init__(
        self, device_id: str, secret: str, until: float, monotonic: Callable[[], float], nonce: Callable[[], str]
    ) -> None:
        self._device_id, self._secret, self._until = device_id, secret, until
        self._monotonic, self._nonce = monotonic, nonce
        self._lock = threading.Lock()  # guards _asked
        self._asked: OrderedDict[str, tuple[float, int]] = OrderedDict()  # peer -> since when, how often
        self._closed = False

    def close(self) -> None:
        self._closed = True

    def answer(self, method: str, caller: Caller, device_id: str) -> Answer:
        """What to answer to a request of PATH with `?device_id=…`."""
        if method not in METHODS:
            return plain(405, "Method Not Allowed", ("Allow", _ALLOWED))
        if self._too_often(caller.peer):
            return plain(429, "Too Many Requests", ("Retry-After", str(int(TRIES_PERIOD))))
        known = hmac.compare_digest(device_id.encode("utf-8", "replace"), self._device_id.encode())
        if self._closed or self._monotonic() >= self._until or not is_near(caller) or not known:
            return plain(403, "Forbidden")
        headers = [
            ("Access-Control-Allow-Origin", "*"),
            ("Access-Control-Allow-Methods", _ALLOWED),
            # Chromium asks this before it lets a page of the internet speak to a machine at home.
            ("Access-Control-Allow-Private-Network", "true"),
            ("Vary", "Accept"),
        ]
        if method == "OPTIONS":
            return Answer(200, (*_SAFE, *headers, ("Allow", _ALLOWED)), b"")
        if "application/json" in caller.headers.get("accept", "").lower():
            body, kind, policy = json.dumps({"device_secret": self._secret}), "application/json", "default-src 'none'"
        else:
            nonce = self._nonce()
            body, kind = _page(self._secret, nonce), "text/html; charset=utf-8"
            policy = f"default-src 'none'; script-src 'nonce-{nonce}'; base-uri 'none'; frame-ancestors 'none'"
        headers += [("Content-Type", kind), ("Content-Security-Policy", policy)]
        return Answer(200, (*_SAFE, *headers), b"" if method == "HEAD" else body.encode())

    def _too_often(self, peer: str) -> bool:
        now = self._monotonic()
        with self._lock:
            since, count = self._asked.pop(peer, (now, 0))
            if now - since >= TRIES_PERIOD:
                since, count = now, 0
            self._asked[peer] = (since, count + 1)
            while len(self._asked) > MOST_PEERS:
                self._asked.popitem(last=False)
        return count >= TRIES


_SAFE = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)


def plain(status: int, text: str, *more: tuple[str, str]) -> Answer:
    return Answer(status, (*_SAFE, ("Content-Type", "text/plain; charset=utf-8"), *more), f"{text}\n".encode())


def _page(secret: str, nonce: str) -> str:
    """For the little window that a server's page opens: hands the secret to that page, whichever it is (§2.2: target
    origin `*`); that page knew our device id. Both texts are hex digits."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Obico</title></head><body>'
        "<p>Linking the printer. You can close this window.</p>"
        f'<script nonce="{nonce}">if (window.opener) window.opener.postMessage({{device_secret: "{secret}"}}, "*");'
        "</script></body></html>"
    )
