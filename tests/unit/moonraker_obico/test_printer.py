"""Pause, resume and cancel on Klipper, against a fake that behaves as the recordings show; promises 1 to 10."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent_core.errors import CommandFailed, Rejected
from agent_core.model import AlertRaised
from agent_core.pause import PauseSettings
from agent_core.pause_record import Step
from agent_core.ports import Interrupt, PrinterPort
from moonraker_obico.printer import KlipperPrinter
from tests.fakes.clock import FakeClock
from tests.fakes.gcode_machines import E, Z
from tests.fakes.klipper_api import FakeKlipper, MemoryStore

WISH = PauseSettings(6.5, 2.5, True, True)
RETRACT = "SAVE_GCODE_STATE NAME=obico_agent\nM83\nG1 E-6.5 F1800\nRESTORE_GCODE_STATE NAME=obico_agent"
PUSH = RETRACT.replace("E-6.5", "E6.5")
LIFT = "SAVE_GCODE_STATE NAME=obico_agent\nG91\nG1 Z2.5 F600\nRESTORE_GCODE_STATE NAME=obico_agent"
OFF = "SET_HEATER_TEMPERATURE HEATER=extruder TARGET=0\nSET_HEATER_TEMPERATURE HEATER=heater_bed TARGET=0"
ON = "SET_HEATER_TEMPERATURE HEATER=extruder TARGET=200\nSET_HEATER_TEMPERATURE HEATER=heater_bed TARGET=60"
IDLE = "SET_IDLE_TIMEOUT TIMEOUT=86400"
IDLE_BACK = "SET_IDLE_TIMEOUT TIMEOUT=1800"


class Bench:
    """A printer of ours on a fake Klipper. Tasks of the watch run when `run_tasks` says so."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.klipper = FakeKlipper(self.clock)
        self.store = MemoryStore(self.klipper.log)
        self.alerts: list[AlertRaised] = []
        self.tasks: list[Callable[[], None]] = []
        self.takes_tasks = True
        self.ts: int | None = 77
        self.interrupt = Interrupt()
        self.start()

    def start(self) -> None:
        """Also a restart of the agent: only the store survives."""
        self.tasks.clear()
        self.printer = KlipperPrinter(
            self.klipper, self.store, self.clock, print_ts=lambda: self.ts, submit=self.submit, alert=self.alerts.append
        )
        self.klipper.on_update = self.printer.on_update
        self.interrupt = Interrupt()

    def submit(self, task: Callable[[], None]) -> bool:
        if self.takes_tasks:
            self.tasks.append(task)
        return self.takes_tasks

    def run_tasks(self) -> None:
        while self.tasks:
            self.tasks.pop(0)()

    def watch(self) -> None:
        """A few status updates, and what the watch makes of them."""
        for _ in range(4):
            self.klipper.tick()
            self.run_tasks()

    def pause(self, wish: PauseSettings = WISH) -> str:
        return self.printer.pause(wish, self.interrupt)

    def resume(self) -> str:
        return self.printer.resume(self.interrupt)

    def cancel(self) -> str:
        return self.printer.cancel(Interrupt())

    def sent_after(self, mark: int) -> list[str]:
        return self.klipper.scripts()[mark:]

    @property
    def mark(self) -> int:
        return len(self.klipper.scripts())


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_it_is_a_printer_port(bench: Bench) -> None:
    port: PrinterPort = bench.printer
    assert port is bench.printer
    assert bench.printer.command is None


# --- promise 1


def test_promise_1_exact_return(bench: Bench) -> None:
    machine = bench.klipper.machine
    machine.script("G91\nM82\nM221 S90\nM220 S80\nSET_GCODE_OFFSET Z=0.3")
    before, modes, position = machine.gcode_position(), machine.modes(), list(machine.position)
    bench.pause()
    assert position[E] - machine.position[E] == pytest.approx(6.5, abs=1e-3)
    assert machine.position[Z] - position[Z] == pytest.approx(2.5)
    bench.klipper.ticks(100)
    bench.resume()
    assert machine.gcode_position() == pytest.approx(before, abs=1e-3)
    assert machine.position == pytest.approx(position, abs=1e-3)
    assert machine.modes() == modes
    assert machine.heaters == {"extruder": 200.0, "heater_bed": 60.0}


# --- promise 2


@pytest.mark.parametrize(
    ("refused", "words", "told", "undone"),
    [
        (
            "G1 E-",
            "Extrude below minimum temp\nSee the 'min_extrude_temp' config option",
            "not retracted: Extrude b",
            PUSH,
        ),
        ("G1 Z", "Move out of range: 1 2 500 [3]", "not lifted: Move out of range", ""),
        ("TARGET=0", "The value is refused", "heaters left on: extruder stays on: The value", ON),
        ("SET_IDLE", "Unknown command", "idle_timeout not prolonged: Unknown command", IDLE_BACK),
    ],
)
def test_promise_2_never_worse_than_a_plain_pause(
    bench: Bench, refused: str, words: str, told: str, undone: str
) -> None:
    machine = bench.klipper.machine
    before, modes = machine.gcode_position(), machine.modes()
    bench.klipper.refuse[refused] = words
    said = bench.pause()
    assert told in said
    assert bench.klipper.state == "paused"
    assert machine.modes() == modes
    mark = bench.mark
    bench.resume()
    assert undone not in bench.sent_after(mark) or not undone
    assert bench.klipper.state == "printing"
    assert machine.gcode_position() == pytest.approx(before, abs=1e-3)
    assert machine.heaters == {"extruder": 200.0, "heater_bed": 60.0}


