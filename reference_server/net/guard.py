"""Whatever the server fetches from an address that a person typed in goes through here (SSRF guard).

The name is resolved once, every answer is vetted, and the connection goes to a vetted address: a name that answers
differently the second time (DNS rebinding) gains nothing. Redirects are handed back, never followed. No proxy from the
environment is used. Everything blocks; call it in a worker thread or a child process.

What is refused always: link-local addresses (cloud metadata among them), multicast, unspecified, reserved and
documentation ranges, and IPv6 addresses that carry an IPv4 one (mapped, 6to4, NAT64, Teredo). Private ones (RFC 1918,
ULA, CGNAT) and loopback are for the operator to allow (`AddressPolicy`).
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import urlsplit

from reference_server import VERSION
from reference_server.net.policy import NOTHING_LOCAL, AddressPolicy

SockAddr = tuple[Any, ...]

LONGEST_URL = 2000
EXCERPT_TIME = 1.0
"""Seconds for the beginning of a body of which no more is wanted."""

MOST_ADDRESSES = 8
"""Answers of the resolver that are looked at; the first ones are tried."""

_LOOKUPS = threading.BoundedSemaphore(64)
"""Look-ups at once: getaddrinfo cannot be broken off, so each has a thread that may outlive its caller."""


class FetchFailed(Exception):
    """The request had no answer; one line that says why, without the address's query."""


class Refused(FetchFailed):
    """This address must not be fetched; trying again will not help."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers`: names in lower case; of a repeated one the last."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Target:
    scheme: str
    host: str
    port: int
    path: str = field(repr=False)  # its query may carry a secret

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"http": 80, "https": 443}[self.scheme] else f"{host}:{self.port}"


def _networks(*texts: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)


_LOOPBACK = _networks("127.0.0.0/8", "::1/128")
_PRIVATE = _networks("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")

# Looked at first: some lie within the private ranges.
_NEVER = (
    ("a cloud's metadata address", _networks(
        "169.254.169.254/32", "168.63.129.16/32", "100.100.100.200/32", "192.0.0.192/32", "fd00:ec2::/32",
        "fd20:ce::254/128")),
    ("a link-local address", _networks("169.254.0.0/16", "fe80::/10", "fec0::/10")),
    ("a multicast address", _networks("224.0.0.0/4", "ff00::/8")),
    ("an unspecified address", _networks("0.0.0.0/8", "::/128")),
    ("an IPv6 address with an IPv4 address inside", _networks(
        "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")),
    ("a reserved address", _networks(
        "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "240.0.0.0/4", "100::/64", "2001::/23", "2001:db8::/32", "3fff::/20")),
)  # fmt: skip

_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
_ISATAP = (0x00005EFE, 0x02005EFE)


def objection(address: str, policy: AddressPolicy) -> str | None:
    """Why an IP address must not be connected to; None: it may."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "no IP address"
    if found in _LOOPBACK[0] or found in _LOOPBACK[1]:
        return None if policy.allow_loopback else "this machine itself (loopback)"
    for reason, networks in _NEVER:
        if any(found in network for network in networks):
            return reason
    if any(found in network for network in _PRIVATE):
        return None if policy.allow_private else "a private address"
    if isinstance(found, ipaddress.IPv6Address):
        if (int(found) >> 32) & 0xFFFFFFFF in _ISATAP:
            return "an IPv6 address with an IPv4 address inside"
        if found not in _GLOBAL_V6:
            return "a reserved address"
    return None


def resolve_allowed(
    host: str, port: int, policy: AddressPolicy, timeout: float = 10.0
) -> list[tuple[socket.AddressFamily, SockAddr]]:
    """The addresses of `host` that may be connected to, in the resolver's order.

    Raises Refused when it has addresses and none is allowed, FetchFailed when it has none.
    """
    answers = _look_up(host, port, timeout)
    allowed: list[tuple[socket.AddressFamily, SockAddr]] = []
    objections: list[str] = []
    for family, address in answers:
        reason = objection(str(address[0]), policy)
        if reason is None:
            allowed.append((family, address))
        else:
            objections.append(reason)
    if not allowed:
        raise Refused(f"{host} is not fetched: it is {objections[0]}")
    return allowed


