"""`make fuzz`: random and mutated input on everything that foreign bytes reach.

    python -m bench.fuzz [--frames 200000] [--seed 1] [TARGET…]

No crash, no input that takes over a second, no memory that grows with their number: else the exit status is 1. Prints
one JSON line a figure. The same seed gives the same input.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import faulthandler
import gc
import gzip
import json
import logging
import os
import random
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from agent_core.commands import CommandRunner
from agent_core.config import AgentConfig, Secret
from agent_core.database import Database
from agent_core.errors import CameraFault, Rejected
from agent_core.features.handshake import PATH, Handshake
from agent_core.features.handshake_server import HandshakeServer
from agent_core.features.jpeg import inspect
from agent_core.features.printer_events import Delivery, Note, Outcome
from agent_core.gcode.index import GCodeIndex, GCodeIndexer
from agent_core.model import HostEvent, Phase, PrinterReport, PrinterReported
from agent_core.pause import PauseSettings
from agent_core.ports import HttpRequest, HttpResponse, Interrupt
from agent_core.runtime.core import Core
from agent_core.runtime.crew import Crew
from agent_core.runtime.tunnels import LateTunnel
from agent_core.runtime.worker import Task
from agent_core.transport.websocket import Closed, FrameRead, Opened
from agent_core.wire import bson
from bench.proc import rss_mb
from bench.report import figure
from moonraker_obico.calls import KlipperCalls
from moonraker_obico.connection import Connection
from moonraker_obico.moonraker_socket import Address, Lost
from moonraker_obico.translate import Translator

DATA = Path(__file__).parent.parent / "tests" / "data" / "recordings"
FRAMES = 200_000
"""Of all targets together."""

SLOWEST_SECONDS = 1.0
GROWTH_MB = 8.0
"""Of RSS from a tenth of the way to the end: caches fill, and the allocator keeps what it had."""

HANG_SECONDS = 60.0
"""An input that takes so long ends the run, with where it hangs."""

SEEDS_KEPT, SEED_BYTES = 300, 32 * 1024
_WORDS: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, -0.0, 1e308, 1e-320, "", "x", "\x00", "\ud800", "a" * 5000, [],
    {}, [[]], {"": {}}, "NaN", "../../etc/passwd", "%s%n{}", [None] * 50, "ready", "printing", "paused", "error",
)  # fmt: skip

Feed = Callable[[bytes], None]
"""Takes one input; whatever it raises is a fault."""


# --- the input --------------------------------------------------------------------------------------------------------


class Mutator:
    """Inputs out of seeds: bytes that are changed, cut, doubled and joined; JSON whose values are exchanged."""

    def __init__(self, seeds: list[bytes], chance: random.Random) -> None:
        self._seeds = seeds
        self._chance = chance
        self._trees: dict[int, Any] = {}

    def next(self) -> bytes:
        chance = self._chance
        kind = chance.random()
        if kind < 0.05:
            return chance.randbytes(chance.choice((0, 1, 7, 64, 1000, 20_000)))
        if kind < 0.07:
            return chance.choice((b"[", b'{"a":', b"\x00", b"\xff\xd8\xff", b"9", b'"', b"G1 X1 ", b";")) * 5000
        seed = chance.randrange(len(self._seeds))
        if kind < 0.6 and (tree := self._tree(seed)) is not None:
            return self._changed(tree)
        data = bytearray(self._seeds[seed])
        for _ in range(chance.choice((1, 1, 1, 2, 5, 30))):
            self._mutate(data)
        return bytes(data)

    def _mutate(self, data: bytearray) -> None:
        chance = self._chance
        at, end = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
        kind = chance.randrange(7)
        if kind == 0 and data:
            data[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
        elif kind == 1:
            del data[at : min(end, at + 200)]
        elif kind == 2:
            data[at:at] = chance.randbytes(chance.randrange(1, 9))
        elif kind == 3:
            data[at:at] = data[at:end][:2000]
        elif kind == 4:
            del data[at:]
        elif kind == 5:
            data[at:] = chance.choice(self._seeds)[:SEED_BYTES]
        else:
            data[at:at] = chance.choice((b"\xff\xff\xff\xff", bytes(4), b"-1", b"1e999", b"\r\n", b"\xff\xd9"))
        del data[SEED_BYTES * 2 :]

    def _tree(self, seed: int) -> Any:
        """The seed as JSON, None if it is none."""
        if seed not in self._trees:
            try:
                self._trees[seed] = json.loads(self._seeds[seed])
            except ValueError:
                self._trees[seed] = None
        return self._trees[seed]

    def _changed(self, tree: Any) -> bytes:
        changed = json.loads(json.dumps(tree))
        for _ in range(self._chance.choice((1, 1, 2, 4))):
            self._exchange(changed)
        return json.dumps(changed).encode()

    def _exchange(self, node: Any) -> None:
        """One value somewhere below becomes another, or goes."""
        chance = self._chance
        while isinstance(node, dict | list) and node:
            keys = list(node) if isinstance(node, dict) else range(len(node))
            key = chance.choice(keys)
            below = node[key]
            if not isinstance(below, dict | list) or not below or chance.random() < 0.25:
                if chance.random() < 0.15:
                    del node[key]
                else:
                    node[key] = copy.deepcopy(chance.choice(_WORDS))
                return
            node = below


def recorded(pattern: str, wanted: Callable[[dict[str, Any]], bool]) -> list[bytes]:
    """Frames of the recordings that were taken from real programs."""
    found: dict[bytes, None] = {}
    for path in sorted(DATA.glob(pattern)):
        content = path.read_bytes()
        for line in (gzip.decompress(content) if path.suffix == ".gz" else content).splitlines():
            entry = json.loads(line)
            if wanted(entry) and isinstance(entry.get("frame"), dict):
                coded = json.dumps(entry["frame"]).encode()
                if len(coded) < SEED_BYTES:
                    found[coded] = None
    step = max(1, len(found) // SEEDS_KEPT)
    return list(found)[::step]


# --- the targets ------------------------------------------------------------------------------------------------------


class _Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return 1_795_000_000.0 + self.time

    def monotonic(self) -> float:
        return self.time


class _Link:
    """A server that takes everything and answers nothing."""

    def connect(self) -> None: ...

    def close(self) -> None: ...

    def ping(self) -> None: ...

    def send(self, frame: str | bytes) -> None: ...


class _Courier:
    def submit(self, task: Task) -> bool:
        task()
        return True

    def shoot(self, ident: str) -> None: ...

    def make_room(self) -> None: ...

    def deliver(self, note: Note) -> Delivery:  # noqa: ARG002 - the Protocol's
        return Delivery(Outcome.DELIVERED)


class _Printer:
    def check(self, command: str) -> None:
        if command not in {"pause", "resume", "cancel"}:
            raise Rejected("no such command")

    def pause(self, settings: PauseSettings, interrupt: Interrupt) -> str:  # noqa: ARG002 - the Protocol's
        return "paused"

    def resume(self, interrupt: Interrupt) -> str:  # noqa: ARG002 - the same
        return "resumed"

    def cancel(self, interrupt: Interrupt) -> str:  # noqa: ARG002 - the same
        return "cancelled"


class _NoHttp:
    def send(self, request: HttpRequest) -> HttpResponse:
        raise AssertionError(request)

    def close(self) -> None: ...


@contextlib.contextmanager
def agent_socket() -> Iterator[tuple[Feed, list[bytes]]]:
    """What a server says to an agent: codec, session, core, commands, calls, tunnel."""
    seeds = recorded("obico/*.jsonl*", lambda entry: entry.get("dir") == "server->agent" and entry.get("via") == "ws")
    seeds += [
        json.dumps(frame).encode()
        for frame in (
            {"remote_status": {"viewing": True, "should_watch": True}, "server": {
                "name": "reference_server", "version": "3", "capabilities": ["event_ack", "command_ack", "tunnel"]}},
            {"commands": [{"cmd": "pause", "args": {"retract": 6.5, "lift_z": 2.5, "tools_off": True}, "id": "1"}]},
            {"commands": [{"cmd": "cancel", "args": {}, "initiator": "web", "id": "2"}]},
            {"ack": {"events": ["a", "b"]}},
            {"passthru": {"target": "_printer", "func": "jog", "args": [{"x": 1}], "kwargs": {}, "ref": "0.7"}},
            {"passthru": {"target": "gcode_hooks", "func": "toggle_terminal_feed", "args": ["on"], "ref": "0.8"}},
        )
    ]  # fmt: skip
    request = {"ref": "r", "method": "get", "headers": {"a": "b"}, "path": "/", "data": b"x"}
    seeds.append(bson.encode({"http.tunnelv2": request}))
    seeds.append(bson.encode({"ws.tunnel": {"ref": "r", "data": b"\x01", "path": "/s", "type": "tunnel_message"}}))
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, contextlib.closing(Database(folder)) as database:
        clock = _Clock()
        config = AgentConfig("moonraker_obico", "3", "http://h:1", Secret("t0ken"), folder)
        core = Core(
            config, database, clock, _Link(),  # type: ignore[arg-type]  # as much of a Link as it needs
            uniform=lambda: 1.0, on_link_change=lambda _state: None, on_pictures=lambda _p, _v, _w: None,
            on_boost=lambda: None, on_greeting=lambda _capabilities: None,
            register_file=lambda _ts, _job: None, courier=_Courier(), passthru={},
            crew=Crew("call"), tunnel=LateTunnel(None, tuple, lambda _frame, _done: None),
        )  # fmt: skip

        def at_once(task: Task) -> bool:
            task()
            return True

        core.commands = CommandRunner(_Printer(), at_once, core.tell, core.on_command_begin, core.on_command_end)
        core.post(PrinterReported(PrinterReport(phase=Phase.PRINTING), 1.0))

        def feed(data: bytes) -> None:
            frame: str | bytes = data
            with contextlib.suppress(UnicodeDecodeError):
                frame = data.decode("utf-8")  # as the WebSocket's opcode would tell them apart
            if not core._session.open:
                core.on_link_event(Closed(1006, "again"))
                core.on_link_event(Opened())
            core.on_link_event(FrameRead(frame))
            clock.time += 0.2
            core._turn()

        yield feed, seeds


@contextlib.contextmanager
def moonraker_socket() -> Iterator[tuple[Feed, list[bytes]]]:
    """What Moonraker says: JSON-RPC, the connection's state, translation of a print."""
    seeds = recorded("moonraker/*.jsonl*", lambda entry: entry.get("dir") == "recv" and entry.get("via") == "ws")
    clock = _Clock()
    calls = KlipperCalls(clock)
    translator = Translator()
    posted: list[HostEvent] = []
    connection = Connection(
        Address("127.0.0.1", 7125), translator, calls, post=posted.append, on_host_fact=lambda _name, _value: None,
        http=_NoHttp(), clock=clock, version="1",
    )  # fmt: skip
    answered: list[int] = []

    def write(frame: str) -> None:
        answered.append(json.loads(frame)["id"])

    def feed(data: bytes) -> None:
        posted.clear()
        if not calls.open:
            calls.opened(write)
            connection._ask("server.info", None, connection._told_info)
        # Half of the answers are to what was really asked.
        if answered and data.startswith(b'{"jsonrpc"') and b'"result"' in data[:40000]:
            with contextlib.suppress(ValueError, TypeError, RecursionError):
                data = json.dumps({**json.loads(data), "id": answered.pop(0)}).encode()
        del answered[:-64]
        clock.time += 0.5
        try:
            connection._frame(1, data)
            connection._timers()
        except Lost:
            calls.closed()

    yield feed, seeds


