"""Memory of the agent's pictures: a thousand prints with good and bad cameras and a server that comes and goes.

    python -m bench.pictures [--prints 1000]

Prints one JSON line a figure. Cameras and server run in a process of their own; the agent's part runs here, with
pictures of usual size (60 kB) and a clock that jumps, so that 33 hours of printing take a minute.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import sys
import time
from pathlib import Path

from agent_core.config import AgentConfig, CameraConfig, PictureRules, Secret
from agent_core.features.snapshots import Snapshots
from agent_core.model import CameraInfo
from agent_core.runtime.worker import Worker
from agent_core.transport.http import HttpClient

WARM_UP = 50
BAD = ("page", "cut", "endless", "error", "stream", "broken")


class JumpingClock:
    """Monotonic seconds that pass when told. Requests have the real clock for their deadlines."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return self.seconds


def rss() -> float:
    """MB of this process in memory."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def figure(name: str, value: float, unit: str) -> None:
    print(json.dumps({"figure": name, "value": round(value, 3), "unit": unit}), flush=True)


def serve(pipe: int) -> None:
    """The other process: cameras of all kinds, and the server's picture endpoint, which fails now and then."""
    from tests.fakes.http import LoopbackServer, Peer, Request, flood, raw, reply
    from tests.fakes.pictures import jpeg, mjpeg_part

    picture = jpeg(1280, 960, filler=60_000)
    taken = 0

    def take(request: Request, peer: Peer) -> None:
        nonlocal taken
        taken += 1
        reply(500 if taken % 50 < 5 else 200, b'{"result": "ok"}')(request, peer)

    stream = b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=f\r\n\r\n"
    paths = {
        "/good": reply(200, picture),
        "/page": reply(200, b"<html>" + bytes(100_000), close=True),
        "/cut": reply(200, picture[:-900]),
        "/endless": flood(b"HTTP/1.1 200 OK\r\n\r\n" + picture[:-2]),
        "/error": reply(500, b"x" * 10_000),
        "/stream": flood(stream, mjpeg_part(picture, "f")),
        "/broken": raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + picture),
        "/api/v1/octo/pic/": take,
    }
    with LoopbackServer(paths) as server:
        os.write(pipe, f"{server.url}\n".encode())
        sys.stdin.buffer.read()  # until the parent ends


def run_print(snapshots: Snapshots, clock: JumpingClock) -> None:
    """One print: two minutes, watched for a while."""
    snapshots.update(printing=True, viewing=True, should_watch=True)
    end = clock.seconds + 120
    while clock.seconds < end:
        wait = snapshots.tick()
        clock.seconds += 1.0 if wait is None else wait
    snapshots.update(printing=False, viewing=False, should_watch=False)


def measure(url: str, prints: int) -> bool:
    clock = JumpingClock()
    http = HttpClient(environ={})
    # The primary camera is a bad one every other time; the others are all bad in their way.
    infos = [CameraConfig(CameraInfo("good", primary=True), snapshot_url=f"{url}/good")]
    infos += [CameraConfig(CameraInfo(kind), snapshot_url=f"{url}/{kind}") for kind in BAD]
    rules = PictureRules(back_off=False, skip_unchanged=False)
    config = AgentConfig(
        "moonraker_obico", "3", url, Secret("t"), "/nonexistent", cameras=tuple(infos), pictures=rules
    )
    snapshots = Snapshots(config, http, clock, lambda *_state: None)
    figure("pictures.rss_before", rss(), "MB")
    after_warm_up = largest = 0.0
    for number in range(prints):
        run_print(snapshots, clock)
        if number + 1 == min(WARM_UP, prints):
            gc.collect()
            after_warm_up = rss()
        if number >= WARM_UP and number % 50 == 0:
            largest = max(largest, rss())
    gc.collect()
    growth = rss() - after_warm_up
    figure("pictures.sent", snapshots.counts.sent, "pictures")
    figure("pictures.camera_failures", snapshots.counts.camera_failures, "pictures")
    figure("pictures.rss_after_50_prints", after_warm_up, "MB")
    figure("pictures.rss_largest", largest, "MB")
    figure(f"pictures.growth_{prints}_prints", growth, "MB")
    http.close()
    return growth < 1.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prints", type=int, default=1000)
    arguments = parser.parse_args()
    read_end, write_end = os.pipe()
    life_read, life_write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read_end)
        os.close(life_write)
        os.dup2(life_read, 0)
        serve(write_end)
        os._exit(0)
    os.close(write_end)
    os.close(life_read)
    with os.fdopen(read_end) as pipe:
        url = pipe.readline().strip()
    logging.disable()  # an unhappy camera every two seconds: not a log to keep
    within: list[bool] = []
    # On a thread, as in the agent: the C library keeps another heap for each.
    worker = Worker("bench")
    try:
        worker.start()
        worker.submit(lambda: within.append(measure(url, arguments.prints)))
        worker.submit(worker.stop)
        worker.join(3600)
        return 0 if within == [True] else 1
    finally:
        os.close(life_write)
        os.waitpid(child, 0)


if __name__ == "__main__":
    sys.exit(main())
