"""The whole agent, threads and all, against a loopback server; only the printer is a fake."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent_core import payload
from agent_core.config import AgentConfig, Secret
from agent_core.database import Database
from agent_core.errors import CommandFailed
from agent_core.model import (
    AlertRaised,
    HostSettings,
    Job,
    LinkState,
    NothingPrints,
    Phase,
    PrintBegan,
    PrintEnded,
    PrinterReport,
    PrinterReported,
    PrintFound,
    PrintOutcome,
    PrintPaused,
    SettingsReported,
)
from agent_core.passthru import Handler
from agent_core.pause import PauseSettings
from agent_core.ports import HttpRequest, HttpResponse, Interrupt
from agent_core.runtime import core, inbox
from agent_core.runtime.agent import Agent, Parts
from agent_core.runtime.clock import SystemClock
from agent_core.transport.websocket import FrameRead
from agent_core.wire.messages import PassthruCall
from tests.fakes.socket_server import PATIENCE, Peer, SocketServer

PRINTING = PrinterReport(phase=Phase.PRINTING, job=Job(name="vase.gcode", size=9, signature="ts:1.5"))
IDLE = PrinterReport(phase=Phase.OPERATIONAL)


class FakeHttp:
    """Answers file registration and alerts; keeps the requests."""

    def __init__(self) -> None:
        self.requests: list[HttpRequest] = []
        self.status = 200
        self.seen = threading.Condition()

    def send(self, request: HttpRequest) -> HttpResponse:
        with self.seen:
            self.requests.append(request)
            self.seen.notify_all()
        return HttpResponse(self.status, {}, b'{"id": 31}')

    def close(self) -> None: ...

    def wait(self, wanted: Callable[[HttpRequest], bool], count: int = 1) -> HttpRequest:
        with self.seen:
            assert self.seen.wait_for(lambda: len([r for r in self.requests if wanted(r)]) >= count, PATIENCE)
            return [request for request in self.requests if wanted(request)][-1]


class FakePrinter:
    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.go_on.set()
        self.pausing = threading.Event()

    def check(self, command: str) -> None: ...

    def pause(self, settings: PauseSettings, interrupt: Interrupt) -> str:
        self.pausing.set()
        assert self.go_on.wait(PATIENCE)
        return f"paused; retracted {settings.retract} mm"

    def resume(self, interrupt: Interrupt) -> str:
        raise CommandFailed("Must home axis first")

    def cancel(self, interrupt: Interrupt) -> str:
        assert interrupt.wait(PATIENCE)
        raise CommandFailed(interrupt.reason)


class Rig:
    def __init__(
        self, url: str, folder: Path, token: str | None = "t0ken", passthru: Mapping[str, Handler] | None = None
    ) -> None:
        self.http, self.printer = FakeHttp(), FakePrinter()
        self.links: list[LinkState] = []
        self.changed = threading.Condition()
        self.database = Database(str(folder))
        secret = Secret(token) if token else None
        config = AgentConfig("moonraker_obico", "3.0.0", url, secret, str(folder))
        self.agent = Agent(
            Parts(config, self.printer, self.database, SystemClock(), self.http, self._on_link_change, passthru or {})
        )

    def _on_link_change(self, state: LinkState) -> None:
        with self.changed:
            self.links.append(state)
            self.changed.notify_all()

    def wait_link(self, wanted: Callable[[LinkState], bool]) -> LinkState:
        with self.changed:
            assert self.changed.wait_for(lambda: any(map(wanted, self.links)), PATIENCE), self.links
            return next(state for state in reversed(self.links) if wanted(state))

    def end(self) -> None:
        assert self.agent.stop() == []
        self.database.close()


@pytest.fixture
def server() -> Iterator[SocketServer]:
    with SocketServer() as running:
        yield running


@pytest.fixture
def rig(server: SocketServer, tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(server.url, tmp_path)
    rig.agent.start()
    yield rig
    rig.end()


def has_event(name: str) -> Callable[[Any], bool]:
    return lambda frame: frame.get("event", {}).get("event_type") == name


def has_ts(ts: int) -> Callable[[Any], bool]:
    return lambda frame: frame.get("current_print_ts") == ts and "event" not in frame


def ack(peer: Peer, frame: dict[str, Any]) -> None:
    peer.send({"ack": {"events": [frame["event"]["id"]]}})


def test_the_first_frame_is_a_status_with_settings(server: SocketServer, rig: Rig) -> None:
    rig.agent.post(SettingsReported(HostSettings(installed_plugins=("timelapse",)), 1.0))
    frame = server.peer().next(lambda frame: "installed_plugins" in frame.get("settings", {}))
    assert frame["settings"]["agent"] == {"name": "moonraker_obico", "version": "3.0.0"}
    assert "current_print_ts" not in frame  # nothing is known yet: the server leaves prints alone
    assert frame["status"]["state"]["text"] == "Offline"
    state = rig.wait_link(lambda state: state.server_name is not None)
    assert (state.connected, state.needs_person, state.server_name) == (True, False, "reference_server 3.0.0")


def test_a_print_from_start_to_end(server: SocketServer, rig: Rig) -> None:
    peer = server.peer()
    rig.agent.post(NothingPrints(1.0))
    peer.next(has_ts(-1))
    rig.agent.post(PrinterReported(PRINTING, 2.0))
    rig.agent.post(PrintBegan(1767000000, "vase.gcode", 2.0))
    started = peer.next(has_event("PrintStarted"))
    assert started["current_print_ts"] == 1767000000
    assert started["event"]["at"] == 2.0
    frame = peer.next(lambda frame: frame["status"]["job"]["file"]["obico_g_code_file_id"] == 31)
    assert frame["status"]["state"]["flags"]["printing"]
    rig.agent.post(PrintEnded(PrintOutcome.DONE, 9.0))
    rig.agent.post(PrinterReported(IDLE, 9.0))
    done = peer.next(has_event("PrintDone"))
    assert done["status"]["job"]["file"]["obico_g_code_file_id"] == 31
    peer.next(has_ts(-1))
    for event in (started, done):
        ack(peer, event)
    rig.wait_link(lambda state: state.connected and state.queued_events == 0)


def _was_emptied(counts: list[int]) -> bool:
    return counts[-1:] == [0] and any(counts)


def test_what_happens_in_an_outage_is_told_afterwards_in_order(server: SocketServer, tmp_path: Path) -> None:
    rig = Rig(server.url, tmp_path)
    rig.agent.start()
    peer = server.peer()
    rig.agent.post(PrinterReported(PRINTING, 2.0))
    rig.agent.post(PrintBegan(100, "vase.gcode", 2.0))
    ack(peer, peer.next(has_event("PrintStarted")))
    # Only then: an abort throws away what the other side has not read yet.
    with rig.changed:
        assert rig.changed.wait_for(lambda: _was_emptied([state.queued_events for state in rig.links]), PATIENCE)
    server.refuse_with = 503
    peer.abort()
    rig.wait_link(lambda state: not state.connected and state.needs_person is False)
    rig.agent.post(PrintPaused(50.0))
    rig.agent.post(PrintEnded(PrintOutcome.CANCELLED, 60.0))
    rig.agent.post(PrinterReported(IDLE, 60.0))
    rig.wait_link(lambda state: state.queued_events == 3)
    server.refuse_with = None
    peer = server.peer()
    told = [peer.next() for _ in range(4)]
    assert [frame.get("event", {}).get("event_type") for frame in told] == [
        "PrintPaused", "PrintCancelled", "PrintFailed", None
    ]  # fmt: skip
    assert [frame["current_print_ts"] for frame in told] == [100, 100, 100, -1]
    assert [frame["event"]["at"] for frame in told[:3]] == [50.0, 60.0, 60.0]
    rig.end()


def test_events_survive_a_restart_of_the_agent_and_keep_their_ids(server: SocketServer, tmp_path: Path) -> None:
    first = Rig(server.url, tmp_path)
    first.agent.start()
    peer = server.peer()
    first.agent.post(PrintBegan(100, "vase.gcode", 2.0))
    event = peer.next(has_event("PrintStarted"))["event"]
    first.end()
    assert peer.closed.wait(PATIENCE)
    second = Rig(server.url, tmp_path)
    remembered = second.agent.remembered_print()
    assert remembered is not None
    assert (remembered.ts, remembered.filename) == (100, "vase.gcode")
    second.agent.start()
    peer = server.peer()
    assert peer.next()["event"] == event
    second.agent.post(PrintFound(100, "vase.gcode", 3.0))
    peer.next(has_ts(100))
    assert second.agent.state.print is not None
    second.end()


def test_commands_are_carried_out_and_answered(server: SocketServer, rig: Rig) -> None:
    peer = server.peer()
    rig.agent.post(PrinterReported(PRINTING, 2.0))
    rig.printer.go_on.clear()
    peer.send({"commands": [{"cmd": "pause", "args": {"retract": 6.5}, "initiator": "web", "id": "c1"}]})

    def acked(frame: Any) -> bool:
        return "command_ack" in frame

    assert peer.next(acked)["command_ack"] == {"id": "c1", "state": "accepted", "error": None}
    peer.next(lambda frame: frame.get("status", {}).get("state", {}).get("text") == "Pausing")
    rig.printer.go_on.set()
    assert peer.next(acked)["command_ack"] == {
        "id": "c1", "state": "done", "error": None, "text": "paused; retracted 6.5 mm"
    }  # fmt: skip
    peer.send({"commands": [{"cmd": "resume", "args": {}, "id": "c2"}]})
    assert peer.next(lambda f: acked(f) and f["command_ack"]["state"] == "failed")["command_ack"]["error"] == (
        "Must home axis first"
    )


def test_a_passthru_call_is_answered(server: SocketServer, rig: Rig) -> None:
    peer = server.peer()
    peer.send({"passthru": {"target": "_printer", "func": "home", "args": ["z"], "ref": "0.7"}})
    reply = peer.next(lambda frame: "passthru" in frame)["passthru"]
    assert reply["ref"] == "0.7"
    assert "not supported" in reply["error"]
    assert rig.agent.idle_seconds() < 30


def test_calls_run_beside_the_core_a_bug_costs_one_call_and_a_stop_answers_the_rest(
    server: SocketServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    go_on, names = threading.Event(), list[str]()

    def slow(_: PassthruCall) -> str:
        names.append(threading.current_thread().name)
        assert go_on.wait(PATIENCE)
        return "late"

    def buggy(_: PassthruCall) -> None:
        raise ZeroDivisionError

    rig = Rig(server.url, tmp_path, passthru={"a.slow": slow, "b.buggy": buggy})
    rig.agent.start()
    peer = server.peer()
    try:
        for target, func in (("a", "slow"), ("b", "buggy")):
            peer.send({"passthru": {"target": target, "func": func, "ref": func}})
        answer = peer.next(lambda frame: "passthru" in frame)["passthru"]
        assert answer == {"ref": "buggy", "error": "a fault in the agent, see its log"}
        stopper = threading.Thread(target=rig.agent.stop)
        stopper.start()
        answer = peer.next(lambda frame: "passthru" in frame)["passthru"]
        assert answer == {"ref": "slow", "error": "the agent stops; it may still be carried out"}
        assert names == ["obico-call"]
    finally:
        go_on.set()
        stopper.join(PATIENCE)
        rig.end()
    assert "ZeroDivisionError" in caplog.text
    assert not [thread for thread in threading.enumerate() if thread.name == "obico-call"]


def test_a_viewer_who_switches_it_on_sees_the_terminal(server: SocketServer, rig: Rig) -> None:
    peer = server.peer()
    rig.agent.terminal_line("Send: nobody looks")
    peer.send({"remote_status": {"viewing": True}})
    toggle = {"target": "gcode_hooks", "func": "toggle_terminal_feed", "args": ["on"], "ref": "1"}
    peer.send({"passthru": toggle})
    assert peer.next(lambda frame: "passthru" in frame)["passthru"] == {"ref": "1", "ret": True}
    rig.agent.terminal_line("Recv: ok T:20.0")
    assert peer.next(lambda frame: "passthru" in frame)["passthru"]["terminal_feed"]["msg"] == "Recv: ok T:20.0"
    peer.send({"passthru": {"target": "webcam_streamer", "func": "start", "ref": "2"}})
    assert "does not stream" in peer.next(lambda frame: "passthru" in frame)["passthru"]["error"]
    peer.send({"passthru": {"target": "jpeg_poster", "func": "web_snapshot_request", "args": ["x"], "ref": "3"}})
    assert peer.next(lambda frame: "passthru" in frame)["passthru"] == {"ref": "3", "error": "there is no camera"}


def test_rubbish_from_the_server_harms_nothing(server: SocketServer, rig: Rig) -> None:
    peer = server.peer()
    for rubbish in ("nonsense", b"\xff\xfe", '{"commands": 7, "ack": [], "remote_status": null}', "[]", "{}"):
        peer.send(rubbish)
    peer.send({"passthru": {"ref": "1"}})
    assert peer.next(lambda frame: "passthru" in frame)["passthru"]["ref"] == "1"


def test_a_viewer_gets_statuses_more_often(server: SocketServer, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "WATCHED_SECONDS", 0.05)
    peer = server.peer()
    peer.send({"remote_status": {"viewing": True}})
    stamps = {peer.next()["status"]["_ts"] for _ in range(4)}
    assert len(stamps) > 1


def test_another_holder_of_the_token_stops_the_link_and_says_what_to_do(server: SocketServer, rig: Rig) -> None:
    server.peer().close(4321)
    state = rig.wait_link(lambda state: state.needs_person)
    assert "another agent uses this printer's token" in str(state.reason)
    assert rig.agent.link.connected is False


def test_a_revoked_token_is_said_once(server: SocketServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server.refuse_with = 403
    rig = Rig(server.url, tmp_path)
    with caplog.at_level(logging.INFO):
        rig.agent.start()
        state = rig.wait_link(lambda state: "token" in str(state.reason))
        rig.end()
    assert state.needs_person
    assert caplog.text.count("not connected") == 1
    assert "t0ken" not in caplog.text


def test_an_agent_that_is_not_linked_makes_no_connection(server: SocketServer, tmp_path: Path) -> None:
    rig = Rig(server.url, tmp_path, token=None)
    rig.agent.start()
    rig.agent.post(PrinterReported(IDLE, 1.0))
    rig.end()
    assert rig.agent.link.needs_person
    assert "six-digit code" in str(rig.agent.link.reason)
    assert server.requests == []


def test_alerts_go_to_viewers_and_by_http_and_wait_for_the_server(server: SocketServer, rig: Rig) -> None:
    peer = server.peer()
    rig.http.status = 500

    def is_alert(request: HttpRequest) -> bool:
        return request.url.endswith("/printer_events/")

    rig.agent.post(AlertRaised("Homing lost", "The motors went off.", 5.0))
    toast = peer.next(lambda frame: "passthru" in frame)["passthru"]["printer_event"]
    assert toast["event_title"] == "Homing lost"
    first = rig.http.wait(is_alert)
    rig.http.status = 200
    peer.abort()
    second = rig.http.wait(is_alert, 2)
    assert first.headers["Idempotency-Key"] == second.headers["Idempotency-Key"]
    assert dict(second.form or {})["event_title"] == "Homing lost"


def test_an_alert_that_the_server_will_not_have_does_not_hold_up_the_others(rig: Rig, server: SocketServer) -> None:
    def is_alert(title: str) -> Callable[[HttpRequest], bool]:
        return lambda request: (request.form or {}).get("event_title") == title

    server.peer()
    rig.http.status = 400
    rig.agent.post(AlertRaised("bad", "The server takes offence.", 5.0))
    rig.http.wait(is_alert("bad"))
    rig.agent.post(AlertRaised("good", "The heater is on fire.", 6.0))
    rig.http.wait(is_alert("good"))


def test_no_thread_is_left_and_no_more_than_four_are_used(server: SocketServer, tmp_path: Path) -> None:
    def ours() -> list[str]:
        return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("obico-"))

    rig = Rig(server.url, tmp_path)
    rig.agent.start()
    server.peer()
    assert ours() == ["obico-commands", "obico-core", "obico-link", "obico-snapshots"]
    rig.end()
    assert ours() == []


def test_reports_that_wait_give_way_to_newer_ones_and_the_inbox_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox, "HOST_LIMIT", 3)
    monkeypatch.setattr(inbox, "FRAME_LIMIT", 2)
    box = inbox.Inbox()
    assert box.put_host(PrinterReported(IDLE, 1.0, urgent=True))
    assert box.put_host(PrinterReported(PRINTING, 2.0))
    assert box.put_host(PrintPaused(3.0))
    assert box.put_host(PrinterReported(IDLE, 4.0))
    assert not box.put_host(PrintPaused(5.0))
    assert [box.put_link(FrameRead("x")) for _ in range(3)] == [True, True, False]
    assert box.take() == PrinterReported(PRINTING, 2.0, urgent=True)
    assert box.take() == PrintPaused(3.0)
    assert box.take() == PrinterReported(IDLE, 4.0)
    assert box.take() == FrameRead("x")
    assert box.put_link(FrameRead("x"))


def test_a_core_that_stands_still_says_so_once(
    server: SocketServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(inbox, "HOST_LIMIT", 2)
    rig = Rig(server.url, tmp_path)
    with caplog.at_level(logging.ERROR):
        for _ in range(5):
            rig.agent.post(PrintPaused(1.0))
    assert caplog.text.count("stands still") == 1
    rig.end()


def test_a_straggler_is_named(server: SocketServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rig = Rig(server.url, tmp_path)
    rig.agent.start()
    peer = server.peer()
    rig.printer.go_on.clear()
    peer.send({"commands": [{"cmd": "pause", "args": {}, "id": "c1"}]})
    peer.next(lambda frame: "command_ack" in frame)
    assert rig.printer.pausing.wait(PATIENCE)  # the answer goes out before the printer's hands are at work
    with caplog.at_level(logging.WARNING):
        assert rig.agent.stop(1.0) == ["commands"]
    assert "did not end" in caplog.text
    rig.printer.go_on.set()
    rig.end()


def test_ids_are_random_uuids() -> None:
    import uuid

    ids = {core.new_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(uuid.UUID(ident).version == 4 for ident in ids)
    assert json.loads(json.dumps(sorted(ids)))
