"""The service: the agent follows the settings; a person gets an answer in words; nothing is left running."""

from __future__ import annotations

import io
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from agent_core.commands import CommandResult
from agent_core.config import AgentConfig, CameraConfig, Secret
from agent_core.errors import AgentError, AuthRefused, CameraFault, ConfigInvalid, Rejected, Unreachable
from agent_core.features.layers import LayerIndexes
from agent_core.features.load import LoadState
from agent_core.features.pause_reason import PauseReason
from agent_core.features.scrub import Scrubber
from agent_core.model import (
    ActivePrint,
    HostEvent,
    HostSettings,
    Job,
    LinkState,
    PrintEnded,
    PrinterReported,
    SettingsReported,
)
from agent_core.ports import HttpRequest, HttpResponse
from agent_core.wire.messages import AckState, Command, CommandName, CommandWhy
from octoprint_obico.diagnosis import Diagnosis, Surroundings
from octoprint_obico.report import Reading
from octoprint_obico.service import Service
from octoprint_obico.service_ports import Linked
from octoprint_obico.settings import DEFAULTS, ProvidedWebcam
from octoprint_obico.translate import RESTARTED
from tests.unit.octoprint_obico.test_settings import Cam, Compat

DEADLINE = 5.0


class FakeAgent:
    def __init__(self, config: AgentConfig, tell: Callable[[LinkState], None]) -> None:
        self.config = config
        self.tell = tell
        self.posted: list[HostEvent] = []
        self.lines: list[str] = []
        self.orders: list[tuple[CommandName, str]] = []
        self.started = self.stopped = False
        self.link = LinkState(connected=False, since=5.0, reason="starting")
        self.cameras: Mapping[str, str | None] = {"Shelf": "no picture"}
        self.remembered: ActivePrint | None = None
        self.load = LoadState(3, "load 2.0 for each core")

    def remembered_print(self) -> ActivePrint | None:
        return self.remembered

    def start(self) -> None:
        self.started = True

    def post(self, event: HostEvent) -> None:
        self.posted.append(event)

    def terminal_line(self, line: str) -> None:
        self.lines.append(line)

    def order(self, name: CommandName, initiator: str) -> None:
        self.orders.append((name, initiator))

    def stop(self, seconds: float = 3.0) -> list[str]:
        self.stopped = True
        return []


class FakeTools:
    version = "3.0.0"
    data_dir = "/nowhere"

    def __init__(self) -> None:
        self.clock = self
        self.agents: list[FakeAgent] = []
        self.answer: Linked | AgentError = Linked("freshtoken", "Shelf")
        self.gate = threading.Event()
        self.gate.set()
        self.remembered: ActivePrint | None = None
        self.full = False
        self.forgotten = 0
        self.reports_to: Secret | None = None
        self.diagnosis = Diagnosis(NoHttp(), Scrubber(), "3.0.0", "/nowhere")
        self.jpeg: bytes | None = b"jpeg"

    def now(self) -> float:
        return 1000.0

    def monotonic(self) -> float:
        return 1000.0

    @property
    def layers(self) -> LayerIndexes:
        return LayerIndexes(Path("/nowhere"))

    def start_over(self) -> None:
        self.forgotten += 1
    def report_faults(self, dsn: Secret | None) -> None:
        self.reports_to = dsn

    def abort(self) -> None:
        self.answer = Unreachable("given up")
        self.gate.set()

    def build(
        self,
        config: AgentConfig,
        on_link_change: Callable[[LinkState], None],
        on_command_result: Callable[[CommandResult], None],
    ) -> FakeAgent:
        if self.full:
            raise OSError("disk full")
        self.on_command_result = on_command_result
        agent = FakeAgent(config, on_link_change)
        agent.remembered = self.remembered
        self.agents.append(agent)
        return agent

    def verify_code(self, server: str, code: str) -> Linked:
        self.gate.wait(DEADLINE)
        if isinstance(self.answer, AgentError):
            raise self.answer
        return self.answer

    def test_camera(self, camera: CameraConfig) -> str:
        raise CameraFault("the answer is a web page")

    def picture(self, config: AgentConfig, reason: PauseReason) -> bytes | None:
        self.gate.wait(DEADLINE)
        return self.jpeg

    def mute_alerts(self, config: AgentConfig) -> None:
        if isinstance(self.answer, AgentError):
            raise self.answer


