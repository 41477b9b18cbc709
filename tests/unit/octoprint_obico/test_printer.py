"""OctoPrintPort against a small OctoPrint: what it asks of it, and what its hooks hand out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from agent_core.errors import CommandFailed, Rejected
from agent_core.model import AlertRaised, Temperature
from agent_core.pause import RECORD_KEY, PauseSettings
from agent_core.pause_record import PauseRecord, Step
from agent_core.ports import Interrupt
from octoprint_obico.printer import OctoPrintPort, ScriptLines
from octoprint_obico.sent import SentGcode

WISH = PauseSettings(retract=6.5, lift_z=2.5, tools_off=True, bed_off=True)
TAGS = frozenset({"source:plugin", "plugin:obico", "trigger:pause", "trigger:comm.set_pause"})


class MemoryStore:
    """A Store; `full`: nothing can be kept."""

    def __init__(self) -> None:
        self.records: dict[str, Mapping[str, Any]] = {}
        self.full = False

    def load(self, key: str) -> Mapping[str, Any] | None:
        return self.records.get(key)

    def save(self, key: str, value: Mapping[str, Any]) -> None:
        if self.full:
            raise OSError("disk full")
        self.records[key] = value

    def remove(self, key: str) -> None:
        self.records.pop(key, None)


class FakeClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time


class FakeOctoPrint:
    """The printer and OctoPrint around it, moved on by `step` each time that a command waits."""

    def __init__(self) -> None:
        self.state = "PRINTING"
        self.origin = "local"
        self.scripts_run = True
        self.heat = {"tool0": Temperature(200.0, 205.0), "bed": Temperature(60.0, 60.0)}
        self.z_now: float | None = 10.0
        self.script = ""
        self.asked: list[str] = []
        self.lines: list[str] = []
        self.after: list[Callable[[], None]] = []

    def state_id(self) -> str:
        return self.state

    def job(self) -> tuple[str | None, str | None]:
        return "a.gcode", self.origin

    def temperatures(self) -> Mapping[str, Temperature]:
        return self.heat

    def height(self) -> float | None:
        return 200.0

    def shared_nozzle(self) -> bool:
        return False

    def z(self) -> float | None:
        return self.z_now

    def runs_scripts(self) -> bool:
        return self.scripts_run

    def script_source(self, name: str) -> str:
        return self.script

    def commands(self, *lines: str) -> None:
        self.lines += lines

    def pause(self) -> None:
        self.asked.append("pause")
        self.state = "PAUSING"

    def resume(self) -> None:
        self.asked.append("resume")
        self.state = "RESUMING"

    def cancel(self) -> None:
        self.asked.append("cancel")
        self.state = "CANCELLING"


class Stepping(Interrupt):
    """Each wait lets the world move on by one step (or a second) instead of waiting."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._bench = bench

    def wait(self, seconds: float) -> bool:
        self._bench.clock.time += max(seconds, 1.0)
        if self._bench.printer.after:
            self._bench.printer.after.pop(0)()
        return self.is_set()


