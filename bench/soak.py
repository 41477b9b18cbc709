"""Whether the agents grow: 20,000 status updates, 2,000 pictures and 200 reconnects, under a clock that runs ahead.

Both agents, at once: the Klipper service, and the OctoPrint plugin with a played OctoPrint (the real one grows by
itself by more than is looked for). The figure is RSS at the end less RSS after a tenth, and must be within 1 MB.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from bench import proc
from bench.fake_moonraker import FakeMoonraker
from bench.report import figure
from tests.fakes.http import LoopbackServer, Peer, Request, reply
from tests.fakes.pictures import jpeg

PICTURES, UPDATES_EACH, RECONNECT_EVERY, PRINT_EVERY = 2000, 10, 10, 100
"""2,000 turns, each with a picture and ten updates; every tenth has a new connection, every hundredth a print."""
FACTOR = 150.0
"""How many times as fast the agents' clock runs: a viewer's picture, at most every 3 s, comes every 20 ms."""
GROWTH_MB = 1.0
FIRST = 0.1
SETTLE_SECONDS = 3.0
KINDS = ("moonraker", "octoprint")
GREETING = (
    '{"remote_status": {"viewing": false, "should_watch": true}, "server": {"name": "reference_server", '
    '"version": "3.0.0", "capabilities": ["event_ack", "command_ack"]}}'
)
_PAUSE = threading.Event()
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True)
class Outcome:
    """`base`, `end`: MB. `late`: pictures that took over two seconds."""

    base: float
    end: float
    statuses: int
    pictures: int
    connections: int
    late: int
    seconds: float

    @property
    def growth(self) -> float:
        return self.end - self.base


@dataclass
class PlayedServer:
    """An Obico server of a few lines: the agent's socket, and a place for its pictures."""

    changed: threading.Condition = field(default_factory=threading.Condition)
    pictures: int = 0
    statuses: int = 0
    connections: int = 0
    peer: Peer | None = None

    def served(self) -> LoopbackServer:
        known = b'{"user": {"is_pro": true}, "printer": {"id": 1, "name": "bench", "is_pro": true}}'
        return LoopbackServer({
            "/ws/dev/": self._socket,
            "/api/v1/octo/pic/": self._picture,
            "/api/v1/octo/printer/": reply(200, known),
            "/api/v1/octo/printer_events/": reply(200, b'{"result": "ok"}'),
            "/api/v1/octo/g_code_files/": reply(201, b'{"id": 1}'),
            "/snapshot": self._camera,
        })  # fmt: skip

    def _camera(self, request: Request, peer: Peer) -> None:
        picture = jpeg(1280, 720, filler=60_000 + 4 * (self.pictures % 500))
        reply(200, picture, {"Content-Type": "image/jpeg"})(request, peer)

    def _picture(self, request: Request, peer: Peer) -> None:
        with self.changed:
            self.pictures += 1
            self.changed.notify_all()
        reply(200, b'{"result": "ok"}')(request, peer)

    def _socket(self, request: Request, peer: Peer) -> None:
        key = request.headers["sec-websocket-key"].encode() + _MAGIC
        accept = base64.b64encode(hashlib.sha1(key).digest()).decode()  # noqa: S324 - RFC 6455
        lines = ("HTTP/1.1 101 S", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}")
        peer.write("".join(f"{line}\r\n" for line in (*lines, "")).encode())
        say(peer, GREETING)
        with self.changed:
            self.connections += 1
            self.peer = peer
            self.changed.notify_all()
        with contextlib.suppress(OSError), peer.sock.makefile("rb") as file:
            while (frame := _read(file)) is not None:
                opcode, data = frame
                if opcode == 9:
                    peer.write(bytes((0x8A, len(data))) + data)
                elif opcode == 1:
                    with self.changed:
                        self.statuses += 1
                        self.changed.notify_all()
                    self._acknowledge(peer, data)
        peer.close()

    def _acknowledge(self, peer: Peer, data: bytes) -> None:
        if b'"event":{' in data:
            ident = data.partition(b'"event":{')[2].partition(b'"id":"')[2].partition(b'"')[0].decode()
            say(peer, f'{{"ack": {{"events": ["{ident}"]}}}}')

    def wait(self, what: Callable[[], bool], seconds: float) -> bool:
        with self.changed:
            return self.changed.wait_for(what, seconds)


def say(peer: Peer, text: str) -> None:
    data = text.encode()
    size = bytes((len(data),)) if len(data) < 126 else b"\x7e" + len(data).to_bytes(2, "big")
    peer.write(b"\x81" + size + data)


def _read(file: IO[bytes]) -> tuple[int, bytes] | None:
    """Opcode and content of a client's frame (RFC 6455 §5.2); None at the end."""
    head = file.read(2)
    if len(head) < 2:
        return None
    size = head[1] & 0x7F
    if size > 125:
        size = int.from_bytes(file.read(2 if size == 126 else 8), "big")
    mask, data = file.read(4), file.read(size)
    opcode = head[0] & 0x0F
    return (opcode, bytes(byte ^ mask[i % 4] for i, byte in enumerate(data)) if size < 20_000 else data)


