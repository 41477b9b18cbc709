"""What passes between a visitor and a printer's web interface, and how it is changed. Pure.

The tunnelled page is foreign content on a host that may be ours too (another port is no other host for cookies): none
of our cookies reaches it, and it can set none of them, nor anything else that holds for the whole host.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from agent_core.wire.tunnel import Headers, end_to_end, header

OUR_COOKIES = ("tsd_", "obico_tunnel")
"""How the names of our own cookies begin."""

_SAID_BY_US = frozenset({
    "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-server",
    "x-forwarded-prefix", "x-forwarded-user", "x-real-ip", "x-remote-user", "remote-user", "forwarded", "cookie",
})  # fmt: skip

_NOT_TO_VISITOR = frozenset({
    # They hold for the whole host, or for its other ports too.
    "strict-transport-security", "clear-site-data", "alt-svc", "public-key-pins", "origin-agent-cluster",
    "set-cookie", "date", "server",
})  # fmt: skip


def request_headers(
    given: Sequence[tuple[str, str]], *, scheme: str, visitor: str | None, without_authorization: bool
) -> Headers:
    """`without_authorization`: it was for us."""
    dropped = _SAID_BY_US | ({"authorization"} if without_authorization else set())
    kept = list(end_to_end(given, frozenset(dropped)))
    cookies = "; ".join(cookies_for_printer(value for name, value in given if name.lower() == "cookie"))
    if cookies:
        kept.append(("cookie", cookies))
    host = header(given, "host")
    if host:
        kept.append(("x-forwarded-host", host))
    kept.append(("x-forwarded-proto", scheme))
    if visitor:
        kept.append(("x-forwarded-for", visitor))
    return tuple(kept)


def cookies_for_printer(values: Iterable[str]) -> list[str]:
    pairs = [pair.strip() for value in values for pair in value.split(";")]
    return [pair for pair in pairs if pair and not _is_ours(pair)]


def response_headers(
    given: Sequence[tuple[str, str]], cookies: Sequence[str] | None, *, keep_length: bool
) -> list[tuple[bytes, bytes]]:
    """As ASGI wants them. `cookies`: Set-Cookie values where they come apart from the headers (§3.5)."""
    dropped = _NOT_TO_VISITOR if keep_length else _NOT_TO_VISITOR | {"content-length"}
    found = list(end_to_end(given, dropped))
    said = [value for name, value in given if name.lower() == "set-cookie"] if cookies is None else cookies
    found += [("set-cookie", cookie) for each in said if (cookie := cookie_for_visitor(each)) is not None]
    return [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in found]


def cookie_for_visitor(value: str) -> str | None:
    """A cookie of the web interface, for the host that the visitor knows it by. None: it is not to be set."""
    parts = [part.strip() for part in value.split(";")]
    if not parts[0] or "=" not in parts[0] or _is_ours(parts[0]) or any(char < " " for char in value):
        return None
    return "; ".join([parts[0], *(part for part in parts[1:] if part and not part.lower().startswith("domain"))])


def _is_ours(pair: str) -> bool:
    return pair.lstrip().lower().startswith(OUR_COOKIES)


def is_own_page(given: Sequence[tuple[str, str]]) -> bool:
    """Whether a request comes from a page of this very origin, or from nobody's (typed in, a program). Browsers say so:
    by Sec-Fetch-Site where the connection is secure, by Origin or Referer elsewhere."""
    site = header(given, "sec-fetch-site")
    if site is not None:
        return site in {"same-origin", "none"}
    host = (header(given, "host") or "").lower()
    for name in ("origin", "referer"):
        said = header(given, name)
        if said is not None:
            return urlsplit(said).netloc.lower() == host
    return True


def is_socket_of_own_page(given: Sequence[tuple[str, str]], *, without_browser: bool) -> bool:
    """A browser tells the origin of every WebSocket. `without_browser`: it may be a program, which need not."""
    origin = header(given, "origin")
    if origin is None:
        return without_browser
    return urlsplit(origin).netloc.lower() == (header(given, "host") or "").lower()


def basic_credentials(given: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    keyword, _, value = (header(given, "authorization") or "").partition(" ")
    if keyword.lower() != "basic":
        return None
    try:
        text = base64.b64decode(value.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    login, colon, password = text.partition(":")
    return (login[:200], password[:200]) if colon else None


def speaks_tunnel(agent_name: str | None, agent_version: str | None) -> bool:
    """Tunnels come with O 1.8.4 and M 1.3.0 (§3.5)."""
    since = {"octoprint_obico": (1, 8, 4), "moonraker_obico": (1, 3, 0)}.get(agent_name or "")
    words = (agent_version or "").split(".")[:3]
    numbers = tuple(int(word) if word.isascii() and word.isdigit() else 0 for word in words)
    return since is not None and (*numbers, 0, 0, 0)[:3] >= since
