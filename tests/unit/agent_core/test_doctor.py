"""The doctor's checks: each says what it saw and what to do, within its time."""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
import sqlite3
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from email.utils import formatdate
from pathlib import Path

import pytest
import trustme

from agent_core.config import AgentConfig, CameraConfig, Secret
from agent_core.database import FILE_NAME, Database
from agent_core.features.doctor import Check, Finding, Level, run
from agent_core.features.doctor.cameras import camera_check
from agent_core.features.doctor.server import ServerExam
from agent_core.features.doctor.system import database, machine, memory, system_checks, systemd
from agent_core.model import CameraInfo
from agent_core.transport import tls
from agent_core.transport.http import HttpClient
from tests.fakes.http import LoopbackServer, in_turn, reply
from tests.fakes.pictures import jpeg

NOW = 1_800_000_000.0
KNOWN = json.dumps({"printer": {"id": 1, "name": "Voron"}, "user": {}}).encode()
PRINTER = "/api/v1/octo/printer/"


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as entered:
        yield entered


@pytest.fixture
def http(stack: ExitStack) -> HttpClient:
    client = HttpClient("test")
    stack.callback(client.close)
    return client


def said(findings: list[Finding], level: Level, subject: str) -> str:
    return " | ".join(each.text for each in findings if (each.level, each.subject) == (level, subject))


# --- how checks are run -----------------------------------------------------------------------------------------------


def test_a_check_that_hangs_or_breaks_costs_its_time_and_no_more() -> None:
    never = threading.Event()

    def hangs() -> Iterator[Finding]:
        yield Finding(Level.OK, "a", "begun")
        never.wait(30)

    def breaks() -> Iterator[Finding]:
        yield Finding(Level.OK, "b", "begun")
        raise KeyError("a bug")

    checks = [Check("a", hangs, 0.05), Check("b", breaks), Check("c", lambda: [Finding(Level.WARN, "c", "seen", "do")])]
    found = list(run(checks))
    never.set()
    assert [each.text for each in found if each.subject != "b"] == [
        "begun",
        "no result within 0 s: something there hangs; look at it by hand",
        "seen: do",
    ]
    assert "the check itself failed: please report this" in said(found, Level.FAIL, "b")


def test_a_check_may_build_on_the_one_before() -> None:
    seen: list[str] = []

    def checks() -> Iterator[Check]:
        yield Check("first", lambda: seen.append("first") or [])  # type: ignore[func-returns-value]
        assert seen == ["first"]
        yield Check("second", lambda: [Finding(Level.OK, "second", "reached")])

    assert [each.text for each in run(checks())] == ["reached"]


# --- the server -------------------------------------------------------------------------------------------------------


def examined(
    url: str,
    http: HttpClient,
    *,
    token: str | None = "cafe",
    verify: bool = True,
    link: str | None = "",
    now: float = NOW,
) -> list[Finding]:
    config = AgentConfig("a", "1", url, Secret(token) if token else None, "/nowhere", verify_tls=verify)
    exam = ServerExam(config, http, link=link, relink="link it", address="the settings", now=lambda: now)
    return list(run(exam.checks()))


def test_a_server_that_is_well(stack: ExitStack, http: HttpClient) -> None:
    answer = reply(200, KNOWN, {"Date": formatdate(usegmt=True)})
    server = stack.enter_context(LoopbackServer({PRINTER: answer}))
    found = examined(server.url, http)
    assert {each.level for each in found} == {Level.OK}
    assert "is at" not in said(found, Level.OK, "server")  # an address needs no looking up
    assert "takes connections" in said(found, Level.OK, "way")
    assert "knows this printer as Voron" in said(found, Level.OK, "server")
    assert "agree on the time" in said(found, Level.OK, "clock")
    assert "cafe" not in str(found)


@pytest.mark.parametrize(("off", "level"), [(60.0, Level.WARN), (-4000.0, Level.FAIL)])
def test_a_clock_that_is_wrong(stack: ExitStack, http: HttpClient, off: float, level: Level) -> None:
    date = formatdate(dt.datetime.now().timestamp() - off, usegmt=True)
    server = stack.enter_context(LoopbackServer({PRINTER: reply(200, KNOWN, {"Date": date})}))
    text = said(examined(server.url, http), level, "clock")
    assert ("ahead of" if off > 0 else "behind") in text
    assert "timedatectl set-ntp true" in text


