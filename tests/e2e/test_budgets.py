"""What the agents may cost on a printer's machine, idle; `python -m bench agent plugin gcode` takes exact figures."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bench import proc
from bench.fake_moonraker import FakeMoonraker
from bench.soak import PlayedServer
from demo.parts import installed

ROOT = Path(__file__).parents[2]
TOKEN = "cafe0123cafe0123cafe"
SETTLE, SECONDS = 2.0, 4.0

Start = Callable[[list[str]], int]


@pytest.fixture
def started() -> Iterator[Start]:
    """Starts a program that is ended with the test; its process id."""
    with contextlib.ExitStack() as stack:

        def start(command: list[str]) -> int:
            # As the unit has it: one heap for all threads.
            environ = {**os.environ, "MALLOC_ARENA_MAX": "1", "PYTHONDONTWRITEBYTECODE": ""}
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, env=environ
            )  # fmt: skip
            stack.callback(process.wait, 20)
            stack.callback(process.terminate)
            return process.pid

        yield start


@pytest.mark.moonraker
def test_the_klipper_agent_is_small(tmp_path: Path, started: Start) -> None:
    played = PlayedServer()
    with played.served() as server, FakeMoonraker() as moonraker:
        config = tmp_path / "agent.cfg"
        config.write_text(
            f"[server]\nurl: {server.url}\nauth_token: {TOKEN}\n[moonraker]\nport: {moonraker.port}\n"
            f"[agent]\ndata_dir: {tmp_path / 'data'}\n"
        )
        pid = started([*installed().agent, "run", "-c", str(config), "--log-to-stderr"])
        assert moonraker.ready.wait(60)
        assert played.wait(lambda: played.statuses > 0, 60)
        proc.watch(pid, SETTLE)
        cost = proc.watch(pid, SECONDS)
    print(cost)
    assert cost.rss_mb <= 32.0
    assert cost.threads <= 7
    assert cost.cpu_percent < 1.0  # the budget is 0.15; so short a look counts in steps of 0.25


@pytest.mark.octoprint
def test_the_plugin_takes_four_threads_and_no_time(tmp_path: Path, started: Start) -> None:
    played = PlayedServer()
    with played.served() as server:
        more = ["octoprint", "1", str(tmp_path), server.url, f"{server.url}/snapshot", "0"]
        pid = started([sys.executable, "-m", "bench.soak_child", *more])
        assert played.wait(lambda: played.statuses > 0, 60)
        proc.watch(pid, SETTLE)
        cost = proc.watch(pid, SECONDS)
    print(cost)
    assert cost.threads <= 1 + 4
    assert cost.cpu_percent < 1.0


def test_a_large_file_is_indexed_in_time_and_memory() -> None:
    """A twentieth of 500 MB in a twentieth of a minute of the processor's time, for each of three styles."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    code = "import bench.gcode as bench; bench.SIZE //= 20; bench.run()"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert found.returncode == 0, found.stderr
    figures = [json.loads(line) for line in found.stdout.splitlines()]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert len(figures) == 3
    assert all(each["memory_mb"] <= 20 for each in figures), figures
    assert after.ru_utime - before.ru_utime <= 3 * 60 / 20