def test_promise_2_heaters_are_tried_one_by_one_after_a_refusal(bench: Bench) -> None:
    bench.klipper.refuse["HEATER=heater_bed TARGET=0"] = "no"
    assert "heater_bed stays on: no" in bench.pause()
    assert bench.klipper.machine.heaters == {"extruder": 0.0, "heater_bed": 60.0}
    mark = bench.mark
    bench.resume()
    assert bench.sent_after(mark)[0] == "SET_HEATER_TEMPERATURE HEATER=extruder TARGET=200"


def test_promise_2_what_cannot_be_kept_on_disk_is_not_done(bench: Bench) -> None:
    bench.store.full = True
    said = bench.pause()
    assert "not retracted: the agent cannot write its record (No space left on device)" in said
    assert bench.klipper.scripts() == ["printer.print.pause"]
    assert bench.resume() == "resumed"


def test_promise_2_a_lost_connection_leaves_a_plain_pause(bench: Bench) -> None:
    bench.klipper.lose.add("query")
    assert bench.pause() == "paused; nothing else was done: connection lost"


def test_promise_2_a_macro_that_fails_after_pausing_still_paused(bench: Bench) -> None:
    bench.klipper.machine.macro_pause = ["FAILS"]
    call = bench.klipper._carry_out

    def carry_out(method: str, text: str) -> None:
        if method == "printer.print.pause":
            bench.klipper.state = "paused"
        call(method, text)
        if method == "printer.print.pause":
            bench.klipper.machine.pause()

    bench.klipper._carry_out = carry_out  # type: ignore[method-assign]
    said = bench.pause()
    assert said.startswith("paused; retracted 6.5 mm")
    assert said.endswith("Klipper said: Unknown command:FAILS")


# --- promise 3


def test_promise_3_order_of_a_pause_and_a_resume(bench: Bench) -> None:
    said = bench.pause()
    assert said == "paused; retracted 6.5 mm; lifted 2.5 mm; extruder and heater_bed off"
    assert bench.klipper.scripts() == ["printer.print.pause", RETRACT, LIFT, OFF, IDLE]
    bench.klipper.ticks(200)
    mark = bench.mark
    assert bench.resume() == "resumed; extruder back at 200 °C and heater_bed back at 60 °C; pushed back 6.5 mm"
    assert bench.sent_after(mark) == [ON, PUSH, IDLE_BACK, "printer.print.resume"]
    assert bench.klipper.temperatures["extruder"] >= 198
    assert "pause" not in bench.store.kept


def test_promise_3_nothing_is_sent_before_the_pause_and_nothing_until_it_is_confirmed(bench: Bench) -> None:
    bench.klipper.refuse["printer.print.pause"] = "Some macro error"
    with pytest.raises(CommandFailed, match="Some macro error"):
        bench.pause()
    assert bench.klipper.log[0] == "printer.print.pause"
    assert bench.klipper.scripts() == ["printer.print.pause"]
    assert bench.store.kept == {}


def test_promise_3_a_print_that_ended_meanwhile_is_not_touched(bench: Bench) -> None:
    bench.klipper.busy = 3
    bench.klipper.later.append((2, lambda: setattr(bench.klipper, "state", "complete")))
    with pytest.raises(CommandFailed, match="its state is complete"):
        bench.pause()
    assert bench.klipper.scripts() == ["printer.print.pause"]


def test_promise_3_the_pause_goes_out_before_anything_is_written_or_asked(bench: Bench) -> None:
    bench.pause()
    assert bench.klipper.log[0] == "printer.print.pause"


# --- promise 4


def test_promise_4_once(bench: Bench) -> None:
    bench.pause()
    with pytest.raises(Rejected, match="not printing"):
        bench.pause()
    with pytest.raises(Rejected, match="not printing"):
        bench.printer.check("pause")
    bench.resume()
    with pytest.raises(Rejected, match="not paused"):
        bench.resume()
    assert bench.klipper.scripts().count("printer.print.pause") == 1
    assert bench.klipper.scripts().count("printer.print.resume") == 1


def test_promise_4_a_queued_pause_is_neither_timed_out_nor_sent_again(bench: Bench) -> None:
    bench.klipper.busy = 4 * 60 * 20  # twenty minutes behind M109
    bench.klipper.later.append((100, lambda: _rejected(bench.printer, "pause", "a pause is under way")))
    assert bench.pause().startswith("paused; retracted")
    assert bench.klipper.scripts().count("printer.print.pause") == 1


def _rejected(printer: KlipperPrinter, command: str, words: str) -> None:
    assert printer.command == "pause"
    with pytest.raises(Rejected, match=words):
        printer.check(command)
    printer.check("cancel")


