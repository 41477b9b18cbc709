"""The handshake with a server's page in the local network (wire-protocol.md §2.2): for whoever knows the device's id.

It is a route of OctoPrint's Tornado server and not a blueprint: only there is the peer itself to be seen. What Flask is
told has been replaced by X-Forwarded-For or X-Real-IP, whoever sent them. Nothing is read but the head of the request.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import octoprint.plugin
from tornado.web import RequestHandler

from agent_core.features.handshake import PATH, Answer, Caller, plain
from octoprint_obico.wings.base import Wing

_Answer = Callable[[str, Caller, str], Answer]


class Handler(RequestHandler):
    """No session, no cookie, no body; HEAD and OPTIONS as GET."""

    def initialize(self, answer: _Answer) -> None:
        self._answer = answer

    def get(self) -> None:
        headers = {name.lower(): ", ".join(self.request.headers.get_list(name)) for name in self.request.headers}
        answer = self._answer(
            str(self.request.method), Caller(self._peer(), headers), self.get_query_argument("device_id", "")
        )
        self.clear()
        self.set_status(answer.status)
        self.clear_header("Content-Type")
        for name, value in answer.headers:
            self.set_header(name, value)
        self.finish(answer.body)

    head = options = get

    def _peer(self) -> str:
        """The other end of the connection, empty if it is gone by now."""
        with contextlib.suppress(AttributeError, OSError, TypeError, IndexError):
            return str(self.request.connection.stream.socket.getpeername()[0])
        return ""


class Nearby(Wing, octoprint.plugin.StartupPlugin):
    """Answers only while there is a search."""

    own_port: int | None = None

    def on_startup(self, host: str, port: int) -> None:
        self.own_port = port
        super().on_startup(host, port)

    def nearby_hooks(self) -> dict[str, Any]:
        return {"octoprint.server.http.routes": self.nearby_routes}

    def nearby_routes(self, *_: Any, **__: Any) -> list[tuple[str, type, dict[str, Any]]]:
        return [(PATH.rpartition("/")[2], Handler, {"answer": self._handshake})]

    def _handshake(self, method: str, caller: Caller, device_id: str) -> Answer:
        finder = self._finder
        handshake = finder.handshake if finder is not None else None
        return plain(403, "Forbidden") if handshake is None else handshake.answer(method, caller, device_id)

    def _public_port(self) -> int | None:
        """The port by which browsers come here: behind a proxy (OctoPi's haproxy) OctoPrint knows it for its own
        discovery."""
        public = self._settings.global_get_int(["plugins", "discovery", "publicPort"])
        return public if isinstance(public, int) and 0 < public < 65536 else self.own_port
