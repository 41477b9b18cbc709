"""The klippy host: its lifecycle, the G-code lock and the printing of the file. No sockets, no threads, no sleeping.

`poll` does all that is due and tells when to come again; time comes from the clock given at the start, so tests run
a whole print in no time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from demo.klippy.errors import GcodeError
from demo.klippy.interpreter import Interpreter, Obstacles, Steps
from demo.klippy.options import Options
from demo.klippy.printer import Printer, new_physical

MAX_WAITING = 256  # scripts that may queue for the lock
MAX_STEPS = 400  # lines carried out in one poll, so that requests are answered in between

_FIRMWARE_HINT = (
    'Once the underlying issue is corrected, use the\n"FIRMWARE_RESTART" command to reset the firmware, reload the\n'
    "config, and restart the host software.\n"
)
STARTUP_MESSAGE = (
    "\nPrinter is not ready\nThe klippy host software is attempting to connect.  Please\nretry in a few moments.\n"
)
READY_MESSAGE = "Printer is ready"
MCU_IS_SHUTDOWN = f"Can not update MCU 'mcu' config as it is shutdown\n{_FIRMWARE_HINT}Error configuring printer\n"
MCU_UNREACHABLE = f"mcu 'mcu': Unable to connect\n{_FIRMWARE_HINT}Error configuring printer\n"
EMERGENCY_STOP = "Shutdown due to webhooks request"
MCU_LOST = "Lost communication with MCU 'mcu'"

Answer = Callable[["str | None"], None]
"""Takes None for success or the error's text."""


class Listener(Protocol):
    """What the host tells the sockets."""

    def gcode_response(self, text: str) -> None: ...

    def go_offline(self) -> None:
        """Close every connection and refuse new ones."""

    def go_online(self) -> None: ...

    def hurry(self) -> None:
        """Send the next status update at once."""


@dataclass(slots=True)
class Task:
    """A script holding the lock, or waiting for it. `line_of_file` is True for a line of the printed file."""

    steps: Steps
    answer: Answer
    line_of_file: bool = False