class NoHttp:
    def send(self, request: HttpRequest) -> HttpResponse:
        raise Unreachable("nobody there, with password=tulip-1")

    def close(self) -> None: ...


class FakeHost:
    def __init__(self, **values: Any) -> None:
        self.settings: dict[str, Any] = {**DEFAULTS, **values}
        self.cams = [ProvidedWebcam(Cam(compat=Compat("", "https://u:p@cam/pic.jpg?pw=secret")))]
        self.saved = threading.Condition()
        self.changes = 0
        self.told: list[tuple[str, Mapping[str, Any]]] = []

    def tell(self, event: str, payload: Mapping[str, Any]) -> None:
        self.told.append((event, payload))

    def surroundings(self) -> Surroundings:
        return Surroundings("1.9.0", "OFFLINE", {"thespaghettidetective": "1.0"}, None, self.settings)

    def values(self) -> Mapping[str, Any]:
        return dict(self.settings)

    def save(self, values: Mapping[str, Any]) -> None:
        self.settings.update(values)

    def webcams(self) -> tuple[list[ProvidedWebcam], str | None]:
        return self.cams, None

    def facts(self, config: AgentConfig) -> HostSettings:
        return HostSettings(cameras=tuple(camera.info for camera in config.cameras))

    def reading(self) -> Reading:
        return Reading("OPERATIONAL", {})

    def file_on_disk(self, job: Job) -> str | None:
        return None

    def changed(self) -> None:
        with self.saved:
            self.changes += 1
            self.saved.notify_all()


class Bench:
    def __init__(self, **values: Any) -> None:
        self.host = FakeHost(**values)
        self.tools = FakeTools()
        self.service = Service(self.host, self.tools)

    def settled(self, what: Callable[[], bool]) -> None:
        with self.host.saved:
            assert self.host.saved.wait_for(what, DEADLINE)

    def start(self) -> Bench:
        self.service.start()
        self.settled(lambda: self.host.changes >= 1)
        return self

    def said(self) -> dict[str, Any]:
        self.settled(lambda: self.service.status()["said"] is not None and self.service.status()["busy"] is None)
        said = self.service.status()["said"]
        assert isinstance(said, dict)
        return said


@pytest.fixture
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    found = Bench(**getattr(request, "param", {})).start()
    yield found
    found.tools.gate.set()
    found.service.stop()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("obico")] == []


linked = pytest.mark.parametrize(
    "bench", [{"auth_token": "oldtoken", "endpoint_prefix": "http://here:3334"}], indirect=True
)


def test_without_a_token_there_is_no_agent(bench: Bench) -> None:
    assert bench.tools.agents == []
    status = bench.service.status()
    assert (status["linked"], status["connected"], status["reason"]) == (False, False, None)


@linked
def test_a_linked_printer_has_an_agent_that_is_told_everything(bench: Bench) -> None:
    (agent,) = bench.tools.agents
    assert agent.started
    assert {type(event) for event in agent.posted} >= {PrinterReported, SettingsReported}
    status = bench.service.status()
    assert (status["linked"], status["server"], status["reason"]) == (True, "http://here:3334", "starting")
    assert status["pictures"] == {"factor": 3, "why": "load 2.0 for each core", "unchanged": 0, "limit": None}
    assert "oldtoken" not in str(status)


