"""Printer events: told in measure, kept until the server has them, with a snapshot of the moment."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from agent_core.config import AgentConfig, Secret
from agent_core.database import FILE_NAME, Database
from agent_core.errors import AgentError, Unreachable
from agent_core.features.event_gate import BURST, KNOWN, EventGate
from agent_core.features.event_pictures import FOLDER, EventPictures
from agent_core.features.printer_events import (
    RETRY_MOST,
    Delivery,
    EventCourier,
    EventDesk,
    Note,
    Outcome,
)
from agent_core.model import AlertRaised
from agent_core.outbox import Entry, Lane, Outbox
from agent_core.ports import HttpRequest, HttpResponse
from agent_core.runtime.worker import Task
from agent_core.wire.messages import PrinterEventToast

T0 = 1_795_000_000.0
FILAMENT = AlertRaised("Filament Change", "M600", T0, "FILAMENT_CHANGE", topic="filament", every=600.0)


# --- in measure -------------------------------------------------------------------------------------------------------


def test_the_same_topic_is_told_again_only_after_its_time() -> None:
    gate = EventGate()
    other = AlertRaised("Filament Ran Out", "sensor", T0, "FILAMENT_CHANGE", topic="filament", every=600.0)
    assert gate.lets(FILAMENT, 5, T0)
    assert not gate.lets(other, 5, T0 + 599)
    assert gate.lets(other, 5, T0 + 600)


def test_without_a_topic_the_title_counts_and_half_an_hour() -> None:
    gate = EventGate()
    first, second = AlertRaised("Homing lost", "x", T0), AlertRaised("Homing lost", "y", T0)
    assert gate.lets(first, None, T0)
    assert not gate.lets(second, None, T0 + 1799)
    assert gate.lets(AlertRaised("Something else", "x", T0), None, T0 + 1)
    assert gate.lets(second, None, T0 + 1800)


def test_another_print_counts_anew() -> None:
    gate = EventGate()
    assert [gate.lets(FILAMENT, ts, T0) for ts in (5, 5, 6)] == [True, False, True]


def test_the_gate_outlives_a_restart_and_a_clock_that_is_set_back() -> None:
    gate = EventGate()
    assert gate.lets(FILAMENT, 5, T0)
    again = EventGate(json.loads(json.dumps(gate.to_json())))
    assert not again.lets(FILAMENT, 5, T0 + 60)
    assert again.lets(FILAMENT, 5, T0 - 86_400)
    assert EventGate({"x": "rubbish", "y": None}).to_json() == {}


def test_the_gate_is_bounded() -> None:
    gate = EventGate()
    flood = [gate.lets(AlertRaised(f"title {number}", "", T0), 5, T0 + number) for number in range(1000)]
    assert sum(flood) == BURST
    for number in range(2 * KNOWN):
        gate.lets(AlertRaised(f"later {number}", "", T0), 5, T0 + 4000.0 * number)
    assert len(gate.to_json()) == KNOWN


# --- pictures ---------------------------------------------------------------------------------------------------------


def test_pictures_give_way_by_age(tmp_path: Path) -> None:
    pictures = EventPictures(str(tmp_path), limit=250)
    for number, name in enumerate(("a", "b", "c")):
        assert pictures.keep(name, b"x" * 100)
        os.utime(tmp_path / FOLDER / f"{name}.jpg", (number, number))
    assert [pictures.get(name) is not None for name in "abc"] == [False, True, True]
    assert not pictures.keep("huge", b"x" * 300)
    pictures.keep_only(("c",))
    assert [file.name for file in (tmp_path / FOLDER).iterdir()] == ["c.jpg"]
    pictures.forget("c")
    pictures.forget("c")
    assert pictures.get("c") is None


def test_a_full_disk_costs_the_older_pictures_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = EventPictures(str(tmp_path))
    pictures.keep("old", b"x" * 100)
    write = Path.write_bytes

    def full(self: Path, data: bytes) -> int:
        if (tmp_path / FOLDER / "old.jpg").exists() or len(data) > 200:
            raise OSError(28, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert pictures.keep("new", b"y" * 100)
    assert not pictures.keep("big", b"z" * 300)
    assert [file.name for file in (tmp_path / FOLDER).iterdir()] == []


def test_an_id_out_of_a_damaged_file_names_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret.jpg").write_bytes(b"s")
    pictures = EventPictures(str(tmp_path))
    assert pictures.get("../secret") is None
    pictures.forget("../secret")
    assert (tmp_path / "secret.jpg").exists()


def test_snapshots_go_before_events(tmp_path: Path) -> None:
    post = courier(tmp_path, Http())
    post.shoot("a")
    post.make_room()
    assert EventPictures(str(tmp_path)).get("a") is None


# --- the courier ------------------------------------------------------------------------------------------------------


class Http:
    def __init__(self, *answers: HttpResponse | AgentError) -> None:
        self.answers = list(answers)
        self.requests: list[HttpRequest] = []

    def send(self, request: HttpRequest) -> HttpResponse:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else HttpResponse(200, {}, b"{}")
        if isinstance(answer, AgentError):
            raise answer
        return answer

    def close(self) -> None: ...


NOTE = Note("11-22", "FILAMENT_CHANGE", "WARNING", "Filament Change", "The printer waits.", T0, 1_794_999_000)


def courier(folder: Path, http: Http, picture: bytes | None = b"jpeg", token: str | None = "t0ken") -> EventCourier:
    config = AgentConfig("a", "3", "http://h:1", Secret(token) if token else None, str(folder))
    return EventCourier(config, http, lambda _task: True, lambda: picture, EventPictures(str(folder)))


def test_an_event_goes_with_its_own_snapshot(tmp_path: Path) -> None:
    http = Http()
    post = courier(tmp_path, http)
    post.shoot(NOTE.id)
    assert post.deliver(NOTE) == Delivery(Outcome.DELIVERED)
    (request,) = http.requests
    assert request.url == "http://h:1/api/v1/octo/printer_events/"
    assert request.headers["Idempotency-Key"] == "11-22"
    assert dict(request.form or {}) == {
        "event_type": "FILAMENT_CHANGE", "event_class": "WARNING", "event_title": "Filament Change",
        "event_text": "The printer waits.", "notify": "true", "at": "1795000000.000", "current_print_ts": "1794999000",
    }  # fmt: skip
    assert request.files["snapshot"].content == b"jpeg"
    assert EventPictures(str(tmp_path)).get(NOTE.id) is None


def test_without_a_camera_it_goes_alone(tmp_path: Path) -> None:
    http = Http()
    post = courier(tmp_path, http, picture=None)
    post.shoot(NOTE.id)
    assert post.deliver(NOTE).outcome is Outcome.DELIVERED
    assert http.requests[0].files == {}


def test_a_picture_that_is_not_wanted_does_not_hold_the_event_up(tmp_path: Path) -> None:
    http = Http(HttpResponse(413, {}, b""), HttpResponse(200, {}, b""))
    post = courier(tmp_path, http)
    post.shoot(NOTE.id)
    assert post.deliver(NOTE).outcome is Outcome.FAILED
    assert post.deliver(NOTE).outcome is Outcome.DELIVERED
    assert [bool(request.files) for request in http.requests] == [True, False]


@pytest.mark.parametrize(
    ("answer", "outcome", "wait", "person"),
    [
        (HttpResponse(503, {"retry-after": "30"}, b""), Outcome.FAILED, 30.0, False),
        (Unreachable("no connection"), Outcome.FAILED, None, False),
        (HttpResponse(401, {}, b""), Outcome.FAILED, None, True),
        (HttpResponse(404, {}, b"<html>"), Outcome.FAILED, None, True),
        (HttpResponse(400, {}, b""), Outcome.UNWANTED, None, False),
    ],
)
def test_what_became_of_it(
    tmp_path: Path, answer: HttpResponse | AgentError, outcome: Outcome, wait: float | None, person: bool
) -> None:
    found = courier(tmp_path, Http(answer), picture=None).deliver(NOTE)
    assert (found.outcome, found.wait, found.needs_person) == (outcome, wait, person)
    assert "t0ken" not in found.reason


# --- the desk ---------------------------------------------------------------------------------------------------------


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return T0 + self.time

    def monotonic(self) -> float:
        return self.time


class Post:
    """A courier that answers as told, when told."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []
        self.shot: list[str] = []
        self.sent: list[Note] = []
        self.answer = Delivery(Outcome.DELIVERED)
        self.open = True

    def submit(self, task: Task) -> bool:
        if self.open:
            self.tasks.append(task)
        return self.open

    def shoot(self, ident: str) -> None:
        self.shot.append(ident)

    def deliver(self, note: Note) -> Delivery:
        self.sent.append(note)
        return self.answer

    def make_room(self) -> None: ...