@contextlib.contextmanager
def handshake() -> Iterator[tuple[Feed, list[bytes]]]:
    """The port that a browser asks while a printer waits to be linked; every 200th through a real socket."""
    ident = "9f" * 16
    seeds = [
        f"GET {PATH}?device_id={ident} HTTP/1.1\r\nHost: 192.168.1.5\r\nAccept: application/json\r\n\r\n".encode(),
        f"OPTIONS {PATH} HTTP/1.1\r\nOrigin: https://app.obico.io\r\nX-Forwarded-For: 1.2.3.4, ::1\r\n\r\n".encode(),
        f'HEAD {PATH}?device_id={ident}&device_id=&%ff HTTP/1.0\r\nForwarded: for="[::1]:80"\r\n\r\n'.encode(),
        b"POST /shutdown HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        b"GET http://[::1/ HTTP/1.1\r\nHost: x\r\n\r\n",
    ]
    clock = _Clock()
    rules = Handshake(ident, "ab" * 32, 1e12, clock.monotonic, lambda: "nonce")
    server = HandshakeServer(rules, lambda: None, port=0, host="127.0.0.1")
    server.start()
    count = 0

    def feed(data: bytes) -> None:
        nonlocal count
        count += 1
        clock.time += 30.0
        answer = server._answer(data.partition(b"\r\n\r\n")[0].decode("latin-1"), "127.0.0.1")
        if not 200 <= answer.status < 500:
            raise AssertionError(answer)
        if count % 200 == 0:
            with socket.create_connection(("127.0.0.1", server.port), 5) as client:
                client.settimeout(SLOWEST_SECONDS)
                with contextlib.suppress(ConnectionError):
                    client.sendall(data[:5000])
                    client.shutdown(socket.SHUT_WR)
                    while client.recv(65536):
                        pass

    try:
        yield feed, seeds
    finally:
        server.stop()
        server.worker.join(5)
        server.dispose()