def test_promise_4_an_interrupt_ends_the_wait_of_a_queued_pause(bench: Bench) -> None:
    bench.klipper.busy = 10_000
    bench.klipper.later.append((5, lambda: bench.interrupt.set("a cancel came")))
    with pytest.raises(CommandFailed, match="a cancel came"):
        bench.pause()
    assert bench.printer.command is None


def test_promise_4_a_left_over_is_paused_is_cleared_first(bench: Bench) -> None:
    """Recording 15: Klipper would answer "ok" and print on."""
    bench.klipper.machine.is_paused = True
    bench.klipper.publish()
    assert bench.pause().startswith("paused; retracted")
    assert bench.klipper.scripts()[:2] == ["CLEAR_PAUSE", "printer.print.pause"]


@pytest.mark.parametrize("command", ["pause", "resume", "cancel"])
def test_check_rejects_at_once_with_the_reason(bench: Bench, command: str) -> None:
    bench.klipper.state = "standby"
    bench.klipper.publish()
    with pytest.raises(Rejected, match="standby"):
        bench.printer.check(command)
    bench.klipper.webhooks = {"state": "shutdown", "state_message": "Lost communication with MCU 'mcu'\nmore"}
    bench.klipper.state = "paused"  # as Klipper says after an emergency stop: no pause
    bench.klipper.publish()
    with pytest.raises(Rejected, match=r"shutdown\): Lost communication with MCU 'mcu'$"):
        bench.printer.check(command)
    bench.klipper.connected = False
    bench.klipper.publish()
    with pytest.raises(Rejected, match="not connected"):
        bench.printer.check(command)
    assert bench.klipper.log == []


def test_check_knows_no_other_command(bench: Bench) -> None:
    with pytest.raises(Rejected, match="not known"):
        bench.printer.check("print")


# --- promise 5


def test_promise_5_cold_is_safe(bench: Bench) -> None:
    bench.klipper.temperatures["extruder"] = 100.0
    bench.klipper.machine.heaters["extruder"] = 0.0
    bench.klipper.publish()
    said = bench.pause(PauseSettings(6.5, 2.5))
    assert said == "paused; not retracted: the nozzle is too cold; lifted 2.5 mm"
    assert bench.klipper.scripts() == ["printer.print.pause", LIFT, "SET_IDLE_TIMEOUT TIMEOUT=2700"]


def test_promise_5_a_lift_is_clamped_and_an_unhomed_one_left_out(bench: Bench) -> None:
    bench.klipper.machine.script("G1 Z178.8")
    assert "lifted 1.2 of 2.5 mm: axis limit" in bench.pause()
    bench.resume()
    bench.klipper.machine.homed = "xy"
    assert "not lifted: Z is not homed" in bench.pause()


def test_promise_5_a_nozzle_that_stays_cold_is_not_pushed(bench: Bench) -> None:
    bench.pause(PauseSettings(retract=6.5))
    bench.klipper.machine.heaters["extruder"] = 100.0  # somebody put it on stand-by, and wants it so
    bench.klipper.ticks(400)
    record = bench.printer._steps.record
    assert record is not None
    bench.printer._steps.keep(record.but(extrude_target=0.0))
    with pytest.raises(CommandFailed, match=r"too cold to push back 6.5 mm"):
        bench.resume()
    assert bench.klipper.state == "paused"


# --- promise 6


def test_promise_6_somebody_elses_pause_gets_none_of_our_moves(bench: Bench) -> None:
    bench.klipper.pause_elsewhere()
    bench.klipper.tick()
    assert not bench.tasks
    assert bench.resume() == "resumed"
    assert bench.klipper.scripts() == ["printer.print.resume"]


def test_promise_6_a_pause_by_m25_is_resumed_by_m24(bench: Bench) -> None:
    bench.klipper.state = "paused"
    bench.klipper.publish()
    assert bench.resume() == "resumed"
    assert bench.klipper.scripts() == ["M24"]


def test_promise_6_a_pause_that_klipper_forgot_is_not_resumed_in_the_air(bench: Bench) -> None:
    bench.pause()
    bench.klipper.machine.is_paused = False  # CLEAR_PAUSE
    bench.klipper.tick()
    with pytest.raises(Rejected, match=r"lifted by 2.5 mm"):
        bench.resume()


def test_promise_6_resumed_elsewhere_while_hot_is_mended_at_once(bench: Bench) -> None:
    start = bench.klipper.machine.position[E]
    bench.pause(PauseSettings(6.5, 2.5))
    mark = bench.mark
    bench.klipper.resume_elsewhere()
    bench.klipper.tick()
    bench.run_tasks()
    assert bench.sent_after(mark) == [PUSH, IDLE_BACK]
    assert bench.klipper.machine.position[E] == pytest.approx(start)
    assert bench.alerts == []
    assert "pause" not in bench.store.kept


def test_promise_6_resumed_elsewhere_while_cold_heats_first_and_alerts(bench: Bench) -> None:
    bench.pause()
    bench.klipper.ticks(200)
    mark = bench.mark
    bench.klipper.resume_elsewhere()
    bench.klipper.tick()
    assert len(bench.tasks) == 1  # once, however many updates come
    bench.klipper.tick()
    assert len(bench.tasks) == 1
    bench.run_tasks()
    assert bench.sent_after(mark) == [ON, PUSH, IDLE_BACK]
    assert [alert.event_class for alert in bench.alerts] == ["ERROR"]
    assert "extruder set back to 200 °C" in bench.alerts[0].text
    assert "6.5 mm of filament are still retracted" in bench.alerts[0].text
    assert bench.klipper.temperatures["extruder"] >= 190