class Bench:
    def __init__(self, folder: Path, post: Post | None = None, *, linked: bool = True) -> None:
        self.clock, self.post, self.toasts = Clock(), post or Post(), list[PrinterEventToast]()
        self.database = Database(str(folder))
        self.outbox = Outbox(self.database)
        numbers = iter(range(10**6))
        first = len(self.outbox)
        self.desk = EventDesk(
            self.outbox, self.database, self.clock, self.post, new_id=lambda: f"id-{first + next(numbers)}",
            run_soon=lambda task: task(), toast=self.toasts.append, linked=linked,
        )  # fmt: skip

    def run(self, seconds: float) -> None:
        """So many seconds of the core's turns."""
        end = self.clock.time + seconds
        while True:
            self.desk.poll(self.clock.time)
            tasks, self.post.tasks = self.post.tasks, []
            for task in tasks:
                task()
            due = self.desk.due()
            if not tasks and (due is None or due > end):
                self.clock.time = end
                return
            self.clock.time = max(self.clock.time, min(end, due if due is not None else end))


def test_an_event_is_on_the_disk_at_once_and_sent_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.desk.tell(FILAMENT, 7)
    (entry,) = Outbox(bench.database).waiting(9, lane=Lane.HTTP)
    assert Note.of(entry) == Note("id-0", "FILAMENT_CHANGE", "WARNING", "Filament Change", "M600", T0, 7)
    assert [(toast.title, toast.event_type) for toast in bench.toasts] == [("Filament Change", "FILAMENT_CHANGE")]
    bench.run(600.0)
    assert (bench.post.shot, [note.id for note in bench.post.sent]) == (["id-0"], ["id-0"])
    assert len(bench.outbox) == 0


