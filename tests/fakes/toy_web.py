"""A small web interface, as a printer has one: for whatever a tunnel must carry. Over real sockets, in a thread."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

BLOCK = bytes(range(256)) * 64


def content(size: int) -> bytes:
    return (BLOCK * (size // len(BLOCK) + 1))[:size]


class ToyWeb:
    """`most_at_once`: how many requests to /meet were there at the same moment."""

    def __init__(self) -> None:
        self.most_at_once = 0
        self.handed_out = 0
        """Bytes of /big that were taken from it."""
        self.closed: list[int] = []
        """Codes with which WebSockets were closed by the other side."""
        self._here = 0
        self._expected = 0
        app = Starlette(
            routes=[
                Route("/", self._hello),
                Route("/told", self._told, methods=["GET", "POST", "PUT", "DELETE"]),
                Route("/digest", self._digest, methods=["POST"]),
                Route("/big/{size:int}", self._big),
                Route("/meet/{many:int}", self._meet),
                Route("/cookies", self._cookies),
                Route("/away", self._away),
                Route("/nothing", lambda _: Response(status_code=204)),
                Route("/webcam/", self._hello),
                WebSocketRoute("/socket", self._socket),
                WebSocketRoute("/fast", self._fast),
            ]
        )
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                host="127.0.0.1",
                port=0,
                log_config=None,
                ws="websockets-sansio",
                ws_max_size=2**24,
                lifespan="off",
            )
        )
        self._thread = threading.Thread(target=self._server.run, name="toy-web", daemon=True)

    def __enter__(self) -> ToyWeb:
        self._thread.start()
        pause = threading.Event()
        while not self._server.started:
            assert self._thread.is_alive()
            pause.wait(0.005)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(10)

    async def _hello(self, _: Request) -> Response:
        return PlainTextResponse("hello")

    async def _told(self, request: Request) -> Response:
        body = await request.body()
        return JSONResponse({
            "method": request.method, "path": request.url.path, "query": request.url.query,
            "headers": [[name, value] for name, value in request.headers.items()], "body": len(body),
        })  # fmt: skip

    async def _digest(self, request: Request) -> Response:
        digest, size = hashlib.sha256(), 0
        async for piece in request.stream():
            digest.update(piece)
            size += len(piece)
        return JSONResponse({"sha256": digest.hexdigest(), "size": size})

    async def _big(self, request: Request) -> Response:
        size = request.path_params["size"]

        async def pieces() -> AsyncIterator[bytes]:
            left = size
            while left:
                piece = BLOCK[: min(left, len(BLOCK))]
                left -= len(piece)
                self.handed_out += len(piece)
                yield piece

        return StreamingResponse(pieces(), headers={"content-length": str(size)})

    async def _meet(self, request: Request) -> Response:
        """Answers when so many are here at once."""
        many = request.path_params["many"]
        self._here += 1
        self.most_at_once = max(self.most_at_once, self._here)
        try:
            for _ in range(2000):
                if self.most_at_once >= many:
                    break
                await asyncio.sleep(0.01)
            return PlainTextResponse(str(self.most_at_once))
        finally:
            self._here -= 1

    async def _cookies(self, _: Request) -> Response:
        answer = PlainTextResponse("set")
        answer.set_cookie("one", "1", domain="printer.example", path="/")
        answer.set_cookie("two", "2", httponly=True)
        answer.set_cookie("tsd_sessionid", "stolen")
        return answer

    async def _away(self, request: Request) -> Response:
        return RedirectResponse(f"http://127.0.0.1:{self.port}/told?x=1" if not request.url.query else "/told")

    async def _socket(self, socket: WebSocket) -> None:
        """Echoes; `close 4001` closes with that code; the first word it says is what it was told."""
        wanted = [word.strip() for word in socket.headers.get("sec-websocket-protocol", "").split(",") if word.strip()]
        await socket.accept(subprotocol=wanted[0] if wanted else None)
        await socket.send_json({"host": socket.headers.get("host"), "origin": socket.headers.get("origin")})
        try:
            while True:
                message: dict[str, Any] = dict(await socket.receive())
                if message["type"] == "websocket.disconnect":
                    self.closed.append(message.get("code") or 0)
                    return
                text = message.get("text")
                if text is not None and text.startswith("close "):
                    await socket.close(int(text.split()[1]), "as asked")
                    return
                if text is not None:
                    await socket.send_text(text)
                else:
                    await socket.send_bytes(message["bytes"])
        except (WebSocketDisconnect, RuntimeError):
            return

    async def _fast(self, socket: WebSocket) -> None:
        """Sends without end, as fast as it is taken."""
        await socket.accept()
        try:
            while True:
                await socket.send_bytes(BLOCK)
                self.handed_out += len(BLOCK)
        except (WebSocketDisconnect, RuntimeError):
            return
