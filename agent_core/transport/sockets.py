"""TCP and TLS connections that can be given up at any moment, with errors in words."""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import ssl
import time
from collections.abc import Callable

from agent_core.errors import Unreachable
from agent_core.transport import tls


def connected_socket(
    host: str, port: int, deadline: float, should_stop: Callable[[], bool], wake: socket.socket
) -> socket.socket:
    """A TCP connection to the first address that takes it, before `deadline` (monotonic seconds).

    While it waits it also listens to `wake`, and gives up when `should_stop`. Raises Unreachable.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise Unreachable(f"the host name {host} is not known: check its spelling and this machine's network") from None
    problem = "no address"
    for family, kind, protocol, _, address in addresses:
        candidate = socket.socket(family, kind, protocol)
        try:
            _connect(candidate, address, deadline, should_stop, wake)
        except OSError as error:
            candidate.close()
            problem = error.strerror or str(error)
        else:
            candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return candidate
    raise Unreachable(f"no connection to {host}:{port}: {problem.lower()}")


def _connect(
    candidate: socket.socket, address: object, deadline: float, should_stop: Callable[[], bool], wake: socket.socket
) -> None:
    candidate.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        candidate.connect(address)  # type: ignore[arg-type]  # whatever getaddrinfo gave for this family
    while True:
        wait = deadline - time.monotonic()
        if wait <= 0:
            raise TimeoutError(errno.ETIMEDOUT, "timed out")
        ready = wait_ready([wake], [candidate], wait)
        if should_stop():
            raise InterruptedError(errno.EINTR, "the agent stops")
        if candidate in ready:
            break
        if ready:
            drain(wake)
    failed = candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if failed:
        raise OSError(failed, os.strerror(failed))
    candidate.setblocking(True)


def wait_ready(readers: list[socket.socket], writers: list[socket.socket], seconds: float) -> list[socket.socket]:
    """The sockets that can be read or written now, or have failed; empty after `seconds`.

    By poll, not select: inside OctoPrint a file descriptor may well be above select's 1024.
    """
    poller = select.poll()
    by_number = {}
    for sockets, mask in ((readers, select.POLLIN), (writers, select.POLLOUT)):
        for each in sockets:
            poller.register(each, mask)
            by_number[each.fileno()] = each
    return [by_number[number] for number, _ in poller.poll(max(0.0, seconds) * 1000)]


def drain(wake: socket.socket) -> None:
    """Empties a non-blocking wake-up pipe; its bytes mean nothing but "look again"."""
    with contextlib.suppress(BlockingIOError):
        while len(wake.recv(1024)) == 1024:
            pass


def wrap_tls(raw: socket.socket, host: str, port: int, verify: bool) -> ssl.SSLSocket:
    """The connection inside TLS. Raises TlsRefused where only a person can help, Unreachable where waiting can."""
    try:
        return tls.context(verify).wrap_socket(raw, server_hostname=host)
    except ssl.SSLError as error:
        raise tls.explain(error, f"{host}:{port}") from None
    except OSError as error:
        raise Unreachable(f"no connection to {host}:{port}: {error.strerror or error}") from None