class Bench:
    def __init__(self) -> None:
        self.printer = FakeOctoPrint()
        self.sent = SentGcode()
        self.store = MemoryStore()
        self.clock = FakeClock()
        self.alerts: list[AlertRaised] = []
        self.port = OctoPrintPort(
            self.printer, self.sent, self.clock, current=lambda: (77, "a.gcode"), alert=self.alerts.append
        )
        self.port.use(self.store)
        self.interrupt = Stepping(self)
        self.handed: ScriptLines | None = None
        self.z_told: float | None = 12.5
        for line in ("G28", "G90", "M82", "G1 X1 F3000"):
            self.sent.sent(line.split()[0], line)

    def connection(self, **more: Any) -> Any:
        found = {"isPausing": lambda: self.printer.state == "PAUSING", "isCancelling": lambda: False,
                 "pause_position": SimpleNamespace(z=10.0),
                 "last_position": SimpleNamespace(z=self.z_told)}  # fmt: skip
        return SimpleNamespace(**{**found, **more})

    def m400(self) -> None:
        self.port.line_sent(TAGS)

    def hook(self) -> None:
        """On another thread, as OctoPrint's monitor calls it."""

        def call() -> None:
            self.handed = self.port.script(self.connection(), "afterPrintPaused")

        thread = threading.Thread(target=call)
        thread.start()
        thread.join()

    def state(self, name: str) -> Callable[[], None]:
        return lambda: setattr(self.printer, "state", name)

    def pause(self, settings: PauseSettings = WISH) -> str:
        self.printer.after = [self.m400, self.hook, self.state("PAUSED")]
        return self.port.pause(settings, self.interrupt)

    def resume(self) -> str:
        def hook() -> None:
            self.handed = self.port.script(self.connection(), "beforePrintResumed")

        self.printer.after = [self.warm, hook, self.state("PRINTING")]
        return self.port.resume(self.interrupt)

    def warm(self) -> None:
        self.printer.heat = {"tool0": Temperature(204.0, 205.0), "bed": Temperature(60.0, 60.0)}

    def cool(self) -> None:
        self.printer.heat = {"tool0": Temperature(40.0, 0.0), "bed": Temperature(30.0, 0.0)}


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.mark.parametrize(
    ("command", "state", "words"),
    [
        ("pause", "OPERATIONAL", "nothing is being printed"),
        ("pause", "CLOSED", "nothing is being printed"),
        ("pause", "PAUSED", "paused already"),
        ("pause", "PAUSING", "paused already"),
        ("pause", "FINISHING", "at its end"),
        ("pause", "CANCELLING", "already being cancelled"),
        ("resume", "PRINTING", "not paused"),
        ("resume", "PAUSING", "still pausing"),
        ("cancel", "CANCELLING", "already being cancelled"),
        ("cancel", "ERROR", "nothing is being printed"),
    ],
)
def test_promise_4_what_makes_no_sense_is_refused_before_anything_moves(
    bench: Bench, command: str, state: str, words: str
) -> None:
    bench.printer.state = state
    with pytest.raises(Rejected, match=words):
        bench.port.check(command)
    calls: dict[str, Callable[[], str]] = {
        "pause": lambda: bench.port.pause(WISH, bench.interrupt),
        "resume": lambda: bench.port.resume(bench.interrupt),
        "cancel": lambda: bench.port.cancel(bench.interrupt),
    }
    with pytest.raises(Rejected, match=words):
        calls[command]()
    assert bench.printer.asked == []


def test_promise_8_the_record_is_on_disk_before_the_pause_is_asked_for(bench: Bench) -> None:
    found: list[PauseRecord | None] = []

    def pause() -> None:
        found.append(PauseRecord.from_json(bench.store.load(RECORD_KEY)))
        bench.printer.state = "PAUSING"

    bench.printer.pause = pause  # type: ignore[method-assign]
    assert bench.pause() == "paused; retracted 6.5 mm; lifted 2.5 mm; bed and tool0 off"
    (before,) = found
    assert before is not None
    assert (before.retract_step, before.ts, before.filename) == (Step.INTENDED, 77, "a.gcode")
    after = PauseRecord.from_json(bench.store.load(RECORD_KEY))
    assert after is not None
    assert (after.retract_step, after.lift_step, after.targets) == (Step.DONE, Step.DONE, {"tool0": 205.0, "bed": 60.0})


def test_promise_2_without_a_place_for_the_record_it_is_a_plain_pause(bench: Bench) -> None:
    bench.store.full = True
    assert "no record of it could be kept" in bench.pause()
    assert bench.handed is None


@pytest.mark.parametrize("origin", ["sdcard", "printer"])
def test_a_print_from_the_card_is_paused_plainly_and_says_so(bench: Bench, origin: str) -> None:
    bench.printer.origin = origin
    assert "printer's own storage" in bench.pause()
    assert bench.handed is None


def test_a_connection_without_scripts_is_paused_plainly_and_says_so(bench: Bench) -> None:
    bench.printer.scripts_run = False
    assert "this kind of connection" in bench.pause()
    assert bench.handed is None


def test_promise_6_a_pause_that_somebody_else_asked_for_first_gets_no_moves(bench: Bench) -> None:
    # No M400 with our tag: it is not our pause that OctoPrint carries out.
    bench.printer.after = [bench.hook, bench.state("PAUSED")]
    assert "by somebody else" in bench.port.pause(WISH, bench.interrupt)
    assert bench.handed is None
    assert bench.store.load(RECORD_KEY) is None


def test_without_a_recorded_position_the_hook_runs_on_our_own_thread(bench: Bench) -> None:
    def pause() -> None:
        bench.printer.state = "PAUSING"
        bench.handed = bench.port.script(bench.connection(), "afterPrintPaused")
        bench.printer.state = "PAUSED"

    bench.printer.pause = pause  # type: ignore[method-assign]
    assert "retracted 6.5 mm" in bench.port.pause(WISH, bench.interrupt)
    assert bench.handed is not None


