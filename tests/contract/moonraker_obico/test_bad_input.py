"""Everything that is set up wrongly is named in one line with what to do: by `doctor`, and once in the log."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import trustme

from moonraker_obico.__main__ import main
from moonraker_obico.cli import exit_codes, lock, status_socket
from tests.fakes.http import LoopbackServer, reply
from tests.fakes.socket_server import SocketServer

ROOT = Path(__file__).resolve().parents[3]
HTML = reply(200, b"<html><h1>It works!</h1></html>", {"Content-Type": "text/html"})
TOKEN, KEY = "cafe0123cafe0123cafe", "0ddba11"

MOONRAKER = {
    "/server/info": {"klippy_state": "ready", "moonraker_version": "v0.11.0", "components": ["history"]},
    "/printer/objects/list": {"objects": ["virtual_sdcard", "pause_resume", "display_status"]},
    "/server/webcams/list": {"webcams": []},
}


def says(result: object, status: int = 200) -> Callable[..., None]:
    return reply(status, json.dumps(result).encode(), {"Content-Type": "application/json"})


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as entered:
        yield entered


def configuration(folder: Path, server: str = "http://127.0.0.1:9", port: int = 9, more: str = "") -> Path:
    path = folder / "moonraker-obico.cfg"
    path.write_text(f"[server]\nurl: {server}\nauth_token: {TOKEN}\n[moonraker]\nhost: 127.0.0.1\nport: {port}\n{more}")
    return path


def examined(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[tuple[str, str], str]:
    """What `doctor` says: (subject, level) to the text. Each is one line without secrets."""
    assert main(["doctor", "-c", str(path), "--json"]) in {exit_codes.OK, exit_codes.PROBLEM, exit_codes.CONFIG}
    found = {(each["subject"], each["level"]): each["text"] for each in json.loads(capsys.readouterr().out)}
    for text in found.values():
        assert text.isprintable()
        assert TOKEN not in text
        assert KEY not in text
    return found


# --- doctor -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "level", "said"),
    [
        ("[server]\nurk: http://h\n[moonraker]\n", "warn", "did you mean 'url'?"),
        ("[servr]\nurl: http://h\n[moonraker]\n", "warn", "did you mean 'server'?"),
        ("[server]\nurl: http://h\n[moonraker]\nport: seven\n", "fail", "'seven' is not a port"),
        ("[server]\nurl: http://127.0.0.1:9\n", "warn", "there is no [moonraker] section"),
        ("[server]\nurl: http://me:secret@h\n", "fail", "must not contain a user name or password"),
        ("[server]\nurl: http://192.168..5\n", "fail", "names no host"),
    ],
)
def test_doctor_a_configuration_with_a_mistake(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    level: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unknown(*_args: object, **_kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)  # nothing is looked up for real
    path = tmp_path / "moonraker-obico.cfg"
    path.write_text(text)
    assert main(["doctor", "-c", str(path)]) != exit_codes.OK
    shown = capsys.readouterr().out
    (line,) = [line for line in shown.splitlines() if said in line]
    assert line.startswith(f"{level:4}  config")
    assert "secret" not in shown


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (
            401,
            b'{"error": "Invalid or Inactive Token"}',
            "does not accept this printer's token; link the printer again",
        ),
        (200, b"<html>It works!</html>", "not as an Obico server does; check the server address"),
        (404, b"<html>", "not as an Obico server (error 404); check the server address"),
        (302, b"", "enter the address that a browser shows"),
        (503, b"", "has trouble (error 503); trying again later"),
    ],
)
def test_doctor_a_server_that_refuses_or_is_none(
    stack: ExitStack, tmp_path: Path, capsys: pytest.CaptureFixture[str], status: int, body: bytes, said: str
) -> None:
    server = stack.enter_context(LoopbackServer({"/api/v1/octo/printer/": reply(status, body)}))
    assert said in examined(configuration(tmp_path, server.url), capsys)["server", "fail"]


def test_doctor_a_server_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = examined(configuration(tmp_path), capsys)
    assert found["server", "fail"] == (
        "127.0.0.1:9: nothing listens there (connection refused); is it running, is the port right?"
    )


def _tls(certificate: trustme.LeafCert) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    return context


def test_doctor_a_certificate_that_fails(stack: ExitStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    context = _tls(trustme.CA().issue_cert("127.0.0.1"))
    server = stack.enter_context(LoopbackServer({"/": HTML}, context))
    assert (
        "its certificate comes from an authority"
        in examined(configuration(tmp_path, server.url), capsys)["server", "fail"]
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("", "Moonraker wants an API key: put it into [moonraker] api_key"),
        (f"api_key: {KEY}\n", "Moonraker refuses the api_key: copy it anew"),
    ],
)
def test_doctor_a_moonraker_that_wants_a_key(
    stack: ExitStack, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: str, said: str
) -> None:
    moonraker = stack.enter_context(LoopbackServer({"/server/info": says({"error": {"code": 401}}, 401)}))
    path = configuration(tmp_path, port=moonraker.port, more=more)
    assert said in examined(path, capsys)["moonraker", "fail"]


def test_doctor_a_moonraker_that_is_well_and_one_that_is_none(
    stack: ExitStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = {path: says({"result": result}) for path, result in MOONRAKER.items()}
    found = examined(configuration(tmp_path, port=stack.enter_context(LoopbackServer(good)).port), capsys)
    assert found["moonraker", "ok"].endswith("answers, version v0.11.0")
    assert found["klipper", "ok"] == "ready, with everything that is needed"
    html = stack.enter_context(LoopbackServer({"/server/info": HTML}))
    found = examined(configuration(tmp_path, port=html.port), capsys)
    assert "is not Moonraker (HTTP 200): check host and port" in found["moonraker", "fail"]


@pytest.mark.parametrize(
    ("state", "advice"),
    [("shutdown", "send FIRMWARE_RESTART"), ("disconnected", "start the klipper service"), ("error", "printer.cfg")],
)
def test_doctor_a_klipper_that_is_not_ready(
    stack: ExitStack, tmp_path: Path, capsys: pytest.CaptureFixture[str], state: str, advice: str
) -> None:
    moonraker = stack.enter_context(
        LoopbackServer({
            "/server/info": says({"result": {"klippy_state": state}}),
            "/printer/info": says({"result": {"state_message": "MCU 'mcu' shutdown: Timer too close\nOnce…"}}),
        })
    )  # fmt: skip
    said = examined(configuration(tmp_path, port=moonraker.port), capsys)["klipper", "fail"]
    assert "Timer too close" in said
    assert advice in said


def test_doctor_a_token_used_twice_and_an_agent_that_hangs(
    stack: ExitStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    printer = says({"printer": {"id": 1, "name": "Voron"}, "user": {}})
    server = stack.enter_context(LoopbackServer({"/api/v1/octo/printer/": printer}))
    path = configuration(tmp_path, server.url)
    folder = tmp_path / ".moonraker-obico"
    handle = lock.take(folder / "lock")
    stack.callback(os.close, handle)
    assert "does not answer: `sudo systemctl restart" in examined(path, capsys)["agent", "fail"]
    listener = stack.enter_context(status_socket.listen(folder / "status.sock"))
    listener.settimeout(0.05)
    over = threading.Event()
    reason = "another agent uses this printer's token: stop the other one, or link this printer again"

    def run() -> None:
        while not over.is_set():
            status_socket.answer(listener, {"link": {"state": "needs you", "reason": reason}})

    thread = threading.Thread(target=run)
    thread.start()
    try:
        found = examined(path, capsys)
    finally:
        over.set()
        thread.join()
    assert found["agent", "ok"] == f"it runs (process {os.getpid()}), once"
    assert found["server", "fail"] == f"the agent is not connected to it: {reason}"


# --- the log ----------------------------------------------------------------------------------------------------------


def logged(path: Path, *wanted: str) -> list[str]:
    """Runs the agent until each of these texts stood in its log, and ends it; the log's lines."""
    process = subprocess.Popen(
        [sys.executable, "-m", "moonraker_obico", "run", "-c", str(path), "--log-to-stderr"],
        cwd=ROOT, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    lines: list[str] = []
    try:
        assert process.stderr is not None
        while not all(any(text in line for line in lines) for text in wanted):
            line = process.stderr.readline()
            assert line, lines
            lines.append(line)
        process.send_signal(signal.SIGTERM)
        lines += process.communicate(timeout=10)[1].splitlines()
    finally:
        process.kill()
        process.communicate()
    whole = "".join(lines)
    assert "Traceback" not in whole
    assert TOKEN not in whole
    assert KEY not in whole
    for text in wanted:
        assert sum(text in line for line in lines) == 1, lines
    return lines


@pytest.mark.parametrize("key", ["", f"api_key: {KEY}\n"])
def test_log_a_key_that_is_wanted_and_a_server_of_html(stack: ExitStack, tmp_path: Path, key: str) -> None:
    moonraker = stack.enter_context(
        LoopbackServer({"/websocket": reply(401), "/access/oneshot_token": says({}, 401)})
    )  # fmt: skip
    server = stack.enter_context(LoopbackServer({"/ws/dev/": HTML}))
    refused = "Moonraker refuses the api_key" if key else "Moonraker wants an API key: put"
    logged(
        configuration(tmp_path, server.url, moonraker.port, key),
        refused, "answers, but not as an Obico server (status 200): check the server address",
    )  # fmt: skip


def test_log_a_certificate_that_fails_and_another_service(stack: ExitStack, tmp_path: Path) -> None:
    context = _tls(trustme.CA().issue_cert("127.0.0.1"))
    server = stack.enter_context(LoopbackServer({"/ws/dev/": HTML}, context))
    moonraker = stack.enter_context(LoopbackServer({"/websocket": HTML}))
    logged(
        configuration(tmp_path, server.url, moonraker.port),
        "its certificate comes from an authority", "is not Moonraker (HTTP 200 for /websocket): check host and port",
    )  # fmt: skip


def test_log_a_revoked_token_and_no_moonraker(stack: ExitStack, tmp_path: Path) -> None:
    server = stack.enter_context(SocketServer())
    server.refuse_with = 403
    logged(
        configuration(tmp_path, server.url),
        "does not accept this printer's token: link the printer again",
        "no connection to Moonraker at 127.0.0.1:9: connection refused; trying again",
    )


def test_log_a_token_used_twice(stack: ExitStack, tmp_path: Path) -> None:
    server = stack.enter_context(SocketServer())

    def kick() -> None:
        server.peer().close(4321)

    thread = threading.Thread(target=kick)
    thread.start()
    logged(configuration(tmp_path, server.url), "another agent uses this printer's token: stop the other one")
    thread.join()
    assert len(server.requests) == 1  # it does not come back, for the two would throw each other out for ever


def test_log_a_configuration_with_mistakes(tmp_path: Path) -> None:
    path = configuration(tmp_path, more="[webcma]\nx: 1\n[logging]\nlevel: LOUD\n")
    logged(path, "the section [webcma] is not known", "'LOUD' is none of")


def test_log_a_folder_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / ".moonraker-obico" / "agent.db").mkdir(parents=True)
    logged(configuration(tmp_path), "check the folder's owner and free space")