def test_a_name_that_is_not_known(http: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_args: object, **_kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    (only,) = examined("http://obico.lan", http)
    assert only.text == (
        "the name obico.lan is not known to DNS: check the address in the settings, and this machine's network"
    )


def test_a_name_that_is_known(stack: ExitStack, http: HttpClient) -> None:
    server = stack.enter_context(LoopbackServer({PRINTER: reply(200, KNOWN)}))
    found = examined(server.url.replace("127.0.0.1", "localhost"), http)
    assert "localhost is at " in said(found, Level.OK, "server")


def test_not_linked_and_not_connected(stack: ExitStack, http: HttpClient) -> None:
    server = stack.enter_context(LoopbackServer({PRINTER: reply(200, KNOWN)}))
    assert "not linked: link it" in said(examined(server.url, http, token=None), Level.FAIL, "server")
    assert "not connected to it: why" in said(examined(server.url, http, link="why"), Level.FAIL, "server")


def test_a_websocket_that_a_proxy_does_not_pass_on(stack: ExitStack, http: HttpClient) -> None:
    server = stack.enter_context(LoopbackServer({PRINTER: reply(200, KNOWN), "/ws/dev/": reply(404)}))
    text = said(examined(server.url, http, link=None), Level.FAIL, "server")
    assert "must pass websockets" in text


Trusted = Callable[..., LoopbackServer]


@pytest.fixture
def secure(stack: ExitStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trusted:
    """Makes a server with a certificate that ends in so many days, by an authority that this machine trusts."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    trusting = tls.verified(str(tmp_path / "ca.pem"))
    real = tls.context
    monkeypatch.setattr(tls, "context", lambda verify: trusting if verify else real(verify=False))

    def make(days: float, name: str = "127.0.0.1") -> LoopbackServer:
        end = dt.datetime.fromtimestamp(dt.datetime.now().timestamp() + days * 86400)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        begin = dt.datetime(2000, 1, 1)
        authority.issue_cert(name, not_before=begin, not_after=end).configure_cert(context)
        return stack.enter_context(LoopbackServer({PRINTER: reply(200, KNOWN)}, context))

    return make


@pytest.mark.parametrize(
    ("days", "name", "level", "subject", "text"),
    [
        (90.5, "127.0.0.1", Level.OK, "way", "its certificate holds for 9"),
        (5.5, "127.0.0.1", Level.WARN, "way", "see to it that the server renews it"),
        (-1, "127.0.0.1", Level.FAIL, "server", "its certificate has expired"),
        (90, "other.lan", Level.FAIL, "server", "is not made out to this address"),
    ],
)
def test_certificates(
    secure: Trusted, http: HttpClient, days: float, name: str, level: Level, subject: str, text: str
) -> None:
    found = examined(secure(days, name).url, http, now=dt.datetime.now().timestamp())
    assert text in said(found, level, subject)


def test_a_certificate_that_is_not_checked(secure: Trusted, http: HttpClient) -> None:
    found = examined(secure(-1).url, http, verify=False)
    assert "is not checked, as the settings say" in said(found, Level.WARN, "way")
    assert "Voron" in said(found, Level.OK, "server")


# --- cameras ----------------------------------------------------------------------------------------------------------


def camera(url: str) -> CameraConfig:
    return CameraConfig(CameraInfo("nozzle"), snapshot_url=url)


def test_cameras(stack: ExitStack, http: HttpClient) -> None:
    paths = {
        "/good": reply(200, jpeg(1280, 720)), "/small": reply(200, jpeg(160, 120)), "/html": reply(200, b"<html>"),
        "/now-and-then": in_turn(reply(200, jpeg(1280, 720)), reply(500)),
    }  # fmt: skip
    server = stack.enter_context(LoopbackServer(paths))
    texts = {}
    for path in paths:
        (only,) = run([camera_check(camera(server.url.replace("//", "//me:pass@") + path), http)])
        texts[path] = (only.level, only.text)
        assert "pass" not in only.text
    assert texts["/good"][0] is Level.OK
    assert "1280 x 720" in texts["/good"][1]
    assert texts["/small"][0] is Level.WARN
    assert "raise its resolution" in texts["/small"][1]
    assert texts["/html"][0] is Level.FAIL
    assert "a web page" in texts["/html"][1]
    assert "only now and then" in texts["/now-and-then"][1]


# --- the machine ------------------------------------------------------------------------------------------------------


def machine_with(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(("free", "level"), [(20, Level.FAIL), (80, Level.WARN), (400, Level.OK)])
def test_memory(tmp_path: Path, free: int, level: Level) -> None:
    text = f"MemTotal: 1000000 kB\nMemFree: 1 kB\nMemAvailable: {free * 1024} kB\n"
    (only,) = memory(machine_with(tmp_path, proc__meminfo=text))
    assert (only.level, only.seen) == (level, f"{free} of 976 MB are available")


def test_load_and_voltage(tmp_path: Path) -> None:
    assert list(machine(tmp_path)) == []
    root = machine_with(tmp_path, proc__loadavg="0.1 99.5 0.1 1/2 3")
    folder = root / "sys/devices/platform/soc/soc:firmware"
    folder.mkdir(parents=True)
    (folder / "get_throttled").write_text("50000\n")
    found = list(machine(root))
    assert "load 99.5" in said(found, Level.WARN, "machine")
    assert "short of voltage" in said(found, Level.WARN, "machine")


def test_what_systemd_allows(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup/system.slice/agent.service"
    group.mkdir(parents=True)
    proc = tmp_path / "proc/7"
    proc.mkdir(parents=True)
    assert list(systemd(7, tmp_path)) == []
    (proc / "cgroup").write_text("0::/system.slice/agent.service\n")
    (proc / "environ").write_bytes(b"INVOCATION_ID=1\0TOKEN=cafe\0")
    (group / "memory.max").write_text("33554432\n")
    (group / "memory.current").write_text("1000000\n")
    (group / "memory.events").write_text("oom 2\noom_kill 2\n")
    found = list(systemd(7, tmp_path))
    text = said(found, Level.WARN, "systemd")
    assert "MemoryMax is 32 MB: the agent needs room" in text
    assert "ended 2 time(s) for lack of memory" in text
    assert "no WatchdogSec" in text
    assert "cafe" not in text
    (proc / "environ").write_bytes(b"INVOCATION_ID=1\0WATCHDOG_USEC=120000000\0")
    (group / "memory.max").write_text("134217728\n")
    (group / "memory.events").unlink()
    found = list(systemd(7, tmp_path))
    assert said(found, Level.OK, "systemd") == "MemoryMax is 128 MB | WatchdogSec is 120 s"


def test_the_database(tmp_path: Path) -> None:
    assert said(list(database(tmp_path)), Level.OK, "database").startswith("none yet")
    opened = Database(str(tmp_path))  # as beside a running agent
    assert "sound" in said(list(database(tmp_path)), Level.OK, "database")
    opened.close()
    (tmp_path / f"{FILE_NAME}.damaged-1").touch()
    (tmp_path / FILE_NAME).write_bytes(b"rubbish" * 1000)
    found = list(database(tmp_path))
    assert "it was damaged once" in said(found, Level.WARN, "database")
    assert "cannot be read" in said(found, Level.FAIL, "database")
    (tmp_path / FILE_NAME).unlink()
    sqlite3.connect(tmp_path / FILE_NAME).close()
    assert "cannot be read" in said(list(database(tmp_path)), Level.FAIL, "database")


def test_this_machine(tmp_path: Path) -> None:
    found = list(run(system_checks(tmp_path / "data", os.getpid(), advice="move it")))
    assert {"data", "database", "memory"} <= {each.subject for each in found}
    (tmp_path / "file").touch()
    (only, *_) = run(system_checks(tmp_path / "file" / "data", None, advice="move it"))
    assert (only.level, only.advice) == (Level.FAIL, "move it")