def test_promise_6_resumed_by_m24_or_with_another_tool_is_alerted(bench: Bench) -> None:
    bench.pause(PauseSettings(6.5, 2.5))
    bench.klipper.state = "printing"  # M24: is_paused stays, the head stays lifted
    bench.klipper.tick()
    bench.run_tasks()
    assert "2.5 mm too high" in bench.alerts[0].text


def test_promise_6_another_active_tool_is_not_pushed(bench: Bench) -> None:
    bench.klipper.machine.heaters["extruder1"] = 0.0
    bench.klipper.temperatures["extruder1"] = 30.0
    bench.pause()
    bench.klipper.tool = "extruder1"
    bench.klipper.tick()
    with pytest.raises(Rejected, match="activate extruder"):
        bench.resume()
    mark = bench.mark
    bench.klipper.resume_elsewhere()
    bench.klipper.tick()
    bench.run_tasks()
    assert bench.sent_after(mark) == [ON, IDLE_BACK]
    assert "activate extruder" in bench.alerts[0].text


def test_promise_6_a_print_that_cannot_be_mended_is_alerted(bench: Bench) -> None:
    bench.pause()
    bench.klipper.refuse["TARGET=200"] = "Heater extruder not heating"
    bench.klipper.resume_elsewhere()
    bench.klipper.tick()
    bench.run_tasks()
    assert "Heater extruder not heating" in bench.alerts[-1].text
    assert bench.printer._steps.record is None


def test_promise_6_a_command_does_not_wait_for_the_watch(bench: Bench) -> None:
    """Resumed elsewhere while cold, then paused again by us: the old retraction is still there and counts."""
    bench.pause(PauseSettings(6.5, 0, True))
    bench.klipper.ticks(200)
    bench.klipper.resume_elsewhere()
    bench.klipper.tick()
    start = bench.klipper.machine.position[E]
    bench.klipper.later.append((3, lambda: bench.printer._attendant.give_way("a pause came")))
    bench.run_tasks()
    bench.printer._attendant.welcome()
    mark = bench.mark
    assert "retracted 6.5 mm" in bench.pause()
    assert not any("G1 E-" in script for script in bench.sent_after(mark))
    bench.resume()
    assert bench.klipper.machine.position[E] == pytest.approx(start + 6.5)
    assert bench.klipper.machine.idle_timeout == 1800.0


# --- promise 7


def test_promise_7_cancel_always_works_also_while_heating_for_a_resume(bench: Bench) -> None:
    bench.pause()
    bench.klipper.ticks(300)
    mark = bench.mark
    bench.klipper.later.append((10, lambda: bench.interrupt.set("a cancel came")))
    with pytest.raises(CommandFailed, match="not resumed: a cancel came"):
        bench.resume()
    assert bench.cancel() == "cancelled"
    assert bench.sent_after(mark) == [ON, OFF, "printer.print.cancel", IDLE_BACK]
    assert bench.klipper.machine.heaters == {"extruder": 0.0, "heater_bed": 0.0}
    assert bench.store.kept == {}
    assert not any("G1 E6.5" in script for script in bench.klipper.scripts())


def test_promise_7_cancel_while_printing_and_while_queued(bench: Bench) -> None:
    bench.klipper.busy = 4 * 300
    assert bench.cancel() == "cancelled"
    assert bench.klipper.scripts() == ["printer.print.cancel"]
    with pytest.raises(Rejected, match="nothing prints"):
        bench.cancel()


def test_promise_7_a_cancel_that_klipper_refuses_keeps_the_plan(bench: Bench) -> None:
    bench.pause()
    bench.klipper.refuse["printer.print.cancel"] = "Macro error"
    with pytest.raises(CommandFailed, match="Macro error"):
        bench.cancel()
    assert "pause" in bench.store.kept
    bench.klipper.refuse.clear()
    assert bench.cancel() == "cancelled"


def test_promise_7_a_cancel_macro_that_fails_at_its_end_still_cancels(bench: Bench) -> None:
    bench.klipper.refuse["printer.print.cancel"] = "Unknown command:PARK"
    bench.klipper.state = "paused"
    bench.klipper.publish()
    bench.klipper.later.append((1, lambda: setattr(bench.klipper, "state", "cancelled")))
    assert bench.cancel() == "cancelled; Klipper said: Unknown command:PARK"


def test_promise_7_a_lost_connection_is_told_and_nothing_sent_again(bench: Bench) -> None:
    bench.klipper.lose.add("printer.print.cancel")
    with pytest.raises(CommandFailed, match="cancel: the connection to Moonraker was lost"):
        bench.cancel()
    assert bench.klipper.scripts() == ["printer.print.cancel"]


# --- promise 8


