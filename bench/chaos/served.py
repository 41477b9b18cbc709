"""The server under test: the whole application, in this process, reached through its ASGI interface."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from collections import deque
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from fastapi import FastAPI
from sqlalchemy import event

from agent_core.errors import Unreachable
from agent_core.ports import HttpRequest, HttpResponse
from bench.chaos.clock import Time, WallClock
from reference_server.app import create_app
from reference_server.config import load_config

Message = MutableMapping[str, Any]

STEP_SECONDS = 30.0
"""Of real time, for one exchange with the server: more means that it hangs."""


class Connection:
    """One agent's WebSocket, as the ASGI server would drive it."""

    def __init__(self, app: FastAPI, token: str) -> None:
        self.out: deque[str | bytes] = deque()
        """Frames that the server has sent."""
        self.accepted = False
        self.closed: int | None = None
        """The code with which the server closed it (1006: it ended without a word)."""
        self._in: asyncio.Queue[Message] = asyncio.Queue()
        self._asked = asyncio.Event()  # the server waits for the next frame
        self._in.put_nowait({"type": "websocket.connect"})
        scope = {
            "type": "websocket", "path": "/ws/dev/", "raw_path": b"/ws/dev/", "query_string": b"", "root_path": "",
            "scheme": "ws", "http_version": "1.1", "subprotocols": [], "asgi": {"version": "3.0"},
            "client": ("127.0.0.1", 1), "server": ("server.test", 80), "state": {},
            "headers": [(b"host", b"server.test"), (b"authorization", f"bearer {token}".encode())],
        }  # fmt: skip
        self.task = asyncio.get_running_loop().create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        if self._in.empty():
            self._asked.set()
        message = await self._in.get()
        self._asked.clear()
        return message

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            self.accepted = True
        elif kind == "websocket.close":
            self.closed = int(message.get("code") or 1000)
        elif kind == "websocket.send":
            self.out.append(message.get("text") or message.get("bytes") or "")

    def put(self, frame: str | bytes) -> None:
        self._in.put_nowait({"type": "websocket.receive", "text" if isinstance(frame, str) else "bytes": frame})

    def hang_up(self) -> None:
        self._in.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def settle(self) -> None:
        """Until the server has done all that the frames so far ask of it."""
        deadline = asyncio.get_running_loop().time() + STEP_SECONDS
        while not self.task.done() and self.closed is None and not (self._asked.is_set() and self._in.empty()):
            asked = asyncio.ensure_future(self._asked.wait())
            await asyncio.wait({asked, self.task}, timeout=STEP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            if asyncio.get_running_loop().time() > deadline:
                raise RuntimeError(f"the server has not taken a frame for {STEP_SECONDS:g} s")
        for _ in range(8):  # the server's sender has a task of its own
            await asyncio.sleep(0)
        if self.task.done() and self.closed is None:
            self.closed = 1006

    async def end(self) -> None:
        """As a killed process ends: without a word."""
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


class Server:
    """`kill` and `start` as often as wanted, on the same data folder."""

    def __init__(self, folder: Path, time: Time) -> None:
        self.clock = WallClock(time)
        self.app: FastAPI | None = None
        self.connections: list[Connection] = []
        self.full = False
        """Its disk: SQLite then refuses to let the database grow."""
        self._config = load_config({"data_dir": str(folder), "port": "0"}, {})
        self._key = ""

    def start(self) -> None:
        self.app = create_app(self._config, now=self.clock.utc, clock=self.clock.monotonic)
        event.listen(self._database()._engine, "checkout", self._limit)

    async def kill(self) -> None:
        """Nothing is said to anybody; what was not committed is gone."""
        if self.app is None:
            return
        context, store = self.app.state.context, self._database()
        self.app = None
        for connection in self.connections:
            await connection.end()
        self.connections.clear()
        context.hub.close()
        # Transactions in other threads: either committed or not, as at a real kill.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=STEP_SECONDS)
        store.close()

    def _database(self) -> Any:
        assert self.app is not None
        return self.app.state.context.accounts._store

    def _limit(self, connection: sqlite3.Connection, _record: Any, _proxy: Any) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0] if self.full else 2**31 - 2
        connection.execute(f"PRAGMA max_page_count={pages}")

    def connect(self, token: str) -> Connection:
        """Raises Unreachable."""
        if self.app is None:
            raise Unreachable("the server is down")
        connection = Connection(self.app, token)
        self.connections.append(connection)
        return connection

    async def request(self, request: HttpRequest) -> HttpResponse:
        """Raises Unreachable."""
        if self.app is None:
            raise Unreachable("the server is down")
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://server.test") as client:
            files = {
                name: (each.filename, each.content, each.content_type)
                for name, each in request.files.items()
                if isinstance(each.content, bytes)  # a simulated agent uploads snapshots only
            }
            answer = await client.request(
                request.method, urlsplit(request.url).path, params=dict(request.query), headers=dict(request.headers),
                data=dict(request.form) if request.form else None, files=files or None, json=request.json,
            )  # fmt: skip
        headers: Mapping[str, str] = {name.lower(): value for name, value in answer.headers.items()}
        return HttpResponse(answer.status_code, headers, answer.content)

    # --- for whoever looks at it as a person ---

    async def link_printer(self) -> tuple[int, str]:
        """A new printer's id and token."""
        assert self.app is not None
        accounts = self.app.state.context.accounts
        if not self._key:
            owner = accounts.create_user("ada", "a long password")
            self._key = accounts.create_api_key(owner, "chaos")[1]
        code = (await self.get("/api/v1/onetimeverificationcodes/"))["code"]
        answer = await self.request(HttpRequest("POST", "/api/v1/octo/verify/", query={"code": code}))
        printer = json.loads(answer.body)["printer"]
        return int(printer["id"]), str(printer["auth_token"])

    async def get(self, path: str, **query: str) -> Any:
        headers = {"Authorization": f"Bearer {self._key}"}
        answer = await self.request(HttpRequest("GET", path, headers=headers, query=query))
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {answer.body[:300]!r}")
        return json.loads(answer.body)
