"""Ports of printers' web interfaces: one for each printer, opened when its owner first asks for it, and again at every
start from then on. With a host name of its own for each printer (--tunnel-host) none is needed.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping

from reference_server.config import ServerConfig
from reference_server.tunnel.app import Site

log = logging.getLogger(__name__)

COOKIE = "obico_tunnel"

Serve = Callable[[socket.socket], Awaitable[None]]


class SitePorts:
    """Which printer is where. One event loop."""

    def __init__(self, config: ServerConfig) -> None:
        self._config = config
        self._printers: dict[int, int] = {}  # by port
        self.unusable: set[int] = set()
        """Ports that something else listens on."""
        self._serve: Serve | None = None
        self.ready = asyncio.Event()

    def use(self, serve: Serve) -> None:
        """How a listening socket is served; known when the web server runs."""
        self._serve = serve
        self.ready.set()

    def site(self, server_port: int | None, host: str) -> Site | None:
        """Whose web interface is asked for; None: the server's own pages."""
        printer_id = self._printers.get(server_port or 0)
        if printer_id is not None:
            return Site(printer_id, f"{COOKIE}_{server_port}")
        suffix = self._config.tunnel_host
        name = host.rsplit(":", 1)[0].lower()
        if suffix is None or not name.endswith(f".{suffix}"):
            return None
        label = name[: -len(suffix) - 1].removeprefix("printer")
        # A name below it that is nobody's must not show the server's own pages.
        return Site(int(label) if label.isascii() and label.isdigit() and len(label) < 16 else 0, COOKIE)

    def address(self, base: str, printer_id: int, port: int | None) -> str:
        """Scheme and host of a printer's site, for whoever knows the server as `base`."""
        scheme, _, authority = base.partition("://")
        if self._config.tunnel_host is not None:
            _, colon, own = authority.rpartition(":")
            rest = f":{own}" if colon and own.isdigit() else ""
            return f"{scheme}://printer{printer_id}.{self._config.tunnel_host}{rest}"
        host = authority.rsplit(":", 1)[0] if not authority.endswith("]") else authority
        return f"{scheme}://{host}:{port}"

    async def open(self, printer_id: int, port: int) -> bool:
        """False: something else listens there."""
        if self._printers.get(port) == printer_id:
            return True
        if port in self._printers:
            self._printers[port] = printer_id  # the one before has gone
            return True
        if self._serve is None:
            return False
        try:
            listener = _listen(self._config.host, port)
        except OSError as error:
            log.warning("port %s for printer %s's web interface: %s", port, printer_id, error.strerror or error)
            self.unusable.add(port)
            return False
        self._printers[port] = printer_id
        await self._serve(listener)
        return True

    async def open_known(self, ports: Mapping[int, int]) -> None:
        for printer_id, port in ports.items():
            if port in self._config.tunnel_ports:
                await self.open(printer_id, port)


def _listen(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