def test_promise_8_each_step_is_on_disk_before_it_is_done(bench: Bench) -> None:
    bench.pause()
    log = [entry.split("\n")[2] if entry.startswith("SAVE_") else entry.split("\n")[0] for entry in bench.klipper.log]
    assert log == [
        "printer.print.pause", "query", "save intended none", "G1 E-6.5 F1800", "save done intended", "G1 Z2.5 F600",
        "save done done extruder+heater_bed", "SET_HEATER_TEMPERATURE HEATER=extruder TARGET=0",
        "save done done extruder+heater_bed", "SET_IDLE_TIMEOUT TIMEOUT=86400", "save done done extruder+heater_bed",
    ]  # fmt: skip


@pytest.mark.parametrize("cut_off_at", ["printer.print.pause", "G1 E-", "G1 Z", "TARGET=0", "SET_IDLE", "never"])
@pytest.mark.parametrize("carried_out", [True, False])
def test_promise_8_survives_a_restart(bench: Bench, cut_off_at: str, carried_out: bool) -> None:
    """The agent dies at a step, which Klipper may or may not have done; a new one resumes exactly."""
    machine = bench.klipper.machine
    before, e_before = machine.gcode_position(), machine.position[E]
    real = bench.klipper.call

    def call(method: str, params: Any = None, **more: Any) -> Any:
        if cut_off_at in str((params or {}).get("script") or method):
            if carried_out:
                real(method, params, **more)
            raise KeyboardInterrupt
        return real(method, params, **more)

    bench.klipper.call = call  # type: ignore[method-assign]
    if cut_off_at == "never":
        bench.pause()
    else:
        with pytest.raises(KeyboardInterrupt):
            bench.pause()
    bench.klipper.call = real  # type: ignore[method-assign]
    bench.klipper.ticks(100)
    bench.start()
    if bench.klipper.state == "paused":
        bench.resume()
    assert machine.position[E] == pytest.approx(e_before, abs=1e-3)
    assert machine.gcode_position() == pytest.approx(before, abs=1e-3)
    assert machine.heaters == {"extruder": 200.0, "heater_bed": 60.0}
    assert machine.idle_timeout == 1800.0


@pytest.mark.parametrize("carried_out", [True, False])
def test_promise_8_filament_is_pushed_once_however_often_the_agent_dies(bench: Bench, carried_out: bool) -> None:
    e_before = bench.klipper.machine.position[E]
    bench.pause()
    real = bench.klipper.call

    def call(method: str, params: Any = None, **more: Any) -> Any:
        if "G1 E6.5" in str((params or {}).get("script")):
            if carried_out:
                real(method, params, **more)
            raise KeyboardInterrupt
        return real(method, params, **more)

    bench.klipper.call = call  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        bench.resume()
    bench.klipper.call = real  # type: ignore[method-assign]
    bench.start()
    bench.resume()
    assert bench.klipper.machine.position[E] == pytest.approx(e_before, abs=1e-3)


def test_promise_8_another_print_discards_the_record(bench: Bench) -> None:
    bench.pause()
    bench.klipper.filename = "b.gcode"
    bench.start()
    mark = bench.mark
    assert bench.resume() == "resumed"
    assert bench.sent_after(mark) == [IDLE_BACK, "printer.print.resume"]


def test_promise_8_the_same_file_printed_again_is_another_print(bench: Bench) -> None:
    bench.pause()
    bench.klipper.duration = 3.0
    bench.klipper.state = "printing"
    bench.klipper.machine.is_paused = False
    bench.klipper.tick()
    bench.run_tasks()
    assert bench.store.kept == {}
    assert bench.klipper.scripts()[-1] == IDLE_BACK


def test_promise_8_a_cancel_elsewhere_discards_the_record(bench: Bench) -> None:
    bench.pause()
    bench.takes_tasks = False
    bench.klipper.state = "cancelled"
    bench.klipper.tick()
    bench.takes_tasks = True
    bench.klipper.tick()
    bench.run_tasks()
    assert bench.store.kept == {}


def test_promise_8_a_damaged_record_is_dropped(bench: Bench) -> None:
    bench.pause()
    bench.store.kept["pause"] = '{"retract": "lots"}'
    bench.start()
    mark = bench.mark
    bench.klipper.machine.heaters.update(extruder=200.0)
    assert bench.resume() == "resumed"
    assert bench.sent_after(mark) == ["printer.print.resume"]


def test_promise_8_a_full_disk_at_the_resume_does_not_hold_the_print(bench: Bench) -> None:
    bench.pause()
    bench.store.full = True
    assert "pushed back 6.5 mm" in bench.resume()
    assert bench.store.kept == {}


# --- promise 9


def test_promise_9_idle_timeout_is_prolonged_and_put_back(bench: Bench) -> None:
    bench.pause()
    assert bench.klipper.machine.idle_timeout == 86400.0
    bench.resume()
    assert bench.klipper.machine.idle_timeout == 1800.0


def test_promise_9_heaters_that_are_on_do_not_stay_on_for_a_day_should_the_agent_die(bench: Bench) -> None:
    bench.pause(PauseSettings())
    assert bench.klipper.machine.idle_timeout == 1800.0 + 900.0
    bench.clock.advance(1801)
    bench.watch()
    assert not any(bench.klipper.machine.heaters.values())
    assert bench.klipper.machine.idle_timeout >= 86400.0  # cold now: the motors may hold for as long as it takes