class Host(Protocol):
    """What the agent gets its updates from."""

    def update(self, number: int) -> None: ...

    def begin(self, number: int) -> None: ...

    def end(self, number: int) -> None: ...


class Klipper:
    def __init__(self, moonraker: FakeMoonraker) -> None:
        self._moonraker = moonraker

    def update(self, number: int) -> None:
        self._moonraker.update(
            virtual_sdcard={"progress": number % 1000 / 1000, "file_position": number},
            extruder={"temperature": 200.0 + number % 10, "target": 200.0},
        )

    def begin(self, number: int) -> None:
        self._moonraker.begin(f"part {number}.gcode", time.time() + number)

    def end(self, number: int) -> None:
        self._moonraker.end("complete", time.time() + number)


class OctoPrint:
    def __init__(self, orders: IO[str]) -> None:
        self._orders = orders

    def _say(self, order: str) -> None:
        self._orders.write(order + "\n")
        self._orders.flush()

    def update(self, number: int) -> None:  # noqa: ARG002 - its figures count by themselves
        self._say("u")

    def begin(self, number: int) -> None:  # noqa: ARG002 - the same
        self._say("b")

    def end(self, number: int) -> None:  # noqa: ARG002 - the same
        self._say("e")


def soak(kind: str, turns: int, settle: float = SETTLE_SECONDS) -> Outcome:
    """One agent's run."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-"))
        played = PlayedServer()
        server = stack.enter_context(played.served())
        moonraker = stack.enter_context(FakeMoonraker()) if kind == "moonraker" else None
        command = [sys.executable, "-m", "bench.soak_child", kind, str(FACTOR), folder, server.url,
                   f"{server.url}/snapshot", str(moonraker.port if moonraker else 0)]  # fmt: skip
        child = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent)
        assert child.stdin is not None
        stack.callback(child.wait, 20)
        stack.callback(child.stdin.close)
        if not played.wait(lambda: played.peer is not None, 30):
            raise SystemExit(f"{kind}: the agent did not come")
        if moonraker is not None and not moonraker.ready.wait(30):
            raise SystemExit(f"{kind}: the agent did not subscribe")
        host: Host = Klipper(moonraker) if moonraker is not None else OctoPrint(child.stdin)
        return _play(host, played, child.pid, turns, settle)


def _play(host: Host, played: PlayedServer, pid: int, turns: int, settle: float) -> Outcome:
    base = 0.0
    missed = 0
    began = time.monotonic()
    for turn in range(turns):
        if turn % PRINT_EVERY == 0:
            if turn:
                host.end(turn)
            host.begin(turn)
        for number in range(UPDATES_EACH):
            host.update(turn * UPDATES_EACH + number)
            _PAUSE.wait(0.003)
        if turn % RECONNECT_EVERY == 0:
            _cut(played)
        missed += not _picture(played)
        if turn + 1 == int(turns * FIRST):
            base = _settled(host, pid, settle)
    end = _settled(host, pid, settle)
    return Outcome(base, end, played.statuses, played.pictures, played.connections, missed, time.monotonic() - began)


def _cut(played: PlayedServer) -> None:
    """Ends the connection, and waits for the next."""
    before, peer = played.connections, played.peer
    if peer is not None:
        peer.close()
    played.wait(lambda: played.connections > before, 15.0)


def _picture(played: PlayedServer) -> bool:
    """A viewer comes, sees one picture, and goes; False if it took over two seconds."""
    before, peer = played.pictures, played.peer
    if peer is None:
        return False
    say(peer, '{"remote_status": {"viewing": true}}')
    came = played.wait(lambda: played.pictures > before, 2.0)
    say(peer, '{"remote_status": {"viewing": false}}')
    return came


def _settled(host: Host, pid: int, seconds: float) -> float:
    """RSS when nothing much happens; updates go on, or the agent takes the silence for a loss."""
    for number in range(int(seconds / 0.05)):
        host.update(number)
        _PAUSE.wait(0.05)
    return min(proc.rss_mb(pid) for _ in range(3))


def run(turns: int = PICTURES) -> None:
    """Both agents at once. Raises SystemExit if one grows."""
    found: dict[str, Outcome] = {}

    def take(kind: str) -> None:
        found[kind] = soak(kind, turns)

    threads = [threading.Thread(target=take, args=(kind,)) for kind in KINDS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for kind, outcome in found.items():
        figure(
            f"{kind}_agent.soak_growth", outcome.growth, "MB", baseline_mb=round(outcome.base, 2),
            end_mb=round(outcome.end, 2), updates=turns * UPDATES_EACH, statuses_sent=outcome.statuses,
            pictures=outcome.pictures, connections=outcome.connections, pictures_late=outcome.late,
            seconds=round(outcome.seconds),
        )  # fmt: skip
    if set(found) != set(KINDS) or any(outcome.growth > GROWTH_MB for outcome in found.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=PICTURES, help="pictures; ten times as many updates")
    run(parser.parse_args().turns)