def _look_up(host: str, port: int, timeout: float) -> Sequence[tuple[socket.AddressFamily, SockAddr]]:
    found: list[tuple[socket.AddressFamily, SockAddr]] = []
    problem: list[str] = []
    unknown = f"the name {host} is not known"

    def ask() -> None:
        try:
            for family, _, _, _, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
                if family in {socket.AF_INET, socket.AF_INET6} and len(found) < MOST_ADDRESSES:
                    found.append((family, address))
        except (OSError, UnicodeError) as error:
            problem.append(f"{unknown}: {getattr(error, 'strerror', None) or 'no usable name'}")
        finally:
            _LOOKUPS.release()

    if not _LOOKUPS.acquire(timeout=timeout):
        raise FetchFailed("the resolver is busy")
    thread = threading.Thread(target=ask, name="look-up", daemon=True)
    thread.start()
    thread.join(timeout)
    if thread.is_alive():
        raise FetchFailed(f"{unknown}: the resolver did not answer in time")
    if problem or not found:
        raise FetchFailed(problem[0] if problem else unknown)
    return list(found)


def parse_target(url: str) -> Target:
    """Raises Refused: what is not http(s), has credentials in it, or is nonsense."""
    if len(url) > LONGEST_URL or any(ord(mark) <= 32 or ord(mark) == 127 for mark in url) or "\\" in url:
        raise Refused("the address is no usable URL")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise Refused("the address is no usable URL") from None
    if parts.scheme not in {"http", "https"} or not host:
        raise Refused("the address must begin with http:// or https://")
    if parts.username is not None or parts.password is not None:
        raise Refused("the address must not carry a name or password")
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise Refused("the address has no usable host name") from None
    if len(host) > 253 or "%" in host or not all(host.removesuffix(".").split(".")) or port == 0:
        raise Refused("the address has no usable host name or port")
    path = parts.path or "/"
    if parts.query:
        path += f"?{parts.query}"
    if not path.isascii():
        raise Refused("the address's path must be percent-encoded")
    return Target(parts.scheme, host, port or {"http": 80, "https": 443}[parts.scheme], path)


def check_url(url: str, policy: AddressPolicy, timeout: float = 5.0) -> None:
    """For settings: is it an address that we would fetch? An unknown name is no objection. Raises Refused."""
    target = parse_target(url)
    try:
        resolve_allowed(target.host, target.port, policy, timeout)
    except Refused:
        raise
    except FetchFailed:
        return


class _Timed:
    """A socket whose every call ends at one deadline: a peer that sends a byte now and then does not hold us up."""

    deadline: float = 0.0
    clock: Callable[[], float] = staticmethod(time.monotonic)

    def hurry(self) -> None:
        left = self.deadline - self.clock()
        if left <= 0:
            raise TimeoutError("timed out")
        self.settimeout(left)  # type: ignore[attr-defined]

    def recv_into(self, *arguments: Any, **more: Any) -> int:
        self.hurry()
        count: int = super().recv_into(*arguments, **more)  # type: ignore[misc]
        return count

    def send(self, *arguments: Any, **more: Any) -> int:
        self.hurry()
        count: int = super().send(*arguments, **more)  # type: ignore[misc]
        return count

    def sendall(self, *arguments: Any, **more: Any) -> None:
        self.hurry()
        super().sendall(*arguments, **more)  # type: ignore[misc]


class _Plain(_Timed, socket.socket):
    pass


class _Encrypted(_Timed, ssl.SSLSocket):
    pass