@contextlib.contextmanager
def jpeg() -> Iterator[tuple[Feed, list[bytes]]]:
    """A camera's picture, as far as we read it."""
    from tests.fakes.pictures import jpeg as drawn
    from tests.fakes.pictures import segment

    seeds = [drawn(), drawn(1920, 1080, frame=0xC2), drawn(before=segment(0xE1, b"Exif\0\0" + b"\xff\xd9" * 40) * 3),
             drawn(filler=4000), b"\xff\xd8" + b"\xff" * 300 + drawn()[2:]]  # fmt: skip

    def feed(data: bytes) -> None:
        try:
            size = inspect(data)
        except CameraFault as fault:
            if not str(fault).isprintable():
                raise AssertionError(repr(str(fault))) from fault
        else:
            if not (0 < size.width < 65536 and 0 < size.height < 65536):
                raise AssertionError(size)

    yield feed, seeds


@contextlib.contextmanager
def gcode() -> Iterator[tuple[Feed, list[bytes]]]:
    """A file to be printed, and an index of one that was kept on disk."""
    files = [path.read_bytes()[: SEED_BYTES // 2] for path in sorted((DATA / "moonraker" / "gcode").glob("*.gcode"))]
    seeds = [
        *files,
        b";LAYER_CHANGE\n;Z:0.2\nM73 P1 R20\nG1 X1 Y1 E1\nG92 E0\nM83\nG1 Z0.4 E.5\n" * 20,
        b";LAYER:0\n;TIME_ELAPSED:12.5\nG0 Z.2\nG1 X5 E1\n;LAYER:1\nG0 Z.4\nG1 X0 E2\n" * 20,
    ]
    maker = GCodeIndexer()
    maker.feed(seeds[-1])
    seeds.append(maker.finish().to_bytes())

    def feed(data: bytes) -> None:
        indexer = GCodeIndexer()
        for begin in range(0, len(data), 4096):
            indexer.feed(data[begin : begin + 4096])
        index = indexer.finish()
        kept = GCodeIndex.from_bytes(index.to_bytes())
        damaged = GCodeIndex.from_bytes(data)
        for each in (index, kept, damaged):
            if each is not None:
                for position in (-1, 0, len(data) // 2, len(data), 2**70):
                    each.at(position)

    yield feed, seeds


TARGETS: dict[str, Callable[[], contextlib.AbstractContextManager[tuple[Feed, list[bytes]]]]] = {
    "agent_socket": agent_socket, "moonraker_socket": moonraker_socket, "handshake": handshake, "jpeg": jpeg,
    "gcode": gcode,
}  # fmt: skip


# --- the run ----------------------------------------------------------------------------------------------------------


class Fault(Exception):
    """An input that was not borne, with what it was."""


def fuzz(name: str, frames: int, seed: int) -> dict[str, float]:
    """Figures of one target. Raises Fault."""
    slowest = base = 0.0
    with TARGETS[name]() as (feed, seeds):
        mutator = Mutator(seeds, random.Random(f"{seed} {name}"))
        began = time.perf_counter()
        for number in range(frames):
            if number % 500 == 0:
                faulthandler.dump_traceback_later(HANG_SECONDS, exit=True)
            data = mutator.next()
            at = time.perf_counter()
            try:
                feed(data)
            except Exception as error:
                raise Fault(f"{name}, frame {number} of seed {seed}: {error!r} by {data[:300]!r}") from error
            took = time.perf_counter() - at
            slowest = max(slowest, took)
            if took > SLOWEST_SECONDS:
                raise Fault(f"{name}, frame {number} of seed {seed}: {took:.1f} s by {data[:300]!r}")
            if number == frames // 10:
                gc.collect()
                base = _rss()
        faulthandler.cancel_dump_traceback_later()
        gc.collect()
        return {"slowest": slowest, "growth": _rss() - base, "seconds": time.perf_counter() - began}


def _rss() -> float:
    return rss_mb(os.getpid())


def run() -> None:
    """As a group of `python -m bench`. Raises SystemExit on a fault."""
    if not take(FRAMES, 1, list(TARGETS)):
        raise SystemExit(1)


def take(frames: int, seed: int, wanted: list[str]) -> bool:
    """Prints the figures; whether all was borne."""
    logging.disable()  # rubbish is logged, as it should be; not here
    well = True
    for name in wanted:
        count = frames // len(wanted)
        try:
            found = fuzz(name, count, seed)
        except Fault as fault:
            print(fault, file=sys.stderr)
            well = False
            continue
        finally:
            faulthandler.cancel_dump_traceback_later()
        figure(f"fuzz.{name}.slowest", found["slowest"] * 1000, "ms", frames=count, seconds=round(found["seconds"], 1))
        figure(f"fuzz.{name}.growth", found["growth"], "MB", frames=count)
        if found["growth"] > GROWTH_MB:
            print(f"{name}: memory grew by {found['growth']:.1f} MB", file=sys.stderr)
            well = False
    return well


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=FRAMES, help="of all targets together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("target", nargs="*", choices=[*TARGETS, []], help="which (default: all)")
    options = parser.parse_args()
    return 0 if take(options.frames, options.seed, options.target or list(TARGETS)) else 1


if __name__ == "__main__":
    sys.exit(main())
