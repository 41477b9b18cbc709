"""The core thread's turns, one by one, with a link and a clock that do as they are told."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from agent_core.config import AgentConfig, Secret
from agent_core.database import FILE_NAME, Database
from agent_core.errors import AuthRefused, TlsRefused, Unreachable
from agent_core.features.printer_events import Delivery, Note, Outcome
from agent_core.model import (
    AlertRaised,
    ExpectedPrint,
    HostEvent,
    HostSettings,
    Job,
    LinkState,
    Phase,
    PrintBegan,
    PrintEnded,
    PrinterReport,
    PrinterReported,
    PrintOutcome,
    Progress,
    SettingsReported,
    Temperature,
)
from agent_core.outbox import Outbox
from agent_core.runtime.core import Core
from agent_core.runtime.crew import Crew
from agent_core.runtime.tunnels import LateTunnel
from agent_core.runtime.worker import Task
from agent_core.transport.websocket import Alive, Closed, FrameRead, Opened, Refused, Written
from agent_core.wire.messages import Capability


class FakeClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return 1_795_000_000.0 + self.time

    def monotonic(self) -> float:
        return self.time


class FakeLink:
    def __init__(self) -> None:
        self.done: list[str] = []
        self.frames: list[Any] = []

    def connect(self) -> None:
        self.done.append("connect")

    def close(self) -> None:
        self.done.append("close")

    def ping(self) -> None:
        self.done.append("ping")

    def send(self, frame: str | bytes) -> None:
        self.frames.append(json.loads(frame))


class FakeCourier:
    """Runs what it is given when it is told to, in place of the snapshots worker."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.shot: list[str] = []
        self.notes: list[Note] = []
        self.answer = Delivery(Outcome.DELIVERED)
        self.room = 0

    def submit(self, task: Task) -> bool:
        self.tasks.append(task)
        return True

    def shoot(self, ident: str) -> None:
        self.shot.append(ident)

    def deliver(self, note: Note) -> Delivery:
        self.notes.append(note)
        return self.answer

    def make_room(self) -> None:
        self.room += 1

    def work(self) -> None:
        tasks, self.tasks = self.tasks, []
        for task in tasks:
            task()


class Bench:
    def __init__(self, folder: Path) -> None:
        self.clock, self.link = FakeClock(), FakeLink()
        self.database = Database(str(folder))
        self.links: list[LinkState] = []
        self.greetings: list[frozenset[Capability]] = []
        self.courier = FakeCourier()
        config = AgentConfig("moonraker_obico", "3", "http://h:1", Secret("t0ken"), str(folder))
        self.core = Core(
            config, self.database, self.clock, self.link,  # type: ignore[arg-type]  # as much of a Link as it needs
            uniform=lambda: 1.0, on_link_change=self.links.append, on_pictures=lambda _p, _v, _w: None,
            on_boost=lambda: None, on_greeting=self.greetings.append, register_file=lambda _ts, _job: None,
            courier=self.courier, passthru={},
            crew=Crew("call"), tunnel=LateTunnel(None, tuple, lambda _frame, _done: None),
        )  # fmt: skip

    def turn(self, *events: Any, seconds: float = 0.0) -> float:
        for event in events:
            if isinstance(event, (Opened, Refused, FrameRead, Alive, Written, Closed)):
                self.core.on_link_event(event)
            else:
                self.core.post(event)
        self.clock.time += seconds
        return self.core._turn()

    def events(self) -> list[str]:
        return [frame["event"]["event_type"] for frame in self.link.frames if frame.get("event")]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.database.close()


def server_says(**message: Any) -> FrameRead:
    return FrameRead(json.dumps(message))


