"""`obico-reference-server` as a user starts it: no configuration, one link, clean end, no secret in the log."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.unit.reference_server.live_server import PATIENCE, Socket, status

NAME, PASSWORD = "ada", "correct horse battery"


@contextmanager
def program(home: Path, log: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str, str | None]]:
    """The process, its address, and the token of its first-run link."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "OBICO_SERVER_PORT": "0"}
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "reference_server", *options],
            env=environment, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            base = process.stdout.readline().removeprefix("The server is at ").strip()
            assert base.startswith("http://127.0.0.1:")
            with httpx.Client(base_url=base, timeout=PATIENCE) as http:
                needed = http.get("/api/v1/auth/state/").json()["setup_needed"]
            token = None
            if needed:
                assert "once" in process.stdout.readline()
                link = process.stdout.readline().strip()
                assert link.startswith(f"{base}/setup#")
                token = link.split("#")[1]
            yield process, base, token
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(20)
            if process.stdout is not None:
                process.stdout.close()


def rss_mb(pid: int) -> float:
    (line,) = (row for row in Path(f"/proc/{pid}/status").read_text().splitlines() if row.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def test_the_memory_of_a_password_check_is_given_back(tmp_path: Path) -> None:
    with program(tmp_path, tmp_path / "log") as (process, base, token), httpx.Client(base_url=base) as http:
        before = rss_mb(process.pid)
        http.post("/api/v1/auth/setup/", json={"token": token, "name": NAME, "password": PASSWORD})
        for _ in range(3):
            assert http.post("/api/v1/auth/login/", json={"name": NAME, "password": PASSWORD}).status_code == 200
        assert rss_mb(process.pid) < before + 10  # one check takes 19


def test_from_nothing_to_a_linked_printer_and_back(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with program(tmp_path, log, "--log-level", "debug") as (process, base, token):
        assert token is not None
        data = tmp_path / ".local" / "share" / "obico-reference-server"
        assert data.stat().st_mode & 0o777 == 0o700
        assert (data / "server.sqlite3").stat().st_mode & 0o077 == 0
        with httpx.Client(base_url=base, timeout=PATIENCE) as http:
            made = http.post("/api/v1/auth/setup/", json={"token": token, "name": NAME, "password": PASSWORD})
            http.headers["X-CSRFToken"] = made.json()["csrf_token"]
            code = http.get("/api/v1/onetimeverificationcodes/").json()["code"]
            printer = http.post(f"/api/v1/octo/verify/?code={code}").json()["printer"]
            secrets = [token, PASSWORD, code, printer["auth_token"], *http.cookies.values()]
            sockets = base.replace("http", "ws")
            agent = Socket(f"{sockets}/ws/dev/", {"authorization": f"bearer {printer['auth_token']}"})
            agent.receive()
            viewer = Socket(f"{sockets}/ws/token/web/{printer['auth_token']}/")
            agent.send({"current_print_ts": -1, "status": status(time.time(), "Operational")})
            agent.connection.send("no json")
            viewer.until(lambda frame: frame["status"] is not None)
            http.get("/media/snapshots/1/primary.jpg?expires=1&digest=abcdefabcdef")
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert time.monotonic() - began < 10
        assert agent.closed_with() == 1012
        agent.close()
        viewer.close()
    text = log.read_text()
    assert "agent connected" in text
    assert "/api/v1/octo/verify/" in text
    for secret in (*secrets, "abcdefabcdef"):
        assert secret not in text
    assert "Traceback" not in text
    with program(tmp_path, log, "run", "--log-format", "json") as (process, base, token):
        assert token is None
        with httpx.Client(base_url=base, timeout=PATIENCE) as http:
            assert http.post("/api/v1/auth/login/", json={"name": NAME, "password": PASSWORD}).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_version_and_help_answer_without_touching_anything(tmp_path: Path) -> None:
    for option, word in (("--version", "3.0.0"), ("--help", "OBICO_SERVER_DATA_DIR")):
        done = subprocess.run(
            [sys.executable, "-m", "reference_server", option],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert (done.returncode, word in done.stdout) == (0, True)
    assert list(tmp_path.iterdir()) == []
