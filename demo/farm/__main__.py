"""`python -m demo.farm --printers 10`: simulated printers, each behind a Moonraker of its own on a free port.

The first line on standard output is `ready` and JSON: `control`, the port of the farm itself, and `ports`, those of the
Moonrakers. The farm answers `GET /` with what each printer really did, `POST /N/clear` (somebody takes the part off
printer N's bed), `POST /N/fail?at=0.5` (its next print fails half-way) and `POST /N/eject` (it takes parts off itself).
Ends with SIGTERM or Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import sys
import time

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from demo.farm.moonraker import SimMoonraker
from demo.farm.printer import Refused, SimPrinter

TICK = 0.25
"""Seconds between two looks at what prints; Klipper's own pace of telling."""


class SimFarm:
    """One ASGI application for all ports: which one a client came to says whom it means."""

    def __init__(self, count: int, speed: float, slow: float) -> None:
        self.printers = [SimPrinter(f"Sim-{number:02}") for number in range(1, count + 1)]
        self._moonrakers = [SimMoonraker(printer, speed, slow) for printer in self.printers]
        self._by_port: dict[int, SimMoonraker] = {}
        self.sockets = [_listening() for _ in range(count + 1)]
        self.ports = [sock.getsockname()[1] for sock in self.sockets]
        self._by_port = dict(zip(self.ports[1:], self._moonrakers, strict=True))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        moonraker = self._by_port.get(scope["server"][1])
        if scope["type"] == "websocket":
            websocket = WebSocket(scope, receive, send)
            if moonraker is None:
                await websocket.close()
            else:
                await moonraker.websocket(websocket)
            return
        request = Request(scope, receive, send)
        answer = self._control(request) if moonraker is None else await moonraker.http(request)
        await answer(scope, receive, send)

    def _control(self, request: Request) -> Response:
        if request.url.path == "/":
            return JSONResponse({"now": time.time(), "printers": [printer.truth() for printer in self.printers]})
        number, _, action = request.url.path.strip("/").partition("/")
        if request.method != "POST" or not number.isdecimal() or int(number) >= len(self.printers):
            return JSONResponse({"error": "no such printer"}, 404)
        printer = self.printers[int(number)]
        try:
            if action == "clear":
                printer.clear()
            elif action == "fail":
                printer.fail_at = float(request.query_params.get("at", "0.5"))
            elif action == "eject":
                printer.ejects, printer.part_on_bed = True, printer.job is not None
            else:
                return JSONResponse({"error": "no such action"}, 404)
        except Refused as error:
            return JSONResponse({"error": str(error)}, 409)
        return JSONResponse(printer.truth())

    async def run(self) -> None:
        config = uvicorn.Config(self, lifespan="off", log_level="error", access_log=False, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        ticking = asyncio.create_task(self._tick())
        print("ready", json.dumps({"control": self.ports[0], "ports": self.ports[1:]}), flush=True)
        try:
            await server.serve(sockets=self.sockets)
        finally:
            ticking.cancel()

    async def _tick(self) -> None:
        while True:
            for printer in self.printers:
                printer.advance(time.time())
            await asyncio.sleep(TICK)


def _listening() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    return sock


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 200:
        raise argparse.ArgumentTypeError("1 to 200 printers")
    return count


def _speed(text: str) -> float:
    speed = float(text)
    if not 0.1 <= speed <= 100_000:
        raise argparse.ArgumentTypeError("the speed must be 0.1 to 100000")
    return speed


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 <= seconds <= 60:
        raise argparse.ArgumentTypeError("0 to 60 s")
    return seconds


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m demo.farm", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("--printers", type=_count, default=10, help="how many (default 10)")
    parser.add_argument("--speed", type=_speed, default=60.0, help="times what the slicer estimates (default 60)")
    parser.add_argument("--slow", type=_seconds, default=0.0,
        help="seconds at the most that each host takes to keep a file or to start a print (default 0)")  # fmt: skip
    args = parser.parse_args(argv)
    asyncio.run(SimFarm(args.printers, args.speed, args.slow).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