def test_an_event_waits_for_the_server_over_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path)
    bench.post.answer = Delivery(Outcome.FAILED, "no connection")
    bench.desk.tell(FILAMENT, 7)
    bench.desk.tell(AlertRaised("Printer Error", "kill() called", T0), 7)
    with caplog.at_level(logging.INFO):
        bench.run(3600.0)
    assert {note.id for note in bench.post.sent} == {"id-0"}  # the oldest first
    assert len(bench.post.sent) <= 6 + 3600 / RETRY_MOST + 2
    assert caplog.text.count("no connection") == 1
    bench.database.close()

    again = Bench(tmp_path)
    again.desk.tell(FILAMENT, 7)  # told a minute ago, by the agent's former life
    again.run(60.0)
    assert [note.title for note in again.post.sent] == ["Filament Change", "Printer Error"]
    assert len(again.outbox) == 0


def test_a_new_connection_is_an_attempt_at_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.post.answer = Delivery(Outcome.FAILED, "401", needs_person=True, wait=300.0)
    bench.desk.tell(FILAMENT, None)
    bench.run(1.0)
    bench.post.answer = Delivery(Outcome.DELIVERED)
    bench.run(10.0)
    assert len(bench.outbox) == 1
    bench.desk.connected()
    bench.run(0.1)
    assert len(bench.outbox) == 0


def test_an_event_that_nobody_wants_is_dropped_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench(tmp_path)
    bench.outbox.append([Entry("rubbish", "no json", Lane.HTTP), Entry("list", "[1]", Lane.HTTP)])
    bench.post.answer = Delivery(Outcome.UNWANTED, "error 400")
    bench.desk.tell(FILAMENT, None)
    bench.run(10.0)
    assert len(bench.outbox) == 0
    assert "does not want the event “Filament Change”" in caplog.text


def test_a_busy_worker_is_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.post.open = False
    bench.desk.tell(FILAMENT, None)
    bench.run(1.0)
    bench.post.open = True
    bench.run(10.0)
    assert [note.id for note in bench.post.sent] == ["id-0"]


def test_an_agent_without_a_server_gathers_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, linked=False)
    bench.desk.tell(FILAMENT, None)
    bench.run(10.0)
    assert (len(bench.outbox), bench.toasts) == (0, [])


def test_a_fault_of_our_own_does_not_stop_the_post(tmp_path: Path) -> None:
    class Faulty(Post):
        def deliver(self, note: Note) -> Delivery:
            self.sent.append(note)
            if len(self.sent) == 1:
                raise ZeroDivisionError
            return self.answer

    bench = Bench(tmp_path, Faulty())
    bench.desk.tell(FILAMENT, None)
    with pytest.raises(ZeroDivisionError):
        bench.run(10.0)
    bench.run(20.0)
    assert len(bench.outbox) == 0


def test_a_week_without_server_loses_no_event(tmp_path: Path) -> None:
    """A busy printer, an agent that is restarted now and then, a server that is back on the eighth day."""
    told: list[str] = []
    day = 86_400.0
    for life in range(7):
        bench = Bench(tmp_path)
        bench.clock.time = life * day
        bench.post.answer = Delivery(Outcome.FAILED, "no connection")
        for number in range(20):
            title = f"day {life} event {number}"
            bench.desk.tell(AlertRaised(title, "x", T0 + bench.clock.time), life)
            bench.outbox.append([Entry(f"print-{life}-{number}", "{}", terminal=True)])
            told.append(title)
            bench.run(day / 20)
        bench.database.close()  # as a kill leaves it: each event was on the disk when it was told
    back = Bench(tmp_path)
    back.clock.time = 8 * day
    back.run(60.0)
    assert [note.title for note in back.post.sent] == told
    assert [entry.id for entry in back.outbox.waiting(9999)] == [
        f"print-{life}-{number}" for life in range(7) for number in range(20)
    ]
    assert (tmp_path / FILE_NAME).stat().st_size < 1_000_000