def test_no_moves_go_into_a_print_that_was_resumed_while_it_was_pausing(bench: Bench) -> None:
    def resumed() -> None:
        bench.printer.state = "RESUMING"

    bench.printer.after = [lambda: None, bench.m400, resumed, bench.hook]
    with pytest.raises(CommandFailed, match="somebody resumed"):
        bench.port.pause(WISH, bench.interrupt)
    bench.hook()
    assert bench.handed is None


def test_a_pause_waits_behind_a_slow_command_and_is_asked_for_once(bench: Bench) -> None:
    slow: list[Callable[[], None]] = [lambda: None] * 600
    bench.printer.after = [*slow, bench.m400, bench.hook, bench.state("PAUSED")]
    assert "retracted" in bench.port.pause(WISH, bench.interrupt)
    assert bench.printer.asked == ["pause"]


def test_a_print_that_ends_instead_of_pausing(bench: Bench) -> None:
    bench.printer.after = [bench.state("OPERATIONAL")]
    with pytest.raises(CommandFailed, match="ended before"):
        bench.port.pause(WISH, bench.interrupt)


def test_a_printer_that_does_not_react(bench: Bench) -> None:
    bench.printer.pause = lambda: None  # type: ignore[method-assign]
    with pytest.raises(CommandFailed, match="did not react"):
        bench.port.pause(WISH, bench.interrupt)


def test_promise_7_a_cancel_gets_through_while_a_pause_is_awaited(bench: Bench) -> None:
    bench.printer.after = [lambda: bench.interrupt.set("the print is being cancelled")]
    with pytest.raises(CommandFailed, match="being cancelled"):
        bench.port.pause(WISH, bench.interrupt)


def test_promise_1_the_users_script_does_not_change_what_is_come_back_to(bench: Bench) -> None:
    bench.printer.script = "M83\nG91\nG1 Z5 F900\n"
    bench.pause()
    assert bench.handed is not None
    # Our lines leave the modes that his script leaves …
    assert [line for line in bench.handed.after if line in {"G90", "G91", "M82", "M83"}][-2:] == ["M83", "G91"]
    bench.resume()
    # … and in the end those of the file are back.
    assert bench.handed is not None
    assert bench.handed.after == ("G90", "M82", "G1 F3000")


def test_promise_5_the_users_own_lift_leaves_less_room_for_ours(bench: Bench) -> None:
    bench.printer.script = "G91\nG1 Z189 F900\nG90\n"
    assert "lifted 1 of 2.5 mm: axis limit" in bench.pause()


def test_promise_3_resume_heats_waits_and_then_asks(bench: Bench) -> None:
    bench.pause()
    bench.cool()
    assert bench.resume() == "resumed; bed back at 60 °C and tool0 back at 205 °C; pushed back 6.5 mm"
    assert bench.printer.lines == ["M140 S60", "M104 S205"]
    assert bench.printer.asked == ["pause", "resume"]
    assert bench.handed is not None
    assert "G1 E6.5 F1800" in bench.handed.before
    assert bench.store.load(RECORD_KEY) is None
    assert bench.port.paused_by_us is None


def test_promise_7_a_resume_that_is_given_up_cools_again_and_can_be_tried_again(bench: Bench) -> None:
    bench.pause()
    bench.cool()
    bench.printer.after = [lambda: bench.interrupt.set("the agent stops")]
    with pytest.raises(CommandFailed, match="the agent stops"):
        bench.port.resume(bench.interrupt)
    assert bench.printer.lines == ["M140 S60", "M104 S205", "M140 S0", "M104 S0"]
    assert bench.printer.asked == ["pause"]
    bench.interrupt = Stepping(bench)
    assert "pushed back 6.5 mm" in bench.resume()


def test_heaters_that_do_not_come_back_are_switched_off_again(bench: Bench) -> None:
    bench.pause()
    bench.cool()
    bench.printer.after = []
    with pytest.raises(CommandFailed, match="not back within 30 minutes"):
        bench.port.resume(bench.interrupt)
    assert bench.printer.lines[-2:] == ["M140 S0", "M104 S0"]


@pytest.mark.parametrize("over", ["CANCELLING", "OPERATIONAL", "ERROR"])
def test_promise_7_a_print_cancelled_elsewhere_while_we_heat_leaves_no_heater_on(bench: Bench, over: str) -> None:
    bench.pause()
    bench.cool()
    bench.printer.after = [bench.state(over)]
    with pytest.raises(CommandFailed, match="the print is over"):
        bench.port.resume(bench.interrupt)
    # Ours may have gone out behind those of OctoPrint's own cancel.
    assert bench.printer.lines == ["M140 S60", "M104 S205", "M140 S0", "M104 S0"]


