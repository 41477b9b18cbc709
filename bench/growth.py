"""Whether the Moonraker agent grows: 1,000 prints, its link cut after every 25th, cameras that misbehave."""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

from bench import proc
from bench.fake_moonraker import FakeMoonraker
from bench.proxy import Proxy
from bench.report import figure
from bench.rig import PASSWORD
from demo.parts import Camera, KlipperAgent, Server, installed
from demo.processes import Trouble, wait_for

PRINTS = 1000
FIRST = 50
"""The baseline is taken after so many, when every cache has seen everything once."""

UPDATES = 4
CUT_EVERY = 25
"""Prints; cut more often, the link is never stable, the agent waits up to 30 s each time, and its outbox fills."""

_PAUSE = threading.Event()

BAD_CAMERAS = ("login", "truncated", "endless", "error")
"""Modes of demo/camera.py."""


def run(prints: int = PRINTS) -> None:
    programs = installed()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, FakeMoonraker() as moonraker:
        folder = Path(name)
        server, camera = Server(programs, folder / "s"), Camera(programs, folder / "c", "bench")
        agent = KlipperAgent(programs, folder / "k", moonraker.port)
        try:
            server.start()
            server.set_up(PASSWORD)
            camera.start()
            with Proxy(("127.0.0.1", server.port)) as proxy:
                agent.prepare(proxy.url)
                _add_cameras(agent.config, camera.url)
                agent.link(proxy.url, server.rest.new_code())
                agent.start()
                _play(moonraker, proxy, agent, server, prints)
        finally:
            for part in (agent, camera, server):
                part.stop()


def _add_cameras(config: Path, url: str) -> None:
    lines = [f"\n[webcam {name}]\nsnapshot_url: {url}/bad/{name}/snapshot\n" for name in BAD_CAMERAS]
    with config.open("a", encoding="utf-8") as file:
        file.writelines([f"\n[webcam good]\nsnapshot_url: {url}/snapshot\nis_primary_camera: true\n", *lines])


def _play(moonraker: FakeMoonraker, proxy: Proxy, agent: KlipperAgent, server: Server, prints: int) -> None:
    baseline = 0.0
    begin = time.monotonic()
    for number in range(1, prints + 1):
        if not moonraker.ready.wait(20):
            raise Trouble("the agent did not subscribe")
        started = 1_700_000_000.0 + number * 100
        moonraker.begin(f"part {number}.gcode", started)
        for step in range(UPDATES):
            moonraker.update(
                virtual_sdcard={"progress": step / UPDATES, "file_position": step * 250},
                extruder={"temperature": 200.0 + step, "target": 200.0},
                print_stats={"total_duration": step * 10.0, "filament_used": step * 5.0},
            )
            _PAUSE.wait(0.03)
        moonraker.end(("complete", "cancelled", "error")[number % 3], started + 50)
        _PAUSE.wait(0.03)
        if number % CUT_EVERY == 0:
            proxy.cut()
        if number == min(FIRST, prints):
            baseline = _settled(agent)
    grown = _settled(agent)
    known = len(server.rest.prints(server.rest.printers()[0]["id"]))
    print_rate = prints / (time.monotonic() - begin)
    figure(
        "moonraker_agent.growth_1000_prints", grown - baseline, "MB", prints=prints, baseline_mb=round(baseline, 2),
        end_mb=round(grown, 2), prints_per_second=round(print_rate, 2), prints_on_server=known,
    )  # fmt: skip


def _settled(agent: KlipperAgent) -> float:
    """RSS once the agent is linked again and has delivered everything."""
    wait_for(lambda: _delivered(agent), 240, "the agent to deliver its events", every=0.5)
    return proc.watch(agent.process.pid, 3.0).rss_mb


def _delivered(agent: KlipperAgent) -> bool:
    link = agent.status()["link"]
    return link["state"] == "connected" and not link.get("queued_events")
