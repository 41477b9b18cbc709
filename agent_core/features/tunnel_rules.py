"""What may pass through the tunnel, and how it is changed on the way. Pure.

The tunnel leads to one place: the configured host and port of the printer's own web interface. Nothing that comes from
the server chooses whom we talk to; it chooses only the path there (wire-protocol.md §3.5).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from urllib.parse import quote, unquote, urlsplit

from agent_core.config import CameraConfig, TunnelTarget
from agent_core.errors import Rejected
from agent_core.wire.tunnel import Headers, end_to_end, header

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MOST_PATH = 16 * 1024

_KEPT = "/%:@!$&'()*+,;=~-._?[]"
_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")

_NOT_TO_PRINTER = frozenset({
    "host", "content-length", "accept-encoding", "expect", "origin", "forwarded",
    # What proxies in front of a web interface say to it, or how they tell it who has logged in.
    "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-server",
    "x-forwarded-prefix", "x-forwarded-user", "x-script-name", "x-scheme", "x-real-ip", "x-remote-user", "remote-user",
    "remote_user", "x-original-url", "x-rewrite-url",
})  # fmt: skip


def path(asked: str) -> str:
    """The request target in origin form. Raises Rejected.

    `http://elsewhere/` would make a proxy at the other end reach further, `//elsewhere/` confuses some programs, and a
    line end would begin a header: none of them gets through.
    """
    if not asked.startswith("/") or len(asked) > MOST_PATH:
        raise Rejected("the path must begin with / and be of a sensible length")
    if any(char < " " or char == "\x7f" for char in asked):
        raise Rejected("the path has a control character in it")
    way, question, query = asked.partition("?")
    way = re.sub(r"^[/\\]+", "/", way)
    return quote(way.replace("\\", "%5C"), safe=_KEPT) + question + quote(query, safe=_KEPT)


def method(asked: str) -> str:
    """Raises Rejected."""
    if asked.upper() not in METHODS:
        raise Rejected(f"the method {asked.upper()[:20]!r} does not go through the tunnel")
    return asked.upper()


def request_headers(given: Sequence[tuple[str, str]], target: TunnelTarget, *, encodings: str = "identity") -> Headers:
    """What the web interface gets. `Host` is its own address, always; where the visitor came to is said beside it: from
    there OctoPrint takes the names of its cookies."""
    outside = _outside_host(given)
    scheme = (header(given, "x-forwarded-proto") or "http").split(",")[0].strip().lower()
    scheme = scheme if scheme in {"http", "https"} else "http"
    made = [("Host", target.authority)]
    if outside is not None:
        made += [("X-Forwarded-Host", outside), ("X-Forwarded-Proto", scheme)]
    origin = header(given, "origin")
    if origin is not None:
        # Of the visitor's page: the same as the web interface's own. Of any other: told as it is, to be refused there.
        own = outside is not None and origin.lower() == f"{scheme}://{outside}".lower()
        made.append(("Origin", f"{scheme}://{target.authority}" if own else origin))
    visitor = _visitor(given) if target.tell_visitor else None
    if visitor is not None:
        made.append(("X-Forwarded-For", visitor))
    return (*end_to_end([*made, *end_to_end(given, _NOT_TO_PRINTER)]), ("Accept-Encoding", encodings))


def encodings(given: Sequence[tuple[str, str]]) -> str:
    """What to accept where the answer goes on as it comes: gzip if the visitor takes it."""
    accepted = (header(given, "accept-encoding") or "").lower()
    return "gzip" if re.search(r"\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))", accepted) else "identity"


def _outside_host(given: Sequence[tuple[str, str]]) -> str | None:
    host = (header(given, "x-forwarded-host") or header(given, "host") or "").split(",")[0].strip()
    return host if _HOST.fullmatch(host) else None


def _visitor(given: Sequence[tuple[str, str]]) -> str | None:
    first = (header(given, "x-forwarded-for") or "").split(",")[0].strip()
    try:
        return str(ipaddress.ip_address(first))
    except ValueError:
        return None


_NOT_FROM_PRINTER = frozenset({"content-length"})


def response_headers(given: Sequence[tuple[str, str]], target: TunnelTarget, *, keep_length: bool) -> Headers:
    """What goes back. A redirect to the web interface's own address becomes one to a path: the visitor is elsewhere."""
    kept = end_to_end(given, frozenset() if keep_length else _NOT_FROM_PRINTER)
    return tuple((name, _moved(value, target) if name.lower() == "location" else value) for name, value in kept)


def _moved(location: str, target: TunnelTarget) -> str:
    for scheme in ("http", "https"):
        for own in {target.authority, f"{target.shown_host}:{target.port}"}:
            start = f"{scheme}://{own}"
            if location.lower().startswith(start.lower()) and location[len(start) :][:1] in {"", "/", "?"}:
                rest = location[len(start) :]
                return rest if rest.startswith("/") else f"/{rest}"
    return location


_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


def is_blocked(asked: str, target: TunnelTarget, cameras: Iterable[CameraConfig]) -> bool:
    """Whether that is a camera's address at the web interface's own port, or one that the configuration names: a stream
    never ends, and the pictures reach the server by their own way."""
    way, _, query = asked.partition("?")
    way = _plain(way)
    for prefix in target.blocked:
        wanted, _, words = prefix.partition("?")
        if _plain(wanted) == way and (query.startswith(words) or words in query.split("&")):
            return True
    for camera in cameras:
        for url in (camera.stream_url, camera.snapshot_url):
            parts = urlsplit(url or "")
            try:
                port = parts.port or (443 if parts.scheme == "https" else 80)
            except ValueError:
                continue
            if not parts.hostname or port != target.port or not _same_host(parts.hostname, target.host):
                continue
            # Pages add their own words to the query, to get past caches.
            if _plain(parts.path) == way and (way != "/" or query.startswith(parts.query or "\0")):
                return True
    return False


def _same_host(one: str, other: str) -> bool:
    return one.lower() == other.lower() or {one.lower(), other.lower()} <= _LOOPBACK


def _plain(way: str) -> str:
    """One spelling a path: `/webcam`, `/webcam/`, `//webcam/.` and `/%77ebcam` are the same place."""
    parts: list[str] = []
    for part in unquote(way).replace("\\", "/").split("/"):
        if part == "..":
            parts[-1:] = []
        elif part not in {"", "."}:
            parts.append(part)
    return "/" + "/".join(parts)
