"""A real server on a free port, inside the test's process, and peers that speak its protocols over real sockets."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from reference_server.app import create_app
from reference_server.cli import MOST_FRAME
from reference_server.realtime.serving import WebServer
from reference_server.realtime.transport import SocketProtocol
from tests.unit.reference_server.described import check_now
from tests.unit.reference_server.support import PASSWORD, USERS, make_config, place_users

PATIENCE = 10.0
"""Seconds until a test gives up waiting."""


class LiveServer:
    def __init__(self, folder: Path, ping: float = 20.0, **options: str) -> None:
        self.config = place_users(make_config(folder, **options))
        self.app = create_app(self.config)
        self._server = WebServer(
            uvicorn.Config(
                self.app, host="127.0.0.1", port=0, log_config=None, access_log=False,
                ws=SocketProtocol, ws_max_size=MOST_FRAME, ws_ping_interval=ping, ws_ping_timeout=ping,
                ws_per_message_deflate=False, timeout_graceful_shutdown=3,
            )
        )  # fmt: skip
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve()

    def call(self, function: Callable[[], Any]) -> Any:
        """`function()` on the server's event loop; what it returns."""

        async def do() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(do(), self._loop).result(PATIENCE)

    def start(self) -> None:
        self._thread.start()
        wait_until(lambda: self._server.started or not self._thread.is_alive())
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.config = replace(self.config, port=port)
        self.base = f"http://127.0.0.1:{port}"
        self.sockets = f"ws://127.0.0.1:{port}"

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive()

    @property
    def hub(self) -> Any:
        return self.app.state.context.hub

    @property
    def transports(self) -> list[asyncio.Transport]:
        """Of the open WebSockets."""
        found = list(self._server.server_state.connections)
        return [each.transport for each in found if isinstance(each, SocketProtocol)]


@contextmanager
def running(folder: Path, ping: float = 20.0, **options: str) -> Iterator[LiveServer]:
    server = LiveServer(folder, ping, **options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def wait_until(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Until the condition holds; fails the test when it never does."""
    pause = threading.Event()
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        pause.wait(0.01)


class Socket:
    """A WebSocket that a test reads frame by frame."""

    def __init__(self, url: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        self._stack = ExitStack()
        opened = connect(
            url, additional_headers=headers or {}, open_timeout=PATIENCE, close_timeout=1, max_size=None, **more
        )
        self.connection: ClientConnection = self._stack.enter_context(opened)

    def send(self, message: Any) -> None:
        self.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    def receive(self, patience: float = PATIENCE) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.connection.recv(patience))
        return found

    def until(self, condition: Callable[[dict[str, Any]], Any], patience: float = PATIENCE) -> dict[str, Any]:
        """The first frame that fits; the ones before are dropped."""
        deadline = time.monotonic() + patience
        while True:
            frame = self.receive(max(0.01, deadline - time.monotonic()))
            if condition(frame):
                return frame

    def closed_with(self) -> int:
        """Read until the server closes; its close code."""
        try:
            while True:
                self.connection.recv(PATIENCE)
        except ConnectionClosed as error:
            return error.rcvd.code if error.rcvd else 1006

    def close(self) -> None:
        self._stack.close()


class Owner:
    """Somebody logged in on a live server, with its sockets."""

    def __init__(self, server: LiveServer, name: str = "ada", *, known: bool = False) -> None:
        self.server, self.name = server, name
        self.http = httpx.Client(base_url=server.base, timeout=PATIENCE, event_hooks={"response": [check_now]})
        if not known and name not in USERS:
            server.app.state.context.accounts.create_user(name, PASSWORD)
        found = self.http.post("/api/v1/auth/login/", json={"name": name, "password": PASSWORD})
        self.http.headers["X-CSRFToken"] = found.json()["csrf_token"]

    @classmethod
    def of(cls, other: Owner) -> Owner:
        """The same person, logged in once more."""
        return cls(other.server, other.name, known=True)

    def link(self) -> dict[str, Any]:
        code = self.http.get("/api/v1/onetimeverificationcodes/").json()["code"]
        found: dict[str, Any] = self.http.post(f"/api/v1/octo/verify/?code={code}").json()["printer"]
        return found

    def agent(self, printer: dict[str, Any], keyword: str = "bearer") -> Socket:
        return Socket(f"{self.server.sockets}/ws/dev/", {"authorization": f"{keyword} {printer['auth_token']}"})

    def viewer(self, path: str) -> Socket:
        cookie = f"tsd_sessionid={self.http.cookies['tsd_sessionid']}"
        return Socket(self.server.sockets + path, {"Cookie": cookie, "Origin": self.server.base})

    def printer(self, printer_id: int) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get(f"/api/v1/printers/{printer_id}/").json()
        return found

    def prints(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http.get("/api/v1/prints/?sorting=date_asc").json()
        return found

    def act(self, printer_id: int, action: str) -> dict[str, Any]:
        found: dict[str, Any] = self.http.post(f"/api/v1/printers/{printer_id}/{action}/").json()
        return found

    def close(self) -> None:
        self.http.close()


def status(ts: float, text: str = "Printing", **more: Any) -> dict[str, Any]:
    """A status as agents send it, cut down to what tests look at."""
    flags = {"operational": True, "printing": text == "Printing", "paused": text == "Paused"}
    return {
        "_ts": ts, "state": {"text": text, "flags": flags, "error": None},
        "job": {"file": {"name": "cube.gcode"}}, "progress": {"completion": 10.0, "printTime": 5}, **more,
    }  # fmt: skip
