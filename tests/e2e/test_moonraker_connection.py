"""The connection against a real Moonraker with a stand-in Klippy: what it posts, and how it comes back."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from agent_core.config import Secret
from agent_core.errors import CommandFailed, Unreachable
from agent_core.model import (
    ActivePrint,
    HostEvent,
    NothingPrints,
    Phase,
    PrintBegan,
    PrintEnded,
    PrinterReported,
    PrintFound,
    PrintOutcome,
    PrintPaused,
    PrintResumed,
)
from agent_core.ports import Interrupt
from agent_core.runtime.clock import SystemClock
from agent_core.transport.http import HttpClient
from moonraker_obico.calls import KlipperCalls
from moonraker_obico.connection import Connection
from moonraker_obico.moonraker_socket import Address
from moonraker_obico.translate import Translator
from tests.e2e.moonraker import KEY_NEEDED, PROGRAM, MoonrakerHost, wait_until

pytestmark = [
    pytest.mark.moonraker,
    pytest.mark.skipif(not PROGRAM.exists(), reason="no Moonraker environment (make envs)"),
]

FILE = "short_three_layers.gcode"


class Watched:
    """A Connection whose events are kept."""

    def __init__(self, port: int, *, key: str | None = None, remembered: ActivePrint | None = None) -> None:
        self.events: list[HostEvent] = []
        self.facts: dict[str, Any] = {}
        self.translator = Translator(remembered)
        self.http = HttpClient("test")
        self.api = KlipperCalls(SystemClock())
        self.connection = Connection(
            Address("127.0.0.1", port, None if key is None else Secret(key)),
            self.translator,
            self.api,
            post=self.events.append,
            on_host_fact=self.facts.__setitem__,
            http=self.http,
            clock=SystemClock(),
            version="3.0.0",
        )

    def start(self) -> Watched:
        self.connection.start()
        return self

    def stop(self) -> None:
        self.connection.worker.stop()
        assert self.connection.worker.join(3.0), "the connection's thread ends within 3 s"
        self.http.close()

    def of(self, *kinds: type) -> list[Any]:
        return [event for event in list(self.events) if isinstance(event, kinds)]

    def wait(self, kind: type, count: int = 1, seconds: float = 20.0) -> Any:
        wait_until(lambda: len(self.of(kind)) >= count, seconds, f"{count} x {kind.__name__}, got {self.words()}")
        return self.of(kind)[count - 1]

    def words(self) -> list[str]:
        return [type(event).__name__ for event in self.events if not isinstance(event, PrinterReported)]

    @property
    def phase(self) -> Phase | None:
        reports = self.of(PrinterReported)
        return reports[-1].report.phase if reports else None


@pytest.fixture
def host() -> Iterator[MoonrakerHost]:
    with MoonrakerHost() as started:
        yield started


@pytest.fixture
def agent(host: MoonrakerHost) -> Iterator[Watched]:
    watched = Watched(host.port).start()
    yield watched
    watched.stop()


def begin(host: MoonrakerHost, agent: Watched) -> PrintBegan:
    """A print under way, its file held where it says so."""
    agent.wait(NothingPrints)
    settled = time.monotonic() + 1.5
    # Within a second of Klippy's becoming ready Moonraker may miss the start (recordings/moonraker/README.md).
    wait_until(lambda: time.monotonic() > settled)
    host.control.hold(r"G1 .*E3\.6")
    assert agent.api.call("printer.print.start", {"filename": FILE}, timeout=10) == "ok"
    return agent.wait(PrintBegan)  # type: ignore[no-any-return]


def api_key(host: MoonrakerHost) -> str:
    import sqlite3

    with sqlite3.connect(host.folder / "data" / "database" / "moonraker-sql.db") as database:
        for (password,) in database.execute("SELECT password FROM authorized_users WHERE username LIKE '_API_KEY%'"):
            return str(password)
    raise AssertionError("Moonraker has made no API key")


def test_a_print_is_told_from_beginning_to_end(host: MoonrakerHost, agent: Watched) -> None:
    began = begin(host, agent)
    assert began.filename == FILE
    api = agent.api
    assert api.wait_for(lambda objects: objects["print_stats"]["state"] == "printing", timeout=5)
    api.call("printer.print.pause", timeout=60)
    agent.wait(PrintPaused)
    assert agent.phase is Phase.PAUSED
    api.call("printer.print.resume", timeout=60)
    agent.wait(PrintResumed)
    host.control.release()
    ended = agent.wait(PrintEnded, seconds=60)
    assert ended.outcome is PrintOutcome.DONE
    assert ended.report.progress.completion == 100.0
    job = api.call("server.history.list", {"limit": 1})["jobs"][0]
    assert began.ts == int(job["start_time"])
    wait_until(lambda: agent.phase is Phase.OPERATIONAL, 5, "Operational")


def test_a_cancelled_print(host: MoonrakerHost, agent: Watched) -> None:
    begin(host, agent)
    host.control.release()
    agent.api.call("printer.print.cancel", timeout=60)
    assert agent.wait(PrintEnded).outcome is PrintOutcome.CANCELLED


def test_klipper_restarted_in_mid_print(host: MoonrakerHost, agent: Watched) -> None:
    began = begin(host, agent)
    host.control.release()
    agent.api.call("printer.firmware_restart", timeout=30)
    ended = agent.wait(PrintEnded, seconds=30)
    assert ended.outcome is PrintOutcome.FAILED
    assert "Klipper" in ended.reason
    job = agent.api.call("server.history.list", {"limit": 1})["jobs"][0]
    assert (int(job["start_time"]), job["end_time"]) == (began.ts, ended.at)
    wait_until(lambda: agent.phase is Phase.OPERATIONAL, 20, "ready again")
    assert agent.api.objects()["print_stats"]["state"] == "standby"


def test_emergency_stop_in_mid_print(host: MoonrakerHost, agent: Watched) -> None:
    begin(host, agent)
    agent.api.call("printer.emergency_stop", timeout=10)
    ended = agent.wait(PrintEnded)
    assert ended.outcome is PrintOutcome.FAILED
    assert "Shutdown" in ended.reason
    wait_until(lambda: agent.phase is Phase.ERROR, 5, "state Error")
    assert agent.api.objects() == {}
    with pytest.raises(CommandFailed):
        agent.api.call("printer.gcode.script", {"script": "G28"}, timeout=10)
    agent.api.call("printer.firmware_restart", timeout=30)
    wait_until(lambda: agent.phase is Phase.OPERATIONAL, 20, "ready again")
    assert not agent.of(PrintPaused)


def test_klipper_killed_in_mid_print(host: MoonrakerHost, agent: Watched) -> None:
    begin(host, agent)
    host.klippy.kill()
    wait_until(lambda: agent.api.objects() == {}, 5, "no stale status")
    ended = agent.wait(PrintEnded, seconds=30)
    assert (ended.outcome, ended.reason) == (PrintOutcome.FAILED, "Klipper stopped during the print")
    host.klippy.start()
    wait_until(lambda: agent.phase is Phase.OPERATIONAL, 20, "ready again")


def test_moonraker_restarted_in_mid_print_keeps_the_print(host: MoonrakerHost, agent: Watched) -> None:
    began = begin(host, agent)
    agent.api.call("server.restart", timeout=10)
    found = agent.wait(PrintFound, seconds=30)
    assert (found.ts, found.filename) == (began.ts, FILE)
    host.control.release()
    ended = agent.wait(PrintEnded, seconds=60)
    assert ended.outcome is PrintOutcome.DONE
    assert len(agent.of(PrintBegan)) == 1


def test_moonraker_killed_while_the_print_ends(host: MoonrakerHost, agent: Watched) -> None:
    begin(host, agent)
    host.kill_moonraker()
    wait_until(lambda: not agent.connection.connected, 5, "the loss is noticed")
    host.control.release()
    host.control.wait_for(lambda state: state.print_state == "complete", 60)
    host.start_moonraker()
    ended = agent.wait(PrintEnded, seconds=60)
    assert ended.outcome is PrintOutcome.DONE
    wait_until(lambda: agent.phase is Phase.OPERATIONAL, 20, "Operational")


def test_agent_restarted_in_mid_print_keeps_the_print(host: MoonrakerHost, agent: Watched) -> None:
    began = begin(host, agent)
    agent.stop()
    again = Watched(host.port, remembered=ActivePrint(began.ts, FILE, began.at)).start()
    try:
        found = again.wait(PrintFound)
        assert (found.ts, found.paused) == (began.ts, False)
        assert not again.of(PrintBegan, PrintEnded)
    finally:
        again.stop()
    agent.connection.start()


def test_agent_away_while_the_print_is_cancelled(host: MoonrakerHost, agent: Watched) -> None:
    began = begin(host, agent)
    host.control.release()
    agent.api.call("printer.print.cancel", timeout=60)
    agent.wait(PrintEnded)
    history = {"limit": 1}
    wait_until(lambda: agent.api.call("server.history.list", history)["jobs"][0]["end_time"], 5, "its end")
    again = Watched(host.port, remembered=ActivePrint(began.ts, FILE, began.at)).start()
    try:
        ended = again.wait(PrintEnded)
        job = agent.api.call("server.history.list", {"limit": 1})["jobs"][0]
        assert (ended.outcome, ended.at) == (PrintOutcome.CANCELLED, job["end_time"])
    finally:
        again.stop()


def test_a_call_waits_without_limit_and_gives_way_to_an_interrupt(host: MoonrakerHost, agent: Watched) -> None:
    begin(host, agent)
    host.control.block(r".*")  # the G-code lock is held
    host.control.release()
    host.control.block(r".*")
    interrupt = Interrupt()
    failure: list[Exception] = []

    def wait() -> None:
        try:
            agent.api.call("printer.gcode.script", {"script": "G28"}, interrupt=interrupt)
        except CommandFailed as error:
            failure.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    with pytest.raises(Unreachable, match="did not answer"):
        agent.api.call("printer.gcode.script", {"script": "M114"}, timeout=0.3)
    interrupt.set("test")
    thread.join(2.0)
    assert not thread.is_alive()
    assert "not waited for" in str(failure[0])
    host.control.release()


def test_calls_and_waiters_learn_at_once_that_moonraker_is_gone(host: MoonrakerHost, agent: Watched) -> None:
    agent.wait(NothingPrints)
    seen: list[object] = []
    waiter = threading.Thread(target=lambda: seen.append(agent.api.wait_for(lambda objects: not objects, timeout=20)))
    waiter.start()
    host.kill_moonraker()
    waiter.join(5.0)
    assert seen == [True]
    with pytest.raises(Unreachable):
        agent.api.call("server.info", timeout=5)


def test_an_api_key_is_needed_and_said_so(caplog: pytest.LogCaptureFixture) -> None:
    with MoonrakerHost(authorization=KEY_NEEDED) as host:
        agent = Watched(host.port).start()
        wrong = Watched(host.port, key="0" * 32).start()
        wait_until(lambda: "wants an API key" in caplog.text and "refuses the api_key" in caplog.text, 10, "both said")
        agent.stop()
        wrong.stop()
        right = Watched(host.port, key=api_key(host)).start()
        right.wait(NothingPrints)
        right.stop()
        assert api_key(host) not in caplog.text


def test_logins_enabled() -> None:
    with MoonrakerHost(authorization="[authorization]\nforce_logins: true\ntrusted_clients:\n  127.0.0.1\n") as host:
        body = json.dumps({"username": "maker", "password": "a long password"}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{host.port}/access/user", body, {"Content-Type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=10).close()
        agent = Watched(host.port, key=api_key(host)).start()
        agent.wait(NothingPrints)
        agent.stop()


def test_cameras_and_their_changes_are_told() -> None:
    camera = "[webcam front]\nstream_url: /webcam/?action=stream\nsnapshot_url: /webcam/?action=snapshot\n"
    with MoonrakerHost(extra=camera) as host:
        agent = Watched(host.port).start()
        wait_until(lambda: "webcams" in agent.facts, 10, "webcams")
        assert [each["name"] for each in agent.facts["webcams"]["webcams"]] == ["front"]
        entry = {"name": "side", "service": "mjpegstreamer", "stream_url": "/side", "snapshot_url": "/side.jpg"}
        agent.api.call("server.webcams.post_item", entry, timeout=5)
        wait_until(lambda: len(agent.facts["webcams"]["webcams"]) == 2, 10, "the second one")
        agent.stop()