def test_promise_9_a_heater_that_somebody_switches_on_in_a_long_pause_gets_its_own_time(bench: Bench) -> None:
    bench.pause()
    bench.watch()
    bench.clock.advance(3 * 3600)
    bench.klipper.machine.heaters["extruder"] = 120.0
    bench.watch()
    assert bench.klipper.machine.heaters["extruder"] == 120.0  # he has just set it
    bench.clock.advance(1801)
    bench.watch()
    assert bench.klipper.machine.heaters["extruder"] == 0.0
    bench.klipper.machine.heaters["extruder"] = 90.0  # and once more
    bench.watch()
    bench.clock.advance(1801)
    bench.watch()
    assert bench.klipper.machine.heaters["extruder"] == 0.0
    bench.resume()
    assert bench.klipper.machine.heaters == {"extruder": 200.0, "heater_bed": 60.0}


def test_promise_9_a_chamber_does_not_stay_on_in_a_long_pause(bench: Bench) -> None:
    bench.klipper.machine.heaters["heater_generic chamber"] = 60.0
    bench.klipper.temperatures["heater_generic chamber"] = 41.0  # it never reaches its target
    bench.klipper.publish()
    assert bench.pause().endswith("extruder and heater_bed off")
    assert bench.klipper.machine.heaters["heater_generic chamber"] == 60.0  # nobody asked for that
    bench.clock.advance(1801)
    bench.watch()
    assert bench.klipper.machine.heaters["heater_generic chamber"] == 0.0
    assert "chamber switched off" in bench.alerts[0].text
    bench.start()
    assert "chamber set back at 60 °C" in bench.resume()
    assert bench.klipper.machine.heaters["heater_generic chamber"] == 60.0


def test_promise_9_a_clock_that_is_set_back_leaves_no_heater_on(bench: Bench) -> None:
    bench.pause(PauseSettings())
    bench.clock.set_back(14 * 86400.0)
    bench.watch()
    assert not any(bench.klipper.machine.heaters.values())


def test_promise_9_somebody_elses_idle_timeout_is_left_alone(bench: Bench) -> None:
    bench.pause(PauseSettings())
    bench.klipper.machine.idle_timeout = 1234.0
    bench.klipper.tick()
    bench.resume()
    assert bench.klipper.machine.idle_timeout == 1234.0


def test_promise_9_an_older_klipper_is_asked_for_its_configuration(bench: Bench) -> None:
    bench.klipper.tells_idle_timeout = False
    bench.klipper.publish()
    bench.pause(PauseSettings())
    bench.resume()
    assert bench.klipper.machine.idle_timeout == 700.0


def test_promise_9_the_users_own_time_out_still_switches_the_heaters_off(bench: Bench) -> None:
    bench.pause(PauseSettings())
    bench.clock.advance(1801)
    bench.klipper.tick()
    bench.run_tasks()
    assert bench.klipper.machine.heaters == {"extruder": 0.0, "heater_bed": 0.0}
    assert bench.klipper.machine.homed == "xyz"
    assert [alert.event_class for alert in bench.alerts] == ["INFO"]
    bench.watch()
    bench.klipper.ticks(4)
    assert not bench.tasks
    bench.resume()
    assert bench.klipper.machine.heaters == {"extruder": 200.0, "heater_bed": 60.0}


def test_promise_9_heaters_that_cannot_be_switched_off_are_alerted_once(bench: Bench) -> None:
    bench.pause(PauseSettings())
    bench.klipper.refuse["TARGET=0"] = "no"
    bench.clock.advance(1801)
    bench.klipper.tick()
    bench.run_tasks()
    assert "extruder stays on: no" in bench.alerts[0].text
    bench.klipper.ticks(4)
    assert not bench.tasks


def test_promise_9_it_is_prolonged_again_in_a_very_long_pause(bench: Bench) -> None:
    bench.pause()
    bench.watch()
    bench.clock.advance(13 * 3600)
    bench.klipper.tick()
    bench.run_tasks()
    assert bench.klipper.machine.idle_timeout >= 86400 + 13 * 3600
    bench.klipper.tick()
    assert not bench.tasks
    bench.klipper.refuse["SET_IDLE"] = "no"
    bench.clock.advance(13 * 3600)
    bench.klipper.tick()
    bench.run_tasks()
    bench.klipper.tick()
    assert not bench.tasks


def test_promise_9_homing_lost_is_alerted_once_and_refuses_the_resume(bench: Bench) -> None:
    bench.pause()
    bench.klipper.lose_homing()
    bench.watch()
    bench.klipper.ticks(4)
    bench.start()
    bench.klipper.ticks(4)
    assert not bench.tasks
    assert [alert.title for alert in bench.alerts] == ["Paused print lost its position"]
    mark = bench.mark
    with pytest.raises(Rejected, match="homing was lost"):
        bench.resume()
    assert bench.sent_after(mark) == []
    assert bench.cancel() == "cancelled"


def test_promise_9_homing_lost_while_heating_is_noticed(bench: Bench) -> None:
    bench.pause()
    bench.klipper.ticks(300)
    bench.klipper.later.append((20, lambda: setattr(bench.klipper.machine, "homed", "")))
    with pytest.raises(CommandFailed, match="homing was lost"):
        bench.resume()
    assert "printer.print.resume" not in bench.klipper.scripts()