class Host:
    """One klippy process. `clock` gives monotonic seconds."""

    def __init__(self, options: Options, clock: Callable[[], float]) -> None:
        self.options = options
        self.clock = clock
        self.listener: Listener | None = None
        self.speed = options.speed
        self.physical = new_physical(options.speed)
        self.obstacles = Obstacles()
        self.config_error = options.config_error
        self.mcu_shutdown = options.mcu_shutdown
        self.mcu_lost = False
        self.online = True
        self._waiting: deque[Task] = deque()
        self._current: Task | None = None
        self._resume_at = 0.0
        self._restart_requested: bool | None = None
        self._emergency = ""
        self._timers: dict[str, float] = {}
        self._start_up()

    # -- lifecycle -----------------------------------------------------------------------------------------

    def _start_up(self) -> None:
        """A fresh start of the software: everything but the physical machine is new."""
        now = self.clock()
        self.printer = Printer(self.options, self.physical, self.speed, self.clock, self._respond)
        self.interpreter = Interpreter(self.printer, self.obstacles, self._request_restart)
        self.interpreter.emergency = self._shut_down_soon
        for heater in (self.physical.hotend, self.physical.bed):
            heater.force(heater.temperature(now), now)
            heater.target = 0.0
        self._set_state("startup", STARTUP_MESSAGE)
        self._timers = {"started": now + self.options.startup_time}

    def _set_state(self, state: str, message: str) -> None:
        self.state = state
        self.message = message
        self.interpreter.not_ready = None if state == "ready" else message

    def _started(self, now: float) -> None:
        """The end of "startup", or another try while the micro-controller is away."""
        if self.config_error is not None:
            text = f'{self.config_error}\n\nOnce the underlying issue is corrected, use the "RESTART"\n'
            text += "command to reload the config and restart the host software.\nPrinter is halted\n"
            self._set_state("error", text)
        elif self.mcu_lost:
            give_up = self._timers.setdefault("give_up", now + self.options.mcu_give_up_time)
            self._timers["started"] = min(now + self.options.mcu_retry_time, give_up)
        elif self.mcu_shutdown:
            self._set_state("error", MCU_IS_SHUTDOWN)
        else:
            self._timers.pop("give_up", None)
            self.physical.hotend.powered = self.physical.bed.powered = True
            self.printer.started = now
            self._set_state("ready", READY_MESSAGE)

    def _gave_up(self, _now: float) -> None:
        if self.state == "startup":
            self._timers.pop("started", None)
            self._set_state("error", MCU_UNREACHABLE)

    def _request_restart(self, firmware: bool) -> None:
        self._restart_requested = firmware

    def _go_offline(self) -> None:
        """RESTART: the process stays, the socket refuses connections for a while."""
        if self._restart_requested and not self.mcu_lost:
            self.mcu_shutdown = False
        self._restart_requested = None
        self._respond("// Klipper state: Disconnect")
        self._drop_tasks()
        self.printer.sdcard.close()
        self._cut_heaters()
        self.online = False
        self._timers = {"online": self.clock() + self.options.refuse_time}
        if self.listener is not None:
            self.listener.go_offline()

    def _go_online(self, _now: float) -> None:
        self.online = True
        self._start_up()
        if self.listener is not None:
            self.listener.go_online()

    def _cut_heaters(self) -> None:
        for heater in (self.physical.hotend, self.physical.bed):
            heater.switch_off(self.clock())

    def _drop_tasks(self) -> None:
        if self._current is not None:
            self._current.steps.close()
        self._current = None
        self._waiting.clear()

    def shutdown(self, reason: str) -> None:
        """An emergency stop, or the micro-controller's own shutdown."""
        if self.state != "ready":
            return
        now = self.clock()
        self.mcu_shutdown = True
        self._respond("// Klipper state: Shutdown")
        self._set_state("shutdown", f"{reason}\n{_FIRMWARE_HINT}Printer is shutdown\n")
        self._cut_heaters()
        self.printer.toolhead.halt(now)
        tasks = [*([self._current] if self._current is not None else []), *self._waiting]
        self._drop_tasks()
        for task in tasks:
            if not task.line_of_file:
                task.answer(self.message)
        # The file's reader notices a moment later and reports a pause, which is none.
        self._timers["stop_file"] = now + self.options.tick * 0.8
        if self.listener is not None:
            self.listener.hurry()

    def _shut_down_soon(self, reason: str) -> None:
        """M112 within a script: the rest of the script is refused, the shutdown follows at once."""
        self.interpreter.not_ready = reason
        self._emergency = reason
        self._timers["emergency"] = self.clock()

    def _stop_file(self, now: float) -> None:
        card = self.printer.sdcard
        card.running_line = False
        card.pause(now)

    def lose_mcu(self) -> None:
        """The cable is pulled: nothing for some seconds, then a shutdown."""
        self.mcu_lost = True
        self._timers["mcu_loss"] = self.clock() + self.options.mcu_loss_time

    def return_mcu(self) -> None:
        self.mcu_lost = False
        self.mcu_shutdown = False

    def set_speed(self, speed: float) -> None:
        """From now on; what is already queued keeps its pace."""
        self.speed = self.printer.toolhead.speed = speed
        for heater in (self.physical.hotend, self.physical.bed):
            heater.set_speed(speed, self.clock())

    def filament_runout(self) -> None:
        """The switch opens: a pause if the sensor is on and a print runs."""
        self.physical.filament_present = False
        if self.state == "ready" and self.printer.sensor_enabled and self.printer.sdcard.active:
            self.printer.pause_resume.send_pause(self.clock())
            self._timers["runout"] = self.clock() + 0.5

    # -- the G-code lock -----------------------------------------------------------------------------------

    def run(self, script: str, answer: Answer) -> None:
        """Queue a script behind what runs. `answer` is called once, unless the host restarts first."""
        if len(self._waiting) >= MAX_WAITING:
            answer("Too many scripts are waiting")
            return
        self._waiting.append(Task(self.interpreter.run_script(script), answer))

    def locked(self) -> bool:
        return self._current is not None or bool(self._waiting)

    def poll(self, max_steps: int = MAX_STEPS) -> float | None:
        """Do what is due, at most `max_steps` pieces of G-code.

        Returns the monotonic time at which to come again, None if only a request can wake us.
        """
        self._run_timers()
        if self.online:
            self._idle()
        steps = 0
        while self.online and steps < max_steps and self._step():
            steps += 1
        if steps >= max_steps:
            return self.clock()
        dues = list(self._timers.values())
        if self._current is not None:
            dues.append(self._resume_at)
        idle_due = self.printer.idle.due()
        if self.state == "ready" and self.online and idle_due is not None:
            dues.append(max(idle_due, self.clock() + 0.02))
        if self._held():
            dues.append(self.clock() + 0.05)
        return min(dues) if dues else None

    def _run_timers(self) -> None:
        actions: dict[str, Callable[[float], None]] = {
            "started": self._started,
            "give_up": self._gave_up,
            "online": self._go_online,
            "stop_file": self._stop_file,
            "emergency": lambda _now: self.shutdown(self._emergency),
            "mcu_loss": lambda _now: self.shutdown(MCU_LOST),
            "runout": lambda _now: self.run("PAUSE", lambda _error: None),
        }
        now = self.clock()
        for name, due in list(self._timers.items()):
            if due <= now and self._timers.get(name) == due:
                del self._timers[name]
                actions[name](now)

    def _idle(self) -> None:
        busy = self.locked() or self.printer.sdcard.active
        if self.state == "ready" and self.printer.idle.advance(self.clock(), busy=busy):
            idle = self.printer.idle
            self.run("TURN_OFF_HEATERS\nM84", lambda _error: idle.fired())

    def _step(self) -> bool:
        """Carry one piece of G-code out; False if there is nothing to do now."""
        if self._current is None:
            self._current = self._next_task()
            self._resume_at = 0.0
            if self._current is None:
                return False
        if self._resume_at > self.clock():
            return False
        task = self._current
        try:
            self._resume_at = next(task.steps)
        except StopIteration:
            self._finish(task, None)
        except GcodeError as error:
            self._finish(task, str(error))
        return True

    def _finish(self, task: Task, error: str | None) -> None:
        if self._current is task:  # a shutdown inside the script has answered it already
            self._current = None
            task.answer(error)
        if self._restart_requested is not None:
            self._go_offline()

    def _next_task(self) -> Task | None:
        if self._waiting:
            return self._waiting.popleft()
        if self.state != "ready":
            return None
        card = self.printer.sdcard
        line = card.next_line(self.clock())
        if line is None:
            return None
        hold = self.obstacles.hold
        if hold is not None and hold.search(line):
            self.obstacles.held = True
            card.unread()
            return None
        return Task(self.interpreter.run_line(line, "file"), self._line_answer, line_of_file=True)

    def _held(self) -> bool:
        return self.obstacles.held and self.printer.sdcard.active

    def _line_answer(self, error: str | None) -> None:
        card = self.printer.sdcard
        if error is None:
            card.line_done(self.clock())
            return
        script = "CANCEL_PRINT" if self.options.cancel_on_error else "TURN_OFF_HEATERS"
        self._current = Task(
            self.interpreter.run_script(script), lambda _error: card.line_failed(error, self.clock()), line_of_file=True
        )
        self._resume_at = 0.0

    def _respond(self, text: str) -> None:
        if self.listener is not None:
            self.listener.gcode_response(text)