def test_a_remembered_print_has_failed_only_by_a_restart_of_octoprint() -> None:
    bench = Bench(auth_token="t")
    bench.tools.remembered = ActivePrint(7, "a", 7.0)
    bench.start()
    (ended,) = [event for event in bench.tools.agents[0].posted if isinstance(event, PrintEnded)]
    assert ended.reason == RESTARTED
    bench.host.settings["endpoint_prefix"] = "http://elsewhere"
    bench.service.reconfigure()
    bench.settled(lambda: bench.host.changes >= 2)
    (again,) = [event for event in bench.tools.agents[1].posted if isinstance(event, PrintEnded)]
    assert again.reason != RESTARTED
    assert bench.tools.agents[0].stopped
    bench.service.stop()


def test_linking_saves_the_token_and_starts_the_agent(bench: Bench) -> None:
    bench.service.link("192.168.1.5:3334", "042-137")
    assert bench.said() == {"ok": True, "text": "Linked to http://192.168.1.5:3334 as “Shelf”."}
    assert bench.host.settings["auth_token"] == "freshtoken"
    assert [agent.config.server_url for agent in bench.tools.agents] == ["http://192.168.1.5:3334"]


def test_a_refused_code_is_told_in_the_servers_words_and_changes_nothing(bench: Bench) -> None:
    bench.tools.answer = AuthRefused("the server does not know this code")
    bench.service.link("", "042137")
    assert bench.said() == {"ok": False, "text": "the server does not know this code"}
    assert bench.host.settings["auth_token"] == ""


@pytest.mark.parametrize(("server", "code"), [("ftp://x", "042137"), ("x", "42"), ("x", None), (7.5, [])])
def test_nonsense_is_refused_at_once(bench: Bench, server: object, code: object) -> None:
    with pytest.raises(ConfigInvalid):
        bench.service.link(server, code)


def test_one_thing_at_a_time(bench: Bench) -> None:
    bench.tools.gate.clear()
    bench.service.link("x", "042137")
    assert bench.service.status()["busy"] == "linking"
    with pytest.raises(Rejected, match="still linking"):
        bench.service.unlink()
    # The settings change meanwhile: what is running looks once more before it ends.
    bench.host.settings["insecure_cameras"] = ["Shelf"]
    bench.service.reconfigure()
    bench.tools.gate.set()
    assert bench.said()["ok"] is True
    assert bench.tools.agents[-1].config.cameras[0].verify_tls is False


@linked
def test_unlinking_ends_the_agent(bench: Bench) -> None:
    bench.service.unlink()
    assert bench.said()["ok"] is True
    assert bench.tools.agents[0].stopped
    assert bench.host.settings["auth_token"] == ""
    assert bench.service.status()["linked"] is False


@linked
def test_settings_that_do_not_concern_the_agent_leave_it_running(bench: Bench) -> None:
    bench.host.settings["disable_video_streaming"] = True
    changes = bench.host.changes
    bench.service.reconfigure()
    bench.settled(lambda: bench.host.changes > changes)
    assert len(bench.tools.agents) == 1
    assert not bench.tools.agents[0].stopped


@linked
def test_a_setting_that_cannot_be_used_stops_the_agent_and_says_why(bench: Bench) -> None:
    bench.host.settings["endpoint_prefix"] = "http://a b"
    bench.service.reconfigure()
    bench.settled(lambda: bench.tools.agents[0].stopped and bench.host.changes >= 2)
    status = bench.service.status()
    assert (status["linked"], status["needs_person"]) == (False, True)
    assert "names no host" in status["reason"]


def test_a_full_disk_is_named() -> None:
    bench = Bench(auth_token="t")
    bench.tools.full = True
    bench.start()
    assert "disk full" in bench.service.status()["reason"]
    bench.service.stop()


def test_cameras_are_shown_without_their_secrets_and_can_be_changed(bench: Bench) -> None:
    (camera,) = bench.service.status()["cameras"]
    assert (camera["name"], camera["secure"], camera["verify_tls"]) == ("Shelf", True, True)
    assert "u:p" not in camera["address"]
    assert "secret" not in camera["address"]
    bench.service.change_camera("Shelf", verify_tls=False, primary=True)
    assert bench.host.settings["insecure_cameras"] == ["Shelf"]
    assert bench.host.settings["primary_camera"] == "Shelf"
    with pytest.raises(Rejected, match="no camera named"):
        bench.service.change_camera("gone", verify_tls=None, primary=False)