# --- heating for a resume


def test_heating_outlives_a_short_absence_of_moonraker(bench: Bench) -> None:
    bench.pause()
    bench.klipper.ticks(300)
    bench.klipper.later += [
        (10, lambda: setattr(bench.klipper, "connected", False)),
        (30, lambda: setattr(bench.klipper, "connected", True)),
    ]
    assert bench.resume().startswith("resumed")


def test_heating_is_given_up_when_moonraker_stays_away(bench: Bench) -> None:
    bench.pause()
    bench.klipper.ticks(300)
    bench.klipper.later.append((10, lambda: setattr(bench.klipper, "connected", False)))
    with pytest.raises(CommandFailed, match="went away while heating"):
        bench.resume()


def test_heating_is_given_up_after_an_hour_and_the_heaters_go_off(bench: Bench) -> None:
    bench.pause()
    bench.klipper.ticks(300)
    bench.klipper.temperatures["heater_bed"] = -1e6
    with pytest.raises(CommandFailed, match="not hot after 60 min"):
        bench.resume()
    assert bench.klipper.machine.heaters == {"extruder": 0.0, "heater_bed": 0.0}


def test_a_resume_elsewhere_while_we_heat_is_theirs_and_gets_its_filament(bench: Bench) -> None:
    e_before = bench.klipper.machine.position[E]
    bench.pause(PauseSettings(6.5, 0, False, True))
    bench.klipper.ticks(300)
    bench.klipper.later.append((3, bench.klipper.resume_elsewhere))
    with pytest.raises(CommandFailed, match="not paused any more"):
        bench.resume()
    bench.run_tasks()
    assert bench.klipper.machine.heaters == {"extruder": 200.0, "heater_bed": 60.0}
    assert bench.klipper.machine.position[E] == pytest.approx(e_before)
    assert "printer.print.resume" not in bench.klipper.scripts()


def test_a_shutdown_while_we_heat_ends_it(bench: Bench) -> None:
    bench.pause()
    bench.klipper.ticks(300)
    down = {"state": "shutdown", "state_message": "Heater extruder not heating"}
    bench.klipper.later.append((3, lambda: setattr(bench.klipper, "webhooks", down)))
    with pytest.raises(CommandFailed, match="Heater extruder not heating"):
        bench.resume()


def test_a_push_that_is_refused_stays_to_be_done(bench: Bench) -> None:
    e_before = bench.klipper.machine.position[E]
    bench.pause()
    bench.klipper.refuse["G1 E6.5"] = "Extrude below minimum temp"
    with pytest.raises(CommandFailed, match="could not be pushed back: Extrude below minimum temp"):
        bench.resume()
    bench.klipper.refuse.clear()
    bench.resume()
    assert bench.klipper.machine.position[E] == pytest.approx(e_before)


def test_a_resume_that_fails_keeps_the_pause_safe_and_pushes_only_once(bench: Bench) -> None:
    e_before = bench.klipper.machine.position[E]
    bench.pause()
    bench.klipper.refuse["printer.print.resume"] = "Macro error"
    with pytest.raises(CommandFailed, match="Macro error"):
        bench.resume()
    assert bench.klipper.machine.idle_timeout >= 1800 + 900
    bench.klipper.refuse.clear()
    bench.resume()
    assert bench.klipper.machine.position[E] == pytest.approx(e_before)
    assert bench.klipper.machine.idle_timeout == 1800.0


def test_klipper_that_does_not_resume_is_told(bench: Bench) -> None:
    bench.klipper.pause_elsewhere()
    bench.klipper.tick()
    bench.klipper._carry_out = lambda method, text: None  # type: ignore[method-assign]
    with pytest.raises(CommandFailed, match="Klipper took the resume, but its state is paused"):
        bench.resume()


# --- promise 10


def test_promise_10_the_outcome_is_told_in_the_printers_own_words(bench: Bench) -> None:
    bench.klipper.machine.script("G1 Z178.8")
    bench.klipper.refuse["G1 E-"] = "Extrude only move too long (-6.500mm vs 5.000mm)\nSee the config option"
    assert bench.pause() == (
        "paused; lifted 1.2 of 2.5 mm: axis limit; extruder and heater_bed off; "
        "not retracted: Extrude only move too long (-6.500mm vs 5.000mm)"
    )


def test_an_interrupt_after_the_pause_leaves_the_rest_undone(bench: Bench) -> None:
    bench.klipper.later.append((2, lambda: bench.interrupt.set("a cancel came")))
    said = bench.pause()
    assert "not retracted: a cancel came" in said
    assert bench.klipper.scripts() == ["printer.print.pause"]


def test_somebody_who_resumes_at_once_wins(bench: Bench) -> None:
    bench.klipper.later.append((2, bench.klipper.resume_elsewhere))
    assert bench.pause() == "paused; nothing else was done: somebody has resumed it already"


# --- interrupted in the middle


