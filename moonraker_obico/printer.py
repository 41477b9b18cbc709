"""The Klipper hands: pause, resume and cancel by pause-contract.md, one at a time (agent_core.ports.PrinterPort)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from agent_core import pause_klipper as klipper
from agent_core.errors import CommandFailed, Rejected, Unreachable
from agent_core.model import AlertRaised
from agent_core.pause import (
    PausePlan,
    PauseSettings,
    ResumePlan,
    number,
    outstanding,
    plan_pause,
    plan_resume,
    told_pause,
    told_resume,
)
from agent_core.pause_record import PauseRecord, Step
from agent_core.pause_watch import turn
from agent_core.ports import Clock, Interrupt, Store
from moonraker_obico.klipper_api import Abandoned, KlipperApi, Objects
from moonraker_obico.pause_attend import Attendant
from moonraker_obico.pause_heat import Heating
from moonraker_obico.pause_steps import CannotKeep, PauseSteps, first_line

_log = logging.getLogger(__name__)

CONFIRM = 15.0
"""s from Klipper's answer until its status must say so; it does at the next tick (0.25 s)."""

_EXPECTED = {"pause": "printing", "resume": "paused"}


class KlipperPrinter:
    """PrinterPort on Klipper. `check` and `on_update` may be called from any thread, the commands one at a time.

    `print_ts`: the identity of the print there is, None if not known; must not block. `submit`: runs a task soon on a
    worker's thread (not the socket's), false if it cannot. `alert`: takes what a person should know; must not block.
    """

    def __init__(
        self,
        api: KlipperApi,
        store: Store,
        clock: Clock,
        *,
        print_ts: Callable[[], int | None],
        submit: Callable[[Callable[[], None]], bool],
        alert: Callable[[AlertRaised], None],
    ) -> None:
        self._api = api
        self._clock = clock
        self._print_ts = print_ts
        self._submit = submit
        self._steps = PauseSteps(api, store, clock)
        self._heating = Heating(api, self._steps, clock)
        self._attendant = Attendant(api, self._steps, clock, print_ts=print_ts, alert=alert)
        self._command: str | None = None
        self._attending = threading.Event()
        # Held while a command or the attendant talks to the printer about a pause; guards _steps.
        self._hands = threading.Lock()

    @property
    def command(self) -> str | None:
        """`pause`, `resume` or `cancel` while one runs: for the state text (Pausing, Resuming, Cancelling)."""
        return self._command

    # --- PrinterPort

    def check(self, command: str) -> None:
        objects = self._api.objects()
        why = klipper.not_ready(objects)
        if why is not None:
            raise Rejected(f"cannot {command}: {why}")
        running, state = self._command, klipper.print_state(objects)
        if command == "cancel":
            if state not in ("printing", "paused"):
                raise Rejected(f"cannot cancel: nothing prints (Klipper says {state or 'nothing'})")
        elif command not in _EXPECTED:
            raise Rejected(f"{command} is not known")
        elif running is not None:
            raise Rejected(f"cannot {command}: a {running} is under way")
        elif state != _EXPECTED[command]:
            raise Rejected(
                f"cannot {command}: the printer is not {_EXPECTED[command]} (Klipper says {state or 'nothing'})"
            )
        elif command == "resume" and klipper.unhomed(objects):
            raise Rejected(
                "cannot resume: homing was lost in the pause (motors off), the print would be ruined; cancel it instead"
            )

    def pause(self, settings: PauseSettings, interrupt: Interrupt) -> str:
        self.check("pause")
        with self._running("pause"):
            objects = self._api.objects()
            before = klipper.targets(objects)  # now: a user's macro may change them, and asking would cost a tick
            if klipper.is_paused_flag(objects):
                self._clear_left_over(interrupt)
            words = self._tell("printer.print.pause", interrupt)
            self._api.wait_for(_pause_settled, timeout=CONFIRM, interrupt=interrupt)
            if not klipper.is_paused(self._api.objects()):
                raise CommandFailed(words or self._unconfirmed("pause", interrupt))
            told = self._after_pause(settings, before, interrupt)
            return f"{told}; Klipper said: {words}" if words else told

    def resume(self, interrupt: Interrupt) -> str:
        self.check("resume")
        with self._running("resume"):
            facts = self._fresh()
            record = self._mine(facts)
            plan = plan_resume(record, klipper.machine(facts), e_now=_e(facts)) if record else ResumePlan()
            if plan.refusal is not None:
                raise Rejected(f"cannot resume: {plan.refusal}")
            by_m25 = not klipper.is_paused_flag(facts)
            if by_m25 and plan.lower:
                raise Rejected(
                    f"cannot resume: Klipper has forgotten the pause (CLEAR_PAUSE) with the head lifted by "
                    f"{number(plan.lower)} mm; lower it and send M24 by hand, or cancel"
                )
            if record is not None:
                self._heating.heat_back(record, plan, interrupt)
                self._push_back(plan, interrupt)
                self._steps.put_idle_back(interrupt)
            words = self._tell(None if by_m25 else "printer.print.resume", interrupt)
            self._api.wait_for(_resume_settled, timeout=CONFIRM, interrupt=interrupt)
            if not _resumed(self._api.objects()):
                self._hold_on(interrupt)
                raise CommandFailed(words or self._unconfirmed("resume", interrupt))
            self._steps.forget()
            return told_resume(plan, extra=[f"Klipper said: {words}"] if words else [])

    def cancel(self, interrupt: Interrupt) -> str:
        self.check("cancel")
        with self._running("cancel"):
            words = self._tell("printer.print.cancel", interrupt)
            self._api.wait_for(_ended, timeout=CONFIRM, interrupt=interrupt)
            objects = self._api.objects()
            if not objects or not _ended(objects):
                raise CommandFailed(words or self._unconfirmed("cancel", interrupt))
            self._steps.put_idle_back(interrupt)
            self._steps.forget()
            return f"cancelled; Klipper said: {words}" if words else "cancelled"

    # --- what the host tells

    def on_update(self, objects: Objects) -> None:
        """To be called with each change of the status; cheap, returns at once."""
        record = self._steps.record
        if record is None or self._command is not None or self._attending.is_set():
            return
        if turn(record, objects, now=self._clock.now(), ts=self._print_ts()) is None:
            return
        self._attending.set()
        if not self._submit(self._attend):
            self._attending.clear()

    def _attend(self) -> None:
        try:
            with self._hands:
                if self._command is None:
                    self._attendant.attend()
        finally:
            self._attending.clear()

    # --- pausing

    def _clear_left_over(self, interrupt: Interrupt) -> None:
        """is_paused of an earlier pause: Klipper would answer "Print already paused", and print on (recording 15)."""
        facts = self._steps.facts()
        if klipper.is_printing(facts) and klipper.is_paused_flag(facts):
            self._steps.script("CLEAR_PAUSE", interrupt)

    def _after_pause(self, settings: PauseSettings, before: Mapping[str, float], interrupt: Interrupt) -> str:
        """The pause is confirmed: whatever goes wrong from here on, the print is paused (promise 2)."""
        try:
            facts = self._steps.facts()
            own_idle = self._own_idle(facts)
        except (CommandFailed, Unreachable) as error:
            return f"paused; nothing else was done: {first_line(error)}"
        if not klipper.is_paused(facts):
            return "paused; nothing else was done: somebody has resumed it already"
        machine, old = klipper.machine(facts), self._mine(facts)
        if old is not None and old.idle_timeout is not None and own_idle == old.idle_prolonged:
            own_idle = old.idle_timeout  # still ours from the last pause
        plan, record = plan_pause(machine, settings), self._new_record(facts, before, old)
        held, _ = outstanding(old, _e(facts)) if old is not None else (0.0, ())
        if held:
            # Our last pause was resumed elsewhere while it was too cold to push: it still is where we want it.
            plan = PausePlan(
                0.0, plan.lift, plan.heaters_off, {**plan.notes, "retract": f"retracted {number(held)} mm"}
            )
            record = record.but(retract=held, retract_step=Step.DONE, tool=old.tool if old else record.tool)
        self._steps.record = record
        refused = self._carry_out(plan, facts, own_idle, interrupt)
        return told_pause(plan, refused)

    def _carry_out(
        self, plan: PausePlan, facts: Objects, own_idle: float | None, interrupt: Interrupt
    ) -> dict[str, str]:
        steps, refused = self._steps, dict[str, str]()
        todo: list[tuple[str, str, Callable[[], None]]] = []
        if plan.retract:
            todo.append(("retract", "not retracted", lambda: steps.retract(plan.retract, facts, interrupt)))
        if plan.lift:
            todo.append(("lift", "not lifted", lambda: steps.lift(plan.lift, interrupt)))
        if plan.heaters_off:
            todo.append(("heaters", "heaters left on", lambda: steps.heaters_off(plan.heaters_off, interrupt)))
        hot = bool(klipper.targets(facts).keys() - set(plan.heaters_off))
        todo.append(("idle", "idle_timeout not prolonged", lambda: steps.prolong_idle(own_idle, interrupt, hot=hot)))
        for name, words, do in todo:
            why = _refusal(do, interrupt)
            if why is not None:
                refused[name] = f"{words}: {why}"
        if steps.record is not None:
            steps.note(steps.record)
        return refused

    def _new_record(self, facts: Objects, before: Mapping[str, float], old: PauseRecord | None) -> PauseRecord:
        machine, now = klipper.machine(facts), self._clock.now()
        targets = {**(old.targets if old else {}), **before, **klipper.targets(facts)}
        off = [name for name in (old.heaters_off if old else ()) if not machine.targets.get(name)]
        return PauseRecord(
            filename=klipper.filename(facts),
            at=now,
            tool=machine.tool,
            ts=self._print_ts(),
            print_clock=klipper.print_clock(facts),
            targets=targets,
            extrude_target=max(targets.get(machine.tool, 0.0), before.get(machine.tool, 0.0)),
            heaters_off=tuple(off),
            warm_since=now,
        )

    def _own_idle(self, facts: Objects) -> float | None:
        own = klipper.idle_timeout(facts)
        if own is None:  # an older Klipper; its configuration is large, so it is asked for only then
            with suppress(CommandFailed):
                own = klipper.idle_timeout(self._api.query({"configfile": ("settings",)}))
        return own

    # --- resuming

    def _fresh(self) -> Objects:
        """Raises Rejected where resuming makes no sense by what Klipper says right now."""
        try:
            facts = self._steps.facts()
        except Unreachable as error:
            raise Rejected(f"cannot resume: {first_line(error)}") from error
        why = klipper.not_ready(facts)
        if why is None and klipper.print_state(facts) != "paused":
            why = f"the printer is not paused (Klipper says {klipper.print_state(facts)})"
        if why is None and klipper.unhomed(facts):
            why = "homing was lost in the pause (motors off), the print would be ruined; cancel it instead"
        if why is not None:
            raise Rejected(f"cannot resume: {why}")
        return facts

    def _mine(self, facts: Objects) -> PauseRecord | None:
        """The record if it is of the print there is; else it is discarded (promise 8)."""
        record = self._steps.record
        if record is None:
            return None
        if record.same_print(klipper.filename(facts), ts=self._print_ts(), print_clock=klipper.print_clock(facts)):
            return record
        self._steps.put_idle_back(None)
        self._steps.forget()
        return None

    def _push_back(self, plan: ResumePlan, interrupt: Interrupt) -> None:
        """After heating all is asked again: minutes may have passed."""
        facts = self._steps.facts()
        gone = klipper.not_paused(facts)
        if gone is not None or klipper.unhomed(facts):
            raise CommandFailed(f"not resumed: {gone or 'homing was lost in the pause'}")
        if not plan.unretract:
            return
        if not klipper.machine(facts).can_extrude:
            raise CommandFailed(
                f"not resumed: the nozzle is too cold to push back {number(plan.unretract)} mm of retracted filament; "
                "heat it, then resume"
            )
        try:
            self._steps.push_back(plan.unretract, facts, interrupt)
        except Abandoned:
            raise
        except CommandFailed as error:
            raise CommandFailed(f"not resumed: filament could not be pushed back: {first_line(error)}") from error

    def _hold_on(self, interrupt: Interrupt) -> None:
        """Resuming failed: the pause goes on, and with it what keeps it safe."""
        record = self._steps.record
        if record is not None and record.idle_timeout is None and klipper.is_paused(self._api.objects()):
            with suppress(CommandFailed, Unreachable, CannotKeep):
                objects = self._api.objects()
                hot = bool(klipper.targets(objects))
                self._steps.prolong_idle(self._own_idle(objects), interrupt, hot=hot)

    # --- all three

    @contextmanager
    def _running(self, command: str) -> Iterator[None]:
        """The attendant gives way. What fails for want of a connection is a failed command; nothing is sent again."""
        self._command = command
        self._attendant.give_way(f"a {command} came")
        try:
            with self._hands:
                yield
        except Unreachable as error:
            raise CommandFailed(
                f"{command}: the connection to Moonraker was lost, its outcome is not known: {first_line(error)}"
            ) from error
        finally:
            self._command = None
            self._attendant.welcome()
            self.on_update(self._api.objects())

    def _tell(self, method: str | None, interrupt: Interrupt) -> str | None:
        """Sends it once and waits for as long as it takes; Klipper's words if it says no. None as method: M24.

        No time-out: the call queues behind the running G-code, and a second one could ruin the print.
        """
        try:
            if method is None:
                self._steps.script("M24", interrupt)
            else:
                self._api.call(method, interrupt=interrupt)
        except Abandoned:
            raise
        except CommandFailed as error:
            return first_line(error)
        return None

    def _unconfirmed(self, command: str, interrupt: Interrupt) -> str:
        if interrupt.is_set():
            return f"{command}: {interrupt.reason or 'interrupted'}"
        objects = self._api.objects()
        words = str(objects.get("print_stats", {}).get("message") or "").strip()
        state = klipper.not_ready(objects) or f"its state is {klipper.print_state(objects) or 'unknown'}"
        return f"Klipper took the {command}, but {state}" + (f": {words}" if words else "")


def _refusal(do: Callable[[], None], interrupt: Interrupt) -> str | None:
    """None if it was done; a connection that is lost ends the whole command."""
    if interrupt.is_set():
        return interrupt.reason or "interrupted"
    try:
        do()
    except (CommandFailed, CannotKeep) as error:
        return first_line(error)
    return None


def _e(facts: Objects) -> float | None:
    return klipper.extruder_position(facts)


def _pause_settled(objects: Objects) -> bool:
    state = klipper.print_state(objects)
    return klipper.is_paused(objects) or (bool(objects) and state not in ("printing", "paused"))


def _resumed(objects: Objects) -> bool:
    state = klipper.print_state(objects)
    return (
        klipper.not_ready(objects) is None and not klipper.is_paused_flag(objects) and state in ("printing", "complete")
    )


def _resume_settled(objects: Objects) -> bool:
    return _resumed(objects) or (bool(objects) and klipper.print_state(objects) not in ("printing", "paused"))


def _ended(objects: Objects) -> bool:
    """False while nothing is known."""
    return bool(objects) and klipper.print_state(objects) not in ("printing", "paused")
