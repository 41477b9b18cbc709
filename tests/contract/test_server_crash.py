"""kill -9 of the server at random moments while an agent reports events and a person changes settings and uploads
files: nothing that was acknowledged is lost, nothing doubled, the database intact, the server back within two seconds.

`OBICO_CRASH_KILLS` sets how often (default 10), `OBICO_CRASH_SEED` the random numbers.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
from websockets.exceptions import WebSocketException

from reference_server.app import make_accounts, open_database
from reference_server.services.linking import Linking
from reference_server.services.throttle import Throttle
from tests.unit.reference_server.live_server import Socket, status, wait_until
from tests.unit.reference_server.support import PASSWORD, make_config

KILLS = int(os.environ.get("OBICO_CRASH_KILLS", "10"))
SEED = int(os.environ.get("OBICO_CRASH_SEED", str(random.randrange(10**6))))
FIRST_TS = int(time.time()) - 2_000_000
KILLER = (
    "import os, sys, threading; threading.Event().wait(float(sys.argv[2])); os.kill(int(sys.argv[1]), 9)"
)
STORY = ("PrintStarted", "PrintPaused", "PrintResumed", "FilamentChange")


class Program:
    """The server as its own process, on one data folder and a port that it keeps."""

    def __init__(self, folder: Path, *more: str) -> None:
        self.folder, self.port, self.more = folder, 0, more
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "reference_server", "--data-dir", str(self.folder), "--port", str(self.port),
             "--log-level", "error", *self.more],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith("The server is at "), line
        self.port = int(line.rsplit(":", 1)[1])

    def end(self, how: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        code = self.process.wait(20)
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process = None
        return code


class Outbox:
    """An agent's memory: events in order, each kept until it is acknowledged (extensions.md)."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.pending: list[dict[str, Any]] = []
        self.ends: dict[int, str] = {}  # what really happened, by ts
        self.made = 0
        self._steps: list[str] = []
        self.ts = FIRST_TS

    def happen(self) -> dict[str, Any]:
        """The printer does the next thing of a print."""
        if not self._steps:
            self.ts += 1000
            last = self._rng.choice([["PrintDone"], ["PrintCancelled", "PrintFailed"], ["PrintFailed"]])
            self._steps = [*STORY[: self._rng.randint(1, len(STORY))], *last]
            self.ends[self.ts] = {"PrintDone": "done", "PrintCancelled": "cancelled", "PrintFailed": "error"}[last[0]]
        self.made += 1
        at = self.ts + self.made % 900
        frame = {
            "current_print_ts": self.ts,
            "status": status(at),
            "event": {"event_type": self._steps.pop(0), "id": f"event-{self.made}", "at": at,
                      "data": {"name": f"{self.ts}.gcode"}},
        }  # fmt: skip
        self.pending.append(frame)
        return frame

    @property
    def between_prints(self) -> bool:
        return not self._steps

    def take(self, frame: dict[str, Any]) -> None:
        acked = frame.get("ack", {}).get("events", [])
        self.pending = [entry for entry in self.pending if entry["event"]["id"] not in acked]


class Person:
    """Somebody with an API key who changes settings and uploads files, and remembers what the server has confirmed."""

    def __init__(self, key: str) -> None:
        self._headers = {"Authorization": f"Bearer {key}"}
        self.tried, self.kept = 0, 0
        """Numbers of the last setting that was sent, and of the last one that was confirmed."""
        self.files: dict[str, str] = {}  # name -> content, confirmed
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, port: int) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._work, args=(port,))
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(30)
            assert not self._thread.is_alive()

    def _work(self, port: int) -> None:
        base = f"http://127.0.0.1:{port}"
        with contextlib.suppress(httpx.TransportError), httpx.Client(base_url=base, headers=self._headers) as http:
            while not self._stop.is_set():
                self.tried += 1
                number = self.tried
                sent = http.patch("/api/v1/printers/1/", json={"name": f"printer {number}"})
                assert sent.status_code == 200, sent.text
                self.kept = number
                if number % 3 == 0:
                    name, content = f"f{number}.gcode", f"; file {number}\nG28\n"
                    made = http.post("/api/v1/g_code_files/", files={"file": (name, content)})
                    assert made.status_code == 201, made.text
                    self.files[name] = content

    def check(self, database: sqlite3.Connection, folder: Path) -> None:
        """Every confirmed thing is there; of the unconfirmed ones at most the last that was sent."""
        (name,) = database.execute("SELECT name FROM printers WHERE id = 1").fetchone()
        assert self.kept <= int(name.split()[1]) <= self.tried
        stored = [
            path.read_text() for path in folder.rglob("*")
            if path.is_file() and path.suffix not in {".sqlite3", ".jpg"} and path.stat().st_size < 1000
            and path.name not in {"secret.key", "server.lock"}
        ]  # fmt: skip
        names = {row[0] for row in database.execute("SELECT filename FROM g_code_files")}
        assert self.files.keys() <= names
        assert set(self.files.values()) <= set(stored)


def link(folder: Path) -> tuple[str, str]:
    """A printer of a first user; its token, and an API key."""
    from reference_server.services.clock import utc_now
    from reference_server.services.secrets import system_random

    database = open_database(make_config(folder).database)
    user = make_accounts(database).create_user("ada", PASSWORD)
    free = Throttle(100, 1, time.monotonic)
    linking = Linking(database, utc_now, system_random, free, free)
    token = linking.verify(linking.code(user, None).code, "test").record.printer.auth_token
    key = make_accounts(database).create_api_key(user, "test")[1]
    database.close()
    return token, key