@pytest.mark.parametrize("step", ["G1 E-", "G1 Z", "TARGET=0", "SET_IDLE"])
def test_promise_8_a_step_given_up_while_queued_is_still_undone_exactly(bench: Bench, step: str) -> None:
    """The interrupt comes while the script waits behind other G-code; Klipper carries it out all the same."""
    machine = bench.klipper.machine
    before, e_before = machine.gcode_position(), machine.position[E]
    real = bench.klipper.call

    def call(method: str, params: Any = None, **more: Any) -> Any:
        script = str((params or {}).get("script"))
        if step in script:
            bench.klipper.call = real  # type: ignore[method-assign]
            bench.klipper.busy = 5
            bench.klipper.later += [
                (2, lambda: bench.interrupt.set("the agent stops")),
                (3, lambda: machine.script(script)),
            ]
        return real(method, params, **more)

    bench.klipper.call = call  # type: ignore[method-assign]
    assert "the agent stops" in bench.pause()
    bench.klipper.busy = 0
    bench.klipper.ticks(100)
    bench.start()
    bench.resume()
    assert machine.position[E] == pytest.approx(e_before, abs=1e-3)
    assert machine.gcode_position() == pytest.approx(before, abs=1e-3)
    assert machine.heaters == {"extruder": 200.0, "heater_bed": 60.0}
    assert machine.idle_timeout == 1800.0


@pytest.mark.parametrize("step", ["G1 E6.5", "TARGET=200", "printer.print.resume"])
def test_promise_7_a_resume_is_given_up_at_any_step(bench: Bench, step: str) -> None:
    e_before = bench.klipper.machine.position[E]
    bench.pause()
    bench.klipper.ticks(100)
    real = bench.klipper.call

    def call(method: str, params: Any = None, **more: Any) -> Any:
        if step in str((params or {}).get("script") or method):
            bench.klipper.call = real  # type: ignore[method-assign]
            bench.klipper.busy = 5
            bench.klipper.later.append((2, lambda: bench.interrupt.set("a cancel came")))
        return real(method, params, **more)

    bench.klipper.call = call  # type: ignore[method-assign]
    with pytest.raises(CommandFailed, match="a cancel came"):
        bench.resume()
    bench.klipper.busy = 0
    if step == "TARGET=200":
        assert bench.klipper.scripts()[-1] == OFF  # queued behind what may still come: off wins
    bench.interrupt = Interrupt()
    bench.resume()
    assert bench.klipper.machine.position[E] == pytest.approx(e_before, abs=1e-3)


def test_an_idle_timeout_that_cannot_be_put_back_does_not_hold_the_print(bench: Bench) -> None:
    bench.pause()
    bench.klipper.refuse[IDLE_BACK] = "no"
    assert bench.resume().startswith("resumed")


def test_a_refused_push_whose_outcome_cannot_be_asked_stays_to_be_done(bench: Bench) -> None:
    bench.pause()
    bench.klipper.refuse["G1 E6.5"] = "Extrude below minimum temp"
    bench.printer._steps.own_position = lambda: None  # type: ignore[method-assign]
    with pytest.raises(CommandFailed, match="could not be pushed back"):
        bench.resume()
    record = bench.printer._steps.record
    assert record is not None
    assert record.retract_step is Step.DONE


def test_the_position_is_none_where_it_cannot_be_asked(bench: Bench) -> None:
    bench.klipper.lose.add("query")
    assert bench.printer._steps.own_position() is None


def test_a_resume_that_meets_another_state_is_rejected_before_anything_moves(bench: Bench) -> None:
    """The subscribed status may be a tick old; what is asked afresh counts."""
    bench.pause()
    mark = bench.mark
    seen = dict(bench.klipper._published)
    changes: list[tuple[Callable[[], None], str]] = [
        (lambda: setattr(bench.klipper, "state", "printing"), "not paused"),
        (lambda: setattr(bench.klipper.machine, "homed", ""), "homing was lost"),
        (lambda: bench.klipper.webhooks.update(state="shutdown"), "shutdown"),
        (lambda: bench.klipper.lose.add("query"), "connection lost"),
    ]
    for change, words in changes:
        state, homed, webhooks = bench.klipper.state, bench.klipper.machine.homed, dict(bench.klipper.webhooks)
        change()
        bench.klipper._published = seen
        with pytest.raises(Rejected, match=words):
            bench.resume()
        bench.klipper.state, bench.klipper.machine.homed, bench.klipper.webhooks = state, homed, webhooks
        bench.klipper.tick()
    assert bench.sent_after(mark) == []


def test_the_watch_is_silent_when_all_is_well_or_the_pause_is_over(bench: Bench) -> None:
    bench.pause()
    bench.printer._attendant.attend()
    bench.resume()
    bench.printer._attendant.attend()
    assert bench.alerts == []


def test_paused_again_elsewhere_before_it_was_hot_keeps_the_record(bench: Bench) -> None:
    e_before = bench.klipper.machine.position[E]
    bench.pause(PauseSettings(6.5, 0, True))
    bench.klipper.ticks(200)
    bench.klipper.resume_elsewhere()
    bench.klipper.tick()
    bench.klipper.later.append((2, bench.klipper.pause_elsewhere))
    bench.run_tasks()
    assert bench.printer._steps.record is not None
    bench.resume()
    assert bench.klipper.machine.position[E] == pytest.approx(e_before, abs=1e-3)
