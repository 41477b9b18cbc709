"""The command line: one readable line for each thing that is wrong, and its exit status."""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from moonraker_obico.__main__ import main, parser
from moonraker_obico.cli import exit_codes, lock, status_socket
from moonraker_obico.cli.notify import Notifier
from moonraker_obico.cli.run import _tried
from moonraker_obico.cli.status import lines
from moonraker_obico.config import load

ROOT = Path(__file__).resolve().parents[3]


class _Server(BaseHTTPRequestHandler):
    """As much of an Obico server as linking needs."""

    def do_POST(self) -> None:
        code = self.path.rpartition("code=")[2]
        if code == "123456":
            self._answer(200, {"id": 1, "printer": {"id": 7, "name": "Prusa", "auth_token": "cafe0123cafe0123cafe"}})
        else:
            self._answer(404, {"detail": "Requested resource does not exist"})

    def do_GET(self) -> None:
        self._answer(401, {"error": "Invalid or Inactive Token"})

    def _answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        return


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """`run` sets the process's logging up; other tests have their own."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers, root.level = handlers, level


@pytest.fixture
def server() -> Iterator[str]:
    http = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def cfg(tmp_path: Path) -> Path:
    path = tmp_path / "moonraker-obico.cfg"
    path.write_text("[server]\nurl: http://127.0.0.1:9\n\n[moonraker]\nport: 9\n")
    return path


def test_help_is_complete(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("run", "link", "status", "doctor", "support-bundle"):
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        shown = capsys.readouterr().out
        assert "--config FILE" in shown
        assert "exit status:" in shown
    assert all(command in parser().format_help() for command in ("run", "link", "status", "doctor", "support-bundle"))


def test_a_bad_configuration_is_one_line_and_status_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.cfg"
    path.write_text("[moonraker]\nport: abc\n")
    for command in ("run", "status", "link"):
        assert main([command, "-c", str(path)]) == exit_codes.CONFIG
        said = capsys.readouterr().err
        assert "port, line 2: 'abc' is not a port" in said
        assert said.count("\n") == 1


def test_link_keeps_the_token_apart_and_the_comments(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "moonraker-obico.cfg"
    path.write_text("# mine\n[server]\nurl = https://app.obico.io\nauth_token = 00old00\n# end\n")
    assert main(["link", "-c", str(path), "--server", server, "--code", "123-456"]) == 0
    assert path.read_text() == f"# mine\n[server]\nurl = {server}\nauth_token =\n# end\n"
    token = tmp_path / ".moonraker-obico" / "token"
    assert token.read_text() == "cafe0123cafe0123cafe\n"
    assert token.stat().st_mode & 0o777 == 0o600
    shown = capsys.readouterr()
    assert f"Linked to {server} as Prusa" in shown.out
    assert "cafe0123" not in shown.out + shown.err


def test_link_makes_the_configuration_if_there_is_none(server: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / "moonraker-obico.cfg"
    path.parent.mkdir()
    assert main(["link", "-c", str(path), "--server", server, "--code", "123456"]) == 0
    assert f"url: {server}" in path.read_text()


@pytest.mark.parametrize(("code", "said"), [("654321", "does not know this code"), ("12", "six digits")])
def test_link_refused(server: str, cfg: Path, code: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = cfg.read_text()
    assert main(["link", "-c", str(cfg), "--server", server, "--code", code]) == exit_codes.NOT_LINKED
    assert said in capsys.readouterr().err
    assert cfg.read_text() == before


def test_link_without_a_server(cfg: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["link", "-c", str(cfg), "--server", "127.0.0.1:9", "--code", "123456"]) == exit_codes.NOT_LINKED
    assert "Not linked: " in capsys.readouterr().err


def test_doctor_names_each_failure(server: str, cfg: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cfg.write_text(f"[server]\nurl: {server}\nauth_token: 0123\n[moonraker]\nport: 9\n[webcam]\nsnapshot_url: :9/x\n")
    cfg.write_text(cfg.read_text().replace(":9/x", "http://127.0.0.1:9/x"))
    assert main(["doctor", "-c", str(cfg), "--json"]) == exit_codes.PROBLEM
    found = {(each["subject"], each["level"]): each["text"] for each in json.loads(capsys.readouterr().out)}
    assert "no answer from Moonraker at 127.0.0.1:9" in found["moonraker", "fail"]
    assert "link the printer again" in found["server", "fail"]
    assert "gives no picture" in found["camera", "fail"]
    assert "does not run" in found["agent", "warn"]
    assert found["data", "ok"]
    assert all("\n" not in text for text in found.values())


def test_doctor_stops_at_a_bad_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "-c", str(tmp_path / "none.cfg")]) == exit_codes.CONFIG
    assert "does not exist" in capsys.readouterr().out


def test_doctor_knows_another_service_from_moonraker(
    server: str, cfg: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    port = server.rpartition(":")[2]
    cfg.write_text(f"[server]\nurl: {server}\n[moonraker]\nport: {port}\n")
    assert main(["doctor", "-c", str(cfg), "--json"]) == exit_codes.PROBLEM
    found = {(each["subject"], each["level"]): each["text"] for each in json.loads(capsys.readouterr().out)}
    assert "wants an API key" in found["moonraker", "fail"]
    assert "not linked: run" in found["server", "fail"]


def test_the_lock_is_for_one(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert lock.holder(path) is None
    handle = lock.take(path)
    with pytest.raises(lock.Running, match=str(os.getpid())):
        lock.take(path)
    assert lock.holder(path) == os.getpid()
    os.close(handle)
    assert lock.holder(path) is None


@pytest.mark.parametrize("depth", [1, 12])
def test_the_status_socket_answers_whatever_the_path(tmp_path: Path, depth: int) -> None:
    path = tmp_path.joinpath(*["long-folder-name"] * depth) / "status.sock"
    path.parent.mkdir(parents=True)
    assert status_socket.ask(path) is None
    with status_socket.listen(path) as listener:
        told: list[Any] = []
        thread = threading.Thread(target=lambda: told.append(status_socket.ask(path)))
        thread.start()
        listener.setblocking(True)
        status_socket.answer(listener, {"a": 1})
        thread.join()
    assert told == [{"a": 1}]


def test_systemd_is_told(tmp_path: Path) -> None:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        notifier = Notifier({"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "30000000"})
        assert notifier.watchdog_seconds == 30.0
        notifier.ready()
        notifier.status("printing")
        notifier.status("printing")
        notifier.alive()
        notifier.stopping()
        manager.settimeout(1.0)
        assert [manager.recv(100) for _ in range(4)] == [b"READY=1", b"STATUS=printing", b"WATCHDOG=1", b"STOPPING=1"]
    Notifier({}).ready()  # without systemd nothing happens
    notifier.ready()  # nor when nobody listens any more
    assert Notifier({"WATCHDOG_USEC": "30000000"}).watchdog_seconds is None


def test_the_status_reads_as_text() -> None:
    told = {
        "agent": {"version": "3.0.0", "pid": 5, "since": 1000.0},
        "link": {"state": "needs you", "server": "http://s", "since": 1000.0, "reason": "link again", "printer": "P"},
        "moonraker": {"address": "h:7125", "problem": None},
        "printer": {"state": "Paused", "error": None},
        "print": {"file": "a.gcode", "since": 1000, "paused": True, "completion": 12.34, "seconds_left": 3700},
        "cameras": [{"name": "", "primary": True, "address": "http://h/x", "problem": "no answer"}],
    }
    assert lines(told, 1090.0) == [
        "agent     3.0.0, process 5, for 1 min",
        "link      needs you, http://s as P, for 1 min: link again",
        "moonraker h:7125: connected",
        "printer   Paused",
        "print     a.gcode, for 1 min, 12.3 %, 1 h 1 min left, paused",
        "camera    (unnamed), primary: no answer (http://h/x)",
    ]


def test_run_tells_serves_and_ends_cleanly(cfg: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole program, with nothing to talk to: systemd is told, a second copy refused, SIGTERM ends it in time."""
    cfg.write_text("[server]\nurl: http://127.0.0.1:9\nauth_token: 0123\n[moonraker]\nport: 9\n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        manager.settimeout(20.0)
        process = subprocess.Popen(
            [sys.executable, "-m", "moonraker_obico", "run", "-c", str(cfg)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
            env={**os.environ, "NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": "600000"},
        )
        try:
            assert manager.recv(100) == b"READY=1"
            assert main(["run", "-c", str(cfg), "--log-to-stderr"]) == exit_codes.RUNNING
            assert "another copy of the agent runs" in capsys.readouterr().err
            assert main(["status", "-c", str(cfg), "--json"]) == 0
            told = json.loads(capsys.readouterr().out)
            assert (told["agent"]["pid"], told["link"]["state"]) == (process.pid, "connecting")
            while manager.recv(100) != b"WATCHDOG=1":
                pass
            assert process.stderr is not None
            said = ""
            while "Moonraker at" not in said:
                said += process.stderr.readline().decode()
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            said += process.communicate(timeout=10)[1].decode()
            assert time.monotonic() - began < 3.0
            assert process.returncode == 0
            assert said.count("Moonraker at 127.0.0.1:9") == 1  # the loss is told once
            assert "0123" not in said
            while manager.recv(100) != b"STOPPING=1":
                pass
        finally:
            process.kill()
            process.communicate()
    assert main(["status", "-c", str(cfg)]) == exit_codes.PROBLEM
    assert "it does not run" in capsys.readouterr().out
    assert not (tmp_path / ".moonraker-obico" / "status.sock").exists()


def test_run_without_a_link_waits_for_one(cfg: Path, server: str) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "moonraker_obico", "run", "-c", str(cfg)], cwd=ROOT, stderr=subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        while b"is not linked: run `moonraker-obico link" not in (line := process.stderr.readline()):
            assert line
        assert main(["link", "-c", str(cfg), "--server", server, "--code", "123456"]) == 0
        while b"the link to the server was changed" not in (line := process.stderr.readline()):
            assert line
        process.terminate()
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_second_service_waits_for_the_first(cfg: Path, tmp_path: Path) -> None:
    """Started by systemd while somebody runs it by hand: it says so once, and goes on when that one has ended."""
    cfg.write_text("[server]\nurl: http://127.0.0.1:9\n")
    held = lock.take(load(cfg, {}).lock_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "n"))
        manager.settimeout(20.0)
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "n")})
        path = load(cfg, {}).lock_path
        assert _tried(path, notifier, waits=False) is None
        assert manager.recv(100) == b"READY=1"
        assert manager.recv(200).startswith(b"STATUS=waits: another copy of the agent runs")
        assert manager.recv(100) == b"WATCHDOG=1"
        assert _tried(path, notifier, waits=True) is None
        assert manager.recv(100) == b"WATCHDOG=1"
        os.close(held)
        handle = _tried(path, notifier, waits=True)
        assert handle is not None
        os.close(handle)
