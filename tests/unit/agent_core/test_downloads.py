"""Download and print as a whole: the call, the answer, what the host is asked to do, and what people are told."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent_core.config import AgentConfig, Secret
from agent_core.errors import AgentError, Rejected
from agent_core.features.download_cancel import CancelsDownloads
from agent_core.features.download_ports import BUSY, Surroundings
from agent_core.features.download_wanted import clean_name, numbered
from agent_core.features.downloads import RECORD_KEY, Downloads
from agent_core.model import AlertRaised, Download
from agent_core.pause import PauseSettings
from agent_core.ports import HttpRequest, Interrupt
from agent_core.wire.messages import PassthruCall
from tests.fakes.clock import FakeClock
from tests.fakes.file_host import FileHost
from tests.fakes.file_server import FileServer, says

CODE = b"G28\n" + b"G1 X1 Y2\n" * 20
SUM = hashlib.sha256(CODE).hexdigest()
FILE = {"id": 5, "url": "http://server:3334/media/x.gcode?d=1", "filename": "clip.gcode", "safe_filename": "clip.gcode"}
PATIENCE = 10.0


class Store:
    def __init__(self) -> None:
        self.kept: dict[str, Mapping[str, Any]] = {}

    def load(self, key: str) -> Mapping[str, Any] | None:
        return self.kept.get(key)

    def save(self, key: str, value: Mapping[str, Any]) -> None:
        self.kept[key] = value

    def remove(self, key: str) -> None:
        self.kept.pop(key, None)


class Desk:
    def __init__(self, folder: Path, server: FileServer | None = None, **more: Any) -> None:
        self.host = FileHost(folder, **more)
        self.server = server or FileServer(CODE)
        self.http = FileServer(b"")  # the agent's own: PATCH goes there
        self.store, self.clock = Store(), FakeClock()
        self.shown: list[Download | None] = []
        self.alerts: list[AlertRaised] = []
        config = AgentConfig("a", "3", "http://server:3334", Secret("t0ken"), str(folder))
        self.downloads = Downloads(
            self.host,
            Surroundings(
                config, self.http, lambda: self.server, self.clock, self.store, self.shown.append, self.alerts.append
            ),
        )

    def call(self, **more: Any) -> Any:
        return self.downloads.download(PassthruCall("file_downloader", "download", ({**FILE, **more},)))

    def run(self, **more: Any) -> Any:
        """Until the download is over."""
        self.server.closed = False
        answer = self.call(**more)
        self.wait()
        return answer

    def wait(self) -> None:
        assert all(worker.join(PATIENCE) for worker in self.downloads.workers)
        assert not self.downloads.active

    @property
    def files(self) -> list[str]:
        return sorted(path.name for path in (self.host.folder / "Up").iterdir())


def test_downloaded_linked_and_started(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    order: list[str] = desk.host.log
    desk.http.before_each = lambda _: order.append("patch")
    assert desk.run(num_bytes=len(CODE), sha256=SUM) == {"target_path": "Up/clip.gcode"}
    assert order == ["take Up/clip.gcode", "patch", "start Up/clip.gcode"]
    assert (tmp_path / "Up/clip.gcode").read_bytes() == CODE
    patch = desk.http.requests[0]
    assert (patch.method, patch.url) == ("PATCH", "http://server:3334/api/v1/octo/g_code_files/5/")
    assert patch.form == {"agent_signature": "ts:1.5", "safe_filename": "clip.gcode"}
    assert desk.shown[0] == Download("clip.gcode")
    assert desk.shown[-1] is None
    assert (desk.alerts, desk.files, desk.store.kept) == ([], ["clip.gcode"], {})


def test_progress_is_told_once_a_second(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    take = desk.clock.advance
    desk.server.piece = 1
    desk.server.before_each = lambda _: None
    original = desk.clock.monotonic

    def ticking() -> float:
        take(0.05)
        return original()

    desk.clock.monotonic = ticking  # type: ignore[method-assign]  # a clock that runs as it is looked at
    desk.run()
    told = [each for each in desk.shown if each is not None and each.done]
    assert 1 < len(told) < len(CODE) / 5
    assert all(each.total == len(CODE) and (each.percent or 0) <= 100 for each in told)


def test_another_file_of_that_name_is_not_touched(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (tmp_path / "Up/clip.gcode").write_bytes(b"another")
    (tmp_path / "Up/clip_2.gcode").write_bytes(b"x" * len(CODE))
    desk.run()
    assert desk.host.log == ["take Up/clip_3.gcode", "start Up/clip_3.gcode"]
    assert (tmp_path / "Up/clip.gcode").read_bytes() == b"another"
    assert desk.http.requests[0].form == {"agent_signature": "ts:1.5", "safe_filename": "clip_3.gcode"}


def test_the_same_file_is_used_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (tmp_path / "Up/clip.gcode").write_bytes(CODE)
    desk.run()
    assert desk.host.log == ["start Up/clip.gcode"]
    assert len(desk.server.requests) == 1
    # Where the server tells size and checksum, it need not even come.
    desk.run(num_bytes=len(CODE), sha256=SUM.upper())
    assert len(desk.server.requests) == 1
    assert desk.host.log[-1] == "start Up/clip.gcode"
    assert desk.files == ["clip.gcode"]


def test_a_printer_at_work_takes_no_file(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.host.busy = True
    with pytest.raises(Rejected, match=f"^{BUSY}$"):
        desk.call()
    assert (desk.shown, desk.server.requests) == ([], [])


def test_a_printer_that_began_meanwhile_is_left_alone(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.host.on_take = lambda: setattr(desk.host, "busy", True)
    desk.run()
    assert desk.host.log == ["take Up/clip.gcode"]
    assert desk.alerts[0].title == "clip.gcode was not printed"
    assert desk.alerts[0].text == f"{BUSY} The file is on the printer as Up/clip.gcode."
    assert (desk.alerts[0].kind, desk.alerts[0].event_class) == ("PRINTER_ERROR", "ERROR")


def test_what_goes_wrong_is_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path, FileServer(CODE, first=[says(404)]))
    desk.run()
    assert [alert.text for alert in desk.alerts] == ["the server does not have the file any more"]
    assert (desk.host.log, desk.files, desk.shown[-1]) == ([], [], None)
    assert desk.store.kept == {}


def test_a_host_that_refuses_to_start(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.host.refuses_start = "Must home first"
    desk.run()
    assert desk.alerts[0].text.startswith("Must home first")


def test_a_print_is_worth_more_than_its_link(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.http.first = [says(500)]
    desk.run()
    assert desk.host.log[-1] == "start Up/clip.gcode"
    desk.run(id=None)
    assert len(desk.http.requests) == 1


class Gate:
    """Holds an exchange up until it is opened, or its client is closed."""

    def __init__(self, desk: Desk) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()
        desk.server.before_each = self
        close = desk.server.close

        def closing() -> None:
            close()
            self.opened.set()

        desk.server.close = closing  # type: ignore[method-assign]  # wakes who waits, as the transport does

    def __call__(self, _server: FileServer) -> None:
        self.reached.set()
        assert self.opened.wait(PATIENCE)


def test_one_at_a_time(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    gate = Gate(desk)
    desk.call()
    assert gate.reached.wait(PATIENCE)
    with pytest.raises(Rejected, match=BUSY):
        desk.call()
    with pytest.raises(Rejected, match=BUSY):
        desk.downloads.start_local(PassthruCall("f", "s", ({"url": "a", "agent_signature": "b"},)))
    gate.opened.set()
    desk.wait()
    assert desk.host.log[-1] == "start Up/clip.gcode"


class Printer:
    def __init__(self) -> None:
        self.cancelled = 0

    def check(self, command: str) -> None:
        raise Rejected("nothing prints")

    def pause(self, settings: PauseSettings, interrupt: Interrupt) -> str:
        return "paused"

    def resume(self, interrupt: Interrupt) -> str:
        return "resumed"

    def cancel(self, interrupt: Interrupt) -> str:
        self.cancelled += 1
        return "cancelled"


def test_a_cancel_ends_the_download(tmp_path: Path) -> None:
    desk, printer = Desk(tmp_path), Printer()
    hands = CancelsDownloads(printer, desk.downloads)
    with pytest.raises(Rejected):
        hands.check("cancel")
    gate = Gate(desk)
    desk.call()
    assert gate.reached.wait(PATIENCE)
    hands.check("cancel")
    with pytest.raises(Rejected):
        hands.check("pause")
    assert hands.cancel(Interrupt()) == "cancelled the download; nothing was started"
    desk.wait()
    assert (desk.host.log, desk.files, desk.alerts, desk.shown[-1], printer.cancelled) == ([], [], [], None, 0)
    assert desk.host.aborted
    assert hands.cancel(Interrupt()) == "cancelled"
    assert (hands.pause(PauseSettings(), Interrupt()), hands.resume(Interrupt())) == ("paused", "resumed")


def test_the_agent_stops_and_tells_when_it_is_back(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    gate = Gate(desk)
    desk.call()
    assert gate.reached.wait(PATIENCE)
    desk.downloads.stop()
    desk.wait()
    assert (desk.host.log, desk.files, desk.alerts) == ([], [], [])
    with pytest.raises(Rejected, match="stops"):
        desk.call()
    (tmp_path / "Up/.obico-0011.part").write_bytes(b"x")
    desk.downloads.recover()
    assert "restarted" in desk.alerts[0].text
    assert (desk.files, desk.store.kept) == ([], {})
    desk.downloads.recover()
    assert len(desk.alerts) == 1


def test_a_bug_is_told_too_and_ends_the_download(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk(tmp_path)

    def broken(_: FileServer) -> None:
        raise ZeroDivisionError

    desk.server.before_each = broken
    desk.run()
    assert "fault in the agent" in desk.alerts[0].text
    assert (desk.files, desk.shown[-1]) == ([], None)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("args", [[], [None], [{}], [{"url": 7}], ["x"], [{"id": 5, "url": ""}]])
def test_calls_that_name_no_file(tmp_path: Path, args: list[Any]) -> None:
    desk = Desk(tmp_path)
    for name in ("file_downloader.download", "file_operations.start_printer_local_print"):
        with pytest.raises(Rejected, match="names no file"):
            desk.downloads.handlers[name](PassthruCall("t", "f", tuple(args)))


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("clip.gcode", "clip.gcode"),
        ("../../etc/passwd", "passwd.gcode"),
        ("C:\\parts\\a b.GCO", "a b.GCO"),
        (".hidden.gcode", "hidden.gcode"),
        ("", "download.gcode"),
        ("...", "download.gcode"),
        ("grün & blau;#1.g", "grün _ blau__1.g"),
        ('a"b\n.gcode', "a_b_.gcode"),
        ("model.3mf", "model.3mf.gcode"),
        ("x" * 500 + ".gcode", "x" * 120 + ".gcode"),
        (".gcode", "gcode.gcode"),
    ],
)
def test_names(name: str, clean: str) -> None:
    assert clean_name(name) == clean
    assert numbered("a.b.gcode", 2) == "a.b_2.gcode"


def _local(desk: Desk, **told: Any) -> Any:
    call = PassthruCall("file_operations", "start_printer_local_print", ({"url": "Up/a.gcode", **told},))
    return desk.downloads.start_local(call)


def test_a_local_file_is_started_by_its_signature(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    (tmp_path / "Up/a.gcode").write_bytes(CODE)
    assert _local(desk, agent_signature="ts:1.5") == "Success"
    assert desk.host.log == ["start Up/a.gcode"]
    desk.host.busy = True
    with pytest.raises(Rejected, match=BUSY):
        _local(desk, agent_signature="ts:1.5")


@pytest.mark.parametrize(("there", "words"), [(True, "has been changed"), (False, "not on the printer any more")])
def test_a_file_that_is_not_the_one(tmp_path: Path, there: bool, words: str) -> None:
    desk = Desk(tmp_path)
    if there:
        (tmp_path / "Up/a.gcode").write_bytes(CODE)
    with pytest.raises(AgentError, match=words):
        _local(desk, agent_signature="ts:2.5")
    desk.host.answers_mismatch = True
    assert words in _local(desk, agent_signature="ts:2.5")["error"]
    assert desk.host.log == []


def test_requests_of_the_download_are_bounded(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.run()
    request: HttpRequest = desk.server.requests[0]
    wanted: Callable[..., Any] | None = request.receive
    assert wanted is not None
    assert (request.stall, request.timeout <= 1800.0) == (20.0, True)
    assert RECORD_KEY not in desk.store.kept
