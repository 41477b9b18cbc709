"""The parts that figures are taken on: real server, real Moonraker with the klippy stand-in, the agent as installed."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.proxy import Proxy
from demo.make_gcode import LAYERS
from demo.make_gcode import write as make_gcode
from demo.parts import Camera, Klipper, KlipperAgent, Programs, Server, installed

PASSWORD = "a password for figures"  # noqa: S105 - a throw-away server on this machine


@dataclass(frozen=True, slots=True)
class KlipperRig:
    server: Server
    proxy: Proxy
    klipper: Klipper
    agent: KlipperAgent
    printer: int


def gcode(folder: Path, name: str, layers: int = LAYERS) -> bytes:
    """One of demo/make_gcode.py's files; more layers print longer."""
    make_gcode(folder, layers)
    return (folder / name).read_bytes()


@contextlib.contextmanager
def klipper_rig(speed: float, programs: Programs | None = None) -> Iterator[KlipperRig]:
    """A linked printer, idle; the agent reaches its server through a proxy that counts and cuts."""
    programs = programs or installed()
    with contextlib.ExitStack() as stack:
        # Short, for unix sockets live in it.
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        server = Server(programs, folder / "s")
        stack.callback(server.stop)
        server.start()
        server.set_up(PASSWORD)
        camera = Camera(programs, folder / "c", "bench")
        stack.callback(camera.stop)
        camera.start()
        klipper = Klipper(programs, folder / "k", speed=speed, camera=camera)
        klipper.prepare()
        stack.callback(klipper.stop)
        klipper.start()
        proxy = stack.enter_context(Proxy(("127.0.0.1", server.port)))
        agent = KlipperAgent(programs, folder / "k", klipper.port)
        agent.prepare(proxy.url)
        agent.link(proxy.url, server.rest.new_code())
        stack.callback(agent.stop)
        agent.start()
        number = server.rest.printers()[0]["id"]
        server.rest.wait_for_printer(
            number, lambda printer: (printer["status"] or {}).get("state", {}).get("text") == "Operational", 30,
            "the printer to be shown as operational",
        )  # fmt: skip
        yield KlipperRig(server, proxy, klipper, agent, number)