def test_each_reason_is_told_once_in_an_outage_even_if_they_alternate(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """A weak Wi-Fi fails now by DNS, now by timeout: a line for each attempt would fill the log of a night."""
    with caplog.at_level(logging.INFO):
        for _ in range(10):
            for reason in ("the host name is not known", "no connection: timed out"):
                bench.turn(seconds=60.0)
                bench.turn(Refused(Unreachable(reason)))
        assert caplog.text.count("not connected") == 2
        bench.turn(seconds=60.0)
        bench.turn(Opened())
        assert caplog.text.count("connected to http://h:1") == 1
        bench.turn(Closed(1006, "the host name is not known"))
    assert caplog.text.count("not connected") == 3
    assert bench.core.link_state.reason == "the host name is not known"


@pytest.mark.parametrize("error", [AuthRefused("link again"), TlsRefused("its certificate has expired")])
def test_what_a_person_must_do_is_an_error_once(
    bench: Bench, caplog: pytest.LogCaptureFixture, error: AuthRefused | TlsRefused
) -> None:
    for _ in range(3):
        bench.turn(seconds=400.0)
        bench.turn(Refused(error))
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert bench.core.link_state.needs_person
    assert bench.link.done.count("connect") >= 3  # a person may set it right without a restart


def test_figures_that_are_none_keep_no_event_back(bench: Bench) -> None:
    """What the printer reports is foreign input; that a print began or ended must be told all the same."""
    bench.turn(Opened())
    mad = PrinterReport(phase=Phase.PRINTING, job=Job(name="a"), progress=Progress(print_time=float("nan")))
    happened: list[HostEvent] = [
        PrinterReported(mad, 1.0),
        PrintBegan(5, "a", 5.0),
        PrintEnded(PrintOutcome.DONE, 9.0, None, mad),
    ]
    for event in happened:
        bench.turn(event)
    assert bench.events() == ["PrintStarted", "PrintDone"]
    assert [frame["current_print_ts"] for frame in bench.link.frames if frame.get("event")] == [5, 5]


def test_settings_that_cannot_be_written_do_not_keep_the_statuses_back(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """They are sent together with a status; without this the printer would be shown as offline for good."""
    bench.turn(SettingsReported(HostSettings(installed_plugins=("x" * 2_000_000,)), 1.0), Opened())
    bench.turn(PrinterReported(PrinterReport(phase=Phase.OPERATIONAL, z=1.0), 2.0, urgent=True), seconds=1.0)
    assert bench.link.frames[-1]["status"]["currentZ"] == 1.0
    bench.turn(seconds=60.0)
    assert caplog.text.count("could not be written") == 1


def test_a_status_that_cannot_be_written_makes_no_hot_loop(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.turn(Opened())
    vast = PrinterReport(phase=Phase.OPERATIONAL, job=Job(name="x" * 2_000_000))
    wait = bench.turn(PrinterReported(vast, 1.0, urgent=True), seconds=1.0)
    assert "a status could not be written" in caplog.text
    assert wait > 1.0
    bench.turn(PrinterReported(PrinterReport(phase=Phase.OPERATIONAL, z=1.0), 2.0, urgent=True), seconds=1.0)
    assert bench.link.frames[-1]["status"]["currentZ"] == 1.0


def test_a_peer_that_is_dead_is_given_up_within_45_s(bench: Bench) -> None:
    bench.turn(Opened())
    bench.turn(seconds=20.0)
    assert bench.link.done[-1] == "ping"
    bench.turn(Alive())
    bench.turn(seconds=20.0)
    assert bench.link.done.count("ping") == 2
    bench.turn(seconds=15.0)
    assert bench.link.done[-1] == "close"
    assert bench.core.link_state.reason == "the server does not answer: connection given up"
    assert not bench.core.link_state.connected


def test_the_server_is_known_by_its_name(bench: Bench) -> None:
    bench.turn(Opened())
    bench.turn(server_says(server={"name": "reference", "version": "3"}, remote_status={"viewing": True}))
    assert bench.core.link_state.server_name == "reference 3"
    bench.turn(FrameRead("no JSON"), FrameRead("[]"), FrameRead(b"\x00"), server_says(unheard="of"))
    assert bench.core.link_state.connected


def test_the_state_outlives_a_clock_that_is_set(bench: Bench) -> None:
    """A Raspberry Pi has no clock of its own: NTP may set it by hours, either way."""
    bench.turn(Opened())
    bench.turn(PrinterReported(PrinterReport(phase=Phase.PRINTING), 1.0), PrintBegan(5, "a", 5.0))
    bench.core.on_command_begin(Phase.PAUSING)
    bench.core.on_command_end(succeeded=True)
    bench.turn()
    assert bench.core.state.transient is not None
    bench.clock.now = lambda: 1_700_000_000.0  # type: ignore[method-assign]  # years back
    bench.turn(PrinterReported(PrinterReport(phase=Phase.PRINTING, z=1.0), 2.0))
    assert bench.core.state.transient is None


HOT = {"tool0": Temperature(215.0, 215.0), "bed": Temperature(60.0, 60.0)}


def test_nothing_is_written_while_nothing_happens(bench: Bench) -> None:
    """An SD card wears out: an hour idle and an hour of printing are worth the events in them and nothing more."""
    bench.turn(Opened(), server_says(server={"capabilities": ["event_ack", "job_order", "odd"]}))
    assert bench.greetings == [frozenset({Capability.EVENT_ACK, Capability.JOB_ORDER})]
    idle = PrinterReport(Phase.OPERATIONAL, temperatures={"tool0": Temperature(21.0, 0.0)})
    bench.turn(PrinterReported(idle, 1.0))
    before, bytes_before = bench.database.commits, files_of(bench)
    for second in range(3600):
        warm = replace(idle, temperatures={"tool0": Temperature(21.0 + second % 7 / 10, 0.0)})
        bench.turn(PrinterReported(warm, float(second)), Written(), Alive(), seconds=1.0)
    assert (bench.database.commits, files_of(bench)) == (before, bytes_before)

    bench.turn(PrinterReported(PrinterReport(Phase.PRINTING, temperatures=HOT), 1.0), PrintBegan(5, "a", 5.0))
    begun, bytes_begun = bench.database.commits, files_of(bench)
    assert begun == before + 1
    for second in range(3600):
        progress = Progress(completion=second / 36, filepos=second, print_time=float(second))
        report = PrinterReport(Phase.PRINTING, progress=progress, temperatures=HOT, z=second / 100)
        bench.turn(PrinterReported(report, float(second)), Written(), Alive(), seconds=1.0)
    assert (bench.database.commits, files_of(bench)) == (begun, bytes_begun)
    assert len(bench.link.frames) > 300  # statuses went out all the while


def files_of(bench: Bench) -> dict[str, tuple[int, int]]:
    """Size and time of change of all that the agent has on disk."""
    found = bench.database.path.parent.rglob("*")
    return {str(file): (file.stat().st_size, file.stat().st_mtime_ns) for file in found}


def test_an_event_is_kept_for_the_print_that_it_belongs_to(bench: Bench) -> None:
    bench.turn(Opened(), PrintBegan(5, "a", 5.0), AlertRaised("Homing lost", "The motors went off.", 6.0))
    bench.courier.work()
    bench.turn()
    bench.courier.work()
    (note,) = bench.courier.notes
    assert (note.title, note.print_ts, bench.courier.shot) == ("Homing lost", 5, [note.id])
    bench.turn()
    assert bench.core.link_state.queued_events == 1  # PrintStarted, which this server has not acknowledged yet
    toasts = [frame for frame in bench.link.frames if "passthru" in frame]
    assert [toast["passthru"]["printer_event"]["event_title"] for toast in toasts] == ["Homing lost"]


def test_a_camera_and_a_heater_in_trouble_are_told(bench: Bench) -> None:
    bench.turn(PrinterReported(PrinterReport(Phase.PRINTING, temperatures=HOT), 1.0), PrintBegan(5, "a", 5.0))
    bench.core.on_camera_state("Bed", True, None)
    bench.core.on_camera_state("Bed", False, "timed out")
    cold = {"tool0": Temperature(150.0, 215.0), "bed": Temperature(60.0, 60.0)}
    bench.turn(PrinterReported(PrinterReport(Phase.PRINTING, temperatures=cold), 1.0))
    for _ in range(30):
        bench.turn(seconds=20.0)
        bench.courier.work()
    bench.core.on_camera_state("Bed", True, None)
    bench.turn()
    for _ in range(3):
        bench.courier.work()
        bench.turn()
    assert [note.title for note in bench.courier.notes] == [
        "Heater Far From Its Target", "Camera Has Stopped", "Camera Is Back",
    ]  # fmt: skip


def test_trouble_with_the_disk_is_an_event_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> NoReturn:
        raise OSError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(bench.database, "transaction", refuse)
        bench.turn(PrintBegan(5, "a", 5.0))
        for _ in range(5):
            bench.turn(seconds=1.0)
            bench.courier.work()
        assert [note.title for note in bench.courier.notes] == ["Agent Has Trouble With Its Storage"]
        bench.turn(seconds=61.0)
        bench.turn(seconds=1.0)
        bench.courier.work()
        assert bench.courier.room == 1  # snapshots go before events
    commits = bench.database.commits
    bench.turn(seconds=120.0)
    bench.turn(seconds=1.0)
    assert bench.database.commits > commits  # without waiting for the next event
    (kept,) = Outbox(bench.database).waiting(9)
    assert "PrintStarted" in kept.frame


def test_a_database_that_was_damaged_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is no database at all, but a text of some length" * 100)
    bench = Bench(tmp_path)
    for _ in range(4):
        bench.turn(seconds=1.0)
        bench.courier.work()
    (note,) = bench.courier.notes
    assert note.text.startswith("Its file was damaged")
    bench.database.close()


def test_what_is_expected_is_called_off_by_its_own_order_only(bench: Bench) -> None:
    expected = ExpectedPrint("a.gcode", 5, "att_2")
    bench.core.on_expected("att_2", expected)
    bench.core.on_expected("att_1", None)
    bench.turn()
    assert bench.core.state.expected == expected
    bench.core.on_expected("att_2", None)
    bench.turn()
    assert bench.core.state.expected is None