def session(program: Program, token: str, outbox: Outbox, seconds: float) -> None:
    """Be an agent for that long: what is unacknowledged first, then new events, reading acks when it likes."""
    deadline = time.monotonic() + seconds
    with contextlib.closing(
        Socket(f"ws://127.0.0.1:{program.port}/ws/dev/", {"authorization": f"bearer {token}"})
    ) as agent:
        for frame in list(outbox.pending):
            agent.send(frame)
        while time.monotonic() < deadline:
            if len(outbox.pending) < 30:
                agent.send(outbox.happen())
            with contextlib.suppress(TimeoutError):
                outbox.take(json.loads(agent.connection.recv(0.002)))


def finish(program: Program, token: str, outbox: Outbox) -> None:
    """Let the printer end its print, and the server hear all of it."""
    while not outbox.between_prints:
        outbox.happen()
    with contextlib.closing(
        Socket(f"ws://127.0.0.1:{program.port}/ws/dev/", {"authorization": f"bearer {token}"})
    ) as agent:
        for frame in list(outbox.pending):
            agent.send(frame)

        def all_acknowledged() -> bool:
            outbox.take(agent.receive())
            return not outbox.pending

        if outbox.pending:
            wait_until(all_acknowledged)
        agent.send({"current_print_ts": -1, "status": status(time.time(), "Operational")})


def test_a_stop_under_load_loses_nothing_and_tells_nobody_that_it_did(tmp_path: Path) -> None:
    """SIGTERM while an agent and a person are at it: what was confirmed is there; the program ends in time, with 0."""
    token, key = link(tmp_path)
    program, outbox, person = Program(tmp_path), Outbox(random.Random(SEED)), Person(key)
    for _ in range(3):
        program.start()
        person.begin(program.port)
        seconds = random.Random(SEED).uniform(0.5, 1.0)
        assert program.process is not None
        stopper = threading.Timer(seconds, program.process.terminate)
        stopper.start()
        with contextlib.suppress(WebSocketException, OSError, EOFError):
            session(program, token, outbox, 5)
        began = time.monotonic()
        assert program.end(signal.SIGTERM) == 0
        assert time.monotonic() - began < 10
        stopper.join()
        person.end()
    program.start()
    finish(program, token, outbox)
    assert program.end(signal.SIGTERM) == 0
    with contextlib.closing(sqlite3.connect(make_config(tmp_path).database)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert dict(database.execute("SELECT ext_id, ended_reason FROM prints").fetchall()) == outbox.ends
        person.check(database, tmp_path)
    assert person.kept > 0


def test_kill_minus_nine_loses_and_doubles_nothing(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    print(f"OBICO_CRASH_SEED={SEED} OBICO_CRASH_KILLS={KILLS}")
    token, key = link(tmp_path)
    program, outbox, person = Program(tmp_path), Outbox(rng), Person(key)
    starts: list[float] = []
    for _ in range(KILLS):
        began = time.monotonic()
        program.start()
        starts.append(time.monotonic() - began)
        killer = rng.uniform(0.0, 0.6)
        # From another process, so that the kill comes at any point of the conversation.
        assert program.process is not None
        delayed = subprocess.Popen(
            [sys.executable, "-c", KILLER, str(program.process.pid), str(killer)]
        )
        person.begin(program.port)
        with contextlib.suppress(WebSocketException, OSError, EOFError):
            session(program, token, outbox, 5)
        person.end()
        delayed.wait(20)
        assert program.process.wait(20) == -9
        if program.process.stdout is not None:
            program.process.stdout.close()
    program.start()
    finish(program, token, outbox)
    assert program.end(signal.SIGTERM) == 0

    database = sqlite3.connect(make_config(tmp_path).database)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    stored = dict(database.execute("SELECT ext_id, ended_reason FROM prints").fetchall())
    assert stored == outbox.ends
    assert database.execute("SELECT count(*) FROM prints").fetchone() == (len(outbox.ends),)
    for kind in ("STARTED", "ENDED"):
        counted = database.execute(
            "SELECT count(*), count(DISTINCT print_id) FROM printer_events WHERE event_type = ?", (kind,)
        ).fetchone()
        assert counted == (len(outbox.ends), len(outbox.ends)), kind
    doubled = database.execute(
        "SELECT print_id, event_type FROM printer_events GROUP BY print_id, event_type HAVING count(*) > 1"
    ).fetchall()
    assert doubled == []
    applied = database.execute("SELECT count(*) FROM applied_events").fetchone()[0]
    assert applied == min(outbox.made, 4096)
    # Each event that somebody may want to hear of has one notice, written with it.
    told = database.execute(
        "SELECT e.id, count(n.id) FROM printer_events e LEFT JOIN notices n ON n.event_id = e.id"
        " WHERE e.event_type IN ('STARTED', 'ENDED') GROUP BY e.id HAVING count(n.id) != 1"
    ).fetchall()
    assert told == []
    person.check(database, tmp_path)
    database.close()
    assert outbox.made > KILLS
    assert person.kept > 0
    assert statistics.median(starts) <= 2.0
    print(
        f"kills={KILLS} events={outbox.made} prints={len(outbox.ends)} settings={person.kept} "
        f"files={len(person.files)} median_start={statistics.median(starts):.2f}s slowest_start={max(starts):.2f}s"
    )
