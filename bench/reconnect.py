"""How long the Moonraker agent takes to be back, counted from the moment at which the server could be reached again."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from bench.fake_moonraker import FakeMoonraker
from bench.report import figure
from demo.parts import KlipperAgent, installed
from tests.fakes.socket_server import Peer, SocketServer

STABLE_SECONDS = 11.0
"""A link that lived so long counts as stable (agent_core.session.STABLE_SECONDS is 10)."""

ROUNDS = 3
_PAUSE = threading.Event()


def run() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as name, FakeMoonraker() as moonraker:
        agent = KlipperAgent(installed(), Path(name), moonraker.port)
        try:
            with SocketServer() as server:
                agent.prepare(server.url)
                text = agent.config.read_text(encoding="utf-8")
                linked = text.replace("[server]\n", "[server]\nauth_token: 0123456789abcdef0123\n")
                agent.config.write_text(linked, encoding="utf-8")
                agent.start()
                peer = server.peer()
                for kind, lose in (("clean_close", Peer.close), ("abort", Peer.abort)):
                    peer, worst = _worst(server, peer, lose)
                    figure(f"reconnect.{kind}", worst, "s", rounds=ROUNDS)
                port = server.port
                _PAUSE.wait(STABLE_SECONDS)
            for seconds in (10, 60):
                _PAUSE.wait(seconds)
                back = time.monotonic()
                with SocketServer(port=port) as server:
                    server.peer(60.0)
                    figure(f"reconnect.outage_{seconds}s", time.monotonic() - back, "s")
                    _PAUSE.wait(STABLE_SECONDS)
        finally:
            agent.stop()


def _worst(server: SocketServer, peer: Peer, lose: Callable[[Peer], None]) -> tuple[Peer, float]:
    """The newest connection, and the longest of the waits for it."""
    waits = []
    for _ in range(ROUNDS):
        _PAUSE.wait(STABLE_SECONDS)
        begin = time.monotonic()
        lose(peer)
        peer = server.peer(60.0)
        waits.append(time.monotonic() - begin)
    return peer, max(waits)