def _connect(
    target: Target, policy: AddressPolicy, deadline: float, clock: Callable[[], float], tls: ssl.SSLContext | None
) -> _Plain | _Encrypted:
    addresses = resolve_allowed(target.host, target.port, policy, max(0.0, deadline - clock()))
    problem = "nothing answers there"
    for number, (family, address) in enumerate(addresses):
        left = deadline - clock()
        if left <= 0:
            break
        plain = _Plain(family, socket.SOCK_STREAM)
        plain.deadline, plain.clock = deadline, clock
        try:
            plain.settimeout(left / (len(addresses) - number))
            plain.connect(address)
            return plain if target.scheme == "http" else _encrypt(plain, target.host, tls)
        except OSError as error:
            plain.close()
            problem = _words(error)
    raise FetchFailed(f"{target.host}: {problem}")


def _encrypt(plain: _Plain, host: str, tls: ssl.SSLContext | None) -> _Encrypted:
    context = tls or ssl.create_default_context()
    context.sslsocket_class = _Encrypted
    wrapped = cast(
        _Encrypted, context.wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
    )
    wrapped.deadline, wrapped.clock = plain.deadline, plain.clock
    try:
        wrapped.hurry()
        wrapped.do_handshake()
    except OSError:
        wrapped.close()
        raise
    return wrapped


def _words(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not good: {error.verify_message}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return error.strerror or str(error) or type(error).__name__


def _beginning(response: http.client.HTTPResponse, most_bytes: int) -> bytes:
    data = b""
    with suppress(OSError, http.client.HTTPException, ValueError):
        while len(data) < most_bytes and (more := response.read1(most_bytes - len(data))):
            data += more
    return data


def guarded_request(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float = 10.0,
    most_bytes: int = 1024 * 1024,
    policy: AddressPolicy = NOTHING_LOCAL,
    *,
    excerpt: bool = False,
    clock: Callable[[], float] = time.monotonic,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """One request, done within `timeout` seconds for all of it, with an answer of at most `most_bytes`.

    A redirect is an answer like any other. `excerpt`: the status is what counts; of the body there is what came soon
    and has room, be it ever so long or slow. `tls`: for tests; else the machine's certificates are believed.
    Raises Refused, FetchFailed.
    """
    body_time = EXCERPT_TIME if excerpt else timeout
    with guarded_response(
        method, url, headers, body, timeout, policy, body_time=body_time, clock=clock, tls=tls
    ) as response:
        found = {name.lower(): value for name, value in response.headers.items()}
        if excerpt:
            return Answer(response.status, found, _beginning(response, most_bytes))
        too_large = f"{urlsplit(url).hostname}: the answer is larger than {most_bytes} bytes"
        length = response.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length) > most_bytes:
            raise FetchFailed(too_large)
        data = response.read(most_bytes + 1)
        if len(data) > most_bytes:
            raise FetchFailed(too_large)
        return Answer(response.status, found, data)


@contextmanager
def guarded_response(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    timeout: float = 10.0,
    policy: AddressPolicy = NOTHING_LOCAL,
    *,
    body_time: float | None = None,
    clock: Callable[[], float] = time.monotonic,
    tls: ssl.SSLContext | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """The same, with the body still to be read, within the same `timeout` and `body_time`. Raises Refused,
    FetchFailed."""
    target = parse_target(url)
    deadline = clock() + timeout
    link = _connect(target, policy, deadline, clock, tls)
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = link
    try:
        sent = {"Host": target.host_header, "User-Agent": f"obico-reference-server/{VERSION}", "Accept": "*/*",
                "Accept-Encoding": "identity", "Connection": "close"}  # fmt: skip
        named = {name.lower() for name in headers or {}}
        sent = {name: value for name, value in sent.items() if name.lower() not in named} | dict(headers or {})
        connection.request(method, target.path, body=body, headers=sent)
        response = connection.getresponse()
        if body_time is not None:
            link.deadline = min(link.deadline, clock() + body_time)
        yield response
    except ValueError:
        raise Refused("a header of the request cannot be sent") from None
    except http.client.HTTPException:
        raise FetchFailed(f"{target.host}: the answer is no HTTP") from None
    except OSError as error:
        raise FetchFailed(f"{target.host}: {_words(error)}") from None
    finally:
        connection.close()
        link.close()