def test_a_resume_elsewhere_while_heating_is_given_up_keeps_its_heat(bench: Bench) -> None:
    bench.pause()
    bench.cool()

    def resumed() -> None:
        bench.printer.state = "RESUMING"
        bench.interrupt.set("the agent stops")

    bench.printer.after = [resumed]
    with pytest.raises(CommandFailed):
        bench.port.resume(bench.interrupt)
    assert bench.printer.lines == ["M140 S60", "M104 S205"]


def test_a_hook_that_fails_at_the_resume_is_told_of(bench: Bench) -> None:
    bench.pause()

    def fails() -> float | None:
        raise RuntimeError("OctoPrint's own trouble")

    bench.printer.z = fails  # type: ignore[method-assign]
    with pytest.raises(RuntimeError):
        bench.port.script(bench.connection(), "beforePrintResumed")
    bench.port.watch("PRINTING")
    assert "switched off" in bench.alerts[0].text


def test_promise_6_a_foreign_resume_is_served_by_the_hook(bench: Bench) -> None:
    bench.pause()
    bench.cool()
    lines = bench.port.script(bench.connection(), "beforePrintResumed")
    assert lines is not None
    assert lines.before[:2] == ("M190 S60", "M109 S205")
    assert bench.port.script(bench.connection(), "beforePrintResumed") is None  # once
    assert bench.alerts == []


def test_promise_6_a_resume_past_our_hook_is_told_at_once(bench: Bench) -> None:
    bench.pause()
    bench.port.watch("PAUSED")
    bench.port.watch("PRINTING")
    bench.port.watch("PRINTING")
    (alert,) = bench.alerts
    assert "6.5 mm of filament retracted, lifted by 2.5 mm, bed and tool0 switched off" in alert.text


def test_promise_7_cancel_forgets_the_plan(bench: Bench) -> None:
    bench.pause()
    bench.printer.after = [bench.state("OPERATIONAL")]
    assert bench.port.cancel(bench.interrupt) == "cancelled"
    assert bench.port.paused_by_us is None
    assert bench.store.load(RECORD_KEY) is None
    assert bench.printer.lines == []


@pytest.mark.parametrize("name", ["afterPrintCancelled", "afterPrintDone", "beforePrintStarted"])
def test_a_print_that_is_over_is_forgotten(bench: Bench, name: str) -> None:
    bench.pause()
    assert bench.port.script(bench.connection(), name) is None
    assert bench.port.script(bench.connection(), "beforePrintResumed") is None


def test_an_idle_printer_has_no_pause_to_undo(bench: Bench) -> None:
    bench.pause()
    bench.port.watch("OPERATIONAL")
    bench.port.watch("PRINTING")
    assert bench.alerts == []


def test_promise_7_our_lines_of_a_cancelled_resume_are_dropped(bench: Bench) -> None:
    tags = {"plugin:obico", "script:beforePrintResumed"}
    cancelling = bench.connection(isCancelling=lambda: True)
    assert bench.port.keep_from_sending(cancelling, tags) is True
    assert bench.port.keep_from_sending(bench.connection(), tags) is False
    assert bench.port.keep_from_sending(cancelling, {"plugin:obico", "script:afterPrintPaused"}) is False
    assert bench.port.keep_from_sending(cancelling, None) is False


def test_a_record_on_disk_of_a_print_that_is_lost_is_dropped_at_start_up(bench: Bench) -> None:
    bench.pause()
    again = OctoPrintPort(bench.printer, bench.sent, bench.clock, current=lambda: None, alert=bench.alerts.append)
    again.use(bench.store)
    assert bench.store.load(RECORD_KEY) is None
    # The one that still has it in memory keeps it.
    bench.store.save(RECORD_KEY, {"x": 1})
    bench.port.use(bench.store)
    assert bench.store.load(RECORD_KEY) is not None


def test_nothing_wished_is_a_plain_pause_without_a_record(bench: Bench) -> None:
    assert bench.pause(PauseSettings()) == "paused"
    assert bench.handed is None
    assert bench.store.load(RECORD_KEY) is None


def test_promise_3_another_tool_must_be_put_back_first(bench: Bench) -> None:
    bench.pause()
    bench.sent.sent("T", "T1")
    with pytest.raises(Rejected, match="activate tool0"):
        bench.port.resume(bench.interrupt)
    assert bench.printer.asked == ["pause"]
    bench.port.script(bench.connection(), "beforePrintResumed")
    assert [alert.event_class for alert in bench.alerts] == ["WARNING"]