def test_a_camera_test_says_what_came(bench: Bench) -> None:
    bench.service.test_camera("Shelf")
    assert bench.said() == {"ok": False, "text": "the answer is a web page"}
    with pytest.raises(Rejected):
        bench.service.test_camera("gone")


@linked
def test_the_terminal_reads_alike_whatever_octoprint_marks_its_lines_with(bench: Bench) -> None:
    for line in ("Send: M105", ">>> M105", "<<< ok", "Recv: ok", "Changing monitoring state", ""):
        bench.service.terminal_line(line)
    assert bench.tools.agents[0].lines == [
        "Send: M105", "Send: M105", "Recv: ok", "Recv: ok", "Changing monitoring state", "",
    ]  # fmt: skip
    bench.service.stop()
    bench.service.terminal_line("Send: M105")


@linked
def test_after_stop_nothing_is_posted_and_nothing_can_be_asked(bench: Bench) -> None:
    (agent,) = bench.tools.agents
    bench.service.stop()
    bench.service.stop()
    count = len(agent.posted)
    bench.service.event("PrintStarted", {"name": "a", "origin": "local"})
    bench.service.reading(lambda: Reading("PRINTING", {}))
    bench.service.reconfigure()
    bench.service.tell_facts()
    assert (agent.stopped, len(agent.posted)) == (True, count)
    with pytest.raises(Rejected, match="is stopping"):
        bench.service.unlink()
    assert bench.service.current is None


def test_stopping_does_not_wait_for_a_server_that_does_not_answer() -> None:
    bench = Bench().start()
    bench.tools.gate.clear()
    bench.service.link("x", "042137")
    bench.service.stop()
    assert bench.tools.agents == []
    assert bench.host.settings["auth_token"] == ""
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("obico")] == []


@linked
def test_the_doctor_and_the_support_bundle(bench: Bench) -> None:
    bench.host.settings["auth_token"] = "cafe0123cafe0123cafe"
    assert bench.service.status()["doctor"] == {"examined": None, "bundle": None}
    bench.service.make_bundle()
    assert bench.said() == {"ok": True, "text": "The support bundle is ready. Look through it before you share it."}
    shown = bench.service.status()["doctor"]
    texts = " | ".join(each["text"] for each in shown["examined"]["findings"])
    assert "uninstall it, or both will pause" in texts
    assert "the printer is not connected" in texts
    assert "update OctoPrint" in texts
    kept = bench.service.bundle
    assert kept is not None
    with zipfile.ZipFile(io.BytesIO(kept[1])) as file:
        found = {name: file.read(name).decode() for name in file.namelist()}
    assert {"settings.json", "plugins.json", "doctor.json", "status.json", "versions.json"} <= set(found)
    assert not any("cafe0123" in content or "secret" in content or "u:p@" in content for content in found.values())
    bench.service.examine()
    assert "problem(s)" in bench.said()["text"]


# --- a pause of the server's own ---

WHY = CommandWhy("failure_detection", "above the pause threshold", 0.83, None, "http://server/#/printers/1")


def paused(bench: Bench, why: CommandWhy | None) -> None:
    bench.tools.on_command_result(CommandResult(Command("pause", {}, "system", "c", why), AckState.DONE, "paused"))


