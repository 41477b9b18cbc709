"""Done-when 9: backup while the server works -> restore on another machine's empty folder -> the same answers.

Byte for byte, but for the times of the live state and the signatures of addresses that end by the hour.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from reference_server.store.migrate import HEAD
from tests.contract.test_server_program import program
from tests.unit.reference_server.live_server import PATIENCE, Socket, status, wait_until
from tests.unit.reference_server.support import PASSWORD, jpeg

PUBLIC = "http://printers.test"
NOW = int(time.time())


def command(*arguments: str, home: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "reference_server", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(home)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if check:
        assert done.returncode == 0, done.stderr
    return done


@contextmanager
def server(home: Path, data: Path) -> Iterator[tuple[str, str | None]]:
    """Base address, and the set-up token where there is nobody yet. (The public address is said in no line twice.)"""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    free = subprocess.run(
        [sys.executable, "-c", "import socket; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1])"],
        capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "reference_server", "--data-dir", str(data), "--port", free, "--public-url", PUBLIC],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    base = f"http://127.0.0.1:{free}"
    try:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == f"The server is at {PUBLIC}"
        wait_until(lambda: _answers(base))
        token = None
        if httpx.get(f"{base}/api/v1/auth/state/").json()["setup_needed"]:
            assert "once" in process.stdout.readline()
            token = process.stdout.readline().strip().split("#")[1]
        yield base, token
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()


def _answers(base: str) -> bool:
    try:
        return httpx.get(f"{base}/healthz").status_code == 200
    except httpx.TransportError:
        return False


def fill(base: str, http: httpx.Client, printer: dict[str, Any]) -> None:
    """Prints, events with pictures, settings, a key, a file."""
    agent = Socket(f"{base.replace('http', 'ws')}/ws/dev/", {"authorization": f"bearer {printer['auth_token']}"})
    for number, last in enumerate(("PrintDone", "PrintCancelled", "PrintFailed")):
        ts = NOW - 9000 + 1000 * number
        for step, kind in enumerate(("PrintStarted", "PrintPaused", "PrintResumed", last)):
            at = ts + 10 * step
            agent.send({
                "current_print_ts": ts, "status": status(at),
                "event": {"event_type": kind, "id": f"{ts}-{step}", "at": at, "data": {"name": f"{number}.gcode"}},
            })  # fmt: skip
    agent.send({"current_print_ts": -1, "status": status(time.time(), "Operational")})
    wait_until(lambda: [job["ended_at"] is not None for job in http.get("/api/v1/prints/").json()] == [True] * 3)
    agent.close()
    wait_until(lambda: http.get("/api/v1/printers/1/").json()["agent_connected"] is False)
    headers = {"Authorization": f"Token {printer['auth_token']}"}
    with httpx.Client(base_url=base, headers=headers, timeout=PATIENCE) as as_agent:
        assert as_agent.post("/api/v1/octo/pic/", files={"pic": ("a.jpg", jpeg(640, 480))}).status_code == 200
        told = {"event_type": "PRINTER_ERROR", "event_class": "ERROR", "event_title": "T", "event_text": "x"}
        event = as_agent.post("/api/v1/octo/printer_events/", data=told, files={"snapshot": ("a.jpg", jpeg())})
        assert event.status_code == 200
        as_agent.post(
            "/api/v1/octo/g_code_files/",
            data={"filename": "a.gcode", "safe_filename": "a.gcode", "agent_signature": "s", "url": "a.gcode"},
        )
    http.patch("/api/v1/printers/1/", json={"retract_on_pause": 3.5, "name": "Workshop"})
    http.post("/api/v1/api_keys/", json={"name": "slicer", "scopes": ["read"]})


_MASKS = (
    (re.compile(r"expires=\d+&digest=[0-9a-f]+"), "signed"),
    (re.compile(r'"(last_seen_at|online_since)":("[^"]*"|null)'), r'"\1":"live"'),
)


def answers(http: httpx.Client) -> dict[str, Any]:
    """Every GET of the API without a parameter in its path, and those for what there is; media too, as hashes."""
    document = http.get("/api/openapi.json").json()
    paths = [path for path, methods in document["paths"].items() if "get" in methods and "{" not in path]
    paths = [path for path in paths if "/octo/" not in path and "/onetimeverification" not in path and "ml" not in path]
    paths += [f"/api/v1/prints/{number}/" for number in (1, 2, 3)]
    paths += ["/api/v1/printers/1/", "/api/v1/prints/?expand=printer,g_code_file", "/api/v1/printer_events/?limit=100"]
    found: dict[str, Any] = {}
    pictures: set[str] = set()
    for path in paths:
        answer = http.get(path)
        text = answer.text
        if answer.headers.get("content-type", "").startswith("application/json"):
            pictures |= set(re.findall(rf"{PUBLIC}(/media/[^\"]+)", text))
            for pattern, replacement in _MASKS:
                text = pattern.sub(replacement, text)
        found[path] = (answer.status_code, text)
    for picture in sorted(pictures):
        answer = http.get(picture)
        found[picture.split("?")[0]] = (answer.status_code, hashlib.sha256(answer.content).hexdigest())
    return found


def test_a_restored_server_gives_the_same_answers(tmp_path: Path) -> None:
    here, there = tmp_path / "here" / "data", tmp_path / "there" / "data"
    saved = tmp_path / "saved.tar"
    with server(tmp_path, here) as (base, token), httpx.Client(base_url=base, timeout=PATIENCE) as http:
        made = http.post("/api/v1/auth/setup/", json={"token": token, "name": "ada", "password": PASSWORD}).json()
        http.headers["X-CSRFToken"] = made["csrf_token"]
        code = http.get("/api/v1/onetimeverificationcodes/").json()["code"]
        printer = http.post(f"/api/v1/octo/verify/?code={code}").json()["printer"]
        fill(base, http, printer)
        before = answers(http)
        assert sum(path.startswith("/media/") for path in before) >= 2
        assert {code for code, _ in before.values()} <= {200, 400}  # 400: a parameter is needed
        with busy(base, http, printer):
            done = command("backup", str(saved), "--data-dir", str(here), home=tmp_path)
        cookies = dict(http.cookies)
    assert saved.stat().st_mode & 0o777 == 0o600
    assert "100 %" in done.stderr
    assert "warning" not in done.stderr
    assert "is whole" in command("restore", str(saved), "--check", home=tmp_path).stdout
    command("restore", str(saved), "--data-dir", str(there), home=tmp_path)
    assert not list(here.glob(".backup*"))
    assert {entry.name for entry in there.iterdir()} >= {"server.sqlite3", "secret.key", "media"}
    assert (there / "secret.key").stat().st_mode & 0o777 == 0o600
    with server(tmp_path, there) as (base, token), httpx.Client(base_url=base, timeout=PATIENCE) as http:
        assert token is None
        http.cookies.update(cookies)  # the session of before goes on
        after = answers(http)
        assert after.keys() >= before.keys()
        # The load made more of everything; what was there before is the same to the last byte.
        fixed = re.compile(r"/api/v1/(prints/[123]|api_keys|version|auth/sessions)/|/media/events/.*")
        compared = [path for path in before if fixed.fullmatch(path)]
        assert len(compared) >= 6
        for path in compared:
            assert after[path] == before[path], path
        assert http.post("/api/v1/auth/login/", json={"name": "ada", "password": PASSWORD}).status_code == 200


def test_a_quiet_server_gives_every_answer_again(tmp_path: Path) -> None:
    """The same without load: nothing is excepted."""
    here, there = tmp_path / "here", tmp_path / "there"
    with server(tmp_path, here) as (base, token), httpx.Client(base_url=base, timeout=PATIENCE) as http:
        made = http.post("/api/v1/auth/setup/", json={"token": token, "name": "ada", "password": PASSWORD}).json()
        http.headers["X-CSRFToken"] = made["csrf_token"]
        code = http.get("/api/v1/onetimeverificationcodes/").json()["code"]
        fill(base, http, http.post(f"/api/v1/octo/verify/?code={code}").json()["printer"])
        cookies = dict(http.cookies)
    # Started anew, so that neither has seen a status: that is in memory until the agent comes.
    with server(tmp_path, here) as (base, _), httpx.Client(base_url=base, cookies=cookies, timeout=PATIENCE) as http:
        command("backup", str(tmp_path / "a.tar"), "--data-dir", str(here), home=tmp_path)
        before = answers(http)
    command("restore", str(tmp_path / "a.tar"), "--data-dir", str(there), home=tmp_path)
    with server(tmp_path, there) as (base, _), httpx.Client(base_url=base, cookies=cookies, timeout=PATIENCE) as http:
        after = answers(http)
        log, before_log = json.loads(after.pop("/api/v1/audit/")[1]), json.loads(before.pop("/api/v1/audit/")[1])
        assert before_log[0]["action"] == "backup"  # noted after it, so it is not in it
        assert log == before_log[1:]
        for path in after:
            assert after[path] == before[path], path
        assert after.keys() == before.keys()
    print(f"{len(before)} answers compared")


@contextmanager
def busy(base: str, http: httpx.Client, printer: dict[str, Any]) -> Iterator[None]:
    """An agent that prints and sends pictures all the while."""
    stop = threading.Event()

    def load() -> None:
        socket = Socket(f"{base.replace('http', 'ws')}/ws/dev/", {"authorization": f"bearer {printer['auth_token']}"})
        headers = {"Authorization": f"Token {printer['auth_token']}"}
        with httpx.Client(base_url=base, headers=headers, timeout=PATIENCE) as agent:
            number = 0
            while not stop.is_set():
                number += 1
                ts = NOW + number
                for kind in ("PrintStarted", "PrintDone"):
                    event = {"event_type": kind, "id": f"l{number}{kind}", "data": {"name": "load.gcode"}}
                    socket.send({"current_print_ts": ts, "status": status(time.time()), "event": event})
                agent.post("/api/v1/octo/pic/", files={"pic": ("a.jpg", jpeg())})
                agent.post(
                    "/api/v1/octo/printer_events/",
                    data={"event_type": "PRINTER_ERROR", "event_class": "ERROR", "event_title": "T"},
                    files={"snapshot": ("a.jpg", jpeg())},
                )
        socket.close()

    total = len(http.get("/api/v1/prints/").json())
    thread = threading.Thread(target=load)
    thread.start()
    try:
        wait_until(lambda: len(http.get("/api/v1/prints/").json()) > total)
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of next to nothing."""
    folder = tmp_path_factory.mktemp("small")
    data = folder / "data"
    done = subprocess.run(
        [sys.executable, "-m", "reference_server", "create-user", "ada", "--data-dir", str(data)],
        input=f"{PASSWORD}\n", capture_output=True, text=True, env={"PATH": os.environ["PATH"], "HOME": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (data / "media").mkdir()
    (data / "media" / "a.jpg").write_bytes(jpeg())
    command("backup", str(folder / "saved.tar"), "--data-dir", str(data), home=folder)
    return folder / "saved.tar"


def changed(source: Path, target: Path, change: Callable[[str, bytes], bytes | None], extra: str | None = None) -> Path:
    """A copy of the backup with other contents; None leaves a member out."""
    with tarfile.open(source) as old, tarfile.open(target, "w") as new:
        for member in old:
            content = old.extractfile(member)
            assert content is not None
            data = change(member.name, content.read())
            if data is not None:
                member.size = len(data)
                new.addfile(member, io.BytesIO(data))
        if extra is not None:
            info = tarfile.TarInfo(extra)
            new.addfile(info, io.BytesIO())
    return target


def newer(name: str, data: bytes) -> bytes:
    return data.replace(HEAD.encode(), b"9999") if name == "header.json" else data


@pytest.mark.parametrize(
    ("change", "extra", "words"),
    [
        (newer, None, "newer"),
        (lambda name, data: data.replace(b'"format": 1', b'"format": 2'), None, "newer"),
        (lambda name, data: data[:-1] + b"x" if name.endswith("a.jpg") else data, None, "damaged"),
        (lambda name, data: None if name.endswith("a.jpg") else data, None, "damaged"),
        (lambda name, data: None if name == "manifest.json" else data, None, "cut short"),
        (lambda name, data: None if name == "header.json" else data, None, "no backup"),
        (lambda name, data: data, "data/../../evil", "does not belong"),
        (lambda name, data: data, "/etc/passwd", "does not belong"),
        (lambda name, data: data, "data/extra", "damaged"),
    ],
)
def test_a_backup_that_is_not_whole_leaves_nothing_behind(
    small: Path, tmp_path: Path, change: Callable[[str, bytes], bytes | None], extra: str | None, words: str
) -> None:
    broken = changed(small, tmp_path / "broken.tar", change, extra)
    data = tmp_path / "data"
    done = command("restore", str(broken), "--data-dir", str(data), home=tmp_path, check=False)
    lines = done.stderr.count("obico-reference-server: ")
    assert (done.returncode, words in done.stderr, lines) == (2, True, 1), done.stderr
    assert {entry.name for entry in data.iterdir()} == {"server.lock"}
    assert not (tmp_path / "evil").exists()
    # And the whole one can still go there.
    assert command("restore", str(small), "--data-dir", str(data), home=tmp_path).returncode == 0


def test_a_cut_or_foreign_file_is_refused(small: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.tar"
    cut.write_bytes(small.read_bytes()[: small.stat().st_size // 2])
    (tmp_path / "foreign").write_bytes(b"no tar" * 1000)
    (tmp_path / "empty").touch()
    for name in ("cut.tar", "foreign", "empty"):
        done = command("restore", str(tmp_path / name), "--data-dir", str(tmp_path / "d"), home=tmp_path, check=False)
        assert (done.returncode, done.stderr.count("obico-reference-server: ")) == (2, 1), (name, done.stderr)
        assert "Traceback" not in done.stderr
    missing = command("restore", str(tmp_path / "none"), "--data-dir", str(tmp_path / "d"), home=tmp_path, check=False)
    assert "No such file" in missing.stderr


def test_nothing_is_ever_overwritten(small: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    command("restore", str(small), "--data-dir", str(data), home=tmp_path)
    again = command("restore", str(small), "--data-dir", str(data), home=tmp_path, check=False)
    assert (again.returncode, "not empty" in again.stderr) == (2, True)
    twice = command("backup", str(small), "--data-dir", str(data), home=tmp_path, check=False)
    assert (twice.returncode, "there already" in twice.stderr) == (2, True)
    none = command("backup", "--data-dir", str(tmp_path / "none"), home=tmp_path, check=False)
    assert (none.returncode, "no database" in none.stderr) == (2, True)
    with program(tmp_path, tmp_path / "log", "--data-dir", str(data)):
        running = command("migrate", "--data-dir", str(data), home=tmp_path, check=False)
        assert (running.returncode, "another server" in running.stderr) == (2, True)
    assert "up to date" in command("migrate", "--data-dir", str(data), home=tmp_path).stdout


def test_a_backup_goes_through_a_pipe(small: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    command("restore", str(small), "--data-dir", str(data), home=tmp_path)
    with (tmp_path / "piped.tar").open("wb") as out:
        done = subprocess.run(
            [sys.executable, "-m", "reference_server", "backup", "-", "--data-dir", str(data)],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, stdout=out, stderr=subprocess.PIPE, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0
    assert "is whole" in command("restore", str(tmp_path / "piped.tar"), "--check", home=tmp_path).stdout


def test_a_file_that_the_database_misses_is_named(tmp_path: Path, small: Path) -> None:
    data = tmp_path / "data"
    command("restore", str(small), "--data-dir", str(data), home=tmp_path)
    with sqlite3.connect(data / "server.sqlite3") as database:
        database.execute("PRAGMA foreign_keys=OFF")
        database.execute(
            "INSERT INTO printer_events (user_id, printer_id, event_type, event_class, created_at, image_path)"
            " VALUES (1, 1, 'STARTED', 'INFO', '2026-01-01', 'events/1/gone.jpg')"
        )
    database.close()
    done = command("backup", str(tmp_path / "b.tar"), "--data-dir", str(data), home=tmp_path)
    assert "events/1/gone.jpg" in done.stderr