@linked
def test_a_pause_of_the_server_is_told_with_its_reason_and_picture(bench: Bench) -> None:
    paused(bench, WHY)
    bench.settled(lambda: bench.service.notice.picture(1) is not None)
    shown = bench.service.glance()["pause"]
    assert (shown["by"], shown["score"], shown["picture"], shown["can_mute"]) == ("failure_detection", 0.83, True, True)
    assert bench.service.notice.picture(2) is None
    assert bench.host.told[-1] == (
        "paused", {"by": "failure_detection", "reason": "above the pause threshold", "score": 0.83}
    )  # fmt: skip

    bench.service.resume()
    assert bench.tools.agents[0].orders == [(CommandName.RESUME, "octoprint")]
    assert bench.service.glance()["pause"]["resuming"] is True
    bench.tools.on_command_result(
        CommandResult(Command("resume", {}, "octoprint"), AckState.FAILED, "the heaters were not back")
    )
    shown = bench.service.glance()["pause"]
    assert (shown["resuming"], shown["trouble"]) == (False, "the heaters were not back")

    bench.service.mute()
    bench.settled(lambda: bench.service.glance()["pause"]["muted"])

    bench.service.event("PrintResumed", {})
    assert bench.service.glance()["pause"] is None
    assert bench.service.notice.picture(1) is None
    with pytest.raises(Rejected, match="OctoPrint's own Resume"):
        bench.service.resume()


@linked
def test_of_a_public_server_what_is_known_is_told(bench: Bench) -> None:
    bench.tools.jpeg = None
    paused(bench, None)
    shown = bench.service.glance()["pause"]
    assert (shown["by"], shown["score"], shown["can_mute"], shown["page"]) == (
        "server", None, False, "http://here:3334"
    )  # fmt: skip
    with pytest.raises(Rejected, match="open its page"):
        bench.service.mute()


@linked
def test_alerts_that_could_not_be_muted_say_why(bench: Bench) -> None:
    paused(bench, WHY)
    bench.tools.answer = Unreachable("no connection")
    bench.service.mute()
    bench.settled(lambda: bench.service.glance()["pause"]["trouble"] == "no connection")
    assert not bench.service.glance()["pause"]["muted"]


@linked
def test_a_stop_does_not_wait_for_a_picture(bench: Bench) -> None:
    bench.tools.gate.clear()
    paused(bench, WHY)
    bench.service.stop(DEADLINE)
    assert not [thread for thread in threading.enumerate() if thread.name == "obico-notice"]


@linked
def test_other_plugins_hear_of_the_link(bench: Bench) -> None:
    agent = bench.tools.agents[0]
    agent.tell(LinkState(connected=True, since=1.0))
    agent.tell(LinkState(connected=True, since=1.0, queued_events=1))
    agent.tell(LinkState(connected=False, since=2.0, reason="away"))
    assert bench.host.told == [("connected", {}), ("disconnected", {"reason": "away"})]
    bench.service.unlink()
    bench.settled(lambda: ("unlinked", {}) in bench.host.told)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, None),
        ({"sentry_opt": "in"}, None),
        ({"sentry_dsn": "https://k@h/1"}, None),
        ({"sentry_opt": "in", "sentry_dsn": "https://k@h/1"}, Secret("https://k@h/1")),
    ],
)
def test_faults_are_reported_only_where_both_settings_say_so(values: dict[str, str], expected: Secret | None) -> None:
    bench = Bench(**values).start()
    assert bench.tools.reports_to == expected
    bench.service.stop()


@linked
def test_what_is_asked_for_while_a_setting_is_followed_comes_right_after(bench: Bench) -> None:
    begun, go_on = threading.Event(), threading.Event()
    webcams = bench.host.webcams

    def slow() -> tuple[list[ProvidedWebcam], str | None]:
        if threading.current_thread().name == "obico-errand":
            begun.set()
            assert go_on.wait(DEADLINE)
        return webcams()

    bench.host.webcams = slow  # type: ignore[method-assign] # the agent takes its time to follow
    bench.service.reconfigure()
    assert begun.wait(DEADLINE)
    bench.service.test_camera("Shelf")
    assert (bench.service.status()["busy"], bench.service.status()["settling"]) == ("testing", True)
    with pytest.raises(Rejected, match="one moment"):
        bench.service.unlink()
    go_on.set()
    assert bench.said() == {"ok": False, "text": "the answer is a web page"}
